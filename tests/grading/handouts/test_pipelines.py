"""The pipelines for GitHub and GitLab are valid, and judge each exercise once."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from harness.cli.main import cli
from harness.grading.handouts.pipelines import GITHUB_FILE, GITLAB_FILE, Course, github, gitlab
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import EXERCISES

COURSES = (
    Course(tuple(EXERCISES)),
    Course((2, 4), together=True, kit="kit @ file:///a b/kit.whl"),
    Course((1,), track="typescript"),
)
STEPS_IN_THE_FRAME = 5
"""What a workflow does beside the exercises: check out, Python, install, points, upload."""


def steps_of(workflow: str) -> list[dict[str, Any]]:
    """The steps of the workflow's one job."""
    (job,) = yaml.safe_load(workflow)["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


@pytest.mark.parametrize(("schema", "make"), [("github-workflows", github), ("gitlab-ci", gitlab)])
def test_they_are_valid(schema: str, make: Any, tmp_path: Path) -> None:
    """By the schemas that are published for them: for all exercises and for some, in each language."""
    files = []
    for language in LANGUAGES:
        for number, course in enumerate(COURSES):
            files.append(tmp_path / f"{language}-{number}.yml")
            files[-1].write_text(make(course, texts(language)), encoding="utf-8")
    command = ["-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    checked = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("course", COURSES)
def test_the_workflow_plays_each_exercise_once(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By commands that the kit understands; a failure keeps none of the others from being judged."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "verdicts").mkdir()
    steps = steps_of(github(course, texts("fr")))
    commands = [step["run"] for step in steps if step.get("run", "").startswith("chatlab ")]
    for_node = [step for step in steps if "setup-node" in step.get("uses", "") or step.get("run") == "npm ci"]
    assert len(for_node) == (2 if course.track == "typescript" else 0)
    assert len(commands) == len(course.exercises) == len(steps) - STEPS_IN_THE_FRAME - len(for_node)
    for number, command in zip(course.exercises, commands, strict=True):
        name, *words = shlex.split(command)[1:]
        with cli.commands[name].make_context(name, words) as context:
            assert context.params["numbers"] == (number,)
            assert context.params["together"] == course.together
            assert context.params["lang"] == "fr"
    assert all(step["if"] == "${{ !cancelled() }}" for step in steps[3 + len(for_node) :])


def test_the_points_are_summed_up(tmp_path: Path) -> None:
    """In the summary of the run, and in the notices that GitHub Classroom read; without a verdict, none."""
    (step,) = [each for each in steps_of(github(COURSES[0], texts())) if each.get("name") == "Points"]
    (tmp_path / "verdicts").mkdir()
    judged = [
        {"step": "1.3", "title": "Both | join", "verdict": "passed", "points": 2, "of": 2},
        {"step": "1.4", "title": "Messages", "verdict": "failed", "points": 0, "of": 4},
    ]
    (tmp_path / "verdicts" / "1.json").write_text(json.dumps({"steps": judged}))
    (tmp_path / "verdicts" / "2.json").write_text("{")
    done = subprocess.run(
        [sys.executable, "-c", step["run"]],
        cwd=tmp_path,
        env={"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "::notice title=Autograding complete::Points 2/37" in done.stdout
    assert '::notice title=Autograding report::{"totalPoints": 2, "maxPoints": 37}' in done.stdout
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.startswith("**2 of 37 points**\n")
    assert "| 1.3 Both \\| join | passed | 2 / 2 |" in summary
    assert "| 2 | not judged | 0 / 10 |" in summary


def test_gitlab_is_given_a_report(pytestconfig: pytest.Config) -> None:
    """As JUnit's XML, whether tests fail or not; and pytest knows the options."""
    (job,) = yaml.safe_load(gitlab(COURSES[1], texts("fr"))).values()
    (command,) = job["script"]
    for word in shlex.split(command):
        if word.startswith("--lab-"):
            pytestconfig.getoption(word.partition("=")[0])  # raises for an unknown option
    assert "--lab-exercises=2,4 --lab-together --lab-lang=fr" in command
    assert job["artifacts"]["when"] == "always"
    assert f"--junitxml={job['artifacts']['reports']['junit']}" in command


def test_the_kit_may_come_from_elsewhere() -> None:
    """As one word of the command, whatever it is; else the repository itself is installed."""
    for make in (github, gitlab):
        assert "pip install 'kit @ file:///a b/kit.whl'" in make(COURSES[1], texts())
        assert "--constraint constraints.txt --editable" in make(COURSES[0], texts())


@pytest.mark.parametrize(("name", "file"), [("github", GITHUB_FILE), ("gitlab", GITLAB_FILE)])
def test_a_folder_or_a_file_is_named(name: str, file: str, tmp_path: Path) -> None:
    """A folder gets the file in its place, a name that ends in .yml is the file; neither is overwritten."""
    for place, written in (("repository", f"repository/{file}"), ("ci.yml", "ci.yml")):
        words = ["export", name, str(tmp_path / place)]
        assert CliRunner().invoke(cli, words).exit_code == 0
        before = (tmp_path / written).read_bytes()
        ended = CliRunner().invoke(cli, words)
        assert (ended.exit_code, isinstance(ended.exception, SystemExit | click.ClickException)) == (2, True)
        assert "there is a file" in ended.output
        assert (tmp_path / written).read_bytes() == before

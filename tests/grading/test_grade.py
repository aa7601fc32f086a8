"""A class is graded: each submission by its own files, and none stops the others."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.grading.grade import _was_stopped, grade
from harness.grading.register import Register
from harness.grading.result import Grade, Part, is_complete
from harness.running.run import Run
from harness.running.worker import Job
from harness.submissions.fingerprints import Rules
from harness.texts import texts
from harness.verdict.outcome import Outcome, StepResult
from harness.verdict.steps import steps_of
from tests.grading.classroom import CLASS, ROOT, make, submission_of

CHATLAB = [sys.executable, "-P", "-m", "harness.cli.main"]
RULES = Rules(1, 1, False, 300.0)


def chatlab(*arguments: object, cwd: Path) -> tuple[int, str]:
    """Run the command; returns its exit code and output."""
    done = subprocess.run(
        [*CHATLAB, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=400
    )
    return done.returncode, done.stdout + done.stderr


def table(folder: Path) -> dict[str, dict[str, str]]:
    """The rows of grades.csv, by the submission's name."""
    with (folder / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
        return {row["submission"]: row for row in csv.DictReader(file)}


HIDDEN = [".grades.csv.sha256"]
"""What stays: by it, an edited table is known."""


def hidden_in(folder: Path) -> list[str]:
    """The hidden files in a folder."""
    return sorted(path.name for path in folder.glob(".*"))


EXPECTED = {
    "ada-right": ("passed", "18", ""),
    "bea-stubs": ("failed", "0", "1.3 1.4 1.5 3.1 3.2 3.3 3.4"),
    "fay-syntax-error": ("failed", "8", "3.1 3.2 3.3 3.4"),
    "gus-endless-loop": ("failed", "10", "3.2 3.3 3.4"),
    "hana-output-flood": ("passed", "18", ""),
    "ivan-exits": ("failed", "8", "3.1 3.2 3.3 3.4"),
    "jo-whole-server": ("passed", "20", ""),
    "kim-empty": ("failed", "0", " ".join([*steps_of(1), *steps_of(3)])),
    "lea-whole-kit": ("passed", "18", ""),
}
"""In exercises 1 and 3."""


@pytest.mark.extra
@pytest.mark.timeout(600)
def test_a_class_of_nine(tmp_path: Path) -> None:
    """Right ones, stubs, a crash, a hang, a flood, a whole server and an empty one: each gets its mark."""
    make(tmp_path / "class")
    # One at a time, since other tests play meanwhile.
    code, said = chatlab("grade", "class", "--jobs", "1", "--exercises", "1,3", cwd=tmp_path)
    assert "Traceback" not in said
    rows = table(tmp_path / "class-grades")
    found = {name: (row["verdict"], row["points"], row["failed"]) for name, row in rows.items()}
    assert found == EXPECTED, said
    assert code == 0
    assert set(CLASS) == set(EXPECTED)
    for name in CLASS:
        kept = json.loads((tmp_path / "class-grades" / f"{name}.json").read_text())
        assert kept["name"] == name
        assert (tmp_path / "class-grades" / f"{name}.log").stat().st_size > 0
    shown = {path.name for path in (tmp_path / "class-grades").glob("*.ex?.html")}
    played = {name: failed for name, (_, _, failed) in EXPECTED.items() if name != "kim-empty"}
    exercises = {name: {step[0] for step in failed.split()} for name, failed in played.items()}
    assert shown == {f"{name}.ex{number}.html" for name, numbers in exercises.items() for number in numbers}
    assert hidden_in(tmp_path / "class-grades") == HIDDEN


@pytest.mark.live
def test_grades_are_kept_after_a_kill(tmp_path: Path) -> None:
    """After `kill -9` in the middle no process is left, and the next call continues where it stopped."""
    make(tmp_path / "class", ["ada-right", "fay-syntax-error", "kim-empty"])
    out = tmp_path / "class-grades"
    first = subprocess.Popen(
        [*CHATLAB, "grade", "class", "--exercises", "3", "--jobs", "1"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    family: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while not (out / "ada-right.json").exists():
        assert time.monotonic() < deadline
        assert first.poll() is None
        with contextlib.suppress(psutil.NoSuchProcess):
            family += [c for c in psutil.Process(first.pid).children(recursive=True) if c not in family]
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    _, alive = psutil.wait_procs(family, timeout=15)
    assert alive == []
    code, said = chatlab("grade", "class", "--exercises", "3", cwd=tmp_path)
    assert code == 0, said
    assert "ada-right: passed, 10 of 10 points" in said
    assert [line.split(",")[0] for line in said.splitlines() if "as before" in line] == [
        "[1/3] ada-right: passed"
    ]
    assert {name: row["ex3"] for name, row in table(out).items()} == {
        "ada-right": "10",
        "fay-syntax-error": "0",
        "kim-empty": "0",
    }
    assert hidden_in(out) == HIDDEN


@pytest.mark.live
def test_a_submission_that_exceeds_the_deadline_has_no_mark(tmp_path: Path) -> None:
    """It is stopped and left open, and grading goes on."""
    make(tmp_path / "class", ["ada-right", "kim-empty"])
    code, said = chatlab("grade", "class", "--exercises", "3", "--deadline", "1", cwd=tmp_path)
    assert code == 2, said
    rows = table(tmp_path / "class-grades")
    assert (rows["ada-right"]["verdict"], rows["ada-right"]["open"]) == ("inconclusive", "3.1 3.2 3.3 3.4")
    assert "Not finished within 1 s" in rows["ada-right"]["problem"]
    assert "run this command again" in said
    assert rows["kim-empty"]["points"] == "0"


@pytest.mark.live
def test_names_may_be_anything(tmp_path: Path) -> None:
    """Odd names, wrapped folders and files stop nothing."""
    folder = make(tmp_path / "class", ["kim-empty"])
    wrapped = folder / "Émile Ça" / "Projet final"
    wrapped.parent.mkdir()
    CLASS["ada-right"](wrapped)
    CLASS["ada-right"](Path(os.fsdecode(os.fsencode(folder) + b"/\xe9mile")))
    (folder / ("long-" * 48)).mkdir()
    (folder / "karl.zip").write_text("")
    code, said = chatlab("grade", "class", "--exercises", "1", cwd=tmp_path)
    assert "Traceback" not in said
    assert "karl: inconclusive" in said
    rows = table(tmp_path / "class-grades")
    emile = rows["Émile Ça"]
    assert (emile["ex1"], emile["verdict"]) == ("8", "passed")
    assert len(rows) == 5
    assert code == 2, "karl's archive is none"
    assert rows["\\xe9mile"]["verdict"] == "passed", "a name need not be text"
    log = (tmp_path / "class-grades" / "Émile Ça.log").read_text(encoding="utf-8")
    assert log.rstrip().endswith("Total: 8 of 8 points, passed.")


def test_two_gradings_of_one_folder_are_refused(tmp_path: Path) -> None:
    """A second grading into the same folder is refused, and the first one's files are left alone."""
    make(tmp_path / "class", ["kim-empty"])
    register = Register(tmp_path / "class-grades")
    with register.in_use():
        code, said = chatlab("grade", "class", cwd=tmp_path)
        assert (code, "another grading is writing" in said) == (64, True)
        scratch = Path(os.environ["CHATLAB_SCRATCH"])
        assert scratch.is_dir(), "that of the first"
    assert not scratch.exists()
    code, _ = chatlab("grade", "class", cwd=tmp_path)
    assert code == 0


def test_what_a_killed_grading_left_is_removed_by_the_next(tmp_path: Path) -> None:
    """The data of servers lies in a short place, as names of sockets must be, and does not stay."""
    register, left = Register(tmp_path / "grades"), Path(tempfile.mkdtemp(prefix="chatlab-grade-"))
    (left / "data").mkdir()
    (tmp_path / "grades" / ".lock").write_text(str(left))
    with register.in_use():
        assert not left.exists()
        assert len(os.environ["CHATLAB_SCRATCH"]) < 60
    assert "CHATLAB_SCRATCH" not in os.environ


def test_a_program_that_is_missing_here_is_no_zero(tmp_path: Path) -> None:
    """Its author may have it; and a whole server whose settings cannot be read has all points to gain."""
    for name, run in (("ada", '"no-such-tool run server"'), ("bob", "node")):
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "submission.toml").write_text(f"run = {run}\n")
    code, said = chatlab("grade", "class", "--exercises", "1", cwd=tmp_path)
    assert code == 2, said
    rows = table(tmp_path / "class-grades")
    assert (rows["ada"]["verdict"], rows["bob"]["verdict"]) == ("inconclusive", "failed")
    assert "no program `no-such-tool` on this machine" in said
    assert rows["ada"]["of"] == rows["bob"]["of"] == "10"


def test_a_kit_that_is_on_the_path_alone_grades(tmp_path: Path) -> None:
    """Where PYTHONPATH says where the kit is, all of its processes are of that kit: as in our image."""
    kit = tmp_path / "kit"
    for package in ("lab", "harness"):
        shutil.copytree(ROOT / package, kit / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "exercises" / "ex1_chat", kit / "exercises" / "ex1_chat")
    seen = tmp_path / "seen"
    with (kit / "lab" / "protocol.py").open("a", encoding="utf-8") as file:  # which all of them import
        file.write(f"\nimport sys\nopen({str(seen)!r}, 'a').write(' '.join(sys.orig_argv) + '\\n')\n")
    make(tmp_path / "class", ["ada-right"])
    words = ["grade", "class", "--exercises", "1", "--isolation", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main", *words],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "kit"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert table(tmp_path / "class-grades")["ada-right"]["points"] == "8"
    programs = seen.read_text().splitlines()
    for module in ("harness.cli.main", "harness.running.worker", "harness.running.forks", "lab"):
        assert any(f"-m {module} " in f"{program} " for program in programs), (module, programs)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["one/ex1_chat"], "nothing that could be a submission"),
        (["class", "--exercises", "7"], "write some of 1, 2, 3, 4"),
        (["class", "--out", "class"], "lies in the folder of the submissions"),
        (["class", "--out", "class/marks"], "lies in the folder of the submissions"),
        (["class", "--out", "file/below"], "cannot be written"),
        (["one"], "is one submission"),
    ],
)
def test_wrong_usage_is_reported(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """What cannot be graded is reported in a sentence, with exit code 64."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "file").write_text("")
    if arguments[0] == "class":
        make(tmp_path / "work" / "class", ["kim-empty"])
    (tmp_path / "work" / "one" / "ex1_chat").mkdir(parents=True)
    code, said = chatlab("grade", *arguments, cwd=tmp_path / "work")
    assert code == 64, said
    assert sentence in said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of another user."""

    def refuse(folder: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    said = CliRunner().invoke(cli, ["grade", str(tmp_path)])
    assert "cannot be read: Permission denied" in said.output


def test_a_mark_is_only_given_for_complete_results() -> None:
    """As long as a step or an exercise is open, so is the mark;
    otherwise it passed with all points, or failed.
    """

    def mark(*verdicts: Outcome) -> Outcome:
        parts = {number: Part(verdict, 5, 8, 1.0) for number, verdict in enumerate(verdicts, start=1)}
        grade = Grade("ada", parts=parts)
        grade.sum_up()
        assert (grade.points, grade.of) == (5 * len(verdicts), 8 * len(verdicts))
        return grade.verdict

    assert mark(Outcome.PASSED, Outcome.PASSED) is Outcome.PASSED
    assert mark(Outcome.PASSED, Outcome.FAILED) is Outcome.FAILED
    assert mark(Outcome.INCONCLUSIVE, Outcome.FAILED) is Outcome.INCONCLUSIVE


async def test_a_failed_step_does_not_close_an_open_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exercise with a failed step and an inconclusive one is open, and is judged again."""

    async def play(job: Job) -> Run:
        outcomes = {"3.1": Outcome.FAILED, "3.2": Outcome.INCONCLUSIVE}
        steps = [
            StepResult(step, outcomes.get(step, Outcome.PASSED), 1, 2, None)
            for step in steps_of(job.exercise)
        ]
        return Run(job.exercise, job.seed, "live", "ada", 0.1, steps, [], [], 0.0, [])

    monkeypatch.setattr("harness.grading.grade.run_in_process", play)
    CLASS["ada-right"](tmp_path / "ada")
    shown: list[tuple[int, str]] = []
    mark = Grade("ada")
    await grade(
        submission_of(tmp_path / "ada", tmp_path / "scratch", RULES),
        [3],
        mark,
        texts("en"),
        progress=lambda exercise: None,
        keep=lambda exercise, page: shown.append((exercise, page)),
    )
    ((exercise, page),) = shown
    assert exercise == 3
    assert "chatlab check 3 --submission ada --seed 1" in page
    assert (mark.verdict, mark.failed_steps, mark.open_steps) == (Outcome.INCONCLUSIVE, ["3.1"], ["3.2"])
    assert not is_complete(mark, [3])


async def test_runs_that_are_alike_are_one_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of several runs shows what differs, and counts the rest with their seeds."""

    async def play(job: Job) -> Run:
        failed = Outcome.FAILED if job.seed == "3" else Outcome.PASSED
        steps = [StepResult(step, failed, 1, 2, None) for step in steps_of(job.exercise)]
        return Run(job.exercise, job.seed, "live", "ada", 0.1, steps, [], [], 0.0, [])

    monkeypatch.setattr("harness.grading.grade.run_in_process", play)
    CLASS["ada-right"](tmp_path / "ada")
    mark, rules = Grade("ada"), Rules(1, 5, False, 300.0)
    given = submission_of(tmp_path / "ada", tmp_path / "scratch", rules)
    await grade(given, [3], mark, texts("en"), lambda exercise: None, lambda exercise, page: None)
    log = mark.parts[3].log
    assert log.count("Exercise 3: Presence") == 2
    assert "Exercise 3: 3 more alike (passed), seeds 2, 4, 5." in log
    assert "5 runs: 4 passed, 1 failed (seed 3)" in log


@pytest.mark.parametrize(
    ("verdicts", "found", "stopped"),
    [
        (["failed", "failed"], "no_start", True),
        (["passed", "failed"], "server_died", True),
        (["passed", "passed", "failed"], "server_died", False),
        (["failed", "failed"], "gap", False),
    ],
)
def test_less_is_waited_for_only_where_it_does_nothing(
    verdicts: list[str], found: str, stopped: bool
) -> None:
    """A server that can do something has as much time in the next exercise as if it were judged alone."""
    steps = [{"step": f"1.{n}", "verdict": each, "anomalies": []} for n, each in enumerate(verdicts, 1)]
    steps[-1]["anomalies"] = [{"name": found}]  # type: ignore[list-item]
    part = Part(Outcome.FAILED, 0, 10, 1.0, report={"steps": steps})
    assert _was_stopped(part) is stopped

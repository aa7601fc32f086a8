"""The autograder has results whatever happens, in the form that Gradescope reads.

Most plays here are those of a program in place of `chatlab`, which does what a file beside it says.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.grading.handouts import autograder
from harness.grading.handouts.autograder import Judge, Place, Results, judge_all
from harness.grading.handouts.gradescope import VISIBILITY, Wishes, settings
from harness.judged.targets import ROOT
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import EXERCISES, POINTS

SCHEMA = Path(__file__).parent / "results.schema.json"
FAKE = """
import json, os, pathlib, signal, sys, time
exercise, target = sys.argv[2], sys.argv[sys.argv.index("--json") + 1]
plays = json.loads(pathlib.Path(__file__).with_name("plays.json").read_text())
kind = plays[exercise].pop(0)
pathlib.Path(__file__).with_name("plays.json").write_text(json.dumps(plays))
if kind == "hangs":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pause()
if kind == "unusable":
    print("Usage: chatlab\\n\\nError: there is no " + os.getcwd() + "/submission/pubsub.py", file=sys.stderr)
    sys.exit(64)
if kind == "defect":
    sys.exit(70)
if kind == "damaged":
    pathlib.Path(target).write_text("{")
    sys.exit(0)
steps = []
for step, of in json.loads(pathlib.Path(__file__).with_name("steps.json").read_text()):
    if step[0] == exercise:
        failed = kind == "failed"
        lost = {"title": "Lost", "message": "in " + os.getcwd() + "/submission/pubsub.py", "cause": "why"}
        steps.append({"step": step, "title": "t", "verdict": kind, "points": of if kind == "passed" else 0,
            "of": of, "receipt": "" if failed else "proof \\x1b[31m", "notes": [],
            "anomalies": [lost] if failed else []})
pathlib.Path(target).write_text(json.dumps({"steps": steps}))
"""


class Autograder:
    """A folder that is laid out as Gradescope's, with a program in place of `chatlab`."""

    def __init__(self, root: Path, plays: dict[int, list[str]], **wishes: Any) -> None:
        self.place = Place(root)
        for name in ("source", "submission", "results"):
            (root / name).mkdir()
        (root / "submission" / "pubsub.py").write_text("")
        self.settings = settings(Wishes(tuple(plays), **wishes), texts())
        self.settings["command"] = [sys.executable, str(root / "source" / "fake.py")]
        self.settings["user"] = "nobody of this name"
        self.put("fake.py", FAKE)
        self.put("plays.json", json.dumps(plays))
        self.put("steps.json", json.dumps([(each["step"], each["of"]) for each in self.settings["steps"]]))
        self.put("settings.json", json.dumps(self.settings))
        self.results = Results(self.place, self.settings)

    def put(self, name: str, text: str) -> None:
        """Write a file of the autograder's."""
        (self.place.source / name).write_text(text, encoding="utf-8")

    def judge(self) -> dict[str, Any]:
        """Judge everything; returns what Gradescope reads in the end."""
        judge_all(self.place, self.settings, self.results)
        return self.read()

    def read(self) -> dict[str, Any]:
        """What Gradescope would read now."""
        found: dict[str, Any] = json.loads(self.place.results.read_text())
        return found


def entries(results: dict[str, Any], exercise: int) -> list[dict[str, Any]]:
    """The entries of an exercise."""
    return [test for test in results["tests"] if test["number"].startswith(f"{exercise}.")]


def said_of(results: dict[str, Any], exercise: int) -> str:
    """What is told of the last step of an exercise."""
    return str(entries(results, exercise)[-1]["output"])


def fits(*results: dict[str, Any]) -> None:
    """All of them have the shape that Gradescope documents."""
    jsonschema: Any = import_module("jsonschema")  # it has no type hints; check-jsonschema brings it along
    for each in results:
        jsonschema.validate(each, json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_results_are_written_after_each_exercise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time, all steps are there, those that were not judged yet, too; in Gradescope's form."""
    made = Autograder(tmp_path, {1: ["passed"], 2: ["failed"], 4: ["passed"]})
    written: list[dict[str, Any]] = []
    keep = autograder.write

    def write(file: Path, content: dict[str, Any]) -> None:
        written.append(copy.deepcopy(content))
        keep(file, content)

    monkeypatch.setattr(autograder, "write", write)
    made.results.write()
    final = made.judge()
    assert [sum(test["score"] for test in each["tests"]) for each in written] == [0, 8, 8, 17]
    assert {len(each["tests"]) for each in written} == {5 + 4 + 5}
    assert all(test["output"].startswith("Not judged") for test in written[0]["tests"])
    assert final == written[-1]
    assert final["output"] == "17 of 27 points."
    (first, *_) = entries(final, 2)
    assert (first["number"], first["name"]) == ("2.1", texts().say("step.2-1"))
    assert (first["status"], first["score"], first["max_score"]) == ("failed", 0, 2)
    fits(*written)


def test_another_shape_is_noticed() -> None:
    """A misspelled key, a status that there is not, and nothing at all."""
    for wrong in ({}, {"score": 1, "ouput": ""}, {"tests": [{"score": 1, "status": "open"}]}):
        with pytest.raises(Exception, match=r"(?i)valid|unexpected"):
            fits(wrong)


def test_what_is_told_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    """Neither in a finding, nor where there was nothing to judge; and nothing steers a terminal."""
    made = Autograder(tmp_path, {1: ["failed"], 2: ["unusable"], 3: ["passed"]})
    final = made.judge()
    assert said_of(final, 1) == "Lost\nin pubsub.py\nLikely cause: why"
    assert said_of(final, 2) == "Nothing to judge, so no points: there is no submission/pubsub.py"
    assert said_of(final, 3) == "proof ?[31m"
    assert str(tmp_path) not in json.dumps(final)


def test_a_check_that_hangs_is_ended(tmp_path: Path) -> None:
    """When its time is over, with a sentence that says so; nothing of it stays."""
    made = Autograder(tmp_path, {3: ["hangs"]})
    play = Judge(made.place, made.settings).judge(3, 0.5)
    assert "not finished within" in play.problem
    assert play.steps == {}
    assert 0.5 <= play.seconds < 10


def test_time_that_is_over_is_told(tmp_path: Path) -> None:
    """Who has no time left is not judged, and what was judged stays."""
    made = Autograder(tmp_path, {1: ["passed"], 2: ["passed"]})
    made.settings["seconds"] = 5
    judge_all(made.place, made.settings, made.results)
    made.results.write()
    final = made.read()
    assert {test["output"].partition(":")[0] for test in final["tests"]} == {"Not judged"}
    fits(final)


@pytest.mark.parametrize("kind", ["defect", "damaged"])
def test_a_check_without_verdict_is_no_fault_of_the_student(kind: str, tmp_path: Path) -> None:
    """It is said so, and the other exercises are judged."""
    final = Autograder(tmp_path, {1: [kind], 2: ["passed"]}).judge()
    assert "your work is not the reason" in said_of(final, 1)
    assert sum(test["score"] for test in final["tests"]) == 10


def test_what_is_open_is_judged_again_and_told(tmp_path: Path) -> None:
    """Once, if there is time: the second verdict counts if it is one, and the output says so."""
    final = Autograder(tmp_path, {1: ["inconclusive", "passed"], 2: ["inconclusive", "inconclusive"]}).judge()
    assert "a second time" in said_of(final, 1)
    assert sum(test["score"] for test in entries(final, 1)) == 8
    assert said_of(final, 2).startswith("No verdict, so no points yet: proof")
    assert {test["status"] for test in entries(final, 2)} == {"failed"}


@pytest.mark.parametrize("until", VISIBILITY)
def test_hidden_steps_are_hidden(until: str, tmp_path: Path) -> None:
    """A step and an exercise; and the sum that everybody sees does not tell them."""
    made = Autograder(tmp_path, {1: ["passed"], 2: ["passed"]}, hidden=("2.3", "1"), until=until)
    final = made.judge()
    hidden = {test["number"] for test in final["tests"] if test["visibility"] == VISIBILITY[until]}
    assert hidden == {"1.1", "1.2", "1.3", "1.4", "1.5", "2.3"}
    assert final["output"].splitlines()[0] == "7 of 7 points."
    assert final["stdout_visibility"] == "hidden"


def start(place: Place, **more: str) -> subprocess.Popen[str]:
    """The driver as a program of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", autograder.__file__],
        env={**os.environ, "CHATLAB_AUTOGRADER": str(place.root), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_who_ends_the_driver_gets_what_is_known(tmp_path: Path) -> None:
    """SIGTERM in the middle of the second exercise: the first one counts, and the exit code is 0."""
    made = Autograder(tmp_path, {1: ["passed"], 2: ["hangs"]})
    driver = start(made.place)
    deadline = time.monotonic() + 30
    while json.loads((made.place.source / "plays.json").read_text() or '{"2": 1}')["2"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=30)
    final = made.read()
    assert driver.returncode == 0
    assert sum(test["score"] for test in entries(final, 1)) == 8
    assert said_of(final, 2).startswith("Not judged")


@pytest.mark.parametrize(
    ("file", "content"),
    [("settings.json", "{"), ("settings.json", None), ("fake.py", None), ("submission", None)],
)
def test_a_damaged_autograder_has_results(file: str, content: str | None, tmp_path: Path) -> None:
    """Without its settings, the kit, or anything handed in: a sentence instead of a traceback."""
    made = Autograder(tmp_path, {1: ["passed"]})
    if file == "submission":
        shutil.rmtree(made.place.submission)
    elif content is None:
        (made.place.source / file).unlink()
    else:
        made.put(file, content)
    driver = start(made.place)
    assert driver.stdout is not None
    driver.stdout.close()  # nobody reads what it prints
    assert driver.wait(30) == 0
    final = made.read()
    assert "Tell your teacher" in json.dumps(final)
    assert "Traceback" not in json.dumps(final)
    fits(final)


def test_the_folder_has_what_gradescope_asks_for(tmp_path: Path) -> None:
    """Two scripts that bash can read, the kit without answers, and a driver that needs no kit."""
    ended = CliRunner().invoke(cli, ["export", "gradescope", str(tmp_path / "source"), "--lang", "fr"])
    assert ended.exit_code == 0, ended.output
    source = tmp_path / "source"
    for name in ("setup.sh", "run_autograder"):
        assert os.access(source / name, os.X_OK)
        subprocess.run(["bash", "-n", source / name], check=True)
    made = json.loads((source / "settings.json").read_text(encoding="utf-8"))
    assert [step["step"] for step in made["steps"]] == list(POINTS)
    assert made["exercises"] == list(EXERCISES)
    assert made["options"] == ["--lang", "fr"]
    assert made["seconds"] < 600
    assert (source / "kit" / "constraints.txt").is_file()
    assert not (source / "kit" / "exercises").exists()
    assert not (source / "kit" / "harness" / "grading").exists()
    command = [sys.executable, "-I", "-c", f"import runpy; runpy.run_path({str(source / 'driver.py')!r})"]
    subprocess.run(command, check=True, cwd=tmp_path)


def test_node_is_installed_where_it_is_asked_for(tmp_path: Path) -> None:
    """With the project in which npm installs packages, and the kit beside it; else there is neither."""
    for track, is_there in (("typescript", True), ("python", False)):
        source = tmp_path / track
        ended = CliRunner().invoke(cli, ["export", "gradescope", str(source), "--track", track])
        assert ended.exit_code == 0, ended.output
        subprocess.run(["bash", "-n", source / "setup.sh"], check=True)
        setup = (source / "setup.sh").read_text()
        assert ("npm ci" in setup, "nodejs.org" in setup, "--editable" in setup) == (is_there,) * 3
        assert "@" not in setup
        assert (source / "kit" / "exercises" / "typescript" / "package-lock.json").exists() is is_there
        answers = "".join(path.read_text() for path in (source / "kit").rglob("*") if path.is_file())
        assert "this.#inTurn" not in answers


def test_text_is_legible() -> None:
    """No-break spaces, accents and lines stay; what steers a terminal, or turns a text around, does not."""
    assert autograder.legible("é\u00a0: 1\u202fs\n\tx") == "é\u00a0: 1\u202fs\n\tx"
    assert autograder.legible("\x1b[2J\u202e\r\u200b\0") == "?[2J????"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_of_the_driver_can_be_filled_in(language: str) -> None:
    """Each with the fields that the driver has for it."""
    words = settings(Wishes((1,)), texts(language))["words"]
    for text in words.values():
        assert "{" not in text.format(seconds=1, why="why", points=1, of=2)
    assert "{seconds}" in words["deadline"]
    assert "{why}" in words["unusable"]


@pytest.mark.extra
def test_a_model_answer_is_judged(tmp_path: Path) -> None:
    """By the kit itself: exercise 1 has its 8 points, and a student's file is written to by nobody."""
    made = Autograder(tmp_path, {1: []})
    made.settings["command"] = [sys.executable, "-P", "-m", "harness.cli.main"]
    (made.place.submission / "ex1_chat").mkdir()
    shutil.copy(ROOT / "solutions" / "ex1_chat" / "pubsub.py", made.place.submission / "ex1_chat")
    (made.place.submission / "pubsub.py").unlink()
    final = made.judge()
    assert final["output"] == "8 of 8 points."
    assert sorted(each.name for each in (made.place.submission / "ex1_chat").iterdir()) == ["pubsub.py"]
    fits(final)

"""Where the kit itself fails: every command ends with 70, says so in a sentence, and keeps what it knows."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from harness.check import live_runs, worlds_asked
from harness.check.options import Options
from harness.cli.main import main
from harness.grading import grade as grading
from harness.grading.result import Grade, Part
from harness.history.events import Began
from harness.judged import targets
from harness.reports.terminal import Terminal
from harness.running import play as playing
from harness.running.play import PreparedRun
from harness.running.run import Run
from harness.running.worker import Job
from harness.submissions.fingerprints import Rules
from harness.texts import texts
from harness.texts.defect import told
from harness.verdict.outcome import EXIT_DEFECT, Outcome
from harness.worlds.live import LiveWorld
from harness.worlds.served import ServedWorld
from tests.grading.classroom import submission_of
from tests.harness.check.checks import made_up, options

ERRORS: dict[str, Callable[[], Exception]] = {
    "too deep": lambda: RecursionError("maximum recursion depth exceeded"),
    "nothing left": StopIteration,
    "no memory": MemoryError,
    "several": lambda: ExceptionGroup("two", [KeyError("a"), ValueError("\x1b[2J\n  ✓ 1.1  passed")]),
    "a text of several lines": lambda: ValueError("\x1b[2J\r\n  ✓ 1.1  passed\u202e"),
    "nothing to say": lambda: AssertionError(""),
}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, for what is kept of failures, and to be in."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def _raise(error: Exception) -> Callable[..., NoReturn]:
    def raising(*_: object, **__: object) -> NoReturn:
        raise error

    return raising


def _run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> object:
    """The exit code of a command."""
    monkeypatch.setattr(sys, "argv", ["chatlab", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


COMMANDS = {
    "check": ("harness.check.worlds_asked.check", ["check", "1", "--reference"]),
    "doctor": ("harness.doctor.examine.examine", ["doctor", "--reference"]),
    "hint": ("harness.texts.Texts.list", ["hint", "1"]),
    "replay": ("harness.minimize.replay_file.read", ["replay", "x.json"]),
    "zoo": ("harness.zoo.matrix.plan", ["zoo"]),
}
"""Commands, each with a function that fails in it."""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_fails_by_itself_says_so(
    name: str, temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, without a traceback: that is in the file that it names."""
    function, arguments = COMMANDS[name]
    monkeypatch.setattr(function, _raise(RecursionError("too deep")))
    assert _run(arguments, monkeypatch) == EXIT_DEFECT
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (kept,) = temporary.glob("chatlab-failed-*")
    assert "The kit itself failed; this says nothing about your server (RecursionError: too deep)." in said
    assert said.endswith(f"Please report it, with this file: {kept}\n")
    assert "Traceback" in kept.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_has_the_same_exit_code(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it is, and whatever it says."""
    monkeypatch.setattr("harness.check.worlds_asked.check", _raise(ERRORS[name]()))
    assert _run(["check", "1", "--reference"], monkeypatch) == EXIT_DEFECT
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert not {"\x1b", "\r", "\u202e"} & set(said)


def test_where_no_file_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has all that there is."""
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    for language, words in (("en", "Please report this: KeyError: 7"), ("fr", "Merci de signaler ceci")):
        assert words in told(f"Traceback\nKeyError: 7 {language}", texts(language))


# --- check ----------------------------------------------------------------------------------------


def _check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **more: object
) -> tuple[int, str]:
    """Check two exercises whose plays are made up; the exit code and what is printed."""

    async def play(exercise: int, target: object, seed: str, **_: object) -> Run:
        return made_up(exercise, seed, "passed")

    monkeypatch.setattr(live_runs, "play", play)
    asked: Options = options((1, 2, 3), world="live", **more)
    code = worlds_asked.check(asked)
    return code, capsys.readouterr().out


def test_a_report_that_fails_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exercises before and after it are judged and shown, in JSON, too; the exit code is 70."""
    explain = Terminal._explain

    def failing(terminal: Terminal, run: Run, *rest: Any) -> None:
        if run.exercise == 2:
            raise RecursionError("too deep")
        explain(terminal, run, *rest)

    monkeypatch.setattr(Terminal, "_explain", failing)
    code, said = _check(monkeypatch, capsys, json_file="report.json")
    assert code == EXIT_DEFECT
    assert "RecursionError: too deep" in said
    assert "Traceback" not in said
    assert "Exercise 2: not judged" in said
    verdicts = {
        step["step"]: step["verdict"] for step in json.loads(Path("report.json").read_text())["steps"]
    }
    assert (verdicts["1.1"], verdicts["2.1"], verdicts["3.1"]) == ("passed", "inconclusive", "passed")


async def test_a_play_that_raises_is_a_run_without_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails, in the world or in what is prepared."""
    monkeypatch.setattr(LiveWorld, "__init__", _raise(StopIteration()))
    run = await playing.play(2, targets.reference(), "7")
    assert "StopIteration" in run.defect
    assert [step.outcome for step in run.steps] == [Outcome.INCONCLUSIVE] * 4


def test_judging_that_raises_is_a_run_without_a_verdict() -> None:
    """The other exercises have theirs."""
    world = SimpleNamespace(
        history=[Began(0.0, 3, "7", "abc", "live", 0.0)],
        target=targets.reference(),
        kind="live",
        output=_raise(RecursionError("too deep")),
    )
    prepared = PreparedRun(cast("Any", None), cast("Any", None))
    run = playing._judged_or_not(cast("ServedWorld", world), prepared, "")
    assert (run.exercise, run.seed, run.outcome) == (3, "7", Outcome.INCONCLUSIVE)
    assert "RecursionError: too deep" in run.defect


# --- grade ----------------------------------------------------------------------------------------


def _judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Part:
    """A part of a submission whose play is made up, and fails."""

    async def run_in_process(job: Job) -> Run:
        return made_up(job.exercise, job.seed, "reorder")

    monkeypatch.setattr(grading, "run_in_process", run_in_process)
    (tmp_path / "ada").mkdir(exist_ok=True)
    (tmp_path / "ada" / "sequencer.py").write_text("")
    given = submission_of(tmp_path / "ada", tmp_path / "scratch", Rules(1, 1, False, 9.0))
    part, _ = asyncio.run(grading.judge(given, 2, texts("en")))
    return part


def test_a_page_that_fails_costs_no_points(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The verdict stays, and the log says what happened."""
    assert not _judged(monkeypatch, tmp_path).kit_failed
    monkeypatch.setattr(grading, "page", _raise(StopIteration()))
    part = _judged(monkeypatch, tmp_path)
    assert (part.verdict, part.steps_with(Outcome.FAILED), part.kit_failed) == (Outcome.FAILED, ["2.2"], True)
    assert "The kit itself failed" in part.log


@pytest.mark.parametrize("error", [RecursionError("too deep"), KeyError("x"), MemoryError(), TypeError("y")])
def test_a_submission_that_breaks_the_kit_stops_nobody_else(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has no verdict, with a sentence, and the grading of the class goes on."""
    monkeypatch.setattr(grading, "report", _raise(error))
    part = _judged(monkeypatch, tmp_path)
    assert (part.verdict, part.kit_failed) == (Outcome.INCONCLUSIVE, True)
    assert part.problem.startswith("No verdict, because judging failed: The kit itself failed")
    assert Grade("ada", parts={2: part}).kit_failed

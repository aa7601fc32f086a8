"""What a student has reached is kept, and told by `chatlab status`; `reset` and `solution` go by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.check.progress import Kept, Progress, digest_of, home_of
from harness.cli.main import cli
from harness.judged.handed_out import pristine
from harness.running.run import Case, Run
from harness.verdict.outcome import Outcome, StepResult
from harness.verdict.steps import points_for, steps_of

STUB = "".join(pristine(2).values())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of exercise 2, as it was handed out, in the current folder's exercises."""
    path = tmp_path / "exercises" / "ex2_ordering" / "sequencer.py"
    path.parent.mkdir(parents=True)
    path.write_text(STUB)
    monkeypatch.chdir(tmp_path)
    return path


def run_of(outcome: Outcome, case: Case | None = None) -> Run:
    """A run of exercise 2 in which all steps have this outcome."""
    steps = [
        StepResult(step, outcome, of if outcome is Outcome.PASSED else 0, of, None)
        for step in steps_of(2)
        if (of := points_for(step, "sequencer"))
    ]
    world = "sim" if case else "live"
    return Run(2, "7", world, "sequencer.py", 1.0, steps, [], [], 0.0, [], component="sequencer", case=case)


def chatlab(*words: str) -> Result:
    """What a command says."""
    return CliRunner().invoke(cli, words, standalone_mode=False)


def test_a_pass_is_kept_and_what_comes_later_is_told(file: Path) -> None:
    """A pass counts when it was live, stays when the file is changed, and the first time is what is told."""
    progress = Progress(home_of(file.parents[1]))
    assert "not begun" in chatlab("status").output
    file.write_text("# begun\n")
    assert "begun, not judged" in chatlab("status").output
    progress.note([run_of(Outcome.PASSED, Case(2, "7"))], {2: digest_of(file)})
    assert "10 of 10 points, judged" in chatlab("status").output
    progress.note([run_of(Outcome.FAILED)], {2: digest_of(file)})
    assert "failed: 2.1, 2.2" in chatlab("status").output
    progress.note([run_of(Outcome.PASSED)], {2: digest_of(file)})
    first = progress.read().of(2, "python")
    assert "2  Message ordering  passed" in chatlab("status").output
    file.write_text("# worse\n")
    progress.note([run_of(Outcome.FAILED)], {2: digest_of(file)})
    now = progress.read().of(2, "python")
    assert first is not None
    assert now is not None
    assert now.passed_at == first.passed_at > 0
    assert "changed since (0 of 10 points" in chatlab("status").output
    assert "réussi" in chatlab("status", "--lang", "fr").output


def test_a_file_that_cannot_be_read_is_set_aside(file: Path) -> None:
    """Nothing is lost: it gets another name, which is told, and a new one is begun."""
    kept = file.parents[2] / ".chatlab" / "progress.json"
    kept.parent.mkdir()
    kept.write_text('{"reached": 3}')
    assert "unreadable-progress.json" in chatlab("status").stderr
    assert kept.with_name("unreadable-progress.json").read_text() == '{"reached": 3}'
    assert Progress(home_of(file.parents[1])).read() == Kept()


@pytest.mark.parametrize(
    ("folder", "home"),
    [("a/exercises", "a"), ("a/exercises/typescript/src", "a"), ("a/mine", "a"), ("a/src", "a")],
)
def test_it_is_kept_beside_the_exercises(tmp_path: Path, folder: str, home: str) -> None:
    """In one place, from whatever folder a command is given."""
    assert home_of(tmp_path / folder) == tmp_path / home


def test_reset_keeps_what_was_written(file: Path) -> None:
    """The file is as it was handed out; what had been written is in the file that is named."""
    file.write_text("# mine\n")
    told = chatlab("reset", "2").output
    assert file.read_text() == STUB
    (kept,) = (file.parents[2] / ".chatlab" / "reset").iterdir()
    assert kept.read_text() == "# mine\n"
    assert kept.name in told
    assert "nothing was changed" in chatlab("reset", "2").output
    file.unlink()
    assert chatlab("reset", "2").return_value == 0
    assert file.read_text() == STUB


def test_the_solution_is_for_those_who_have_passed(file: Path) -> None:
    """Before, it is shown only to whoever asks to peek."""
    refused = chatlab("solution", "2")
    assert refused.return_value == 1
    assert "--peek" in refused.stderr
    assert "class Sequencer" in chatlab("solution", "2", "--peek").output
    assert "export class Sequencer" in chatlab("solution", "2", "--peek", "--track", "typescript").output
    Progress(home_of(file.parents[1])).note([run_of(Outcome.PASSED)], {2: digest_of(file)})
    assert "class Sequencer" in chatlab("solution", "2").output

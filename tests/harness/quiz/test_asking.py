"""`chatlab quiz` asks, judges, explains and remembers; what is wrong with its use is told."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.quiz import ours, progress
from harness.quiz.asking import _chosen
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import EXERCISES

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-P", "-m", "harness.cli.main", "quiz", "--file", "two.toml"]
TWO = """
[[questions]]
id = "a"
type = "MultipleChoice"
prompt.prompt = "Which one?"
prompt.distractors = ["two", "three"]
answer.answer = "one"
context = "Because it is the first."
prompt.sortAnswers = true

[[questions]]
id = "b"
type = "ShortAnswer"
prompt.prompt = "Which number?"
answer.answer = "8"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own, with a quiz."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHATLAB_LANG", raising=False)
    (tmp_path / "two.toml").write_text(TWO)
    return tmp_path


class Quizzed:
    """Runs the command in this process, with lines for its standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, lines: str = "") -> tuple[object, str, str]:
        """The exit code, and what was printed."""
        read, write = os.pipe()
        os.write(write, lines.encode())
        os.close(write)
        self._monkeypatch.setattr(sys, "argv", ["chatlab", "quiz", *arguments])
        with os.fdopen(read, encoding="utf-8") as stdin:
            self._monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(SystemExit) as ended:
                main()
        return ended.value.code, *self._capsys.readouterr()


@pytest.fixture
def quizzed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Quizzed:
    """The command."""
    return Quizzed(monkeypatch, capsys)


def kept() -> dict[str, bool]:
    """What is remembered."""
    return progress.known(print)


def test_right_and_wrong_are_told_and_remembered(quizzed: Quizzed) -> None:
    """With the right answer, why it is one, and how many were right; the wrong ones are named."""
    code, out, err = quizzed("--file", "two.toml", lines="3\n 8 \n")
    assert (code, err) == (0, "")
    assert "✗ Not right. The answer:\n    1. one\n    Because it is the first." in out
    assert "> 8" in out.replace(">  8", "> 8")
    assert "✓ Right." in out
    assert "1 of 2 right.\nTo be looked at again:\n  a  Which one?\n" in out
    assert "chatlab quiz --file two.toml --again" in out
    assert kept() == {"two:a": False, "two:b": True}


def test_what_was_wrong_is_asked_again(quizzed: Quizzed) -> None:
    """With --again nothing else is; without, it comes before what is known; at last, nothing is left."""
    quizzed("--file", "two.toml", lines="1\n9\n")
    _, out, _ = quizzed("--file", "two.toml", lines="8\n")
    assert out.index("Which number?") < out.index("Which one?")
    assert "(2 questions; 1 answered right before comes last)" in out
    quizzed("--file", "two.toml", lines="1\n9\n")
    _, out, _ = quizzed("--file", "two.toml", "--again", lines="8\n")
    assert "Which one?" not in out
    assert "1 of 1 right.\n" in out
    assert quizzed("--file", "two.toml", "--again")[1].startswith("There is nothing to ask again")


def test_an_answer_that_is_not_known_is_shown(quizzed: Quizzed) -> None:
    """By a question mark; it counts as wrong."""
    code, out, _ = quizzed("--file", "two.toml", lines="?\n?\n")
    assert code == 0
    assert "– The answer:\n    1. one" in out
    assert "0 of 2 right." in out


def test_the_end_of_the_input_ends_it(quizzed: Quizzed) -> None:
    """With what is known so far, and exit code 0, as Ctrl-D does in a terminal; also at once."""
    code, out, _ = quizzed("--file", "two.toml", lines="1\n")
    assert code == 0
    assert "1 of 1 right. 1 question was not asked." in out
    assert quizzed("1")[1].endswith("No question was answered.\n")


@pytest.mark.parametrize("line", ["x", "0", "4", "1 2", "", "1.5", "²"])
def test_a_line_that_is_no_answer_is_told(line: str, quizzed: Quizzed) -> None:
    """Where nobody can correct it, it ends the quiz: those after it would answer other questions."""
    code, _, err = quizzed("--file", "two.toml", lines=f"{line}\n8\n")
    assert code == 64
    assert "line 1 of standard input is no answer. Type a number from 1 to 3" in err
    assert kept() == {}


def test_numbers_are_read_as_people_write_them() -> None:
    """With spaces or commas between them, each once; several only where several may be right."""
    choices = ["a", "b", "c"]
    for line in ("1 3", "1,3", " 1, 3. ", "3;1;3"):
        assert set(_chosen(line, choices, True)) == {"a", "c"}
    assert _chosen("1 3", choices, False) == ()
    assert _chosen("2.", choices, False) == ("b",)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("number", EXERCISES)
def test_our_own_questions_can_all_be_answered(number: int, language: str, quizzed: Quizzed) -> None:
    """Right in the order of a seed: all are right, and each names the step and the handout."""
    questions = ours.quiz(number, language).questions
    lines = []
    for each in questions:
        places = [each.choices(7).index(right) + 1 for right in each.answers] if each.is_choice else []
        lines.append(" ".join(map(str, places)) or each.answers[-1].upper())
    asked = ["--seed", "7", "--lang", language]
    code, out, err = quizzed(str(number), *asked, lines="\n".join(lines))
    assert (code, err) == (0, "")
    score = texts(language).say("quiz.score", right=len(questions), asked=len(questions))
    assert out.endswith(f"\n{score}\n")
    assert out.replace("\n    ", " ").count(ours.handout_of(f"{number}.1", language)) == len(questions)


def test_a_file_with_defects_is_told_and_asked(quizzed: Quizzed, folder: Path) -> None:
    """What is wrong goes to standard error; with --lint nothing is asked, and the exit code is 64."""
    (folder / "bad.toml").write_text(TWO.replace('"two"', '"one"'))
    code, out, err = quizzed("--file", "bad.toml", lines="1\n8\n")
    assert (code, "2 of 2 right." in out) == (0, True)
    assert err.startswith("bad.toml, line 2, question a: a right answer stands among the distractors")
    code, out, linted = quizzed("--file", "bad.toml", "--lint")
    assert (code, out, linted) == (64, "", err)
    assert quizzed("--file", "two.toml", "--lint")[:2] == (0, "2 questions, and nothing wrong with them.\n")
    assert quizzed("--lint")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["1", "--file", "two.toml"], "exclude each other"),
        (["--file", "none.toml"], "none.toml cannot be read"),
        (["--file", "none.toml", "--lang", "fr"], "none.toml est illisible"),
        (["--file", "empty.toml"], "no [[questions]]"),
        (["--file", "rust.toml"], "no question that could be asked"),
        (["7"], "7 is not in the range"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], words: str, quizzed: Quizzed, folder: Path) -> None:
    """With exit code 64, and nothing is remembered."""
    (folder / "empty.toml").write_text("")
    (folder / "rust.toml").write_text('[[questions]]\ntype = "Tracing"\n')
    code, out, err = quizzed(*arguments)
    assert (code, out) == (64, "")
    assert words in err
    assert not (folder / ".chatlab").exists()


def test_answers_that_cannot_be_remembered(quizzed: Quizzed, folder: Path) -> None:
    """One sentence says so, once, and the questions go on."""
    (folder / ".chatlab").write_text("a file where the folder should be")
    code, out, _ = quizzed("--file", "two.toml", lines="3\n8\n")
    assert code == 0
    assert out.count("cannot be remembered") == 1
    assert "1 of 2 right." in out
    assert "--again" not in out


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"answers": 2}', '{"answers": {"two:a": 3}}'],
)
def test_a_damaged_memory_counts_as_none(text: str, quizzed: Quizzed, folder: Path) -> None:
    """It is set aside, and written anew."""
    (folder / ".chatlab").mkdir()
    progress.PATH.write_text(text)
    assert quizzed("--file", "two.toml", lines="1\n")[0] == 0
    assert kept() == {"two:a": True}
    assert progress.PATH.with_name("unreadable-quiz.json").read_text() == text
    names = sorted(each.name for each in progress.PATH.parent.iterdir())
    assert names == [".gitignore", "quiz.json", "unreadable-quiz.json"]


def test_ctrl_c_tells_what_is_known(folder: Path) -> None:
    """And ends with exit code 130; what was answered is remembered."""
    process = subprocess.Popen(
        COMMAND,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin is not None
        process.stdin.write("1\n")
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while not kept() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "Interrupted.\n\n1 of 1 right. 1 question was not asked." in out


def test_a_terminal_may_correct_an_answer(folder: Path) -> None:
    """A line that is none is asked again, and Ctrl-D ends it."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        COMMAND, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    out = ""
    answers = iter(["7\n", "1\n", "\x04"])
    with process:
        while read := _read(terminal):
            out += read
            if out.endswith("> "):
                os.write(terminal, next(answers).encode())
    os.close(terminal)
    assert process.returncode == 0
    assert "Type a number from 1 to 3" in out
    assert "1 of 1 right." in out


def _read(terminal: int) -> str:
    """What was printed since the last time; "" at the end."""
    try:
        return os.read(terminal, 65536).decode()
    except OSError:  # how Linux tells the end
        return ""

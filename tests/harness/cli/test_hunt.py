"""`chatlab hunt`: what it prints at each step, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import click
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.hunt import judging
from harness.hunt.check_file import CheckFile
from harness.hunt.judging import Judgement, NeverEnds, Tally
from harness.hunt.levels import LEVELS, Level
from harness.hunt.play import Failure, Played
from harness.judged.process import free_port
from harness.verdict.outcome import Text
from harness.zoo.right import RIGHT
from lab.command import EXIT_USAGE
from tests.harness.cli.test_main import CHATLAB

FAILURE = Failure("test_level1", 14, "assert heard", Text("compared", {"left": "[]", "right": "['x']"}))
Found = Callable[[Level], Judgement]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own."""
    monkeypatch.chdir(tmp_path)


def hunt(*arguments: str) -> tuple[int, str]:
    """Run the command; its exit code, and what it printed."""
    result = CliRunner().invoke(cli, ["hunt", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, re.sub(r"\s+", " ", result.output)


def tally(server: str, of: int, failed: int) -> Tally:
    """So many plays with a server, of which the first ones failed."""
    plays = [Played(server, FAILURE if n < failed else None, "I see\n" if n == 0 else "") for n in range(of)]
    return Tally(server, of, plays)


def judged(monkeypatch: pytest.MonkeyPatch, quarry: int, kin: int = 0, right: tuple[str, ...] = ()) -> None:
    """Let each check fail in so many plays with the quarry, with some kin, and with these right servers."""

    def judge(check: CheckFile, level: Level, *_: object) -> Judgement:
        return Judgement(
            tally(level.quarry, level.plays, quarry),
            [tally(name, level.plays, level.plays * (n < kin)) for n, name in enumerate(level.kin)],
            [tally(name, level.plays, int(name in right)) for name in RIGHT],
        )

    monkeypatch.setattr(judging, "judge", judge)


def test_a_level_is_begun_and_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the overview to the animal's name, in the order of the handout."""
    code, said = hunt()
    assert code == 0
    assert "Next: chatlab hunt 1" in said
    code, said = hunt("1")
    assert code == 0
    assert "hunt/level1.py. It is new" in said
    assert "chatlab hunt 1 --check" in said
    assert "exercises/hunt/README.md" in said
    assert "stays as it is" in hunt("1")[1]
    assert "1: begun" not in hunt()[1], "the row names its title"
    assert "1 Enter: begun (0 checks, 0 hints)" in hunt()[1]
    judged(monkeypatch, 0)
    code, said = hunt("1", "--check")
    assert code == 1
    assert "not caught. Your check passed in each play" in said
    assert "What does the user do" in said
    judged(monkeypatch, 3, kin=1)
    code, said = hunt("1", "--check")
    assert code == 0
    assert "caught, in 3 of 3 plays. line 14: assert heard It was [] on the left" in said
    assert "It was `sender_is_left_out`: A message is sent to all members except its sender." in said
    assert "A message was lost (lost)" in said
    assert "rule O in lab/PROTOCOL.md; the course" in said
    assert "| I see" in said
    assert said.endswith("Of its kin you have caught: newcomers_miss_the_first. Next: chatlab hunt 2 ")
    assert "Enter: sender_is_left_out, and 1 of its 1 kin (2 checks, 0 hints)" in hunt()[1]


def test_a_subfolder_has_no_hunt_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a level writes is beside the exercises, never among them; files are found from where one is."""
    folder = tmp_path / "exercises" / "ex1_chat"
    folder.mkdir(parents=True)
    (folder / "pubsub.py").touch()
    monkeypatch.chdir(folder)
    assert hunt("1")[0] == 0
    assert Path.cwd() == folder
    assert (tmp_path / "hunt" / "level1.py").is_file()
    assert [each.name for each in folder.iterdir()] == ["pubsub.py"]
    judged(monkeypatch, quarry=3)
    (folder / "mine.py").write_text("async def test_a(chat_client):\n    assert await chat_client('ada')\n")
    code, said = hunt("1", "--check", "mine.py")
    assert (code, str(folder / "mine.py") in said) == (0, True), said


def test_nobody_is_named_who_was_not_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a level is solved, no text has the name of one of its animals; then those that were caught."""
    hunt("2")
    names = (LEVELS[2].quarry, *LEVELS[2].kin)
    judged(monkeypatch, 1, kin=2)
    for arguments in ((), ("2",), ("2", "--hint"), ("2", "--check")):
        said = hunt(*arguments)[1]
        assert not any(name in said for name in names), said
    assert "failed in 1 of 3 plays; it takes more than half" in said
    assert "matter of luck" in said
    judged(monkeypatch, 2, kin=1)
    said = hunt("2", "--check")[1]
    assert names[1] in said
    assert names[2] not in said
    assert "Still at large: 1 of its kin. A wider check catches it, too." in said


def test_a_check_that_is_too_strict_solves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is special about the right server is told; one that always fails has caught nobody."""
    hunt("2")
    judged(monkeypatch, 3, right=("other_habits",))
    code, said = hunt("2", "--check")
    assert code == 1
    assert "Correct servers: 1 of 5 fail your check" in said
    assert "a server with habits of its own: it lists who has left as offline" in said
    assert "Your check asks for more than lab/PROTOCOL.md does" in said
    judged(monkeypatch, 3, right=tuple(RIGHT))
    code, said = hunt("2", "--check")
    assert code == 1
    assert "fails with every server, the correct ones included" in said
    assert "caught" not in said


def test_hints_come_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them, in the language asked for."""
    shown = [hunt("5", "--hint", "--lang", "fr")[1] for _ in range(4)]
    assert [each.count(". ") > 0 for each in shown] == [True] * 4
    assert ["Indice 2 sur 3" in each for each in shown] == [True, False, False, False]
    assert ["create_task" in each for each in shown] == [False, True, True, True]
    assert shown[2] == shown[3]
    assert json.loads(Path(".chatlab/hunt.json").read_text())["levels"]["5"]["hints"] == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["9"], "9 is not in the range 1<=x<=5"),
        (["--check"], "need the NUMBER of a level"),
        (["--port", "8081"], "need the NUMBER of a level"),
        (["1", "--check", "--serve"], "--check, --serve exclude each other"),
        (["1", "--check", "--lang", "fr"], "hunt/level1.py n’existe pas"),
        (["1", "--check", "bad.py"], "bad.py, line 1: Python does not understand this"),
        (["1"], "hunt/level1.py could not be written"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], words: str) -> None:
    """In a sentence, with the exit code for it."""
    Path("bad.py").write_text("(")
    if arguments == ["1"]:
        Path("hunt").write_text("in the way")
    with pytest.raises(click.ClickException) as raised:
        hunt(*arguments)
    assert isinstance(raised.value, click.UsageError) or raised.value.exit_code == EXIT_USAGE
    assert words in raised.value.format_message()


def test_a_test_that_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its line, and no verdict."""

    def judge(check: CheckFile, level: Level, *_: object) -> Judgement:
        why = Text("hangs_busy", {"seconds": 5})
        raise NeverEnds(level.quarry, Failure("test_level1", 9, "while True: pass", why, hangs=True))

    monkeypatch.setattr(judging, "judge", judge)
    hunt("1")
    code, said = hunt("1", "--check")
    assert code == 1
    assert "test_level1 did not end by itself, with the unnamed server." in said
    assert "hunt/level1.py, line 9: while True: pass" in said


@contextmanager
def serving(port: int) -> Iterator[subprocess.Popen[str]]:
    """The unnamed server of level 4."""
    command = [*CHATLAB, "hunt", "4", "--serve", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.live
def test_the_unnamed_server_can_be_looked_at() -> None:
    """Its page is there, and neither its command nor what it prints has its name; SIGINT ends it in order."""
    port = free_port()
    with serving(port) as process:
        assert process.stdout is not None
        said = ""
        while "listening on ws://" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        with urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"<title>Chat</title>" in page.read()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
        assert process.returncode == 0, rest
        assert f"http://127.0.0.1:{port}/" in said
        assert f"kill {process.pid}" in said
        assert LEVELS[4].quarry not in said + rest + str(process.args)
    assert Path(".chatlab/hunt/level4/messages.db").is_file()


@pytest.mark.live
@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal")
def test_ctrl_c_ends_all_that_plays(tmp_path: Path) -> None:
    """At once, with the exit code for it; nothing is left, and nothing is printed but one word."""
    Path("mine.py").write_text("async def test_a(chat_client):\n    while True: pass\n")
    command = [*CHATLAB, "hunt", "1", "--check", "mine.py"]
    env = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "tmp").glob("chatlab-hunt-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "interrupted\n")
    assert list((tmp_path / "tmp").iterdir()) == []

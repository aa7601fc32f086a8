"""What each command makes of servers and components that mean harm.

    python -m tests.hostile [--with check|sim|doctor|grade|pytest|load] [--of servers|components] [--every N]
                            [--most SECONDS] [--json FILE] [WORD ...]

Each is played in a folder of its own by the commands asked for (all of them, unless some are named; `sim` is
a check in the simulated world), one after the other, and measured from outside. A line is marked by what is
wrong with it. With words, only those are played whose names contain one of them; of these, each Nth.
Exit codes: 0 if no line is wrong, else 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from tests.hostile.cases import Hostile, components, servers
from tests.wrong_code.measured import CHATLAB, Played, play

SECONDS = 60.0
"""Seconds that any command may take on any of them."""
MEBIBYTES = 500
"""Memory that the kit's own processes may take."""
_SERVER = ["--server", "python3 server.py"]
_TEST = """
async def test_what_is_said_is_heard(chat_client, history):
    ada, bob = await chat_client("ada"), await chat_client("bob")
    await ada.join("red")
    await bob.join("red")
    await ada.say("red", "hello")
    await bob.hears("red", "hello")
    history.check()
"""
_PYTEST = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
COMMANDS = ("check", "sim", "doctor", "grade", "pytest", "load")


def words_for(command: str, case: Hostile) -> list[str] | None:
    """The words of a command that judges this one; None if it cannot."""
    exercise = str(case.exercise or 2)
    named = ["--submission", "it"] if case.exercise else _SERVER
    match command:
        case "check":
            return [*CHATLAB, "check", exercise, *named, "--seed", "1"]
        case "sim" if case.exercise:
            return [*CHATLAB, "check", exercise, *named, "--seed", "1", "--world", "sim"]
        case "grade":
            return [*CHATLAB, "grade", "class", *(["--exercises", exercise] if case.exercise else [])]
        case "pytest" if case.exercise:
            return [*_PYTEST, "--lab-submission=it", f"--lab-exercises={exercise}", "--lab-seed=1"]
        case "pytest":
            return [*_PYTEST, "--lab-server=python3 server.py", "test_mine.py"]
        case "doctor" if not case.exercise:
            return [*CHATLAB, "doctor", *named]
        case "load" if not case.exercise:
            return [*CHATLAB, "load", *named, "--time", "6s", "--users", "20", "--seed", "1"]
    return None


def write(case: Hostile, folder: Path) -> None:
    """Write its files, the class that it is of, and a test."""
    for place in (folder, folder / "class" / "ada"):
        for path, text in case.files.items():
            file = place / (path.removeprefix("it/") if place != folder else path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    if not case.exercise:
        (folder / "class" / "ada" / "submission.toml").write_text('run = "python3 server.py"\n')
    (folder / "test_mine.py").write_text(_TEST)


def measured(case: Hostile, command: str, most: float) -> Played | None:
    """Play one by one command; None if that one cannot."""
    words = words_for(command, case)
    if words is None:
        return None
    with tempfile.TemporaryDirectory(prefix="chatlab-hostile-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write(case, folder)
        played = play(words, folder, most)
        if command == "grade":
            reports = (folder / "class-grades").rglob("*.txt")
            played.output += "".join(each.read_text(errors="replace") for each in reports)
        return played


def wrong_with(case: Hostile, command: str, played: Played) -> Iterator[str]:
    """What is wrong, in a word each."""
    if played.exit is None:
        yield "ENDED"
    elif played.exit not in (0, 1, 2):
        yield f"EXIT {played.exit}"
    elif played.exit == 0 and command in ("check", "sim", "pytest", "load") and not case.passes:
        yield "PASSED"
    if played.seconds > SECONDS:
        yield "SLOW"
    if played.ours > MEBIBYTES:
        yield "LARGE"
    if played.left:
        yield "LEFT"
    if played.has_traceback:
        yield "TRACEBACK"
    if played.raw:
        yield "RAW"


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--with", dest="commands", choices=COMMANDS, action="append")
    parser.add_argument("--of", choices=("servers", "components"))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--most", type=float, default=90.0)
    parser.add_argument("--json")
    parser.add_argument("--show", action="store_true", help="show what is printed, too")
    parser.add_argument("words", nargs="*")
    asked = parser.parse_args()
    of = {"servers": servers, "components": components}
    every = [case for kind in of if asked.of in (None, kind) for case in of[kind]()]
    named = [case for case in every if not asked.words or any(word in case.name for word in asked.words)]
    found, is_wrong = [], False
    for case in named[:: asked.every]:
        for command in asked.commands or COMMANDS:
            played = measured(case, command, asked.most)
            if played is None:
                continue
            wrong = " ".join(wrong_with(case, command, played))
            is_wrong |= bool(wrong)
            print(
                f"{'!' if wrong else ' '}{command:6} exit {played.exit!s:4} {played.seconds:6.1f} s "
                f"{played.ours:5} MB + {played.judged:5} MB  {case.name:60} {wrong}",
                *played.left[:3],
                flush=True,
            )
            if asked.show:
                print(ascii(played.output[-6000:]).replace("\\n", "\n"))
            found.append({"name": case.name, "command": command, "wrong": wrong, **asdict(played)})
            found[-1]["output"] = played.output[-3000:]
            if asked.json:
                Path(asked.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
    return 1 if is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Replay files: a failure in the simulated world, which can be played again on any machine.

A file holds the case and the target, which determine the run; the history of that run; and what else could
have changed since: the versions of Python, of the kit and of websockets, and the server's own files.
"""

from __future__ import annotations

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from harness import version
from harness.history.as_json import from_json, to_json
from harness.history.events import Began, Event, History, Noted, Stalled, Step, seen_outside
from harness.history.frames import TooMuch, is_too_much
from harness.judged.targets import Target, python_program
from harness.running.run import Case, Run
from harness.scenarios.common import FULL
from harness.scenarios.script import is_playable
from harness.texts.problem import Problem
from harness.verdict.steps import EXERCISES

FORMAT = 2
_FAR = 2
"""Folders up within which a path is that of the student's own work."""
MAX_HISTORY = 1024 * 1024
"""The largest history, in bytes, that is written into a file."""


_OF_ANY_FORM = ("frame", "value", "detail")
"""Parts of an event that may hold any JSON, also where somebody has changed the file."""


class BadReplay(Problem):
    """A file that cannot be played again; the text says why."""


class Replay(Struct):
    """The content of a replay file."""

    format: int
    anomaly: str
    case: Case
    target: Target
    versions: dict[str, str]
    files: dict[str, str]
    """The server's own files, and the SHA-256 of each."""
    digest: str
    history: History = field(default_factory=list)


def of(run: Run, target: Target, anomaly: str) -> Replay:
    """The replay of a simulated run, which has its history."""
    assert run.case is not None, "only simulated runs can be played again"
    here = _relative(target, Path.cwd())
    seen = seen_outside(run.history)  # the calls are recorded again when it is played
    history = seen if len(to_json(seen)) <= MAX_HISTORY else []  # the digest is enough to compare it
    case = replace(run.case, until=None)  # by then its server may be right
    return Replay(FORMAT, anomaly, case, here, versions(), files(target), run.digest, history)


def write(replay: Replay, path: Path) -> None:
    """Write the file. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_json(replay) + b"\n")


def read(path: Path) -> Replay:
    """Read a file. Raises BadReplay."""
    try:
        replay = from_json(path.read_bytes(), Replay)
        if any(is_too_much(getattr(event, name, None)) for event in replay.history for name in _OF_ANY_FORM):
            raise TooMuch
    except OSError as error:
        raise BadReplay("replay.unreadable", path=path, why=error.strerror) from error
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadReplay("replay.no_replay", path=path, why=error) from error
    if replay.format != FORMAT:
        raise BadReplay("replay.other_format", path=path, format=replay.format, readable=FORMAT)
    is_exercise = replay.case.exercise in EXERCISES and 0 < replay.case.size <= FULL
    if not is_exercise or python_program(replay.target.command or ("",)) is None:
        raise BadReplay("replay.unplayable", path=path)
    if replay.case.script is not None and not is_playable(replay.case.script):
        raise BadReplay("replay.bad_scene", path=path)
    folder = Path.cwd() / replay.target.cwd
    if not folder.is_dir():
        raise BadReplay("replay.no_folder", path=path, folder=folder)
    return replace(replay, target=replace(replay.target, cwd=str(folder)))


def versions() -> dict[str, str]:
    """What a history depends on besides the server."""
    return {
        "python": platform.python_version(),
        "chat-lab": version(),
        "websockets": metadata.version("websockets"),
    }


def files(target: Target) -> dict[str, str]:
    """The SHA-256 of each of the target's files, by the words of its command that name them."""
    found = {}
    for word in (target.command or ())[1:]:
        path = Path(target.cwd) / (word.partition("=")[2] or word)  # COMPONENT=FILE, or FILE
        if path.is_file():
            found[_portable(os.path.abspath(path), Path.cwd())] = hashlib.sha256(
                path.read_bytes()
            ).hexdigest()
    return found


def changes(replay: Replay) -> list[tuple[str, str, str]]:
    """What has changed since the replay was written: name, old value, new value."""
    now = versions()
    found = [(name, was, now.get(name, "–")) for name, was in replay.versions.items() if now.get(name) != was]
    present = files(replay.target)
    for name, was in replay.files.items():
        if present.get(name) != was:
            found.append((name, was[:12], present.get(name, "–")[:12]))
    return found


def first_difference(one: History, other: History) -> tuple[Event | None, Event | None]:
    """The first events in which two histories differ, without calls; None where one of them has ended."""
    one, other = _told(one), _told(other)
    for mine, theirs in zip(one, other, strict=False):
        if to_json(mine) != to_json(theirs):
            return mine, theirs
    shorter = min(len(one), len(other))
    return (one[shorter] if len(one) > shorter else None, other[shorter] if len(other) > shorter else None)


def _told(history: History) -> History:
    """What reports have words for."""
    return [event for event in seen_outside(history) if not isinstance(event, Began | Noted | Stalled | Step)]


def _relative(target: Target, base: Path) -> Target:
    """The target with paths relative to a folder, and without what only this machine knows."""
    label, _, *words = [_portable(word, base) for word in (target.label, *(target.command or ()))]
    command = ("python", *words)
    cwd = os.path.relpath(target.cwd, base)
    return replace(target, label=label, command=command, cwd=cwd, uses={}, remarks=())


def _portable(word: str, base: Path) -> str:
    """A path, or COMPONENT=FILE, as seen from a folder; what is far from there, or no path, as it is."""
    option, equals, path = word.rpartition("=")
    if not os.path.isabs(path):
        return word
    near = os.path.relpath(path, base)
    return word if near.split(os.sep).count("..") > _FAR else f"{option}{equals}{near}"

"""A class of nine submissions, and how each must be graded."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from harness.submissions.fingerprints import Rules
from harness.submissions.listing import HandIn
from harness.submissions.staging import stage
from harness.submissions.submission import Submission
from harness.verdict.steps import COMPONENTS, EXERCISES

ROOT = Path(__file__).parent.parent.parent

Author = Callable[[Path], None]


def _right(folder: Path) -> None:
    for slug in EXERCISES.values():
        shutil.copytree(ROOT / "solutions" / slug, folder / slug)


def _stubs(folder: Path) -> None:
    for slug in EXERCISES.values():
        shutil.copytree(ROOT / "exercises" / slug, folder / slug)


def _with_presence(old: str, new: str) -> Author:
    """The model answers, with a piece of the third exercise's file replaced."""

    def write(folder: Path) -> None:
        _right(folder)
        path = folder / EXERCISES[3] / f"{COMPONENTS[3]}.py"
        source = path.read_text(encoding="utf-8")
        assert old in source
        path.write_text(source.replace(old, new, 1), encoding="utf-8")

    return write


def _whole_server(folder: Path) -> None:
    """The reference server by another name, as if somebody had written it: a server of its own."""
    shutil.copytree(ROOT / "lab", folder / "chat", ignore=shutil.ignore_patterns("__pycache__"))
    for path in (folder / "chat").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"\blab(?=\.\w|\s+import)", "chat", source), encoding="utf-8")
    (folder / "submission.toml").write_text(f"run = '\"{sys.executable}\" -m chat'\n")


def _empty(folder: Path) -> None:
    folder.mkdir()


_SWEEP = "    def sweep(self, now: float) -> list[Change]:\n"
_LEFT = "    def left(self, connection: str, room: str, now: float) -> list[Change]:\n"

CLASS: dict[str, Author] = {
    "ada-right": _right,
    "bea-stubs": _stubs,
    "fay-syntax-error": _with_presence(_SWEEP, _SWEEP.replace(":\n", "\n")),
    "gus-endless-loop": _with_presence(_LEFT, _LEFT + "        while True:\n            pass\n"),
    "hana-output-flood": _with_presence(_SWEEP, _SWEEP + "        print('x' * 10_000_000)\n"),
    "ivan-exits": _with_presence(
        "class PresenceManager", "import os\n\nos._exit(0)\n\n\nclass PresenceManager"
    ),
    "jo-whole-server": _whole_server,
    "kim-empty": _empty,
    "lea-whole-kit": lambda folder: _right(folder / "exercises"),
}


def submission_of(folder: Path, place: Path, rules: Rules) -> Submission:
    """A submission's copy, and what is judged of it."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "job-0").mkdir(parents=True)
    hand_in = HandIn(folder.name, ((folder, folder.name),))
    return Submission(stage(hand_in, place / "job-0", 0, {}), rules, place / "kits", [])


def make(folder: Path, names: list[str] | None = None) -> Path:
    """Write the submissions (of these names, or all) into a folder."""
    folder.mkdir(exist_ok=True)
    for name in names or CLASS:
        CLASS[name](folder / name)
    return folder

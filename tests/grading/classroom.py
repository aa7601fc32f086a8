"""A class of twelve submissions, and how each must be graded."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from harness.verdict.steps import COMPONENTS, EXERCISES

ROOT = Path(__file__).parent.parent.parent

Author = Callable[[Path], None]


def _right(folder: Path) -> None:
    for slug in EXERCISES.values():
        shutil.copytree(ROOT / "solutions" / slug, folder / slug)


def _with_stub(exercise: int) -> Author:
    def write(folder: Path) -> None:
        _right(folder)
        shutil.rmtree(folder / EXERCISES[exercise])
        shutil.copytree(ROOT / "exercises" / EXERCISES[exercise], folder / EXERCISES[exercise])

    return write


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
    folder.mkdir()
    (folder / "submission.toml").write_text(f"run = '\"{sys.executable}\" -P -m lab'\n")


def _empty(folder: Path) -> None:
    folder.mkdir()


_SWEEP = "    def sweep(self, now: float) -> list[Change]:\n"
_LEFT = "    def left(self, connection: str, room: str, now: float) -> list[Change]:\n"

CLASS: dict[str, Author] = {
    "ada-right": _right,
    "bea-stub-1": _with_stub(1),
    "carl-stub-2": _with_stub(2),
    "dora-stub-3": _with_stub(3),
    "emil-stub-4": _with_stub(4),
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


def make(folder: Path, names: list[str] | None = None) -> Path:
    """Write the submissions (of these names, or all) into a folder."""
    folder.mkdir(exist_ok=True)
    for name in names or CLASS:
        CLASS[name](folder / name)
    return folder

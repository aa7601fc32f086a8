"""What `chatlab init` does: lay out what a folder lacks, and say what comes next."""

from __future__ import annotations

import shlex
from pathlib import Path

from msgspec import Struct

from harness.judged import typescript
from harness.judged.submissions import component_in, has_components
from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.texts import Texts
from harness.texts.problem import Problem
from harness.typescript.tools import NotReady, check_programs
from harness.workspace.bundle import write_missing
from harness.workspace.exercises import FOLDER, in_language, workspace

_FIRST = 1
"""The exercise to begin with."""


class LaidOut(Struct, frozen=True):
    """How many files were written, how many were there already, and what Node lacks ("" if nothing)."""

    written: int
    kept: int
    lacking: str = ""


def lay_out(folder: Path, track: str, words: Texts) -> LaidOut:
    """Write all files of a track that `folder` lacks. Raises Problem."""
    within = _exercises_around(folder.absolute())
    if within is not None:
        raise Problem("init.within", path=within)
    if folder.exists() and not folder.is_dir():
        raise Problem("init.no_folder", path=folder)
    bundle = workspace(track, words)
    written = write_missing(bundle, folder)
    return LaidOut(len(written), len(bundle.files) - len(written), _lacking(track, words))


def next_commands(folder: Path, track: str, asked: list[str], words: Texts) -> list[tuple[str, str]]:
    """What to type now, each with what it does. `asked` are options that reports should be given, too."""
    where = Path(FOLDER, *(("typescript",) if track == TYPESCRIPT else ()))
    both = has_components(folder / FOLDER) and typescript.has_components(
        folder / FOLDER / "typescript" / "src"
    )
    options = [*asked, *(["--track", TYPESCRIPT] if both and track == TYPESCRIPT else [])]
    edited = (
        where / "src" / typescript.file_of(_FIRST) if track == TYPESCRIPT else component_in(where, _FIRST)
    )
    handout = Path(FOLDER, component_in(Path(), _FIRST).parent, in_language("README.md", words.language))
    commands = []
    if folder.resolve() != Path.cwd().resolve():
        commands.append((shlex.join(["cd", str(folder)]), ""))
    if track == TYPESCRIPT:
        commands.append((f"npm ci --prefix {where.as_posix()}", words.say("init.packages")))
    does = words.say("init.watch", handout=handout.as_posix(), file=edited.as_posix())
    commands.append((shlex.join(["chatlab", "watch", str(_FIRST), *options]), does))
    commands.append((shlex.join(["chatlab", "hint", str(_FIRST), *options]), words.say("init.hint")))
    return commands


def _exercises_around(folder: Path) -> Path | None:
    """The folder with exercises that a new one would lie in."""
    for base in folder.resolve().parents:
        for place in (base, base / FOLDER):
            if has_components(place) or typescript.has_components(place / "typescript" / "src"):
                return place
    return None


def _lacking(track: str, words: Texts) -> str:
    if track == PYTHON:
        return ""
    try:
        check_programs()
    except NotReady as problem:
        return problem.said_in(words)
    return ""

"""Builds a server in TypeScript of the kit's files and a student's, and tells him what the compiler finds."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from harness.typescript import bounded, conformance
from harness.typescript.components import COMPONENTS, TYPES
from harness.typescript.diagnostics import Diagnostic, diagnostics_in, told
from harness.typescript.problems import NotBuilt
from harness.typescript.staging import Staged, stage
from harness.typescript.tools import ROOT, Tools
from lab.legible import both_ends

__all__ = ["SOLUTIONS", "Build", "NotBuilt", "build"]

SOLUTIONS = ROOT / "solutions" / "typescript"
"""The model answers, which stand in for components that are not judged."""
_SECONDS = 20.0
"""For the compiler: right code takes less than one."""


class Build(Struct, frozen=True):
    """A server in `folder`, which Node runs there as `dist/index.js`; or why there is none."""

    folder: Path
    refused: NotBuilt | None = None
    own: dict[str, Path] = {}
    """The student's files by their paths below `src`: his components first, then the modules they import."""

    @property
    def problem(self) -> str:
        """Why there is no server, as an English text of some lines; empty if there is one."""
        return str(self.refused or "")


def build(
    files: Mapping[str, Path],
    folder: Path,
    tools: Tools,
    *,
    shown: Callable[[Path], str] | None = None,
    solutions: Path = SOLUTIONS,
    seconds: float = _SECONDS,
) -> Build:
    """Build the server of the components in `files`, by name; the model answers are the others.

    `folder` is empty, or not there yet. `shown` gives a path as the student knows it.
    """
    shown = shown or _shown
    try:
        staged = stage(files, folder, tools, solutions, shown)
        own = {place: staged.originals[place] for place in staged.own}
        _compile([name for name in COMPONENTS if name in files], staged, tools, seconds, shown)
        _point_at_originals(staged)
    except NotBuilt as refused:
        return Build(folder, refused)
    return Build(folder, None, own)


def _compile(
    components: list[str], staged: Staged, tools: Tools, seconds: float, shown: Callable[[Path], str]
) -> None:
    """Raises NotBuilt for the first errors."""
    types = (staged.folder / "src" / f"{TYPES}.ts").read_text(encoding="utf-8")
    text, asked = conformance.questions(components, types)
    questions = staged.folder / "src" / f"{conformance.MODULE}.ts"
    questions.write_text(text, encoding="utf-8")
    words = [*tools.compiler, "--project", ".", "--pretty", "false", "--noEmitOnError", "--listFiles"]
    done = bounded.run(words, staged.folder, seconds)
    paths = ", ".join(shown(staged.originals[place]) for place in staged.own)
    if done.code is None:
        raise NotBuilt("typescript.compiler_hangs", path=paths, seconds=f"{seconds:.0f}")
    _check_what_was_read(done.output, staged, tools, paths)
    found = diagnostics_in(done.output)
    own = [each for each in found if each.file in staged.own]
    if own:
        raise _not_compiled(own, staged, shown)
    about = [each for each in found if each.file == f"{conformance.MODULE}.ts" and each.line in asked]
    if about:
        first = min(about, key=lambda each: (each.line, each.column))
        place = COMPONENTS[asked[first.line].component].file
        path, source = shown(staged.originals[place]), staged.own[place]
        said = f"{first.text} ({first.code})"
        key, params = conformance.answer(asked[first.line], path, source, said, first.code)
        raise NotBuilt(key, **params)
    if found:
        raise NotBuilt("typescript.kit_not_compiled", path=paths, told=_elsewhere(found[0]))
    if done.code != 0:
        lines = [each for each in f"{done.errors}\n{done.output}".splitlines() if each.strip()]
        raise NotBuilt(
            "typescript.compiler_failed", path=paths, why=both_ends(lines[0] if lines else "?", 200)
        )
    for each in (questions, *staged.folder.glob(f"dist/{conformance.MODULE}.*")):
        each.unlink()


def _check_what_was_read(output: str, staged: Staged, tools: Tools, paths: str) -> None:
    """Raise NotBuilt if the compiler has read a file of this machine's.

    There are many ways to name one (`types=` in a reference, escapes in a name), and errors show what is in
    it. The list of files comes last; where it was cut off, nothing is told of the errors before it.
    """
    places = [f"{each.resolve()}{os.sep}" for each in (staged.folder, tools.packages)]
    read = [line for line in output.splitlines() if os.path.isabs(line) and os.path.isfile(line)]
    elsewhere = [each for each in read if not os.path.realpath(each).startswith(tuple(places))]
    if elsewhere:
        raise NotBuilt("typescript.reads_elsewhere", path=paths, read=Path(elsewhere[0]).name)
    if len(output) >= bounded.MOST_OUTPUT:
        raise NotBuilt("typescript.compiler_failed", path=paths, why="too many errors")


def _not_compiled(own: list[Diagnostic], staged: Staged, shown: Callable[[Path], str]) -> NotBuilt:
    lines, left = told(own, staged.own, lambda place: shown(staged.originals[place]))
    if left:
        return NotBuilt("typescript.not_compiled_more", errors=lines, more=left)
    return NotBuilt("typescript.not_compiled", errors=lines)


def _elsewhere(error: Diagnostic) -> str:
    place = f"{error.file}, line {error.line}: " if error.file else ""
    return f"{place}{error.text} ({error.code})"


def _point_at_originals(staged: Staged) -> None:
    """Let the source maps name the files that were copied, so that Node shows these."""
    for path in sorted((staged.folder / "dist").rglob("*.js.map")):
        place = path.relative_to(staged.folder / "dist").as_posix().removesuffix(".js.map") + ".ts"
        if place not in staged.originals:
            continue
        about = json.loads(path.read_bytes())
        about["sources"] = [staged.originals[place].absolute().as_uri()]
        about.pop("sourceRoot", None)
        path.write_text(json.dumps(about), encoding="utf-8")


def _shown(path: Path) -> str:
    """A path as whoever gave the command knows it: from the current folder, if it is below that."""
    with contextlib.suppress(OSError, ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)

"""Lays a server's files out as the compiler wants them: the kit's own, and the student's among them.

A component is the student's, with the modules beside it that it imports; all else is the kit's, whatever lies
in the student's folder. What a component must not import is refused before anything is compiled.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from harness.typescript.components import COMPONENTS, TYPES
from harness.typescript.problems import NotBuilt
from harness.typescript.stand_ins import text_of_stand_in
from harness.typescript.tokens import Import, imports_in, relative_names_in
from harness.typescript.tools import Tools

_LARGEST = 1024 * 1024
"""Bytes of the largest file that somebody has written himself."""
_MOST_FILES = 200
"""Files of a student's at the most."""
_GIVEN = ("package.json", "tsconfig.json")
_MODULE = re.compile(r"\.[cm]?[jt]s$")
_OUTSIDE = re.compile(r"/|#|\\|[A-Za-z][A-Za-z0-9+.-]*:")
"""How the name of a module begins that is an absolute path, or a URL."""


class Staged(Struct):
    """The files below a folder's `src`, by their paths there such as `sequencer.ts`."""

    folder: Path
    originals: dict[str, Path]
    """Where each was copied from."""
    own: dict[str, str]
    """The student's, with their texts: the components first."""


Shown = Callable[[Path], str]
"""Gives a path as the student knows it."""


def stage(files: Mapping[str, Path], folder: Path, tools: Tools, solutions: Path, shown: Shown) -> Staged:
    """Lay out all files of a server in a folder. Raises NotBuilt."""
    components = {each.file: name for name, each in COMPONENTS.items()}
    given = _given(tools.project / "src", set(components))
    own = _Own(files, set(given), tools, shown)
    own.read()
    originals = dict(given)
    for file, name in components.items():
        if name not in files:
            originals[file] = solutions / file
    own_files = {place: path for place, (path, _) in own.found.items()}
    (folder / "src").mkdir(parents=True, exist_ok=True)
    for name in _GIVEN:
        shutil.copyfile(tools.project / name, folder / name)
    for place, path in originals.items():
        if place in components:
            text = text_of_stand_in(place, solutions)
            (folder / "src" / place).write_text(text, encoding="utf-8", newline="")
        else:
            shutil.copyfile(path, folder / "src" / place)
    texts = {place: text for place, (_, text) in own.found.items()}
    for place, text in texts.items():
        copy = folder / "src" / place
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text, encoding="utf-8", newline="")
    (folder / "node_modules").symlink_to(tools.packages.resolve(), target_is_directory=True)
    return Staged(folder, originals | own_files, texts)


def _given(source: Path, components: set[str]) -> dict[str, Path]:
    """The files of the server: `index.ts`, and what it imports, without what components import.

    A student works in the same folder, and may have put modules of his own there.
    """
    found: dict[str, Path] = {}
    waiting = ["index.ts", f"{TYPES}.ts"]
    while waiting:
        place = waiting.pop()
        if place in found or place in components or not (source / place).is_file():
            continue
        found[place] = source / place
        text = found[place].read_text(encoding="utf-8", errors="replace")
        waiting += [_place_of(each.name, place) for each in imports_in(text) if each.name.startswith(".")]
    return found


class _Own:
    """Collects what is the student's: his components, and whatever they import that lies beside them."""

    def __init__(self, files: Mapping[str, Path], given: set[str], tools: Tools, shown: Shown) -> None:
        self._files = {name: files[name].absolute() for name in COMPONENTS if name in files}
        self._given = {Path(name).stem for name in given}
        self._tools = tools
        self._shown = shown
        self.found: dict[str, tuple[Path, str]] = {}

    def read(self) -> None:
        """Raises NotBuilt."""
        for name, path in self._files.items():
            self.found[COMPONENTS[name].file] = path, self._text(path)
        for name, path in self._files.items():
            self._follow(name, path)

    def _follow(self, name: str, path: Path) -> None:
        """Take all that a component imports, directly or not."""
        folder, seen = path.parent, {COMPONENTS[name].file}
        waiting = [(COMPONENTS[name].file, path)]
        while waiting:
            place, file = waiting.pop(0)
            text = self.found[place][1]
            for each in imports_in(text):
                self._check(each, place, file, COMPONENTS[name].module)
            names = [*(each.name for each in imports_in(text)), *relative_names_in(text)]
            for module in names:
                there = _place_of(module, place)
                if not module.startswith(".") or there in seen or there.startswith(".."):
                    continue
                seen.add(there)
                if self._is_taken(there) or not os.path.lexists(folder / there):
                    continue
                self._take(there, folder / there, folder)
                waiting.append((there, folder / there))

    def _is_taken(self, place: str) -> bool:
        """Whether a file of this name is ours, or that of a component."""
        stem = place.removesuffix(".ts")
        return stem in self._given or stem in {each.module for each in COMPONENTS.values()}

    def _take(self, place: str, path: Path, folder: Path) -> None:
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
            raise NotBuilt("typescript.leads_out", path=self._shown(path), leads=os.path.realpath(path))
        text = self._text(path)
        known = self.found.get(place)
        if known is not None and known[1] != text:
            raise NotBuilt("typescript.same_name", path=self._shown(known[0]), other=self._shown(path))
        if len(self.found) >= _MOST_FILES:
            raise NotBuilt("typescript.many_files", path=self._shown(folder), most=_MOST_FILES)
        self.found.setdefault(place, (path, text))

    def _text(self, path: Path) -> str:
        """What is in a file. Raises NotBuilt for what nobody has written by hand."""
        try:
            if not path.is_file():
                raise NotBuilt("typescript.no_file", path=self._shown(path))
            if path.stat().st_size > _LARGEST:
                raise NotBuilt("typescript.too_large", path=self._shown(path))
            data = path.read_bytes()
        except OSError as error:
            raise NotBuilt("typescript.unreadable", path=self._shown(path), why=error.strerror) from error
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise NotBuilt("typescript.not_utf8", path=self._shown(path), line=line) from error

    def _check(self, found: Import, place: str, path: Path, component: str) -> None:
        """Raise NotBuilt for an import that a component must not have."""
        key = self._refusal(found.name, place, component)
        if key:
            raise NotBuilt(f"typescript.{key}", path=self._shown(path), line=found.line, module=found.name)

    def _refusal(self, name: str, place: str, component: str) -> str:
        """Why a component must not import a module of this name; empty if it may."""
        if name.startswith("node:"):
            return ""  # the compiler knows them
        if not name.startswith("."):
            is_outside = _OUTSIDE.match(name) is not None
            return "outside" if is_outside else "" if self._is_installed(name) else "no_package"
        there = _place_of(name, place).removesuffix(".ts")
        if there.startswith(".."):
            return "outside"
        if there in {each.module for each in COMPONENTS.values()} - {component}:
            return "own"
        return "of_server" if there in self._given - {TYPES} else ""

    def _is_installed(self, name: str) -> bool:
        """Whether a package is installed, or a part of Node that is named without `node:`."""
        parts = name.split("/")
        package = "/".join(parts[:2]) if name.startswith("@") else parts[0]
        if not package or ".." in parts:
            return False
        of_node = self._tools.packages / "@types" / "node" / f"{name}.d.ts"
        return of_node.is_file() or (self._tools.packages / package / "package.json").is_file()


def _place_of(module: str, importer: str) -> str:
    """The file below `src` that the name of a module means, such as `util/queue.ts`; it may lead out."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(importer), module))
    return f"{_MODULE.sub('', path)}.ts"

"""Which of several files is the one of a component: by its name, or by the class that is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from harness.verdict.steps import COMPONENTS, EXERCISES
from lab.loader import INTERFACES

_LARGEST = 1024 * 1024
"""Bytes of a file that is looked into."""
_MOST = 2000
"""Files that are looked into."""
_CLASS = re.compile(rb"^class[ \t]+(\w+)", re.MULTILINE)
_IMPORT = re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w., \t]+)", re.MULTILINE)
_CODE = (
    *(".py", ".txt", ".ipynb", ".js", ".mjs", ".ts", ".go", ".java", ".kt", ".rs", ".rb", ".php", ".c"),
    *(".cpp", ".cs", ".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".xz"),
)
"""Ends of names that may be those of an answer."""
_TESTS = re.compile(r"(test_.*|.*_test|conftest|__init__|setup)\.py")


class Candidates:
    """The files of a submission, and what is in them."""

    def __init__(self, files: Sequence[Path], handouts: Path) -> None:
        self.files = list(files)
        self._sources = {path: _source(path) for path in self.files[:_MOST] if _may_be_python(path)}
        self._handouts = handouts

    def of(self, component: str) -> list[Path]:
        """The files that may be the one of a component: the only one if that is clear.

        Files with its class, else those of its name. Of files that are the same, only one counts, and what
        was handed out and never changed counts only if there is nothing else.
        """
        name = INTERFACES[component].__name__.encode()
        wanted = f"{component}.py"
        by_name = [path for path in self._sources if path.name.casefold() == wanted]
        by_class = [path for path, source in self._sources.items() if name in _CLASS.findall(source)]
        found = _different(by_class or by_name, self._sources)
        changed = [path for path in found if self.has_answer(path, component)]
        found = changed or found
        named = [path for path in found if path.name == wanted]
        return named if len(named) == 1 else found

    def not_accounted_for(self) -> list[Path]:
        """Files that may be an answer, and nobody can tell to what: no component's, and no helper of one."""
        classes = {each.__name__.encode() for each in INTERFACES.values()}
        imported = {
            name.strip(b". \t").rpartition(b".")[2]
            for source in self._sources.values()
            for names in _IMPORT.findall(source)
            for name in re.split(rb",|\bimport\b|\bas\b", names)
        }
        return [
            path
            for path in self.files
            if path.name.lower().endswith(_CODE)
            and not _TESTS.fullmatch(path.name)
            and path.stem.casefold() not in COMPONENTS.values()
            and path.stem.encode() not in imported
            and classes.isdisjoint(_CLASS.findall(self._sources.get(path, b"")))
        ]

    def has_answer(self, path: Path, component: str) -> bool:
        """Whether a file is something else than what was handed out, and not without the class."""
        exercise = next(number for number, each in COMPONENTS.items() if each == component)
        handout = self._handouts / EXERCISES[exercise] / f"{component}.py"
        source = self._sources.get(path, b"")
        is_handout = _plain(_source(handout)) == _plain(source)
        return not is_handout and INTERFACES[component].__name__.encode() in _CLASS.findall(source)


def _may_be_python(path: Path) -> bool:
    return path.name.endswith(".py")


def _source(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            return b""
        return path.read_bytes()
    except OSError:
        return b""


def _plain(source: bytes) -> bytes:
    """A source without what editors of different systems change."""
    return source.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").strip()


def _different(paths: list[Path], sources: dict[Path, bytes]) -> list[Path]:
    """One of each that are the same; files without a source are all different."""
    found: dict[bytes, Path] = {}
    for path in paths:
        source = _plain(sources.get(path, b""))
        found.setdefault(source or str(path).encode(), path)
    return list(found.values())

"""When a verdict is still valid: as long as all that it rests on is the same.

Of what was handed in, that is the code of one exercise: a file that comes for another one, or what a system
or an author leaves beside it, changes nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from msgspec import Struct

from harness.judged import typescript
from harness.judged.environment import IN_CLASS
from harness.judged.found import Found
from harness.judged.isolation import Kind
from harness.judged.submissions import INSTALLED
from harness.judged.targets import ROOT
from harness.judged.tracks import TYPESCRIPT
from harness.typescript.components import COMPONENTS as MODULES
from harness.typescript.stand_ins import PLACE
from harness.verdict.steps import COMPONENTS

_CODE = ("lab/**/*.py", "harness/**/*.py", "harness/**/*.mjs")
_LARGE = 1024 * 1024
"""Bytes above which a file counts by its size alone."""
_READ = 64 * 1024 * 1024
"""Bytes that are read of a submission to see whether it has changed; of what is beyond, the sizes count."""
_NO_NODE = "?"
"""Instead of a version."""
_NO_CODE = re.compile(r".*\.(md|pdf|docx?|odt|png|jpe?g|gif|svg|pyc|log)|\..*|readme.*|licen[sc]e.*", re.I)
"""Names of files that change nothing about what code does."""


_COMPONENTS = set(COMPONENTS.values())
_MODULES = {each.module for each in MODULES.values()}
"""How the files of components are called, without their suffix: in Python, and in TypeScript."""


class Rules(Struct, frozen=True):
    """How a class is judged: the same for all submissions."""

    seed: int
    runs: int
    together: bool
    deadline: float
    """Seconds for each run of an exercise."""
    passed: tuple[str, ...] = IN_CLASS
    """The environment variables that a server may see."""
    isolation: Kind = "none"
    shows: tuple[str, ...] = ()
    """Folders that servers see in their isolation, beside those of the system."""
    is_partial: bool = False
    """Whether all components that are there are judged at once, with the reference's for the others."""
    hidden: tuple[str, ...] = ()
    """Steps of which authors are told no more than whether they passed."""


def fingerprint(found: Found | None, folder: Path, exercise: int, rules: Rules, named: str = "") -> str:
    """A hash of what the verdict on an exercise rests on: the code, the rules, the kit, and Node's version.

    `found` is what is judged of the submission in `folder`; None if there is nothing to judge. `named` is
    the file that a person has named for it, if any.
    """
    hidden = [step for step in rules.hidden if step.startswith(f"{exercise}.")]
    how = (
        *(exercise, named, rules.seed, rules.runs, rules.together, rules.isolation),
        *(sorted(rules.passed), sorted(hidden)),
    )
    digest = hashlib.sha256()
    component = found.uses.get(COMPONENTS[exercise]) if found and not rules.together else None
    left = _READ
    for path in _files_of(folder, component):
        with suppress(OSError):  # a file that we cannot read, the server cannot read either
            name, size = os.fsencode(path.relative_to(folder)), path.stat().st_size
            is_read = size <= min(_LARGE, left)
            left -= size if is_read else 0
            digest.update(name + f" {size} ".encode() + (path.read_bytes() if is_read else b""))
    rest = hashlib.sha256(f"{_kit()} {how}".encode())
    node = f"-node{typescript.version() or _NO_NODE}" if found and found.track == TYPESCRIPT else ""
    return f"{digest.hexdigest()[:16]}-{rest.hexdigest()[:16]}{node}"


def still_holds(kept: str, now: str) -> bool:
    """Whether the verdict of a fingerprint is still valid. Without Node, no other one can be had."""
    if now.endswith(f"-node{_NO_NODE}"):
        return kept.rpartition("-")[0] == now.rpartition("-")[0]
    return kept == now


def is_same_code(one: str, other: str) -> bool:
    """Whether two fingerprints are of the same code, whatever the rules and the kit."""
    return one.partition("-")[0] == other.partition("-")[0]


def _files_of(folder: Path, component: str | None) -> Iterator[Path]:
    """The files that are judged: of a component, itself and what it may import; else all of them."""
    if component is None:
        yield from (path for path in _files(folder) if not _NO_CODE.fullmatch(path.name))
        return
    yield (own := Path(component))
    source = own.read_text(encoding="utf-8", errors="replace")
    for path in _files(own.parent):
        if own.suffix == ".ts":  # no component imports another one
            is_of_another = path.stem in _MODULES and path.parent == own.parent
        else:
            is_of_another = path.stem in _COMPONENTS and not re.search(rf"\b{path.stem}\b", source)
        if path != own and not is_of_another and not _NO_CODE.fullmatch(path.name):
            yield path


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, but for those that tools have installed."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - INSTALLED)
        yield from (Path(place, name) for name in sorted(files))


@cache
def _kit() -> str:
    return hash_of_kit()


def hash_of_kit() -> str:
    """A hash of the kit's code as it is now: in a clone, it changes without the version."""
    digest = hashlib.sha256()
    for path in (*(each for pattern in _CODE for each in sorted(ROOT.glob(pattern))), *_of_typescript()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _of_typescript() -> Iterator[Path]:
    """What a server in TypeScript is made of, beside what was handed in: without the stubs."""
    project = ROOT / "exercises" / "typescript"
    stubs = {each.file for each in MODULES.values()}
    yield from sorted(path for path in project.glob("src/*.ts") if path.name not in stubs)
    yield from sorted((ROOT / "solutions" / "typescript").glob("*.ts"))
    yield from sorted(PLACE.glob("*"))
    settings = (project / name for name in ("package-lock.json", "package.json", "tsconfig.json"))
    yield from (path for path in settings if path.exists())
    yield from sorted((project / "node_modules" / "ws").rglob("*.js"))

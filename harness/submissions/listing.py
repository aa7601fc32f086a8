"""What a class has handed in: one `HandIn` for each student, in whatever form it came."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from harness.judged.bounds import MIB
from harness.judged.candidates import LANGUAGES
from harness.judged.submissions import INSTALLED, looks_like_one
from harness.submissions.author import Author
from harness.submissions.copying import Task, copied_apart
from harness.submissions.portals import (
    OTHER_SUFFIXES,
    SUFFIXES,
    Owner,
    owner_of,
    submitters,
)
from harness.submissions.unpack import is_litter
from harness.texts.problem import Problem
from harness.verdict.outcome import Text
from harness.verdict.steps import COMPONENTS
from lab.legible import one_line, text_of

_METADATA = "submission_metadata.yml"
_MOST_BYTES = 16 * 1024 * MIB
"""Bytes of a class that comes as one archive."""
_SECONDS = 600.0
"""In which it must be unpacked."""
_PROGRAMS = (".py", ".py.txt", ".ts", ".ts.txt", *SUFFIXES, *OTHER_SUFFIXES)
"""Ends of names of files that are somebody's."""


class HandIn(Struct, frozen=True):
    """What one student has handed in: folders, archives and files, each with the name for its copy."""

    key: str
    """What its result files are named by."""
    sources: tuple[tuple[Path, str], ...]
    author: Author = Author()
    is_late: bool = False

    @property
    def name(self) -> str:
        """Its name as text in one line."""
        return one_line(text_of(os.fsencode(self.key)))


class CannotUnpack(Problem):
    """The archive of a class cannot be unpacked; the text says why."""


class Listing(Struct, frozen=True):
    """What was found in the folder of a class, and what was not taken for anything handed in."""

    hand_ins: tuple[HandIn, ...]
    others: tuple[Text, ...] = ()


def hand_ins_of(folder: Path) -> Listing:
    """What lies in the folder of a class. Raises OSError if it cannot be read."""
    folder = _inner(folder)
    authors = _authors(folder)
    found: dict[tuple[str, str], list[tuple[Path, Owner]]] = {}
    others: list[Text] = []
    for path in sorted(folder.iterdir()):
        if is_litter(path.name) or path.name in INSTALLED or path.name == _METADATA:
            continue
        is_folder = path.is_dir()
        if path.is_symlink():
            others.append(Text("other_link", {"name": _said(path), "leads": os.readlink(path)}))
            continue
        owner = owner_of(path, is_folder=is_folder)
        if is_folder or path.name.lower().endswith(_PROGRAMS) or owner.author.identifier:
            if path.name in authors:
                owner = replace(owner, author=authors[path.name])
            who = unicodedata.normalize("NFC", owner.name), owner.author.identifier
            found.setdefault(who, []).append((path, owner))
        elif path.name[0] != ".":
            others.append(Text("other_file", {"name": _said(path)}))
    names = Counter(_name(owned) for owned in found.values())
    hand_ins = [_hand_in(owned, is_alone=names[_name(owned)] == 1) for owned in found.values()]
    return Listing(tuple(hand_ins), tuple(others))


def is_one_submission(listing: Listing) -> bool:
    """Whether what was found are the files of one student, and not those of a class."""
    components = {language.file_of(name) for language in LANGUAGES.values() for name in COMPONENTS.values()}
    names = [path.name for each in listing.hand_ins for path, _ in each.sources]
    return bool(names) and set(names) <= components


def unpacked(archive: Path, place: Path) -> tuple[Path, list[Text]]:
    """The folder of a class that came as one archive, such as a portal's export, unpacked below `place`.

    Archives in it are left as they are: each is somebody's. What was left out is told by the second value.
    Raises CannotUnpack.
    """
    folder = place / "class"
    task = Task(str(folder), [(os.fsencode(archive), archive.name)], 1, _MOST_BYTES, _SECONDS)
    copied = copied_apart(task)
    if copied.problem is not None:
        raise CannotUnpack(f"left_out.{copied.problem.key}", **copied.problem.params)
    while (inside := list(folder.iterdir())) and len(inside) == 1 and inside[0].is_dir():
        if looks_like_one(inside[0]):
            break
        folder = inside[0]
    return folder, copied.left_out


def _inner(folder: Path) -> Path:
    """The folder of the class itself, where an export has one folder more around it."""
    inside = [path for path in folder.iterdir() if not is_litter(path.name) and path.name not in INSTALLED]
    is_export = len(inside) == 1 and inside[0].is_dir() and not inside[0].is_symlink()
    return inside[0] if is_export and (inside[0] / _METADATA).is_file() else folder


def _authors(folder: Path) -> dict[str, Author]:
    try:
        return submitters((folder / _METADATA).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return {}


def _name(owned: list[tuple[Path, Owner]]) -> str:
    """The name of a student: as the portal says it, else of the folder or file."""
    return owned[0][1].author.full_name or owned[0][1].name


def _hand_in(owned: list[tuple[Path, Owner]], *, is_alone: bool) -> HandIn:
    author = owned[0][1].author
    key = _name(owned).replace("/", "_").replace("\0", "")
    if not is_alone:  # two people of one name
        key += f"_{author.identifier or owned[0][0].name}"
    sources = tuple((path, owner.rest or path.name) for path, owner in owned)
    return HandIn(key, sources, author, any(owner.is_late for _, owner in owned))


def _said(path: Path) -> str:
    return one_line(text_of(os.fsencode(path.name)))

"""Whose a file or folder is, by its name: as Moodle, Canvas, Gradescope and people name what is handed in.

| from | a name such as |
|---|---|
| Moodle | `Ada Lovelace_12345_assignsubmission_file_` (a folder), the same and `pubsub.py` (a file) |
| Canvas | `lovelaceada_LATE_12345_67890_pubsub-1.py` |
| Gradescope | `submission_12345`, a folder that `submission_metadata.yml` tells of |
| people | `ada`, `ada.zip`, `ada_pubsub.py`, `ada_pub-sub.ts`, `ada.py` |

Moodle's names are made in mod/assign/locallib.php, Canvas's in its submission downloader.
"""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from harness.submissions.author import Author
from harness.verdict.steps import COMPONENTS

_MOODLE = re.compile(
    r"(?P<who>.+?)_(?P<id>\d+)_assignsubmission_(?P<kind>file|onlinetext)(_(?P<rest>.*))?", re.DOTALL
)
_CANVAS = re.compile(
    r"(?P<who>[^_]+)(?P<late>_LATE)?_(?P<id>\d+)_(?P<submission>\d+)_(?P<rest>.+)", re.DOTALL
)
_CANVAS_AGAIN = re.compile(r"-\d+(?=\.\w+$)")
"""What Canvas adds to the name of a file that is handed in again."""
_GRADESCOPE = re.compile(r"submission_(?P<id>\d+)")
_PARTS = "|".join(sorted({*COMPONENTS.values(), "pub_sub", "pub-sub", "message_store", "presence_manager"}))
_PERSONS = re.compile(
    rf"(?P<who>.+?)[\s._-]+(?P<rest>(?:{_PARTS}|ex(?:ercise)?[\s_-]*\d)\b.*)", re.DOTALL | re.IGNORECASE
)
SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar", ".zip")
"""Of archives that can be unpacked."""
OTHER_SUFFIXES = (".7z", ".rar", ".gz", ".xz", ".bz2", ".zst")
"""Of those that cannot."""
_SOURCES = (".py.txt", ".py", ".ts.txt", ".ts")


class Owner(Struct, frozen=True):
    """Whose a file or folder is, and what it is called without that."""

    name: str
    author: Author
    rest: str
    """The name that its author gave the file; empty for a folder."""
    is_late: bool = False


def owner_of(path: Path, *, is_folder: bool) -> Owner:
    """Whose something in the folder of a class is."""
    name = path.name
    stem = name if is_folder else without_suffix(name)
    if found := _MOODLE.fullmatch(name):
        author = Author(identifier=found["id"], full_name=found["who"])
        return Owner(found["who"], author, "" if is_folder else found["rest"] or name)
    if not is_folder and (found := _CANVAS.fullmatch(name)):
        rest = _CANVAS_AGAIN.sub("", found["rest"])
        return Owner(found["who"], Author(identifier=found["id"]), rest, bool(found["late"]))
    if is_folder and (found := _GRADESCOPE.fullmatch(name)):
        return Owner(name, Author(), "")
    if not is_folder and name.endswith(_SOURCES):
        found = _PERSONS.fullmatch(name)
        return Owner(found["who"] if found else stem, Author(), found["rest"] if found else name)
    if not is_folder and (found := _PERSONS.fullmatch(stem)):  # ada_ex1.zip
        return Owner(found["who"], Author(), name)
    return Owner(stem, Author(), "" if is_folder else name)


def without_suffix(name: str) -> str:
    """A file's name without the suffix of an archive or a program."""
    lower = name.lower()
    for suffix in (*SUFFIXES, *OTHER_SUFFIXES, *_SOURCES):
        if lower.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def is_archive(name: str) -> bool:
    """Whether a file's name is that of an archive that can be unpacked."""
    return name.lower().endswith(SUFFIXES)


def submitters(metadata: str) -> dict[str, Author]:
    """The authors that Gradescope's `submission_metadata.yml` names, by the folders of their submissions.

    It is read line by line, since its form never changes, and Python has no reader of YAML.
    """
    found: dict[str, Author] = {}
    folder, values = "", dict[str, str]()
    for line in [*metadata.splitlines(), "end:"]:
        if line[:1] not in (" ", "-", "#", "") and line.rstrip().endswith(":"):
            if folder:
                found[folder] = Author(
                    values.get("sid", ""),
                    values.get("name", ""),
                    values.get("email", ""),
                    values.get("created_at", ""),
                )
            folder, values = line.rstrip().rstrip(":"), {}
        elif match := re.fullmatch(r"\s*-?\s*:(name|sid|email|created_at):\s*(.*?)\s*", line):
            values.setdefault(match[1], match[2].strip("'\""))
    return found

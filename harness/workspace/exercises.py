"""The exercises as a student gets them, in the tracks asked for: stubs, handouts, and the contract."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.judged.handed_out import place_of, pristine
from harness.judged.targets import ROOT
from harness.judged.tracks import PYTHON, TRACKS, TYPESCRIPT
from harness.texts import LANGUAGES, Texts
from harness.typescript.tools import PROJECT
from harness.verdict.steps import EXERCISES
from harness.workspace.bundle import Bundle, template

FOLDER = "exercises"
_OWN_FILES = "*/my_*"
"""What somebody has tried out beside the stubs."""
_OF_THE_REPOSITORY = ("exercises/check.svg", "exercises/watch.svg", "exercises/lesson.png")
"""Files that only the repository's own pages show."""
_CONTRACT = ("lab/PROTOCOL.md", "lab/interfaces.py", "lab/protocol.py")
"""What the handouts tell a student to read."""
_OF_TOOLS = ("__pycache__", "node_modules", "dist")
"""Folders that tools have made."""
_STORED = "data"
"""The folder in which a server keeps its messages that was started in the project by hand."""
_HIDDEN = (".gitignore", ".npmrc", ".oxlintrc.json")
"""Files of the project in TypeScript that git, npm and the linter read."""


def exercises(tracks: Collection[str] = TRACKS) -> Bundle:
    """The folder `exercises` as it is here, with the stubs of these tracks only."""
    bundle = typescript_project() if TYPESCRIPT in tracks else Bundle()
    stubs = {place_of(number, PYTHON).as_posix() for number in EXERCISES}
    for path in files_below(ROOT / FOLDER):
        name, place = path.relative_to(ROOT).as_posix(), path.relative_to(ROOT / FOLDER).as_posix()
        if path.is_relative_to(PROJECT) or fnmatch.fnmatch(name, _OWN_FILES) or name in _OF_THE_REPOSITORY:
            continue
        if PYTHON in tracks or place not in stubs:
            bundle.add(name, path.read_bytes())
    return bundle


def typescript_project() -> Bundle:
    """The project of the server in TypeScript, with the stubs of that track."""
    bundle = Bundle()
    for path in (*files_below(PROJECT), *(PROJECT / name for name in _HIDDEN)):
        is_stored = path.is_relative_to(PROJECT / _STORED)
        if path.is_file() and not is_stored and not fnmatch.fnmatch(path.as_posix(), _OWN_FILES):
            bundle.add(path.relative_to(ROOT).as_posix(), path.read_bytes())
    return bundle


def workspace(track: str, words: Texts) -> Bundle:
    """All that a student needs who has installed the kit: the stubs as they were handed out."""
    bundle = exercises((track,))
    for number in EXERCISES:
        for place, text in pristine(number, track).items():
            bundle.add(f"{FOLDER}/{place.as_posix()}", text)
    for name in _CONTRACT:
        bundle.add(name, (ROOT / name).read_bytes())
    bundle.add(".gitignore", git_ignores())
    bundle.add(
        "README.md", front_page(words.language, begin=_part("begin", words), where=_part("where", words))
    )
    return bundle


def front_page(language: str, **parts: str) -> str:
    """The first page that a student reads; `parts` are how to begin, and what is where."""
    return template(__package__, in_language("README.md", language), **parts)


def in_language(page: str, language: str) -> str:
    """The name of a page in a language: "README.md" is "README.fr.md" in French."""
    return page if language == LANGUAGES[0] else page.replace(".md", f".{language}.md")


def git_ignores() -> str:
    """What git leaves out where a student works."""
    return template(__package__, "gitignore")


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder that belong to the kit: no caches, and nothing hidden."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each[0] != "." and each not in _OF_TOOLS)
        for name in sorted(files):
            if name[0] != "." and not name.endswith(".pyc"):
                yield Path(place, name)


def _part(name: str, words: Texts) -> str:
    return template(__package__, in_language(f"{name}.md", words.language)).rstrip("\n")

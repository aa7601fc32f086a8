"""`chatlab export student-kit`: what a class gets, the kit without the answers and without grading."""

from __future__ import annotations

import fnmatch
import shutil
import subprocess

from harness.grading.handouts.kit import judging_kit
from harness.judged.targets import ROOT
from harness.texts import Texts
from harness.texts.problem import Problem
from harness.workspace.bundle import Bundle, template
from harness.workspace.exercises import exercises, files_below, front_page, git_ignores, in_language

_OWN_FILES = "exercises/*/my_*"
"""What somebody has tried out beside the stubs: it is never handed out."""
_HUNT, _OVERVIEW = "exercises/hunt/", "exercises/README*.md"


def student_kit(words: Texts, *, with_reference: bool, with_notebooks: bool) -> Bundle:
    """All files of it. Raises Problem if something that was asked for is not there."""
    bundle = judging_kit(with_reference=with_reference)
    bundle.files |= exercises_without_hunt().files
    if with_notebooks:
        if not (ROOT / "notebooks").is_dir():
            raise Problem("handout.no_notebooks")
        for path in files_below(ROOT / "notebooks"):
            bundle.add(path.relative_to(ROOT).as_posix(), path.read_bytes())
    bundle.add("Makefile", _makefile(words))
    bundle.add(".gitignore", git_ignores())
    bundle.add("README.md", page(words.language))
    return bundle


def exercises_without_hunt() -> Bundle:
    """The folder `exercises` without the pages on the hunt, which is left out with its servers."""
    bundle = exercises()
    for name in [name for name in bundle.files if name.startswith(_HUNT)]:
        del bundle.files[name]
    for name in [name for name in bundle.files if fnmatch.fnmatch(name, _OVERVIEW)]:
        bundle.add(name, _without_hunt(bundle.files[name].decode()))
    return bundle


def _without_hunt(text: str) -> str:
    """The page about all exercises without the section on the hunt, a command that is not handed out."""
    first, *sections = text.split("\n## ")
    return "\n## ".join([first, *(each for each in sections if "](hunt/" not in each)])


def page(language: str) -> str:
    """The first page of a kit in a language."""
    parts = {
        name: template(__package__, f"student/{in_language(f'{name}.md', language)}").rstrip("\n")
        for name in ("begin", "where")
    }
    return front_page(language, **parts)


def changed_exercises() -> list[str]:
    """Files of `exercises` that differ from the last commit, or are in none: perhaps answers of somebody's.

    Empty where there is no git to ask.
    """
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return []
    command = [
        git,
        "-C",
        str(ROOT),
        "status",
        "--porcelain",
        "-z",
        "--untracked-files=all",
        "--",
        "exercises",
    ]
    try:
        asked = subprocess.run(command, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    if asked.returncode:
        return []
    lines = asked.stdout.decode(errors="replace").split("\0")
    return sorted(line[3:] for line in lines if line and not fnmatch.fnmatch(line[3:], _OWN_FILES))


def _makefile(words: Texts) -> str:
    said = {
        key: words.say(f"handout.make_{key}")
        for key in ("works", "read", "run", "edit", "runscript", "editscript")
    }
    return template(__package__, "student/Makefile", language=words.language, **said)

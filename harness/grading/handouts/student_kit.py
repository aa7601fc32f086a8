"""`chatlab export student-kit`: what a class gets, the kit without the answers and without grading."""

from __future__ import annotations

import fnmatch
import shutil
import subprocess

from harness.grading.handouts.bundle import Bundle, template
from harness.grading.handouts.kit import files_below, judging_kit
from harness.judged.targets import ROOT
from harness.texts import LANGUAGES, Texts
from harness.texts.problem import Problem

_OWN_FILES = "exercises/*/my_*"
"""What somebody has tried out beside the stubs."""
_HUNT, _OVERVIEW = "exercises/hunt/", "exercises/README*.md"


def student_kit(words: Texts, *, with_reference: bool, with_notebooks: bool) -> Bundle:
    """All files of it. Raises Problem if something that was asked for is not there."""
    bundle = judging_kit(with_reference=with_reference)
    _add_folder(bundle, "exercises")
    for name in [name for name in bundle.files if name.startswith(_HUNT)]:
        del bundle.files[name]
    for name in [name for name in bundle.files if fnmatch.fnmatch(name, _OVERVIEW)]:
        bundle.add(name, _without_hunt(bundle.files[name].decode()))
    if with_notebooks:
        if not (ROOT / "notebooks").is_dir():
            raise Problem("handout.no_notebooks")
        _add_folder(bundle, "notebooks")
    bundle.add("Makefile", _makefile(words))
    bundle.add(".gitignore", template("student/gitignore"))
    bundle.add("README.md", page("student", words.language))
    return bundle


def _without_hunt(text: str) -> str:
    """The page about all exercises without the section on the hunt, a command that is not handed out."""
    first, *sections = text.split("\n## ")
    return "\n## ".join([first, *(each for each in sections if "](hunt/" not in each)])


def page(folder: str, language: str) -> str:
    """The page of a handout in a language, by the name that pages have in the kit."""
    name = "README.md" if language == LANGUAGES[0] else f"README.{language}.md"
    return template(f"{folder}/{name}")


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


def _add_folder(bundle: Bundle, folder: str) -> None:
    for path in files_below(ROOT / folder):
        name = path.relative_to(ROOT).as_posix()
        if not fnmatch.fnmatch(name, _OWN_FILES):
            bundle.add(name, path.read_bytes())


def _makefile(words: Texts) -> str:
    said = {
        key: words.say(f"handout.make_{key}")
        for key in ("works", "read", "run", "edit", "runscript", "editscript")
    }
    return template("student/Makefile", language=words.language, **said)

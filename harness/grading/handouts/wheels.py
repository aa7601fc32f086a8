"""`make wheel`: two packages to install, one with the model answers, and one for students without them.

The one for students has `+students` in its version, and is made of a kit as it is handed out. Nothing is
fetched: what builds it, hatchling, is installed with the extra `dev`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.grading.handouts.kit import judging_kit
from harness.grading.handouts.project import pyproject
from harness.grading.handouts.student_kit import exercises_without_hunt
from harness.judged.handed_out import pristine
from harness.judged.targets import ROOT
from harness.judged.tracks import TRACKS
from harness.texts.console import echo
from harness.verdict.steps import EXERCISES
from harness.workspace.bundle import Bundle, write_folder
from harness.workspace.exercises import FOLDER

STUDENTS = "students"
"""The local part of the version that students install."""


def students_project() -> Bundle:
    """What their wheel is built of: a kit that judges, and the exercises as `chatlab init` lays them out."""
    bundle = judging_kit(with_reference=False)
    bundle.files |= exercises_without_hunt().files
    for number in EXERCISES:
        for track in TRACKS:
            for place, text in pristine(number, track).items():
                bundle.add(f"{FOLDER}/{place.as_posix()}", text)
    bundle.add("pyproject.toml", pyproject(local=STUDENTS, more_packages=(FOLDER,)))
    return bundle


def build(place: Path) -> list[Path]:
    """Build both wheels in a folder; returns their paths. Raises subprocess.CalledProcessError."""
    with tempfile.TemporaryDirectory(prefix="chat-lab-wheel-") as folder:
        project = Path(folder, "project")
        write_folder(students_project(), project)
        return [_built(ROOT, place, folder), _built(project, place, folder)]


def _built(project: Path, place: Path, folder: str) -> Path:
    """The wheel of a project, which takes the place of an older one of its name."""
    with tempfile.TemporaryDirectory(dir=folder) as new:
        options = [
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
        ]
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", new, str(project)], check=True
        )
        (wheel,) = Path(new).glob("*.whl")
        place.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, place))


if __name__ == "__main__":
    with_answers, without = build(Path(sys.argv[1]))
    echo(f"{with_answers}  has the model answers: for teachers")
    echo(f"{without}  has none: for students")

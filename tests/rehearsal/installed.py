"""The kit as somebody has it who installed a wheel: an environment of its own, and no clone on its path.

Like pipx and `uv tool`, but without a network: what the wheel requires is linked from the environment of the
tests, and pip installs the wheel itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement

from tests.rehearsal.images import closure, link

_SECONDS = 100.0


@dataclass(frozen=True)
class Installed:
    """A prefix in which a wheel is installed, and a folder below which its user works."""

    prefix: Path
    home: Path

    @property
    def command(self) -> Path:
        """The program `chatlab`."""
        return self.prefix / "bin" / "chatlab"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its user: nothing leads to the clone, or to what the tests run in."""
        ours = Path(sys.prefix) / "bin"
        path = [each for each in os.environ.get("PATH", "").split(os.pathsep) if Path(each) != ours]
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CHATLAB"))
        }
        return {**kept, "PATH": os.pathsep.join([str(self.prefix / "bin"), *path]), "HOME": str(self.home)}

    def run(self, folder: str, *words: str) -> tuple[int, str]:
        """Run `chatlab` in a folder below home; returns its exit code and all that it printed."""
        place = self.home / folder
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [str(self.command), *words],
            cwd=place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout


def install(wheel: Path, folder: Path) -> Installed:
    """Install a wheel in a new environment below a folder."""
    found = Installed(folder / "prefix", folder / "home")
    found.home.mkdir(parents=True)
    venv.EnvBuilder(symlinks=True).create(found.prefix)
    for distribution in closure(requirements(wheel)):
        link(distribution, found.prefix)
    python = str(found.prefix / "bin" / "python")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", *options, str(wheel)], check=True
    )
    return found


def requirements(wheel: Path) -> list[Requirement]:
    """What a wheel requires, without its extras."""
    with ZipFile(wheel) as packed:
        (name,) = [each for each in packed.namelist() if each.endswith(".dist-info/METADATA")]
        about = Parser().parsestr(packed.read(name).decode())
    needs = [Requirement(each) for each in about.get_all("Requires-Dist", [])]
    return [each for each in needs if not each.marker or each.marker.evaluate({"extra": ""})]

"""Finds Node, and the packages that `npm ci` installs beside the exercises in TypeScript."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.typescript.bounded import environment
from harness.typescript.problems import NotReady

__all__ = ["PROJECT", "ROOT", "NotReady", "Tools", "check_programs", "find_tools", "is_clone"]

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "exercises" / "typescript"
"""The project of the exercises: its `package.json`, and where its packages are installed."""
OLDEST = 20
"""The oldest major version of Node that runs it."""
_PACKAGES = ("ws", "typescript", "oxlint")
"""Packages that a check uses itself."""
_OF_NPM = "node_modules"
_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "armv7l": "arm"}
_STUCK = 10.0
"""Seconds after which a Node that does not tell its version is given up."""


class Tools(Struct, frozen=True):
    """The program `node`, an absolute path, and the folder of the project, with its packages."""

    node: str
    project: Path = PROJECT
    version: str = ""
    """Node's, such as "v20.11.1"."""
    installed: Path | None = None
    """Where the packages are installed, unless it is in the project."""

    @property
    def packages(self) -> Path:
        """Where the packages are installed."""
        return self.installed or self.project / _OF_NPM

    @property
    def compiler(self) -> list[str]:
        """The words that begin a call of TypeScript's compiler."""
        machine = platform.machine().lower()
        name = f"typescript-{sys.platform}-{_ARCHITECTURES.get(machine, machine)}"
        program = self.packages / "@typescript" / name / "lib" / "tsc"
        # It is no script: to let Node start it takes twice the time, and Node more memory than it.
        if program.is_file():
            return [str(program)]
        return [self.node, str(self.packages / "typescript" / "bin" / "tsc")]

    @property
    def linter(self) -> list[str]:
        """The words that begin a call of oxlint."""
        return [self.node, str(self.packages / "oxlint" / "bin" / "oxlint")]


def find_node() -> str | None:
    """The program on the PATH, under either of its names."""
    return shutil.which("node") or shutil.which("nodejs")


def find_tools(project: Path = PROJECT) -> Tools:
    """Node on the PATH, and the installed packages of a project. Raises NotReady."""
    node, version = _usable_node()
    installed = _installed(project)
    _check_packages(project, installed)
    return Tools(node, project, version, installed)


def check_programs() -> None:
    """Raise NotReady unless there are Node and npm, which installs packages."""
    _usable_node()
    if shutil.which("npm") is None:
        raise NotReady("typescript.no_npm")


def _usable_node() -> tuple[str, str]:
    """Node on the PATH, and its version. Raises NotReady."""
    node = find_node()
    if node is None:
        raise NotReady("typescript.no_node", oldest=OLDEST)
    version = _version_of(node)
    found = re.fullmatch(r"v(\d+)\.\S*", version)
    if found is None:
        raise NotReady("typescript.strange_node", path=node, oldest=OLDEST)
    if int(found[1]) < OLDEST:
        raise NotReady("typescript.old_node", path=node, version=version, oldest=OLDEST)
    return node, version


def _installed(project: Path) -> Path:
    """Where npm has installed the packages of a project, or should have. Raises NotReady if that is nowhere.

    An installed kit is no place for that: then it is where a student's exercises are, here or above.
    """
    there = project / _OF_NPM
    if there.is_dir():
        return there
    places = [
        base / place / _OF_NPM
        for base in (Path.cwd(), *Path.cwd().parents)
        for place in ("exercises/typescript", "typescript", ".")
        if (base / place / "package.json").is_file() and _name_in(base / place) == _name_in(project)
    ]
    if project == PROJECT and not places and not is_clone():
        raise NotReady("typescript.no_project", here=Path.cwd())
    return next((each for each in (*places, there) if each.is_dir()), (*places, there)[0])


def is_clone() -> bool:
    """Whether the kit is a folder to work in, with all of its files; else it was installed as a package."""
    return (ROOT / "pyproject.toml").is_file() and (ROOT / "constraints.txt").is_file()


def _name_in(project: Path) -> object:
    """The name in a `package.json`; None if there is none."""
    try:
        found: Any = json.loads((project / "package.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found.get("name") if isinstance(found, dict) else None


def _version_of(node: str) -> str:
    try:
        words = [node, "--version"]
        done = subprocess.run(words, capture_output=True, timeout=_STUCK, check=False, env=environment())
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()[:40]


def _check_packages(project: Path, folder: Path) -> None:
    """Raise NotReady unless all that the lock file names is installed, in just these versions."""
    if not folder.is_dir():
        raise NotReady("typescript.not_installed", path=folder, place=folder.parent)
    wanted, found = _versions(project / "package-lock.json"), _versions(folder / ".package-lock.json")
    for name, (version, is_optional) in sorted(wanted.items()):
        there = found.get(name, ("", False))[0]
        short = name.removeprefix("node_modules/")
        if there != version and (there or not is_optional):
            if not there:
                raise NotReady("typescript.lacks", path=folder, name=short, place=folder.parent)
            raise NotReady(
                "typescript.other_version",
                path=folder,
                name=short,
                version=version,
                there=there,
                place=folder.parent,
            )
    for short in _PACKAGES:
        if not (folder / short / "package.json").is_file():
            raise NotReady("typescript.lacks", path=folder, name=short, place=folder.parent)


def _versions(lock: Path) -> dict[str, tuple[str, bool]]:
    """The version of each package that a lock file names, and whether it is one of some systems only."""
    try:
        packages: Any = json.loads(lock.read_bytes()).get("packages")
        return {
            name: (str(each.get("version")), bool(each.get("optional")))
            for name, each in packages.items()
            if name
        }
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}

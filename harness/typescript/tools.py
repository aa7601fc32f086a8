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

__all__ = ["PROJECT", "NotReady", "Tools", "find_tools"]

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "exercises" / "typescript"
"""The project of the exercises: its `package.json`, and where its packages are installed."""
OLDEST = 20
"""The oldest major version of Node that runs it."""
_PACKAGES = ("ws", "typescript", "oxlint")
"""Packages that a check uses itself."""
_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "armv7l": "arm"}
_STUCK = 10.0
"""Seconds after which a Node that does not tell its version is given up."""


class Tools(Struct, frozen=True):
    """The program `node`, an absolute path, and the folder of the project, with its packages."""

    node: str
    project: Path = PROJECT
    version: str = ""
    """Node's, such as "v20.11.1"."""

    @property
    def packages(self) -> Path:
        """Where the packages are installed."""
        return self.project / "node_modules"

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
    node = find_node()
    if node is None:
        raise NotReady("typescript.no_node", oldest=OLDEST)
    version = _version_of(node)
    found = re.fullmatch(r"v(\d+)\.\S*", version)
    if found is None:
        raise NotReady("typescript.strange_node", path=node, oldest=OLDEST)
    if int(found[1]) < OLDEST:
        raise NotReady("typescript.old_node", path=node, version=version, oldest=OLDEST)
    _check_packages(project)
    return Tools(node, project, version)


def _version_of(node: str) -> str:
    try:
        words = [node, "--version"]
        done = subprocess.run(words, capture_output=True, timeout=_STUCK, check=False, env=environment())
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()[:40]


def _check_packages(project: Path) -> None:
    """Raise NotReady unless all that the lock file names is installed, in just these versions."""
    folder = project / "node_modules"
    if not folder.is_dir():
        raise NotReady("typescript.not_installed", path=folder)
    wanted, found = _versions(project / "package-lock.json"), _versions(folder / ".package-lock.json")
    for name, (version, is_optional) in sorted(wanted.items()):
        there = found.get(name, ("", False))[0]
        short = name.removeprefix("node_modules/")
        if there != version and (there or not is_optional):
            if not there:
                raise NotReady("typescript.lacks", path=folder, name=short)
            raise NotReady("typescript.other_version", path=folder, name=short, version=version, there=there)
    for short in _PACKAGES:
        if not (folder / short / "package.json").is_file():
            raise NotReady("typescript.lacks", path=folder, name=short)


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

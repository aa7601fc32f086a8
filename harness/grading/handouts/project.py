"""What it takes to install the kit: a clone's pyproject.toml says so, or the metadata of an installation."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from typing import Any

from msgspec import Struct

from harness.judged.targets import ROOT
from harness.texts.problem import Problem
from harness.typescript.tools import is_clone
from harness.workspace.bundle import template

_NAME = "chat-lab"
_KEPT = ("pytest", "load", "cluster", "notebooks")
"""The extras that those who get a kit may want."""


class Project(Struct, frozen=True):
    """The version, and the requirements: of the kit, and of each extra that is kept."""

    version: str
    needs: list[str]
    extras: dict[str, list[str]]


def project() -> Project:
    """What this kit needs. Raises Problem if nothing says so."""
    if is_clone():
        found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
            "project"
        ]
        extras = found["optional-dependencies"]
        return Project(found["version"], found["dependencies"], {name: extras[name] for name in _KEPT})
    try:
        version, needs = metadata.version(_NAME), metadata.requires(_NAME) or []
    except metadata.PackageNotFoundError as error:
        raise Problem("handout.no_metadata", path=ROOT) from error
    return Project(version, _of_extra(needs, None), {name: _of_extra(needs, name) for name in _KEPT})


def _of_extra(needs: list[str], extra: str | None) -> list[str]:
    """Those of the metadata's requirements that belong to an extra, or to none."""
    found = []
    for need in needs:
        requirement, _, marker = need.partition(";")
        named = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        if (named[1] if named else None) == extra:
            found.append(requirement.strip())
    return found


def pyproject(local: str = "", more_packages: tuple[str, ...] = ()) -> str:
    """A pyproject.toml for a kit that is handed out, with a local part of its version, if it has one."""
    known = project()
    extras = "\n".join(f"{name} = {json.dumps(needs)}" for name, needs in known.extras.items())
    return template(
        __package__,
        "pyproject.txt",
        version="+".join(each for each in (known.version.partition("+")[0], local) if each),
        needs=json.dumps(known.needs),
        extras=extras,
        packages=json.dumps(["lab", "harness", *more_packages]),
    )


def constraints() -> str:
    """The versions to install: those of the clone, or those that are installed here and work with the kit."""
    if is_clone():
        return (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    waiting = [*project().needs, *project().extras["pytest"]]
    while waiting:
        name = _name_in(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = metadata.version(name)
            waiting += _of_extra(metadata.requires(name) or [], None)
        except metadata.PackageNotFoundError:  # an extra, or a need of another system
            continue
    return "".join(f"{name}=={version}\n" for name, version in sorted(found.items()))


def _name_in(requirement: str) -> str:
    """The name in a requirement, as package indexes write it."""
    named = re.match(r"[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", named[0]).lower() if named else ""


def licence() -> str:
    """The text of the licence, which goes along with every copy; empty if it was not installed."""
    if (ROOT / "LICENSE").is_file():
        return (ROOT / "LICENSE").read_text(encoding="utf-8")
    try:
        installed = metadata.distribution(_NAME)
    except metadata.PackageNotFoundError:
        return ""
    return installed.read_text("licenses/LICENSE") or installed.read_text("LICENSE") or ""

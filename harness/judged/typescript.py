"""Targets in TypeScript: the kit's server, built with the components of a student."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from harness.judged.environment import scratch
from harness.judged.problems import Unclear
from harness.judged.submissions import check_there, shown
from harness.judged.target import CALLED, SERVER, Built, Target
from harness.typescript.build import Build, build
from harness.typescript.components import COMPONENTS as MODULES
from harness.typescript.floating import floating_in
from harness.typescript.problems import NotReady
from harness.typescript.tools import PROJECT, ROOT, Tools, find_tools
from harness.verdict.causes import Floating
from harness.verdict.steps import COMPONENTS, EXERCISES

_HERE = ROOT / "harness" / "typescript"
_WATCH, _NOT_BUILT = "watch_loop.mjs", "not_built.mjs"
_SCRIPTS = (_WATCH, "main_thread.mjs", _NOT_BUILT)
"""What a server is started with."""
_PROBLEM, _WEB = "problem.txt", "web"


def files_in(folder: Path, exercise: int, together: bool) -> dict[int, Path]:
    """The file of an exercise, or those of all, in a folder. Raises BadTarget."""
    files = {number: folder / file_of(number) for number in (EXERCISES if together else (exercise,))}
    check_there(files.values())
    return files


def file_of(exercise: int) -> str:
    """The name of the file of an exercise."""
    return MODULES[COMPONENTS[exercise]].file


def has_components(folder: Path) -> bool:
    """Whether the file of any exercise is in a folder."""
    return any(os.path.isfile(folder / file_of(number)) for number in EXERCISES)


def target(files: Mapping[int, Path], exercise: int, together: bool, label: str) -> Target:
    """The kit's server with one component of the student's, or with all.

    Raises Unclear if Node, or what it needs, is not installed.
    """
    uses = {COMPONENTS[number]: str(path.resolve()) for number, path in files.items()}
    label = label or ", ".join(shown(path) for path in files.values())
    return server(uses, label, None if together else COMPONENTS[exercise])


def server(
    uses: dict[str, str],
    label: str,
    component: str | None = None,
    place: Path | None = None,
    project: Path = PROJECT,
) -> Target:
    """The kit's server with these components, and our own others. Raises Unclear, likewise.

    It is built below `place`, which is there; else where it is removed when we end. The server itself is that
    of `project`.
    """
    tools = replace(_tools(), project=project)
    versions = tuple((name, path, *_version_of(path)) for name, path in uses.items())
    built = _built(versions, str(place) if place else None, tools)
    start = str(Path(built.server, "dist", "index.js"))
    words = (
        [str(Path(built.folder, _NOT_BUILT)), str(Path(built.folder, _PROBLEM))]
        if built.is_refused
        else [start]
    )
    options = ["--enable-source-maps", "--import", Path(built.folder, _WATCH).as_uri()]
    # What a user has set for Node would change what is judged.
    env = {"NODE_OPTIONS": "", "WEB_DIR": str(Path(built.folder, _WEB))}
    return Target(label, (tools.node, *options, *words), component=component, uses=uses, build=built, env=env)


def floating(target: Target) -> list[Floating]:
    """The promises in a target's own code that nobody waits for; none if it has none in TypeScript."""
    if target.build is None or target.build.is_refused:
        return []
    own = {place: Path(path) for place, path in target.build.own.items()}
    return floating_in(Build(Path(target.build.server), None, own), _tools())


def version() -> str:
    """The major version of Node that servers run on here; empty if it, or what it needs, is not installed."""
    try:
        return _tools().version.removeprefix("v").partition(".")[0]
    except Unclear:
        return ""


def check_ready() -> None:
    """Raise Unclear if Node, or what it needs, is not installed."""
    _tools()


def packages() -> str:
    """Where the packages lie that servers import, without links. Raises Unclear, likewise."""
    return str(_tools().packages.resolve())


@cache
def _tools() -> Tools:
    try:
        return find_tools()
    except NotReady as error:
        raise Unclear(error.key, **error.params) from error


def _version_of(path: str) -> tuple[int, int]:
    about = os.stat(path)
    return about.st_mtime_ns, about.st_size


@cache
def _built(versions: tuple[tuple[str, str, int, int], ...], place: str | None, tools: Tools) -> Built:
    """What was built of components, in a new folder that everybody may read."""
    folder = Path(tempfile.mkdtemp(prefix="chat-lab-build-", dir=place or scratch()))
    if place is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    made = build({name: Path(path) for name, path, *_ in versions}, folder / SERVER, tools, shown=shown)
    if made.refused is not None:
        (folder / _PROBLEM).write_text(made.problem, encoding="utf-8")
    else:
        _copy_for_calls(folder, [file.removesuffix(".ts") for file in made.own])
    # Isolated code sees this folder, and nothing of the kit.
    for name in _SCRIPTS:
        shutil.copyfile(_HERE / name, folder / name)
    shutil.copytree(ROOT / "lab" / "web", folder / _WEB)
    own = {place: str(path.resolve()) for place, path in made.own.items()}
    return Built(str(folder), own, made.refused is not None)


def _copy_for_calls(folder: Path, own: Collection[str]) -> None:
    """Copy what is called directly to a folder without the model answers to the other exercises."""
    others = [each.module for each in MODULES.values() if each.module not in own]
    dist = str(folder / SERVER / "dist")

    def are_answers(place: str, names: list[str]) -> list[str]:
        return [name for name in names if place == dist and name.partition(".")[0] in others]

    shutil.copytree(dist, folder / CALLED, ignore=are_answers)

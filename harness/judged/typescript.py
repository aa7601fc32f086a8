"""Targets in TypeScript: the kit's server, built with the components of a student."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from harness.judged.environment import scratch
from harness.judged.problems import BadTarget, Unclear
from harness.judged.submissions import check_readable, shown
from harness.judged.target import Built, Target
from harness.typescript.build import build
from harness.typescript.components import COMPONENTS as MODULES
from harness.typescript.problems import NotReady
from harness.typescript.tools import ROOT, Tools, find_tools
from harness.verdict.steps import COMPONENTS, EXERCISES

_HERE = ROOT / "harness" / "typescript"
_WATCH, _NOT_BUILT = _HERE / "watch_loop.mjs", _HERE / "not_built.mjs"


def files_in(folder: Path, exercise: int, together: bool) -> dict[int, Path]:
    """The file of an exercise, or those of all, in a folder. Raises BadTarget."""
    files = {number: folder / file_of(number) for number in (EXERCISES if together else (exercise,))}
    for path in files.values():
        if not os.path.lexists(path):
            raise BadTarget("target.no_component", path=shown(path))
        check_readable(path)
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


def server(uses: dict[str, str], label: str, component: str | None = None) -> Target:
    """The kit's server with these components, and our own others. Raises Unclear, likewise."""
    tools = _tools()
    built, problem = _built(tuple((name, path, *_version_of(path)) for name, path in uses.items()))
    start = [str(_NOT_BUILT), problem] if problem else [str(Path(built.folder, "dist", "index.js"))]
    options = ["--enable-source-maps", *(["--import", _WATCH.as_uri()] if _WATCH.exists() else [])]
    # What a user has set for Node would change what is judged.
    env = {"NODE_OPTIONS": "", "WEB_DIR": str(ROOT / "lab" / "web")}
    return Target(label, (tools.node, *options, *start), component=component, uses=uses, build=built, env=env)


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
def _built(versions: tuple[tuple[str, str, int, int], ...]) -> tuple[Built, str]:
    """What was built of components, and the file that says why there is nothing; removed when we end."""
    folder = Path(tempfile.mkdtemp(prefix="chat-lab-build-", dir=scratch()))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    made = build({name: Path(path) for name, path, *_ in versions}, folder / "server", _tools(), shown=shown)
    own = {place: str(path.resolve()) for place, path in made.own.items()}
    problem = ""
    if made.refused is not None:
        problem = str(folder / "problem.txt")
        Path(problem).write_text(made.problem, encoding="utf-8")
    return Built(str(folder / "server"), own, bool(problem)), problem

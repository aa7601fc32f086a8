"""The part of the kit that is handed out: it judges, without the answers and what is for teachers."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from harness.grading.handouts.bundle import Bundle
from harness.grading.handouts.project import constraints, licence, pyproject
from harness.grading.handouts.sealed import sealed
from harness.judged.candidates import HANDED_OUT, hashes_of_handouts
from harness.judged.targets import ROOT
from harness.typescript.build import SOLUTIONS
from harness.typescript.components import COMPONENTS as MODULES
from harness.typescript.stand_ins import PLACE, for_a_kit, text_of_stand_in
from harness.typescript.tools import PROJECT
from harness.verdict.steps import COMPONENTS

COMMANDS_LEFT_OUT = ("bench", "export", "grade", "hunt", "zoo")
"""Commands for teachers and for those who build the kit; the hunt needs the zoo, which has right servers."""
_LEFT_OUT = (
    *(
        "harness/bench",
        "harness/grading",
        "harness/hunt",
        "harness/zoo",
        "harness/greeter.py",
        "harness/picture.py",
    ),
    # Pages about all of the harness: they name what is not here.
    *("harness/README.md", "harness/DECISIONS.md"),
)
_PROGRAMS = ("chatlab_entry.py", "chatlab_fixtures.py", "chatlab_pytest.py")
"""The modules of harness/entry_points: a wheel has them at its top."""
_COMMAND = "harness/cli/main.py"
_OF_TOOLS = ("__pycache__", "node_modules", "dist")
"""Folders that tools have made."""
_HIDDEN = (".npmrc", ".oxlintrc.json")
"""Files of the project in TypeScript that npm and the linter read."""


def judging_kit(*, with_reference: bool, with_typescript: bool = True) -> Bundle:
    """What it takes to run `chatlab check`: lab, harness and how to install them.

    Unless `with_reference`, the reference's own components, which are answers, are packed (see sealed.py). So
    are those that stand in for components in TypeScript; with these comes the project of its server.
    """
    bundle = Bundle()
    for folder in ("lab", "harness"):
        for path in files_below(ROOT / folder):
            name = path.relative_to(ROOT).as_posix()
            if not is_left_out(name):
                bundle.add(name, path.read_bytes())
    for name in _PROGRAMS:
        here = ROOT / "harness" / "entry_points" / name
        bundle.add(f"harness/entry_points/{name}", (here if here.is_file() else ROOT / name).read_bytes())
    bundle.add(_COMMAND, without_commands(bundle.files[_COMMAND].decode(), COMMANDS_LEFT_OUT))
    for exercise, component in COMPONENTS.items():
        name = f"lab/{component}.py"
        if not with_reference:
            bundle.add(name, sealed(bundle.files[name].decode(), component, exercise))
    if with_typescript:
        _add_typescript(bundle, is_readable=with_reference)
    bundle.add(HANDED_OUT.relative_to(ROOT).as_posix(), hashes_of_handouts())
    bundle.add("pyproject.toml", pyproject())
    bundle.add("constraints.txt", constraints())
    if licence():
        bundle.add("LICENSE", licence())
    return bundle


def _add_typescript(bundle: Bundle, *, is_readable: bool) -> None:
    for path in (*files_below(PROJECT), *(PROJECT / name for name in _HIDDEN)):
        if path.is_file():
            bundle.add(path.relative_to(ROOT).as_posix(), path.read_bytes())
    place = PLACE.relative_to(ROOT).as_posix()
    for component in MODULES.values():
        text = text_of_stand_in(component.file, SOLUTIONS)
        name, text = for_a_kit(text, component.file, is_readable=is_readable)
        bundle.add(f"{place}/{name}", text)


def is_left_out(path: str) -> bool:
    """Whether a file of the kit is not handed out, by its path from the kit's folder."""
    place, _, name = path.rpartition("/")
    if place == "harness/cli" and name.removesuffix(".py").partition("_")[0] in COMMANDS_LEFT_OUT:
        return True
    return any(path == each or path.startswith(f"{each}/") for each in _LEFT_OUT)


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder that belong to the kit: no caches, and nothing hidden."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each[0] != "." and each not in _OF_TOOLS)
        for name in sorted(files):
            if name[0] != "." and not name.endswith(".pyc"):
                yield Path(place, name)


def without_commands(source: str, names: tuple[str, ...]) -> str:
    """The module that lists the commands, without some of them: their imports, and their places in the list.

    So no command is listed that cannot be run, and the kit itself needs no code for missing parts.
    """
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        first, last = node.lineno - 1, node.end_lineno
        if isinstance(node, ast.ImportFrom) and any(node.module == f"harness.cli.{each}" for each in names):
            del lines[first:last]
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
            kept = [ast.unparse(each) for each in node.iter.elts if ast.unparse(each) not in names]
            body = lines[node.body[0].lineno - 1 : last]
            lines[first:last] = [f"for {ast.unparse(node.target)} in ({', '.join(kept)}):\n", *body]
    return "".join(lines)

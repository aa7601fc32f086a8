"""The part of the kit that is handed out: it judges, without the answers and what is for teachers."""

from __future__ import annotations

import ast

from harness.grading.handouts.project import constraints, licence, pyproject
from harness.grading.handouts.sealed import sealed
from harness.judged.handed_out import KEPT, as_file
from harness.judged.targets import ROOT
from harness.typescript.build import SOLUTIONS
from harness.typescript.components import COMPONENTS as MODULES
from harness.typescript.stand_ins import PLACE, for_a_kit, text_of_stand_in
from harness.verdict.steps import COMPONENTS
from harness.workspace.bundle import Bundle
from harness.workspace.exercises import files_below, typescript_project

COMMANDS_LEFT_OUT = ("bench", "export", "grade", "hunt", "solution", "zoo")
"""Commands for teachers and for those who build the kit, and those for what is not handed out.

The hunt needs the zoo, which has right servers.
"""
_LEFT_OUT = (
    *("harness/bench", "harness/grading", "harness/hunt", "harness/zoo", "harness/greeter.py"),
    "harness/picture.py",
    # Pages about all of the harness: they name what is not here.
    *("harness/README.md", "harness/DECISIONS.md"),
)
_PROGRAMS = ("chatlab_entry.py", "chatlab_fixtures.py", "chatlab_pytest.py")
"""The modules of harness/entry_points: a wheel has them at its top."""
_COMMAND = "harness/cli/main.py"


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
    bundle.add(KEPT.relative_to(ROOT).as_posix(), as_file())
    bundle.add("pyproject.toml", pyproject())
    bundle.add("constraints.txt", constraints())
    if licence():
        bundle.add("LICENSE", licence())
    return bundle


def _add_typescript(bundle: Bundle, *, is_readable: bool) -> None:
    for name, content in typescript_project().files.items():
        bundle.add(name, content)
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


def without_commands(source: str, names: tuple[str, ...]) -> str:
    """The module that lists the commands, without some of them: their imports, and their places in the list.

    So no command is listed that cannot be run, and the kit itself needs no code for missing parts.
    """
    lines = source.splitlines(keepends=True)
    for node in reversed(ast.parse(source).body):
        first, last = node.lineno - 1, node.end_lineno
        if isinstance(node, ast.ImportFrom) and any(node.module == f"harness.cli.{each}" for each in names):
            del lines[first:last]
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):  # the sections
            lines[first:last] = [f"{ast.unparse(node.targets[0])} = {_without(node.value, names)}\n"]
    return "".join(lines)


def _without(sections: ast.Dict, names: tuple[str, ...]) -> str:
    """The tuples of commands in a dictionary, without some; without what is empty then."""
    kept: list[str] = []
    for title, commands in zip(sections.keys, sections.values, strict=True):
        assert title is not None, "each section has a title"
        assert isinstance(commands, ast.Tuple), "and its commands"
        left = [ast.unparse(each) for each in commands.elts if ast.unparse(each) not in names]
        if left:
            kept.append(f"    {ast.unparse(title)}: ({', '.join(left)},),\n")
    return f"{{\n{''.join(kept)}}}"

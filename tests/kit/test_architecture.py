"""Who may import whom, held against the imports as they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports, anywhere in it, except for the type checker alone."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if (ROOT / node.module.replace(".", "/")).is_dir():
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
                found.discard(node.module)
    ours = ("lab", "harness", "exercises", "solutions", "tests")
    return {name for name in found if name.partition(".")[0] in ours}


def files(pattern: str) -> list[Path]:
    """The Python files that match, at least one."""
    found = sorted(ROOT.glob(pattern))
    assert found, f"nothing matches {pattern}"
    return found


def test_protocol_and_history_import_nothing_of_ours() -> None:
    """The contract and the form of a history depend on nothing else."""
    assert imports(ROOT / "lab/protocol.py") == set()
    assert imports(ROOT / "harness/history/events.py") == set()


def test_components_know_interfaces_alone() -> None:
    """The reference's components and the students' import the protocol and the interfaces only."""
    components = [ROOT / f"lab/{name}.py" for name in ("pubsub", "sequencer", "presence", "store")]
    for path in [*components, *files("exercises/ex*/*.py"), *files("solutions/ex*/*.py")]:
        assert imports(path) <= {"lab.protocol", "lab.interfaces"}, path


def test_lab_does_not_know_the_harness() -> None:
    """Nothing in the server's package names the harness."""
    for path in files("lab/*.py"):
        assert not any(name.startswith("harness") for name in imports(path)), path


def test_checkers_are_pure() -> None:
    """Checkers see histories, anomalies and the protocol's types, and no clock, file or chance."""
    allowed = {
        "harness.history.events",
        "harness.checkers.catalogue",
        "harness.history.index",
        "harness.history.frames",
        "lab.protocol",
    }
    for path in files("harness/checkers/*.py"):
        names = {name for name in imports(path) if not name.startswith("harness.checkers")}
        assert names <= allowed, path
        text = path.read_text()
        for word in ("import time", "import random", "import asyncio", "open("):
            assert word not in text, (path, word)


def test_scenarios_know_no_particular_world() -> None:
    """Scenarios use the interface of a world, never the live one, and never the server's code."""
    for path in files("harness/scenarios/*.py"):
        for name in imports(path):
            assert not name.startswith("harness.worlds") or name == "harness.worlds.base", (path, name)
            assert not name.startswith("lab") or name == "lab.protocol", (path, name)


def test_reports_run_nothing() -> None:
    """Reports read runs; they start no server and play no scenario."""
    for path in files("harness/reports/*.py"):
        for name in imports(path):
            assert not name.startswith(("harness.worlds", "harness.scenarios", "harness.worlds.client")), (
                path,
                name,
            )


def test_extras_are_imported_by_those_who_need_them() -> None:
    """The command and the pytest plugin start without anything that an extra installs.

    Locust in particular: to import it changes the sockets and threads of the whole process.
    """
    extras = ("locust", "gevent", "matplotlib", "nbclient", "jupytext", "playwright")
    code = f"""
import sys
import harness.cli.main, harness.cli.load, harness.cli.grade, harness.pytest_support.plugin
print([name for name in {extras} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr


def test_the_server_stays_small() -> None:
    """The reference can be read in an evening: about 1,600 lines of code, not counting texts."""
    lines = 0
    for path in files("lab/*.py"):
        source = path.read_text()
        texts = {
            number
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)
        }
        for number, line in enumerate(source.splitlines(), start=1):
            if line.strip() and not line.strip().startswith("#") and number not in texts:
                lines += 1
    assert lines < 1700


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_nothing_is_left_to_do(word: str) -> None:
    """No file says that something is still to be done."""
    for path in [*files("lab/*.py"), *files("harness/**/*.py"), *files("*.md")]:
        assert word not in path.read_text(), path

"""The rules about which module may import which, checked against the actual imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


LAYERS = (
    ("harness.entry_points",),
    ("harness.cli",),
    ("harness.bench", "harness.hunt"),
    ("harness.quiz", "harness.watch"),
    (
        *("harness.check", "harness.doctor", "harness.grading", "harness.greeter", "harness.load"),
        *("harness.notebooks", "harness.picture", "harness.pytest_support", "harness.zoo"),
    ),
    ("harness.reports",),
    ("harness.minimize",),
    ("harness.submissions",),
    ("harness.workspace",),
    ("harness.running",),
    ("harness.scenarios",),
    ("harness.contracts",),
    ("harness.worlds",),
    ("harness.cluster",),
    ("harness.judged",),
    ("harness.typescript",),
    ("harness.verdict",),
    ("harness.checkers",),
    ("harness.history",),
    ("harness.texts",),
    ("harness.posix",),
    ("lab",),
)
"""From above to below: each folder imports those below it, and none beside it."""


def module_of(path: Path) -> str:
    """The dotted name of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for name in ("lab", "harness") for path in (ROOT / name).rglob("*.py")}


def imports(path: Path) -> set[str]:
    """The modules of ours that a file imports, anywhere in it: late, and for type hints, too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in names if name in MODULES}
            found |= modules or {node.module}
    ours = ("lab", "harness", "exercises", "solutions", "tests")
    return {name for name in found if name.partition(".")[0] in ours}


IMPORTS = {name: imports(path) & set(MODULES) - {name} for name, path in MODULES.items()}


def layer_of(module: str) -> int:
    """The number of the layer that a module belongs to; 0 is the lowest."""
    folder = ".".join(module.split(".")[:2]) if module.startswith("harness.") else "lab"
    (place,) = [n for n, folders in enumerate(reversed(LAYERS)) if folder in folders]
    return place


def folder_of(module: str) -> str:
    """The package that a module is in or that it is."""
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


def reached(module: str) -> set[str]:
    """Everything that an import of a module pulls in, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for name in IMPORTS[waiting.pop()] - found:
            found.add(name)
            waiting.append(name)
    return found


def files(pattern: str) -> list[Path]:
    """The Python files that match, at least one."""
    found = sorted(ROOT.glob(pattern))
    assert found, f"nothing matches {pattern}"
    return found


def test_folders_import_in_one_direction(capsys: pytest.CaptureFixture[str]) -> None:
    """What an import pulls in, late ones and type hints included,
    is in a lower layer or in the same folder.
    """
    upward = [
        f"{module} -> {name}"
        for module in MODULES
        if module != "harness"
        for name in reached(module)
        if name != "harness" and not _is_below(name, module)
    ]
    cycles = [module for module in MODULES if module in reached(module)]
    with capsys.disabled():
        print(
            f"\n{len(MODULES)} modules, {sum(map(len, IMPORTS.values()))} imports: "
            f"{len(cycles)} in cycles, {len(upward)} upward"
        )
    assert cycles == []
    assert upward == []


def _is_below(name: str, module: str) -> bool:
    own, other = (each.split(".")[:2] for each in (module, name))
    return own == other or own[0] == other[0] == "lab" or layer_of(name) < layer_of(module)


def test_no_folder_within_a_folder_is_imported_from_above_and_below() -> None:
    """Nested folders, such as worlds/sim, form no cycle with the folder that they are in.

    The command of the server is on top of both: it makes a node of a cluster, or a server alone.
    """
    between = {
        (folder_of(module), folder_of(name))
        for module, names in IMPORTS.items()
        if module != "lab.command"
        for name in names
        if folder_of(module) != folder_of(name)
    }
    assert [pair for pair in between if pair[::-1] in between] == []


def test_every_folder_has_a_layer() -> None:
    """A new folder, or a module beside the folders, is given a layer before it is used."""
    folders = {".".join(name.split(".")[:2]) for name in MODULES if name.startswith("harness.")}
    assert folders == {name for layer in LAYERS for name in layer if name != "lab"}


def test_protocol_and_history_import_nothing_of_ours() -> None:
    """The contract and the form of a history depend on nothing else."""
    assert imports(ROOT / "lab/protocol.py") == imports(ROOT / "lab/legible.py") == set()
    assert imports(ROOT / "harness/history/events.py") == {"harness.history.faults"}
    assert imports(ROOT / "harness/history/faults.py") == set()


def test_components_import_interfaces_only() -> None:
    """The reference's components and the students' import the protocol and the interfaces only."""
    components = [ROOT / f"lab/{name}.py" for name in ("pubsub", "sequencer", "presence", "store")]
    for path in [*components, *files("exercises/ex*/*.py"), *files("solutions/ex*/*.py")]:
        assert imports(path) <= {"lab.protocol", "lab.interfaces"}, path


def test_lab_does_not_know_the_harness() -> None:
    """Nothing in the server's package names the harness."""
    for path in files("lab/*.py"):
        assert not any(name.startswith("harness") for name in imports(path)), path


def test_checkers_are_pure() -> None:
    """Checkers use histories, anomalies and the protocol's types, and no clock, file or random numbers."""
    for path in files("harness/checkers/*.py"):
        for name in imports(path):
            pure = ("lab.protocol", "lab.legible")
            assert name.startswith(("harness.checkers.", "harness.history.")) or name in pure, path
        text = path.read_text()
        for word in ("import time", "import random", "import asyncio", "open("):
            assert word not in text, (path, word)


def test_scenarios_know_no_particular_world() -> None:
    """Scenarios use the interface of a world, never the live one, and never the server's code."""
    worlds = {f"harness.worlds.{name}" for name in ("base", "client", "surroundings")}
    for path in files("harness/scenarios/*.py"):
        for name in imports(path):
            assert not name.startswith("harness.worlds") or name in worlds, (path, name)
            assert not name.startswith("lab") or name == "lab.protocol", (path, name)


def test_reports_run_nothing() -> None:
    """Reports read runs; they start no server and play no scenario."""
    for path in files("harness/reports/*.py"):
        for name in imports(path):
            assert not name.startswith(("harness.worlds", "harness.scenarios")), (path, name)


def test_extras_are_imported_only_where_they_are_needed() -> None:
    """The command and the pytest plugin start without anything that an extra installs.

    Locust in particular: importing it changes the sockets and threads of the whole process.
    """
    extras = (
        *("locust", "gevent", "matplotlib", "nbclient", "jupytext", "playwright", "rapidfuzz"),
        *("opentelemetry", "prometheus_client"),
    )
    code = f"""
import sys
import harness.cli.main, harness.cli.load, harness.cli.grade, harness.pytest_support.plugin
print([name for name in {extras} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stderr


def test_the_server_stays_small() -> None:
    """The reference server can be read in an evening: about 2,500 lines of code, not counting texts."""
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
    assert lines < 2600


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_no_to_do_is_left(word: str) -> None:
    """No file says that something is still to be done."""
    for path in [*files("lab/*.py"), *files("harness/**/*.py"), *files("*.md")]:
        assert word not in path.read_text(), path


def test_commands_can_be_imported_where_there_is_no_unix() -> None:
    """Windows lacks some modules: what only a simulated play needs of them is imported for one."""
    lacking = "fcntl", "grp", "pwd", "resource", "termios"
    code = f"""import sys, psutil  # which needs them on this system
sys.modules.update(dict.fromkeys({lacking}))
import harness.cli.main, harness.check.worlds_asked, harness.running.worker
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

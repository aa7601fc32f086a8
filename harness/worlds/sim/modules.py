"""A server's own modules, which each start of it imports anew: what they kept in variables is gone.

Modules of the standard library and installed packages stay as they are; to import them anew would take
most of a run's time, and servers keep nothing in them.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from harness.worlds.sim.source_locations import is_library

_FIRST = frozenset(
    {"_collections_abc", "_sitebuiltins", "abc", "builtins", "codecs", "encodings", "genericpath", "harness"}
    | {"io", "lab", "marshal", "os", "posixpath", "site", "stat", "sys", "time", "zipimport"}
)
"""What Python has imported before it looks into a program's folder, and our own packages."""


def forget_own(program: str) -> list[ModuleType]:
    """Take a server's own modules from the list of those that are imported, and return them.

    `program` is the module that is run, if it is one: what is in its package is its own. So are the
    reference server's, unless that is run itself; it keeps nothing in its modules.
    """
    gone = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        filename = getattr(module, "__file__", None) or ""
        if top == "lab":
            own = program != "lab"
        elif top == "harness":
            own = name == program or name.startswith(f"{program}.")
        else:
            own = bool(filename) and not is_library(filename)
        if own:
            gone.append(sys.modules.pop(name))
    importlib.invalidate_caches()
    return gone


_OURS = ("harness.", "lab.")


@contextmanager
def restored() -> Iterator[None]:
    """On exit, restore the imported modules, the path to them, and the arguments.

    A package has its modules as attributes, too: an import sets them, and nothing removes them.
    """
    modules, path, arguments = dict(sys.modules), list(sys.path), list(sys.argv)
    inner = [(name.rpartition("."), module) for name, module in modules.items() if name.startswith(_OURS)]
    bound = [
        (package, own, module)
        for (package, _, own), module in inner
        if vars(modules[package]).get(own) is module
    ]
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name not in modules]:
            del sys.modules[name]
        sys.modules.update(modules)
        for package, own, module in bound:
            setattr(modules[package], own, module)
        sys.path[:], sys.argv[:] = path, arguments


def run_file(path: Path, arguments: list[str]) -> None:
    """Run a file as `python FILE` does. Raises whatever it raises."""
    module = ModuleType("__main__")
    module.__file__ = str(path)
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    sys.argv[:] = [str(path), *arguments]
    _look_first_in(path.parent)
    exec(compile(path.read_bytes(), str(path), "exec"), vars(module))


def run_module(name: str, arguments: list[str]) -> None:
    """Run a module as `python -m NAME` does, in the current folder. Raises whatever it raises."""
    sys.argv[:] = [name, *arguments]
    _look_first_in(Path.cwd())
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _look_first_in(folder: Path) -> None:
    """Find modules in this folder before all others, also if we have imported others of their names."""
    sys.path.insert(0, str(folder))
    for path in folder.iterdir():
        name = path.stem if path.suffix == ".py" else path.name
        known = sys.modules.get(name)
        if known is None or name in _FIRST or not (path.suffix == ".py" or (path / "__init__.py").is_file()):
            continue
        if not str(getattr(known, "__file__", None) or "").startswith(f"{folder}{os.sep}"):
            for each in [each for each in sys.modules if each.partition(".")[0] == name]:
                del sys.modules[each]

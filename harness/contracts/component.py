"""A component's class, imported again for each play: no variable of its module survives from play to play."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, ModuleType

from harness.worlds.sim.source_locations import is_library
from lab.loader import INTERFACES, load, locate


class Component:
    """The class of component `name` in the file `where`. Raises lab.loader.ComponentError if it has none."""

    def __init__(self, name: str, where: str) -> None:
        self.name = name
        self._path = locate(name, where)
        before = set(sys.modules)
        load(name, where)
        self._own = [each for each in sys.modules if each not in before and _is_own(each)]
        self._code: CodeType = compile(self._path.read_bytes(), str(self._path), "exec")

    def fresh(self) -> type:
        """The class as in a new process: its module, and the student's modules it imports, are run again."""
        for each in self._own:
            sys.modules.pop(each, None)
        module = ModuleType(f"component_{self.name}")
        module.__file__ = str(self._path)
        sys.modules[module.__name__] = module
        exec(self._code, vars(module))
        found: type = getattr(module, INTERFACES[self.name].__name__)
        return found


def _is_own(module: str) -> bool:
    top = module.partition(".")[0]
    path = getattr(sys.modules[module], "__file__", None)
    return bool(path) and top not in ("lab", "harness") and not is_library(str(Path(path or "").resolve()))

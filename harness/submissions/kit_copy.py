"""What judged code sees of the kit: a copy from which what it could take its answer from was left out.

For a component, the copy has the reference server with an empty class in place of that component; for a
whole server, it has nothing. It comes first on Python's path, so it hides the kit that is installed, and
`solutions` and `exercises`, too. Whoever opens files by their paths finds them nevertheless, unless the code
is isolated.
"""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

from harness.judged.targets import ROOT
from lab.loader import INTERFACES

ALL = "all"
"""All four components: where they are judged together, or called directly."""
_EMPTY = ("solutions", "exercises")
_EMPTY_FOR_SERVERS = (*_EMPTY, "lab", "harness")
OF_THE_KIT = ("lab", "harness", "solutions", "exercises", "notebooks", "tests")
"""The folders of a kit that is isolated from what it judges."""


def copy_of_kit(place: Path, component: str | None) -> Path:
    """The folder with the copy for a component (or `ALL`), or for a whole server (None); it is made below
    `place` if it is not there yet.
    """
    folder = place / (component or "none")
    if folder.exists():
        return folder
    new = place / f"{folder.name}.new"
    for name in _EMPTY if component else _EMPTY_FOR_SERVERS:
        (new / name).mkdir(parents=True)
        (new / name / "__init__.py").write_text('"""Not here: this code is being judged."""\n')
    if component:
        # With the times of the files, so that Python takes what it has compiled already.
        shutil.copytree(ROOT / "lab", new / "lab", copy_function=shutil.copy2)
        for each in INTERFACES if component == ALL else (component,):
            (new / "lab" / f"{each}.py").write_text(_instead_of(each))
            for compiled in (new / "lab" / "__pycache__").glob(f"{each}.*"):
                compiled.unlink()
    new.rename(folder)
    return folder


def _instead_of(component: str) -> str:
    """A module with an empty class; its constants stay, since the server reads some."""
    values = vars(importlib.import_module(f"lab.{component}")).items()
    constants = [f"{name} = {value!r}" for name, value in values if name.isupper() and isinstance(value, str)]
    doc = '"""Not here: this component is being judged."""'
    return "\n".join([doc, *constants, f"class {INTERFACES[component].__name__}:", "    pass", ""])

"""What judged code sees of the kit: a copy from which what it could take its answer from was left out.

For a component, the copy has the reference server with an empty class in place of that component; for a
whole server, it has nothing. It comes first on Python's path, so it hides the kit that is installed, and
`solutions` and `exercises`, too. Whoever opens files by their paths finds them nevertheless, unless the code
is isolated.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

from harness.judged.targets import ROOT
from lab.loader import INTERFACES

_EMPTY = ("solutions", "exercises")
_EMPTY_FOR_SERVERS = (*_EMPTY, "lab", "harness")
OF_THE_KIT = ("lab", "harness", "solutions", "exercises", "notebooks", "tests")
"""The folders of a kit that is isolated from what it judges."""


def copy_of_kit(place: Path, components: Collection[str]) -> Path:
    """The folder with the copy for some components, or for a whole server, which has none of ours.

    It is made below `place` if it is not there yet.
    """
    folder = place / ("-".join(sorted(components)) or "none")
    if folder.exists():
        return folder
    place.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=place))
    new.chmod(0o755)
    for name in _EMPTY if components else _EMPTY_FOR_SERVERS:
        (new / name).mkdir()
        (new / name / "__init__.py").write_text('"""Not here: this code is being judged."""\n')
    if components:
        # With the times of the files, so that Python takes what it has compiled already.
        shutil.copytree(ROOT / "lab", new / "lab", copy_function=shutil.copy2)
        for component in components:
            (new / "lab" / f"{component}.py").write_text(_instead_of(component))
            for compiled in (new / "lab" / "__pycache__").glob(f"{component}.*"):
                compiled.unlink()
    try:
        new.rename(folder)
    except OSError:  # another process has made it meanwhile
        shutil.rmtree(new)
    return folder


def _instead_of(component: str) -> str:
    """A module with an empty class; its constants stay, since the server reads some."""
    values = vars(importlib.import_module(f"lab.{component}")).items()
    constants = [f"{name} = {value!r}" for name, value in values if name.isupper() and isinstance(value, str)]
    doc = '"""Not here: this component is being judged."""'
    return "\n".join([doc, *constants, f"class {INTERFACES[component].__name__}:", "    pass", ""])

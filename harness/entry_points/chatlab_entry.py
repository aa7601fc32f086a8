"""The entry point of the command `chatlab`, in a module that no other project has.

Installed, the modules of this folder are at the top level. Anybody may have a `harness` or a `lab` of their
own, and Python takes what comes first on its path: so nothing of the kit is imported before it is known whose
these two are. The sentence is not in `harness/texts`, which is hidden with the rest.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_FILES = {"harness": "pytest_support/plugin.py", "lab": "sequencer.py"}
"""The packages, and a file of each by which it is known: another copy of the kit is the kit, too."""
_EXIT_USAGE = 64


def hidden() -> str:
    """What hides a package of the kit, and what to do about it; empty if nothing does. Imports nothing."""
    for name, file in _FILES.items():
        try:
            spec = find_spec(name)
        except ValueError:  # a module of this name was put together by hand
            spec = None
        places = (spec.submodule_search_locations if spec else None) or ()
        if not any((Path(place) / file).is_file() for place in places):
            return _said(name, spec.origin if spec else None)
    return ""


def _said(name: str, file: str | None) -> str:
    if file is None:
        return f"chat-lab cannot be used here: its package `{name}` is not found. Install chat-lab again."
    path = Path(file)
    folder = (path.parent if path.name == "__init__.py" else path).parent
    return (
        f"chat-lab cannot be used here: {file} hides its package `{name}`. Rename yours, or keep {folder} "
        "off Python's path: it is there by PYTHONPATH, by a setting of pytest, or by `python -m` in it."
    )


def main() -> None:
    """Run the command `chatlab`."""
    said = hidden()
    if said:
        print(said, file=sys.stderr)
        sys.exit(_EXIT_USAGE)
    for name in [name for name in os.environ if name.startswith("WEBSOCKETS_")]:
        del os.environ[name]  # settings of the library for another program; some end it as it is imported
    from harness.cli.main import main as command

    command()

"""Which files are those of whoever wrote what is judged, and which are libraries, or the kit's."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from harness.history.raised import is_no_library
from harness.judged.targets import ROOT, Target
from harness.judged.tracks import called
from lab.loader import INTERFACES

_KIT = tuple(f"{ROOT / name}{os.sep}" for name in ("lab", "harness"))
_ZOO = f"{ROOT / 'harness' / 'zoo'}{os.sep}"


def own_code(target: Target) -> Callable[[str], bool]:
    """Says of a file whether it is the judged code's.

    For components these are their files, and what lies beside them; the reference server that runs them is
    the kit's. For a whole server, it is all that is no library.
    """
    if target.build is not None:
        own = {*target.build.own.values(), *target.uses.values()}
        return lambda file: file in own
    files = set(target.uses.values())
    beside = tuple(f"{Path(file).parent}{os.sep}" for file in files)

    def is_own(file: str) -> bool:
        if files:
            return file in files or (file.startswith(beside) and not _is_of_others(file))
        if target.is_our_server and file.startswith(_KIT[0]):
            return True
        return not _is_of_others(file)

    return is_own


def methods_of(target: Target) -> dict[str, str]:
    """The methods of the judged components: by their names, how they are shown, "Sequencer.accept"."""
    return {
        called(method, target.track): f"{INTERFACES[component].__name__}.{method}"
        for component in target.uses
        for method in vars(INTERFACES[component])
        if not method.startswith("_")
    }


def _is_of_others(file: str) -> bool:
    return not file.startswith(_ZOO) and (not is_no_library(file) or file.startswith(_KIT))

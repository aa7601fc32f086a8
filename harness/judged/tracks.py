"""The two languages in which the course is taught: a student chooses one of these tracks."""

from __future__ import annotations

import re

PYTHON, TYPESCRIPT = "python", "typescript"
TRACKS = (PYTHON, TYPESCRIPT)
_SECOND_WORD = re.compile(r"_(\w)")
VARIABLE = "CHATLAB_TRACK"
"""The environment variable that names the track where no option does."""


def called(method: str, track: str) -> str:
    """What a method of `lab.interfaces` is called in a track: `in_room` is `inRoom` in TypeScript."""
    return method if track == PYTHON else _SECOND_WORD.sub(lambda found: found[1].upper(), method)

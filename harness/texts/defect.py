"""What is said where the kit itself failed: one sentence, and the file that has the details."""

from __future__ import annotations

import os
import tempfile
from functools import cache

from harness.texts import Texts
from lab.legible import both_ends, legible, one_line

_LONGEST = 200
"""Characters of an exception that are shown."""


def told(details: str, words: Texts) -> str:
    """The sentence for whoever gave the command; `details`, such as a traceback, go into the file named."""
    lines = details.strip().splitlines() or ["?"]
    what, path = one_line(both_ends(lines[-1].strip(), _LONGEST)), _kept(details)
    return words.say("ui.defect" if path else "ui.defect_not_kept", what=what, path=path)


@cache
def _kept(details: str) -> str:
    """The file that has the details, which are written once; empty if there is no room for it."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="chatlab-failed-", suffix=".txt", text=True)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(legible(details) + "\n")
    except OSError:
        return ""
    return path

"""Reads source code where a program says that it is, which may be any file, a device without end too."""

from __future__ import annotations

import linecache
import os
import stat

_LARGEST = 1024 * 1024
"""Bytes of a file of source code that is looked at."""
_read_lines = linecache.updatecache


def is_source(file: str) -> bool:
    """Whether it is a file, and not too large to be somebody's source code; a device or a pipe is none."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST


def source_of(file: str) -> bytes:
    """The whole file; empty if it cannot be read, or is none of source code."""
    if not is_source(file):
        return b""
    try:
        with open(file, "rb") as opened:
            return opened.read(_LARGEST)
    except OSError:
        return b""


def line_of(file: str, number: int) -> str:
    """A line without the blanks around it; empty if there is none."""
    if not _may_be_read(file):
        return ""
    linecache.checkcache(file)  # it may have been saved since
    return linecache.getline(file, number).strip()


def guard_tracebacks() -> None:
    """Let `linecache`, and tracebacks with it, read nothing but source code in this process."""
    linecache.updatecache = _lines_of


def _lines_of(filename: str, module_globals: dict[str, object] | None = None) -> list[str]:
    return _read_lines(filename, module_globals) if _may_be_read(filename) else []


def _may_be_read(file: str) -> bool:
    """Whether it is source code, or nothing that the system knows: `linecache` may have it from elsewhere."""
    return "\0" not in file and (is_source(file) or not os.path.lexists(file))

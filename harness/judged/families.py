"""The processes below one, and what memory they have: cheaply, since that is asked many times a second."""

from __future__ import annotations

import contextlib
import os

import psutil

from harness.posix import memory_in, proc


def children(pid: int) -> list[int]:
    """The processes that a process has started, or adopted; none where only a search of all would tell."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(proc(pid, "task")):
            with contextlib.suppress(OSError):
                found += map(int, proc(pid, "task", thread, "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """All processes below one, likewise."""
    found = children(pid)
    for each in found:
        found += children(each)
    return found


def written_by(pid: int) -> int:
    """Bytes that a process has written, into whatever; 0 if that is not known."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(proc(pid, "io").read_text().partition("wchar: ")[2].split()[0])
    return 0


def memory_of(pid: int) -> int:
    """Bytes of memory that a process takes; 0 if that is not known."""
    try:
        return memory_in(proc(pid, "statm").read_text())
    except (OSError, ValueError, IndexError):
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(pid).memory_info().rss)
    return 0

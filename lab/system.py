"""What the server asks of the system that not every system has, each with what is done where it has not.

Nothing else in `lab` does so; of the harness, `harness/posix` is the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]


def allow_files(wanted: int) -> int:
    """Let this process open so many files, and return how many it may open; fewer if the system forbids it.

    Never lowers what is allowed already.
    """
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def when_told_to_stop(call: Callable[[], object], names: tuple[str, ...] = ("SIGTERM", "SIGINT")) -> None:
    """Have the running event loop call this at these signals, and at the one by which Windows asks."""
    loop = asyncio.get_running_loop()
    for number in (getattr(signal, name) for name in (*names, "SIGBREAK") if hasattr(signal, name)):
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))


def sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk itself."""
    if path.is_dir() and os.name == "nt":  # Windows has no such call for folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

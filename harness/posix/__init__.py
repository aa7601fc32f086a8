"""What only some systems have: asked for here alone, each with what is done where it is missing.

Windows lacks most of it, and macOS some. What cannot be done at all without it is told in a sentence where it
is asked for, such as `target.no_fork`. Modules that never run elsewhere stand in a list of the test that
holds this, `tests/kit/test_portable.py`, with what stands in for them. For `lab`, there is `lab/system.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from math import inf
from pathlib import Path
from typing import IO, Any, NoReturn

try:
    import fcntl
    import resource
    import termios
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    resource = None  # type: ignore[assignment]
    termios = None  # type: ignore[assignment]

__all__ = [
    "CAN_FORK",
    "EPOLL",
    "KILL",
    "LIBC",
    "LINUX",
    "NETLINK",
    "WINDOWS",
    "after_fork",
    "before_start",
    "cores",
    "end_all_of",
    "end_group",
    "end_with_parent",
    "fix_addresses",
    "interrupted_after",
    "is_root",
    "limit_memory_of",
    "limit_ourselves",
    "lock",
    "lock_now",
    "memory_in",
    "on_return",
    "proc",
    "resource",
    "room_in",
    "stay_on",
    "termios",
    "with_high_number",
]

LINUX, WINDOWS = sys.platform == "linux", sys.platform == "win32"
CAN_FORK = hasattr(os, "fork")
"""Else nothing is simulated, nor called directly: `target.no_fork`, `note.not_called_system`."""
KILL: int = getattr(signal, "SIGKILL", signal.SIGTERM)
"""The signal that ends a process at once; on Windows, any does so that is sent to one process."""
LIBC: Any = ctypes.CDLL(None, use_errno=True) if LINUX else None
"""The C library, for calls that only Linux has; None elsewhere."""
NETLINK: int | None = getattr(socket, "AF_NETLINK", None)
"""The family of sockets by which Linux answers questions about others."""
EPOLL: Any = getattr(select, "epoll", None)
"""Waits for thousands of descriptors at once, on Linux; `chatlab bench` says that it needs it."""
_SET_PDEATHSIG, _NO_RANDOM_ADDRESSES = 1, 0x0040000
_PAGE: int = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


# --- processes ----------------------------------------------------------------------------------------


def before_start(call: Callable[[], object]) -> dict[str, Any]:
    """The argument by which a new process calls this before its program; none where it cannot."""
    return {"preexec_fn": call} if CAN_FORK else {}


def after_fork(call: Callable[[], object]) -> None:
    """Have each process that is forked from now on call this. Where there are none, nothing is to do."""
    if CAN_FORK:
        os.register_at_fork(after_in_child=call)


def end_with_parent(number: int = KILL) -> None:
    """Have the system send us this signal when the process that started us ends (on Linux alone)."""
    if LIBC is not None:
        LIBC.prctl(_SET_PDEATHSIG, number)


def end_group(pid: int, number: int = KILL) -> None:
    """Send a signal to the leader of a session and all in it; elsewhere to the process alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        (os.killpg if hasattr(os, "killpg") else os.kill)(pid, number)


def end_all_of(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that has begun a session of its own, with what it has started, and wait for it."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(OSError):
            os.killpg(process.pid, KILL)
    else:
        process.kill()
    process.wait()


def fix_addresses() -> None:
    """Have programs that we become find their memory at the same addresses each time, if that can be had."""
    with contextlib.suppress(OSError, AttributeError):
        LIBC.personality(_NO_RANDOM_ADDRESSES)


def is_root() -> bool:
    """Whether we may do everything. Nobody is root on Windows."""
    return hasattr(os, "getuid") and os.getuid() == 0


# --- limits -------------------------------------------------------------------------------------------


def limit_ourselves(memory: int, seconds: int) -> None:
    """Bound our memory, in bytes, and our time on processors; not on Windows."""
    if resource is not None:
        for kind, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, seconds)):
            resource.setrlimit(kind, (most, most))


@contextlib.contextmanager
def interrupted_after(seconds: float, interrupt: Callable[[], NoReturn]) -> Iterator[None]:
    """Call `interrupt` in the code that runs after so many seconds of the processor, and again each second.

    It raises an exception. On Windows nothing is interrupted: whoever waits for this process ends it.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGPROF, lambda number, frame: interrupt())
    signal.setitimer(signal.ITIMER_PROF, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def on_return(call: Callable[[], None]) -> None:
    """Call this in the running event loop when somebody has continued us, as by `fg`; not on Windows."""
    if hasattr(signal, "SIGCONT"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, call)


def limit_memory_of(pid: int, memory: int) -> None:
    """Bound the memory of a process, and of those that it starts; only Linux can do that from outside."""
    if LINUX:
        with contextlib.suppress(OSError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (memory, memory))
            resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def cores() -> list[int]:
    """The numbers of the processor cores that we may use; made up where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def stay_on(chosen: Iterable[int]) -> None:
    """Run on these cores alone, with all that is started from now on; on all if there is none."""
    numbers = list(chosen)
    if numbers and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, numbers)


# --- files --------------------------------------------------------------------------------------------


def proc(*names: object) -> Path:
    """A file in which Linux tells about processes: elsewhere it is not there, and reading it an OSError."""
    return Path("/proc", *map(str, names))


def memory_in(statm: str) -> int:
    """Bytes of memory, of what the file `statm` in /proc says. Raises ValueError, IndexError."""
    return int(statm.split()[1]) * _PAGE


def room_in(folder: Path) -> float:
    """Bytes that are free on the disk of a folder; infinitely many where the system does not tell."""
    if not hasattr(os, "statvfs"):
        return inf
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize


def lock(file: IO[Any]) -> None:
    """Wait until no other process has locked a file, and lock it until it is closed."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX)
        return
    windows: Any = import_module("msvcrt")
    while True:
        try:
            windows.locking(file.fileno(), windows.LK_LOCK, 1)
            return
        except OSError:  # it gives up after ten seconds
            continue


def lock_now(file: IO[Any]) -> None:
    """Lock a file likewise, or raise BlockingIOError if another process has; on Windows, do nothing."""
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def with_high_number(descriptor: int, least: int) -> int:
    """The same file by a descriptor of that number or above, if that can be had."""
    if fcntl is not None:
        with contextlib.suppress(OSError):
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD, least)
    return descriptor

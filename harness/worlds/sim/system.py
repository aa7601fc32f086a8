"""What the system keeps for each process: its standard files by number, its limits, its signal mask.

Each simulated host has its own, so that a program gets the usual answers, and what it sets affects no other
host: standard files that it closes, limits that it lowers, signals that it blocks.
"""

from __future__ import annotations

import errno
import faulthandler
import gc
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from harness.posix import resource
from harness.worlds.sim.machine import Machine
from lab.legible import text_of

Replacement = tuple[Any, str, Any]
Instead = Callable[[Any, str, Callable[..., Any]], Iterator[Replacement]]
"""Makes a function that does something else when a server calls it."""

_STANDARD = (0, 1, 2)
_FIXED = (signal.SIGKILL, signal.SIGSTOP) if hasattr(signal, "SIGKILL") else ()
"""Signals that cannot be handled."""


def replacements(instead: Instead) -> Iterator[Replacement]:
    """What is replaced in the standard library."""
    yield from _standard_files(instead)
    yield from _limits(instead)
    yield from _signals(instead)
    yield from _garbage(instead)


def _standard_files(instead: Instead) -> Iterator[Replacement]:
    write, read, close, dup2, isatty = os.write, os.read, os.close, os.dup2, os.isatty

    def on_write(host: Machine, number: int, data: Any) -> int:
        if number not in _STANDARD[1:]:
            return write(number, data)
        host.print(text_of(bytes(data)))
        return len(bytes(data))

    def on_dup2(host: Machine, number: int, to: int, inheritable: bool = True) -> int:
        return to if to in _STANDARD else dup2(number, to, inheritable)

    def on_close(host: Machine, number: int) -> None:
        if number not in _STANDARD:
            close(number)

    yield from instead(os, "write", on_write)
    yield from instead(os, "read", lambda host, number, size: b"" if number == 0 else read(number, size))
    yield from instead(os, "close", on_close)
    yield from instead(os, "dup2", on_dup2)
    yield from instead(os, "isatty", lambda host, number: number not in _STANDARD and isatty(number))


def _limits(instead: Instead) -> Iterator[Replacement]:
    def nice(host: Machine, more: int) -> int:
        host.kept["nice"] = min(19, host.kept.get("nice", 0) + more)
        return int(host.kept["nice"])

    yield from instead(os, "nice", nice)
    if resource is not None:
        real = resource.getrlimit

        def getrlimit(host: Machine, which: int) -> tuple[int, int]:
            limits: tuple[int, int] = host.kept.get(("limit", which)) or real(which)
            return limits

        def setrlimit(host: Machine, which: int, limits: tuple[int, int]) -> None:
            soft, hard = limits
            most = getrlimit(host, which)[1]
            if most != resource.RLIM_INFINITY and not 0 <= hard <= most:
                raise ValueError("not allowed to raise maximum limit")
            host.kept["limit", which] = (soft, hard)

        yield from instead(resource, "getrlimit", getrlimit)
        yield from instead(resource, "setrlimit", setrlimit)


def _signals(instead: Instead) -> Iterator[Replacement]:
    def set_handler(host: Machine, number: int, handler: Any) -> Any:
        if number in _FIXED or not 0 < number < signal.NSIG:
            raise OSError(errno.EINVAL, "Invalid argument")
        if not callable(handler) and handler not in (signal.SIG_DFL, signal.SIG_IGN):
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
        previous = host.handlers.get(int(number), signal.SIG_DFL)
        host.handlers[int(number)] = handler
        return previous

    def set_wakeup(host: Machine, number: int, *, warn_on_full_buffer: bool = True) -> int:
        previous = int(host.kept.get("wakeup", -1))
        host.kept["wakeup"] = number
        return previous

    def set_mask(host: Machine, how: int, mask: Any) -> set[int]:
        before = set(host.blocked)
        some = {int(number) for number in mask}
        if how == signal.SIG_BLOCK:
            host.blocked |= some
        elif how == signal.SIG_UNBLOCK:
            host.blocked -= some
        else:
            host.blocked = some
        for number in sorted(host.pending - host.blocked):
            host.pending.discard(number)
            host.send_signal(number)
        return {signal.Signals(number) for number in before}

    def register(host: Machine, number: int, *_: Any, **__: Any) -> None:
        host.handlers[int(number)] = lambda number, frame: None  # it would print what all threads do

    yield from instead(signal, "signal", set_handler)
    yield from instead(signal, "set_wakeup_fd", set_wakeup)
    yield from instead(signal, "siginterrupt", lambda host, number, flag: None)
    yield from instead(signal, "pthread_sigmask", set_mask)
    yield from instead(signal, "sigpending", lambda host: {signal.Signals(each) for each in host.pending})
    yield from instead(faulthandler, "register", register)
    for place, names in (
        (signal, ("sigwait", "sigwaitinfo", "sigtimedwait", "pause")),
        (faulthandler, ("dump_traceback_later",)),
        (select, ("select", "poll", "epoll", "kqueue")),
    ):
        for name in names:
            call = f"{place.__name__}.{name}()"
            yield from instead(place, name, partial(_refuse, call))


def _refuse(call: str, host: Machine, *_: Any, **__: Any) -> None:
    host.refuse("call", name=call)


def _garbage(instead: Instead) -> Iterator[Replacement]:
    """Garbage is collected at fixed moments, whatever a program has set."""

    def set_on(on: bool, host: Machine) -> None:
        host.kept["gc"] = on

    yield from instead(gc, "enable", partial(set_on, True))
    yield from instead(gc, "disable", partial(set_on, False))
    yield from instead(gc, "isenabled", lambda host: bool(host.kept.get("gc", True)))


class Zone:
    """The time zone, which a program may change by `time.tzset`, and which is restored for the next one."""

    def __init__(self) -> None:
        self._before = os.environ.get("TZ")
        self._real: Callable[[], None] = getattr(time, "tzset", lambda: None)
        self._is_changed = False

    def replacements(self, instead: Instead) -> Iterator[Replacement]:
        """What is replaced in `time`."""
        yield from instead(time, "tzset", lambda host: self._put(host.environ.get("TZ")))

    def _put(self, zone: str | None) -> None:
        self._is_changed = True
        if zone is None:
            os.unsetenv("TZ")
        else:
            os.putenv("TZ", zone)
        self._real()

    def restore(self) -> None:
        """Restore the zone."""
        if self._is_changed:
            self._put(self._before)
            self._is_changed = False

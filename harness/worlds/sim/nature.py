"""What the standard library tells a program of the world outside, replaced while a simulation runs.

Time, chance, the environment, output, signals and the end of the process belong to the host whose code is
running. What would break virtual time, such as a thread or a real socket, is refused, with the line that
does it. Code of the harness itself has the real thing wherever it asks for more than time and chance.
"""

from __future__ import annotations

import asyncio
import atexit
import builtins
import io
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from asyncio import events
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any
from unittest import mock

import time_machine

from harness.worlds.sim import identity
from harness.worlds.sim.host import Host, Output
from harness.worlds.sim.places import is_library

if TYPE_CHECKING:
    from harness.worlds.sim.simulator import Simulator

_UPTIME = 100_000.0
"""What `time.monotonic` shows at the start of a run: its zero has no meaning, and should not be given one."""


class Nature:
    """A context in which the standard library tells of the simulated world."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._stack = ExitStack()
        self._clock: Any = None
        self._shown = 0  # nanoseconds since the run began that the clock shows

    def __enter__(self) -> Nature:
        with ExitStack() as stack:
            self._clock = stack.enter_context(time_machine.travel(self._simulator.start, tick=False))
            for place, name, new in self._replacements():
                stack.enter_context(mock.patch.object(place, name, new))
            stack.enter_context(_generator_hooks())
            stack.enter_context(_own_chance(self._simulator.seed))
            stack.enter_context(_own_logging())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def tell_time(self) -> None:
        """Let the time of day be what it is for the code that runs next."""
        now = round(self._simulator.local_now * 1e9)
        if now != self._shown and self._clock is not None:
            self._clock.shift((now - self._shown) / 1e9)
            self._shown = now

    # --- what is replaced -------------------------------------------------------------------------

    def _replacements(self) -> Iterator[tuple[Any, str, Any]]:
        yield from self._of_time()
        yield from self._of_chance()
        yield from self._of_the_process()
        yield from self._of_files()
        yield from self._of_event_loops()
        yield from self._refused()

    def _server(self) -> Host | None:
        """The host whose code is running, if that is somebody's server."""
        host = self._simulator.current
        return host if host is not None and host.is_server else None

    def _of_time(self) -> Iterator[tuple[Any, str, Any]]:
        simulator = self._simulator

        def monotonic() -> float:
            return _UPTIME + simulator.local_now

        def monotonic_ns() -> int:
            return round(monotonic() * 1e9)

        def sleep(seconds: float) -> None:
            host = self._server()
            if host is not None:
                host.sleep(seconds)
            else:
                real_sleep(seconds)

        real_sleep = time.sleep
        for name in ("monotonic", "perf_counter"):
            yield time, name, monotonic
            yield time, f"{name}_ns", monotonic_ns
        yield time, "sleep", sleep

    def _of_chance(self) -> Iterator[tuple[Any, str, Any]]:
        def urandom(size: int) -> bytes:
            host = self._simulator.current
            return host.chance.randbytes(size) if host is not None else real_urandom(size)

        real_urandom = os.urandom
        yield os, "urandom", urandom
        yield random, "_urandom", urandom  # which `secrets` is made from
        yield uuid, "_generate_time_safe", None  # else uuid1 asks the system
        yield uuid, "_UuidCreate", None
        yield uuid, "_node", 0x02_00_00_00_00_01

    def _of_the_process(self) -> Iterator[tuple[Any, str, Any]]:
        simulator = self._simulator
        real_exit, real_getpid, real_signal = os._exit, os.getpid, signal.signal
        real_getsignal, real_register = signal.getsignal, atexit.register

        def leave(code: int) -> None:
            host = self._server()
            host.exit(code) if host is not None else real_exit(code)

        def getpid() -> int:
            host = self._server()
            return host.pid if host is not None else real_getpid()

        def set_handler(number: int, handler: Any) -> Any:
            host = self._server()
            if host is None:
                return real_signal(number, handler)
            previous = host.handlers.get(int(number), signal.SIG_DFL)
            if handler is signal.SIG_DFL:
                host.handlers.pop(int(number), None)
            else:
                ignores = handler is signal.SIG_IGN
                host.handlers[int(number)] = lambda: None if ignores else handler(number, None)
            return previous

        def get_handler(number: int) -> Any:
            host = self._server()
            return real_getsignal(number) if host is None else host.handlers.get(int(number), signal.SIG_DFL)

        def register(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
            host = self._server()
            if host is None:
                return real_register(function, *args, **more)
            host.at_exit.append(lambda: function(*args, **more))
            return function

        yield os, "_exit", leave
        yield os, "getpid", getpid
        yield os, "environ", _Environment(simulator, os.environ)
        yield signal, "signal", set_handler
        yield signal, "getsignal", get_handler
        yield atexit, "register", register
        yield sys, "stdout", Output(simulator, sys.stdout)
        yield sys, "stderr", Output(simulator, sys.stderr)

    def _of_files(self) -> Iterator[tuple[Any, str, Any]]:
        real_open, real_listdir, real_scandir, real_id = builtins.open, os.listdir, os.scandir, builtins.id

        def remembering_open(*args: Any, **more: Any) -> Any:
            file = real_open(*args, **more)
            host = self._server()
            if host is not None:
                host.files.append(file)
            return file

        def listdir(path: Any = ".") -> list[Any]:
            return sorted(real_listdir(path))  # a disk has an order of its own

        def scandir(path: Any = ".") -> Any:
            return _Sorted(real_scandir(path)) if self._server() is not None else real_scandir(path)

        def numbered(thing: object) -> int:
            own = self._server() is not None and not is_library(sys._getframe(1).f_code.co_filename)
            return identity.serial(thing) if own else real_id(thing)

        yield builtins, "open", remembering_open
        yield io, "open", remembering_open
        yield os, "listdir", listdir
        yield os, "scandir", scandir
        yield builtins, "id", numbered
        yield builtins, "__build_class__", identity.build_class

    def _of_event_loops(self) -> Iterator[tuple[Any, str, Any]]:
        real = {
            name: getattr(events, name) for name in ("new_event_loop", "get_event_loop", "set_event_loop")
        }

        def new_event_loop() -> Any:
            host = self._server()
            if host is None:
                return real["new_event_loop"]()
            host.loop._closed = False
            return host.loop

        def get_event_loop() -> Any:
            host = self._server()
            return real["get_event_loop"]() if host is None else host.loop

        def set_event_loop(loop: Any) -> None:
            if self._server() is None:
                real["set_event_loop"](loop)

        for place in (events, asyncio):
            yield place, "new_event_loop", new_event_loop
            yield place, "get_event_loop", get_event_loop
            yield place, "set_event_loop", set_event_loop

    def _refused(self) -> Iterator[tuple[Any, str, Any]]:
        def refusing(what: str, real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **more: Any) -> Any:
                host = self._server()
                if host is not None:
                    host.refuse(what)
                return real(*args, **more)

            return call

        yield threading.Thread, "start", refusing("thread", threading.Thread.start)
        yield socket.socket, "__init__", refusing("socket", socket.socket.__init__)
        yield subprocess.Popen, "__init__", refusing("process", subprocess.Popen.__init__)
        for name in ("fork", "posix_spawn", "system"):
            if hasattr(os, name):
                yield os, name, refusing("process", getattr(os, name))
        yield builtins, "input", refusing("input", builtins.input)


class _Environment(MutableMapping[str, str]):
    """`os.environ`: each host has its own."""

    def __init__(self, simulator: Simulator, real: MutableMapping[str, str]) -> None:
        self._simulator = simulator
        self._real = real

    @property
    def _now(self) -> MutableMapping[str, str]:
        host = self._simulator.current
        return host.environ if host is not None and host.is_server else self._real

    def __getitem__(self, name: str) -> str:
        return self._now[name]

    def __setitem__(self, name: str, value: str) -> None:
        self._now[name] = value

    def __delitem__(self, name: str) -> None:
        del self._now[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._now))

    def __len__(self) -> int:
        return len(self._now)

    def copy(self) -> dict[str, str]:
        """See os.environ."""
        return dict(self._now)


class _Sorted:
    """What `os.scandir` gives, by name."""

    def __init__(self, entries: Any) -> None:
        with entries:
            self._entries = iter(sorted(entries, key=lambda entry: entry.name))

    def __iter__(self) -> Any:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> _Sorted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def _generator_hooks() -> Iterator[None]:
    """Abandoned asynchronous generators are closed by the loop that they ran on, as asyncio does it."""
    hooks = sys.get_asyncgen_hooks()

    def first(generator: Any) -> None:
        loop: Any = asyncio.get_running_loop()
        loop._asyncgen_firstiter_hook(generator)

    def last(generator: Any) -> None:
        loop: Any = events._get_running_loop()
        if loop is not None:
            loop._asyncgen_finalizer_hook(generator)

    sys.set_asyncgen_hooks(firstiter=first, finalizer=last)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(*hooks)


@contextmanager
def _own_chance(seed: str) -> Iterator[None]:
    """The module `random` begins anew, and goes on afterwards as if nothing had been."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _own_logging() -> Iterator[None]:
    """What a server does to the root logger is undone."""
    root = logging.getLogger()
    handlers, level, last_resort = list(root.handlers), root.level, logging.lastResort
    logging.lastResort = logging._StderrHandler(logging.WARNING)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        root.handlers[:], logging.lastResort = handlers, last_resort
        root.setLevel(level)

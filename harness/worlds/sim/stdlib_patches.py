"""Replaces what the standard library tells a program of the world outside, while a simulation runs.

Time, randomness, the environment, output, signals and the end of the process belong to the host whose code is
running. What would break virtual time, such as a thread or a real socket, is refused, with the line that
does it. Code of the harness itself gets the real thing for all but time and randomness.
"""

from __future__ import annotations

import _posixsubprocess
import _thread
import _threading_local
import asyncio
import atexit
import builtins
import errno
import importlib
import io
import logging
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
import weakref
from asyncio import events
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import get_ident  # the real one, also while a simulation runs
from types import ModuleType, TracebackType
from typing import Any
from unittest import mock

from harness.worlds.sim import stable_hash as identity
from harness.worlds.sim import streams, system
from harness.worlds.sim.host import Host
from harness.worlds.sim.hostloop import HostLoop
from harness.worlds.sim.loggers import Loggers
from harness.worlds.sim.machine import Scheduler
from harness.worlds.sim.process_state import ProcessState
from harness.worlds.sim.source_locations import is_library
from harness.worlds.sim.stand_ins import lacks, own_fault
from harness.worlds.sim.threads import of_one_thread


def _without_pytest(name: str) -> ModuleType:
    """Import a module that would import pytest for a plugin of its own: a tenth of a second, for nothing."""
    if "pytest" in sys.modules:
        return importlib.import_module(name)
    sys.modules["pytest"] = None  # type: ignore[assignment]  # as if it was not installed
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules["pytest"]


time_machine = _without_pytest("time_machine")

_posix = sys.modules.get("posix")
"""Where `os` has most of its functions from."""
_MONOTONIC = [
    getattr(time, name) for name in ("CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME")
    if hasattr(time, name)
]  # fmt: skip
_SYNCED = getattr(os, "O_SYNC", 0) | getattr(os, "O_DSYNC", 0)
"""With one of these, what is written to a file is on the disk when that returns."""
_PROCESSES = ("fork", "forkpty", "posix_spawn", "posix_spawnp", "system", "execv", "execve")
"""What makes, or becomes, another process; the rest of `os` and `subprocess` is made from these."""
_MANY_READINGS = 1000
"""Readings of a clock without a pause, from which on it moves with each of them."""
_STEP = 1e-4
"""Seconds by which it moves then."""


class StdlibPatches:
    """A context manager in which the standard library shows the simulated world."""

    def __init__(self, simulator: Scheduler) -> None:
        self._simulator = simulator
        self._stack = ExitStack()
        self._began = simulator.now
        self._readings = 0  # of a clock, since code began to run
        self._reader = -1  # which code that is
        self._thread = get_ident()
        self._real_streams = {name: getattr(sys, name) for name in streams.NAMES}
        self._state: ProcessState | None = None  # as the first program found it
        self._zone = system.Zone()

    def __enter__(self) -> StdlibPatches:
        with ExitStack() as stack:
            clock = stack.enter_context(time_machine.travel(self._simulator.start, tick=False))
            clock.time_ns = self._time_of_day
            for place, name, new in self._replacements():
                stack.enter_context(mock.patch.object(place, name, new))
                if place is os and hasattr(_posix, name):
                    stack.enter_context(mock.patch.object(_posix, name, new))
            stack.enter_context(_generator_hooks())
            stack.enter_context(_own_random(self._simulator.seed))
            stack.enter_context(_own_logging())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def new_process(self) -> None:
        """Restore everything to what a new process finds."""
        if self._state is None:
            self._state = ProcessState()
        self.restore()
        for number, (name, real) in enumerate(self._real_streams.items()):
            stream = streams.Stream(self._simulator, number, real)
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    def restore(self) -> None:
        """Undo what programs have done to the standard library."""
        self._zone.restore()
        if self._state is not None:
            self._state.restore()

    def _time_of_day(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return round(self._simulator.start * 1e9) + round((self._read_clock() - self._began) * 1e9)

    def _read_clock(self) -> float:
        """Seconds of uptime. Code takes no time, but code that keeps reading a clock waits for it to move."""
        simulator = self._simulator
        if self._reader != simulator.handled:
            self._reader, self._readings = simulator.handled, 0
        self._readings += 1
        host = simulator.current
        if self._readings > _MANY_READINGS and host is not None and host.is_server:
            host.busy_until = max(host.busy_until, simulator.now) + _STEP
        return simulator.local_now

    # --- what is replaced -------------------------------------------------------------------------

    def _replacements(self) -> Iterator[tuple[Any, str, Any]]:
        yield from self._of_time()
        yield from self._of_randomness()
        yield from self._of_the_process()
        yield from self._of_signals()
        yield from self._of_files()
        yield from self._of_event_loops()
        yield from self._of_executors()
        yield from self._of_databases()
        yield from self._of_threads()
        yield from self._of_locks()
        yield from self._of_logging()
        yield from self._refused()

    @property
    def _current(self) -> Host | None:
        host = self._simulator.current
        assert host is None or isinstance(host, Host)
        return host

    def _server(self) -> Host | None:
        """The host whose code is running, if it runs a server."""
        host = self._current
        if host is None or not host.is_server or get_ident() != self._thread:
            return None  # other threads of this process are not simulated
        return host

    def _of_time(self) -> Iterator[tuple[Any, str, Any]]:
        def monotonic() -> float:
            return self._read_clock()

        def monotonic_ns() -> int:
            return round(monotonic() * 1e9)

        def clock_gettime(clock: int) -> float:
            return monotonic() if clock in _MONOTONIC else real_gettime(clock)

        def clock_gettime_ns(clock: int) -> int:
            return monotonic_ns() if clock in _MONOTONIC else real_gettime_ns(clock)

        if hasattr(time, "clock_gettime"):
            real_gettime, real_gettime_ns = time.clock_gettime, time.clock_gettime_ns
            yield time, "clock_gettime", clock_gettime
            yield time, "clock_gettime_ns", clock_gettime_ns
        for name in ("monotonic", "perf_counter"):
            yield time, name, monotonic
            yield time, f"{name}_ns", monotonic_ns
        for name in ("process_time", "thread_time"):
            yield from self._instead(time, name, lambda host: monotonic())
            yield from self._instead(time, f"{name}_ns", lambda host: monotonic_ns())
        ctime, asctime = time.ctime, time.asctime
        yield from self._instead(time, "ctime", lambda host, *at: ctime(*(at or (time.time(),))))
        yield from self._instead(time, "asctime", lambda host, *at: asctime(*(at or (time.localtime(),))))
        yield from self._instead(time, "sleep", lambda host, seconds: host.sleep(seconds))

    def _of_randomness(self) -> Iterator[tuple[Any, str, Any]]:
        def urandom(size: int) -> bytes:
            host = self._current
            return host.rng.randbytes(size) if host is not None else real_urandom(size)

        def getrandom(size: int, flags: int = 0) -> bytes:
            return urandom(size)

        def seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
            real_seed(generator, int.from_bytes(urandom(32)) if a is None else a, version)

        real_urandom, real_seed = os.urandom, random.Random.seed
        yield os, "urandom", urandom
        if hasattr(os, "getrandom"):
            yield os, "getrandom", getrandom
        yield random.Random, "seed", seed
        yield random, "seed", partial(seed, random._inst)
        yield random, "_urandom", urandom  # which `secrets` uses
        yield uuid, "_generate_time_safe", None  # else uuid1 asks the system
        yield uuid, "_UuidCreate", None
        yield uuid, "_node", 0x02_00_00_00_00_01

    def _of_the_process(self) -> Iterator[tuple[Any, str, Any]]:
        on_host, simulator = self._instead, self._simulator

        def register(host: Host, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
            host.at_exit.append((function, partial(function, *args, **more)))
            return function

        def unregister(host: Host, function: Callable[..., Any]) -> None:
            host.at_exit = [entry for entry in host.at_exit if entry[0] != function]

        yield from on_host(os, "_exit", lambda host, code: host.exit(code))
        yield from on_host(os, "getpid", lambda host: host.pid)
        yield from on_host(os, "getppid", lambda host: 1)
        yield from on_host(os, "getpgrp", lambda host: host.pid)
        yield from on_host(os, "getpgid", lambda host, pid: host.pid)
        yield from on_host(atexit, "register", register)
        yield from on_host(atexit, "unregister", unregister)
        yield os, "environ", _Environment(simulator, os.environ)
        for number, (name, real) in enumerate(self._real_streams.items()):
            stream = streams.Stream(simulator, number, real)
            yield sys, name, stream
            yield sys, f"__{name}__", stream
        yield from system.replacements(self._instead)
        yield from self._zone.replacements(self._instead)

    def _of_signals(self) -> Iterator[tuple[Any, str, Any]]:
        on_host = self._instead

        def kill(host: Host, pid: int, number: int) -> None:
            if abs(pid) not in (0, host.pid):
                raise ProcessLookupError(errno.ESRCH, "No such process")
            host.send_signal(int(number))

        def alarm(host: Host, seconds: float) -> int:
            return int(host.set_alarm(seconds))

        def set_timer(host: Host, which: int, seconds: float, interval: float = 0.0) -> tuple[float, float]:
            return host.set_alarm(seconds), 0.0

        yield from on_host(
            signal, "getsignal", lambda host, number: host.handlers.get(int(number), signal.SIG_DFL)
        )
        yield from on_host(signal, "raise_signal", lambda host, number: host.send_signal(int(number)))
        yield from on_host(os, "kill", kill)
        yield from on_host(os, "abort", lambda host: host.kill(signal.SIGABRT))
        if hasattr(os, "killpg"):
            yield from on_host(os, "killpg", kill)
            yield from on_host(
                signal, "pthread_kill", lambda host, thread, number: host.send_signal(int(number))
            )
            yield from on_host(signal, "alarm", alarm)
            yield from on_host(signal, "setitimer", set_timer)

    def _instead(
        self, place: Any, name: str, on_host: Callable[..., Any]
    ) -> Iterator[tuple[Any, str, Callable[..., Any]]]:
        """A function that does something else when a server calls it; nothing where the system lacks it."""
        real = getattr(place, name, None)
        if real is None:
            return

        def call(*args: Any, **more: Any) -> Any:
            host = self._server()
            return real(*args, **more) if host is None else on_host(host, *args, **more)

        yield place, name, call

    def _of_files(self) -> Iterator[tuple[Any, str, Any]]:
        real_open, real_listdir, real_scandir, real_id = builtins.open, os.listdir, os.scandir, builtins.id
        real_os_open = os.open

        def remembering_open(*args: Any, **more: Any) -> Any:
            host = self._server()
            if host is not None and not host.is_alive:
                raise OSError(errno.EIO, "the host has ended")  # a destructor, say
            if host is not None and args and type(args[0]) is int and args[0] in (0, 1, 2):
                return streams.opened(
                    self._simulator, args[0], *(args[1:2] or [more.pop("mode", "r")]), **more
                )
            file = real_open(*args, **more)
            if host is not None:
                host.files.append(weakref.ref(file, host.files.remove))
            return file

        def syncing(real: Callable[[Any], None]) -> Callable[[Any], None]:
            def sync(file: Any) -> None:
                real(file)
                if (host := self._server()) is not None:
                    stat = os.fstat(file if isinstance(file, int) else file.fileno())
                    host.synced[stat.st_ino] = stat.st_size

            return sync

        def open_synced(path: Any, flags: int, *args: Any, **more: Any) -> int:
            file = real_os_open(path, flags, *args, **more)
            if flags & _SYNCED and (host := self._server()) is not None:
                host.synced[os.fstat(file).st_ino] = sys.maxsize
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
        for name in ("fsync", "fdatasync"):
            if hasattr(os, name):
                yield os, name, syncing(getattr(os, name))
        yield os, "open", open_synced
        yield os, "listdir", listdir
        yield os, "scandir", scandir
        yield builtins, "id", numbered
        yield builtins, "__build_class__", identity.build_class

    def _of_event_loops(self) -> Iterator[tuple[Any, str, Any]]:
        def get_event_loop(host: Host) -> Any:
            if host.thread is not None:
                raise RuntimeError(f"There is no current event loop in thread {host.thread.name!r}.")
            if host.loop is host.system:
                host.new_loop()
            return events._get_running_loop() or host.loop

        def set_event_loop(host: Host, loop: Any) -> None:
            host.loop = host.system if loop is None else loop

        for place in (events, asyncio):
            yield from self._instead(place, "new_event_loop", lambda host: host.new_loop())
            yield from self._instead(place, "get_event_loop", get_event_loop)
            yield from self._instead(place, "set_event_loop", set_event_loop)
        policy = getattr(events, "BaseDefaultEventLoopPolicy", None) or getattr(
            events, "_BaseDefaultEventLoopPolicy", None
        )
        if policy is not None:
            yield policy, "new_event_loop", _method(self, policy.new_event_loop, lambda host: host.new_loop())
            yield policy, "get_event_loop", _method(self, policy.get_event_loop, get_event_loop)
            yield policy, "set_event_loop", _method(self, policy.set_event_loop, set_event_loop)
        runner = asyncio.Runner.__init__

        def make_runner(self_: Any, *, debug: Any = None, loop_factory: Any = None) -> None:
            host = self._server()
            runner(self_, debug=debug, loop_factory=loop_factory and partial(_ours, host, loop_factory))

        yield asyncio.Runner, "__init__", make_runner

    def _of_executors(self) -> Iterator[tuple[Any, str, Any]]:
        def shutdown(executor: Any, wait: bool = True, *, cancel_futures: bool = False) -> None:
            real(executor, wait, cancel_futures=cancel_futures)
            if (host := self._current) is not None:
                host.shut_down(executor, wait, cancel_futures)

        real = ThreadPoolExecutor.shutdown
        yield ThreadPoolExecutor, "shutdown", shutdown

    def _of_databases(self) -> Iterator[tuple[Any, str, Any]]:
        def connect(
            host: Host,
            database: Any,
            timeout: float = 5.0,
            detect_types: int = 0,
            isolation_level: Any = "",
            check_same_thread: bool = True,
            factory: Any = sqlite3.Connection,
            *args: Any,
            **more: Any,
        ) -> Any:
            kind = of_one_thread(factory) if check_same_thread else factory
            # No other thread can release a lock while this one waits for it.
            return real(database, 0, detect_types, isolation_level, False, kind, *args, **more)

        real = sqlite3.connect
        for place in (sqlite3, sqlite3.dbapi2):
            yield from self._instead(place, "connect", connect)

    def _of_threads(self) -> Iterator[tuple[Any, str, Any]]:
        main, number, native = threading.current_thread, get_ident, threading.get_native_id
        for place in (threading, _threading_local):
            yield from self._instead(place, "current_thread", lambda host: host.thread or main())
        for place in (threading, _thread):
            yield from self._instead(
                place, "get_ident", lambda host: host.thread.ident if host.thread else number()
            )
            yield from self._instead(
                place, "get_native_id", lambda host: host.thread.native_id if host.thread else native()
            )
        yield threading, "local", _threading_local.local  # it looks up the current thread

    def _of_locks(self) -> Iterator[tuple[Any, str, Any]]:
        real = threading.Lock

        def lock(host: Host) -> Any:
            own = not is_library(sys._getframe(2).f_code.co_filename)
            return _ThreadLock(self, real()) if own else real()

        yield from self._instead(threading, "Lock", lock)

    def _of_logging(self) -> Iterator[tuple[Any, str, Any]]:
        yield logging.Logger, "_log", _refusing_log(self, logging.Logger._log)

    def _refused(self) -> Iterator[tuple[Any, str, Any]]:
        refused: list[tuple[Any, str, str]] = [
            (threading.Thread, "start", "thread"),
            (_thread, "start_new_thread", "thread"),
            (_posixsubprocess, "fork_exec", "process"),
            (threading.Condition, "wait", "thread"),
            # Before it takes a lock that all executors of this process share.
            (ThreadPoolExecutor, "submit", "thread"),
            (socket.socket, "__init__", "socket"),
            (subprocess.Popen, "__init__", "process"),
            *((os, name, "process") for name in _PROCESSES),
            (builtins, "input", "input"),
        ]
        for place, name, what in refused:
            yield from self._instead(place, name, partial(_refuse, what))


def _refuse(what: str, host: Host, *_: Any, **__: Any) -> None:
    host.refuse(what)


def _method(
    patches: StdlibPatches, real: Callable[..., Any], on_host: Callable[..., Any]
) -> Callable[..., Any]:
    """A method that does something else when a server calls it."""

    def call(self: Any, *args: Any) -> Any:
        host = patches._server()
        return real(self, *args) if host is None else on_host(host, *args)

    return call


def _ours(host: Host | None, factory: Callable[[], Any]) -> Any:
    """A loop from a program's own factory; others than ours would wait in real time."""
    loop = factory()
    if host is not None and not isinstance(loop, HostLoop):
        host.refuse("call", name=f"{type(loop).__module__}.{type(loop).__qualname__}")
    return loop


class _ThreadLock:
    """`threading.Lock`: to wait for it needs another thread, which would release it."""

    def __init__(self, patches: StdlibPatches, real: Any) -> None:
        self._patches = patches
        self._real = real

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """See threading."""
        if self._real.acquire(blocking=False):
            return True
        host = self._patches._server()
        if blocking and host is not None:
            host.refuse("thread")
        return False

    def release(self) -> None:
        """See threading."""
        self._real.release()

    def locked(self) -> bool:
        """See threading."""
        return bool(self._real.locked())

    def __getattr__(self, name: str) -> Any:
        lacks(type(self._real), "lock", name, self._patches._server())

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


def _refusing_log(patches: StdlibPatches, real: Callable[..., None]) -> Callable[..., None]:
    """`Logger._log`: refuse a logged exception that comes from what is not simulated."""

    def log(
        logger: logging.Logger, level: int, msg: Any, args: Any, exc_info: Any = None, **more: Any
    ) -> None:
        host = patches._server()
        if host is not None and exc_info:
            error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
            fault = own_fault(error) if error is not None else None
            if fault is not None:
                host.refuse(*fault)
        more["stacklevel"] = more.get("stacklevel", 1) + 1  # this function does not count
        real(logger, level, msg, args, exc_info=exc_info, **more)

    return log


class _Environment(MutableMapping[str, str]):
    """`os.environ`: each host has its own."""

    def __init__(self, simulator: Scheduler, real: MutableMapping[str, str]) -> None:
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

    def __getattr__(self, name: str) -> Any:
        lacks(type(self._real), "os.environ", name, self._simulator.current)

    def __or__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**self._now, **other}

    def __ror__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**other, **self._now}

    def __ior__(self, other: Mapping[str, str]) -> _Environment:
        self._now.update(other)
        return self


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
def _own_random(seed: str) -> Iterator[None]:
    """Seed the module `random`, and restore its state on exit."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def _own_logging() -> Iterator[None]:
    """Begin with `logging` not set up, and undo on exit what servers do to it."""
    before = Loggers()
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    logging.lastResort = logging._StderrHandler(logging.WARNING)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        before.restore()

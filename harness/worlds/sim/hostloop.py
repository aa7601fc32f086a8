"""The event loop of one simulated host: asyncio's own, on the simulator's clock, network and disk."""

from __future__ import annotations

import asyncio
import itertools
import signal
import sqlite3
import weakref
from asyncio import events, futures
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from random import Random
from typing import Any

from harness.worlds.sim.machine import Machine
from harness.worlds.sim.source_locations import is_library, place_at, raised_where, waits_where
from harness.worlds.sim.stable_hash import SimFuture, SimTask
from harness.worlds.sim.stand_ins import lacks, own_fault
from harness.worlds.sim.threads import WorkerThread

_MANY_WORKERS = 32
OVERTAKES = 1 / 8
"""How often work that is submitted at the moment of a result gets another thread than the one that gave it.
Measured for two `asyncio.to_thread` in turn on CPython 3.11: 4 of 60 on two busy cores."""


class Handle:
    """A callback that is to be called: like asyncio's handle, at less cost."""

    __slots__ = ("args", "callback", "context", "is_cancelled", "loop")

    def __init__(
        self, loop: HostLoop, callback: Callable[..., object], args: tuple[Any, ...], context: Context
    ) -> None:
        self.loop = loop
        self.callback = callback
        self.args = args
        self.context = context
        self.is_cancelled = False

    def cancel(self) -> None:
        """Do not call it."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Whether it will not be called."""
        return self.is_cancelled

    def get_context(self) -> Context:
        """See asyncio."""
        return self.context

    @property
    def where(self) -> str:
        """The place in the code that is to be run; empty if it is a library's."""
        task = getattr(self.callback, "__self__", None)
        if isinstance(task, asyncio.Task):
            return waits_where(task.get_coro())[0]
        code = getattr(self.callback, "__code__", None)
        if code is None or is_library(code.co_filename):
            return ""
        return place_at(code.co_filename, code.co_firstlineno, code.co_name)

    def __getattr__(self, name: str) -> Any:
        lacks(asyncio.TimerHandle, type(self).__name__, name, self.loop.host)

    def failed(self, error: BaseException) -> None:
        """It raised an exception that nothing else will handle."""
        fault = own_fault(error)
        if fault is not None and self.loop.host.is_server:
            self.loop.host.refuse(*fault)
        message = f"Exception in callback {self.callback!r}"
        self.loop.call_exception_handler({"message": message, "exception": error, "handle": self})


class TimerHandle(Handle):
    """A callback that is to be called later."""

    __slots__ = ("due",)
    due: float

    def when(self) -> float:
        """When that is."""
        return self.due

    def cancel(self) -> None:
        """Do not call it."""
        if not self.is_cancelled:
            self.is_cancelled = True
            self.loop.host.simulator.timer_cancelled()


class HostLoop(asyncio.BaseEventLoop):
    """What `asyncio.get_running_loop()` gives on a simulated host.

    Whatever asyncio can do without a selector it does itself; the rest is the simulator's, or is refused.
    """

    is_over = False
    """Whether it is closed, or its host has ended: then nothing of it runs any more."""
    _default_executor: Any

    def __init__(self, host: Machine) -> None:
        self.host = host
        self._runs = False
        super().__init__()
        self._made: list[weakref.ref[asyncio.Task[Any]]] = []
        self._names = itertools.count(1)

    __hash__ = object.__hash__  # needed at each step of a task, and never for a set

    def __del__(self) -> None:
        """Warn of nothing, unlike asyncio: nothing is open."""

    def __getattr__(self, name: str) -> Any:
        lacks(asyncio.SelectorEventLoop, "loop", name, self.__dict__.get("host"))

    # --- time -------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the run began."""
        return max(self.host.simulator.now, self.host.busy_until)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """See asyncio."""
        if self.is_over:
            self._check_closed()
        handle = Handle(self, callback, args, copy_context() if context is None else context)
        self.host.simulator.soon(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # all threads take turns

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """See asyncio."""
        timer = TimerHandle(self, callback, args, copy_context() if context is None else context)
        timer.due = when
        self.host.simulator.at(when, timer)
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """See asyncio."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    # --- tasks ------------------------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        """See asyncio."""
        return SimFuture(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
        **more: Any,
    ) -> asyncio.Task[Any]:
        """See asyncio."""
        if self.get_task_factory() is not None:
            return super().create_task(coro, name=name, context=context, **more)
        task = SimTask(coro, loop=self, name=name or f"task {next(self._names)}", context=context)
        self._made.append(weakref.ref(task))
        return task

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """The loop's tasks that are not done, in the order in which they were made."""
        return [task for task in self._tasks() if not task.done()]

    def unseen_errors(self) -> list[BaseException]:
        """The exceptions, never retrieved, by which tasks have ended that still exist."""
        ended: list[Any] = [task for task in self._tasks() if task.done()]
        return [task._exception for task in ended if task._log_traceback]

    def _tasks(self) -> list[asyncio.Task[Any]]:
        """All tasks that still exist, in the order in which they were made."""
        self._made = [made for made in self._made if made() is not None]
        return [task for made in self._made if (task := made()) is not None]

    # --- running ----------------------------------------------------------------------------------

    def is_running(self) -> bool:
        """Whether the host's main part waits for it."""
        return self._runs or not self.host.is_server

    def run_forever(self) -> None:
        """In the main part: let the simulation go on until `stop`."""
        self._check_closed()
        if self.host.thread is not None:
            self.host.refuse("call", name="an event loop of a thread")
        self._runs = True
        try:
            self.host.wait_for_loop()
        finally:
            self._runs = False

    def run_until_complete(self, future: Any) -> Any:
        """In the main part: let the simulation go on until this is done, and return its result."""
        self._check_closed()
        is_ours = not futures.isfuture(future)
        task = asyncio.ensure_future(future, loop=self)
        if is_ours:
            task._log_destroy_pending = False
        task.add_done_callback(self._stop_when_done)
        try:
            self.run_forever()
        finally:
            task.remove_done_callback(self._stop_when_done)
        if not task.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        return task.result()

    def _stop_when_done(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled() and isinstance(future.exception(), (SystemExit, KeyboardInterrupt)):
            return  # it goes to the main part by another way
        self.host.resume_main()

    def stop(self) -> None:
        """See asyncio."""
        self.call_soon(self.host.resume_main)

    def close(self) -> None:
        """See asyncio. Nothing more of it runs, and what is still open is closed by the system."""
        if self._runs:
            raise RuntimeError("Cannot close a running event loop")
        self._closed = self.is_over = True
        self.host.simulator.network.loop_ended(self)

    def _check_running(self) -> None:
        pass

    # --- work in other threads --------------------------------------------------------------------

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, function: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Do a piece of work at some moment soon, and let it take some time. See Workers."""
        if executor is None:
            self._check_default_executor()
            executor = self._default_executor
        elif getattr(executor, "_shutdown", False):
            raise RuntimeError("cannot schedule new futures after shutdown")
        workers: Workers = self.host.workers_of(executor or self)
        return workers.give(self, function, args)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until its work is done."""
        self._executor_shutdown_called = True
        if self._default_executor is not None:
            self._default_executor.shutdown(wait=False)
        await self.host.workers_of(self._default_executor or self).all_done(self)

    def set_default_executor(self, executor: Any) -> None:
        """See asyncio."""
        self._default_executor = executor

    # --- network ----------------------------------------------------------------------------------

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any
    ) -> Any:
        """Listen on the simulated network. Raises OSError if the port is taken."""
        if more.get("sock") is not None or more.get("ssl") is not None:
            self.host.refuse("socket" if more.get("ssl") is None else "tls")
        return self.host.simulator.network.listen(
            self, protocol_factory, host, port or 0, more.get("start_serving", True)
        )

    async def create_connection(
        self,
        protocol_factory: Any,
        host: Any = None,
        port: Any = None,
        *,
        sock: Any = None,
        ssl: Any = None,
        **more: Any,
    ) -> Any:
        """Connect over the simulated network. Raises ConnectionRefusedError if nobody listens."""
        if ssl:
            self.host.refuse("tls")
        if sock is not None:
            port, window = sock.port, sock.window
        else:
            window = None
        return await self.host.simulator.network.connect(self, protocol_factory, port, window)

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        """Every host is this machine."""
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    # --- signals ----------------------------------------------------------------------------------

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """See asyncio."""
        self.host.handlers[int(sig)] = lambda number, frame: self.call_soon(callback, *args)

    def remove_signal_handler(self, sig: int) -> bool:
        """See asyncio."""
        default = signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL
        previous = self.host.handlers.get(int(sig), default)
        self.host.handlers[int(sig)] = default
        return previous is not default

    # --- what is not simulated --------------------------------------------------------------------

    def _refuse(self, *_: Any, **__: Any) -> Any:
        self.host.refuse("socket")

    async def _refuse_later(self, *_: Any, **__: Any) -> Any:
        self.host.refuse("socket")

    async def _refuse_process(self, *_: Any, **__: Any) -> Any:
        self.host.refuse("process")

    add_reader = add_writer = remove_reader = remove_writer = _refuse  # type: ignore[assignment]
    sock_recv = sock_recv_into = sock_sendall = sock_connect = sock_accept = sock_sendfile = _refuse_later
    sock_recvfrom = sock_recvfrom_into = sock_sendto = _refuse_later
    create_unix_connection = create_unix_server = create_datagram_endpoint = _refuse_later
    start_tls = connect_accepted_socket = sendfile = connect_read_pipe = connect_write_pipe = _refuse_later
    subprocess_exec = subprocess_shell = _refuse_process

    _make_socket_transport = _make_ssl_transport = _make_datagram_transport = _refuse
    _make_read_pipe_transport = _make_write_pipe_transport = _refuse
    _process_events = _write_to_self = _refuse
    _make_subprocess_transport = _refuse_process


class _Work:
    """A call to be made by an executor, and its outcome."""

    def __init__(
        self, loop: HostLoop, function: Callable[..., Any], args: tuple[Any, ...], seconds: float
    ) -> None:
        self.loop = loop
        self.seconds = seconds
        self.result = loop.create_future()
        self._call = partial(function, *args)
        code = getattr(function, "__code__", None)
        is_own = code is not None and not is_library(code.co_filename)
        # A library's function has no place in the server's own code.
        self._submitted_from = "" if is_own else loop.host.simulator.called_from()
        self._outcome: Callable[[], None] | None = None
        self.overtakes = False
        """Is it submitted before the pool knows that the thread which is done is idle?"""

    def do(self, thread: WorkerThread) -> float:
        """Do it as that thread, and return for how many seconds it has slept."""
        host, before = self.loop.host, events._get_running_loop()
        began = host.loop.time()
        busy, host.thread, host.submitted_from = host.busy_until, thread, self._submitted_from
        events._set_running_loop(None)
        try:
            self._outcome = partial(self.result.set_result, self._call())
        except BaseException as error:
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                host.refuse("thread", raised_where(error))  # another thread would have gone on meanwhile
            self._outcome = partial(self.result.set_exception, error)
        events._set_running_loop(before)
        # A sleep in a thread keeps only that thread busy.
        slept = host.loop.time() - began
        host.busy_until, host.thread = busy, None
        return slept

    def deliver(self) -> None:
        """Set the result, and so wake those who await it."""
        if self._outcome is not None and not self.result.done() and not self.loop.is_over:
            self._outcome()


class Workers:
    """The threads of an executor.

    Work waits its turn, is done in one go, and a while later its result comes back. SIGKILL may find it
    before, between or after that, as it does with a disk.
    """

    def __init__(self, host: Machine, executor: Any) -> None:
        self.executor = executor  # so that its `id` stays unique
        self._host = host
        self._count = max(1, min(getattr(executor, "_max_workers", _MANY_WORKERS), _MANY_WORKERS))
        self._planned = [0.0] * self._count  # when each is free again, as far as is known beforehand
        self._pending: dict[_Work, None] = {}
        self._running: dict[_Work, float] = {}  # and when that ends
        self._threads: dict[_Work, WorkerThread] = {}  # those at work
        self._idle: deque[WorkerThread] = deque()  # those that wait for work, the longest first
        self._made = 0  # threads
        self._rng = Random(host.simulator.seed)  # of its own: threads that overtake change no delays
        self._result_at = -1.0  # when the last result was set
        self.most_at_once = 0
        """Threads that were at work at the same time."""
        self._waiting: deque[_Work] = deque()  # those that are due, while no thread is free
        self._done: list[asyncio.Future[None]] = []

    def give(
        self, loop: HostLoop, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> asyncio.Future[Any]:
        """Submit a call. Returns a future of the loop that submits it."""
        disk = self._host.simulator.latency.disk
        first = min(self._planned)
        starts, seconds = max(loop.time() + disk(), first), disk()
        self._planned[self._planned.index(first)] = starts + seconds
        work = _Work(loop, function, args, seconds)
        # A pool learns that a thread is idle a moment after the result is set. What is submitted before that
        # gets another thread, if the pool may have more.
        work.overtakes = loop.time() == self._result_at and self._rng.random() < OVERTAKES
        self._pending[work] = None
        self._host.system.call_at(starts, self._begin, work)
        return work.result

    def _begin(self, work: _Work) -> None:
        if work in self._pending:
            self._waiting.append(work)
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting and len(self._running) < self._count:
            work = self._waiting.popleft()
            if work in self._pending:
                self._do(work, self._host.loop.time())
        if not self._pending and not self._running:
            for each in self._done:
                wake(each)
            self._done.clear()

    def _do(self, work: _Work, starts: float) -> float:
        """Do it, as if it had begun at that time, and return when it ends."""
        del self._pending[work]
        if work.result.cancelled():
            return starts
        is_another = work.overtakes and self._made < self._count
        thread = self._idle.popleft() if self._idle and not is_another else self._new_thread()
        self._threads[work] = thread
        ends = self._running[work] = starts + work.do(thread) + work.seconds
        self.most_at_once = max(self.most_at_once, len(self._running))
        self._host.system.call_at(ends, self._finish, work)
        return ends

    def _finish(self, work: _Work) -> None:
        del self._running[work]
        self._idle.append(self._threads.pop(work))
        self._result_at = self._host.loop.time()
        work.deliver()
        self._go_on()

    def _new_thread(self) -> WorkerThread:
        prefix = getattr(self.executor, "_thread_name_prefix", "asyncio")
        self._made += 1
        return self._host.new_thread(f"{prefix}_{self._made - 1}")

    async def all_done(self, loop: HostLoop) -> None:
        """Wait until nothing is left to do."""
        if self._pending or self._running:
            self._done.append(loop.create_future())
            await self._done[-1]

    def cancel(self) -> None:
        """Cancel the work that has not begun."""
        for work in self._pending:
            work.result.cancel()

    def finish(self) -> None:
        """Hold up the host until all is done."""
        ends = [*self._running.values()]
        free = ends + [self._host.loop.time()] * (self._count - len(ends))
        for work in list(self._pending):
            first = free.index(min(free))
            free[first] = self._do(work, free[first])
        self._host.busy_until = max(self._host.busy_until, *self._running.values(), 0.0)


def wake(future: asyncio.Future[None]) -> None:
    """Wake those who wait for this future, if they still do."""
    if not future.done():
        future.set_result(None)

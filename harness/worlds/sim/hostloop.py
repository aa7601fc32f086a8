"""The event loop of one simulated host: asyncio's own, on the simulator's clock, network and disk."""

from __future__ import annotations

import asyncio
import itertools
from asyncio import events, futures
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.worlds.sim.identity import SimFuture, SimTask

if TYPE_CHECKING:
    from harness.worlds.sim.host import Host

_MANY_WORKERS = 32


class Handle:
    """A callback that is to be called: what asyncio's handle is, with less to carry."""

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

    def failed(self, error: BaseException) -> None:
        """It raised something that nobody else will hear of."""
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

    def __init__(self, host: Host) -> None:
        self.host = host
        self._runs = False
        super().__init__()
        self._names = itertools.count(1)
        self._default_workers = _Workers(_MANY_WORKERS)
        self._workers: dict[int, _Workers] = {}
        self._executors: list[object] = []  # so that their addresses stay theirs

    __hash__ = object.__hash__  # asked for at each step of a task, and never in a set

    def __del__(self) -> None:
        """Nothing is open that would have to be warned of."""

    # --- time -------------------------------------------------------------------------------------

    def time(self) -> float:
        """Seconds since the run began."""
        return max(self.host.simulator.now, self.host.busy_until)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """See asyncio."""
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
        return SimTask(coro, loop=self, name=name or f"task {next(self._names)}", context=context)

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """The host's tasks that are not done, in the order of their names."""
        return sorted(asyncio.all_tasks(self), key=lambda task: (len(task.get_name()), task.get_name()))

    # --- running ----------------------------------------------------------------------------------

    def enter(self) -> None:
        """What runs now is called by this loop."""
        events._set_running_loop(self)

    def leave(self) -> None:
        """What runs now is called by no loop: a program's main part, or work in another thread."""
        events._set_running_loop(None)

    def is_running(self) -> bool:
        """Whether the host's main part waits for it."""
        return self._runs or not self.host.is_server

    def run_forever(self) -> None:
        """In the main part: let the simulation go on until `stop`."""
        self._check_closed()  # type: ignore[attr-defined]
        self._runs = True
        try:
            self.host.wait_for_loop()
        finally:
            self._runs = False

    def run_until_complete(self, future: Any) -> Any:
        """In the main part: let the simulation go on until this is done, and return its result."""
        self._check_closed()  # type: ignore[attr-defined]
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
        """See asyncio."""
        self._closed = True

    def _check_running(self) -> None:
        pass

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There are no threads."""

    # --- work in other threads --------------------------------------------------------------------

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, function: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Do a piece of work at some moment soon, and let it take some time.

        It waits its turn, is done in one go, and a while later its result comes back. SIGKILL may find it
        before, between or after that, as it does with a disk.
        """
        workers = self._workers_of(executor)
        disk = self.host.simulator.weather.disk
        starts = max(self.time() + disk(), workers.free_at())
        result = self.create_future()
        finished: list[Callable[[], None]] = []

        def work() -> None:
            self.leave()
            before = self.host.busy_until
            try:
                value = function(*args)
                finished.append(partial(_set, result.set_result, result, value))
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                finished.append(partial(_set, result.set_exception, result, error))
            finally:
                self.enter()
                # Who sleeps in a thread keeps that one busy, and nobody else.
                slept, self.host.busy_until = max(0.0, self.host.busy_until - max(before, starts)), before
            self.call_at(max(starts + slept, done), finished[0])

        done = starts + disk()
        workers.take(done)
        self.call_at(starts, work)
        return result

    def _workers_of(self, executor: Any) -> _Workers:
        if executor is None:
            return self._default_workers
        if id(executor) not in self._workers:
            self._executors.append(executor)
            self._workers[id(executor)] = _Workers(getattr(executor, "_max_workers", _MANY_WORKERS))
        return self._workers[id(executor)]

    def set_default_executor(self, executor: Any) -> None:
        """See asyncio."""
        self._default_workers = self._workers_of(executor)

    # --- network ----------------------------------------------------------------------------------

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **more: Any
    ) -> Any:
        """Listen on the simulated network. Raises OSError if the port is taken."""
        if more.get("sock") is not None or more.get("ssl") is not None:
            self.host.refuse("socket" if more.get("ssl") is None else "tls")
        return self.host.simulator.network.listen(self.host, protocol_factory, host, port or 0)

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
        return await self.host.simulator.network.connect(self.host, protocol_factory, port, window)

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        """Everybody is at home."""
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    # --- signals ----------------------------------------------------------------------------------

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """See asyncio."""
        self.host.handlers[int(sig)] = lambda: callback(*args)

    def remove_signal_handler(self, sig: int) -> bool:
        """See asyncio."""
        return self.host.handlers.pop(int(sig), None) is not None

    # --- what there is not ------------------------------------------------------------------------

    def _refuse(self, *_: Any, **__: Any) -> Any:
        self.host.refuse("socket")

    async def _refuse_later(self, *_: Any, **__: Any) -> Any:
        self.host.refuse("socket")

    async def _refuse_process(self, *_: Any, **__: Any) -> Any:
        self.host.refuse("process")

    add_reader = add_writer = remove_reader = remove_writer = _refuse  # type: ignore[assignment]
    sock_recv = sock_recv_into = sock_sendall = sock_connect = sock_accept = sock_sendfile = _refuse_later
    create_unix_connection = create_unix_server = create_datagram_endpoint = _refuse_later
    start_tls = connect_accepted_socket = sendfile = connect_read_pipe = connect_write_pipe = _refuse_later
    subprocess_exec = subprocess_shell = _refuse_process


def _set(how: Callable[[Any], None], result: asyncio.Future[Any], value: Any) -> None:
    if not result.done():
        how(value)


class _Workers:
    """The threads of an executor: when each of them is free again."""

    def __init__(self, count: int) -> None:
        self._free = [0.0] * max(1, min(count, _MANY_WORKERS))

    def free_at(self) -> float:
        """When the first of them is free."""
        return min(self._free)

    def take(self, until: float) -> None:
        """Keep that one busy."""
        self._free[self._free.index(min(self._free))] = until

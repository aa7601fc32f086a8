"""The simulated network: connections that keep the order of what is written, and that can break.

A connection has two directions. What is written goes into the sender's buffer, from there onto the wire as
far as the window allows, arrives after a delay of its own but never before what was written earlier, and
lies in the receiver's buffer until that reads. So a reader that stops fills the window, then the sender's
buffer, and then `pause_writing` is called: back-pressure as TCP has it. What is left out is what TCP
hides: loss, and the pieces that a stream arrives in.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from harness.worlds.sim.hostloop import HostLoop
from harness.worlds.sim.latency_model import Latency
from harness.worlds.sim.machine import Machine, Scheduler
from harness.worlds.sim.stand_ins import lacks

WINDOW = 256 * 1024
"""Bytes that the systems of both sides hold for a direction of a connection."""
NARROW = 8 * 1024
_HIGH = 64 * 1024
"""Bytes in a sender's own buffer from which on it is asked to pause, unless it sets that itself."""
_PORTS = 20_000
_HERE = (None, "", "0.0.0.0", "127.0.0.1", "localhost", "::")
"""Addresses to listen at that mean 127.0.0.1, too, which is where clients connect to."""
_END = b""
_REAL: Any = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
"""What asyncio's transports are on most systems."""


class Address:
    """Where to connect to, and how much the systems hold for the connection: what `sock` is here."""

    def __init__(self, port: int, window: int | None) -> None:
        self.port = port
        self.window = window


class Network:
    """All listeners, and all connections."""

    def __init__(self, simulator: Scheduler) -> None:
        self.simulator = simulator
        self._listeners: dict[int, Listener] = {}
        self._ports = itertools.count(_PORTS)
        self._transports: dict[Transport, None] = {}  # in the order of their creation

    def free_port(self) -> int:
        """A port that was never used."""
        return next(self._ports)

    def listen(
        self, loop: HostLoop, factory: Callable[[], Any], address: Any, port: int, serving: bool = True
    ) -> Listener:
        """Let a host accept connections, at once or later. Raises OSError if the port is taken."""
        port = int(port) or self.free_port()
        if port in self._listeners:
            raise OSError(
                98, f"error while attempting to bind on address ('{address}', {port}): address already in use"
            )
        listener = self._listeners[port] = Listener(self, loop, factory, address, port, serving)
        return listener

    def ports_of(self, host: Machine) -> list[int]:
        """The ports that a host listens on."""
        return sorted(port for port, each in self._listeners.items() if each.host is host)

    async def connect(
        self, loop: HostLoop, factory: Callable[[], Any], port: int | str, window: int | None
    ) -> tuple[Transport, Any]:
        """Open a connection. Raises ConnectionRefusedError if nobody listens there."""
        port = int(port)
        latency, rng = self.simulator.latency.link()
        await asyncio.sleep(latency.draw(rng))
        listener = self._listeners.get(port)
        if listener is None or not listener.hears():
            await asyncio.sleep(latency.draw(rng))
            raise ConnectionRefusedError(111, f"Connect call failed ('127.0.0.1', {port})")
        near = Transport(self, loop, ("127.0.0.1", self.free_port()), latency, rng, window or WINDOW)
        far = Transport(
            self, listener.loop, ("127.0.0.1", port), latency, Random(rng.random()), window or WINDOW
        )
        near.peer, far.peer = far, near
        self._transports |= dict.fromkeys((near, far))
        listener.accept(far)
        await asyncio.sleep(latency.draw(rng))
        protocol = factory()
        near.set_protocol(protocol)
        protocol.connection_made(near)
        near.begin()
        return near, protocol

    def forget(self, listener: Listener) -> None:
        """A listener was closed."""
        if self._listeners.get(listener.port) is listener:
            del self._listeners[listener.port]

    def loop_ended(self, loop: HostLoop) -> None:
        """The system closes what a process leaves open."""
        for listener in [each for each in self._listeners.values() if each.loop is loop]:
            self.forget(listener)
        for transport in [each for each in self._transports if each.loop is loop]:
            transport.abandon()

    def transport_ended(self, transport: Transport) -> None:
        """One side of a connection has ended."""
        self._transports.pop(transport, None)


class Listener(asyncio.AbstractServer):
    """What `loop.create_server` gives."""

    def __init__(
        self,
        network: Network,
        loop: HostLoop,
        factory: Callable[[], Any],
        address: Any,
        port: int,
        serving: bool,
    ) -> None:
        self.host = loop.host
        self.loop = loop
        self.port = port
        self._network = network
        self._factory = factory
        self._is_open = serving
        addresses = [address] if address is None or isinstance(address, str) else list(address)
        self._is_here = any(each in _HERE for each in addresses)
        self._forever: asyncio.Future[None] | None = None
        self.sockets: tuple[_Socket, ...] = (_Socket(self.host, ("127.0.0.1", port)),)

    def __getattr__(self, name: str) -> Any:
        lacks(asyncio.base_events.Server, "Server", name, self.__dict__.get("host"))

    def accept(self, transport: Transport) -> None:
        """Accept a connection."""

        def made() -> None:
            protocol = self._factory()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            transport.begin()

        self.loop.call_soon(made)

    def close(self) -> None:
        """Accept no more connections."""
        self._is_open = False
        self.sockets = ()
        self._network.forget(self)
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()

    def hears(self) -> bool:
        """Whether a client that connects to 127.0.0.1 is accepted."""
        return self._is_open and self._is_here

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop of the host that listens."""
        return self.loop

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._is_open

    async def start_serving(self) -> None:
        """Accept connections from now on. Raises RuntimeError if it is closed."""
        if not self.sockets:
            raise RuntimeError(f"server {self!r} is closed")
        self._is_open = True

    async def serve_forever(self) -> None:
        """Wait until it is closed."""
        await self.start_serving()
        self._forever = self.loop.create_future()
        try:
            await self._forever
        finally:
            self.close()

    async def wait_closed(self) -> None:
        """It is closed at once."""


class _Socket:
    """As much of a socket as programs use to learn an address."""

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, host: Machine, name: tuple[str, int], peer: tuple[str, int] | None = None) -> None:
        self._host = host
        self._name = name
        self._peer = peer
        self._options: dict[tuple[int, int], Any] = {}

    def getsockname(self) -> tuple[str, int]:
        """Our address."""
        return self._name

    def getpeername(self) -> tuple[str, int] | None:
        """The other side's."""
        return self._peer

    def setsockopt(self, level: int, option: int, value: Any, *_: object) -> None:
        """Keep it, and do nothing."""
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, *_: object) -> Any:
        """What was set."""
        return self._options.get((level, option), 0)

    def fileno(self) -> int:
        """There is no such file."""
        return -1

    def __getattr__(self, name: str) -> Any:
        lacks(socket.socket, "socket", name, self._host)


class Transport(asyncio.Transport):
    """One side of a connection: what it writes travels to `peer`, and what that writes comes in here."""

    peer: Transport

    def __init__(
        self,
        network: Network,
        loop: HostLoop,
        name: tuple[str, int],
        latency: Latency,
        rng: Random,
        window: int,
    ) -> None:
        super().__init__()
        self.host = loop.host
        self.loop = loop
        self.is_held = False
        """Whether what it writes stays on the wire: one-way loss, for as long as that lasts."""
        self._network = network
        self._name = name
        self._latency = latency
        self._rng = rng
        self._window = window
        self._protocol: Any = None
        self._is_buffered = False  # whether the protocol has a buffer of its own
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._travelling = 0  # bytes on the wire, or unread at the other side
        self._last_arrival = 0.0
        # On the wire, and held up there.
        self._held: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._inbox: deque[bytes] = deque()
        self._is_reading = True
        self._has_begun = False
        self._is_closing = False
        self._is_gone = False  # connection_lost was called, or will be
        self._sent_end = False
        self._end_is_due = False
        self._got_end = False
        self._asked_to_pause = False
        self._high, self._low = _HIGH, _HIGH // 4

    def __getattr__(self, name: str) -> Any:
        if name == "max_size":  # not all transports have it, and programs probe for it
            raise AttributeError(name)
        lacks(_REAL, "Transport", name, self.__dict__.get("host"))

    # --- what asyncio asks of a transport ---------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Its address, the other side's, or something like its socket."""
        if name == "sockname":
            return self._name
        if name == "peername":
            return self.peer._name
        if name == "socket":
            return _Socket(self.host, self._name, self.peer._name)
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Set the protocol that is given what comes."""
        self._protocol = protocol
        self._is_buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is given what comes."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Whether what comes is given to the protocol."""
        return self._is_reading and not self._is_closing

    def pause_reading(self) -> None:
        """Leave what comes in the buffer of the system."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """Read on."""
        if not self._is_reading:
            self._is_reading = True
            self.loop.call_soon(self._read)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is asked to pause, and to go on."""
        if high is None:
            high = _HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._pause_or_resume()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low and the high limit."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Bytes that wait here until the other side reads."""
        return self._outbox_bytes

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send something."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            kind = type(data).__name__
            raise TypeError(f"data argument must be a bytes-like object, not {kind!r}")
        if self._end_is_due:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._is_gone or not data:
            return
        self._outbox.append(bytes(data))
        self._outbox_bytes += len(data)
        self._send()
        self._pause_or_resume()

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        """Send several things at once."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def write_eof(self) -> None:
        """Say that nothing more will come."""
        if self._is_closing or self._end_is_due:
            return
        self._end_is_due = True
        self._send()

    def close(self) -> None:
        """Send what waits, and end."""
        if self._is_closing:
            return
        self._is_closing = True
        self._is_reading = False
        if not self._outbox:
            self._lose(None)

    def abort(self) -> None:
        """End at once; what was not on the wire is never sent."""
        self._abort(None)

    # --- faults -----------------------------------------------------------------------------------

    def reset(self) -> None:
        """Reset the connection: the other side gets an error, and what was under way is lost both ways."""
        self._drop_outbox()
        self._is_closing = True
        if not self._is_gone:
            self._lose(None, orderly=False)
            self._after_delay(self.peer._was_reset)

    def hold(self) -> None:
        """From now on nothing that this side writes arrives, until `release`."""
        self.is_held = True

    def release(self) -> None:
        """What was held up arrives now."""
        self.is_held = False
        while self._held:
            callback, args = self._held.popleft()
            self._after_delay(callback, *args)

    def abandon(self) -> None:
        """The process is gone: its system closes the connection, by a reset if something was left unread."""
        if self._is_gone:
            return
        unread = bool(self._inbox)
        self._is_gone = self._is_closing = True
        self._drop_outbox()
        self._inbox.clear()
        if unread:
            self._after_delay(self.peer._was_reset)
        else:
            self._send_end()
        self._network.transport_ended(self)

    # --- the wire ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """The protocol is connected: what has come already can be read."""
        self._has_begun = True
        self._read()

    def _send(self) -> None:
        """Put onto the wire what the window has room for."""
        while self._outbox and self._travelling < self._window:
            room = self._window - self._travelling
            data = self._outbox.popleft()
            if len(data) > room:
                self._outbox.appendleft(data[room:])
                data = data[:room]
            self._outbox_bytes -= len(data)
            self._travelling += len(data)
            self._after_delay(self.peer._arrive, data)
        if not self._outbox and self._end_is_due and not self._is_gone:
            self._send_end()
        if not self._outbox and self._is_closing and not self._is_gone:
            self._lose(None)

    def _send_end(self) -> None:
        if not self._sent_end:
            self._sent_end = True
            self._after_delay(self.peer._arrive, _END)

    def _after_delay(self, callback: Callable[..., None], *args: Any) -> None:
        """Call something at the other side when a packet sent now gets there, and never out of order."""
        if self.is_held:
            self._held.append((callback, args))
            return
        now = self._network.simulator.local_now
        self._last_arrival = max(self._last_arrival, now + self._latency.draw(self._rng))
        self.peer.loop.call_at(self._last_arrival, callback, *args)

    def _arrive(self, data: bytes) -> None:
        if self._is_gone:
            if data:  # this side is gone, and the sender gets a reset
                self._after_delay(self.peer._was_reset)
            return
        self._inbox.append(data)
        self._read()

    def _read(self) -> None:
        """Give the protocol what has come."""
        while self._inbox and self._has_begun and self._is_reading and not self._is_closing:
            data = self._inbox.popleft()
            if data == _END:
                self._got_end = True
                try:
                    keeps_open = self._protocol.eof_received()
                except Exception as error:
                    self._fail(error, "eof_received")
                    return
                if not keeps_open:
                    self.close()
                return
            self.peer._travelling -= len(data)
            if self.peer._outbox:
                self._after_delay(self.peer._go_on)
            try:
                if self._is_buffered:
                    self._fill(data)
                else:
                    self._protocol.data_received(data)
            except Exception as error:
                self._fail(error, "data_received")

    def _fill(self, data: bytes) -> None:
        """Write what has come into the protocol's own buffer, as much as that takes each time."""
        while data:
            buffer = self._protocol.get_buffer(len(data))
            if not len(buffer):
                raise RuntimeError("get_buffer() returned an empty buffer")
            taken = data[: len(buffer)]
            buffer[: len(taken)] = taken
            self._protocol.buffer_updated(len(taken))
            data = data[len(taken) :]

    def _abort(self, error: Exception | None) -> None:
        self._drop_outbox()
        self._is_closing = True
        self._lose(error)

    def _fail(self, error: Exception, what: str) -> None:
        """The protocol cannot go on: the connection is lost."""
        message = f"Fatal error: protocol.{what}() call failed."
        context = {"message": message, "exception": error, "transport": self, "protocol": self._protocol}
        self.loop.call_exception_handler(context)
        self._abort(error)

    def _go_on(self) -> None:
        """The other side has taken something, so that there is room in the window."""
        if not self._is_gone:
            self._send()
            self._pause_or_resume()

    def _was_reset(self) -> None:
        if not self._is_gone:
            self._drop_outbox()
            self._is_closing = True
            self._lose(ConnectionResetError(104, "Connection reset by peer"), orderly=False)

    def _lose(self, error: Exception | None, orderly: bool = True) -> None:
        """End this side of the connection."""
        if self._is_gone:
            return
        self._is_gone = True
        unread = bool(self._inbox)
        self._inbox.clear()
        if orderly and unread and not self._got_end:
            self._after_delay(self.peer._was_reset)
        elif orderly:
            self._send_end()
        self._network.transport_ended(self)
        if self._protocol is not None:
            self.loop.call_soon(self._protocol.connection_lost, error)

    def _drop_outbox(self) -> None:
        self._outbox.clear()
        self._outbox_bytes = 0

    def _pause_or_resume(self) -> None:
        if self._protocol is None or self._is_gone:
            return
        if self._outbox_bytes > self._high and not self._asked_to_pause:
            self._asked_to_pause = True
            self._protocol.pause_writing()
        elif self._outbox_bytes <= self._low and self._asked_to_pause:
            self._asked_to_pause = False
            self._protocol.resume_writing()

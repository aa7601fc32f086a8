"""The connection of a node to NATS, and questions to JetStream over it.

A connection is lost without a word when the machine at its other end dies. Two pings without an answer tell,
and then another server of the cluster is taken. Who waits for an answer is told at once that none will come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from lab.interfaces import StoreError

log = logging.getLogger("lab.cluster")

START_SECONDS = 8.0
"""How long a node that starts waits for NATS."""
PING_SECONDS = 1.0
"""How often the connection is tried."""
REQUEST_SECONDS = 2.0
"""How long an answer of NATS is waited for; then the request is made anew."""
PAUSE_SECONDS = 0.1
"""Between two attempts."""
PATIENCE = 15.0
"""How long attempts go on. To elect a leader takes JetStream up to nine seconds."""
OUT_SECONDS = 2.0
"""How long a lost connection is waited for, before whoever asks is told that we are `unavailable`."""
CLOSE_SECONDS = 0.4
"""How long each step of a stop may take: clients are waited for before, and all of it may take five."""
LEAST_PAYLOAD = 1_000_000
"""Bytes that NATS must take in one entry."""

_NOT_FOUND = 10037
_LASTING = {10074}  # "replicas > 1 not supported": such a server is alone, and stays so


class Unavailable(StoreError):  # noqa: N818 - it is an answer that is owed to a client
    """NATS could not be asked, or has no leader; nothing was changed. `code` is JetStream's, or 0."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class ErrorAnswer(Struct):
    """Why JetStream cannot do it; `code` is as in HTTP, `err_code` tells more."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class Stored(Struct):
    """An entry of a stream, its body in Base64."""

    subject: str
    seq: int
    data: str = ""


class State(Struct):
    """Of a stream."""

    last_seq: int = 0


class Answer(Struct):
    """What JetStream answers, as far as we look at it."""

    error: ErrorAnswer | None = None
    message: Stored | None = None
    state: State = msgspec.field(default_factory=State)
    streams: list[str] | None = None
    seq: int = 0


class Wire:
    """The connection. `on_change` is called with False when it is lost, and with True when it is back."""

    def __init__(self, on_change: Callable[[bool], None]) -> None:
        self.client = Client()
        self._on_change = on_change
        self._lost_at: float | None = None  # on the loop's clock
        self._is_closing = False
        self._under_way: set[asyncio.Future[Msg]] = set()

    async def connect(self, servers: list[str]) -> None:
        """Connect to one of the servers. Raises StoreError."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.client.connect(
                    servers,
                    name="chatlab",
                    error_cb=self._ignore,
                    disconnected_cb=self._lost,
                    reconnected_cb=self._back,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.1,  # its hints say int, and it takes parts of seconds
                    connect_timeout=1,
                    ping_interval=PING_SECONDS,
                    max_outstanding_pings=2,
                )
        except (TimeoutError, OSError, NatsError, ValueError) as error:
            await self.close()
            why = "no answer" if isinstance(error, TimeoutError) else error
            text = f"cannot reach NATS at {', '.join(servers)}: {why}. Start it, or check --backplane."
            raise StoreError(text) from error
        if self.client.max_payload < LEAST_PAYLOAD:
            await self.close()
            text = f"NATS takes {self.client.max_payload:,} bytes at a time: set its max_payload to 1MB."
            raise StoreError(text)

    async def close(self) -> None:
        """End the connection; what was published is sent before."""
        self._is_closing = True
        with contextlib.suppress(Exception):  # whatever it is, the connection is given up
            async with asyncio.timeout(CLOSE_SECONDS):
                if not self.is_out:
                    await self.client.flush()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.client.close()

    @property
    def is_out(self) -> bool:
        """Whether there is no connection."""
        return self._lost_at is not None

    @property
    def seconds_out(self) -> float:
        """How long there has been no connection; 0.0 if there is one."""
        return 0.0 if self._lost_at is None else asyncio.get_running_loop().time() - self._lost_at

    @property
    def is_long_out(self) -> bool:
        """Whether there has been no connection for so long that whoever asks is to be told."""
        return self.seconds_out > OUT_SECONDS

    async def _lost(self) -> None:
        if self._lost_at is None and not self._is_closing:
            self._lost_at = asyncio.get_running_loop().time()
            log.warning("lost NATS")
            self._on_change(False)
        for answer in self._under_way:
            answer.cancel()

    async def _back(self) -> None:
        self._lost_at = None
        url = self.client.connected_url
        log.info("back at NATS: %s", url.netloc if url else "")
        self._on_change(True)

    async def _ignore(self, error: Exception) -> None:
        log.debug("NATS: %s", error)

    async def request(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> Msg:
        """The answer to a request. Raises TimeoutError if none came, also because the connection was lost."""
        answer = asyncio.ensure_future(
            self.client.request(subject, body, REQUEST_SECONDS, headers=headers or None)
        )
        self._under_way.add(answer)
        try:
            reply = await answer
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError  # it came at the moment of the reply, and `answer` overlooked it
            return reply
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise TimeoutError("the connection was lost") from None
        finally:
            self._under_way.discard(answer)

    async def ask(self, what: str, body: object, patience: float = PATIENCE) -> Answer:
        """An answer of JetStream's API; asked again while there is none, or it cannot be had just now.

        Raises Unavailable after so many seconds, or sooner if the connection is lost.
        """
        why, code = "no answer", 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not self.is_long_out:
                    try:
                        reply = await self.request(f"$JS.API.{what}", msgspec.json.encode(body))
                    except (NatsError, TimeoutError) as error:
                        why = str(error) or type(error).__name__
                    else:
                        answer = msgspec.json.decode(reply.data, type=Answer)
                        if answer.error is None or answer.error.err_code == _NOT_FOUND:
                            return answer
                        why, code = answer.error.description, answer.error.err_code
                        if answer.error.code < 500 or code in _LASTING:  # it is the same the next time
                            break
                    await asyncio.sleep(PAUSE_SECONDS)
        raise Unavailable(f"NATS does not serve this just now ({why})", code)


async def quietly(doing: Awaitable[object]) -> None:
    """Await something whose failure changes nothing: NATS forgets by itself what was asked of it."""
    with contextlib.suppress(NatsError, TimeoutError):
        await doing


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended. Once may not do: `asyncio.wait_for` of Python 3.11, which nats-py
    uses, overlooks a cancellation that comes along with the result.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=PAUSE_SECONDS)


def ignored(task: asyncio.Task[None]) -> None:
    """To be called when a task is done that perhaps nobody waits for: its failure is not reported."""
    if not task.cancelled():
        task.exception()

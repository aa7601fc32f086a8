"""One stream of JetStream as a log: append to it, read from it, follow it.

What this kit needs of JetStream is here, in three ideas:

- **Compare and append.** An entry may say which entry of its subject must be the last one (0: there must be
  none). If it is not, nothing is appended. So two nodes that append to a room at once cannot both be second:
  one of them is refused, looks again, and tries anew. Nobody holds a lock that could be lost with its holder.
- **All or nothing.** Several entries are appended as one (an *atomic batch*, ADR-50 of NATS): a batch of
  messages, and for each of them a note of its id.
- **The leader knows.** Replicas may lag. Who must not miss anything asks the leader for the newest position
  and waits until its own follower is there: a *linearizable read* (Ongaro, "Consensus: Bridging theory and
  practice", 6.4).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from lab.cluster.names import Shard
from lab.interfaces import StoreError

REQUEST_SECONDS = 2.0
"""How long an answer of NATS is waited for; then the request is made anew."""
PAUSE_SECONDS = 0.1
"""Between two attempts."""
PATIENCE = 15.0
"""How long attempts go on. To elect a leader takes JetStream up to nine seconds."""
OUT_SECONDS = 2.0
"""How long a lost connection to NATS is waited for, before whoever asks is told that we are `unavailable`."""
MOST_ENTRIES = 1000
"""Entries in an atomic batch: what NATS allows."""
READ_BYTES = 4 * 1024 * 1024
"""What one read may have."""

_WRONG_LAST = {10071, 10164}  # the comparison failed: with what is stored, or with what is under way
_NOT_FOUND = 10037


class Unavailable(StoreError):  # noqa: N818 - it is an answer that is owed to a client
    """NATS could not be asked, or has no leader; nothing was appended. `code` is JetStream's, or 0."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Refused(Exception):  # noqa: N818 - the answer to a comparison, and no error
    """The last entry was another one. Nothing was appended."""


class Unsure(Exception):  # noqa: N818 - the third answer, beside yes and no
    """No answer came: it was appended, or will be, or will never be."""


class Entry(Struct, frozen=True):
    """What is appended. `last` is the position that the subject's last entry must have; None where any will
    do.
    """

    subject: str
    body: bytes
    last: int | None = None
    seconds: int = 0
    """After which it is deleted; 0 stands for never."""
    replaces: bool = False
    """Whether earlier entries of the subject are deleted."""


class Read(Struct, frozen=True):
    """An entry of the log, at its position: positions rise, and have gaps."""

    position: int
    subject: str
    body: bytes


class _Error(Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Stored(Struct):
    subject: str
    seq: int
    data: str = ""


class _State(Struct):
    last_seq: int = 0


class _Answer(Struct):
    """What JetStream answers, as far as we look at it."""

    error: _Error | None = None
    message: _Stored | None = None
    state: _State = msgspec.field(default_factory=_State)
    num_pending: int = 0
    streams: list[str] | None = None
    seq: int = 0


class Log:
    """The log of one shard."""

    def __init__(self, nats: Client, shard: Shard, seconds_out: Callable[[], float]) -> None:
        """`seconds_out` says how long the connection has been lost; 0.0 while it is there."""
        self.shard = shard
        self.seconds_out = seconds_out
        self._nats = nats

    # Append.

    async def append(self, entries: Sequence[Entry]) -> int:
        """Append all of them, or none; returns the position of the last one. At most MOST_ENTRIES.

        Raises Refused if a comparison failed, Unavailable if NATS certainly did nothing, and else Unsure.
        """
        batch = uuid.uuid4().hex
        try:
            for number, entry in enumerate(entries[:-1], 1):
                await self._nats.publish(entry.subject, entry.body, headers=_headers(entry, batch, number))
            entry = entries[-1]
            headers = (
                _headers(entry, batch, len(entries), is_last=True) if len(entries) > 1 else _headers(entry)
            )
            reply = await self._nats.request(
                entry.subject, entry.body, REQUEST_SECONDS, headers=headers or None
            )
        except NoRespondersError as error:  # there is no leader just now, who would have heard it
            raise Unavailable("NATS has no leader for this room just now") from error
        except (NatsError, TimeoutError) as error:
            raise Unsure from error
        answer = msgspec.json.decode(reply.data, type=_Answer)
        if answer.error is None:
            return answer.seq
        if answer.error.err_code in _WRONG_LAST:
            raise Refused(answer.error.description)
        raise Unavailable(f"NATS says: {answer.error.description}")

    # Read.

    async def last(self) -> int:
        """The position of the newest entry, as the leader knows it."""
        answer = await self._ask(f"STREAM.INFO.{self.shard.stream}", {})
        return answer.state.last_seq

    async def newest_of(self, subject: str) -> Read | None:
        """The newest entry of a subject, as the leader knows it."""
        return await self._get({"last_by_subj": subject})

    async def first_from(self, subject: str, position: int) -> Read | None:
        """The first entry of a subject at a position or after it, likewise."""
        return await self._get({"next_by_subj": subject, "seq": max(position, 1)})

    async def _get(self, what: dict[str, object]) -> Read | None:
        answer = await self._ask(f"STREAM.MSG.GET.{self.shard.stream}", what)
        if answer.message is None:
            return None
        return Read(answer.message.seq, answer.message.subject, base64.b64decode(answer.message.data))

    async def some_from(self, subject: str, position: int, most: int) -> list[Read]:
        """Up to `most` entries of a subject from a position on, by any replica: the newest may be missing."""
        inbox = self._nats.new_inbox()
        replies = await self._nats.subscribe(inbox)
        found: list[Read] = []
        try:
            what = {"next_by_subj": subject, "seq": max(position, 1), "batch": most, "max_bytes": READ_BYTES}
            await self._nats.publish(
                f"$JS.API.DIRECT.GET.{self.shard.stream}", msgspec.json.encode(what), reply=inbox
            )
            while True:
                reply = await replies.next_msg(REQUEST_SECONDS)
                headers = reply.headers or {}
                if "Nats-Sequence" not in headers:  # "204 EOB", or "404 Message Not Found"
                    return found
                found.append(Read(int(headers["Nats-Sequence"]), headers["Nats-Subject"], reply.data))
        except (NatsError, TimeoutError):
            return found
        finally:
            await quietly(replies.unsubscribe())

    async def _ask(self, what: str, body: object) -> _Answer:
        """An answer of JetStream's API. Raises Unavailable where there is none for PATIENCE."""
        return await ask(self._nats, what, body, seconds_out=self.seconds_out)


async def ask(
    nats: Client,
    what: str,
    body: object,
    patience: float = PATIENCE,
    seconds_out: Callable[[], float] = lambda: 0.0,
) -> _Answer:
    """An answer of JetStream's API; asked again while there is none, or one that it cannot be had just now.

    Raises Unavailable after so many seconds, or sooner if the connection is lost.
    """
    why, code = "no answer", 0
    try:
        async with asyncio.timeout(patience):
            while seconds_out() <= OUT_SECONDS:
                try:
                    reply = await nats.request(f"$JS.API.{what}", msgspec.json.encode(body), REQUEST_SECONDS)
                    answer = msgspec.json.decode(reply.data, type=_Answer)
                    if answer.error is None or answer.error.err_code == _NOT_FOUND:
                        return answer
                    why, code = answer.error.description, answer.error.err_code
                    if answer.error.code < 500:  # it will not be otherwise the next time
                        break
                except (NatsError, TimeoutError) as error:
                    why = str(error) or type(error).__name__
                await asyncio.sleep(PAUSE_SECONDS)
    except TimeoutError:
        pass
    raise Unavailable(f"NATS does not serve this just now ({why})", code)


def _headers(entry: Entry, batch: str = "", number: int = 0, is_last: bool = False) -> dict[str, str]:
    headers: dict[str, str] = {}
    if batch:
        headers |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
    if is_last:
        headers["Nats-Batch-Commit"] = "1"
    if entry.last is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(entry.last)
    if entry.seconds:
        headers["Nats-TTL"] = f"{entry.seconds}s"
    if entry.replaces:
        headers["Nats-Rollup"] = "sub"
    return headers


async def quietly(doing: Awaitable[object]) -> None:
    """Await something whose failure changes nothing: NATS forgets by itself what was asked of it."""
    with contextlib.suppress(NatsError, TimeoutError):
        await doing

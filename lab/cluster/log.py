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

import base64
import uuid
from collections.abc import Sequence

import msgspec
from msgspec import Struct
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from lab.cluster.names import Shard
from lab.cluster.wire import REQUEST_SECONDS, Answer, Unavailable, Wire, quietly

MOST_ENTRIES = 1000
"""Entries in an atomic batch: what NATS allows."""
MOST_READ = 1000
"""Entries of one read: what NATS allows, nearly."""
READ_BYTES = 4 * 1024 * 1024
"""What one read may have."""

_WRONG_LAST = {10071, 10164}  # the comparison failed: with what is stored, or with what is under way


class Refused(Exception):  # noqa: N818 - the answer to a comparison, and no error
    """The last entry was another one. Nothing was appended."""


class Unsure(Exception):  # noqa: N818 - the third answer, beside yes and no
    """No answer came: it was appended, or will be, or will never be."""


class Entry(Struct, frozen=True):
    """What is appended. `last` is the position that the subject's last entry must have, if it must."""

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


class Log:
    """The log of one shard."""

    def __init__(self, wire: Wire, shard: Shard) -> None:
        self.shard = shard
        self.wire = wire

    # Append.

    async def append(self, entries: Sequence[Entry]) -> int:
        """Append all of them, or none; returns the position of the last one. At most MOST_ENTRIES.

        Raises Refused if a comparison failed, Unavailable if NATS certainly did nothing, and else Unsure.
        """
        if self.wire.is_out:  # else it would be sent when the connection is back, long after we gave up
            raise Unavailable("NATS is out of reach")
        batch = uuid.uuid4().hex
        try:
            for number, entry in enumerate(entries[:-1], 1):
                headers = _headers(entry) | _in_batch(batch, number)
                await self.wire.client.publish(entry.subject, entry.body, headers=headers)
            entry = entries[-1]
            headers = _headers(entry)
            if len(entries) > 1:
                headers |= _in_batch(batch, len(entries)) | {"Nats-Batch-Commit": "1"}
            reply = await self.wire.request(entry.subject, entry.body, headers)
        except NoRespondersError as error:  # there is no leader just now, who would have heard it
            raise Unavailable("NATS has no leader for this room just now") from error
        except (NatsError, TimeoutError) as error:
            raise Unsure from error
        answer = msgspec.json.decode(reply.data, type=Answer)
        if answer.error is None:
            return answer.seq
        if answer.error.err_code in _WRONG_LAST:
            raise Refused(answer.error.description)
        raise Unavailable(f"NATS says: {answer.error.description}")

    # Read.

    async def last(self) -> int:
        """The position of the newest entry, as the leader knows it."""
        answer = await self.wire.ask(f"STREAM.INFO.{self.shard.stream}", {})
        return answer.state.last_seq

    async def newest_of(self, subject: str) -> Read | None:
        """The newest entry of a subject, as the leader knows it."""
        return await self._get({"last_by_subj": subject})

    async def first_from(self, subject: str, position: int) -> Read | None:
        """The first entry of a subject at a position or after it, likewise."""
        return await self._get({"next_by_subj": subject, "seq": max(position, 1)})

    async def _get(self, what: dict[str, object]) -> Read | None:
        answer = await self.wire.ask(f"STREAM.MSG.GET.{self.shard.stream}", what)
        if answer.message is None:
            return None
        return Read(answer.message.seq, answer.message.subject, base64.b64decode(answer.message.data))

    async def some_from(self, subject: str, position: int, most: int) -> list[Read]:
        """Up to `most` entries of a subject from a position on, by any replica: the newest may be missing."""
        inbox = self.wire.client.new_inbox()
        replies = await self.wire.client.subscribe(inbox)
        found: list[Read] = []
        try:
            what = {"next_by_subj": subject, "seq": max(position, 1), "batch": most, "max_bytes": READ_BYTES}
            await self.wire.client.publish(
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


def _headers(entry: Entry) -> dict[str, str]:
    headers: dict[str, str] = {}
    if entry.last is not None:
        headers["Nats-Expected-Last-Subject-Sequence"] = str(entry.last)
    if entry.seconds:
        headers["Nats-TTL"] = f"{entry.seconds}s"
    if entry.replaces:
        headers["Nats-Rollup"] = "sub"
    return headers


def _in_batch(batch: str, number: int) -> dict[str, str]:
    return {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}

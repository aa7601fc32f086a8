"""What rooms, users and ids are called in NATS.

A NATS subject is a list of tokens with dots between them, and a token may not hold a dot, a space, `*` or
`>`. So names of ours, which may hold anything, are written with escapes. Rooms are hashed onto a fixed number
of streams, the *shards*: a stream costs memory and a Raft group of its own, and there may be a hundred
thousand rooms.

    chat.SHARD.room.ROOM            messages of a room, in *batches*: those that were accepted at once
    chat.SHARD.id.ROOM.HASH         the number of the message to which a client gave an id (rule R)
    chat.SHARD.here.ROOM.USER.NODE  the presence of a user in a room, as one node sees it
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

_PLAIN = re.compile(rb"[A-Za-z0-9-]")
_ESCAPE = re.compile(r"_([0-9a-f]{2})")


@lru_cache(maxsize=10_000)
def token(name: str) -> str:
    """The name as one token: letters, digits and `-` as they are, any other byte of its UTF-8 as `_` and two
    digits.
    """
    bytes_of_it = (bytes([byte]) for byte in name.encode("utf-8", "surrogatepass"))
    return "".join(each.decode() if _PLAIN.match(each) else f"_{each.hex()}" for each in bytes_of_it)


@lru_cache(maxsize=10_000)
def name_of(token: str) -> str:
    """The name that a token was made of."""
    raw = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), token)
    return raw.encode("latin-1").decode("utf-8", "surrogatepass")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Shard:
    """The names in one of the streams; `number` is from 0 to `count` - 1."""

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self.stream = f"chat-{number}-of-{count}"
        self._prefix = f"chat.{number}"
        self.everything = f"{self._prefix}.>"
        self.rooms = f"{self._prefix}.room.*"
        self.presence = f"{self._prefix}.here.>"

    def room(self, room: str) -> str:
        """Where the messages of a room are."""
        return f"{self._prefix}.room.{token(room)}"

    def id(self, room: str, user: str, id: str) -> str:
        """Where it is noted which message has this id. Two ids have one hash never in the life of the
        universe.
        """
        return f"{self._prefix}.id.{token(room)}.{_hash(f'{len(user)} {user} {id}').hex()[:32]}"

    def here(self, room: str, user: str, node: str) -> str:
        """Where a node says what it sees of a user."""
        return f"{self._prefix}.here.{token(room)}.{token(user)}.{node}"

    def presence_of(self, node: str) -> str:
        """All that a node says of users."""
        return f"{self._prefix}.here.*.*.{node}"


def place_of(subject: str) -> tuple[str, str, str, str]:
    """What a subject names: `room`, `id` or `here`, the room, and for the latter the user and the node."""
    _, _, kind, room, *rest = subject.split(".")
    user, node = rest if kind == "here" else ("", "")
    return kind, name_of(room), name_of(user), node


@lru_cache(maxsize=10_000)
def shard_of(room: str, count: int) -> int:
    """In which of `count` streams a room is: the same on every node, for ever."""
    return int.from_bytes(_hash(room)[:4], "big") % count

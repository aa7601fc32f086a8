"""What each of the four components owes, and the few plain values that pass between them.

The server (`server.py`) knows its components by these interfaces alone, so that any of them can be
replaced by another: by a student's, or by one that speaks to a cluster. A component imports this module,
`lab.protocol` and the standard library, and never sees a socket.

Each sentence below is owed. `chatlab check` calls a component directly and holds it to them, whatever the
server around it would hide. What is said to be a list is a list, never None. Two instances of a class have
nothing in common: what one was told is nothing to the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from msgspec import Struct

from lab.protocol import History, Message, Presence, ServerFrame


class Draft(Struct, frozen=True):
    """What a user wants to say, before it has a number.

    `id` is the client's own; with it the same words may be sent again after a lost connection. It is
    None where the client gave none: the message then gets an id that nobody else has.
    """

    room: str
    user: str
    content: str
    id: str | None = None


class Change(Struct, frozen=True):
    """A user's presence became another in one room."""

    room: str
    presence: Presence


class Member(Protocol):
    """One connection, as the components see it: something that frames can be sent to."""

    def send(self, frame: ServerFrame) -> None:
        """Queue a frame; returns at once, and frames arrive in the order of the calls."""

    async def drain(self) -> None:
        """Wait until what was queued has mostly been read, or the connection is gone."""


class PubSub(Protocol):
    """Who hears what (exercise 1)."""

    def subscribe(self, room: str, member: Member) -> None:
        """From now on `member` hears what is published in `room`. Twice is the same as once."""

    def unsubscribe(self, room: str, member: Member) -> None:
        """From now on it does not. Nothing happens if it did not before, nor in a room that nobody is in."""

    def publish(self, room: str, frame: ServerFrame) -> None:
        """Send `frame` to each member of `room` once; in a room that nobody is in, nothing happens.

        Two frames reach every member in the order of the two calls. Members may come and go while a
        frame is being published: a member's `send` may end in `subscribe` or `unsubscribe`, of itself or of
        others. Those may hear this frame or not; everybody else hears it.
        """

    def members(self, room: str) -> list[Member]:
        """The members of `room`, each once, in any order: a list of the caller's own, if need be empty."""

    def rooms(self) -> list[str]:
        """The rooms that have members, each once, likewise; a room that everybody left is not among them."""


class StoreError(Exception):
    """The store cannot do what it should. The text says why, and what the server's owner can do."""


class MessageStore(Protocol):
    """What survives (exercise 4). Made with `MessageStore(data_dir)`; it may create files there only.

    The folder may not exist yet.

    It keeps what it is told, under the number it is told: numbering is the sequencer's duty. Any room, user,
    id and content comes back as it was, and rooms are kept apart by their exact names. Where the disk fails,
    a method may raise, best a StoreError: the client is then told that the server is `unavailable`. What it
    may not is return as if all was well. So it may for a room whose name is too long for that of a file. What
    a store tells after it has raised is not judged.

    Whatever ended the process before, a new store on the same folder tells all that was saved. What was
    being saved at that moment it tells whole, or not at all, also where the end of what was written is torn.
    """

    def __init__(self, data_dir: Path) -> None: ...

    async def save(self, messages: list[Message]) -> None:
        """Return when all of `messages` are safe on disk: a SIGKILL after that loses none of them.

        From then on the other methods tell them; before that, only what is on disk already, since it may be
        shown to a client. `messages` may be of several rooms. Callers run concurrently, also for one room;
        those are called in the order of their numbers.
        """

    async def page(self, room: str, since: int, limit: int) -> list[Message]:
        """The first `limit` messages of `room` with a sequence above `since`, in rising order."""

    async def newest(self, room: str, count: int) -> list[Message]:
        """The newest `count` messages of `room`, in rising order."""

    async def last(self, room: str) -> int:
        """The highest sequence number saved in `room`; 0 for a room with none."""

    async def find(self, room: str, user: str, id: str) -> Message | None:
        """The message that `user` said in `room` under `id`, if there is one.

        The same `id` of another user, or in another room, is another message.
        """

    def close(self) -> None:
        """Close all files. Nothing is called after it, nor while a save is under way."""


class Sequencer(Protocol):
    """One order for all (exercise 2). Made with `Sequencer(store, pubsub)`."""

    def __init__(self, store: MessageStore, pubsub: PubSub) -> None: ...

    async def accept(self, draft: Draft) -> Message:
        """Number the draft, save it, then publish it in its room, and return the message.

        A room's messages are numbered 1, 2, 3, … and go on from what the store holds. Nobody receives
        a message that is not saved yet, and everybody receives them in the order of their numbers.
        Callers run concurrently, and are not cancelled before the server ends. If the store already has a
        message of this user, room and `id`, that one is returned, and nothing is saved or published; of
        several callers with the same one, only one is accepted.

        If the store refuses to save, this raises, nothing is published, and the number is free again. The
        message's `timestamp` is the time of day, in milliseconds since the Unix epoch.
        """

    async def attach(self, room: str, member: Member, since: int | None) -> None:
        """Send `member` what it missed, then subscribe it: no message is left out and none comes twice.

        What it missed are all messages after `since`, in `History` frames of at most 100 messages
        each; or, where `since` is None, the newest 50 in one frame. An empty frame may be left out. A replay
        waits for its reader (`member.drain`) after each page that others follow, and nobody else waits for
        either, neither in `accept` nor in `attach`. If the member's connection ends meanwhile, this is
        cancelled.
        """

    async def history(self, room: str, since: int, limit: int) -> History:
        """One page of the stored messages of `room` after `since`, `limit` of them at the most.

        `last` is the room's newest number, and `more` tells whether newer messages follow.
        """


class PresenceManager(Protocol):
    """Who is here (exercise 3). Made with `PresenceManager(heartbeat_interval, offline_timeout)`.

    It has no clock: `now` is an argument everywhere, in seconds since the Unix epoch, and never runs
    backwards. A connection is named by a string; a user may hold several at once. A user is online in
    a room while at least one of its connections there has shown a sign of life within the last
    `offline_timeout` seconds. Each call returns what it changed, each user once in each room, and nothing
    that stayed the same. A connection that is not known (any more) changes nothing, in any call.

    `last_seen` is the time of the user's last sign of life, on whichever connection, in whole milliseconds.
    `away` may be shown instead of `online` after one and a half intervals of silence.
    """

    def __init__(self, heartbeat_interval: float, offline_timeout: float) -> None: ...

    def connected(self, connection: str, user: str, now: float) -> list[Change]:
        """A connection of `user` begins, which is a sign of life; it is in no room yet."""

    def seen(self, connection: str, now: float) -> list[Change]:
        """The connection showed a sign of life."""

    def joined(self, connection: str, room: str, now: float) -> list[Change]:
        """The connection entered a room. `seen` or `connected` was called before, with the same `now`."""

    def left(self, connection: str, room: str, now: float) -> list[Change]:
        """The connection, which is in the room, left it, likewise."""

    def lost(self, connection: str, now: float) -> list[Change]:
        """The connection ended: it is forgotten, and no other one is.

        That may count as its last sign of life.
        """

    def sweep(self, now: float) -> list[Change]:
        """Forget every connection that was silent for longer than `offline_timeout`, and no other one.

        Called several times an interval.
        """

    def in_room(self, room: str, now: float) -> list[Presence]:
        """Everybody who is in `room` and not offline, each user once, in any order.

        It agrees with the changes that were returned. Who has been silent for too long, or for long enough to
        be `away`, and was not swept since, may be shown either way.
        """

    def is_connected(self, connection: str) -> bool:
        """False once the connection was lost or timed out: the server then closes it."""

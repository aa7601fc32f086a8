"""The hub: the four components, wired together, and what else all sessions of a server share.

It knows its components by `lab.interfaces` alone, so each can be replaced by a student's.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab import interfaces, protocol
from lab.announcer import Announcer
from lab.fanout import FrameCache
from lab.journal import keep_if_damaged
from lab.limits import Limits
from lab.presence import PresenceManager
from lab.pubsub import PubSub
from lab.sequencer import Sequencer
from lab.store import FILE, MessageStore

log = logging.getLogger("lab.hub")


@dataclass(frozen=True)
class Config:
    """What a server is told. Intervals in seconds; port 0 lets the system choose one."""

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path = Path("data")
    heartbeat_interval: float = protocol.HEARTBEAT_INTERVAL
    offline_timeout: float = protocol.OFFLINE_TIMEOUT
    limits: Limits = field(default_factory=Limits)
    access_key: str = ""
    """Who connects must give it as `?key=`; empty, everybody may connect."""
    health_port: int = 0
    """A second port, for /healthz and /metrics alone; 0 stands for none."""
    origins: tuple[str, ...] = ()
    """Pages whose scripts may connect, such as `https://chat.example`; none given, all may."""
    rooms: tuple[str, ...] = ()
    """Rooms that the page offers to those who come; there may be any others."""


class Backplane:
    """What connects this server with others that share its rooms: nothing. `lab.cluster` has another."""

    async def start(self, hub: Hub) -> None:
        """Called once, before anybody is served. May raise StoreError."""

    async def synced(self, room: str) -> None:
        """Wait until the other nodes can know what happened here in a room, and we know what happened there.

        Raises StoreError if they are out of reach.
        """

    def is_elsewhere(self, room: str, user: str) -> bool:
        """Whether the user is in the room at another node."""
        return False

    async def close(self) -> None:
        """Called once, when nobody is served any more."""


ALONE = Backplane()


@dataclass
class Components:
    """The classes of the four components; each can be replaced by another that keeps its interface.

    With several nodes, a backplane comes with a sequencer and a presence manager of its own.
    """

    pubsub: Callable[[], interfaces.PubSub] = PubSub
    sequencer: Callable[[interfaces.MessageStore, interfaces.PubSub], interfaces.Sequencer] = Sequencer
    presence: Callable[[float, float], interfaces.PresenceManager] = PresenceManager
    store: Callable[[Path], interfaces.MessageStore] = MessageStore
    backplane: Backplane = ALONE


class Hub:
    """What the sessions of a server share. Raises StoreError if the data folder cannot be used."""

    def __init__(self, config: Config, components: Components) -> None:
        # With the monotonic clock it makes a time of day that never jumps, even if somebody sets the clock.
        self._epoch = time.time() - time.monotonic()
        self.config = config
        if components.store is MessageStore:
            keep_if_damaged(config.data_dir / FILE)
        self.store = components.store(config.data_dir)
        self.pubsub = components.pubsub()
        self.observer = PublishObserver(self.pubsub)
        self.sequencer = components.sequencer(self.store, self.observer)
        self.presence = components.presence(config.heartbeat_interval, config.offline_timeout)
        self.backplane = components.backplane
        self.announcer = Announcer(
            self.pubsub, self.presence, self.observer.newest, self.now, _log_unannounced
        )
        self.frames = FrameCache()
        self._here: Counter[tuple[str, str]] = Counter()  # connections by room and user
        self.accepted = 0  # messages since the start
        self.errors: Counter[str] = Counter()  # that clients were told, by their codes

    def now(self) -> float:
        """Seconds since the Unix epoch, never running backwards."""
        return self._epoch + time.monotonic()

    def publish_presence(self, changes: list[interfaces.Change]) -> None:
        """Have each room's members told whose presence changed."""
        self.announcer.show(changes)

    def enter(self, room: str, user: str) -> bool:
        """A connection of `user` is in `room` from now on. Returns whether that is to be announced: whether
        it is the user's only one there, here and at other nodes.
        """
        self._here[room, user] += 1
        return self._here[room, user] == 1 and not self.backplane.is_elsewhere(room, user)

    def leave(self, room: str, user: str) -> bool:
        """A connection of `user`, which was in `room`, is not any more; likewise."""
        self._here[room, user] -= 1
        if self._here[room, user] > 0:
            return False
        del self._here[room, user]
        return not self.backplane.is_elsewhere(room, user)

    async def learn_newest(self, room: str) -> None:
        """Ask the store for the newest number of a room, for its first member; then it is kept up to date."""
        newest = self.observer.newest
        if room in newest:
            return
        last = 0
        try:
            last = (await self.sequencer.history(room, protocol.MAX_SEQUENCE, 1)).last
        except Exception as error:
            log_failure(error, "could not ask for the newest number room=%s", room)
        newest[room] = max(last, newest.get(room, 0))  # while we asked, something may have been published


EchoKey = tuple[str, str, str | None]
"""What an echo is known by: the room, the user, and the `id` that the client gave its message."""


class PublishObserver:
    """The pubsub as the sequencer sees it: passes all calls on, and notes which messages were published.

    `newest` has the newest number of each room that somebody is in; notices carry it.

    `awaiting_echo` has the sessions whose message is being accepted and was not published yet. Once it is
    published, its echo is under way to them, and they are taken out. A session that is still here when
    `accept` returns has sent a message that was accepted before, or one without an `id`, which cannot be a
    retry. (Several may await the same one: two connections of a user that retry at the same time.)
    """

    def __init__(self, pubsub: interfaces.PubSub) -> None:
        self.newest: dict[str, int] = {}
        self.awaiting_echo: dict[EchoKey, set[interfaces.Member]] = {}
        self._pubsub = pubsub
        self.subscribe, self.unsubscribe = pubsub.subscribe, pubsub.unsubscribe
        self.members, self.rooms = pubsub.members, pubsub.rooms

    def publish(self, room: str, frame: protocol.ServerFrame) -> None:
        """See `interfaces.PubSub`."""
        if isinstance(frame, protocol.Message) and frame.user != protocol.SYSTEM:
            if room in self.newest or self._pubsub.members(room):  # a node hears of rooms that nobody is in
                self.newest[room] = frame.sequence
            self.awaiting_echo.pop((room, frame.user, frame.id), None)
        self._pubsub.publish(room, frame)

    def await_echo(self, key: EchoKey, session: interfaces.Member) -> None:
        """`session` is about to have its message accepted; `stop_awaiting` follows in any case."""
        self.awaiting_echo.setdefault(key, set()).add(session)

    def stop_awaiting(self, key: EchoKey, session: interfaces.Member) -> bool:
        """Undo `await_echo`; returns whether the message has been published since."""
        waiting = self.awaiting_echo.get(key, set())
        was_published = session not in waiting
        waiting.discard(session)
        if not waiting:
            self.awaiting_echo.pop(key, None)
        return was_published


def log_failure(error: Exception, what: str, *values: object) -> None:
    """A failure that the store explains is one line; any other may be a mistake in code, and is traced."""
    is_explained = isinstance(error, interfaces.StoreError)
    log.error(f"{what}: %s", *values, error, exc_info=None if is_explained else error)


def _log_unannounced(error: Exception, room: str) -> None:
    log_failure(error, "could not announce room=%s", room)

"""Announcements: a room's members are told who came, who left, and whose presence changed, in waves.

Whoever joins a room of a thousand is news for a thousand. If a thousand people join at once and each is told
by itself, that makes a million frames: the cost grows with the square of the crowd. So the news of a room is
collected, and a *wave* tells all of it. A wave is, in each room, without anything in between:

1. one `presence` frame with all changes;
2. the full list, made and encoded once, to everybody whose `join` or question waits for it;
3. the notices: one for each user who came or left, and in a crowd one for many.

When is a wave? At the end of the event loop's turn: who joins alone is announced at once. But how long a
wave takes is measured, and the next one is put off for PAUSE times as long. So however many people come,
announcing takes no more than a share of the server's time: the longer a wave takes, because the room is large
or the machine is slow, the more people share the next one.

What a client sees agrees at every moment:

- a list is made in a wave, behind the changes that led to it; who asks while there is news waits for that;
- no change is left out: before a second change of the same user, the first one is told;
- who has left the room by then is told nothing, and who has entered it meanwhile is sent the list next.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from lab.interfaces import Change, Member, PresenceManager, PubSub
from lab.protocol import SYSTEM, Message, Presence, PresenceFrame

T = TypeVar("T")

PAUSE = 2.0
"""For how long to collect news after a wave, as a share of the time that it took."""
LONGEST = 0.002
"""Seconds after which a wave leaves further rooms to the next. To write it takes several times as long."""
CROWD = 10
"""Users who come or leave in one wave, up to which each has a notice of its own."""
MOST_NAMES = 100
"""Users whom one notice may name."""
MOST_CHANGES = 2000
"""Users in one frame with changes: with the longest names it stays within MAX_FRAME."""


class News:
    """What a room is to be told in the next wave."""

    def __init__(self) -> None:
        self.changes: dict[str, Presence] = {}  # by user
        self.notices: dict[str, str] = {}  # by user, who `joined` or `left`
        self.waiting: dict[Member, None] = {}  # an ordered set of those who are to be sent the full list
        self.told: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Done with the wave: the number of users in the list, or what a component raised."""
        self.is_awaited = False


class Announcer:
    """Tells the members of rooms what is new. `newest` has the newest number of each room that has members.

    `now` is the time as the presence manager knows it. `write` has what was posted to connections written at
    once, so that a wave's time is all that it takes.
    """

    def __init__(
        self,
        pubsub: PubSub,
        presence: PresenceManager,
        newest: dict[str, int],
        now: Callable[[], float],
        on_failure: Callable[[Exception, str], object],
    ) -> None:
        self._pubsub, self._presence, self._newest = pubsub, presence, newest
        self._now, self._on_failure = now, on_failure
        self.write: Callable[[], object] = lambda: None
        self._news: dict[str, News] = {}  # by room, the oldest first
        self._is_wave_due = False
        self._not_before = 0.0  # seconds on the loop's clock

    # What is new.

    def show(self, changes: list[Change]) -> None:
        """Users' presence changed."""
        for change in changes:
            user = change.presence.user
            if user in self._news_of(change.room).changes:
                self._tell(change.room)
            self._news_of(change.room).changes[user] = change.presence

    def announce(self, room: str, user: str, what: str) -> None:
        """A user `joined` or `left` a room."""
        if user in self._news_of(room).notices:
            self._tell(room)
        self._news_of(room).notices[user] = what

    def _news_of(self, room: str) -> News:
        self._schedule()
        if room not in self._news:
            self._news[room] = News()
        return self._news[room]

    # Who waits for it.

    async def told(self, room: str) -> None:
        """Wait until all that is new in a room was told. Raises what a component raises at that."""
        if news := self._news.get(room):
            news.is_awaited = True
            await asyncio.shield(news.told)

    async def send_list(self, room: str, member: Member) -> int:
        """Send the full list, at once or in the wave that tells what is new; returns the number of users.

        Raises what a component raises.
        """
        if news := self._news.get(room):
            news.is_awaited = True
            news.waiting[member] = None
            return await asyncio.shield(news.told)
        return self._send_list(room, [member])

    def _send_list(self, room: str, members: Iterable[Member]) -> int:
        full = PresenceFrame(room, self._presence.in_room(room, self._now()), full=True)
        for member in members:
            member.send(full)
        return len(full.users)

    # A wave.

    def _schedule(self) -> None:
        """Have the next wave begin at the end of this turn, or when the pause is over."""
        if self._is_wave_due:
            return
        self._is_wave_due = True
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            loop.call_at(self._not_before, self._wave)
        else:
            loop.call_soon(self._wave)

    def _wave(self) -> None:
        """Tell the rooms what is new, one after the other; what would take too long is for the next wave."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self._news and loop.time() - began < LONGEST:
            self._tell(next(iter(self._news)))
        self.write()
        ended = loop.time()
        self._not_before = ended + PAUSE * (ended - began)
        self._is_wave_due = False
        if self._news:
            self._schedule()

    def _tell(self, room: str) -> None:
        """Tell a room's members what is new, and those who wait for it that this is done."""
        news = self._news.pop(room)
        try:
            news.told.set_result(self._send_all(room, news))
        except Exception as error:  # a component's
            news.told.set_exception(error)
            news.told.exception()  # asyncio is not to report that nobody asked for it
            if not news.is_awaited:
                self._on_failure(error, room)

    def _send_all(self, room: str, news: News) -> int:
        publish, users = self._pubsub.publish, 0
        for changes in _chunks(list(news.changes.values()), MOST_CHANGES):
            publish(room, PresenceFrame(room, changes))
        if news.waiting:
            users = self._send_list(room, news.waiting)
        newest, now = self._newest.get(room, 0), int(time.time() * 1000)
        for content in _contents(news.notices):
            publish(room, Message(uuid.uuid4().hex, room, SYSTEM, content, newest, now))
        if not self._pubsub.members(room):
            self._newest.pop(room, None)  # a room that nobody is in costs no memory
        return users


def _contents(notices: dict[str, str]) -> Iterator[str]:
    """The words of the notices: who came, and who left."""
    most = MOST_NAMES if len(notices) > CROWD else 1
    for what in ("joined", "left"):
        for users in _chunks([user for user, did in notices.items() if did == what], most):
            *others, last = users
            yield f"{', '.join(others)} and {last} {what}" if others else f"{last} {what}"


def _chunks(values: list[T], most: int) -> Iterator[list[T]]:
    """The values in lists of `most` at the most."""
    for start in range(0, len(values), most):
        yield values[start : start + most]

from __future__ import annotations

import asyncio
import contextlib
import selectors
import socket
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from lab import announcer
from lab.announcer import CROWD, MOST_CHANGES, MOST_NAMES, PAUSE, Announcer
from lab.hub import Components
from lab.presence import PresenceManager
from lab.protocol import MAX_FRAME, MAX_NAME, Message, Presence, PresenceFrame, ServerFrame, Status, encode
from lab.pubsub import PubSub
from lab.server import ChatServer
from tests.lab.helpers import Client, Json, dial, eventually, notices, serving, statuses

CROWDED = [f"u{number}" for number in range(3 * CROWD)]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ChatServer]:
    """A server with the usual intervals."""
    async with serving(tmp_path) as server:
        yield server


class Fake:
    """A member that keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[ServerFrame] = []

    def send(self, frame: ServerFrame) -> None:
        """See `interfaces.Member`."""
        self.frames.append(frame)

    async def drain(self) -> None:
        """See `interfaces.Member`."""

    @property
    def notices(self) -> list[str]:
        """The words of the notices."""
        return [each.content for each in self.frames if isinstance(each, Message)]

    @property
    def shown(self) -> list[PresenceFrame]:
        """The presence frames."""
        return [each for each in self.frames if isinstance(each, PresenceFrame)]


class Room:
    """An announcer with a pubsub and a presence manager; what fails is noted. All happens in the room `r`."""

    def __init__(self) -> None:
        self.pubsub, self.presence = PubSub(), PresenceManager(30.0, 60.0)
        self.newest = {"r": 7}
        self.failed: list[str] = []
        self.announcer = Announcer(
            self.pubsub,
            self.presence,
            self.newest,
            lambda: 1000.0,
            lambda error, room: self.failed.append(room),
        )

    def enter(self, user: str) -> Fake:
        """A user joins; returns its connection."""
        member = Fake()
        self.pubsub.subscribe("r", member)
        self.announcer.show(self.presence.connected(user, user, 1000.0))
        self.announcer.show(self.presence.joined(user, "r", 1000.0))
        self.announcer.announce("r", user, "joined")
        return member

    async def join(self, user: str) -> Fake:
        """A user joins, and waits for the list."""
        member = self.enter(user)
        await self.announcer.send_list("r", member)
        return member

    def leave(self, user: str, member: Fake) -> None:
        """It leaves."""
        self.pubsub.unsubscribe("r", member)
        self.announcer.show(self.presence.lost(user, 1000.0))
        self.announcer.announce("r", user, "left")


async def test_who_joins_alone_is_announced_at_the_end_of_the_turn() -> None:
    """The change comes first, then the list which has it, and then the notice, with the newest number."""
    room = Room()
    ada = room.enter("ada")
    assert ada.frames == []
    assert await room.announcer.send_list("r", ada) == 1
    change, full, notice = ada.frames
    online = [Presence("ada", Status.ONLINE, 1_000_000)]
    assert (change, full) == (PresenceFrame("r", online), PresenceFrame("r", online, full=True))
    assert isinstance(notice, Message)
    assert (notice.content, notice.user, notice.sequence) == ("ada joined", "system", 7)


async def test_a_crowd_shares_a_wave() -> None:
    """Many who join at once are one frame with changes, one list that is made once, and one notice."""
    room = Room()
    members = await asyncio.gather(*[room.join(user) for user in CROWDED])
    for each in members:
        changes, full, notice = each.frames
        assert full is members[0].frames[1]
        for frame in (changes, full):
            assert isinstance(frame, PresenceFrame)
            assert [presence.user for presence in frame.users] == CROWDED
        assert isinstance(notice, Message)
        assert notice.content == f"{', '.join(CROWDED[:-1])} and {CROWDED[-1]} joined"


async def test_a_few_are_announced_one_by_one() -> None:
    """As long as they are no crowd, each user has a notice of its own."""
    room = Room()
    members = [room.enter(user) for user in CROWDED[:CROWD]]
    await room.announcer.told("r")
    assert members[0].notices == [f"{user} joined" for user in CROWDED[:CROWD]]


async def test_long_news_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """No notice names more than MOST_NAMES, and changes with the longest names fit into a frame."""
    room, names = Room(), [f"u{number}" for number in range(2 * MOST_NAMES + 1)]
    members = [room.enter(user) for user in names]
    await room.announcer.told("r")
    assert [notice.count("u") for notice in members[0].notices] == [MOST_NAMES, MOST_NAMES, 1]
    assert all(
        any(name in notice.replace(",", "").split() for notice in members[0].notices) for name in names
    )
    longest = [Presence("\x01" * MAX_NAME, Status.OFFLINE, 2**53 - 1)] * MOST_CHANGES
    assert len(encode(PresenceFrame("r" * MAX_NAME, longest))) < MAX_FRAME
    monkeypatch.setattr(announcer, "MOST_CHANGES", 2)
    more = [room.enter(user) for user in ("x", "y", "z")]
    await room.announcer.told("r")
    assert [[each.user for each in frame.users] for frame in more[0].shown] == [["x", "y"], ["z"]]


async def test_no_change_is_left_out() -> None:
    """Who leaves and comes back within a wave is shown as offline, and then as online again."""
    room = Room()
    ada = room.enter("ada")
    await room.announcer.told("r")
    bob = room.enter("bob")
    room.leave("bob", bob)
    again = room.enter("bob")
    await room.announcer.send_list("r", again)
    shown = [(each.user, each.status.value) for frame in ada.shown[1:] for each in frame.users]
    assert shown == [("bob", "online"), ("bob", "offline"), ("bob", "online")]
    assert ada.notices[1:] == ["bob joined", "bob left", "bob joined"]
    assert not any(each.status is Status.OFFLINE for frame in bob.shown for each in frame.users)


async def test_who_asks_while_there_is_news_waits_for_it() -> None:
    """A list never has what its receiver is shown as a change only later; without news it comes at once."""
    room = Room()
    ada = room.enter("ada")
    await room.announcer.told("r")
    room.enter("bob")
    assert await room.announcer.send_list("r", ada) == 2
    change, full, notice = ada.frames[2:]
    assert isinstance(change, PresenceFrame)
    assert isinstance(full, PresenceFrame)
    assert isinstance(notice, Message)
    assert ([each.user for each in change.users], full.full) == (["bob"], True)
    assert await room.announcer.send_list("r", ada) == 2
    assert ada.frames[5:] == [full]


async def test_after_a_long_wave_the_next_one_is_put_off() -> None:
    """It is put off for PAUSE times as long as the last took, to write it included, and gathers more news."""
    room, loop, took = Room(), asyncio.get_running_loop(), 0.02
    room.announcer.write = lambda: time.sleep(took)
    ada = room.enter("ada")
    await room.announcer.told("r")
    ended = loop.time()
    room.enter("bob")
    await asyncio.sleep(0)
    assert ada.notices == ["ada joined"]
    room.enter("cyd")
    await room.announcer.told("r")
    assert loop.time() >= ended + PAUSE * took * 0.9
    assert ada.notices == ["ada joined", "bob joined", "cyd joined"]
    assert len(ada.shown) == 2


async def test_a_long_wave_leaves_rooms_to_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first room has taken long, the event loop has a turn before the others are told."""
    room = Room()
    told: list[str] = []
    turns: list[int] = []

    def publish(name: str, frame: ServerFrame) -> None:
        told.append(name)
        if len(told) < 3:
            asyncio.get_running_loop().call_soon(turns.append, len(told))
        time.sleep(2 * announcer.LONGEST)

    monkeypatch.setattr(room.pubsub, "publish", publish)
    for name in ("a", "b", "c"):
        room.announcer.announce(name, "ada", "joined")
    await room.announcer.told("c")
    assert (told, turns) == (["a", "b", "c"], [1, 2])


async def test_what_a_component_raises_concerns_those_who_wait() -> None:
    """They are told; if nobody waits it is logged; and other rooms are told their news all the same."""

    class Broken(PubSub):
        def publish(self, room: str, frame: ServerFrame) -> None:
            """Fail in one room."""
            if room == "broken":
                raise RuntimeError("no")
            super().publish(room, frame)

    room = Room()
    room.announcer._pubsub = room.pubsub = Broken()
    room.announcer.announce("broken", "bob", "left")
    ada = room.enter("ada")
    await room.announcer.told("r")
    assert (ada.notices, room.failed) == (["ada joined"], ["broken"])
    room.announcer.announce("broken", "bob", "joined")
    with pytest.raises(RuntimeError):
        await room.announcer.told("broken")
    assert room.failed == ["broken"]


async def test_a_waiter_that_is_cancelled_disturbs_nobody() -> None:
    """The others still have their answers."""
    room = Room()
    ada, bob = room.enter("ada"), room.enter("bob")
    gone = asyncio.ensure_future(room.announcer.send_list("r", ada))
    stays = asyncio.ensure_future(room.announcer.send_list("r", bob))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == 2


# --- the whole server -----------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _crowd(server: ChatServer, names: Iterable[str]) -> AsyncIterator[list[Client]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(dial(server, name)) for name in names]


async def test_a_crowd_that_joins_and_is_cut_off(server: ChatServer) -> None:
    """Each knows all others by its list and the changes after it, and every name is announced to those who
    were there before; likewise when all of them are gone.
    """
    async with dial(server, "ada") as ada:
        await ada.join()
        async with _crowd(server, CROWDED) as crowd:
            for each in crowd:
                await each.send("join", room="r")
            joined = [await each.settle() for each in crowd]
            for each, came in zip(crowd, joined, strict=True):
                assert _present(came + await each.settle()) == {"ada", *CROWDED}
            came = await ada.settle()
            assert _present(came) == set(CROWDED)
            assert _named(came, "joined") == set(CROWDED)
            for each in crowd:
                each.socket.transport.abort()
        await eventually(lambda: len(server.pubsub.members("r")) == 1)
        came = await ada.until(lambda frame: "u0" in str(notices([frame])))
        came += await ada.settle()
        assert {user for user, status in statuses(came) if status == "offline"} == set(CROWDED)
        assert _named(came, "left") == set(CROWDED)


def _present(frames: list[Json]) -> set[str]:
    shown: dict[str, str] = {}
    for frame in frames:
        if frame["type"] == "presence" and frame["data"]["room"] == "r":
            everybody = {each["user"]: each["status"] for each in frame["data"]["users"]}
            shown = everybody if frame["data"]["full"] else {**shown, **everybody}
    return {user for user, status in shown.items() if status == "online"}


def _named(frames: list[Json], what: str) -> set[str]:
    words = [each["content"] for each in notices(frames) if each["content"].endswith(what)]
    return {name for content in words for name in content.replace(",", "").split()} - {"and", what}


async def test_a_leave_is_done_when_the_next_frame_is_answered(server: ChatServer) -> None:
    """Also when its wave is put off: the leaver's next answer comes behind the news for the others."""
    async with dial(server, "ada") as ada, dial(server, "bob") as bob:
        await ada.join()
        await bob.join()
        await ada.settle()
        server.announcer._not_before = asyncio.get_running_loop().time() + 0.1
        await bob.send("leave", room="r")
        assert await bob.settle() == []
        came = await ada.settle()
        assert statuses(came) == [("bob", "offline")]
        assert [each["content"] for each in notices(came)] == ["bob left"]


class Failing(PresenceManager):
    """A presence manager that cannot say who is in the room `r`."""

    def in_room(self, room: str, now: float) -> list[Presence]:
        """Fail there."""
        if room == "r":
            raise RuntimeError("I cannot look")
        return super().in_room(room, now)


async def test_a_list_that_cannot_be_made_is_answered_by_unavailable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Everybody who waits for it is told, and what failed is logged."""
    async with serving(tmp_path, Components(presence=Failing)) as server, dial(server, "ada") as ada:
        came = await ada.join()
        assert [f["data"]["code"] for f in came if f["type"] == "error"] == ["unavailable"]
        assert "I cannot look" in caplog.text


async def test_thousands_may_wait_to_be_accepted(server: ChatServer) -> None:
    """While the server is busy, the system opens more connections than asyncio would let wait."""
    people = 300
    limit = Path("/proc/sys/net/core/somaxconn")
    if limit.exists() and int(limit.read_text()) < people:
        pytest.skip("this system lets fewer connections wait")
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as connecting:
        sockets = [stack.enter_context(socket.socket()) for _ in range(people)]
        for each in sockets:  # nothing else happens in this thread meanwhile
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", server.port))
            connecting.register(each, selectors.EVENT_WRITE)
        deadline = time.monotonic() + 0.9  # a second later those that were not kept would try again
        while connecting.get_map() and time.monotonic() < deadline:
            for key, _ in connecting.select(0.1):
                connecting.unregister(key.fileobj)
        assert not connecting.get_map()
        await eventually(lambda: len(server._arriving) == people)
    await eventually(lambda: not server._arriving)

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import re
import select
import time
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from lab import fanout
from lab.fanout import Connection
from lab.hub import Components, Config
from lab.interfaces import Change, Draft
from lab.presence import PresenceManager
from lab.protocol import (
    MAX_CONTENT,
    MAX_FRAME,
    MAX_UNREAD,
    SYSTEM,
    ErrorCode,
    Heartbeat,
    History,
    Message,
    encode,
)
from lab.pubsub import PubSub
from lab.sequencer import Sequencer
from lab.server import ChatServer, run
from lab.session import Session
from lab.store import MessageStore
from tests.lab.helpers import (
    CLOSE,
    PATIENCE,
    PING,
    TEXT,
    Client,
    Json,
    Mute,
    clocked,
    dial,
    errors,
    eventually,
    fill,
    message,
    messages,
    notices,
    numbers,
    replayed,
    serving,
    statuses,
    unwire,
    wire,
)

FULL = "\x01" * MAX_CONTENT
"""A content of 64 KiB that takes six times as much as JSON."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ChatServer]:
    """A server with the usual intervals, so that neither heartbeats nor timeouts disturb."""
    async with serving(tmp_path) as server:
        yield server


# --- connecting -----------------------------------------------------------------------------------


async def test_the_greeting(tmp_path: Path) -> None:
    """The first frame has the user name and the intervals; without a name the server gives one."""
    async with (
        serving(tmp_path, heartbeat_interval=12.5, offline_timeout=34) as server,
        dial(server, "%C3%A9t%C3%A9%20%26") as named,
        dial(server) as first,
        dial(server) as second,
    ):
        assert named.user == "été &"
        assert named.greeting["heartbeatInterval"] == 12.5
        assert named.greeting["offlineTimeout"] == 34
        assert re.fullmatch("user_[0-9a-f]{8}", first.user)
        everybody = (named, first, second)
        assert len({each.greeting["clientId"] for each in everybody}) == 3
        assert len({each.user for each in everybody}) == 3


@pytest.mark.parametrize("name", ["", "system", "x" * 65, "%FF"])
async def test_a_bad_name_is_refused(server: ChatServer, name: str) -> None:
    """A bad name is answered by `bad_name` and nothing else, and the connection is closed with 1008."""
    async with connect(f"ws://127.0.0.1:{server.port}/?user={name}", compression=None, proxy=None) as socket:
        frame = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
        assert (frame["type"], frame["data"]["code"]) == ("error", "bad_name")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), PATIENCE)
        assert socket.close_code == 1008


async def test_any_path_is_accepted(server: ChatServer) -> None:
    """A client may connect to any path, also to one that looks like half of an address."""
    async with connect(f"ws://127.0.0.1:{server.port}//[?user=ada", compression=None, proxy=None) as socket:
        assert json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))["type"] == "connected"


async def test_frames_are_answered_in_the_order_in_which_they_were_sent(server: ChatServer) -> None:
    """When a `presence` request is answered, everything that the client sent before is done and answered."""
    async with dial(server, "ada") as ada:
        await ada.send("join", room="r")
        for number in range(20):
            await ada.say(f"no. {number}")
            await ada.send("history", room="r", since=number)
        await ada.send("leave", room="r")
        await ada.say("too late")
        joined, *came = [f for f in await ada.settle() if f["type"] != "presence" and not notices([f])]
        assert (joined["type"], came.pop()["type"]) == ("history", "error")
        assert [f["type"] for f in came] == ["message", "history"] * 20
        for number in range(20):
            assert [each["content"] for each in replayed(came[2 * number : 2 * number + 2])] == [
                f"no. {number}"
            ]


# --- N, O, D: numbers, order, durability ----------------------------------------------------------


async def test_everybody_sees_the_same_order(server: ChatServer) -> None:
    """With four senders at once, each member gets every message once, its own too,
    numbered 1 to n in order.
    """
    names = ["ada", "bob", "cyd", "dan"]
    clients = [dial(server, name) for name in names]
    async with clients[0] as a, clients[1] as b, clients[2] as c, clients[3] as d:
        everybody = (a, b, c, d)
        for each in everybody:
            await each.join()

        async def talk(client: Client) -> None:
            for number in range(25):
                await client.say(f"{client.user} {number}")

        await asyncio.gather(*[talk(each) for each in everybody])
        early = {each.user: await each.settle() for each in everybody}
        heard = [messages(early[each.user] + await each.settle()) for each in everybody]
        assert heard[0] == heard[1] == heard[2] == heard[3]
        assert numbers(heard[0]) == list(range(1, 101))
        for name in names:
            own = [each["content"] for each in heard[0] if each["user"] == name]
            assert own == [f"{name} {number}" for number in range(25)]


async def test_rooms_have_their_own_numbers_also_after_a_restart(tmp_path: Path) -> None:
    """Each room has its own numbers from 1, and they go on after the server was stopped and started."""
    before: list[Json] = []
    for life in range(2):
        async with serving(tmp_path) as server, dial(server, "ada") as ada:
            for room in ("r", "s"):
                joined = await ada.join(room, since=0)
                assert replayed(joined) == [each for each in before if each["room"] == room]
            for room in ("r", "s", "r"):
                await ada.say(f"in life {life}", room)
            before += messages(await ada.settle())
            assert server.accepted == 3
    assert [(each["room"], each["sequence"]) for each in before] == [
        ("r", 1), ("s", 1), ("r", 2), ("r", 3), ("s", 2), ("r", 4),
    ]  # fmt: skip


async def test_messages_pass_unchanged(server: ChatServer) -> None:
    """A content arrives exactly as it was sent, with its author, a time in milliseconds and an id."""
    contents = [" spaces ", "\0\x1f\u2028", "😀é", "x" * MAX_CONTENT, FULL, '{"type":"leave"}']
    begun = int(time.time() * 1000) - 1
    async with dial(server, "ada") as ada, dial(server, "bob") as bob:
        await bob.join()
        await ada.join()
        for content in contents:
            await ada.say(content)
        heard = messages(await ada.settle())
        assert messages(await bob.settle()) == heard
        assert [each["content"] for each in heard] == contents
        assert {each["user"] for each in heard} == {"ada"}
        assert all(begun <= each["timestamp"] <= time.time() * 1000 + 1 for each in heard)
        assert len({each["id"] for each in heard}) == len(contents)


class HeldStore(MessageStore):
    """A store whose saves wait until they are let through."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.gate = asyncio.Event()
        self.waiting = 0

    async def save(self, messages: list[Message]) -> None:
        """Wait, then save."""
        self.waiting += 1
        await self.gate.wait()
        await super().save(messages)


async def test_a_message_is_stored_before_anybody_receives_it(tmp_path: Path) -> None:
    """While a message is being stored nobody receives it, and others are served meanwhile."""
    async with serving(tmp_path, Components(store=HeldStore)) as server:
        store = server.store
        assert isinstance(store, HeldStore)
        async with dial(server, "ada") as ada, dial(server, "bob") as bob:
            await bob.join()
            await ada.join()
            await ada.say("hi")
            await eventually(lambda: store.waiting)
            assert messages(await bob.settle()) == []
            store.gate.set()
            assert numbers(messages(await ada.settle())) == [1]
            assert numbers(messages(await bob.settle())) == [1]


# --- J: joining, history --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (None, range(201, 251)),
        (0, range(1, 251)),
        (1, range(2, 251)),
        (150, range(151, 251)),
        (249, [250]),
        (250, []),
        (10**30, []),
    ],
)
async def test_the_answer_to_a_join(tmp_path: Path, since: int | None, expected: range) -> None:
    """A join brings exactly what came after `since`, or the newest 50, before any live message."""
    await fill(tmp_path, [message(number) for number in range(1, 251)])
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        await ada.send("join", room="r", since=since)
        await ada.say("live")
        came = await ada.settle()
        assert replayed(came) == [
            {
                "id": f"id-{n}",
                "room": "r",
                "user": "ada",
                "content": f"no. {n}",
                "sequence": n,
                "timestamp": 1000 + n,
            }
            for n in expected
        ]
        assert numbers(messages(came)) == [251]
        kinds = [f["type"] for f in came]
        assert "history" not in kinds[kinds.index("message") :]
        assert all(len(f["data"]["messages"]) <= 100 for f in came if f["type"] == "history")


async def test_a_join_during_traffic_misses_and_repeats_nothing(server: ChatServer) -> None:
    """Members who join while others talk get every message once, whichever way they join."""
    async with dial(server, "ada") as ada:
        await ada.join()

        async def visit(since: int | None) -> tuple[int | None, list[Json]]:
            async with dial(server, "bob") as bob:
                came = await bob.join(since=since)
                return since, came + await bob.until(lambda f: f.get("data", {}).get("content") == "the end")

        for number in range(10):
            await ada.say(f"no. {number}")
        await ada.settle()
        visits = []
        for number in range(30):
            await ada.say(f"no. {number}")
            visits.append(asyncio.create_task(visit((None, 0, 9)[number % 3])))
            await asyncio.sleep(0)
        await eventually(lambda: len(server.pubsub.members("r")) == 31)
        await ada.say("the end")
        for since, came in await asyncio.gather(*visits):
            assert numbers(replayed(came) + messages(came)) == list(range((since or 0) + 1, 42))


async def test_joining_twice_changes_nothing(server: ChatServer) -> None:
    """A second join is answered by the full list only; nobody is notified, and messages still come once."""
    async with dial(server, "ada") as ada, dial(server, "bob") as bob:
        await bob.join()
        await ada.join()
        await bob.settle()
        (again,) = await ada.join(since=0)
        assert again["type"] == "presence"
        assert again["data"]["full"] is True
        await ada.say("hi")
        assert numbers(messages(await ada.settle())) == [1]
        assert [f["type"] for f in await bob.settle()] == ["message"]


async def test_a_replay_fits_into_frames(tmp_path: Path) -> None:
    """A join that is answered with long messages gets all of them, in frames of at most 1 MiB each."""
    await fill(tmp_path, [message(number, content="x" * MAX_CONTENT) for number in range(1, 121)])
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        for since, expected in ((0, range(1, 121)), (None, range(71, 121))):
            sizes, got = [], []
            await ada.send("join", room="r", since=since)
            await ada.send("presence", room="done")
            while True:
                text = await asyncio.wait_for(ada.socket.recv(), PATIENCE)
                frame = json.loads(text)
                if frame["data"].get("room") == "done":
                    break
                sizes.append(len(text))
                got += replayed([frame])
            assert numbers(got) == list(expected)
            assert max(sizes) <= MAX_FRAME
            await ada.send("leave", room="r")
            await ada.settle()


@pytest.mark.parametrize("since", [0, None])
async def test_a_replay_of_any_size_is_not_counted_as_slowness(tmp_path: Path, since: int | None) -> None:
    """A long replay waits for its reader: a client that reads gets all of it, and is not disconnected."""
    await fill(tmp_path, [message(number, content=FULL) for number in range(1, 61)])
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        assert numbers(replayed(await ada.join(since=since))) == list(range(1 if since == 0 else 11, 61))


async def test_history_page_by_page(tmp_path: Path) -> None:
    """Pages of any limit, asked for one after the other, make the whole history, for members and others."""
    await fill(tmp_path, [message(number) for number in range(1, 251)])
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        for limit in (None, 7, 100, 500):
            got: list[int] = []
            more = True
            while more:
                await ada.send("history", room="r", since=got[-1] if got else None, limit=limit)
                (page,) = await ada.settle()
                assert page["type"] == "history"
                assert page["data"]["last"] == 250
                assert len(page["data"]["messages"]) <= min(limit or 100, 100)
                got += numbers(page["data"]["messages"])
                more = page["data"]["more"]
            assert got == list(range(1, 251))
        await ada.send("history", room="silent")
        await ada.send("history", room="r", since=10**30)
        silent, beyond = [f["data"] for f in await ada.settle()]
        assert silent == {"room": "silent", "messages": [], "last": 0, "more": False}
        assert beyond == {"room": "r", "messages": [], "last": 250, "more": False}


@pytest.mark.parametrize("content", [FULL, "x" * MAX_CONTENT], ids=["escaped", "plain"])
async def test_a_page_is_cut_to_fit_a_frame(tmp_path: Path, content: str) -> None:
    """A page of long messages is shortened until its frame fits into 1 MiB, and says that more follow."""
    await fill(tmp_path, [message(number, content=content) for number in range(1, 21)])
    async with serving(tmp_path) as server, dial(server, "ada") as ada:
        got: list[int] = []
        while len(got) < 20:
            await ada.send("history", room="r", since=got[-1] if got else 0)
            text = await asyncio.wait_for(ada.socket.recv(), PATIENCE)
            assert len(text) <= MAX_FRAME
            page = json.loads(text)["data"]
            assert await ada.settle() == [], "one question, one page"
            assert page["messages"], "an empty page leads no further"
            got += numbers(page["messages"])
            assert page["more"] is (got[-1] < 20)
        assert got == list(range(1, 21))


async def test_a_broadcast_is_encoded_once(server: ChatServer) -> None:
    """Each member is sent the same bytes object for the same frame; an equal or another frame has its own."""
    async with dial(server, "ada") as ada, dial(server, "bob") as bob:
        for each in (ada, bob):
            await each.join()
        first, equal = message(1, user="ada"), message(1, user="ada")
        sent: list[bytes] = []
        for frame in (first, equal, Heartbeat(), first):
            server.pubsub.publish("r", frame)
            one, two = [m.connection._posted[-1] for m in server.pubsub.members("r")]  # type: ignore[attr-defined]
            assert one is two
            assert unwire(one) == [(TEXT, encode(frame))]
            sent.append(one)
        assert sent[0] == sent[1] == sent[3]
        assert sent[0] is not sent[1]


# --- R: retries -----------------------------------------------------------------------------------


async def test_a_retry_is_answered_to_its_sender_only(tmp_path: Path) -> None:
    """The same id again gives the stored message to this sender and to nobody else, also after a restart."""
    async with serving(tmp_path) as server, dial(server, "ada") as ada, dial(server, "bob") as bob:
        await bob.join()
        await ada.join()
        await ada.say("once", id="x")
        (first,) = messages(await ada.settle())
        assert (first["id"], first["content"]) == ("x", "once")
        await bob.settle()
        await ada.say("other words", id="x")
        assert messages(await ada.settle()) == [first]
        assert await bob.settle() == []
        await bob.say("mine", id="x")
        assert numbers(messages(await bob.settle())) == [2]
        await ada.join("s")
        await ada.say("elsewhere", "s", id="x")
        assert (await ada.settle())[-1]["data"]["content"] == "elsewhere"
    async with serving(tmp_path) as server, dial(server, "ada") as ada, dial(server, "ada") as twin:
        await twin.join(since=2)
        await ada.join(since=2)
        await ada.say("once", id="x")
        assert messages(await ada.settle()) == [first]
        assert messages(await twin.settle()) == []
        await ada.say("new", id="y")
        assert numbers(messages(await ada.settle())) == [3]


async def test_two_retries_at_once_are_both_answered(tmp_path: Path) -> None:
    """Both connections of one user send again what was stored long ago: each gets an answer, once."""
    await fill(tmp_path, [message(1, user="ada", id="x")])
    async with serving(tmp_path) as server, dial(server, "ada") as ada, dial(server, "ada") as twin:
        for each in (ada, twin):
            await each.join(since=1)
        await asyncio.gather(ada.say("again", id="x"), twin.say("again", id="x"))
        for each in (ada, twin):
            assert numbers(messages(await each.settle())) == [1]
        assert server.observer.awaiting_echo == {}


async def test_a_retry_that_overtakes_its_answer(server: ChatServer) -> None:
    """Sent twice before the first was answered, and on a second connection: stored once, received by all."""
    async with dial(server, "ada") as ada, dial(server, "ada") as twin, dial(server, "bob") as bob:
        for each in (bob, ada, twin):
            await each.join()
        await asyncio.gather(
            *[client.say("hi", id=f"x{n}") for n in range(20) for client in (ada, ada, twin)]
        )
        answers = [messages(await each.settle()) for each in (ada, twin)]
        for heard in answers:
            assert {each["id"] for each in heard} == {f"x{n}" for n in range(20)}
        assert numbers(messages(await bob.settle())) == list(range(1, 21))


# --- L, I: leaving, isolation ---------------------------------------------------------------------


async def test_joins_and_leaves_are_announced(server: ChatServer) -> None:
    """Joining, leaving and a broken connection are announced by `system`, without a number of their own."""
    async with dial(server, "bob") as bob:
        await bob.join()
        await bob.say("hi")
        await bob.settle()
        async with dial(server, "ada") as ada:
            for frame in ("join", "leave", "join"):
                await ada.send(frame, room="r")
                await ada.settle()
                (notice,) = notices(await bob.settle())
                assert "ada" in notice["content"]
                assert (notice["room"], notice["sequence"]) == ("r", 1)
            ada.socket.transport.abort()
        came = await bob.until(lambda frame: notices([frame]))
        assert "ada" in notices(came)[0]["content"]
        assert statuses(came) == [("ada", "offline")]
        await bob.say("again")
        assert numbers(messages(await bob.settle())) == [2]
        await bob.send("history", room="r")
        assert [each["content"] for each in replayed(await bob.settle())] == ["hi", "again"]


async def test_only_the_last_connection_of_a_user_counts(server: ChatServer) -> None:
    """A user's second connection comes and goes without a notice or a change, until there is no other."""
    async with dial(server, "bob") as bob, dial(server, "ada") as ada:
        await bob.join()
        await ada.join()
        await bob.settle()
        async with dial(server, "ada") as twin:
            await twin.join()
        await eventually(lambda: len(server.pubsub.members("r")) == 2)
        async with dial(server, "ada") as twin:
            await twin.join()
            await twin.send("leave", room="r")
            await twin.settle()
            assert await bob.settle() == []
            await twin.join()
            await ada.send("leave", room="r")
            await ada.settle()
            assert await bob.settle() == []
            await twin.send("leave", room="r")
            await twin.settle()
            came = await bob.settle()
            assert len(notices(came)) == 1
            assert statuses(came) == [("ada", "offline")]


async def test_two_tabs_that_join_at_once_are_announced_once(tmp_path: Path) -> None:
    """Two connections of one user join a new room at once: the room gets one notice."""
    asked = asyncio.Event()

    class Slow(Sequencer):
        async def history(self, room: str, since: int, limit: int) -> History:
            await asked.wait()  # which is asked for a number to announce with
            return await super().history(room, since, limit)

    serve = serving(tmp_path, Components(sequencer=Slow))
    async with serve as server, dial(server, "ada") as first, dial(server, "ada") as second:
        for each in (first, second):
            await each.send("join", room="r")
        await eventually(lambda: len(list(server.pubsub.members("r"))) == 2)
        asked.set()
        received = [each["content"] for each in notices(await first.settle() + await second.settle())]
        assert received == ["ada joined"] * 2  # one notice, received by both


async def test_two_tabs_that_are_cut_at_once_are_announced_once(tmp_path: Path) -> None:
    """Two connections of one user, one in two rooms: when both end at once, each room gets one notice."""
    async with serving(tmp_path) as server, dial(server, "bob") as bob:
        await bob.join("r")
        await bob.join("s")
        async with dial(server, "ada") as first, dial(server, "ada") as second:
            await first.join("r")
            await first.join("s")
            await second.join("s")
            await bob.settle()
            first.socket.transport.abort()
            second.socket.transport.abort()
            await eventually(lambda: server.figures()["chatlab_connections"] == 1)
            received = [(each["room"], each["content"]) for each in notices(await bob.settle())]
            assert sorted(received) == [("r", "ada left"), ("s", "ada left")]


@pytest.mark.parametrize("kind", ["silence", "half a request", "a page", "a chat", "a chat that is cut"])
async def test_what_has_ended_needs_no_garbage_collector(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A connection that has ended is freed at once, however it ended, and the library's part of it too."""
    kept: list[weakref.ref[object]] = []
    made = Connection.connection_made

    def made_and_noted(connection: Connection, transport: asyncio.BaseTransport) -> None:
        made(connection, transport)
        kept.extend([weakref.ref(connection), weakref.ref(connection.protocol)])

    monkeypatch.setattr(Connection, "connection_made", made_and_noted)
    monkeypatch.setattr(logging.getLogger("websockets.server"), "disabled", True)  # pytest keeps what it logs
    gc.collect()
    gc.disable()
    try:
        await _come_and_go(server, kind)
        await eventually(lambda: kept and not any(each() for each in kept))
    finally:
        gc.enable()


async def _come_and_go(server: ChatServer, kind: str) -> None:
    if kind.startswith("a chat"):
        async with dial(server, "ada") as ada:
            await ada.join("r")
            if kind == "a chat that is cut":
                ada.socket.transport.abort()
        return
    requests = {"silence": b"", "half a request": b"GET / HTTP/1.1\r\n", "a page": b"GET / HTTP/1.1\r\n\r\n"}
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(requests[kind])
    if kind == "a page":
        await reader.read()
    else:
        await eventually(lambda: server._arriving)
    writer.transport.abort()


async def test_an_empty_room_needs_no_memory(server: ChatServer) -> None:
    """When a connection has left its rooms, in any way, nothing of them is kept in memory."""
    async with dial(server, "ada") as ada:
        for number in range(20):
            await ada.send("join", room=f"r{number}")
            await ada.say("hi", f"r{number}")
            if number % 2:
                await ada.send("leave", room=f"r{number}")
        await ada.settle()
        assert len(server.pubsub.rooms()) == 10
    await eventually(lambda: not server.pubsub.rooms())
    await eventually(lambda: not server.observer.newest)
    assert vars(server.presence) == vars(PresenceManager(30.0, 60.0))


async def test_a_room_is_for_its_members_only(server: ChatServer) -> None:
    """Those who left, are in other rooms, or never joined receive nothing of a room,
    and cannot send to it.
    """
    async with dial(server, "ada") as ada, dial(server, "bob") as bob, dial(server, "cyd") as cyd:
        await ada.join()
        await bob.join()
        await bob.send("leave", room="r")
        await bob.join("s")
        await cyd.join("R")
        await ada.settle()
        await ada.say("hi")
        await ada.send("leave", room="r")
        await ada.join()
        await ada.settle()
        assert await bob.settle() == []
        assert await cyd.settle() == []
        for outsider in (bob, cyd):
            await outsider.say("let me in", id="x")
            await outsider.send("leave", room="r")
            refused = errors(await outsider.settle())
            assert [(each["code"], each.get("id")) for each in refused] == [
                ("not_joined", "x"),
                ("not_joined", None),
            ]
        assert await ada.settle() == []


# --- P: presence ----------------------------------------------------------------------------------


async def test_who_is_present(server: ChatServer) -> None:
    """A join is answered by the full list, the others receive the change, and anybody may ask."""
    async with dial(server, "ada") as ada, dial(server, "bob") as bob, dial(server, "cyd") as cyd:
        assert statuses(await ada.join()) == [("ada", "online")] * 2
        came = await bob.join()
        (full,) = [f["data"] for f in came if f["type"] == "presence" and f["data"]["full"]]
        assert [(each["user"], each["status"]) for each in full["users"]] == [
            ("ada", "online"),
            ("bob", "online"),
        ]
        assert all(abs(each["lastSeen"] / 1000 - time.time()) < PATIENCE for each in full["users"])
        (change,) = [f["data"] for f in await ada.settle() if f["type"] == "presence"]
        assert [each["user"] for each in change["users"]] == ["bob"]
        assert not change["full"]
        await ada.send("leave", room="r")
        await ada.settle()
        assert statuses(await bob.settle()) == [("ada", "offline")]
        await cyd.send("presence", room="r")
        assert statuses(await cyd.settle()) == [("bob", "online")]


async def test_heartbeats_are_sent(tmp_path: Path) -> None:
    """The server sends heartbeats at its interval to all clients, also to those in no room."""
    config = {"heartbeat_interval": 0.05, "offline_timeout": 60.0}
    async with serving(tmp_path, **config) as server, dial(server, "ada") as ada:
        begun = time.monotonic()
        await ada.heartbeats(4)
        assert time.monotonic() - begun >= 0.1, "that is faster than the interval"


async def test_silence_ends_at_the_timeout(tmp_path: Path) -> None:
    """A client silent for the timeout is offline at once, and not sooner;
    it is announced and disconnected.
    """
    async with clocked(tmp_path) as server, dial(server, "bob") as bob, Mute(server.port, "ada") as ada:
        await bob.join()
        await ada.send("join", room="r")
        await bob.until(lambda frame: notices([frame]))
        await server.look_after(50)
        await bob.settle()
        await server.look_after(49.5)
        assert await bob.settle() == []
        await bob.send("presence", room="r")
        assert dict(statuses(await bob.settle())) == {"ada": "online", "bob": "online"}
        await server.look_after(0.5)  # and nobody waits for an answer of a client that may be gone
        await bob.send("presence", room="r")
        came = await bob.settle()
        assert statuses(came) == [("ada", "offline"), ("bob", "online")]
        assert "ada" in notices(came)[0]["content"]
        assert server.pubsub.members("r")[1:] == []
        opcode, payload = (await ada.read_to_the_end())[-1]
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, 1001)


@pytest.mark.parametrize(
    "sign",
    [
        lambda client: client.send("heartbeat"),
        lambda client: client.socket.send("not even JSON"),
        lambda client: client.socket.send(b"not even text"),
        lambda client: client.socket.ping(),
        lambda client: client.socket.pong(),
    ],
    ids=["heartbeat", "bad_json", "binary", "ping", "pong"],
)
async def test_any_frame_is_a_sign_of_life(tmp_path: Path, sign: Callable[[Client], Any]) -> None:
    """A client that gives any sign of life in time stays online, however long that lasts."""
    async with clocked(tmp_path) as server, dial(server, "ada") as ada:
        await ada.join()
        for _ in range(5):
            await server.look_after(90)
            await sign(ada)
            moment = int(server.clock * 1000)
            await eventually(lambda: server.presence.in_room("r", server.clock)[0].last_seen == moment)  # noqa: B023
        assert statuses(await ada.settle()) == []
        await server.look_after(100)
        assert await ada.closed() == 1001


async def test_timeouts_in_real_time(tmp_path: Path) -> None:
    """With real, short intervals a silent client is offline after the timeout and not before it."""
    async with serving(tmp_path, heartbeat_interval=0.05, offline_timeout=0.2) as server:
        async with dial(server, "ada") as ada:
            begun = time.monotonic()
            await ada.send("join", room="r")
            assert await ada.closed() == 1001
            assert time.monotonic() - begun >= 0.2
        await eventually(lambda: not server.pubsub.rooms())


async def test_one_live_connection_is_enough(tmp_path: Path) -> None:
    """If one of a user's two connections times out, it is closed, and the user stays online."""
    async with (
        clocked(tmp_path) as server,
        dial(server, "bob") as bob,
        dial(server, "ada") as ada,
        dial(server, "ada") as twin,
    ):
        for each in (bob, ada, twin):
            await each.join()
        await bob.settle()
        await server.look_after(60)
        await bob.settle()
        await twin.settle()
        await server.look_after(60)
        assert await ada.closed() == 1001
        await twin.settle()
        assert await bob.settle() == []
        await bob.send("presence", room="r")
        assert dict(statuses(await bob.settle())) == {"ada": "online", "bob": "online"}


async def test_frames_that_had_arrived_are_no_silence(tmp_path: Path) -> None:
    """If the server is blocked beyond the timeout, what came meanwhile is read before anybody is offline."""
    async with clocked(tmp_path) as server, Mute(server.port, "ada") as ada:
        await ada.send("join", room="r")
        await eventually(lambda: server.presence.in_room("r", server.clock))
        (session,) = server.pubsub.members("r")
        assert isinstance(session, Session)
        theirs = session.connection.transport.get_extra_info("socket")
        for _ in range(3):
            ada.socket.send(wire(TEXT, b'{"type": "heartbeat"}'))
            assert select.select([theirs], [], [], PATIENCE)[0]  # the bytes are there, and nobody read them
            await server.look_after(1000)
            assert [each.status for each in server.presence.in_room("r", server.clock)] == ["online"]


async def test_a_server_that_was_blocked_waits_for_answers(tmp_path: Path) -> None:
    """A client that answers every heartbeat is not offline because the server was blocked and sent none."""
    async with (
        serving(tmp_path, heartbeat_interval=0.05, offline_timeout=0.25) as server,
        dial(server, "ada") as ada,
    ):
        await ada.join()

        async def answer() -> None:
            while True:
                if (await ada.next())["type"] == "heartbeat":
                    await ada.send("heartbeat")

        answering = asyncio.create_task(answer())
        await asyncio.sleep(0)
        hold_up(0.35)
        for _ in range(200):
            await asyncio.sleep(0)
        here = server.pubsub.rooms()
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        assert here == ["r"], "a client was thrown out for our own silence"


def hold_up(seconds: float) -> None:
    """Block this process."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


# --- E: errors ------------------------------------------------------------------------------------

BAD_FRAMES: list[tuple[str | bytes, str]] = [
    ("{", "bad_json"),
    ("[1]", "bad_json"),
    (b'{"type": "heartbeat"}', "bad_json"),
    ("[" * 200_000, "bad_json"),
    ('{"type": "subscribe", "room": "r"}', "unknown_type"),
    ("{}", "bad_request"),
    ('{"type": 1}', "bad_request"),
    ('{"type": "join"}', "bad_request"),
    ('{"type": "join", "room": ["r"]}', "bad_request"),
    ('{"type": "join", "room": "s", "since": -1}', "bad_request"),
    ('{"type": "history", "room": "r", "limit": 0}', "bad_request"),
    ('{"type": "message"}', "bad_request"),
    ('{"type": "message", "data": {"room": "r", "content": 5}}', "bad_request"),
    ('{"type": "message", "data": {"room": "r", "content": "hi", "id": ""}}', "bad_request"),
    ('{"type": "join", "room": "../../etc"}', "bad_room"),
    ('{"type": "leave", "room": ""}', "bad_room"),
    ('{"type": "presence", "room": "a b"}', "bad_room"),
    ('{"type": "history", "room": ".."}', "bad_room"),
    ('{"type": "message", "data": {"room": ".", "content": "hi"}}', "bad_room"),
    ('{"type": "message", "data": {"room": "r", "content": ""}}', "bad_content"),
    ('{"type": "message", "data": {"room": "r", "content": "\\ud800"}}', "bad_content"),
    (json.dumps({"type": "message", "data": {"room": "r", "content": "x" * 65_537}}), "too_large"),
    ('{"type": "leave", "room": "s"}', "not_joined"),
    ('{"type": "message", "data": {"room": "s", "content": "hi"}}', "not_joined"),
]


async def test_bad_frames_are_answered_and_change_nothing(server: ChatServer) -> None:
    """Each bad frame gets its code; its sender stays connected and a member, and nobody else notices."""
    async with dial(server, "ada") as ada, dial(server, "bob") as bob:
        await bob.join()
        await ada.join()
        await bob.settle()
        for text, code in BAD_FRAMES:
            await ada.socket.send(text)
            (frame,) = await ada.settle()
            assert (frame["type"], frame["data"]["code"]) == ("error", code), text
            assert frame["data"]["message"]
        assert await bob.settle() == []
        assert server.pubsub.rooms() == ["r"]
        await ada.say("still here")
        assert numbers(messages(await bob.settle())) == []
        assert numbers(messages(await ada.settle())) == [1]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"type": "join", "room": "r", "since": "\\ud800"}', ["bad_request"]),
        ('{"type": "message", "data": "\\ud800"}', ["bad_request"]),
        ('{"type": "heartbeat", "\\ud800": 1}', []),
    ],
)
async def test_surrogates_in_odd_places(server: ChatServer, text: str, answer: list[str]) -> None:
    """An unpaired surrogate is the client's mistake in a field, and none where no field is."""
    async with dial(server, "ada") as ada:
        await ada.socket.send(text)
        assert [each["code"] for each in errors(await ada.settle())] == answer


async def test_errors_name_the_message_they_answer(server: ChatServer) -> None:
    """A refused `message` that had an id is answered with that id."""
    async with dial(server, "ada") as ada:
        await ada.say("hi", id="a")
        await ada.say("hi", "..", id="b")
        await ada.join()
        await ada.say("", id="c")
        await ada.say("x" * 70_000, id="d")
        await ada.send("message", data={"room": "r", "id": "e"})
        assert [each["id"] for each in errors(await ada.settle())] == ["c", "d", "e"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (wire(TEXT, b"\xff\xfe"), 1007),
        (b"\xf1\x80\0\0\0\0", 1002),
        (b"\x81\x00", 1002),
        (b"\x81\xff" + (MAX_FRAME + 1).to_bytes(8, "big") + bytes(4), 1009),
    ],
    ids=["not UTF-8", "reserved bits", "not masked", "over 1 MiB"],
)
async def test_websocket_errors_close_only_that_connection(
    server: ChatServer, data: bytes, code: int
) -> None:
    """Broken WebSocket, or a frame over 1 MiB, closes the connection with its code; the others go on."""
    async with dial(server, "bob") as bob, Mute(server.port, "ada") as ada:
        await bob.join()
        await ada.send("join", room="r")
        await bob.until(lambda frame: notices([frame]))
        await ada.write(data)
        opcode, payload = (await ada.read_to_the_end())[-1]
        assert opcode == CLOSE
        assert int.from_bytes(payload[:2], "big") == code
        came = await bob.until(lambda frame: notices([frame]))
        assert statuses(came) == [("ada", "offline")]


async def test_a_frame_of_one_mebibyte_is_read(server: ChatServer) -> None:
    """A frame may have up to 1 MiB; a content that is too long in it is `too_large`,
    and nothing more happens.
    """
    async with dial(server, "ada") as ada:
        await ada.join()
        text = json.dumps({"type": "message", "data": {"room": "r", "content": ""}})
        await ada.socket.send(text.replace('""', f'"{"x" * (MAX_FRAME - len(text))}"'))
        assert [each["code"] for each in errors(await ada.settle())] == ["too_large"]


class Moody(Sequencer):
    """A sequencer that fails as long as the test asks for it."""

    fails = True

    async def accept(self, draft: Draft) -> Message:
        """Fail, or do it."""
        if self.fails:
            raise RuntimeError("out of order")
        return await super().accept(draft)

    async def history(self, room: str, since: int, limit: int) -> History:
        """Fail where asked for a page, or do it."""
        if self.fails and limit > 1:
            raise RuntimeError("out of order")
        return await super().history(room, since, limit)


async def test_a_component_that_raises_is_answered_by_unavailable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An internal error is answered by `unavailable` with the message's id, logged,
    and the server goes on.
    """
    async with serving(tmp_path, Components(sequencer=Moody)) as server:
        assert isinstance(server.sequencer, Moody)
        async with dial(server, "ada") as ada, dial(server, "bob") as bob:
            await bob.join()
            await ada.join()
            await bob.settle()
            await ada.say("hi", id="x")
            await ada.send("history", room="r")
            said, asked = errors(await ada.settle())
            assert (said["code"], said["id"]) == (ErrorCode.UNAVAILABLE, "x")
            assert asked["code"] == ErrorCode.UNAVAILABLE
            assert "out of order" in caplog.text
            assert await bob.settle() == []
            server.sequencer.fails = False
            await ada.say("hi", id="x")
            assert numbers(messages(await ada.settle())) == [1]
            assert numbers(messages(await bob.settle())) == [1]


class Aged(MessageStore):
    """A store whose `last` can be made to take its time, or to fail."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.fails = False

    async def last(self, room: str) -> int:
        """The current number, returned later."""
        if self.fails:
            raise OSError("I forgot")
        last = await super().last(room)
        self.waiting += not self.gate.is_set()
        await self.gate.wait()
        return last


async def test_a_notice_has_the_newest_number(tmp_path: Path) -> None:
    """The `sequence` of a notice is the room's newest number at its place among the messages."""
    async with serving(tmp_path, Components(store=Aged)) as server:
        store = server.store
        assert isinstance(store, Aged)
        async with dial(server, "ada") as ada, dial(server, "bob") as bob:
            await ada.join()
            await ada.say("one")
            await ada.settle()
            store.gate.clear()
            await bob.send("join", room="r")
            with contextlib.suppress(TimeoutError):
                await eventually(lambda: store.waiting, 0.5)
            await ada.say("two")
            came = await ada.until(lambda frame: messages([frame]))
            store.gate.set()
            await bob.settle()
            came = [f["data"] for f in came + await ada.settle() if f["type"] == "message"]
            newest = 1
            for each in came:
                assert each["sequence"] == (newest if each["user"] == SYSTEM else newest + 1)
                newest = each["sequence"]
            assert newest == 2


async def test_unavailable_means_that_nothing_was_changed(tmp_path: Path) -> None:
    """A `join` that is answered by `unavailable` has not made a member."""
    async with serving(tmp_path, Components(store=Aged)) as server:
        store = server.store
        assert isinstance(store, Aged)
        async with dial(server, "ada") as ada:
            store.fails = True
            refused = [each["code"] for each in errors(await ada.join())]
            assert (refused == ["unavailable"]) is (server.pubsub.rooms() == [])


class Nervous(PresenceManager):
    """A presence manager that fails at every sign of life and every sweep, while the test asks for it."""

    fails = True
    swept = 0

    def seen(self, connection: str, now: float) -> list[Change]:
        """Fail, or do it."""
        if self.fails:
            raise RuntimeError("I cannot look")
        return super().seen(connection, now)

    def sweep(self, now: float) -> list[Change]:
        """Fail, or do it."""
        self.swept += 1
        if self.fails:
            raise RuntimeError("no broom")
        return super().sweep(now)


async def test_sweeps_go_on_whatever_they_raise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A presence manager that raises costs no client its connection, and is called again each time."""
    config = {"heartbeat_interval": 0.02, "offline_timeout": 60.0}
    async with serving(tmp_path, Components(presence=Nervous), **config) as server:
        presence = server.presence
        assert isinstance(presence, Nervous)
        async with dial(server, "ada") as ada:
            await ada.join()
            await ada.heartbeats(3)
            assert presence.swept > 3
            await ada.say("hi")
            assert numbers(messages(await ada.settle())) == [1]
            assert {"no broom", "I cannot look"} <= set(re.findall("no broom|I cannot look", caplog.text))
            presence.fails = False
            caplog.clear()
            await ada.heartbeats(2)
            assert "no broom" not in caplog.text


# --- S: slow readers ------------------------------------------------------------------------------


async def test_a_slow_reader_is_disconnected_and_delays_nobody(server: ChatServer) -> None:
    """A client that does not read during megabytes is disconnected; the others get all,
    and it may come back.
    """
    async with dial(server, "ada") as ada, dial(server, "bob") as bob, Mute(server.port, "slow") as slow:
        await ada.join()
        await bob.join()
        await slow.send("join", room="r")
        await bob.until(lambda frame: "slow" in str(notices([frame])))
        for number in range(1, 46):
            await ada.say(FULL)
            assert number in numbers(messages(await ada.settle()))
            assert numbers(messages(await bob.settle())) == [number]
        frames = await slow.read_to_the_end()
        assert frames[-1][0] == CLOSE
        assert int.from_bytes(frames[-1][1][:2], "big") == 1013
        read = numbers(messages(json.loads(payload) for opcode, payload in frames if opcode == TEXT))
        assert read == list(range(1, len(read) + 1))
        assert len(read) < 45
        came = await bob.until(lambda frame: notices([frame]))
        assert statuses(came) == [("slow", "offline")]
        async with dial(server, "slow") as back:
            assert numbers(replayed(await back.join(since=43))) == [44, 45]


async def connections(server: ChatServer) -> int:
    """How many connections the server counts."""
    figures = await get(server, "/metrics")
    return int(figures[1].split("\nchatlab_connections ")[1].split()[0])


@pytest.mark.parametrize("behind", [0, 200])
async def test_a_client_that_freezes_during_its_replay_times_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    """A client that stops reading its replay, and sends nothing, is silent: it times out like any other."""
    monkeypatch.setattr(fanout, "CLOSE_SECONDS", 0.05)
    await fill(tmp_path, [message(number, content="x" * 60_000) for number in range(1, 301)])
    async with (
        serving(tmp_path, heartbeat_interval=0.1, offline_timeout=0.2) as server,
        Mute(server.port, "ada") as ada,
    ):
        hello = json.dumps({"type": "join", "room": "r", "since": 0}).encode()
        await ada.write(wire(TEXT, hello) + wire(TEXT, b'{"type": "heartbeat"}') * behind)
        deadline = time.monotonic() + PATIENCE
        while await connections(server) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert await connections(server) == 0
        assert server.pubsub.rooms() == []


async def test_a_client_that_freezes_during_its_replay_is_offline_in_time(tmp_path: Path) -> None:
    """A client that reads nothing of its replay and sends nothing is offline at the timeout, not later."""
    await fill(tmp_path, [message(number, content="x" * 60_000) for number in range(1, 301)])
    async with (
        serving(tmp_path, heartbeat_interval=0.1, offline_timeout=0.5) as server,
        Mute(server.port, "ada") as ada,
    ):
        await ada.send("join", room="other")
        await eventually(lambda: server.pubsub.rooms() == ["other"])
        (session,) = server.pubsub.members("other")
        assert isinstance(session, Session)
        hello = json.dumps({"type": "join", "room": "r", "since": 0}).encode()
        await ada.write(wire(TEXT, hello) + wire(TEXT, b'{"type": "heartbeat"}') * 200)
        soon = 0.6 * fanout.CLOSE_SECONDS  # and not only when it is given up
        await eventually(lambda: not server.presence.is_connected(session.id), soon)


@pytest.mark.parametrize("ask", ['{"type": "history", "room": "r"}', None], ids=["history", "join and leave"])
async def test_a_client_that_asks_and_never_reads_costs_little(tmp_path: Path, ask: str | None) -> None:
    """A client that asks for more and more pages and reads none is disconnected, or not read from."""
    await fill(tmp_path, [message(number, content="x" * 60_000) for number in range(1, 51)])
    async with serving(tmp_path) as server, Mute(server.port, "ada") as ada:
        await ada.send("join", room="other")
        await eventually(lambda: server.pubsub.rooms() == ["other"])
        (session,) = server.pubsub.members("other")
        assert isinstance(session, Session)
        connection = session.connection
        asked = [ask] if ask else ['{"type": "join", "room": "r"}', '{"type": "leave", "room": "r"}']
        await ada.write(b"".join(wire(TEXT, each.encode()) for each in asked) * 60)
        quiet, before = 0, -1
        while quiet < 150:  # until the server does no more for this client
            waiting = sum(map(len, connection.queue.waiting)) + connection.transport.get_write_buffer_size()
            assert waiting < 2 * MAX_UNREAD
            quiet, before = (quiet + 1, before) if waiting == before else (0, waiting)
            await asyncio.sleep(0.005)


async def test_a_client_that_pings_and_never_reads_costs_little(server: ChatServer) -> None:
    """A client that floods the server with pings and reads no pong is disconnected,
    or not read from, in time.
    """
    async with Mute(server.port, "ada") as ada:
        await ada.send("join", room="r")
        await eventually(lambda: server.pubsub.members("r"))
        (session,) = server.pubsub.members("r")
        assert isinstance(session, Session)
        pings = wire(PING, b"x" * 125) * 1000
        for _ in range(250):
            try:
                await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(ada.socket, pings), 0.2)
            except (TimeoutError, ConnectionError):
                break
            assert session.connection.transport.get_write_buffer_size() <= MAX_UNREAD


async def test_stopping_waits_for_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server with a client that does not read its replay stops within its 5 seconds."""
    monkeypatch.setattr("lab.server.STOP_SECONDS", 0.2)
    await fill(tmp_path, [message(number, content="x" * 60_000) for number in range(1, 201)])
    server = await serving(tmp_path).__aenter__()
    async with Mute(server.port, "ada") as ada:
        await ada.send("join", room="other")
        await eventually(lambda: server.pubsub.members("other"))
        (session,) = server.pubsub.members("other")
        assert isinstance(session, Session)
        await ada.send("join", room="r", since=0)
        await eventually(lambda: session.connection.paused)
        stopping = asyncio.create_task(server.__aexit__())
        done, _ = await asyncio.wait({stopping}, timeout=5)
    await asyncio.wait_for(stopping, PATIENCE)
    assert done, "it waited for the reader"


# --- plain HTTP, starting and stopping ------------------------------------------------------------


async def get(server: ChatServer, path: str) -> tuple[int, str]:
    """The status and the text of an HTTP answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    assert f"Content-Length: {len(body.encode())}" in head
    return int(head.split()[1]), body


async def test_plain_http_on_the_same_port(server: ChatServer) -> None:
    """A browser can read the health, true figures and a greeting, and everything else is 404."""
    assert await get(server, "/healthz") == (200, "ok\n")
    assert await get(server, "/healthz?verbose=1") == (200, "ok\n")
    status, text = await get(server, "/")
    assert status == 200
    assert "WebSocket" in text
    assert (await get(server, "/favicon.ico"))[0] == 404
    async with dial(server, "ada") as ada, dial(server, "bob"):
        await ada.join()
        assert await connections(server) == 2
    await eventually(lambda: not server.pubsub.rooms())


async def test_stopping_closes_connections_and_frees_the_port(tmp_path: Path) -> None:
    """A server that stops closes its connections with 1001; another can use its port and folder at once."""
    server = await serving(tmp_path).__aenter__()
    config = Config(port=server.port, data_dir=tmp_path)
    async with dial(server, "ada") as ada:
        await ada.join()
        await ada.say("hi")
        await ada.settle()
        await server.__aexit__()
        assert await ada.closed() == 1001
        async with ChatServer(config) as successor, dial(successor, "ada") as again:
            assert numbers(replayed(await again.join())) == [1]


class Stuck(Sequencer):
    """A sequencer that accepts nothing until it is released, which may be never."""

    def __init__(self, store: MessageStore, pubsub: PubSub) -> None:
        super().__init__(store, pubsub)
        self.called, self.go = asyncio.Event(), asyncio.Event()

    async def accept(self, draft: Draft) -> Message:
        """Wait, and refuse."""
        self.called.set()
        await self.go.wait()
        raise RuntimeError("too late")


async def test_stopping_waits_for_no_component(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose component hangs can still be stopped, within its 5 seconds."""
    monkeypatch.setattr("lab.server.STOP_SECONDS", 0.2)
    server = await serving(tmp_path, Components(sequencer=Stuck)).__aenter__()
    assert isinstance(server.sequencer, Stuck)
    async with dial(server, "ada") as ada:
        await ada.join()
        await ada.say("hi")
        await asyncio.wait_for(server.sequencer.called.wait(), PATIENCE)
        stopping = asyncio.create_task(server.__aexit__())
        done, _ = await asyncio.wait({stopping}, timeout=5)
        server.sequencer.go.set()
        await asyncio.wait_for(stopping, PATIENCE)
    assert done, "it waited for the component"


async def test_run_serves_until_it_is_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`run` prints where it listens, and returns when it is asked to stop, with everything closed."""
    stop = asyncio.Event()
    running = asyncio.create_task(run(ChatServer(Config(port=0, data_dir=tmp_path)), stop))
    said = ""
    while not said:
        assert not running.done()
        await asyncio.sleep(0.001)
        said = capsys.readouterr().out
    found = re.fullmatch(r"listening on ws://127\.0\.0\.1:(\d+)/ with data in (.*)\n", said)
    assert found
    assert found[2] == str(tmp_path)
    async with connect(f"ws://127.0.0.1:{found[1]}/", compression=None, proxy=None):
        stop.set()
        await asyncio.wait_for(running, PATIENCE)
    MessageStore(tmp_path).close()


async def test_a_port_that_is_taken_leaves_the_folder_free(tmp_path: Path, server: ChatServer) -> None:
    """A server that cannot have its port has freed its folder again."""
    second = ChatServer(Config(port=server.port, data_dir=tmp_path / "second"))
    try:
        with pytest.raises(OSError, match="in use"):
            await second.__aenter__()
        MessageStore(tmp_path / "second").close()
    finally:
        second.store.close()

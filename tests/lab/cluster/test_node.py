from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest

import lab.cluster
from lab.cluster.node import Node, components_of
from lab.command import EXIT_USAGE, run_command, serve
from lab.hub import Config
from lab.server import ChatServer
from lab.server import run as serve_until
from tests.lab.cluster.nats_server import NatsServer
from tests.lab.cluster.way import way_to
from tests.lab.helpers import (
    PATIENCE,
    Client,
    Json,
    dial,
    errors,
    messages,
    notices,
    numbers,
    replayed,
    statuses,
)

# One file is one group: its tests share a NATS server.
pytestmark = pytest.mark.xdist_group("nats")


@pytest.fixture(scope="module")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A NATS server that all tests here share: each has rooms of its own."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def cluster(
    nats: NatsServer, count: int = 2, interval: float = 30.0, timeout: float = 60.0
) -> AsyncIterator[list[ChatServer]]:
    """Nodes that share their rooms."""
    config = Config(port=0, heartbeat_interval=interval, offline_timeout=timeout)
    async with AsyncExitStack() as stack:
        servers = [ChatServer(config, components_of(nats.url)) for _ in range(count)]
        yield list(await asyncio.gather(*map(stack.enter_async_context, servers)))


def has_number(number: int, frame: Json) -> bool:
    """Whether a frame is that message."""
    return numbers(messages([frame])) == [number]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of the server with these arguments."""
    monkeypatch.setattr(sys, "argv", ["lab", *arguments])
    return run_command(serve, "lab")


async def test_members_at_two_nodes_hear_the_same(nats: NatsServer) -> None:
    """Joining, speaking and leaving at one node is seen at the other, like at the same one."""
    async with cluster(nats) as (here, there), dial(here, "ada") as ada:
        await ada.join("both")
        async with dial(there, "bob") as bob:
            came = await bob.join("both")
            assert sorted(statuses(came, "both")[-2:]) == [("ada", "online"), ("bob", "online")]
            seen = await ada.until(lambda frame: notices([frame]))
            assert statuses(seen, "both") == [("bob", "online")]
            assert "bob" in notices(seen)[0]["content"]
            await ada.say("hello", "both")
            await bob.until(lambda frame: messages([frame]))
            await bob.say("hi", "both", id="once")
            for each in (ada, bob):
                (last,) = messages(
                    [(await each.until(lambda f: messages([f]) and f["data"]["user"] == "bob"))[-1]]
                )
                assert (last["sequence"], last["id"], last["content"]) == (2, "once", "hi")
            await bob.send("leave", room="both")
            gone = await ada.until(lambda frame: notices([frame]))
            assert statuses(gone, "both") == [("bob", "offline")]
            assert notices(gone)[0]["sequence"] == 2
            await ada.say("only me", "both")
            await ada.until(lambda frame: messages([frame]))
            came = await bob.settle()
            assert [(f["type"], f["data"].get("content")) for f in came][1:] == [], "who left hears nothing"


async def test_two_nodes_agree_on_one_order(nats: NatsServer) -> None:
    """Everybody speaks at once: 1, 2, 3, … at both nodes, the same messages, each sender's in its order."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(cluster(nats, 3))
        clients = [await stack.enter_async_context(dial(s, f"u{n}")) for n, s in enumerate(servers * 2)]
        for client in clients:
            await client.join("order")
        count = 15

        async def speak(client: Client) -> None:
            for number in range(count):
                await client.say(f"{client.user} {number}", "order", id=str(number) if number % 2 else None)

        await asyncio.gather(*map(speak, clients))
        heard = []
        for client in clients:
            frames = await client.until(
                lambda f: f["type"] == "message" and f["data"]["sequence"] == count * len(clients)
            )
            heard.append([(each["sequence"], each["content"]) for each in messages(frames)])
        assert [number for number, _ in heard[0]] == [*range(1, count * len(clients) + 1)]
        assert all(each == heard[0] for each in heard)
        for client in clients:
            own = [content for _, content in heard[0] if content.split()[0] == client.user]
            assert own == [f"{client.user} {number}" for number in range(count)]


async def test_a_retry_at_another_node_is_found(nats: NatsServer) -> None:
    """A message that was accepted here and is sent again there is not stored anew; its sender is told it."""
    async with cluster(nats) as (here, there):
        async with dial(here, "ada") as ada:
            await ada.join("retry")
            await ada.say("first", "retry", id="x")
            before = messages(await ada.until(lambda frame: messages([frame])))
        async with dial(there, "ada") as ada, dial(there, "bob") as bob:
            await bob.join("retry")
            await ada.join("retry", since=1)
            await bob.settle()
            await ada.say("again", "retry", id="x")
            assert messages(await ada.until(lambda frame: messages([frame]))) == before
            await ada.say("next", "retry", id="y")
            assert numbers(messages(await bob.until(lambda frame: messages([frame])))) == [2]


async def test_history_is_read_from_the_log(nats: NatsServer) -> None:
    """350 messages, in batches of any size: by pages, from any number, and at a node that never saw them."""
    async with cluster(nats, 1) as (here,), dial(here, "ada") as ada:
        await ada.join("long")
        for number in range(1, 351):
            await ada.say(str(number), "long")
            if number % 150 == 0:
                await ada.until(partial(has_number, number))
        await ada.until(partial(has_number, 350))
    async with cluster(nats, 1) as (there,), dial(there, "bob") as bob:
        for since, limit, expected in [(0, 100, range(1, 101)), (177, 3, range(178, 181)), (349, 9, [350])]:
            await bob.send("history", room="long", since=since, limit=limit)
            page = (await bob.settle())[0]["data"]
            assert numbers(page["messages"]) == [*expected]
            assert [int(each["content"]) for each in page["messages"]] == [*expected]
            assert page["last"] == 350
            assert page["more"] == (since < 349)
        frames = await bob.join("long", since=2)
        assert numbers(replayed(frames)) == [*range(3, 351)]
        await bob.send("leave", room="long")
        assert numbers(replayed(await bob.join("long"))) == [*range(301, 351)]


async def test_a_user_at_two_nodes_is_there_until_both_are_left(nats: NatsServer) -> None:
    """No notice and no change while one connection stays, whichever node it is at."""
    async with cluster(nats) as (here, there), dial(here, "bob") as bob, dial(here, "ada") as first:
        await bob.join("twice")
        await first.join("twice")
        await bob.until(lambda frame: notices([frame]))
        async with dial(there, "ada") as second:
            await second.join("twice")
            await first.send("leave", room="twice")
            await second.say("still here", "twice")
            came = await bob.until(lambda frame: messages([frame]))
            assert (notices(came), statuses(came, "twice")) == ([], [])
        gone = await bob.until(lambda frame: notices([frame]))
        assert statuses(gone, "twice") == [("ada", "offline")]
        assert len(notices(gone)) == 1


async def test_a_newcomer_to_a_room_that_others_are_in_elsewhere_learns_its_number(nats: NatsServer) -> None:
    """Who comes first at a node is announced with the room's number, also if a notice was heard before."""
    async with cluster(nats) as (here, there), dial(here, "ada") as ada, dial(there, "cyd") as cyd:
        await cyd.send("history", room="number")  # so the node there follows the room
        await cyd.settle()
        await ada.join("number")
        await ada.say("one", "number")
        async with dial(here, "eve") as eve:
            await eve.join("number")
        await ada.until(lambda frame: any("left" in each["content"] for each in notices([frame])))
        await cyd.join("number")
        (notice,) = notices(await ada.until(lambda frame: notices([frame])))
        assert (notice["sequence"], "cyd" in notice["content"]) == (1, True)


async def test_nats_dies_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who speaks meanwhile is told `unavailable` and keeps the connection; afterwards all is as it was."""
    monkeypatch.setattr("lab.cluster.writer.OUT_SECONDS", 0.3)
    monkeypatch.setattr("lab.cluster.wire.OUT_SECONDS", 0.3)
    nats = NatsServer(tmp_path)
    nats.start()
    try:
        async with cluster(nats) as (here, there), dial(here, "ada") as ada, dial(there, "bob") as bob:
            await ada.join("dead")
            await bob.join("dead")
            await ada.say("before", "dead", id="1")
            for each in (ada, bob):
                await each.until(lambda frame: messages([frame]))
            nats.kill()
            await ada.say("meanwhile", "dead", id="2")
            await ada.say("no id", "dead")
            refused = errors(await ada.until(lambda f: errors([f]) and f["data"].get("id") is None))
            assert [(each["code"], each.get("id")) for each in refused] == [
                ("unavailable", "2"),
                ("unavailable", None),
            ]
            await bob.send("presence", room="dead")
            assert (await bob.until(lambda frame: errors([frame])))[-1]["data"]["code"] == "unavailable"
            nats.start()
            while True:
                await ada.say("meanwhile", "dead", id="2")
                answer = await ada.until(lambda frame: errors([frame]) or messages([frame]))
                if messages(answer):
                    break
            assert numbers(messages(answer)) == [2]
            assert numbers(messages(await bob.until(lambda frame: messages([frame])))) == [2]
            came = await bob.settle()
            assert (messages(came), statuses(came, "dead")) == ([], [])
    finally:
        nats.kill()


# nats-py drops connections on which no greeting comes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_node_that_is_cut_off_from_nats(nats: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its clients keep their connections, are told `unavailable`, and see nobody go by that. Afterwards they
    receive what they missed, and see who is there.
    """
    monkeypatch.setattr("lab.cluster.wire.PING_SECONDS", 0.1)
    monkeypatch.setattr("lab.cluster.wire.REQUEST_SECONDS", 0.3)
    for module in ("wire", "writer"):
        monkeypatch.setattr(f"lab.cluster.{module}.OUT_SECONDS", 0.2)
    config = Config(port=0, heartbeat_interval=0.25, offline_timeout=1.0)
    async with (
        way_to(nats.port) as way,
        ChatServer(config, components_of(f"nats://127.0.0.1:{way.port}")) as here,
        ChatServer(config, components_of(nats.url)) as there,
        dial(here, "ada") as ada,
        dial(there, "bob") as bob,
    ):
        seen: list[Json] = []  # what ada receives

        async def live(seconds: float, is_seen: Callable[[], object] = lambda: True) -> None:
            """Both show signs of life for so long, and until something is seen."""
            until = time.monotonic() + seconds
            while time.monotonic() < until or not is_seen():
                assert time.monotonic() < until + PATIENCE, seen
                await asyncio.gather(ada.send("heartbeat"), bob.send("heartbeat"))
                with contextlib.suppress(TimeoutError):
                    while True:
                        seen.append(await asyncio.wait_for(ada.next(), 0.05))

        await ada.join("cut")
        await bob.join("cut")
        await live(0.3)
        seen.clear()
        way.cut()
        await ada.say("at once", "cut", id="1")
        await live(0.5, lambda: len(errors(seen)) == 1)
        await ada.say("later", "cut", id="2")
        await bob.say("missed", "cut")
        await live(1.6, lambda: len(errors(seen)) == 2)
        assert [each["id"] for each in errors(seen)] == ["1", "2"]
        assert statuses(seen, "cut") == []
        seen.clear()
        way.heal()
        await live(0.8, lambda: "missed" in [each["content"] for each in messages(seen)])
        assert statuses(seen, "cut") == []
        await ada.send("presence", room="cut")
        await live(0.2, lambda: any(frame.get("data", {}).get("full") for frame in seen))
        full = next(frame["data"] for frame in seen if frame.get("data", {}).get("full"))
        assert [each["user"] for each in full["users"]] == ["ada", "bob"]
        assert statuses(await bob.settle(), "cut") == [("ada", "offline"), ("ada", "online")]


async def test_a_node_that_falls_silent_takes_its_users_with_it(nats: NatsServer) -> None:
    """They are offline after the timeout, and not sooner, also if they show signs of life there."""
    async with (
        cluster(nats, 2, 0.5, 2.0) as (here, there),
        dial(here, "ada") as ada,
        dial(there, "bob") as bob,
    ):

        async def sees(status: str) -> list[Json]:
            """What ada receives up to this of bob; both show signs of life meanwhile."""
            while True:
                frames, _ = await asyncio.gather(ada.settle(), bob.settle())
                if ("bob", status) in statuses(frames, "silent"):
                    return frames
                await asyncio.sleep(0.02)

        await ada.join("silent")
        await bob.send("join", room="silent")
        await sees("online")
        node = there.backplane
        assert isinstance(node, Node)
        assert node._leases
        node._leases.cancel()  # nobody hears of it any more
        fell_silent = time.monotonic()
        assert "bob" in notices(await sees("offline"))[0]["content"]
        assert time.monotonic() - fell_silent >= 2.0 - 0.5


@pytest.mark.parametrize("is_wrong", [True, False])
def test_without_nats_it_is_said_what_to_do(
    is_wrong: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong address, and a NATS server without JetStream: a sentence, and exit code 1."""
    monkeypatch.setattr(f"lab.cluster.{'wire' if is_wrong else 'link'}.START_SECONDS", 0.2)
    nats = NatsServer(tmp_path, has_jetstream=False)
    if not is_wrong:
        nats.start()
    url = "nats://127.0.0.1:1" if is_wrong else nats.url
    try:
        assert run(monkeypatch, "--backplane", url, "--port", "0") == 1
    finally:
        nats.kill()
    told = capsys.readouterr().err
    assert ("check --backplane" if is_wrong else "JetStream") in told
    assert "Traceback" not in told


async def test_who_waits_for_nats_stops_when_told() -> None:
    """SIGTERM comes while a node starts: it does not wait until it gives up."""
    server = ChatServer(Config(port=0), components_of("nats://127.0.0.1:1"))
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_until(server, stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(serving, 5)


def test_without_the_extra_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nats-py is missing, this is an error of usage."""
    for name in list(sys.modules):
        if name.startswith("lab.cluster") or name.split(".")[0] == "nats":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(lab, "cluster", lab.cluster)  # a new one comes meanwhile
    monkeypatch.setattr(sys, "meta_path", [_Missing(), *sys.meta_path])
    assert run(monkeypatch, "--backplane", "nats://127.0.0.1:1") == EXIT_USAGE
    assert "pip install 'chat-lab[cluster]'" in capsys.readouterr().err


class _Missing(MetaPathFinder):
    """Finds that nats-py is not installed."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "nats":
            raise ModuleNotFoundError("No module named 'nats'", name=name)

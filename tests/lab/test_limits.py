import asyncio
import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from lab.limits import Limits, RateLimit
from lab.protocol import BadFrame, ErrorCode, is_key_in
from lab.server import REJECTION_HEADROOM
from tests.lab.helpers import PATIENCE, dial, errors, eventually, messages, serving


def allowed(limit: RateLimit, frames: int, now: float) -> int:
    """How many of so many frames at one time are let through."""
    count = 0
    for _ in range(frames):
        with contextlib.suppress(BadFrame):
            limit.take_or_refuse(now)
            count += 1
    return count


def test_a_bucket_allows_a_burst_and_then_its_rate() -> None:
    """As many at once as the bucket holds; then as many as the time has refilled, and never more."""
    limit = RateLimit(128.0, 200.0, 0.0)
    assert allowed(limit, 300, 0.0) == 200
    assert allowed(limit, 300, 0.5) == 64
    assert [allowed(limit, 2, 0.5 + n / 128) for n in range(1, 50)] == [1] * 49
    assert allowed(limit, 300, 3600.0) == 200


def test_a_refusal_has_the_waiting_time_and_the_message_s_id() -> None:
    """After the time given in the refusal, the frame is accepted."""
    limit = RateLimit(4.0, 1.0, 0.0)
    limit.take_or_refuse(0.0)
    with pytest.raises(BadFrame, match=r"more than 4 frames a second; .* in 0\.250 s") as refused:
        limit.take_or_refuse(0.0, "m1")
    assert (refused.value.code, refused.value.id) == (ErrorCode.RATE_LIMITED, "m1")
    limit.take_or_refuse(0.25)


def test_the_defaults_are_within_the_contract() -> None:
    """Every server accepts a hundred messages a second, and two hundred at once."""
    assert Limits().rate >= 100
    assert Limits().burst >= 200


async def test_a_flood_is_refused_and_nothing_of_it_is_stored(tmp_path: Path) -> None:
    """Messages beyond the limit are answered by `rate_limited` with their id;
    the others are delivered in order.
    """
    async with serving(tmp_path, limits=Limits(rate=1.0)) as server, dial(server, "ada") as ada:
        await ada.join()
        for number in range(20):
            await ada.say("hi", id=f"m{number}")
        came = await ada.settle()
        heard, refused = messages(came), errors(came)
        assert {each["code"] for each in refused} == {"rate_limited"}
        assert sorted([m["id"] for m in heard] + [e["id"] for e in refused]) == sorted(
            f"m{n}" for n in range(20)
        )
        assert [m["sequence"] for m in heard] == list(range(1, len(heard) + 1))
        assert 1 <= len(heard) <= 4
        async with dial(server, "bob") as bob:  # each connection has its own bucket
            assert errors(await bob.join()) == []


async def test_joining_and_leaving_all_the_time_is_refused(tmp_path: Path) -> None:
    """Joins and leaves are sent to others, so they count; questions and heartbeats do not."""
    async with serving(tmp_path, limits=Limits(rate=1.0)) as server, dial(server, "ada") as ada:
        for _ in range(20):
            await ada.send("presence", room="r")
            await ada.send("history", room="r")
            await ada.send("heartbeat")
        assert errors(await ada.settle()) == []
        for _ in range(10):
            await ada.send("join", room="r")
            await ada.send("leave", room="r")
        assert "rate_limited" in {each["code"] for each in errors(await ada.settle())}


async def test_rooms_of_a_connection_are_limited(tmp_path: Path) -> None:
    """One room too many is refused; after a leave it is accepted."""
    async with serving(tmp_path, limits=Limits(rooms=2)) as server, dial(server, "ada") as ada:
        assert errors(await ada.join("a") + await ada.join("b") + await ada.join("a")) == []
        [refused] = errors(await ada.join("c"))
        assert (refused["code"], refused["message"]) == (
            "bad_request",
            "you are in 2 rooms, which is the most; leave one first",
        )
        assert list(server.pubsub.rooms()) == ["a", "b"]
        await ada.send("leave", room="a")
        assert errors(await ada.join("c")) == []


async def test_names_may_be_shorter_than_the_contract_allows(tmp_path: Path) -> None:
    """A server may require shorter names of rooms and users."""
    async with serving(tmp_path, limits=Limits(name=5)) as server, dial(server, "emily") as emily:
        assert errors(await emily.join("rooms")) == []
        assert [each["code"] for each in errors(await emily.join("rooms2"))] == ["bad_room"]
        assert await refusal(server.port, "/?user=sophie") == ("bad_name", 1008)


async def refusal(port: int, path: str) -> tuple[str, int]:
    """The error and the close code for a client that is refused."""
    async with connect(f"ws://127.0.0.1:{port}{path}", proxy=None) as client:
        frame = json.loads(await asyncio.wait_for(client.recv(), PATIENCE))
        assert frame["type"] == "error", frame
        await asyncio.wait_for(client.wait_closed(), PATIENCE)
        return frame["data"]["code"], client.close_code or 0


async def test_a_large_frame_closes_the_connection(tmp_path: Path) -> None:
    """A frame beyond the limit is not read: 1009. One within it is."""
    async with serving(tmp_path, limits=Limits(frame=2048)) as server, dial(server, "ada") as ada:
        await ada.join()
        await ada.say("x" * 1900)
        assert len(messages(await ada.settle())) == 1
        await ada.say("x" * 2048)
        assert await ada.closed() == 1009


async def test_a_key_gives_access(tmp_path: Path) -> None:
    """Without the right key there is an error and 1008, and nobody is notified; with it everything works."""
    async with serving(tmp_path, access_key="clé 1") as server:
        for path in ("/", "/?user=ada", "/?key=", "/?key=cl%C3%A9", "/?key=cl%C3%A9%202", "/?key=%ED%A0%80"):
            assert await refusal(server.port, path) == ("bad_request", 1008), path
        assert server.figures()["chatlab_connections"] == 0
        async with connect(f"ws://127.0.0.1:{server.port}/?key=cl%C3%A9%201&user=ada", proxy=None) as client:
            assert "connected" in str(await asyncio.wait_for(client.recv(), PATIENCE))


@pytest.mark.parametrize(
    ("path", "key", "lets_in"),
    [("/", "", True), ("/?key=x", "", True), ("/?key=x&key=y", "y", False), ("/?key=a+b", "a b", True)],
)
def test_where_a_key_is_read_from(path: str, key: str, lets_in: bool) -> None:
    """The first `key` of the address counts; a server without a key accepts every client."""
    assert is_key_in(path, key) is lets_in


async def test_scripts_of_other_pages_are_refused(tmp_path: Path) -> None:
    """With origins given, a browser's page from elsewhere gets 403; programs,
    which send none, are accepted.
    """
    async with serving(tmp_path, origins=("https://chat.example",)) as server:
        url: Any = f"ws://127.0.0.1:{server.port}/"
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url, origin="https://evil.example", proxy=None)
        async with connect(url, origin="https://chat.example", proxy=None) as client:
            assert "connected" in str(await asyncio.wait_for(client.recv(), PATIENCE))
        async with dial(server):
            pass


async def test_a_full_server_refuses_connections(tmp_path: Path) -> None:
    """One connection too many gets 503 and a text; when a client has gone, there is room again."""
    async with serving(tmp_path, limits=Limits(connections=1)) as server:
        async with dial(server, "ada") as ada:
            with pytest.raises(InvalidStatus) as refused:
                await connect(f"ws://127.0.0.1:{server.port}/", proxy=None)
            assert refused.value.response.status_code == 503
            assert refused.value.response.body == b"The server is full: come again later.\n"
            assert await ada.join() != []
        await eventually(lambda: server.figures()["chatlab_connections"] == 0)
        async with dial(server, "bob"):
            pass


async def test_connections_without_a_request_make_room(tmp_path: Path) -> None:
    """However many connections send no request, there is room for one that does: the oldest ends for it."""
    async with serving(tmp_path, limits=Limits(connections=1)) as server:
        streams = [
            await asyncio.open_connection("127.0.0.1", server.port)
            for _ in range(1 + REJECTION_HEADROOM + 20)
        ]
        reads = [asyncio.ensure_future(_ends(reader)) for reader, _ in streams]
        try:
            await eventually(lambda: sum(each.done() for each in reads) == 20)
            assert [each.done() for each in reads] == [True] * 20 + [False] * (1 + REJECTION_HEADROOM)
            async with dial(server, "ada") as ada:
                assert errors(await ada.join()) == []
        finally:
            for read, (_, writer) in zip(reads, streams, strict=True):
                read.cancel()
                writer.transport.abort()


async def _ends(reader: asyncio.StreamReader) -> None:
    """Wait until the other side has ended a connection."""
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""


def run_server(tmp_path: Path, *options: str, **env: str) -> subprocess.Popen[str]:
    """`python -m lab` on a free port, which has printed that it listens."""
    return subprocess.Popen(
        [sys.executable, "-m", "lab", "--port", "0", "--data-dir", str(tmp_path / "data"), *options],
        env={**os.environ, **env},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    "give", [lambda key: (("--access-key", key), {}), lambda key: ((), {"ACCESS_KEY": key})]
)
async def test_limits_are_options_of_the_command(
    tmp_path: Path, give: Callable[[str], tuple[tuple[str, ...], dict[str, str]]]
) -> None:
    """A key given to the command is required, and the page is shown without it."""
    options, env = give("k1")
    process = run_server(tmp_path, *options, **env)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().partition("ws://127.0.0.1:")[2].partition("/")[0])
        assert await refusal(port, "/") == ("bad_request", 1008)
        page = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        page.request("GET", "/healthz")
        assert page.getresponse().status == 200
        page.close()
    finally:
        process.terminate()
        process.communicate()

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from lab.limits import Limits
from lab.metrics import CONTENT_TYPE, FAMILIES, LoopLag
from lab.server import ChatServer
from tests.lab.helpers import dial, eventually, serving
from tests.lab.test_pages import ask


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ChatServer]:
    """A server without clients, which admits two."""
    async with serving(tmp_path, limits=Limits(connections=2)) as server:
        yield server


async def families(server: ChatServer) -> dict[str, Metric]:
    """What `/metrics` shows, as a Prometheus server reads it, by the names of families."""
    head, body = await ask(server.port, "GET /metrics")
    assert f"Content-Type: {CONTENT_TYPE}\r\n" in head
    return {each.name: each for each in text_string_to_metric_families(body.decode())}


def values(found: dict[str, Metric]) -> dict[str, float]:
    """The values of all samples, by their names and the values of their labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in found.values()
        for sample in family.samples
    }


async def test_a_prometheus_server_understands_it(server: ChatServer) -> None:
    """Every family has its type and its help; what is counted ends in `_total`, and names have units."""
    found = await families(server)
    assert {name.removesuffix("_total") for name in FAMILIES} == set(found)
    for name, (kind, _, help) in FAMILIES.items():
        family = found[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (kind, help)
        assert family.samples
        assert name.endswith("_total") == (kind == "counter")
    counted = {name: value for name, value in values(found).items() if name.startswith("chatlab_")}
    assert 0 <= counted.pop("chatlab_event_loop_lag_seconds") < 1
    assert set(counted.values()) == {0}


async def test_the_figures_are_true(server: ChatServer) -> None:
    """What came in and went out is counted, also of connections that have ended; and so are refusals."""
    async with dial(server, "ada") as ada, dial(server, "bob") as bob:
        came = [await ada.join(), await bob.join()]
        await ada.say("hi")
        await ada.say("")
        came += [await ada.settle(), await bob.settle()]
        some = values(await families(server))
        assert some["chatlab_connections"] == 2
        assert some["chatlab_rooms"] == 1
        assert some["chatlab_messages_accepted_total"] == 1
        assert some["chatlab_errors_total bad_content"] == 1
        assert some["chatlab_connections_opened_total"] == 2
        fences, greetings = len(came), 2
        assert some["chatlab_sent_frames_total"] == sum(map(len, came)) + fences + greetings
        assert some["chatlab_sent_bytes_total"] > 20 * some["chatlab_sent_frames_total"]
        joins, words = 2, 2
        assert some["chatlab_received_frames_total"] == joins + words + fences
        with pytest.raises(InvalidStatus, match="503"):
            async with dial(server, "eve"):
                pass
    await eventually(lambda: not server.figures()["chatlab_connections"])
    end = values(await families(server))
    assert end["chatlab_connections_refused_total"] == 1
    for name in ("sent_frames", "sent_bytes", "received_frames", "received_bytes"):
        assert end[f"chatlab_{name}_total"] >= some[f"chatlab_{name}_total"] > 0
    assert end["process_cpu_seconds_total"] > 0


async def test_who_is_disconnected_is_counted(tmp_path: Path) -> None:
    """A client that falls silent, by the reason."""
    async with serving(tmp_path, heartbeat_interval=0.05, offline_timeout=0.1) as server:
        async with dial(server, "ada"):  # which answers no heartbeat
            await eventually(lambda: not server.figures()["chatlab_connections"])
        assert values(await families(server))["chatlab_disconnects_total silent"] == 1


async def test_the_lag_of_the_event_loop_is_seen() -> None:
    """From the first question on, the longest time for which the loop was held up."""
    lag = LoopLag()
    assert lag.most() < 0.3
    deadline = time.monotonic() + 5
    while lag.most() < 0.3:
        time.sleep(0.6)  # noqa: ASYNC251 - this is what holds it up
        await asyncio.sleep(0.01)
        assert time.monotonic() < deadline
    lag.end()

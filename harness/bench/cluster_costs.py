"""What a node of a cluster costs, and NATS below it, beside the embedded server: figures for SCALING.md.

    python -m harness.bench.cluster_costs

Three NATS servers that sync each message, and nodes of the chat, share this machine with the crowd. So CPU
time is what counts; rates and latencies are those of one machine that does everything.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import nats

from harness.bench.crowd import SIZE, Chat, Crowd
from harness.bench.nats_servers import NatsServers, nats_servers
from harness.bench.peers import REFERENCE, Peer, running
from harness.bench.plan import BenchError
from harness.bench.usage import cpu_seconds, megabytes
from harness.texts.console import echo

SECONDS = 3.0
_START_SECONDS = 20.0
_IDLE_SECONDS = 5.0
_ENTRIES = 200_000
"""Entries of a stream whose memory is measured."""
_CACHE_SECONDS = 12.0
"""After which a NATS server has forgotten what it keeps of a file that was just written."""


@dataclass
class Cost:
    """Of a message: CPU milliseconds. Of a join: likewise, and KiB for the connection."""

    rate: float
    p50: float
    p99: float
    server: float
    below: float
    join: float
    join_below: float
    memory: float

    def __str__(self) -> str:
        return (
            f"{self.rate:11.0f} {self.p50:6.1f} {self.p99:6.1f} {self.server:8.2f}/{self.below:5.2f} "
            f"{self.join:8.2f}/{self.join_below:5.2f} {self.memory:14.0f}"
        )


def measured(peer: Peer, members: int, in_flight: int, below: NatsServers | None = None) -> Cost:
    """One crowd in one room of a server. Raises BenchError."""
    spent_below = below.cpu if below else lambda: 0.0
    with running(peer) as (port, process):
        time.sleep(1.0)
        began, began_below, empty = cpu_seconds(process), spent_below(), megabytes(process)
        with Crowd(port, Chat(), members) as crowd:
            crowd.settle()
            joined, joined_below, full = cpu_seconds(process), spent_below(), megabytes(process)
            talk = crowd.talk(in_flight, SECONDS)
            server, others = cpu_seconds(process) - joined, spent_below() - joined_below
    each = 1e3 / talk.messages
    return Cost(
        talk.messages / talk.seconds,
        talk.percentile(0.5),
        talk.percentile(0.99),
        server * each,
        others * each,
        1e3 * (joined - began) / members,
        1e3 * (joined_below - began_below) / members,
        1024 * (full - empty) / members,
    )


def show_costs(members: tuple[int, ...], in_flight: tuple[int, ...]) -> None:
    """A table: the embedded server and a node, with crowds of several sizes."""
    echo(
        f"\nOne room, {SIZE} bytes a message. CPU in ms, of the server / of the three NATS servers together."
    )
    echo(
        "server    members  in flight  messages/s    p50    p99  CPU a message    CPU a join  KiB/connection"
    )
    with tempfile.TemporaryDirectory() as name, nats_servers(Path(name)) as below:
        for count in members:
            for flying in in_flight:
                for peer, under in ((REFERENCE, None), (below.node, below)):
                    it = measured(peer, count, min(flying, count), under)
                    echo(f"{peer.name:9} {count:7} {flying:10} {it}")


def show_followers(in_flight: int = 32) -> None:
    """What it costs a node that members of the room are at others: each follows, and says what it is told."""
    echo(
        "\nOne room at two nodes: 32 members at the first write, 32 at the second listen. CPU in ms a message"
    )
    with tempfile.TemporaryDirectory() as name, nats_servers(Path(name)) as below, ExitStack() as stack:
        (port, first), (other_port, second) = [stack.enter_context(running(below.node)) for _ in range(2)]
        listeners = stack.enter_context(Crowd(other_port, Chat(), 32))
        crowd = stack.enter_context(Crowd(port, Chat(), 32))
        crowd.settle()
        began = cpu_seconds(first), cpu_seconds(second), below.cpu()
        reader = threading.Thread(target=listeners.read_for, args=(SECONDS + 2.0,))
        reader.start()
        talk = crowd.talk(in_flight, SECONDS)
        spent = cpu_seconds(first), cpu_seconds(second), below.cpu()
        reader.join()
        each = [1e3 * (now - then) / talk.messages for now, then in zip(spent, began, strict=True)]
        rate = talk.messages / talk.seconds
        echo(f"first node {each[0]:.2f}, second {each[1]:.2f}, NATS {each[2]:.2f}; {rate:.0f} messages/s")


def show_idle() -> None:
    """What streams and nodes cost while nobody says anything."""
    echo("\nIdle: percent of a core")
    with tempfile.TemporaryDirectory() as name, nats_servers(Path(name)) as below:
        _idle("three NATS servers, empty", below)
        with running(below.node):
            _idle("with one node, and its streams", below)
            with running(below.node):
                _idle("with two nodes", below)


def _idle(what: str, below: NatsServers) -> None:
    time.sleep(2.0)
    began = below.cpu()
    time.sleep(_IDLE_SECONDS)
    share = 100 * (below.cpu() - began) / _IDLE_SECONDS
    echo(f"{what:40} {share:5.1f} %, {below.memory():.0f} MiB")


def show_index() -> None:
    """What a NATS server needs for an entry of a stream: with one subject for all, and with one for each.

    It is started again before it is measured, so that nothing is left of how the entries came.
    """
    echo(f"\nOne NATS server, {_ENTRIES:,} entries of {SIZE} bytes in a file stream; bytes an entry")
    for what, subject in (("one subject", "s.all"), ("a subject for each entry", "s.{:032x}")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with nats_servers(folder, count=1, sync="2m") as it:
                empty = it.memory()
                asyncio.run(_fill(it.urls, subject))
                time.sleep(_CACHE_SECONDS)
                before = (it.memory() - empty) * 2**20 / _ENTRIES
            disk = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file()) / _ENTRIES
            with nats_servers(folder, count=1, sync="2m") as it:
                time.sleep(_CACHE_SECONDS)
                memory = (it.memory() - empty) * 2**20 / _ENTRIES
            echo(f"{what:26} memory {before:5.0f}, after a restart {memory:5.0f}; disk {disk:5.0f}")


async def _fill(urls: list[str], subject: str) -> None:
    client = await nats.connect(urls)
    stream = client.jetstream()
    await stream.add_stream(name="s", subjects=["s.>"])
    for number in range(_ENTRIES):
        await client.publish(subject.format(number), b"x" * SIZE)
        if number % 1000 == 999:
            await client.flush()
    deadline = time.monotonic() + _START_SECONDS
    while (await stream.stream_info("s")).state.messages < _ENTRIES:
        if time.monotonic() > deadline:
            raise BenchError("not all entries were stored")
        await asyncio.sleep(0.1)
    await client.close()


def main() -> None:
    """Measure all, and print the tables."""
    show_index()
    show_idle()
    show_followers()
    show_costs(members=(10, 100, 1000), in_flight=(1, 32))


if __name__ == "__main__":
    main()

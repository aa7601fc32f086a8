"""A soak of kills: one node of a cluster after the other is killed under load, and all is judged.

    python -m tests.stress.cluster_kills [KILLS] [--nodes N] [--seed SEED]

In turn, SIGKILL ends the NATS node that leads what the clients talk in, one that follows, and a chat node;
each is started again, and the next kill comes when all are healthy and the clients go on. The clients send
each message with an `id`, to whatever node they are connected to, and again until they have heard it. At the
end all is read on each chat node, and the checkers of the harness judge the one history. A line for each kill
tells its stall: the longest time after it, until the next one, in which nobody received anything in a room.

Exit code 1: something was lost, doubled, renumbered or out of order.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections import defaultdict
from itertools import pairwise
from math import inf

from msgspec.structs import replace

from harness.checkers import delivery, lifecycle, ordering, pages
from harness.history.index import HistoryIndex
from harness.judged.targets import reference
from harness.reports.terminal import Terminal
from harness.scenarios.cluster import EACH, FOLLOWER, LEADER, Talk, reconnect, talking, whole
from harness.scenarios.common import in_rooms
from harness.texts import texts
from harness.verdict.steps import CLUSTER
from harness.worlds.client import Client
from harness.worlds.clustered import ClusterWorld

NODE = "chat node"
ROLES = (LEADER, FOLLOWER, NODE)
ROOM = "soak"
BEFORE, AFTER = 200, 400
"""Deliveries that are waited for before each kill, and after it."""
MOST_EVENTS = 10_000_000


async def soak(kills: int, nodes: int, seed: str) -> int:
    """Play it, tell what came of it, and return the exit code."""
    world = ClusterWorld(replace(reference(), nodes=nodes), CLUSTER, seed, has_ways=False)
    world.timeline.most_events = MOST_EVENTS
    room = world.name(ROOM)
    killed: list[tuple[str, str, float]] = []
    try:
        await world.start_server()
        people = [await world.client(f"user{n}") for n in range(1, EACH * nodes + 1)]
        for person in people:
            await person.join(room)
        async with talking(world, people, room) as talk:
            for number in range(kills):
                await talk.more(BEFORE)
                killed.append(await _kill(world, talk, ROLES[number % len(ROLES)], room, number))
                print(
                    f"{number + 1:3}  {killed[-1][0]:10} {killed[-1][1]:7} {world.now():7.1f} s", flush=True
                )
        for number in range(nodes):
            await _read(await world.client(f"reader{number + 1}"), room)
        index = HistoryIndex(world.history, world.readings)
    finally:
        await world.close()
    return _tell(index, room, killed)


async def _read(reader: Client, room: str) -> None:
    """Page through a room to its end, however long it has become."""
    since = 0
    while (page := await reader.ask_history(room, since)) is not None and page.messages:
        since = page.messages[-1].sequence


async def _kill(world: ClusterWorld, talk: Talk, role: str, room: str, number: int) -> tuple[str, str, float]:
    """Kill a node in this role, and start it again; returns what was killed, and when."""
    if role == NODE:
        name = world.nodes[number // len(ROLES) % len(world.nodes)]
        at = world.now()
        homeless = await world.kill_node(name)
        await reconnect(homeless, [room])
        await talk.more(AFTER)
        await world.start_node(name)
        await reconnect(homeless, [room])
        return role, name, at
    at = world.now()
    name = await world.kill_nats(role)
    await talk.more(AFTER)
    await world.start_nats(name)
    return role, name, at


def _tell(index: HistoryIndex, room: str, killed: list[tuple[str, str, float]]) -> int:
    found = [
        *whole(index, room),
        *in_rooms(index, [room], pages.wrong, pages.mismatches),
        *delivery.leaks(index),
        *lifecycle.server(index, 0.0, inf),
        *lifecycle.connections(index, 0.0, inf),
    ]
    stalls = _stalls(index, room, killed)
    for role in ROLES:
        if stalls[role]:
            middle, worst = statistics.median(stalls[role]), max(stalls[role])
            print(
                f"{role:10} {len(stalls[role]):3} kills: stall median {middle:5.2f} s, worst {worst:5.2f} s"
            )
    heard = index.in_room(room)
    tags: dict[int, set[str]] = defaultdict(set)
    for each in heard:
        tags[each.message.sequence].add(each.said.tag if each.said else each.message.content)
    read = {h.message.sequence for h in heard if not h.live and h.client.startswith("reader")}
    acknowledged = {h.message.sequence for h in heard if h.live}
    again = sum(len(said.sent) > 1 for said in index.said_in(room))
    repeated = sum(len(each) > 1 for each in tags.values())
    print(
        f"{len(killed)} kills: {len(acknowledged)} acknowledged messages, {len(acknowledged - read)} lost; "
        f"{ordering.newest(index, room)} numbers, {repeated} of them repeated; {again} messages sent again; "
        f"{sum(each.live for each in heard)} deliveries; {len(found)} findings"
    )
    Terminal(texts("en")).anomalies(found, index.began.nonce, None, index.events)
    return 1 if found or acknowledged - read else 0


def _stalls(index: HistoryIndex, room: str, killed: list[tuple[str, str, float]]) -> dict[str, list[float]]:
    """By role, the longest time after each kill, until the next one, in which nobody received anything."""
    times = sorted(h.at for h in index.in_room(room) if h.live)
    ends = [*(at for _, _, at in killed[1:]), inf]
    found: dict[str, list[float]] = defaultdict(list)
    for (role, _, at), end in zip(killed, ends, strict=True):
        mine = [at, *(time for time in times if at < time <= end)]
        found[role].append(max((later - before for before, later in pairwise(mine)), default=inf))
    return found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description="Kill the nodes of a cluster, one after the other, under load."
    )
    parser.add_argument("kills", nargs="?", type=int, default=30)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--seed", default="1")
    asked = parser.parse_args()
    return asyncio.run(soak(asked.kills, asked.nodes, asked.seed))


if __name__ == "__main__":
    sys.exit(main())

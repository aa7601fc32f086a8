"""Plays a contract in a process of its own, so that a component cannot harm the process that asked for it.

It reads a job from standard input, and writes the result to standard output.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from harness.contracts.result import Played
from harness.history.as_json import from_json, to_json
from harness.judged.process import end_with_parent, in_memory
from harness.worlds.sim.watchdog import DISARMED, ChildEnded, Stuck, Turns, play_watched
from lab.legible import text_of

_TIME_ZONE = "LAB-5:30"
"""Far from UTC (5:30 hours ahead), so that a component that takes local time for UTC is found."""
DEADLINE = 60.0
"""Seconds after which the process is killed: a contract takes less than one, and has limits of its own."""


class Job(Struct):
    """What to play: a component in a file."""

    component: str
    where: str
    seed: str = ""
    folder: str = ""
    """Where files can be made; the caller removes it."""


async def play_directly(job: Job, environment: Mapping[str, str] | None = None) -> Played:
    """Play a contract in a new process, with these environment variables (default: those of this process).

    The same file gives the same result, on any machine with the same Python. Systems without `os.fork`, which
    cannot simulate either (see `--world sim`), are not supported.
    """
    if not hasattr(os, "fork"):
        return Played(job.component, lacking="system", where=sys.platform)
    with tempfile.TemporaryDirectory(
        prefix="chatlab-", dir=in_memory(), ignore_cleanup_errors=True
    ) as folder:
        output, errors, code = await _run(replace(job, folder=folder), environment)
    if code is None:
        return Played(job.component, lacking="time", where=f"{DEADLINE:g} s")
    try:
        return from_json(output, Played)
    except msgspec.DecodeError:
        if code < 0:
            return Played(job.component, lacking="crash", where=signal.Signals(-code).name)
        return Played(job.component, defect=text_of(errors) or "no result")


async def _run(job: Job, environment: Mapping[str, str] | None) -> tuple[bytes, bytes, int | None]:
    """The output and errors of a new process, and its exit code, which is None after a timeout."""
    given = os.environ if environment is None else environment
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "harness.contracts.process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**given, "PYTHONHASHSEED": "0", "TZ": _TIME_ZONE},
    )
    try:
        async with asyncio.timeout(DEADLINE):
            return *await process.communicate(to_json(job)), process.returncode
    except TimeoutError:
        return b"", b"", None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def main() -> None:
    """Play the job that is read from standard input."""
    end_with_parent(signal.SIGKILL)
    job = from_json(sys.stdin.buffer.read(), Job)
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):  # a component may bypass `sys.stdout`: that must not end up in our answer
        os.dup2(nothing, descriptor)
    sys.dont_write_bytecode = True

    # Once, and not in each child.
    from harness.contracts.running import BUSY_SECONDS, MOST_MEMORY

    try:
        played = play_watched(partial(_play, job), BUSY_SECONDS, MOST_MEMORY)
    except ChildEnded as ended:
        if ended.code in DISARMED:
            answers.write(to_json(Played(job.component, lacking="crash", where=DISARMED[ended.code])))
            answers.flush()
            return
        if ended.code < 0:
            os.kill(os.getpid(), signal.SIGKILL)  # as the child was, and nobody knows by whom
        sys.exit(ended.code)  # it has printed why
    answers.write(played)
    answers.flush()


def _play(job: Job, turns: Turns, until: Stuck | None, answer: Callable[[bytes], None]) -> None:
    """In a child: play the job, in virtual time if that is possible, else in real time."""
    from harness.contracts.running import Watched, play_contract, play_in_real_time

    end_with_parent(signal.SIGKILL)
    folder = Path(tempfile.mkdtemp(dir=job.folder))
    what = (job.component, job.where, folder, job.seed)
    watched = Watched(turns.count, until, lambda played: answer(to_json(played)))
    played = play_contract(*what, watched=watched)
    is_race_hidden = played.threads > 1 and not played.found
    if is_race_hidden or (played.lacking and not played.found):
        played = play_in_real_time(*what, watched=watched)
    answer(to_json(played))


if __name__ == "__main__":
    main()

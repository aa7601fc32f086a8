"""Plays a contract in a process of its own: whatever a component does, it does to that process alone.

A job comes by standard input, the result goes to standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from harness.contracts.result import Played
from harness.worlds.process import end_with_parent

DEADLINE = 60.0
"""Seconds after which the process is ended: a contract takes less than one, and limits itself."""


class Job(Struct):
    """What to play: a component in a file."""

    component: str
    where: str
    seed: str = ""


async def play_directly(job: Job, environment: Mapping[str, str] | None = None) -> Played:
    """Play a contract in a new process, which gets these environment variables, or ours.

    The same file gives the same result, on any machine with the same Python. Systems that cannot simulate
    (see `--world sim`) cannot do this either.
    """
    if not hasattr(os, "fork"):
        return Played(job.component, lacking="system", where=sys.platform)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "harness.contracts.process",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**(os.environ if environment is None else environment), "PYTHONHASHSEED": "0", "TZ": "UTC"},
    )
    try:
        async with asyncio.timeout(DEADLINE):
            output, errors = await process.communicate(msgspec.json.encode(job))
    except TimeoutError:
        return Played(job.component, lacking="time", where=f"{DEADLINE:g} s")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        return msgspec.json.decode(output, type=Played)
    except msgspec.DecodeError:
        if process.returncode is not None and process.returncode < 0:
            return Played(job.component, lacking="crash", where=signal.Signals(-process.returncode).name)
        return Played(job.component, defect=errors.decode(errors="replace") or "no result")


def main() -> None:
    """Play the job that comes by standard input."""
    end_with_parent(signal.SIGKILL)
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):  # what a component writes past `sys.stdout` does not get between our words
        os.dup2(nothing, descriptor)
    sys.dont_write_bytecode = True

    def answer(played: Played) -> None:
        with contextlib.suppress(OSError):
            answers.write(msgspec.json.encode(played))
            answers.flush()
        os._exit(0)

    from harness.contracts.running import play_contract, play_in_real_time

    played = play_contract(job.component, job.where, job.seed, stuck=answer)
    if played.lacking and not played.found:
        played = play_in_real_time(job.component, job.where, job.seed)
    answer(played)


if __name__ == "__main__":
    main()

"""Plays one exercise in a process of its own, with a job on standard input and the run on standard output.

Used for `--jobs`: two plays in one process would delay each other, and time is judged.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress

import msgspec
from msgspec import Struct

from harness.contracts.result import Played
from harness.history.as_json import from_json, to_json
from harness.history.events import shortened
from harness.judged import keeper, own_network
from harness.judged.targets import Target
from harness.posix import end_with_parent, stay_on
from harness.running.play import play
from harness.running.run import Run, kit_failed
from harness.texts.problem import Problem
from harness.verdict.outcome import Outcome
from lab.legible import text_of
from lab.system import when_told_to_stop

CLEAN_UP_SECONDS = 10.0


class Job(Struct):
    """What to play."""

    exercise: int
    target: Target
    seed: str
    skip_slow: bool
    contract: Played | None = None
    """What direct calls of its component have shown."""
    keep: bool = False
    """Whether its history is wanted even if it passes."""
    is_hurried: bool = False
    """Whether another exercise of the same server had to be stopped."""
    cores: list[int] = []
    """The processor cores that it runs on; all of them if there is none."""


class WorkerKilled(RuntimeError, Problem):  # noqa: N818 - named for what it says
    """Somebody has killed the process that played, or the system has: servers have processes of their own."""

    def __init__(self, by: str) -> None:
        Problem.__init__(self, "ui.worker_killed", signal=by)


async def run_in_process(job: Job) -> Run:
    """Play a job in a new process, and return the run, with a short history if that is wanted or it failed.

    If there is none, the kit itself has failed. Raises WorkerKilled if a signal ended the process.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "harness.running.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(to_json(job))
    except asyncio.CancelledError:
        await end(process, signal.SIGTERM)
        raise
    try:
        return from_json(output, Run)
    except msgspec.DecodeError as error:
        if (process.returncode or 0) < 0:
            raise WorkerKilled(signal.Signals(-(process.returncode or 0)).name) from error
        said = text_of(errors) or "the worker returned nothing"
        return kit_failed(job.exercise, job.target, job.seed, "live", said)


async def end(process: asyncio.subprocess.Process, number: int) -> None:
    """Ask a process of ours to end, by a signal; it is killed if it takes too long to clean up."""
    with suppress(ProcessLookupError):
        process.send_signal(number)
    try:
        async with asyncio.timeout(CLEAN_UP_SECONDS):
            await process.communicate()  # we read what it still writes, or it would block for ever
    except TimeoutError:
        process.kill()
        await process.wait()


def cancel_on_sigterm() -> None:
    """Let SIGTERM cancel the task that calls this, so that it cleans up; for commands, and for workers."""
    task = asyncio.current_task()
    assert task is not None, "inside asyncio.run there is one"
    when_told_to_stop(task.cancel, ("SIGTERM",))


async def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and sends SIGTERM
    cancel_on_sigterm()
    end_with_parent(signal.SIGTERM)  # even if the parent cannot send it any more
    job = from_json(sys.stdin.buffer.read(), Job)
    stay_on(job.cores)
    if job.target.isolation is not None and job.target.isolation.kind == "bubblewrap":
        own_network.enter()  # the server shares it
    keeper.close_to_others()  # what is judged may be a process of our user
    run = await play(
        job.exercise,
        job.target,
        job.seed,
        contract=job.contract,
        skip_slow=job.skip_slow,
        is_hurried=job.is_hurried,
    )
    is_wanted = job.keep or run.outcome is not Outcome.PASSED
    run.history = shortened(run.history) if is_wanted else []
    sys.stdout.buffer.write(to_json(run))


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit(130)

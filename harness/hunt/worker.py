"""Plays a check with some servers, in a process of its own: a job on standard input, a line for each play.

What the check or a server prints goes nowhere near these lines.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from msgspec import Struct

from harness.history.as_json import from_json, to_json
from harness.hunt.check_file import read
from harness.hunt.play import Played, play
from harness.judged.environment import scratch
from harness.posix import end_with_parent, resource
from harness.texts import texts
from harness.worlds.sim.world import SimWorld

_MEMORY = 2 * 1024**3
"""Bytes of address space: a play takes a tenth."""


class Turn(Struct):
    """A server, and the seeds that a check is played with there."""

    server: str
    seeds: list[str]
    is_right: bool
    """Whether one failure is enough to know the end of it."""


class Job(Struct):
    """What a process plays."""

    path: str
    world: str
    language: str
    turns: list[Turn]


def _plays(job: Job) -> Iterator[Played]:
    check, words = read(job.path), texts(job.language)
    for turn in job.turns:
        for seed in turn.seeds:
            played = play(check, turn.server, seed, job.world, words)
            yield played
            if played.failure is not None and turn.is_right:
                break


def _bound_memory() -> None:
    """Let a check that takes more and more memory fail, and not the machine."""
    if resource is not None:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def main() -> None:
    """Play the job, and answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    end_with_parent(signal.SIGTERM)
    _bound_memory()
    answers = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    SimWorld.disk = scratch()
    job = from_json(sys.stdin.buffer.read(), Job)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    for played in _plays(job):
        answers.write(to_json(played) + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()

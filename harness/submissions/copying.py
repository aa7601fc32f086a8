"""Copies what was handed in, by a process of its own: archives may be made to take all time and memory."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from harness.history.as_json import from_json, to_json
from harness.judged.bounds import MIB
from harness.posix import limit_ourselves
from harness.submissions.unpack import DEEPEST, MOST_BYTES, TooMuch, Unpacking
from harness.verdict.outcome import Text

_MEMORY = 1024 * MIB
"""Bytes of memory for all of it."""
_TOLD = 50
"""Things left out that are told."""


class Task(Struct):
    """What to copy, and where to; `deepest` archives in one another are unpacked."""

    folder: str
    sources: list[tuple[bytes, str]]
    """The paths, and what each is called."""
    deepest: int = DEEPEST
    most_bytes: int = MOST_BYTES
    seconds: float = 60.0


class Copied(Struct):
    """What came of it: what was left out, and why it could not be copied, if so."""

    left_out: list[Text] = []
    problem: Text | None = None


_COMMAND = (sys.executable, "-P", "-m", "harness.submissions.copying")


def copied_apart(task: Task) -> Copied:
    """Copy what is asked for, and wait for it."""
    try:
        done = subprocess.run(_COMMAND, input=to_json(task), capture_output=True, timeout=task.seconds)
    except subprocess.TimeoutExpired:
        return _too_slow(task)
    return _answered(done.stdout)


async def copied_meanwhile(task: Task) -> Copied:
    """The same while other things go on."""
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(task.seconds):
            output, _ = await process.communicate(to_json(task))
    except TimeoutError:
        return _too_slow(task)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return _answered(output)


def _too_slow(task: Task) -> Copied:
    return Copied(problem=Text("too_slow", {"seconds": f"{task.seconds:g}"}))


def _answered(output: bytes) -> Copied:
    """What the process has answered; nothing if its bounds have ended it."""
    try:
        return from_json(output, Copied)
    except msgspec.DecodeError:
        return Copied(problem=Text("too_much", {"most": f"{_MEMORY // MIB} MiB"}))


def copied(task: Task) -> Copied:
    """Copy what is asked for, in this process."""
    copy = Unpacking(Path(task.folder), deepest=task.deepest, most_bytes=task.most_bytes)
    problem = None
    try:
        for source, name in task.sources:
            copy.take(Path(os.fsdecode(source)), name, is_alone=len(task.sources) == 1)
    except TooMuch as error:
        problem = Text("too_much", {"most": str(error)})
    except OSError as error:
        problem = Text("unreadable", {"why": error.strerror or str(error)})
    except MemoryError:
        problem = Text("too_much", {"most": f"{_MEMORY // MIB} MiB"})
    except Exception as error:  # whatever a library makes of what somebody has handed in
        problem = Text("unreadable", {"why": f"{type(error).__name__}: {error}"[:200]})
    return Copied(copy.left_out[:_TOLD], problem)


def main() -> None:
    """Copy what is asked for on standard input, and answer on standard output."""
    task = from_json(sys.stdin.buffer.read(), Task)
    limit_ourselves(_MEMORY, int(task.seconds))
    sys.stdout.buffer.write(to_json(copied(task)))


if __name__ == "__main__":
    main()

"""Runs a program of ours on what a student has written, which may keep it busy, or fill the memory."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from harness.posix import end_all_of, limit_memory_of
from lab.legible import text_of

_MEMORY = 1024 * 1024 * 1024
"""Bytes that it, or each process that it starts, may take: right code needs a tenth."""
MOST_OUTPUT = 4 * 1024 * 1024
"""Bytes of its output that are read."""
_OF_NODE = ("NODE_", "NPM_", "OXLINT_", "OXC_", "TSGO", "UV_")
"""How the names of variables begin by which a user's own settings would change what these programs do."""


class Done(Struct, frozen=True):
    """What became of it: `code` as the system gives it, negative for a signal; None if its time was up."""

    code: int | None
    output: str
    errors: str


def run(words: Sequence[str], folder: Path, seconds: float, memory: int = _MEMORY) -> Done:
    """Run a program in a folder for so many seconds at most. Raises OSError if it cannot be started."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            limit_memory_of(process.pid, memory)
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_all_of(process)
        return Done(code, _begin_of(output.fileno()), _begin_of(errors.fileno()))


def environment() -> dict[str, str]:
    """Ours, without what would change how Node and its programs work."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(_OF_NODE)}


def _begin_of(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts, left = [], MOST_OUTPUT
    while left and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return text_of(b"".join(parts))

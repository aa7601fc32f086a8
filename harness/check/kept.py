"""Files in `.chatlab` that remember something from command to command; what they hold is never lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from harness.check.files import make_ours

K = TypeVar("K", bound=Struct)


def read(path: Path, kind: type[K], told: Callable[[Path], None]) -> K:
    """What is kept in a file; an empty `kind` if there is none yet.

    A file that is none of ours, or damaged, is set aside under another name, and `told` is called with that.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return kind()
    except (OSError, msgspec.DecodeError, RecursionError):
        aside = path.with_name(f"unreadable-{path.name}")
        with suppress(OSError):
            path.replace(aside)
            told(aside)
        return kind()


def write(path: Path, value: Struct) -> None:
    """Keep it. Whoever is interrupted leaves the old file, or the new one. Raises OSError."""
    make_ours(path.parents[1])
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(value)) + b"\n")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

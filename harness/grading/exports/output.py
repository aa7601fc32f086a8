"""The files that exports read and write."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from harness.texts.problem import Problem


def content_of(path: Path) -> bytes:
    """The bytes of a file that somebody has named. Raises Problem."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Problem("target.unreadable_file", path=path, why=error.strerror) from error


def write(path: Path, content: bytes) -> None:
    """Write a file such that it has either its old or its new content, never a part. Raises OSError."""
    there = path.resolve()  # a link stays one
    new = there.with_name(f".chatlab-{secrets.token_hex(8)}.new")
    try:
        new.write_bytes(content)
        os.replace(new, there)
    finally:
        new.unlink(missing_ok=True)


def is_same(one: Path, other: Path) -> bool:
    """Whether two names are of the same file; not if one of them is of none."""
    try:
        return one.samefile(other)
    except OSError:
        return False

"""What this machine may have too little of for a check. Where it has, nothing is shown about the server."""

from __future__ import annotations

import errno
from pathlib import Path

from harness.posix import room_in
from lab.system import allow_files

_BY_ERROR = {
    errno.EMFILE: "files",
    errno.ENFILE: "files",
    errno.ENOSPC: "disk",
    getattr(errno, "EDQUOT", errno.ENOSPC): "disk",
    errno.ENOMEM: "memory",
    errno.ENOBUFS: "memory",
    errno.EAGAIN: "processes",
}
AT_START = 8 * 1024 * 1024
"""Bytes that must be free before a server is started: a whole exercise stores far less."""
AT_THE_END = 512 * 1024
"""Bytes below which what was written last may have failed."""
FILES = 128
"""Files and connections that a check, or its server, has open at once, and some more."""
_ITS_OWN = 64 * 1024 * 1024
"""Bytes above which a server has filled the disk by itself."""


def limit_of(error: BaseException | None) -> str:
    """Which limit of the machine an error of the system shows, as in the texts `limit_…`; empty if none."""
    return _BY_ERROR.get(error.errno or 0, "") if isinstance(error, OSError) else ""


def is_full(folder: Path, least: int) -> bool:
    """Whether the disk below a folder has less room than that, and not because of what is in the folder."""
    return room_in(folder) < least and _size(folder) < _ITS_OWN


def few_files(users: int = 0) -> bool:
    """Whether a process of ours, and so a server that we start, may open too few files for so many users."""
    return allow_files(FILES + users) < FILES + users


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

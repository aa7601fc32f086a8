"""How judged code is kept from the rest of the machine: from marks, model answers and other submissions.

Three ways, the best first. With *bubblewrap* it runs in namespaces of its own: it sees a read-only system,
its own folder, and no process but its own; only the harness that judges it shares its network, which is a
loopback interface that nobody else has. As *another user*, which needs root, it can read what everybody can,
but neither change what is not its own nor reach our processes. With *none*, only the limits hold.

What it could take an answer from is not there in any of the three: see `harness/grading/kit_copy.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from harness.judged.bounds import MIB

Kind = Literal["bubblewrap", "user", "none"]
WISHES = ("auto", "required", "none")
"""What can be asked for: the best that can be had, bubblewrap or nothing, and none."""

_SECONDS_OF_CPU = 600
_FILES = 4096
_LARGEST_FILE = 1024 * MIB
_DATA = 4096 * MIB
"""Bytes of memory that a process can write to; those that take less are found by their use (`bounds.py`)."""
_PROCESSES = 512
"""More processes and threads than our user has already."""
_FIRST_USER = 61_300
"""The first of the users that code runs as: numbers that systemd gives to nobody for long."""


class Isolation(Struct, frozen=True):
    """How a target's code is isolated. All paths are absolute."""

    kind: Kind
    shows: tuple[str, ...] = ()
    """Folders and files that it sees, and cannot change, beside those of the system."""
    writes: tuple[str, ...] = ()
    """Folders that are its own."""
    hides: tuple[str, ...] = ()
    """Folders that it does not see, where they lie in one that it sees."""
    user: int = 0
    """The user that it runs as, where that is the way."""

    def limits(self) -> str:
        """What its processes may take, as `keeper.py` wants to be told: resources, and the user."""
        most = {
            "CPU": _SECONDS_OF_CPU,
            "NOFILE": _FILES,
            "FSIZE": _LARGEST_FILE,
            "DATA": _DATA,
            "NPROC": _threads_of_ours() + _PROCESSES if self.kind != "user" else _PROCESSES,
        }
        words = [f"{name}={value}" for name, value in most.items()]
        return ",".join([*words, f"user={self.user}"] if self.kind == "user" else words)


def user_of(job: int) -> int:
    """The user for one of several jobs that are played at once: none of them can touch another's files."""
    return _FIRST_USER + job


def give_to(isolation: Isolation | None, folders: Sequence[Path]) -> None:
    """Make these folders, and all that is in them, the property of the user that the code runs as."""
    if isolation is None or isolation.kind != "user":
        return
    for folder in folders:
        for place, _, files in os.walk(folder):
            for path in (place, *(os.path.join(place, name) for name in files)):
                os.chown(path, isolation.user, isolation.user, follow_symlinks=False)


def with_own_folders(isolation: Isolation | None, folders: Sequence[Path]) -> Isolation | None:
    """The same for code that has these folders for its own; what lies beside them stays ours."""
    if isolation is None:
        return None
    for folder in folders:
        folder.mkdir(exist_ok=True)
        folder.parent.chmod(0o711)
    give_to(isolation, folders)
    return replace(isolation, writes=(*isolation.writes, *map(str, folders)))


@cache
def _threads_of_ours() -> int:
    """How many threads our user has on this machine, which older systems count against the limit, too.

    Once in a process: each start of a server waits for it.
    """
    if sys.platform != "linux":
        return _PROCESSES
    count, user = 0, os.getuid()
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user:
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:
            continue
    return count

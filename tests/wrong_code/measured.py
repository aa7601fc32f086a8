"""Plays a command as somebody types it, and measures it from outside: seconds, memory, and what it leaves.

It is kept by a keeper, as judged servers are: whatever it starts is below that one, so what is left running
is known, however often it has forked. Only Linux tells all this.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.judged import keeper
from harness.judged.kept import Kept
from harness.judged.targets import ROOT

CHATLAB = [sys.executable, "-P", "-m", "harness.cli.main"]
"""The command `chatlab`, of this folder's code."""
_LOOK = 0.1
_MOST_MEMORY = 4 * 1024**3
"""Bytes that all processes may have together before they are ended: the machine needs some, too."""
_READ = 4 * 1024 * 1024
"""Bytes of output that are looked at."""
_LINGER = 1.0
"""Seconds for processes to end that were told to, when the command itself has."""
_RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal takes for a command, or what changes the order of letters."""
_TRACE = re.compile(r"^[ E]*(\+ Exception Group )?Traceback \(most recent call last\)", re.MULTILINE)
"""A traceback of the kit's own; before lines of a server's stands their time, or `|`."""


@dataclass
class Played:
    """What came of a command. `exit` is None if it was ended by us; memory is in MiB."""

    exit: int | None
    seconds: float
    ours: int
    """Memory of the kit's own processes, together."""
    judged: int
    """Memory of the judged programs' processes, and of the kit's children in which judged code runs."""
    left: list[str]
    """What still ran when the command had ended."""
    output: str

    @property
    def has_traceback(self) -> bool:
        """Whether it printed a traceback of the kit's own."""
        return bool(_TRACE.search(self.output))

    @property
    def raw(self) -> list[str]:
        """Control characters in what it printed."""
        return sorted({ascii(each) for each in _RAW.findall(self.output)})


def play(words: Sequence[str], folder: Path, most: float, env: Mapping[str, str] | None = None) -> Played:
    """Play a command in a folder, for so many seconds at most; then, and at its end, all of it is ended."""
    given = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **(env or {})}
    given.pop("COLUMNS", None)
    log = folder / "output.txt"
    began, ours, judged = time.monotonic(), 0, 0
    with log.open("ab") as output:
        kept = Kept(list(words), folder, given, output)
    try:
        while kept.exit_code is None:
            time.sleep(_LOOK)
            mine, theirs = _memory(kept)
            ours, judged = max(ours, mine), max(judged, theirs)
            if time.monotonic() - began > most or mine + theirs > _MOST_MEMORY:
                break
        seconds, code = time.monotonic() - began, kept.exit_code
        left = _left(kept) if code is not None else []
    finally:
        kept.send(signal.SIGKILL)
        while not kept.is_over and not kept.is_lost:
            time.sleep(0.01)
        kept.close()
    with log.open("rb") as file:
        text = file.read(_READ).decode(errors="replace")
    return Played(code, round(seconds, 1), ours >> 20, judged >> 20, left, text)


def _left(kept: Kept) -> list[str]:
    """What still runs a moment after the command has ended."""
    deadline = time.monotonic() + _LINGER
    while (found := _running(kept)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _running(kept: Kept) -> list[str]:
    found = []
    for each in kept.processes():
        with contextlib.suppress(psutil.Error):
            if each.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{each.name()} ({' '.join(each.cmdline())[-60:]})")
    return found


def _memory(kept: Kept) -> tuple[int, int]:
    """Bytes of the kit's own processes, and of those in which judged code runs.

    What several share counts once.
    """
    ours = judged = 0
    for pid, is_judged in _family(kept):
        if is_judged:
            judged += _bytes_of(pid)
        else:
            ours += _bytes_of(pid)
    return ours, judged


def _family(kept: Kept) -> Iterator[tuple[int, bool]]:
    """All processes below a command, and whether judged code runs in each.

    It does below a keeper, and in what our parent of simulations has forked.
    """
    parents: dict[int, int] = {}
    hosts: set[int] = set()
    for each in kept.processes():
        with contextlib.suppress(psutil.Error):
            parents[each.pid] = each.ppid()
            words = " ".join(each.cmdline())
            if keeper.__file__ in words or "harness.running.forks" in words:
                hosts.add(each.pid)
    for pid in parents:
        above = parents[pid]
        while above in parents and above not in hosts:
            above = parents[above]
        yield pid, above in hosts


def _bytes_of(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))
    return 0

"""CPU time and memory of a process."""

from __future__ import annotations

import threading
import time

import psutil

from harness.bench.plan import BenchError

_LOOK = 0.05
"""Seconds between two looks at a process's memory."""


def cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds that a process and its children have used, user and system time. Raises BenchError.

    The resolution is a nanosecond. psutil's is a hundredth of a second, too coarse for short measurements.
    """
    try:
        processes = [process, *process.children(recursive=True)]
        return sum(time.clock_gettime(_cpu_clock(each.pid)) for each in processes)
    except (OSError, psutil.NoSuchProcess) as error:
        raise BenchError("it ended while it was measured") from error


def _cpu_clock(pid: int) -> int:
    """The result of `clock_getcpuclockid` on Linux for another process (Python has it for threads only)."""
    return ~pid << 3 | 2


def megabytes(process: psutil.Process) -> float:
    """Memory that a process holds, in MiB."""
    return float(process.memory_info().rss) / 2**20


class Peak:
    """The most memory that a process had, in MiB, sampled continuously."""

    def __init__(self, process: psutil.Process) -> None:
        self.most = megabytes(process)
        self._process = process
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.wait(_LOOK):
            self.most = max(self.most, megabytes(self._process))

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end.set()
        self._thread.join()

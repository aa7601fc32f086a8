"""CPU time and memory of a process."""

from __future__ import annotations

import time

import psutil

from harness.bench.plan import BenchError


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

"""What a process has used."""

from __future__ import annotations

import time

import psutil

from harness.bench.plan import BenchError


def cpu_seconds(process: psutil.Process) -> float:
    """Seconds of CPU that a process and its children have used, in the system's mode too. Raises BenchError.

    They are exact to the nanosecond. psutil's are of hundredths, of which a short measurement may have none.
    """
    try:
        processes = [process, *process.children(recursive=True)]
        return sum(time.clock_gettime(_cpu_clock(each.pid)) for each in processes)
    except (OSError, psutil.NoSuchProcess) as error:
        raise BenchError("it ended while it was measured") from error


def _cpu_clock(pid: int) -> int:
    """What `clock_getcpuclockid` gives on Linux for another process (Python has it for threads alone)."""
    return ~pid << 3 | 2


def megabytes(process: psutil.Process) -> float:
    """Memory that a process holds, in MiB."""
    return float(process.memory_info().rss) / 2**20

"""What a process has used."""

from __future__ import annotations

import psutil


def cpu_seconds(process: psutil.Process) -> float:
    """Seconds of CPU that a process and its children have used, in the system's mode too."""
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return float(sum(each.user + each.system for each in times))


def megabytes(process: psutil.Process) -> float:
    """Memory that a process holds, in MiB."""
    return float(process.memory_info().rss) / 2**20

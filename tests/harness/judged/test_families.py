"""The processes below one are found at once, and cheaply."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.judged.families import children, descendants, memory_of


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it at once")
def test_children_and_theirs_are_below_a_process() -> None:
    """And nobody is, when they have ended."""
    words = "import subprocess, sys; subprocess.run(['cat']); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", f"print(flush=True); {words}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        while not children(process.pid):
            assert process.poll() is None
        assert process.pid in children(os.getpid())
        assert set(descendants(process.pid)) < set(descendants(os.getpid()))
        assert memory_of(process.pid) > 1_000_000
    assert children(process.pid) == []
    assert memory_of(process.pid) == 0

"""Where Node is missing or too old, TypeScript is refused in one sentence, and Python is judged as ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.typescript.tools import OLDEST
from lab.command import EXIT_USAGE
from tests.kit.pages import ROOT


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that is all of PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def chatlab(programs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the command does where there are only these programs."""
    return subprocess.run(
        [sys.executable, "-m", "harness.cli.main", *arguments],
        cwd=ROOT,
        env={**os.environ, "PATH": str(programs), "CHATLAB_TRACK": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", ["check 1", "check 1 --solutions", "doctor --reference"])
@pytest.mark.parametrize("version", ["", "v18.20.4"])
def test_it_is_said_in_a_sentence(programs: Path, command: str, version: str) -> None:
    """Which names the version that is needed; nothing is judged."""
    if version:
        (programs / "node").write_text(f"#!/bin/sh\necho {version}\n", encoding="utf-8")
        (programs / "node").chmod(0o755)
    done = chatlab(programs, *command.split(), "--track", "typescript")
    assert done.returncode == EXIT_USAGE
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.stderr.endswith(f"{sentence}\n")
    assert done.stdout == ""
    assert f" {OLDEST} or newer" in sentence
    assert (f"Node.js {version}" if version else "no program `node`") in sentence


@pytest.mark.live
@pytest.mark.xdist_group("live0")
def test_python_needs_no_node(programs: Path) -> None:
    """Its model answers are judged, and pass."""
    done = chatlab(programs, "check", "1", "--solutions")
    assert done.returncode == 0, done.stdout + done.stderr

"""Fixtures for tests of the contract of both worlds."""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path
from typing import Any

import pytest

from harness.worlds.sim.world import SimWorld
from tests.harness.worlds.loops import Run, run_in_sim, run_on_host
from tests.harness.worlds.programs import Ended, Program, run_live, run_sim
from tests.harness.worlds.stage import LIVE_MARKS, Stage


@pytest.fixture(params=[pytest.param("live", marks=LIVE_MARKS), "sim"])
def place(request: pytest.FixtureRequest) -> str:
    """Which of the two worlds."""
    return str(request.param)


@pytest.fixture
def stage(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plays scenes, and checks at the end that no temporary files are left."""
    folder = tmp_path / "disk"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(SimWorld, "disk", str(folder))
    yield Stage(place)
    assert list(folder.iterdir()) == []


@pytest.fixture
def program(place: str, tmp_path: Path) -> Program:
    """Runs the text of a program to its end."""

    def run(text: str, number: int = 0) -> Ended:
        path = tmp_path / "program.py"
        path.write_text(f"import asyncio, atexit, os, signal, sys\n{textwrap.dedent(text)}")
        return (run_live if place == "live" else run_sim)(path, number)

    return run


@pytest.fixture(params=["live", "sim", "host"])
def kind(request: pytest.FixtureRequest) -> str:
    """Asyncio's own loop, the harness's simulated loop, and the loop of a simulated program."""
    return str(request.param)


@pytest.fixture
def run(kind: str) -> Run:
    """Runs a coroutine in a new loop."""
    return {"live": lambda main: asyncio.run(main()), "sim": run_in_sim, "host": run_on_host}[kind]

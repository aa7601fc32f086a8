"""Fixtures for tests of simulated hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.worlds.sim.hosts import Code


@pytest.fixture
def code(tmp_path: Path) -> Code:
    """Writes programs to a temporary folder and runs them."""
    return Code(tmp_path)

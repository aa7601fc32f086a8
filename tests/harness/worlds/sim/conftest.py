"""What tests of simulated hosts are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.worlds.sim.hosts import Code


@pytest.fixture
def code(tmp_path: Path) -> Code:
    """Programs in a temporary folder."""
    return Code(tmp_path)

"""The soak, for CHATLAB_SOAK_SECONDS. Twenty minutes, with a line of progress every few seconds, are

CHATLAB_SOAK_SECONDS=1200 pytest tests/stress/test_soak.py -m stress -s
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stress.sizes import KILLS, SEED, SOAK_SECONDS
from tests.stress.soak import Kills, Soak, Tally

pytestmark = pytest.mark.stress


@pytest.mark.timeout(120 + 2 * SOAK_SECONDS)
async def test_soak(tmp_path: Path) -> None:
    """Through kills and reconnections no received message is lost, no number is given twice, and nothing
    leaks.

    Between warm-up and end of a long life memory grows by no more than `GROWTH`, descriptors and threads not.
    """
    print(f"\nseed {SEED}: {SOAK_SECONDS} s")
    assert _least(await Soak(tmp_path, SOAK_SECONDS, SEED).run()) > 0


@pytest.mark.timeout(120 + 20 * KILLS)
async def test_kills(tmp_path: Path) -> None:
    """However often the server is killed while all floods go on, nothing that somebody received is lost."""
    print(f"\nseed {SEED}: {KILLS} kills")
    assert _least(await Kills(tmp_path, KILLS, SEED).run()) > 0


def _least(tally: Tally) -> int:
    print(tally)
    return min(tally.said, tally.heard, tally.visits, tally.kills, tally.read_back)

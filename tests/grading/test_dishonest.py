"""No submission gets points that it has not earned, nor does it harm others."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.submissions.fingerprints import hash_of_kit
from harness.verdict.outcome import Outcome
from tests.extras import needs_isolation
from tests.grading.dishonest import DISHONEST, graded, make

OPEN = {"links-to-the-answers", "links-to-a-neighbour"}
"""Those that hand in nothing that could be judged."""


@pytest.mark.live
def test_nobody_is_paid_for_a_trick(tmp_path: Path) -> None:
    """With bubblewrap: each has no points, the honest one beside them has all, and the kit is as it was."""
    needs_isolation()
    make(tmp_path / "class")
    before = hash_of_kit()
    grades = graded(tmp_path, 2)
    assert set(grades) == {*DISHONEST, "honest"}
    assert {name for name, mark in grades.items() if mark.points} == {"honest"}
    assert {name for name, mark in grades.items() if mark.verdict is Outcome.INCONCLUSIVE} == OPEN
    assert {mark.isolation for mark in grades.values()} == {"bubblewrap"}
    assert not any(mark.attention for name, mark in grades.items() if name in OPEN)
    assert hash_of_kit() == before

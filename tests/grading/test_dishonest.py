"""No submission gets points that it has not earned, nor does it harm others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.grading.kept_grades import kept_grades
from harness.submissions.fingerprints import hash_of_kit
from harness.verdict.outcome import Outcome
from tests.extras import needs_isolation
from tests.grading.dishonest import DISHONEST, make

CHATLAB = [sys.executable, "-P", "-m", "harness.cli.main"]
OPEN = {"links-to-the-answers", "links-to-a-neighbour"}
"""Those that hand in nothing that could be judged."""


@pytest.mark.live
def test_nobody_is_paid_for_a_trick(tmp_path: Path) -> None:
    """With bubblewrap: each has no points, the honest one beside them has all, and the kit is as it was."""
    needs_isolation()
    make(tmp_path / "class")
    before = hash_of_kit()
    done = subprocess.run(
        [*CHATLAB, "grade", "class", "--exercises", "1", "--isolation", "required"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    grades = {mark.name: mark for mark in kept_grades(tmp_path / "class-grades").values()}
    assert set(grades) == {*DISHONEST, "honest"}
    assert {name for name, mark in grades.items() if mark.points} == {"honest"}
    assert {name for name, mark in grades.items() if mark.verdict is Outcome.INCONCLUSIVE} == OPEN
    assert {mark.isolation for mark in grades.values()} == {"bubblewrap"}
    assert not any(mark.attention for name, mark in grades.items() if name in OPEN)
    assert hash_of_kit() == before

"""The model of rooms against the reference server: a few plays in the quick run, and many under `stress`.

    CHATLAB_STRESS_SEED=7 CHATLAB_ROOM_PLAYS=2000 pytest tests/stress/test_rooms.py -m stress

The quick plays are the same each time; those under `stress` come from the seed.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stress.room_plays import RoomPlays
from tests.stress.sizes import ROOM_PLAYS, SEED

COMMON = settings(
    database=None,
    phases=(Phase.generate,),  # a rush is a race: what fails in one in ten plays cannot be minimized
    deadline=None,
    print_blob=False,
    stateful_step_count=25,
    suppress_health_check=list(HealthCheck),
)


def test_a_few_plays() -> None:
    """Whatever a few clients do in a few rooms, each gets what the contract owes it, and nothing else."""
    run_state_machine_as_test(RoomPlays, settings=settings(COMMON, derandomize=True, max_examples=15))


@pytest.mark.stress
@pytest.mark.timeout(120 + 3 * ROOM_PLAYS)
def test_many_plays() -> None:
    """The same, for many longer plays."""
    long = settings(COMMON, max_examples=ROOM_PLAYS, stateful_step_count=50)
    run_state_machine_as_test(seed(SEED)(type("Seeded", (RoomPlays,), {})), settings=long)

"""What direct calls have shown becomes part of a run."""

from __future__ import annotations

import pytest

from harness.contracts.result import Breach, Played
from harness.running.direct_calls import add_contract
from harness.running.run import Run
from harness.verdict.outcome import Text


def run_with(note: str) -> Run:
    """A run with this note, and nothing else."""
    return Run(3, "1", "sim", "presence.py", 0.0, [], [Text(note)], [], 0.0, [], component="presence")


@pytest.mark.parametrize("name", ["wrong_last_seen", "wrong_change"])
def test_what_is_a_finding_is_not_said_to_be_tolerated(name: str) -> None:
    """Times in seconds: one report does not both fail and forgive them."""
    run = run_with("lenient.seconds")
    add_contract(
        run, Played("presence", found=[Breach("3.2", name, "seconds", "PresenceManager.joined", {}, [])])
    )
    assert [note.key for note in run.notes] == ([] if name == "wrong_last_seen" else ["lenient.seconds"])


@pytest.mark.parametrize("known", ["slept", "printed_much"])
def test_sleeping_is_noted_once(known: str) -> None:
    """By the play, which knows for how long; else by the direct calls."""
    run = run_with(known)
    add_contract(run, Played("presence", notes=[("sleeps", {"where": "presence.py, line 3"})]))
    assert [note.key for note in run.notes] == [known, *(["sleeps"] if known != "slept" else [])]

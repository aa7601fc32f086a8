"""The catalogue of faults: what follows for whoever asks an entry."""

from __future__ import annotations

import pytest

from harness.history.events import Fault
from harness.history.faults import FAULTS, GO_SILENT, LOSE_INBOUND, LOSE_OUTBOUND, READ_AGAIN, Way, kind_of
from tests.harness.stories import Story


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_heals_does_nothing_else(name: str) -> None:
    """It leaves both directions open and ends no membership; all others that are drawn disturb something."""
    kind = FAULTS[name]
    flows = kind.inbound is kind.outbound is Way.FLOWS
    if kind.heals:
        assert flows
        assert (kind.ends, kind.excuses) == ("", False)
    elif kind.drawn:
        assert kind.ends or not flows


def test_one_way_loss_is_the_same_in_both_directions_seen_from_the_other_end() -> None:
    """One way is lost and the other one flows; only a client that is not heard may be cut off for that."""
    out, back = FAULTS[LOSE_OUTBOUND], FAULTS[LOSE_INBOUND]
    assert (out.inbound, out.outbound) == (back.outbound, back.inbound) == (Way.FLOWS, Way.LOST)
    assert (out.excuses, back.excuses) == (True, False)


def test_a_fault_of_an_odd_history_has_no_effect() -> None:
    """What the catalogue does not have ends nothing, and excuses nothing."""
    kind = kind_of("wake")
    assert (kind.ends, kind.excuses, kind.drawn, kind.loses_inbound) == ("", False, False, False)


@pytest.mark.parametrize(
    ("fault", "end"), [(LOSE_OUTBOUND, "fault"), (LOSE_INBOUND, ""), (GO_SILENT, "fault")]
)
def test_who_is_not_heard_is_no_member_any_more(fault: str, end: str) -> None:
    """The server may take it for gone; a client to which nothing comes through is a member as before."""
    story = Story()
    (bob,) = story.members("red", "bob")
    bob.faults(fault)
    (membership,) = story.index.members("red")
    assert membership.end == end


def test_an_event_knows_its_entry() -> None:
    """Whoever reads a history asks the event, and compares no names."""
    assert Fault(1.0, READ_AGAIN, "bob", 1).kind.heals

"""The catalogue of faults: what follows from each entry for the code that uses it."""

from __future__ import annotations

import pytest

from harness.history.events import Fault
from harness.history.faults import FAULTS, GO_SILENT, LOSE_INBOUND, LOSE_OUTBOUND, READ_AGAIN, Way, kind_of
from tests.harness.stories import Story


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_heals_does_nothing_else(name: str) -> None:
    """It leaves both directions open and ends no membership;
    each of the other random faults disturbs something.
    """
    kind = FAULTS[name]
    flows = kind.inbound is kind.outbound is Way.FLOWS
    if kind.heals:
        assert flows
        assert (kind.ends, kind.excuses) == ("", False)
    elif kind.drawn:
        assert kind.ends or not flows


def test_one_way_loss_is_symmetric() -> None:
    """One direction is lost and the other works;
    only a client whose frames are lost may be cut off for that.
    """
    out, back = FAULTS[LOSE_OUTBOUND], FAULTS[LOSE_INBOUND]
    assert (out.inbound, out.outbound) == (back.outbound, back.inbound) == (Way.FLOWS, Way.LOST)
    assert (out.excuses, back.excuses) == (True, False)


def test_an_unknown_fault_has_no_effect() -> None:
    """A fault that is not in the catalogue ends nothing and excuses nothing."""
    kind = kind_of("wake")
    assert (kind.ends, kind.excuses, kind.drawn, kind.loses_inbound) == ("", False, False, False)


@pytest.mark.parametrize(
    ("fault", "end"), [(LOSE_OUTBOUND, "fault"), (LOSE_INBOUND, ""), (GO_SILENT, "fault")]
)
def test_a_client_whose_frames_are_lost_is_no_sure_member(fault: str, end: str) -> None:
    """The server may remove it; a client that receives nothing is a member as before."""
    story = Story()
    (bob,) = story.members("red", "bob")
    bob.faults(fault)
    (membership,) = story.index.members("red")
    assert membership.end == end


def test_an_event_knows_its_entry() -> None:
    """Code that reads a history asks the event, and compares no names."""
    assert Fault(1.0, READ_AGAIN, "bob", 1).kind.heals

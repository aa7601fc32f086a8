"""The catalogue of the faults that a client's connection may suffer.

A connection carries frames in two directions, and a fault is told by what becomes of each. From that follows
what is still owed: a member whose inbound frames do not reach it cannot be asked what it received; one whose
outbound frames do not reach the server shows no sign of life. Those who index a history, check it, draw it or
play a fault ask its entry here, and never compare its name.

What an entry is called for a reader, and what it does not show, stands in `harness/texts`. Both worlds
have all of them, since they are played at the client's end of the connection (`worlds/connection.py`).
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Way(StrEnum):
    """What becomes of the frames in one direction of a connection that stands."""

    FLOWS = "flows"
    """They arrive."""
    HELD = "held"
    """They stay where they are: nothing is read, or nothing is sent."""
    LOST = "lost"
    """They are gone on the way, and neither end is told."""


class FaultKind(Struct, frozen=True):
    """An entry of the catalogue."""

    inbound: Way
    """What becomes of what the server sends."""
    outbound: Way
    """What becomes of what the client sends."""
    ends: str = ""
    """How it ends the client's memberships on the connection: "close", "fault", or not at all."""
    excuses: bool = False
    """Whether the server may close the connection because of it."""
    heals: bool = False
    """Whether it is the end of another fault."""
    drawn: bool = True
    """Whether diagrams show the client as disturbed from then on."""

    @property
    def loses_inbound(self) -> bool:
        """Whether frames that were on their way to the client need not be received any more."""
        return self.inbound is not Way.FLOWS


CLOSE = "close"
RESET = "reset"
GO_SILENT = "go_silent"
STOP_READING = "stop_reading"
READ_AGAIN = "read_again"
LOSE_OUTBOUND = "lose_outbound"
LOSE_INBOUND = "lose_inbound"
BAD_NAME = "bad_name"

FAULTS: dict[str, FaultKind] = {
    # The client closes the connection, as a good client does: what was sent before is read.
    CLOSE: FaultKind(Way.FLOWS, Way.FLOWS, ends="close"),
    # A TCP reset.
    RESET: FaultKind(Way.LOST, Way.LOST, ends="fault", excuses=True),
    # A half-open connection: the client neither reads nor writes, and its socket stays open.
    GO_SILENT: FaultKind(Way.HELD, Way.HELD, ends="fault", excuses=True),
    # A slow reader: it sends as before.
    STOP_READING: FaultKind(Way.HELD, Way.FLOWS, excuses=True),
    READ_AGAIN: FaultKind(Way.FLOWS, Way.FLOWS, heals=True),
    # One-way loss, as by a firewall or a broken route in one direction. The server has to judge by what it
    # receives alone: it is to close the first connection for its silence, and must not close the second.
    LOSE_OUTBOUND: FaultKind(Way.FLOWS, Way.LOST, ends="fault", excuses=True),
    LOSE_INBOUND: FaultKind(Way.LOST, Way.FLOWS),
    # It asks for a user name that nobody may have.
    BAD_NAME: FaultKind(Way.FLOWS, Way.FLOWS, excuses=True, drawn=False),
}

_UNKNOWN = FaultKind(Way.FLOWS, Way.FLOWS, drawn=False)


def kind_of(fault: str) -> FaultKind:
    """The entry of a fault; one without effect if it is not in the catalogue: a history may be odd."""
    return FAULTS.get(fault, _UNKNOWN)

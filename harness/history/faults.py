"""The catalogue of the faults that a client's connection may suffer.

A connection carries frames in two directions, and an entry says what happens to the frames in each. The rest
follows: a member whose inbound frames do not reach it need not receive them; one whose outbound frames do not
reach the server shows no sign of life. Code that indexes, checks or draws a history, or plays a fault, uses
the entry here, and never compares names.

The name of a fault for readers, and what it does not show, are in `harness/texts`. Both worlds have all
faults, since they are played at the client's end of the connection (`worlds/connection.py`).
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Way(StrEnum):
    """What happens to the frames in one direction of an open connection."""

    FLOWS = "flows"
    """They arrive."""
    HELD = "held"
    """They wait: nothing is read, or nothing is sent."""
    LOST = "lost"
    """They are lost on the way, and neither end notices."""


class FaultKind(Struct, frozen=True):
    """An entry of the catalogue."""

    inbound: Way
    """What happens to what the server sends."""
    outbound: Way
    """What happens to what the client sends."""
    ends: str = ""
    """How it ends the client's memberships on the connection: "close", "fault", or not at all."""
    excuses: bool = False
    """Whether the server may close the connection because of it."""
    heals: bool = False
    """Whether it ends another fault."""
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
NODE_KILLED = "node_killed"
NODE_CUT = "node_cut"

FAULTS: dict[str, FaultKind] = {
    # The client closes the connection, as a correct client does: what was sent before is read.
    CLOSE: FaultKind(Way.FLOWS, Way.FLOWS, ends="close"),
    # A TCP reset.
    RESET: FaultKind(Way.LOST, Way.LOST, ends="fault", excuses=True),
    # A half-open connection: the client neither reads nor writes, and its socket stays open.
    GO_SILENT: FaultKind(Way.HELD, Way.HELD, ends="fault", excuses=True),
    # A slow reader: it sends as before.
    STOP_READING: FaultKind(Way.HELD, Way.FLOWS, excuses=True),
    READ_AGAIN: FaultKind(Way.FLOWS, Way.FLOWS, heals=True),
    # One-way loss, as by a firewall or a broken route in one direction. The server can judge only by what
    # it receives: it must close the first connection for its silence, and must not close the second.
    LOSE_OUTBOUND: FaultKind(Way.FLOWS, Way.LOST, ends="fault", excuses=True),
    LOSE_INBOUND: FaultKind(Way.LOST, Way.FLOWS),
    # It asks for a user name that is not allowed.
    BAD_NAME: FaultKind(Way.FLOWS, Way.FLOWS, excuses=True, drawn=False),
    # In a cluster: the chat node that it is connected to is killed, and the others go on.
    NODE_KILLED: FaultKind(Way.LOST, Way.LOST, ends="fault", excuses=True, drawn=False),
    # Its chat node is cut off from the others, and stays there: what it missed must come when that ends.
    NODE_CUT: FaultKind(Way.FLOWS, Way.FLOWS, drawn=False),
}

_UNKNOWN = FaultKind(Way.FLOWS, Way.FLOWS, drawn=False)


def kind_of(fault: str) -> FaultKind:
    """The entry of a fault; one without effect if it is not in the catalogue: a history may name any."""
    return FAULTS.get(fault, _UNKNOWN)

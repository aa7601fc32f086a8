"""The line of the student's file that a finding is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkers.catalogue import Anomaly
from harness.history.events import Called
from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.watch.own_line import own_line

PYTHON_FILE = """class Sequencer:
    async def accept(self, draft):
        message = self.number(draft)
        self._pubsub.publish(draft.room, message)
        return message

    async def in_room(self, room):
        return []
"""
TYPESCRIPT_FILE = """export class Sequencer {
  async accept(draft: Draft): Promise<Message> {
    const message = this.number(draft);
    this.#pubsub.publish(draft.room, message);
    return message;
  }

  inRoom(room: string): Presence[] {
    return [];
  }
}
"""


def breach(duty: str, last: str) -> Anomaly:
    """A finding of direct calls."""
    calls = [Called(0.0, 1, "", f"{duty.rpartition('.')[2]}()"), Called(0.0, 2, "accept#1", last)]
    return Anomaly("published_unsaved", {"duty": duty}, [*calls])


@pytest.mark.parametrize(
    ("name", "text", "track"),
    [("sequencer.py", PYTHON_FILE, PYTHON), ("sequencer.ts", TYPESCRIPT_FILE, TYPESCRIPT)],
)
def test_it_is_the_guilty_call_or_the_method(tmp_path: Path, name: str, text: str, track: str) -> None:
    """The call that the evidence ends with, if the method has just one; else where the method begins."""
    file = tmp_path / name
    file.write_text(text)
    call = own_line(breach("Sequencer.accept", 'pubsub.publish("red", #1)'), file, track)
    assert call is not None
    assert (call.line, call.function, call.is_call) == (4, "accept", True)
    assert call.source.startswith(("self._pubsub.publish", "this.#pubsub.publish"))
    method = own_line(breach("Sequencer.in_room", "in_room()"), file, track)
    assert method is not None
    assert not method.is_call
    assert text.splitlines()[method.line - 1].strip() == method.source
    assert method.function == ("in_room" if track == PYTHON else "inRoom")


def test_where_there_is_none(tmp_path: Path) -> None:
    """No line is told of a finding about no method, of a method that is missing, or in a broken file."""
    file = tmp_path / "sequencer.py"
    file.write_text(PYTHON_FILE)
    assert own_line(Anomaly("reorder", {}, []), file, PYTHON) is None
    assert own_line(breach("Sequencer.history", "history()"), file, PYTHON) is None
    file.write_text("def (")
    assert own_line(breach("Sequencer.accept", "accept()"), file, PYTHON) is None
    assert own_line(breach("Sequencer.accept", "accept()"), tmp_path / "none.py", PYTHON) is None

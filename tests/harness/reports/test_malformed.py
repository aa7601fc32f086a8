from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.checkers.catalogue import Anomaly
from harness.history.events import Received
from harness.history.frames import read
from harness.reports.malformed import WIDTH, marked, pointed_at
from tests.harness.stories import PROPERTY

MESSAGE = {"id": "7", "room": "red", "user": "bob", "content": "hello", "sequence": "7", "timestamp": 5}


def under(lines: list[str]) -> str:
    """The text above the mark."""
    line, mark = lines
    assert set(mark) == {" ", "^"} or set(mark) == {"^"}
    return line[mark.index("^") : mark.rindex("^") + 1]


@pytest.mark.parametrize(
    ("frame", "field", "what"),
    [
        ({"type": "message", "data": MESSAGE}, "data.sequence", '"7"'),
        ({"type": "message", "data": MESSAGE}, "data.timestamp", "5"),
        (
            {"type": "history", "data": {"messages": [{"id": "1"}, MESSAGE]}},
            "data.messages[1].sequence",
            '"7"',
        ),
        ({"type": "message", "data": {"room": "red"}}, "data.sequence", "}"),
        ({"type": "message"}, "data.sequence", "}"),
        ({"type": "message", "data": [1]}, "data", "[1]"),
        ({"type": 3}, "type", "3"),
        ([1, 2], "", "[1, 2]"),
    ],
)
def test_the_mark_is_under_what_is_wrong(frame: Any, field: str, what: str) -> None:
    """Under the field's value; if it is missing, under the end of the object that lacks it."""
    assert under(marked(frame, field)) == what


def test_a_long_frame_is_shown_around_the_mark() -> None:
    """In one line that fits, with signs where it is cut."""
    messages = [{**MESSAGE, "content": "x" * 5000} for _ in range(40)]
    line, mark = marked({"type": "history", "data": {"messages": messages}}, "data.messages[20].sequence")
    assert len(line) <= WIDTH + 2
    assert line[0] == line[-1] == "…"
    assert under([line, mark]) == '"7"'


@PROPERTY
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_frame_can_be_marked(frame: Any) -> None:
    """Whatever its flaws, there is a line, and a mark under it."""
    for flaw in read({"type": "history", "data": frame}).flaws:
        line, mark = marked({"type": "history", "data": frame}, flaw.field)
        assert 0 < len(mark) <= len(line)
        assert len(line) <= WIDTH + 2


def test_text_that_is_not_json_is_marked_as_a_whole() -> None:
    """Findings without a malformed frame have no mark."""
    event = Received(0.0, "alice", 1, None, 3, "{\x00]")
    found = Anomaly("malformed_frame", {"field": "…"}, [event])
    assert pointed_at(found) == ["{\\u0000]", "^^^^^^^^"]
    assert pointed_at(Anomaly("lost", {}, [event])) == []

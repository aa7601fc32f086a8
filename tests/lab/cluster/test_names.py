from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from lab.cluster.names import Shard, name_of, place_of, shard_of, token
from tests.lab.helpers import PROPERTY

names = st.text(st.characters(), min_size=1, max_size=64)  # surrogates too
MAX_SUBJECT = 4096
"""What NATS takes in a control line."""


@PROPERTY
@given(names, names, st.text(max_size=128))
def test_any_name_goes_into_a_subject_and_comes_back(room: str, user: str, id: str) -> None:
    """No subject has a character that means something to NATS, and none is too long."""
    shard = Shard(7, 16)
    subjects = [shard.room(room), shard.id(room, user, id), shard.here(room, user, "0123abcd")]
    for subject in subjects:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+", subject)
        assert ".." not in subject
        assert len(subject) < MAX_SUBJECT
    assert [place_of(subject) for subject in subjects] == [
        ("room", room, "", ""),
        ("id", room, "", ""),
        ("here", room, user, "0123abcd"),
    ]
    assert name_of(token(user)) == user


@PROPERTY
@given(names, names)
def test_two_names_have_two_tokens(one: str, other: str) -> None:
    """Rooms that differ are kept apart, by case too."""
    assert (token(one) == token(other)) == (one == other)


def test_the_shard_of_a_room_never_changes() -> None:
    """It says where a room's messages are: all nodes of all versions must agree, for ever."""
    rooms = ["general", "General", "r", "東京", "a.b_c-d", "\N{GRINNING FACE}" * 64]
    assert [shard_of(room, 16) for room in rooms] == [13, 4, 4, 2, 6, 8]
    assert Shard(3, 16).stream == "chat-3-of-16"
    assert Shard(3, 16).room("a.b_c-d") == "chat.3.room.a_2eb_5fc-d"
    assert Shard(3, 16).id("r", "ada", "1") == "chat.3.id.r.017f41e394f218d2b8141b3453023e77"

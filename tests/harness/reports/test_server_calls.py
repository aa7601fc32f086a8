from __future__ import annotations

import pytest

from harness.history.events import Called
from harness.reports.causality import causality
from harness.reports.server_calls import Done, done_by
from tests.harness.stories import NONCE, Story

TAG = f"{NONCE}-1"


def called(what: str, result: str | None = None) -> Called:
    """A call, or its end."""
    return Called(1.0, 1, "", what, result)


@pytest.mark.parametrize(
    ("what", "result", "has_begun", "key", "shown"),
    [
        (f'store.save([#3 "{TAG}. hi"])', None, False, "saves_for_long", "#3"),
        (f'store.save([#3 "{TAG}. hi"])', "done", True, "is_saved", "#3"),
        (f'store.save([#3 "{TAG}. hi"])', "done", False, "saves", "#3"),
        (f'store.save([#3 "{TAG}. hi", #4 "x"])', "done", False, "saves", "#3 – #4"),
        (f'pubsub.publish("red", #3 "{TAG}. hi")', None, False, "publishes", "#3"),
        ('pubsub.subscribe("red", bob)', None, False, "subscribes", "bob"),
        ('store.find("red", "bob", "1")', '#2 "old"', False, "knows", "#2"),
        ("presence.sweep(now)", "[red: vera offline]", False, "sweep_finds", "vera offline"),
    ],
)
def test_what_a_call_is_called(what: str, result: str | None, has_begun: bool, key: str, shown: str) -> None:
    """A word for each call that does something, and what it is about."""
    done = done_by(called(what, result), has_begun=has_begun)
    assert done is not None
    assert (done.key, done.what) == (key, shown)


@pytest.mark.parametrize(
    ("what", "result"),
    [
        ('store.last("red")', "0"),
        ('store.find("red", "bob", "1")', "None"),
        ('pubsub.publish("red", notice "bob joined")', None),
        ("presence.sweep(now)", "[]"),
        ("SIGKILL", None),
        ("?", None),
    ],
)
def test_calls_that_change_nothing_are_not_shown(what: str, result: str | None) -> None:
    """Questions, notices and what has no name."""
    assert done_by(called(what, result), has_begun=False) is None


def test_tags_and_users_say_what_it_follows() -> None:
    """The tag of each message, and each user whose state has changed."""
    save = done_by(called(f'store.save([#3 "{TAG}. hi"])', "done"), has_begun=False)
    sweep = done_by(called("presence.sweep(now)", "[red: vera away, red: bob offline]"), has_begun=False)
    assert save == Done("message", "saves", "#3", [TAG], [])
    assert sweep is not None
    assert sweep.users == ["vera", "bob"]


def test_nothing_is_drawn_in_silence() -> None:
    """What cannot be shown is told."""
    with pytest.raises(ValueError, match="messages"):
        causality(Story().events, ("messages",))

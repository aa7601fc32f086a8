"""A torn end is named as the likely cause of what follows it, and of nothing else."""

from __future__ import annotations

from math import inf

import pytest

from harness.checkers import durability, lifecycle
from harness.history.events import Server
from tests.harness.stories import Numbered, Person, Story, facts, names_of

TORN = {"files": "journal", "bytes": 23}


def torn(messages: int) -> tuple[Story, Person, list[Numbered]]:
    """A server that is killed while it writes; the end of its file is torn off,
    and so many messages follow.
    """
    story = Story()
    story.server("ready")
    (scribe,) = story.members("red", "scribe")
    said = story.talk([scribe], "red", 2)
    story.ends("killed", scribe)
    story.server("torn", **TORN)
    story.server("ready")
    scribe.connects()
    scribe.joins("red", 2, [])
    said += story.talk([scribe], "red", messages, first=3)
    return story, scribe, said


def lost(story: Story, scribe: Person, said: list[Numbered]) -> list[str]:
    """What is found when, after another kill, only these messages are there."""
    story.restarts("killed", scribe)
    scribe.reads("red", said, since=0)
    scribe.reads("red", [], since=said[-1][1])
    return names_of(durability.lost(story.index, "red"))


@pytest.mark.parametrize("behind", [0, 1, 2])
def test_messages_written_behind_a_torn_end_are_lost_by_it(behind: int) -> None:
    """The first messages that are new after it; the evidence shows the tearing, too."""
    story, scribe, said = torn(6)
    assert lost(story, scribe, said[: 2 + behind] + said[3 + behind :]) == ["lost_after_crash/torn"]
    (found,) = durability.lost(story.index, "red")
    what = [getattr(event, "what", "received") for event in found.evidence]
    assert what == ["torn", "received", "killed", "received"]  # the last is the page without it


@pytest.mark.parametrize("missing", [0, 1, 5, 7])
def test_other_losses_have_another_cause(missing: int) -> None:
    """What had been stored before, and what came well after."""
    story, scribe, said = torn(6)
    assert lost(story, scribe, said[:missing] + said[missing + 1 :]) == ["lost_after_crash"]


def test_a_start_that_fails_behind_a_torn_end() -> None:
    """The finding says which file, and how much; only the first start after it has this cause."""
    story, scribe, _ = torn(2)
    story.ends("killed", scribe)
    story.server("not_ready", why="exited", code=1, output=["KeyError: 'id'"])
    assert names_of(lifecycle.server(story.index, 0.0, inf)) == ["no_start/exited_again"]
    story = Story()
    story.server("ready")
    story.server("killed")
    tearing = story.server("torn", **TORN)
    failing = story.server("not_ready", why="exited", code=1, output=["KeyError: 'id'"])
    found = lifecycle.server(story.index, 0.0, inf)
    assert names_of(found) == ["no_start/exited_torn"]
    assert facts(found, "files", "bytes", "code") == ["journal", 23, 1]
    assert found[0].evidence == [tearing, failing]


@pytest.mark.parametrize(("why", "copy"), [("silent", False), ("exited", True)])
def test_other_starts_that_fail_have_other_causes(why: str, copy: bool) -> None:
    """A copy was made of complete files, and a silent server has read its files already."""
    story = Story()
    story.server("ready")
    story.server("killed")
    story.server("torn", **TORN)
    story.server("not_ready", second=copy, why=why, code=1, seconds=1.0, output=[])
    name = "exited_again" if why == "exited" else why
    found = lifecycle.server(story.index.worlds[-1], 0.0, inf)
    assert names_of(found) == [f"no_start/{name}"]
    assert [event.what for event in found[0].evidence if isinstance(event, Server)] == ["killed", "not_ready"]

"""On a connection that is proven right, the checkers must find nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.bench import crowded
from harness.checkers import delivery, ordering, replay
from harness.history.index import HistoryIndex
from harness.load.judging import Load, judge
from harness.load.merge import Merged
from harness.load.proof import unproven
from harness.load.record import Recording
from harness.verdict.outcome import Outcome
from tests.load.recorders import ROOM, Story

PEOPLE = 4
EVERYBODY = list(range(PEOPLE))
Flaw = Callable[[list[Any]], list[Any]]

FLAWS: dict[str, Flaw] = {
    "none": list,
    "no first": lambda some: some[1:],
    "no last": lambda some: some[:-1],
    "one": lambda some: some[:1],
    "nothing": lambda some: [],
    "last twice": lambda some: [*some, *some[-1:]],
    "first twice": lambda some: [*some[:1], *some],
    "backwards": lambda some: some[::-1],
}
"""What a broken server may do with a list: of those to tell something, or of what to tell."""


class Chat:
    """A chat that is right except for the flaws that are asked for."""

    def __init__(self) -> None:
        self.story = Story(PEOPLE, processes=2)
        self.here = set(EVERYBODY)
        self.cut_off: set[int] = set()
        self.stored: list[dict[str, Any]] = []
        self.seen = dict.fromkeys(EVERYBODY, 0)
        self.said = 0

    def say(self, person: int, flaw: Flaw) -> None:
        """A client in the room sends a message."""
        if person not in self.here:
            return
        self.hears(flaw(sorted(self.here)), self.story.say(person, []))
        self.said += 1

    def hears(self, hearers: list[int], message: dict[str, Any]) -> None:
        """These clients receive a message, which is stored."""
        self.stored.append(message)
        for hearer in hearers:
            self.story.hear(hearer, {"type": "message", "data": message})
            self.seen[hearer] = message["sequence"]

    def again(self, person: int, flaw: Flaw) -> None:
        """Some clients receive a message once more, whoever they are."""
        for message in flaw(self.stored[-3:]):
            if person not in self.cut_off:
                self.story.hear(person, {"type": "message", "data": message})

    def unanswered(self, person: int, flaw: Flaw) -> None:
        """A client sends a message that nobody receives, and perhaps sends it again."""
        if person in self.here and not self.cut_off:
            said = self.story.say(person, [])
            if flaw is not list:
                self.story.say(person, [], tag=said["id"])
                self.hears(flaw(sorted(self.here)), said)
            else:
                self.story.sequence -= 1

    def cut(self, person: int, flaw: Flaw) -> None:
        """A client loses its connection."""
        if person not in self.cut_off:
            self.story.cut(person)
            self.cut_off.add(person)
            self.here.discard(person)

    def come(self, person: int, flaw: Flaw) -> None:
        """A client comes back: with `since` after a cut, without it on a new connection after a leave."""
        if person in self.here:
            return
        since = self.seen[person] if person in self.cut_off else None
        page = self.stored[since or 0 :][-50:]
        self.story.come(person, since, flaw(page))
        self.cut_off.discard(person)
        self.here.add(person)
        self.seen[person] = len(self.stored)

    def leave(self, person: int, flaw: Flaw) -> None:
        """A client leaves the room."""
        if person in self.here:
            self.story.leave(person)
            self.here.discard(person)

    def notice(self, person: int, flaw: Flaw) -> None:
        """Clients in the room, and perhaps others, are notified that one has come."""
        self.story.notice(person, flaw([each for each in EVERYBODY if each not in self.cut_off]))

    def wait(self, person: int, flaw: Flaw) -> None:
        """Time passes."""
        self.story.pass_time(0.3 * (person + 1))

    def recordings(self) -> list[Recording]:
        """The recordings."""
        return [recorder.finish() for recorder in self.story.recorders]


DEEDS = ("say", "say", "say", "again", "unanswered", "cut", "come", "come", "leave", "notice", "wait")
NAMES = ["none"] * 9 + list(FLAWS)
SCENES = st.lists(
    st.tuples(st.sampled_from(DEEDS), st.sampled_from(EVERYBODY), st.sampled_from(NAMES)), max_size=25
)


def played(scenes: list[tuple[str, int, str]]) -> Merged:
    """The merged recordings of a chat."""
    chat = Chat()
    for action, person, flaw in scenes:
        getattr(chat, action)(person, FLAWS[flaw])
    return Merged(chat.recordings())


@given(SCENES)
def test_nothing_is_found_on_a_connection_proven_right(scenes: list[tuple[str, int, str]]) -> None:
    """Whatever a server does: if a connection is proven right, no checker finds anything on it."""
    merged = played(scenes)
    look = set(unproven(merged, HistoryIndex(merged.whole()), ROOM))
    for conn in merged.conns(ROOM) - look:
        for history in merged.slices(ROOM, [conn]):
            index = HistoryIndex(history)
            found = [*delivery.lost(index, ROOM), *delivery.duplicates(index, ROOM), *delivery.leaks(index)]
            found += [*ordering.by_receivers(index, ROOM), *replay.seams(index, ROOM)]
            assert found == [], conn


@pytest.mark.parametrize("people", [3, 60])
def test_a_right_chat_is_proven_right(people: int) -> None:
    """Of a right chat, with cuts and returns, no connection is left for the checkers:
    this makes judging quick.
    """
    recording = crowded.recording(rooms=2, people=people, messages=120)
    merged = Merged([recording])
    index = HistoryIndex(merged.whole())
    assert len(merged.joined) == 2
    assert len(merged.conns(merged.joined[0])) > people
    assert [list(unproven(merged, index, room)) for room in merged.joined] == [[], []]
    result = judge(Load("x", "steady", 1, 1, 5.0), [recording])
    assert (result.outcome, result.findings.anomalies) == (Outcome.PASSED, [])
    assert result.deliveries == len(result.times["delivery"]) > 200 * (people - 2)


def test_leaves_and_notices_are_proven_right() -> None:
    """Leaving, notices, and a return without anything new need no closer check."""
    scenes = [("say", 0, "none"), ("leave", 1, "none"), ("cut", 2, "none"), ("come", 2, "none")]
    merged = played([*scenes, ("wait", 3, "none")])
    assert list(unproven(merged, HistoryIndex(merged.whole()), ROOM)) == []

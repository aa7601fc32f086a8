"""Properties: a right server has no findings, and each defect in its history is named.

Right histories come from the model of a right server. A defect is planted by changing such a history in one
place, chosen among all places at which it can be told: a *site* is one of them, and makes the changed events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from math import inf
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

from harness.checkers import delivery, durability, errors, ordering, pages, replay
from harness.checkers.catalogue import Anomaly
from harness.checkers.delivery import LONG_AGO
from harness.history.events import Event, History, Joined, Received, Sent
from harness.history.index import Heard, HistoryIndex, Membership
from harness.reports.excerpt import Fold, excerpt
from harness.reports.findings import named_in
from harness.reports.terminal import EVIDENCE
from tests.harness.checkers.model import ROOMS, plays
from tests.harness.stories import PROPERTY, Json, Story, names_of

CHECKS = (
    delivery.refused,
    delivery.lost,
    delivery.duplicates,
    delivery.numbered_twice,
    delivery.altered,
    ordering.numbering,
    ordering.order,
    replay.seams,
    replay.retries,
    pages.wrong,
    pages.mismatches,
    durability.replayed_as_new,
)


def findings(index: HistoryIndex) -> list[Anomaly]:
    """All that the checkers of messages find in a history."""
    found = [anomaly for check in CHECKS for room in ROOMS for anomaly in check(index, room)]
    for lost in (durability.lost, durability.lost_in_copy):
        found += [anomaly for room in ROOMS for anomaly in lost(index, room)]
    return [*found, *delivery.leaks(index), *errors.obeyed(index)]


@PROPERTY
@given(plays)
def test_a_right_server_has_no_findings(story: Story) -> None:
    """Whatever a right server and its clients do, and whenever they are cut off."""
    assert names_of(findings(story.index)) == []


# --- changing a history ---------------------------------------------------------------------------

Site = Callable[[], History]


def without(index: HistoryIndex, *events: Event) -> History:
    """The history without these events."""
    gone = {id(event) for event in events}
    return [event for event in index.events if id(event) not in gone]


def exchanged(index: HistoryIndex, *pairs: tuple[Event, Event]) -> History:
    """The history with some events replaced by others."""
    new = {id(old): event for old, event in pairs}
    return [new.get(id(event), event) for event in index.events]


def inserted(index: HistoryIndex, after: Event, event: Event) -> History:
    """The history with one more event."""
    place = next(n for n, each in enumerate(index.events) if each is after) + 1
    return [*index.events[:place], event, *index.events[place:]]


def with_data(event: Received, **changes: Any) -> Received:
    """The same frame with other fields."""
    frame = {**event.frame, "data": {**event.frame["data"], **changes}}
    return msgspec.structs.replace(event, frame=frame)


def everywhere(index: HistoryIndex, change: Callable[[Json], Json | None], since: float = -inf) -> History:
    """The history with all messages changed, or left out,
    wherever they were received after a point in time.
    """
    events: History = []
    for event in index.events:
        if not isinstance(event, Received) or event.at <= since:
            events.append(event)
        elif event.frame["type"] == "message" and event.frame["data"]["user"] != "system":
            message = change(event.frame["data"])
            events += [with_data(event, **message)] if message else []
        elif event.frame["type"] == "history":
            messages = [change(each) for each in event.frame["data"]["messages"]]
            events.append(with_data(event, messages=[each for each in messages if each]))
        else:
            events.append(event)
    return events


def once(index: HistoryIndex) -> list[Heard]:
    """What came live and was sent once, so that no retry excuses anything."""
    return [h for h in index.heard if h.live and h.said and len(h.said.sent) == 1]


def stay_of(index: HistoryIndex, heard: Heard) -> Membership | None:
    """The membership in which a message came live."""
    for stay in index.members(heard.message.room):
        if stay.conn == heard.conn and heard in index.live_in(stay):
            return stay
    return None


def to_the_end(index: HistoryIndex, stay: Membership) -> bool:
    """Whether a client is still there when the play ends."""
    return not stay.end and index.conn(stay.conn).ended == inf


def replays(index: HistoryIndex) -> Iterator[tuple[Membership, list[Received]]]:
    """Each confirmed membership, with the pages that answered its join."""
    for room in ROOMS:
        for stay in index.members(room):
            yield (
                stay,
                [
                    asked.event
                    for asked, page in index.pages
                    if asked.conn == stay.conn and page.room == room and stay.asked <= asked.at <= stay.start
                ],
            )


def told_numbers(index: HistoryIndex, room: str) -> dict[int, Json]:
    """The messages of a room, by their numbers."""
    found: dict[int, Json] = {}
    for heard in index.in_room(room):
        data = heard.event.frame["data"]
        for message in data.get("messages", [data]):
            found[message["sequence"]] = message
    return found


# --- defects --------------------------------------------------------------------------------------


def one_delivery_is_dropped(index: HistoryIndex) -> Iterator[Site]:
    """A member does not get one message; it may be the last one, if the member stays to the end."""
    for heard in once(index):
        stay = stay_of(index, heard)
        if stay is None or heard.said is None:
            continue
        number = heard.message.sequence
        later = [h for h in index.live_in(stay) if h.message.sequence > number and not h.may_answer_retry]
        if later or (to_the_end(index, stay) and stay.start <= heard.said.at):
            yield partial(without, index, heard.event)


def one_delivery_comes_twice(index: HistoryIndex) -> Iterator[Site]:
    """At once, or at the very end."""
    for heard in once(index):
        stay = stay_of(index, heard)
        if stay is not None:
            yield partial(inserted, index, heard.event, heard.event)
            if to_the_end(index, stay):
                last = index.events[-1]
                yield partial(inserted, index, last, msgspec.structs.replace(heard.event, at=last.at))


def two_deliveries_are_swapped(index: HistoryIndex) -> Iterator[Site]:
    """Two neighbours in one room on one connection."""
    for room in ROOMS:
        for stay in index.members(room):
            live = index.live_in(stay)
            for one, other in pairwise(live):
                if all(h.said and len(h.said.sent) == 1 for h in (one, other)):
                    swapped = [
                        (a.event, msgspec.structs.replace(a.event, frame=b.event.frame))
                        for a, b in ((one, other), (other, one))
                    ]
                    yield partial(exchanged, index, *swapped)


def a_number_is_left_out(index: HistoryIndex) -> Iterator[Site]:
    """From some number on, all are one higher, in one room."""

    def higher(room: str, start: int, message: Json) -> Json:
        ours = message["room"] == room and message["sequence"] >= start
        return {**message, "sequence": message["sequence"] + 1} if ours else message

    for room in ROOMS:
        for number in told_numbers(index, room):
            yield partial(everywhere, index, partial(higher, room, number))


def one_member_sees_another_number(index: HistoryIndex) -> Iterator[Site]:
    """Everybody else has it under the right one."""
    for heard in once(index):
        other = with_data(heard.event, sequence=heard.message.sequence + 1000)
        yield partial(exchanged, index, (heard.event, other))


def one_content_is_changed(index: HistoryIndex) -> Iterator[Site]:
    """For one member, live."""
    for heard in index.heard:
        if heard.live:
            other = with_data(heard.event, content=heard.message.content + " ")
            yield partial(exchanged, index, (heard.event, other))


def one_message_is_anothers(index: HistoryIndex) -> Iterator[Site]:
    """For one member, live."""
    for heard in index.heard:
        if heard.live:
            yield partial(exchanged, index, (heard.event, with_data(heard.event, user="mallory")))


def history_tells_it_differently(index: HistoryIndex) -> Iterator[Site]:
    """One message in one page has another time or id."""
    for _, page in index.pages:
        for message in page.messages:
            for field, value in (("timestamp", message.timestamp + 1000), ("id", "another")):

                def change(page: Any, room: str, sequence: int, field: str, value: Any) -> History:
                    messages = [
                        {**each, field: value} if each["sequence"] == sequence else each
                        for each in page.frame["data"]["messages"]
                    ]
                    return exchanged(index, (page, with_data(page, messages=messages)))

                event = next(asked.event for asked, other in index.pages if other is page)
                yield partial(change, event, page.room, message.sequence, field, value)


def an_outsider_hears_a_message(index: HistoryIndex) -> Iterator[Site]:
    """A client that never joined anything."""
    for heard in once(index):
        outsiders = [
            c for c in index.conns.values() if c.client == "outsider" and c.opened < heard.at < c.ended
        ]
        for conn in outsiders:
            leak = msgspec.structs.replace(heard.event, client="outsider", conn=conn.number)
            yield partial(inserted, index, heard.event, leak)


def who_left_hears_a_message(index: HistoryIndex) -> Iterator[Site]:
    """Something that was sent after that, on the connection on which it left."""
    for stay in (m for room in ROOMS for m in index.members(room) if m.end == "leave"):
        again = [m.asked for m in index.memberships if (m.conn, m.room) == (stay.conn, stay.room)]
        until = min([at for at in again if at > stay.asked] + [index.conn(stay.conn).ended])
        for heard in once(index):
            others = heard.message.room == stay.room and heard.said and heard.said.conn != stay.conn
            if others and heard.said and stay.left < heard.said.at and heard.at < until:
                late = msgspec.structs.replace(heard.event, client=stay.client, conn=stay.conn)
                yield partial(inserted, index, heard.event, late)


def a_replay_has_a_hole(index: HistoryIndex) -> Iterator[Site]:
    """A message is missing in the answer to a join."""
    for stay, events in replays(index):
        start = index.start_before(stay.asked)
        known = {h.message.sequence for h in index.in_room(stay.room) if start <= h.at < stay.asked}
        replayed = {m["sequence"] for event in events for m in event.frame["data"]["messages"]}
        live = {h.message.sequence for h in index.live_in(stay) if not h.may_answer_retry}
        for event in events:
            messages = event.frame["data"]["messages"]
            for message in messages:
                number = message["sequence"]
                others = (replayed | live) - {number}
                seen = number < max(others, default=0) or number in known
                if stay.since is None and not known:  # nobody knows where it should start
                    seen = min(replayed) < number < max(others, default=0)
                if seen:
                    rest = [each for each in messages if each is not message]
                    yield partial(exchanged, index, (event, with_data(event, messages=rest)))


def a_replay_repeats_what_was_seen(index: HistoryIndex) -> Iterator[Site]:
    """It begins with `since` itself."""
    for stay, events in replays(index):
        seen = told_numbers(index, stay.room).get(stay.since or 0)
        if events and seen:
            event = events[0]
            messages = [seen, *event.frame["data"]["messages"]]
            yield partial(exchanged, index, (event, with_data(event, messages=messages)))


def a_replayed_message_comes_live_again(index: HistoryIndex) -> Iterator[Site]:
    """The last of them, after the join."""
    said = {said.tag: said for room in ROOMS for said in index.said_in(room)}
    for stay, events in replays(index):
        messages = [each for event in events for each in event.frame["data"]["messages"]]
        joined = next(
            e for e in index.events if isinstance(e, Joined) and (e.conn, e.at) == (stay.conn, stay.start)
        )
        if messages and len(said[messages[-1]["content"].split(".")[0]].sent) == 1:
            frame = {"type": "message", "data": messages[-1]}
            yield partial(inserted, index, joined, Received(stay.start, stay.client, stay.conn, frame, 100))


def a_page_has_a_hole(index: HistoryIndex) -> Iterator[Site]:
    """A message is missing in the middle of a page of history that was asked for."""
    for answer in (a for room in ROOMS for a in pages.answers(index, room)):
        messages = answer.received.event.frame["data"]["messages"]
        if index.has(answer.received.conn):
            for message in messages[:-1]:
                rest = [each for each in messages if each is not message]
                event = answer.received.event
                yield partial(exchanged, index, (event, with_data(event, messages=rest)))


def a_page_is_unsorted(index: HistoryIndex) -> Iterator[Site]:
    """Two neighbours in a page are swapped, whether it was asked for or not."""
    answers = {id(a.received.event) for room in ROOMS for a in pages.answers(index, room)}
    joins = {id(event) for _, events in replays(index) for event in events}
    for asked, _ in index.pages:
        if not index.has(asked.conn) or id(asked.event) not in answers | joins:
            continue
        messages = asked.event.frame["data"]["messages"]
        for n in range(len(messages) - 1):
            swapped = [*messages[:n], messages[n + 1], messages[n], *messages[n + 2 :]]
            yield partial(exchanged, index, (asked.event, with_data(asked.event, messages=swapped)))


def a_message_is_gone_after_the_last_end(index: HistoryIndex) -> Iterator[Site]:
    """No page has it any more, and a reader goes on from the one before it."""

    def lose(room: str, sequence: int, end: float) -> History:
        def gone(message: Json) -> Json | None:
            return None if (message["room"], message["sequence"]) == (room, sequence) else message

        events = everywhere(index, gone, end)
        for n, event in enumerate(events):
            if isinstance(event, Sent) and event.at > end:
                match event.frame:
                    case {"type": "history", "room": str(where), "since": int(since)}:
                        if (where, since) == (room, sequence):
                            frame = {**event.frame, "since": sequence - 1}
                            events[n] = msgspec.structs.replace(event, frame=frame)
        return events

    end = durability.ends(index)[-1]
    for room in ROOMS:
        for number in {h.message.sequence for h in index.in_room(room) if index.conn(h.conn).opened < end}:
            yield partial(lose, room, number, end)


def numbers_begin_anew_after_the_last_start(index: HistoryIndex) -> Iterator[Site]:
    """New messages get numbers that old ones have."""

    def lower(room: str, last: int, by: int, message: Json) -> Json:
        ours = message["room"] == room and message["sequence"] > last
        return {**message, "sequence": message["sequence"] - by} if ours else message

    ready = index.start_before(inf)
    for room in ROOMS:
        old = {h.message.sequence for h in index.in_room(room) if h.at < ready}
        new = {
            h.message.sequence for h in once(index) if h.said and h.said.room == room and h.said.at > ready
        }
        last = max((n for n in told_numbers(index, room) if n < min(new, default=0)), default=0)
        for by in range(1, last + 1):
            if old & {number - by for number in new}:
                yield partial(everywhere, index, partial(lower, room, last, by))


def a_message_is_lost_for_all(index: HistoryIndex) -> Iterator[Site]:
    """It does not even get a number."""

    def lose(room: str, tag: str, last: int, message: Json) -> Json | None:
        if message["content"].startswith(f"{tag}."):
            return None
        higher = message["room"] == room and message["sequence"] > last
        return {**message, "sequence": message["sequence"] - 1} if higher else message

    for heard in once(index):
        stay = stay_of(index, heard)
        said = heard.said
        if stay and said and said.conn == stay.conn and to_the_end(index, stay) and stay.start <= said.at:
            yield partial(everywhere, index, partial(lose, said.room, said.tag, heard.message.sequence))


def a_retry_is_stored_again(index: HistoryIndex) -> Iterator[Site]:
    """The answer to a retry has a number of its own."""
    for heard in index.heard:
        if heard.may_answer_retry and heard.live and heard.said and heard.message.id == heard.said.id:
            number = max(told_numbers(index, heard.message.room)) + 1
            yield partial(exchanged, index, (heard.event, with_data(heard.event, sequence=number)))


def a_retry_is_not_answered(index: HistoryIndex) -> Iterator[Site]:
    """The client that repeated a message receives nothing."""
    for said in index.said.values():
        for sent in said.sent[1:]:
            answers = [h for h in index.live_on(sent.conn, said.room) if h.said is said and h.at >= sent.at]
            ids = all(heard.message.id == said.id for heard in answers)
            if answers and ids and index.conn(sent.conn).ended >= sent.at + LONG_AGO:
                yield partial(without, index, *(heard.event for heard in answers))


def an_old_message_comes_as_new(index: HistoryIndex) -> Iterator[Site]:
    """To a client that had said that it has it, after having joined."""
    for stay, _ in replays(index):
        joined = next(
            e for e in index.events if isinstance(e, Joined) and (e.conn, e.at) == (stay.conn, stay.start)
        )
        for heard in once(index):
            seen = heard.at < stay.asked and heard.message.sequence <= (stay.since or 0)
            if seen and heard.message.room == stay.room and heard.conn != stay.conn:
                again = msgspec.structs.replace(heard.event, at=joined.at, client=stay.client, conn=stay.conn)
                yield partial(inserted, index, joined, again)


DEFECTS: list[tuple[Callable[[HistoryIndex], Iterator[Site]], set[str]]] = [
    (one_delivery_is_dropped, {"lost", "replay_hole"}),
    (one_delivery_comes_twice, {"duplicate"}),
    (two_deliveries_are_swapped, {"reorder"}),
    (a_number_is_left_out, {"gap"}),
    (one_member_sees_another_number, {"duplicate"}),
    (one_content_is_changed, {"altered"}),
    (one_message_is_anothers, {"impersonation"}),
    (history_tells_it_differently, {"history_mismatch"}),
    (an_outsider_hears_a_message, {"room_leak"}),
    (who_left_hears_a_message, {"heard_after_leave"}),
    (a_replay_has_a_hole, {"replay_hole", "wrong_replay"}),
    (a_replay_repeats_what_was_seen, {"replay_overlap"}),
    (a_replayed_message_comes_live_again, {"replay_overlap"}),
    (a_page_has_a_hole, {"history_hole"}),
    (a_page_is_unsorted, {"history_disorder"}),
    (a_message_is_gone_after_the_last_end, {"lost_after_crash"}),
    (numbers_begin_anew_after_the_last_start, {"sequence_reset"}),
    (a_message_is_lost_for_all, {"lost"}),
    (a_retry_is_stored_again, {"stored_twice"}),
    (a_retry_is_not_answered, {"retry_unanswered"}),
    (an_old_message_comes_as_new, {"replayed_as_new"}),
]
places = st.integers(0, 10**6) | st.just(-1)


@pytest.mark.parametrize(("defect", "names"), DEFECTS, ids=[defect.__name__ for defect, _ in DEFECTS])
@settings(PROPERTY, max_examples=10)
@given(plays, places)
def test_a_planted_defect_is_named(
    defect: Callable[[HistoryIndex], Iterator[Site]], names: set[str], story: Story, place: int
) -> None:
    """In a history that is right except in one place, the anomaly of that defect is found."""
    sites = list(defect(story.index))
    assume(sites)
    planted = HistoryIndex(sites[place % len(sites)]())
    found = findings(planted)
    note(f"site {place % len(sites)} of {len(sites)}: {names_of(found)}")
    assert {anomaly.name for anomaly in found} & names
    for anomaly in found:
        assert_shown(planted.events, anomaly)


def assert_shown(history: History, anomaly: Anomaly) -> None:
    """A report shows all events of a finding, in the order of the history, whatever it leaves out."""
    shown = excerpt(history, anomaly.evidence, named=named_in(anomaly), around=1, others=False).events
    places = [history.index(event) for event in shown if not isinstance(event, Fold)]
    assert places == sorted(places)
    assert all(event in shown for event in anomaly.evidence)
    assert len(anomaly.evidence) <= EVIDENCE

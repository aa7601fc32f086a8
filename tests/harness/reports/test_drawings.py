from __future__ import annotations

import base64
import xml.etree.ElementTree as ET
from collections.abc import Callable

import pytest

from harness.history.events import Began, Closed, Fault, History, Noted, Opened, Received, Sent, Server
from harness.history.index import HistoryIndex
from harness.reports.causality import MOST, SERVER, Causality, Moment, causality
from harness.reports.charts import (
    Shown,
    chart,
    delivery_times,
    numbers_by_arrival,
    percentile,
    presence_timeline,
    shown_after_fault,
)
from harness.reports.spacetime import spacetime
from harness.reports.svg import Drawing, Sheet, shorten
from lab.protocol import Status
from tests.harness.stories import NONCE, Story

RED = f"red-{NONCE}"
SVG = "{http://www.w3.org/2000/svg}"


def parsed(drawing: Drawing) -> ET.Element:
    """The drawing as XML; fails if it is not well-formed, or has no text for screen readers."""
    root = ET.fromstring(str(drawing))
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    labels = (root.get("aria-labelledby") or "").split()
    assert labels == [str(root[0].get("id")), str(root[1].get("id"))]
    assert [child.tag for child in root[:2]] == [f"{SVG}title", f"{SVG}desc"]
    assert root[1].text
    return root


def texts(drawing: Drawing) -> list[str]:
    """All the text in the drawing."""
    return [each.text or "" for each in parsed(drawing).iter(f"{SVG}text")]


def three_in_red() -> tuple[Story, list[str]]:
    """Alice, Bob and Carol are in a room; Alice says something, and all hear it;
    then Bob answers in the same way.
    """
    story = Story()
    people = story.clients("alice", "bob", "carol")
    for person in people:
        person.joins(RED)
    for number, speaker in enumerate(people[:2], start=1):
        line = speaker.says(RED, f"line {number}")
        for person in people:
            person.hears(line, number)
    return story, [person.name for person in people]


def labels(found: Causality, lane: str) -> list[str]:
    """The labels of a lane, in logical order."""
    moments = sorted((m for m in found.moments if m.lane == lane), key=lambda moment: moment.rank)
    return [moment.label for moment in moments if moment.label]


# --- causality ------------------------------------------------------------------------------------


def test_causes_come_before_their_effects() -> None:
    """On each lane ranks increase, and each arrow ends below where it begins."""
    story, names = three_in_red()
    found = causality(story.events)
    assert found.lanes == names
    for lane in (*names, SERVER):
        ranks = [moment.rank for moment in found.moments if moment.lane == lane]
        assert len(set(ranks)) == len(ranks), lane
        assert min(ranks) >= 0
    assert all(arrow.start.rank < arrow.end.rank for arrow in found.arrows)


def test_each_frame_is_an_arrow() -> None:
    """There is one arrow to the server for each message sent, and one from it for each message received."""
    story, _ = three_in_red()
    arrows = causality(story.events, show=("message",)).arrows
    assert sum(arrow.end.lane == SERVER for arrow in arrows) == 2
    assert sum(arrow.start.lane == SERVER for arrow in arrows) == 6


def test_a_broadcast_leaves_at_one_moment() -> None:
    """A message that all receive leaves the server at one moment."""
    story, _ = three_in_red()
    arrows = causality(story.events, show=("message",)).arrows
    assert len({id(arrow.start) for arrow in arrows if arrow.start.lane == SERVER}) == 2


def test_order_in_which_clients_read_does_not_matter() -> None:
    """Two histories that differ only in the order of unrelated receptions have the same drawing."""
    drawings = []
    for turned in (False, True):
        story = Story()
        alice, bob, carol = story.clients("alice", "bob", "carol")
        line = alice.says(RED, "hello")
        for person in (carol, bob, alice) if turned else (alice, bob, carol):
            person.hears(line, 1)
        drawings.append(str(spacetime(story.events, "Hello")))
    assert drawings[0] == drawings[1]


def test_order_in_which_clients_notice_does_not_matter() -> None:
    """When the server is killed, it does not matter whose connection breaks or returns first."""
    drawings = []
    for turned in (False, True):
        story = Story()
        people = story.clients("alice", "bob", "carol")
        story.restarts("killed", *(people[::-1] if turned else people))
        drawings.append(str(spacetime(story.events, "Killed")))
    assert drawings[0] == drawings[1]


def test_second_fault_of_a_broken_client_is_no_second_band() -> None:
    """A client that goes silent and is then cut off has one band."""
    story = Story()
    alice = story.client("alice")
    alice.faults("go_silent")
    alice.is_cut()
    assert len(causality(story.events).bands) == 1


def test_clock_does_not_matter() -> None:
    """The same events, more slowly, have the same drawing."""
    drawings = []
    for seconds in (0.0, 5.0):
        story = Story()
        alice, bob = story.clients("alice", "bob")
        line = alice.says(RED)
        story.passes(seconds)
        for person in (alice, bob):
            person.hears(line, 1)
        drawings.append(str(spacetime(story.events, "Slow")))
    assert drawings[0] == drawings[1]


def test_late_messages_are_marked() -> None:
    """A message received after one with a higher number is late, and has left the server after it."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    first, second = alice.says(RED, "first"), bob.says(RED, "second")
    for person in (alice, bob):
        person.hears(second, 2)
        person.hears(first, 1)
    found = causality(story.events)
    assert labels(found, "bob") == ["sends “second”", "#2 “second”", "#1 “first” late"]
    assert [moment.label for moment in found.moments if moment.odd] == ["#1 “first” late"] * 2


@pytest.mark.parametrize("retried", [False, True])
def test_repetition_is_marked_unless_asked_for(retried: bool) -> None:
    """A message that comes twice is marked, unless it answers a retry."""
    story = Story()
    alice = story.client("alice")
    line = alice.says(RED, "hello", id="one")
    alice.hears(line, 1)
    if retried:
        alice.repeats(line)
    alice.hears(line, 1)
    found = causality(story.events)
    assert labels(found, "alice")[-1] == "#1 “hello” duplicate"
    assert any(moment.odd for moment in found.moments) is not retried


def test_other_irregularities_are_marked() -> None:
    """A message after leaving, and a number that another message has, are marked by name."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    for person in (alice, bob):
        person.joins(RED)
    first, second, third = (alice.says(RED, text) for text in ("first", "second", "third"))
    bob.hears(first, 1)
    bob.hears(second, 1)
    bob.leaves(RED)
    bob.hears(third, 2)
    assert [each for each in labels(causality(story.events), "bob") if "#" in each] == [
        "#1 “first”",
        "#1 “second” number reused",
        "#2 “third” after leaving",
    ]


def test_a_message_that_nobody_received_ends_at_the_server() -> None:
    """It is marked as received by nobody."""
    story = Story()
    alice = story.client("alice")
    alice.says(RED, "anybody?")
    assert labels(causality(story.events), SERVER) == ["received by nobody"]


def test_replay_comes_after_its_messages() -> None:
    """A replay is drawn by itself, below the arrival of each message in it."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    said = [(alice.says(RED, text), number) for number, text in enumerate(("one", "two"), start=1)]
    bob.joins(RED, 0, said)
    found = causality(story.events)
    replay = next(arrow for arrow in found.arrows if arrow.replay)
    assert replay.end.label == "replay: #1 – #2"
    arrivals = [a.end.rank for a in found.arrows if a.start.lane == "alice"]
    assert replay.start.rank > max(arrivals)


def test_faults_divide_before_from_after() -> None:
    """A fault is drawn below all events that were seen before it, and above all that came after."""
    story, _ = three_in_red()
    eve = story.client("eve")
    eve.is_cut()
    dave = story.client("dave")
    dave.says(RED, "too late for eve")
    found = causality(story.events)
    cut = next(moment for moment in found.moments if moment.label == "is reset")
    after = next(moment for moment in found.moments if moment.lane == "dave")
    assert after.rank > cut.rank
    others = [moment for moment in found.moments if moment.lane not in ("eve", "dave", SERVER)]
    assert max(moment.rank for moment in others) < cut.rank


FAULTS: dict[str, tuple[Callable[[Story], object], str, bool]] = {
    "go_silent": (lambda story: story.add(Fault(9.0, "go_silent", "alice", 1)), "alice", False),
    "reset": (lambda story: story.add(Fault(9.0, "reset", "alice", 1)), "alice", False),
    "disconnected": (lambda story: story.add(Closed(9.0, "alice", 1, "server", 1001, "")), "alice", False),
    "killed": (lambda story: story.server("killed"), SERVER, False),
    "restarted": (lambda story: [story.server("killed"), story.server("ready")], SERVER, True),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_a_band(name: str) -> None:
    """Each fault is a band on the lane of its client or server, until that works again."""
    happens, lane, ends = FAULTS[name]
    story, _ = three_in_red()
    happens(story)
    bands = causality(story.events).bands
    assert [band.start.lane for band in bands] == [lane]
    assert (bands[0].end is not None) is ends


def test_band_ends_when_the_client_is_back() -> None:
    """A client that reconnects, or reads again, has a normal lane from then on."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    alice.is_cut()
    alice.connects()
    bob.faults("go_silent")
    bob.faults("read_again")
    bands = causality(story.events).bands
    assert [band.end.label for band in bands if band.end] == ["reconnects", "reads again"]


# --- the space-time diagram -----------------------------------------------------------------------


def test_diagram_has_a_lane_for_each_client_and_the_server() -> None:
    """Each client's name and the server's are above a lane."""
    story, names = three_in_red()
    written = texts(spacetime(story.events, "Three in a room"))
    assert [text for text in written if text in (*names, "server")] == ["alice", "bob", "server", "carol"]


def test_diagram_has_an_arrow_for_each_delivery() -> None:
    """There are as many arrow heads as frames shown, and the numbers are written at them."""
    story, _ = three_in_red()
    drawing = spacetime(story.events, "Three in a room", show=("message",))
    assert len(list(parsed(drawing).iter(f"{SVG}polygon"))) == 8
    assert texts(drawing).count("#1 “line 1”") == 3


def test_diagram_hides_details_by_default() -> None:
    """Joins, notices and presence are drawn only if they are asked for."""
    story = Story()
    alice = story.client("alice")
    alice.joins(RED)
    alice.gets_notice(RED, "alice joined")
    alice.is_shown(RED, {"alice": "online"}, full=False)
    every = "\n".join(texts(spacetime(story.events, "All", ("join", "notice", "presence"))))
    assert "joins red" in every
    assert "alice joined" in every
    assert "alice online" in every
    none = "\n".join(texts(spacetime(story.events, "None", ("message",))))
    assert "join" not in none
    assert "online" not in none


def test_diagram_does_not_show_what_differs_between_runs() -> None:
    """Neither tags nor the run's nonce are written anywhere."""
    story, _ = three_in_red()
    assert NONCE not in str(spacetime(story.events, "Three in a room"))


def test_diagram_escapes_what_people_write() -> None:
    """Markup, control characters and halves of characters in names and texts do not break the file."""
    story = Story()
    evil = story.client("<b>&\"'", "<script>")
    line = evil.says(RED, "</text>\x00\ud800 & <x>")
    evil.hears(line, 1)
    drawing = spacetime(story.events, "a < b & c", show=("message",))
    assert "<b>" not in str(drawing)
    assert "a < b & c" in texts(drawing)
    str(drawing).encode()


def test_long_history_is_cut_short() -> None:
    """Of a very long history, the beginning is drawn, and the rest is counted."""
    story = Story()
    alice = story.client("alice")
    for number in range(1, 2 * MOST):
        alice.hears(alice.says(RED), number)
    found = causality(story.events)
    assert sum(moment.lane != SERVER for moment in found.moments) <= MOST
    assert found.left_out > MOST
    assert f"{found.left_out} more events are left out." in texts(spacetime(story.events, "Much"))


ODD: dict[str, History] = {
    "nothing": [],
    "only a beginning": [Began(0.0, 1, "1", "", "story", 0.0)],
    "nobody": [Noted(0.0, "x", 1), Server(1.0, "killed"), Server(2.0, "killed"), Server(3.0, "ready")],
    "heard, never said": [
        Received(1.0, "alice", 1, {"type": "message", "data": {"room": 3}}, 9),
        Received(1.0, "alice", 1, None, 9, "junk"),
        Received(1.0, "alice", 1, {"type": "history", "data": {"room": "x", "messages": []}}, 9),
        Received(1.0, "alice", 1, {"type": "presence", "data": {"room": "x", "users": []}}, 9),
    ],
    "sent oddly": [
        Sent(1.0, "bob", 1, None, "junk", "bad_json"),
        Sent(1.0, "bob", 1, {"type": "message", "data": "text"}),
        Sent(1.0, "bob", 1, {"type": "message", "data": {"content": 3}}),
        Sent(1.0, "bob", 1, {"type": "join"}),
        Sent(1.0, "bob", 1, [1, 2]),
    ],
    "ends before it begins": [
        Closed(1.0, "eve", 7, "server", 1001, ""),
        Fault(1.0, "read_again", "eve", 7),
        Fault(1.0, "unheard_of", "eve", 7),
        Opened(2.0, "eve", 8, "eve", "eve", 0.0, 0.0),
    ],
}


@pytest.mark.parametrize("name", ODD)
def test_odd_history_is_drawn_as_well_as_can_be(name: str) -> None:
    """Drawing never fails, whatever the history is."""
    events = ODD[name]
    parsed(spacetime(events, "Odd", ("join", "message", "notice", "replay", "presence")))
    parsed(numbers_by_arrival(events, "x", "Odd"))
    parsed(presence_timeline(events, "eve", "x", ("eve", "nobody"), 3, "Odd"))
    assert delivery_times(events) == {}


def test_contradicting_orders_are_drawn() -> None:
    """Where two clients received two messages in opposite orders, both are drawn, and one is marked."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    first, second = alice.says(RED, "first"), alice.says(RED, "second")
    heard = [(first, 1), (second, 2)]
    for person, order in ((alice, heard), (bob, heard[::-1])):
        for line, number in order:
            person.hears(line, number)
    found = causality(story.events)
    assert all(moment.rank >= 0 for moment in found.moments)
    assert [moment.label for moment in found.moments if moment.odd] == ["#1 “first” late"]


# --- charts ---------------------------------------------------------------------------------------


def test_numbers_are_in_the_order_of_arrival() -> None:
    """Each client has a panel; a number out of order is marked, and a replayed one is a ring."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    lines = [alice.says(RED, text) for text in ("one", "two", "three")]
    for line, number in ((lines[0], 1), (lines[2], 3), (lines[1], 2)):
        alice.hears(line, number)
    bob.joins(RED, 0, [(lines[0], 1)])
    drawing = numbers_by_arrival(story.events, "red", "Order")
    assert texts(drawing)[1:-1] == ["alice", "1", "3!", "2!", "bob", "1"]
    rings = [each for each in parsed(drawing).iter(f"{SVG}circle") if each.get("fill") == "white"]
    assert len(rings) == 1


def test_presence_is_counted_in_whole_heartbeats() -> None:
    """What is shown of a user is counted from the fault on, rounded down, and only changes count."""
    story = Story()
    vera_user = f"vera-{NONCE}"
    alice, vera = story.client("alice"), story.client("vera", vera_user)
    alice.is_shown(RED, {vera_user: "online"}, full=True)
    vera.faults("go_silent")
    for seconds, status in ((0.8, "away"), (0.1, "away"), (0.8, "offline")):
        story.passes(seconds)
        alice.is_shown(RED, {vera_user: status})
    expected = [Shown(0, Status.ONLINE), Shown(1, Status.AWAY), Shown(3, Status.OFFLINE)]
    assert shown_after_fault(HistoryIndex(story.events), "alice", "red", "vera") == expected
    written = texts(presence_timeline(story.events, "alice", "red", ("vera",), 6, "Presence"))
    assert [text for text in written if text in tuple(Status)] == ["online", "away", "offline"]


def test_a_user_missing_from_a_full_list_is_offline() -> None:
    """A full list without a user means that the user has left."""
    story = Story()
    vera_user = f"vera-{NONCE}"
    alice, vera = story.client("alice"), story.client("vera", vera_user)
    alice.is_shown(RED, {vera_user: "online"}, full=True)
    vera.is_cut()
    alice.is_shown(RED, {"alice": "online"}, full=True)
    found = shown_after_fault(HistoryIndex(story.events), "alice", "red", "vera")
    assert found == [Shown(0, Status.ONLINE), Shown(0, Status.OFFLINE)]


def test_delivery_times_are_from_sending_to_receiving() -> None:
    """Each live reception counts, in seconds since the message was sent; replays do not."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    line = alice.says(RED)
    story.passes(0.5)
    alice.hears(line, 1)
    bob.hears(line, 1)
    bob.joins(RED, 0, [(line, 1)])
    assert delivery_times(story.events) == {1: [pytest.approx(0.501), pytest.approx(0.502)]}


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    """The smallest value that at least this share of the values does not exceed."""
    assert percentile([4.0, 2.0, 3.0, 1.0], share) == expected
    assert percentile([], share) == 0.0


@pytest.mark.parametrize("points", [[], [(0, 0)], [(1, 0.5), (2, 3)], [(1, float("inf"))]])
def test_chart_accepts_any_points(points: list[tuple[float, float]]) -> None:
    """Each point is a dot within the sheet, whatever the scale."""
    root = parsed(chart({"one": points}, "Title", "across", "up"))
    finite = [point for point in points if point[1] != float("inf")]
    assert len(list(root.iter(f"{SVG}circle"))) == len(finite)
    for dot in root.iter(f"{SVG}circle"):
        assert 0 <= float(dot.get("cx") or -1) <= float(root.get("width") or 0)
        assert 0 <= float(dot.get("cy") or -1) <= float(root.get("height") or 0)


# --- the sheet ------------------------------------------------------------------------------------


def test_drawing_shows_itself_in_a_notebook() -> None:
    """A notebook gets it as an image with a description, and the text form has the title."""
    drawing = Sheet(10, 10, "Small", '"nothing" <b>').finish()
    image = ET.fromstring(drawing._repr_html_().replace(">", "/>"))
    assert base64.b64decode(image.attrib["src"].partition("base64,")[2]).decode() == str(drawing)
    assert image.attrib["alt"] == 'Small. "nothing" <b>'
    assert repr(drawing) == "<drawing: Small>"


def test_drawings_on_one_page_do_not_share_names() -> None:
    """Different drawings name their titles differently, the same drawing always the same."""
    ids = [
        parsed(Sheet(10, 10, title, "nothing").finish()).get("aria-labelledby") for title in ("a", "b", "a")
    ]
    assert ids[0] == ids[2] != ids[1]


def test_hatching_stays_in_its_box() -> None:
    """The strokes of a hatched box end at its edges."""
    sheet = Sheet(100, 100, "Box", "hatched")
    sheet.box(10, 20, 30, 50, hatched=True)
    strokes = list(parsed(sheet.finish()).iter(f"{SVG}line"))
    assert strokes
    for stroke in strokes:
        x = [float(stroke.get(name) or -1) for name in ("x1", "x2")]
        y = [float(stroke.get(name) or -1) for name in ("y1", "y2")]
        assert 10 <= min(x) <= max(x) <= 40
        assert 20 <= min(y) <= max(y) <= 70


def test_shorten_keeps_one_line() -> None:
    """Long and broken texts fit their place."""
    assert shorten("a\nb  c") == "a b c"
    assert shorten("x" * 50, 10) == "x" * 9 + "…"


def test_moments_begin_unnumbered() -> None:
    """A moment without a place has the rank -1, so that it is not taken for the first one."""
    assert Moment("alice", "says").rank == -1

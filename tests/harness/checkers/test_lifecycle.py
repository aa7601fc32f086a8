"""How the server and the connections ended."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from harness.checkers import delivery, lifecycle
from harness.checkers.catalogue import CATALOGUE, Anomaly
from harness.history.events import Sent
from harness.history.index import ENDS
from tests.harness.stories import Story, facts, names_of

NOT_READY: dict[str, dict[str, Any]] = {
    "command_not_found": {"problem": "program.unknown", "program": "nodde"},
    "exited": {"code": 1, "output": ["Traceback", "SyntaxError"]},
    "windows_script": {"code": 127, "script": "run.sh", "output": []},
    "ended": {"code": 0, "output": ["Container chat-1 started"]},
    "not_listening": {"seconds": 10.0, "output": []},
    "wrong_port": {"ports": [3000], "port": 8080, "output": []},
    "silent": {"seconds": 10.0, "output": []},
    "wrong_host": {"hosts": ["[::1]"], "host": "127.0.0.1", "port": 8080},
    "plain_http": {"more": "404"},
    "no_connected": {},
    "nobody": {"url": "ws://localhost:1/"},
    "unreachable": {"url": "ws://192.0.2.1/", "more": "Connection timed out"},
    "hangs_up": {"more": "1011", "output": ["KeyError"]},
    "hangs_up_said": {"more": "1008", "frame": "'{…}'"},
    "returns": {"more": "1000", "output": []},
    "closes": {"output": []},
    "fails": {"more": "500", "output": []},
    "redirect": {"more": "302", "to": "ws://localhost:1/chat"},
    "violation": {"violation": "not_utf8", "more": "b'\\xe9'", "code": 1007},
    **{why: {"more": "?"} for why in ("no_address", "forbidden", "wrong_accept", "wrong_header")},
    **{why: {"more": "?"} for why in ("not_offered", "not_http", "tls_fails", "other_name", "certificate")},
    **{why: {} for why in ("http_1_0", "line_ends", "is_tls", "is_plain", "self_signed", "expired")},
    **{
        f"first_{how}": {"more": "?"}
        for how in ("binary", "bom", "nul", "repr", "not_json", "no_type", "other")
    },
    "": {"seconds": 10.0},
}


# --- the server -----------------------------------------------------------------------------------


def test_an_empty_history_has_nothing_wrong() -> None:
    """No events, no findings, and nothing that ended the play."""
    log = Story().index
    assert lifecycle.server(log, 0.0, inf) == lifecycle.connections(log, 0.0, inf) == []
    assert lifecycle.stopped_by(log) is None


def test_a_server_that_starts_stops_and_is_killed_normally() -> None:
    """Whatever the harness does to it is no finding."""
    story = Story()
    for what in ("started", "ready", "asked_to_stop"):
        story.server(what)
    story.server("stopped", in_time=True, code=0, seconds=0.1)
    for what in ("started", "ready", "killed"):
        story.server(what)
    story.server("ready", second=True)
    story.server("stopped", second=True)
    assert names_of(lifecycle.server(story.index, 0.0, inf)) == []
    assert lifecycle.stopped_by(story.index) is None


@pytest.mark.parametrize("why", NOT_READY)
def test_a_start_that_fails(why: str) -> None:
    """Each reason has its own text, with what the harness found out."""
    story = Story()
    story.server("started")
    event = story.server("not_ready", **({"why": why} if why else {}), **NOT_READY[why])
    found = lifecycle.server(story.index, 0.0, inf)
    assert names_of(found) == [f"no_start/{why}" if why else "no_start"]
    assert facts(found, "which") == ["first"]
    assert found[0].evidence == [event]
    assert lifecycle.stopped_by(story.index) == event


@pytest.mark.parametrize(("copy", "which"), [(True, "copy"), (False, "again")])
def test_a_second_start_that_fails(copy: bool, which: str) -> None:
    """The finding says whether it was the server again, or its copy."""
    story = Story()
    story.server("ready")
    story.server("not_ready", second=copy, why="silent", seconds=10.0)
    assert facts(lifecycle.server(story.index.worlds[-1], 0.0, inf), "which") == [which]


@pytest.mark.parametrize(("is_bad", "variant"), [(True, "bad_frame"), (False, "")])
def test_the_frame_before_a_server_hangs(is_bad: bool, variant: str) -> None:
    """It is shown, however long ago it was sent; heartbeats and fences since then are not."""
    story = Story()
    (mallory,) = story.clients("mallory")
    if is_bad:
        mallory.misbehaves("room_mark", {"type": "join", "room": "r!"})
    else:
        mallory.sends({"type": "join", "room": "red"})
    sent = story.events[-1]
    mallory.asks_presence("fence-1")
    mallory.sends({"type": "heartbeat"})
    story.passes(20)
    hung = story.server("hung", output=[])
    (found,) = lifecycle.server(story.index, 0.0, inf)
    assert (found.name, found.variant, found.evidence) == ("server_hung", variant, [sent, hung])
    if is_bad:
        assert (found.params["who"], found.params["what"]) == ("mallory", "room_mark")


def test_a_server_that_dies_or_hangs() -> None:
    """The last lines of its output are in the finding."""
    story = Story()
    died = story.server("died", code=1, output=["Traceback", "KeyError: 'room'"])
    hung = story.server("hung", output=["File server.py, line 3"])
    found = lifecycle.server(story.index, 0.0, inf)
    assert found == [
        Anomaly("server_died", {"code": 1, "output": "Traceback\nKeyError: 'room'"}, [died]),
        Anomaly("server_hung", {"output": "File server.py, line 3"}, [hung]),
    ]
    assert names_of(found) == ["server_died", "server_hung"]
    assert lifecycle.stopped_by(story.index) == hung


def test_what_ends_a_run_ends_the_server() -> None:
    """All that is found to end a run is known to the index, too: after that, nothing is due any more."""
    assert set(ENDS) == {"asked_to_stop", "killed", *lifecycle.ENDINGS} - {"not_ready"}
    assert set(lifecycle.ENDINGS.values()) <= set(CATALOGUE)


def test_a_replay_without_end() -> None:
    """Most of what came were messages in pages of history: that is told apart, since its cause is another."""
    story = Story()
    event = story.server("flooding", events=9, messages=5, mebibytes=1)
    found = lifecycle.server(story.index, 0.0, inf)
    assert found == [Anomaly("flooding", {**event.detail, "output": ""}, [event], "replay")]
    assert names_of(found) == ["flooding/replay"]


@pytest.mark.parametrize(("output", "how"), [(["server.py, line 3"], ""), ([], "/somewhere")])
def test_a_server_that_is_blocked_again_and_again(output: list[str], how: str) -> None:
    """With the line where it was, if that is known."""
    story = Story()
    story.server("blocked", blocked=9.0, waited=10.0, longest=3.0, output=output)
    assert names_of(lifecycle.server(story.index, 0.0, inf)) == [f"server_blocked{how}"]


def test_a_server_with_more_and_more_to_do() -> None:
    """Before all memory is taken, it is seen that ever more waits to be run."""
    story = Story()
    story.server("unbounded", waiting=50_000, output=["server.py, line 3"])
    assert names_of(lifecycle.server(story.index, 0.0, inf)) == ["unbounded_memory/waiting"]


def test_a_server_that_takes_all_memory() -> None:
    """It was ended for that, and nothing is due any more."""
    story = Story()
    event = story.server("unbounded", mebibytes=200, output=["server.py, line 3"])
    assert names_of(lifecycle.server(story.index, 0.0, inf)) == ["unbounded_memory"]
    assert lifecycle.stopped_by(story.index) == event


def test_a_server_that_sends_without_end() -> None:
    """The play was stopped after so many events, and nothing is due any more."""
    story = Story()
    (alice,) = story.members("red", "alice")
    alice.says("red")
    event = story.server("flooding", events=9, messages=0, mebibytes=1)
    found = lifecycle.server(story.index, 0.0, inf)
    assert found == [Anomaly("flooding", {**event.detail, "output": ""}, [event])]
    assert names_of(found) == ["flooding"]
    assert lifecycle.stopped_by(story.index) == event
    assert delivery.lost(story.index, "red") == []


@pytest.mark.parametrize(
    ("code", "left", "variant"),
    [(1, "", ""), (-11, "", ""), (0, "", "ended"), (0, "node (4711)", "detached")],
)
def test_a_command_that_ends_during_the_check(code: int, left: str, variant: str) -> None:
    """One that ends as if all was well has no uncaught exception: that is another cause."""
    story = Story()
    event = story.server("died", code=code, left=left, output=["bye"])
    params = {"code": code, "left": left, "output": "bye"}
    assert lifecycle.server(story.index, 0.0, inf) == [Anomaly("server_died", params, [event], variant)]


def test_a_server_that_sigterm_does_not_reach() -> None:
    """It is no slow stop: another program runs it."""
    story = Story()
    story.server("asked_to_stop")
    event = story.server("outlived", why="asked", left="dockerd (4711)", port=4711, open=0)
    (found,) = lifecycle.server(story.index, 0.0, inf)
    assert (found.name, found.variant, found.evidence) == ("outlived", "asked", [event])


@pytest.mark.parametrize(("left", "variant"), [("java (4711)", ""), ("", "connections")])
def test_a_server_that_outlives_its_end(left: str, variant: str) -> None:
    """What is left of it is named, or the connections that are open all the same; nothing more is due."""
    story = Story()
    story.server("killed")
    event = story.server("outlived", left=left, port=4711, open=2)
    found = lifecycle.server(story.index, 0.0, inf)
    params = {"left": left, "port": 4711, "open": 2, "output": ""}
    assert found == [Anomaly("outlived", params, [event], variant)]
    assert lifecycle.stopped_by(story.index) == event


@pytest.mark.parametrize(
    ("listens", "left", "name"),
    [(True, "", "slow_stop"), (False, "", "slow_stop/closed"), (False, "node (7)", "slow_stop/left")],
)
def test_a_server_that_does_not_stop_in_time(listens: bool, left: str, name: str) -> None:
    """SIGTERM was not enough; it matters whether the port is closed, and whether the command has ended."""
    story = Story()
    asked = story.server("asked_to_stop")
    stopped = story.server("stopped", in_time=False, code=-9, seconds=5.0, listens=listens, left=left)
    found = lifecycle.server(story.index, 0.0, inf)
    assert names_of(found) == [name]
    assert found[0].evidence == [asked, stopped]


def test_only_ends_in_the_step_are_reported() -> None:
    """Both limits of its time are checked."""
    story = Story()
    story.server("died", code=1)
    (alice,) = story.clients("alice")
    alice.gives_up("history", room="red")
    log = story.index
    assert lifecycle.server(log, 0.5, inf) == lifecycle.server(log, 0.0, 0.0005) == []
    assert lifecycle.connections(log, 0.5, inf) == lifecycle.connections(log, 0.0, 0.0005) == []
    died, gave_up = log.server[0].at, log.gave_up[0].at
    assert names_of(lifecycle.server(log, died, died)) == ["server_died"]
    assert names_of(lifecycle.connections(log, gave_up, gave_up)) == ["unanswered_request/outside"]


# --- connections that end -------------------------------------------------------------------------


def test_ends_that_the_harness_caused_are_no_findings() -> None:
    """Closed, cut, or ended with the server."""
    story = Story()
    alice, bob, carol, dave = story.members("red", "alice", "bob", "carol", "dave")
    alice.closes()
    bob.is_cut()
    story.restarts("asked_to_stop", carol)
    story.ends("killed", dave)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == []


@pytest.mark.parametrize("fault", ["go_silent", "stop_reading", "reset", "bad_name"])
def test_faults_excuse_the_server(fault: str) -> None:
    """A client that times out, reads too slowly, is gone, or has a bad name may be disconnected."""
    story = Story()
    (alice,) = story.clients("alice")
    alice.faults(fault)
    alice.is_dropped(1013)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == []


def test_the_copy_may_drop_any_connection() -> None:
    """So may a server whose connection was never opened."""
    story = Story()
    inspector = story.client("inspector", second=True)
    inspector.is_dropped(1006)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == []


def test_a_connection_may_break_a_moment_before_the_server_is_seen_to_have_died() -> None:
    """The harness looks at the process only at intervals."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    alice.is_dropped(1006)
    story.passes(0.2)
    story.server("died", code=1)
    bob.is_dropped(1006)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == []


def test_a_client_silent_for_the_timeout_may_be_disconnected() -> None:
    """Whatever kept it from answering heartbeats, and whatever the others sent meanwhile."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    story.passes(1.4)
    bob.says("red")
    story.passes(0.1)
    alice.is_dropped(1001)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == []


@pytest.mark.parametrize(("seconds", "names"), [(1.0, []), (0.5, ["dropped_connection/1001"])])
def test_the_timeout_counts_from_the_last_frame_sent(seconds: float, names: list[str]) -> None:
    """It does not end early, whoever else is silent; only a little is forgiven."""
    story = Story()
    alice = story.client("alice", timeout=1.02)
    story.client("bob").joins("red")
    story.next_at(16.0)
    alice.sends({"type": "heartbeat"})
    story.next_at(16.0 + seconds)
    alice.is_dropped(1001)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == names


@pytest.mark.parametrize("code", [1006, 1011, 1013])
def test_a_client_that_did_nothing_wrong_is_disconnected(code: int) -> None:
    """The finding has the code and the reason, and shows what was sent last."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    alice.says("red")
    with story.moment():
        alice.sends({"type": "heartbeat"})
        last = story.last
        bob.says("red")
        alice.is_closed("server", code, "oops")
    found = lifecycle.connections(story.index, 0.0, inf)
    params = {"who": "alice", "code": code, "reason": "oops"}
    assert found == [Anomaly("dropped_connection", params, [last, story.last], str(code))]
    assert names_of(found) == [f"dropped_connection/{code}"]


VIOLATIONS = (
    "masked",
    "reserved",
    "opcode",
    "control",
    "fragments",
    "pings",
    "close_frame",
    "not_utf8",
    "too_large",
    "other",
)


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_connection_that_the_client_had_to_end(violation: str) -> None:
    """What the server sent is the finding, with what shows it, and not an end by the server."""
    story = Story()
    alice, bob = story.members("red", "alice", "bob")
    alice.says("red")
    last = story.last
    bob.says("red")
    alice.is_closed("kit", 1007, f"{violation} b'x y'")
    found = lifecycle.connections(story.index, 0.0, inf)
    params = {"who": "alice", "code": 1007, "violation": violation, "more": "b'x y'"}
    assert found == [Anomaly("invalid_frame", params, [last, story.last], violation)]
    assert names_of(found) == [f"invalid_frame/{violation}"]


def test_a_bad_frame_does_not_excuse_an_invalid_one() -> None:
    """Nor does a fault: whatever a client did, what it is sent are frames."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("no_type")
    mallory.is_closed("kit", 1002, "masked")
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == ["invalid_frame/masked"]


def test_a_bad_frame_excuses_what_comes_before_the_next_answer() -> None:
    """`errors.unanswered` reports that; a client dropped after being served again,
    even at once, is reported here.
    """
    for served, seconds in ((False, 0), (True, 0), (True, 1)):
        story = Story()
        (mallory,) = story.clients("mallory")
        mallory.misbehaves("no_type")
        mallory.is_refused()
        mallory.asks_presence("fence-1")
        with story.moment():
            if served:
                mallory.is_shown("fence-1", {}, full=True)
            story.passes(seconds)
            mallory.is_dropped(1006)
        expected = ["dropped_connection/1006"] if served else []
        assert names_of(lifecycle.connections(story.index, 0.0, inf)) == expected


# --- waiting in vain ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("connection nobody", "no_connection/connection"),
        ("connected", "no_connection/connected"),
        ("reading", "no_connection/reading"),
        ("history", "unanswered_request/history"),
        ("presence", "unanswered_request/presence"),
    ],
)
def test_what_was_waited_for_in_vain(wanted: str, expected: str) -> None:
    """The finding says who waited for what, where, and how long."""
    story = Story()
    (alice,) = story.members("red", "alice")
    asked = [e for e in story.events if isinstance(e, Sent) and e.frame["type"] == "join"]
    alice.gives_up(wanted, 6.0, "red")
    found = lifecycle.connections(story.index, 0.0, inf)
    name, variant = expected.split("/")
    params = {"who": "alice", "wanted": variant, "seconds": 6.0, "room": "red"}
    params |= {"open": 1, "before": 1} if name == "no_connection" else {}
    evidence = [*(asked if name == "unanswered_request" else []), story.last]
    assert found == [Anomaly(name, params, evidence, variant)]
    assert names_of(found) == [expected]


def test_a_request_from_outside_of_the_room() -> None:
    """That may be why it was not answered; the request is shown."""
    story = Story()
    alice, eve = story.client("alice"), story.client("eve")
    alice.joins("red")
    eve.asks_history("red")
    asked = story.last
    eve.gives_up("history", 6.0, "red")
    found = lifecycle.connections(story.index, 0.0, inf)
    assert names_of(found) == ["unanswered_request/outside"]
    assert found[0].evidence == [asked, story.last]


@pytest.mark.parametrize(("answered", "names"), [(True, []), (False, ["unanswered_request/stuck"])])
def test_a_connection_on_which_nothing_is_answered_any_more(answered: bool, names: list[str]) -> None:
    """The frame after which that began is shown; servers that never answer such questions are not meant."""
    for works in (True, False):
        story = Story()
        alice, bob = story.clients("alice", "bob")
        if works:
            alice.fences()
        bob.asks_to_join("red")
        join = story.last
        bob.asks_presence("fence-9")
        question = story.last
        if answered:
            bob.is_shown("fence-9", {}, full=True)
        story.passes(5)
        alice.says("red")
        found = lifecycle.connections(story.index, 0.0, inf)
        assert names_of(found) == (names if works else [])
        assert [each.evidence for each in found] == [[join, question] for _ in found]


def test_a_client_that_is_disconnected_by_a_frame_of_another() -> None:
    """If it has sent nothing since that; the invalid frame is shown."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    mallory.misbehaves("no_type")
    bad = story.last
    alice.is_dropped(1011)
    found = lifecycle.connections(story.index, 0.0, inf)
    assert names_of(found) == ["dropped_connection/others_frame"]
    assert found[0].evidence[-2:] == [bad, story.last]
    assert facts(found, "who", "other") == ["alice", "mallory"]


def test_a_server_that_ends_by_an_invalid_frame() -> None:
    """The frame is shown, and whose it is; a good one is shown, too, and not blamed."""
    for rule in ("no_type", None):
        story = Story()
        (mallory,) = story.members("red", "mallory")
        mallory.sends({"room": "red"}, bad=rule)
        sent = story.last
        died = story.server("died", code=1, output=["KeyError"])
        found = lifecycle.server(story.index, 0.0, inf)
        assert names_of(found) == ["server_died/bad_frame" if rule else "server_died"]
        assert found[0].evidence == [sent, died]


@pytest.mark.parametrize(
    ("since_opened", "fault", "variant"),
    [(0.5, "", "early"), (2.0, "", "unseen"), (2.0, "lose_inbound", "unheard")],
)
def test_a_client_that_is_disconnected_as_if_it_were_silent(
    since_opened: float, fault: str, variant: str
) -> None:
    """Too early for any silence; although it always sent something; or because it answers nothing."""
    story = Story()
    alice = story.client("alice", timeout=1.02)
    if fault:
        alice.faults(fault)
    opened = story.at
    while story.at < opened + since_opened:
        story.passes(0.25)
        alice.sends({"type": "heartbeat"})
    alice.is_dropped(1001)
    found = lifecycle.connections(story.index, 0.0, inf)
    assert names_of(found) == [f"dropped_connection/{variant}"]


def test_a_client_with_a_bad_name_may_wait_in_vain() -> None:
    """It need not be accepted."""
    story = Story()
    (stranger,) = story.clients("stranger")
    stranger.faults("bad_name")
    stranger.gives_up("connected")
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == []


def test_at_most_three_drops_are_reported() -> None:
    """Also for a server that drops everybody."""
    story = Story()
    for person in story.members("red", *"abcde"):
        person.is_dropped(1011)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == ["dropped_connection/1011"] * 3


@pytest.mark.parametrize(
    ("silent", "after", "names"), [(2.0, 0.1, []), (2.0, 0.5, ["dropped_connection/1001"])]
)
def test_a_frame_sent_during_the_disconnection_came_too_late(
    silent: float, after: float, names: list[str]
) -> None:
    """A server may have given a client up that then sends, and learns of it only afterwards."""
    story = Story()
    (alice,) = story.members("red", "alice")
    story.passes(2.0)
    alice.sends({"type": "heartbeat"})
    story.passes(after)
    alice.is_dropped(1001)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == names


@pytest.mark.parametrize("says", [False, True])
def test_a_new_client_has_not_been_silent(says: bool) -> None:
    """However late in a run it comes: its silence begins with its connection."""
    story = Story()
    story.passes(60)
    alice = story.client("alice")
    if says:
        alice.asks_to_join("red")
    alice.is_dropped(1011)
    assert names_of(lifecycle.connections(story.index, 0.0, inf)) == ["dropped_connection/1011"]


def test_a_client_that_was_silent_was_not_disconnected_by_a_frame_of_another() -> None:
    """By 1001 a server says that it thinks so, whatever others sent just before."""
    story = Story()
    alice, mallory = story.members("red", "alice", "mallory")
    mallory.misbehaves("no_type")
    alice.is_dropped(1001)
    found = lifecycle.connections(story.index, 0.0, inf)
    assert names_of(found) == ["dropped_connection/early"]

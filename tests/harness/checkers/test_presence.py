"""Who is shown as present, and when."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from harness.checkers import presence
from harness.checkers.catalogue import Anomaly
from harness.checkers.presence import EARLY, Silence
from harness.history import frames
from harness.history.events import Event
from tests.harness.stories import EPOCH, Person, Story, facts, names_of

HEARTBEAT, TIMEOUT, SLACK = 0.5, 1.5, 0.1
TIMES = {"timeout": TIMEOUT, "interval": HEARTBEAT}
"""What every finding about a timeout says of the server's times."""


class Den:
    """A room with a listener, who never asks, an asker, who does, and vera, who is to go silent.

    `style` is how the server tells of changes: by the "change", by the "full" list, or by the "bare" list,
    which does not say that it is full.
    """

    def __init__(self, style: str = "change", here: str = "online") -> None:
        self.style = style
        self.here = here
        self.story = Story()
        self.users: dict[str, str] = {}
        self.there: list[Person] = []
        self.listener, self.asker, self.vera = self.story.clients("listener", "asker", "vera")
        for person in (self.listener, self.asker, self.vera):
            self.enters(person)

    @property
    def full(self) -> bool | None:
        """The whole list, as the server sends it."""
        return None if self.style == "bare" else True

    def enters(self, person: Person, *, told: bool = True) -> None:
        """A client joins and receives the list, and the others are notified."""
        person.asks_to_join("den")
        self.users[person.user] = self.here
        self.there.append(person)
        person.is_shown("den", self.users, self.full)
        person.is_member("den")
        if told:
            self.tell(person.user, self.here, but=person)

    def goes(self, person: Person, *, told: bool = True) -> None:
        """A client is offline from now on, and the others are notified."""
        self.users.pop(person.user)
        self.there.remove(person)
        if told:
            self.tell(person.user, "offline")

    def tell(self, user: str, status: str, but: Person | None = None) -> None:
        """All who are there are notified of a change."""
        for each in self.there:
            if each is not but:
                self.show(each, user, status)

    def show(self, to: Person, user: str, status: str) -> None:
        """One client is notified of a change, in the server's style."""
        users = {user: status} if self.style == "change" else self.users
        to.is_shown("den", users, {"change": False, "full": True, "bare": None}[self.style])

    def ask(self, users: dict[str, str] | None = None) -> None:
        """The asker asks, and receives the list, or another one."""
        self.asker.asks_who("den", self.users if users is None else users, self.full)

    def watches(self, seconds: float) -> None:
        """Time passes, and the asker asks all the time."""
        for _ in range(round(seconds * 10)):
            self.story.passes(0.1 - 0.002)
            self.ask()

    def silence(self, *, at_once: bool = False) -> Silence:
        """Vera's silence, from her last frame until now."""
        last = max(sent.at for sent in self.story.index.sent if sent.conn == self.vera.conn)
        return Silence("vera", "den", last, self.story.at, HEARTBEAT, TIMEOUT, at_once)

    def offline(self, *, at_once: bool = False, slack: float = SLACK) -> list[Anomaly]:
        """The findings about how vera went offline."""
        silence = self.silence(at_once=at_once)
        return presence.offline(self.story.index, silence, self.listener.conn, self.asker.conn, slack)

    def vera_goes_silent(self, after: float, watched: float = 4.5, **how: Any) -> None:
        """Vera goes silent; the server notices it so many seconds later."""
        self.vera.sends({"type": "heartbeat"})
        self.vera.faults("go_silent")
        self.watches(after)
        self.goes(self.vera, **how)
        self.watches(watched - after)


STYLES = ["change", "full", "bare"]


# --- right histories ------------------------------------------------------------------------------


def test_an_empty_history_has_nothing_wrong() -> None:
    """Nobody was shown anything, in no room; only what was waited for is missing."""
    log = Story().index
    assert presence.shown(log, 1, "den", "vera", answers=True) == []
    assert presence.listed(log, 1, "den", {"vera"}, 0.0, inf, set()) == []
    assert presence.leaks(log) == []
    assert presence.always_here(log, "vera", "den", [1, 2], 0.0, inf, "quiet") == []
    assert presence.heartbeats(log, [], 0.0, 9.0, 0.5, 0.1) == []
    assert presence.slowest_answer(log, 1, "den", 0.0, inf) == 0.0


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("here", ["online", "away"])
@pytest.mark.parametrize("after", [TIMEOUT, 1.7, TIMEOUT + HEARTBEAT])
def test_a_silent_client_goes_offline_in_time(style: str, here: str, after: float) -> None:
    """From the timeout until one interval later; reported by changes or by lists; `away` is present."""
    den = Den(style, here)
    den.vera_goes_silent(after)
    assert names_of(den.offline()) == []
    log = den.story.index
    assert presence.delay(log, den.silence(), den.listener.conn) == pytest.approx(after, abs=0.05)
    witnesses = [den.listener.conn, den.asker.conn]
    for user in ("listener", "asker"):
        assert names_of(presence.always_here(log, user, "den", witnesses, 0.5, inf, "quiet")) == []
    assert names_of(presence.leaks(log)) == []


def test_a_broken_connection_may_count_at_once_or_later() -> None:
    """A reset is noticed immediately, or by the timeout."""
    for after in (0.0, 0.1, 1.0, TIMEOUT, 2.0):
        den = Den()
        den.vera_goes_silent(after)
        assert names_of(den.offline(at_once=True)) == []


def test_a_slow_machine_is_given_slack() -> None:
    """News may be late by as long as answers take."""
    den = Den()
    den.vera_goes_silent(2.6)
    assert names_of(den.offline(slack=0.1)) == ["late_offline"]
    assert names_of(den.offline(slack=0.5)) == []


@pytest.mark.parametrize("style", STYLES)
def test_a_join_and_a_leave_are_shown(style: str) -> None:
    """Who comes is online and who leaves is offline for those who listen, and in the list."""
    den = Den(style)
    story, listener, asker = den.story, den.listener.conn, den.asker.conn
    dora = story.client("dora")
    came = story.at
    den.enters(dora)
    den.ask()
    left = story.at
    dora.asks_to_leave("den")
    den.goes(dora)
    dora.has_left("den")
    den.ask()
    log, all_four = story.index, {"listener", "asker", "vera", "dora"}
    assert names_of(presence.announced(log, listener, "den", "dora", came, here=True, why="join")) == []
    assert names_of(presence.announced(log, listener, "den", "dora", left, here=False, why="leave")) == []
    assert names_of(presence.listed(log, asker, "den", all_four, came, left, all_four)) == []
    assert names_of(presence.listed(log, asker, "den", all_four - {"dora"}, left, inf, {"dora"})) == []
    assert names_of(presence.leaks(log)) == []


def test_anybody_may_ask_who_is_in_a_room() -> None:
    """An answer to an outsider is no leak, and is the full list even if it does not say so."""
    for full in (True, None):
        den = Den()
        (carol,) = den.story.clients("carol")
        carol.asks_who("den", {**den.users, "dora": "offline"}, full)
        log = den.story.index
        assert names_of(presence.leaks(log)) == []
        assert presence.listed(log, carol.conn, "den", set(den.users), 0.0, inf, {"dora", "carol"}) == []


def test_a_change_is_not_taken_for_the_list() -> None:
    """Without `full`, a frame that does not name its receiver has only changes."""
    den = Den("bare")
    (dora,) = den.story.clients("dora")
    began = den.story.at
    den.ask()
    den.asker.is_shown("den", {"dora": "online"})
    log = den.story.index
    everybody = {"listener", "asker", "vera"}
    assert names_of(presence.listed(log, den.asker.conn, "den", everybody, began, inf, set())) == []
    assert names_of(presence.always_here(log, "vera", "den", [den.asker.conn], began, inf, "quiet")) == []
    assert dora.conn


def test_times_may_have_other_forms() -> None:
    """`last_seen`, and seconds, mean the same."""
    story = Story()
    (alice,) = story.members("den", "alice")
    for seen in ({"last_seen": EPOCH}, {"lastSeen": EPOCH / 1000 + 0.5}, {"last_seen": EPOCH / 1000}):
        alice.asks_presence("den")
        users = [{"user": "alice", "status": "online", **seen}]
        alice.gets({"type": "presence", "data": {"room": "den", "users": users, "full": True}})
    log = story.index
    assert [each.here for each in presence.shown(log, alice.conn, "den", "alice", answers=True)] == [True] * 3


def test_a_user_with_two_connections_stays_while_one_of_them_does() -> None:
    """Nobody is notified when the other is lost."""
    den = Den()
    one, two = den.story.client("tina"), den.story.client("tina")
    den.enters(one)
    two.joins("den")
    one.is_cut()
    den.watches(3)
    witnesses = [den.listener.conn, den.asker.conn]
    assert names_of(presence.always_here(den.story.index, "tina", "den", witnesses, 0.5, inf, "twin")) == []


@pytest.mark.parametrize(
    ("listed", "variant"), [(True, "premature_offline/twin_told"), (False, "premature_offline/twin")]
)
def test_a_user_whose_other_connection_is_forgotten(listed: bool, variant: str) -> None:
    """The finding says how one of them ended, and whether the lists are right where the notice is not."""
    den = Den()
    one, two = den.story.client("tina"), den.story.client("tina")
    den.enters(one)
    two.joins("den")
    one.is_cut()
    cut = den.story.events[-2]
    den.tell("tina", "offline", but=one)
    gone = [e for e in den.story.events if getattr(e, "client", "") == "listener"][-1]
    if not listed:
        den.users.pop("tina")
    den.watches(3)
    witnesses = [den.listener.conn, den.asker.conn]
    found = presence.always_here(den.story.index, "tina", "den", witnesses, 0.0, inf, "twin")
    assert names_of(found) == [variant]
    assert facts(found, "who", "subject", "how") == ["listener", "tina", "reset"]
    assert found[0].evidence == [cut, gone]


def test_what_is_shown_at_the_time_of_a_change_belongs_to_it() -> None:
    """Where the clock stands still, the list for a new member,
    and what others receive, have the same time.
    """
    den = Den()
    (dora,) = den.story.clients("dora")
    with den.story.moment() as came:
        dora.asks_to_join("den")
        dora.is_shown("den", den.users, full=True)
        den.show(den.listener, "dora", "online")
        den.asker.is_shown("den", {**den.users, "dora": "online"}, full=True)
    dora.is_member("den")
    dora.asks_to_leave("den")
    with den.story.moment():
        den.show(dora, "dora", "offline")
        dora.has_left("den")
    (carol,) = den.story.clients("carol")
    with den.story.moment():
        carol.asks_who("den", den.users)
    log = den.story.index
    assert names_of(presence.leaks(log)) == []
    for witness in (den.listener, den.asker):
        assert (
            names_of(presence.announced(log, witness.conn, "den", "dora", came, here=True, why="join")) == []
        )


def test_a_list_for_a_join_says_nothing_about_a_silent_client() -> None:
    """It still has the silent client, and is no news about it."""
    den = Den("full")
    den.story.passes(9)
    den.vera.sends({"type": "heartbeat"})
    den.watches(0.5)
    den.enters(den.story.client("dora"))
    den.watches(1.2)
    den.goes(den.vera)
    den.watches(1)
    assert names_of(den.offline()) == []
    assert presence.delay(den.story.index, den.silence(), den.listener.conn) == pytest.approx(1.7, abs=0.05)


def test_a_list_that_nobody_asked_for_is_no_answer() -> None:
    """If lists do not say that they are full,
    only one that follows a question of its receiver is an answer.
    """
    den = Den("bare")
    (carol,) = den.story.clients("carol")
    carol.sends({"type": "heartbeat"})
    den.ask()
    carol.is_shown("den", den.users)
    log = den.story.index
    assert presence.shown(log, carol.conn, "den", "vera", answers=True) == []
    assert [each.here for each in presence.shown(log, carol.conn, "den", "vera", answers=False)] == [True]


@pytest.mark.parametrize(
    ("seconds", "names"),
    [
        (TIMEOUT - EARLY - 0.25, ["premature_offline"]),
        (TIMEOUT - EARLY, []),
        (TIMEOUT + 1.5 * HEARTBEAT + 0.25, []),
        (TIMEOUT + 1.5 * HEARTBEAT + 0.5, ["late_offline"]),
    ],
)
def test_the_earliest_and_the_latest_time_to_be_offline(seconds: float, names: list[str]) -> None:
    """The timeout, less what clocks differ; and an interval and a half more, plus the slack."""
    den = Den()
    den.story.next_at(2.0)
    den.vera.sends({"type": "heartbeat"})
    with den.story.moment(2.0 + seconds):
        den.goes(den.vera)
        den.ask()
    assert names_of(den.offline(slack=0.25)) == names


@pytest.mark.parametrize(("more", "names"), [(0.0, []), (0.25, ["zombie_presence"])])
def test_a_client_shown_while_it_may_be_is_no_zombie(more: float, names: list[str]) -> None:
    """Until the timeout, an interval and the slack are over, an answer may say that it is present."""
    den = Den()
    den.story.next_at(2.0)
    den.vera.sends({"type": "heartbeat"})
    den.asker.asks_presence("den")
    den.story.next_at(2.0 + TIMEOUT + HEARTBEAT + 0.25 + more)
    den.asker.is_shown("den", den.users, full=True)
    assert names_of(den.offline(slack=0.25)) == names


def test_where_nothing_was_shown_nothing_is_wrong() -> None:
    """However short the timeout is."""
    den = Den()
    silence = Silence("vera", "den", den.story.at, den.story.passes(9), 0.125, 0.25, False)
    log = den.story.index
    assert presence.offline(log, silence, den.listener.conn, den.story.client("mute").conn, 0.0) == []


def test_heartbeats_that_come_every_interval() -> None:
    """Also where they are a little late, and where we watched for less than one interval."""
    story = Story()
    (alice,) = story.clients("alice")
    began = story.at
    for pause in (0.5, 0.6, 0.4, 0.5, 0.7):
        story.passes(pause)
        alice.gets_beat()
    log = story.index
    conns = [log.conn(alice.conn)]
    assert names_of(presence.heartbeats(log, conns, began, story.at, HEARTBEAT, SLACK)) == []
    assert names_of(presence.heartbeats(log, conns, story.at, story.at + 0.4, HEARTBEAT, SLACK)) == []


def test_no_heartbeats_are_due_after_the_end_of_a_connection() -> None:
    """For however long we watched."""
    story = Story()
    (alice,) = story.clients("alice")
    began = story.at
    story.passes(0.5)
    alice.gets_beat()
    alice.closes()
    story.passes(5)
    log = story.index
    assert names_of(presence.heartbeats(log, [log.conn(alice.conn)], began, story.at, HEARTBEAT, SLACK)) == []


@pytest.mark.parametrize(("pause", "names"), [(1.0, []), (1.25, ["missing_heartbeat"])])
def test_a_heartbeat_may_be_late_by_half_an_interval_and_the_slack(pause: float, names: list[str]) -> None:
    """That much is due to timers; a later one is missing."""
    story = Story()
    (alice,) = story.clients("alice")
    for moment in (2.0, 2.0 + pause):
        story.next_at(moment)
        alice.gets_beat()
    log = story.index
    found = presence.heartbeats(log, [log.conn(alice.conn)], 2.0, 2.0 + pause, HEARTBEAT, 0.25)
    assert names_of(found) == names


def test_the_slowest_answer_is_the_slack() -> None:
    """The longest time from question to answer in the step; broadcasts are no answers."""
    den = Den()
    began = den.story.at
    den.ask()
    den.asker.asks_presence("den")
    den.story.passes(0.3)
    den.show(den.asker, "vera", "online")
    den.story.passes(0.1)
    den.asker.is_shown("den", den.users, full=True)
    den.asker.asks_presence("den")
    log = den.story.index
    assert presence.slowest_answer(log, den.asker.conn, "den", began, inf) == pytest.approx(0.402)
    assert presence.slowest_answer(log, den.asker.conn, "den", den.story.at, inf) == 0.0


def test_the_slowest_answer_to_questions_of_a_span() -> None:
    """Both ends belong to it, and a list that does not say that it is full is an answer, too."""
    den = Den("bare")
    den.asker.asks_presence("den")
    asked = den.story.at
    den.show(den.asker, "vera", "online")
    came = den.story.at
    log = den.story.index
    assert presence.slowest_answer(log, den.asker.conn, "den", asked, asked) == pytest.approx(came - asked)
    assert presence.slowest_answer(log, den.asker.conn, "den", came, inf) == 0.0


# --- going offline --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "name"),
    [
        (0.0, "zombie_presence/stale"),
        (0.4, "zombie_presence"),
        (0.6, "zombie_presence/refreshed"),
        (1.0, "zombie_presence/refreshed"),
    ],
)
def test_somebody_who_is_never_offline(seen: float, name: str) -> None:
    """Neither shown nor listed as gone: a zombie, with the time for which we watched,
    and what `lastSeen` says about the cause.
    """
    den = Den()
    den.story.seen = seen
    den.story.passes(9)
    den.vera.sends({"type": "heartbeat"})
    sign = den.story.last
    den.watches(4.5)
    den.story.passes(0.0464)
    den.ask()
    answer = den.story.last
    den.story.passes(1)
    found = den.offline()
    params = {"who": "asker", "subject": "vera", "room": "den", "watched": 4.55, **TIMES, "gone": "go_silent"}
    assert names_of(found) == [name]
    assert found == [Anomaly("zombie_presence", params, [sign, answer], name.partition("/")[2])]
    assert presence.delay(den.story.index, den.silence(), den.listener.conn) == inf


def test_a_timeout_that_is_not_broadcast() -> None:
    """A client that asks is told, one that only listens is not."""
    den = Den()
    den.story.next_at(2.0)
    den.vera.sends({"type": "heartbeat"})
    sign = den.story.last
    den.watches(1.6)
    den.goes(den.vera, told=False)
    den.ask()
    answer = den.story.last
    den.story.next_at(6.05)
    found = den.offline()
    params = {
        "who": "listener",
        "subject": "vera",
        "room": "den",
        "watched": 4.05,
        **TIMES,
        "gone": "go_silent",
    }
    assert found == [Anomaly("unannounced_presence", params, [sign, answer], "timeout")]
    assert names_of(found) == ["unannounced_presence/timeout"]


@pytest.mark.parametrize("again", [False, True])
def test_a_user_broadcast_as_gone_and_still_listed(again: bool) -> None:
    """The answers never say it, or no longer at the end."""
    den = Den()
    still = dict(den.users)
    den.vera_goes_silent(1.6, watched=1.6 if not again else 3)
    den.ask(still)
    found = den.offline()
    assert names_of(found) == ["presence_disagrees/still_listed"]
    assert facts(found, "who", "subject") == ["asker", "vera"]
    assert len(found[0].evidence) == 2


@pytest.mark.parametrize(("after", "seconds"), [(0.6, 0.6), (1.4, 1.4)])
def test_somebody_who_is_offline_too_early(after: float, seconds: float) -> None:
    """Before the timeout, unless its connection broke."""
    den = Den()
    den.vera_goes_silent(after)
    found = den.offline()
    assert names_of(found) == ["premature_offline"]
    assert facts(found, "who", "subject", "timeout") == ["listener", "vera", TIMEOUT]
    assert found[0].params["seconds"] == pytest.approx(seconds, abs=0.02)
    assert names_of(den.offline(at_once=True)) == []


@pytest.mark.parametrize(("after", "name"), [(0.6, "premature_offline"), (3.5, "late_offline")])
def test_a_wrong_time_offline_is_reported_with_both_times(after: float, name: str) -> None:
    """The finding has the seconds, to a hundredth, and shows the last sign of life and the news."""
    den = Den()
    den.story.next_at(2.0)
    den.vera.sends({"type": "heartbeat"})
    sign = den.story.last
    den.story.next_at(2.0 + after + 0.0456)
    den.goes(den.vera)
    news = next(asked.event for asked, _ in den.story.index.presence_frames if asked.at >= 2.0)
    den.ask()
    den.story.next_at(7.0)
    den.ask()
    found = den.offline()
    spans = {"seconds": round(after + 0.05, 2), "watched": 5.0}
    params = {"who": "listener", "subject": "vera", "room": "den", **spans, **TIMES, "gone": "go_silent"}
    assert found == [Anomaly(name, params, [sign, news])]
    assert names_of(found) == [name]


def test_what_is_shown_at_both_ends_of_a_silence_counts() -> None:
    """At the time of the last sign of life, and at the end of our watching."""
    den = Den()
    den.story.passes(9)
    with den.story.moment():
        den.vera.sends({"type": "heartbeat"})
        den.goes(den.vera)
    log = den.story.index
    assert presence.delay(log, den.silence(), den.listener.conn) == 0.0
    den = Den()
    den.vera.sends({"type": "heartbeat"})
    den.story.passes(1.6)
    with den.story.moment():
        den.goes(den.vera)
        den.ask()
    assert names_of(den.offline()) == []


def test_somebody_who_is_listed_as_gone_too_early() -> None:
    """The broadcast is in time, and the answers are not."""
    den = Den()
    den.vera.sends({"type": "heartbeat"})
    den.watches(0.5)
    gone = {user: status for user, status in den.users.items() if user != "vera"}
    den.ask(gone)
    den.watches(1.1)
    den.goes(den.vera)
    den.watches(2)
    found = den.offline()
    assert names_of(found) == ["premature_offline"]
    assert facts(found, "who") == ["asker"]


@pytest.mark.parametrize("after", [2.5, 3.5])
def test_somebody_who_is_offline_too_late(after: float) -> None:
    """More than an interval after the timeout, and more than what is forgiven of another half."""
    den = Den()
    den.vera_goes_silent(after)
    found = den.offline()
    assert names_of(found) == ["late_offline"]
    assert facts(found, "who", "interval", "timeout") == ["listener", HEARTBEAT, TIMEOUT]
    assert found[0].params["seconds"] == pytest.approx(after, abs=0.02)


# --- being present --------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["quiet", "pings", "bad_frames", "twin"])
@pytest.mark.parametrize("style", STYLES)
def test_a_present_user_shown_as_gone(style: str, why: str) -> None:
    """Once is enough, whether it is broadcast or answered; the finding has the sign of life."""
    den = Den(style)
    began = den.story.at
    den.watches(1.0)
    den.goes(den.vera)
    den.watches(0.5)
    log = den.story.index
    witnesses = [den.listener.conn, den.asker.conn]
    found = presence.always_here(log, "vera", "den", witnesses, began, inf, why)
    assert names_of(found) == [f"premature_offline/{why}"]
    assert facts(found, "who", "subject", "room") == ["listener", "vera", "den"]
    assert found[0].params["seconds"] == pytest.approx(1.0, abs=0.01)
    found = presence.always_here(log, "vera", "den", witnesses[1:], began, inf, why)
    assert facts(found, "who") == ["asker"]


@pytest.mark.parametrize("why", ["quiet", "twin"])
def test_who_was_never_shown_is_not_shown_as_gone(why: str) -> None:
    """Such a user is missing in the lists, and has not vanished: the join was not broadcast."""
    den = Den()
    dora = den.story.client("dora")
    dora.asks_to_join("den")
    join = den.story.last
    dora.is_member("den")
    began = den.story.at
    den.ask()
    answer = den.story.last
    witnesses = [den.listener.conn, den.asker.conn]
    found = presence.always_here(den.story.index, "dora", "den", witnesses, began, inf, why)
    assert names_of(found) == ["presence_disagrees/missing"]
    assert found[0].evidence == [join, answer]
    dora.faults("go_silent")
    den.watches(4.5)
    silence = Silence("dora", "den", began, den.story.at, HEARTBEAT, TIMEOUT, at_once=False)
    found = presence.offline(den.story.index, silence, den.listener.conn, den.asker.conn, SLACK)
    assert names_of(found) == ["unannounced_presence/join"]
    assert found[0].evidence == [join]


def test_a_user_shown_as_gone_at_an_end_of_the_span() -> None:
    """Both ends belong to it; the finding has the seconds since it began, to a hundredth."""
    den = Den()
    den.story.passes(2)
    den.vera.sends({"type": "heartbeat"})
    sign = den.story.last
    den.show(den.listener, "vera", "offline")
    at, news = den.story.at, den.story.last
    for since, until, seconds in ((at, at, 0.0), (at - 1.2345, at, 1.23)):
        log = den.story.index
        found = presence.always_here(log, "vera", "den", [den.listener.conn], since, until, "quiet")
        params = {"who": "listener", "subject": "vera", "room": "den", "seconds": seconds}
        assert found == [Anomaly("premature_offline", params, [sign, news], "quiet")]


@pytest.mark.parametrize(("why", "here"), [("join", True), ("leave", False), ("return", True)])
def test_a_change_that_is_not_broadcast(why: str, here: bool) -> None:
    """The finding says who was not notified about whom; what was shown before does not count."""
    den = Den()
    den.show(den.listener, "dora", "online" if here else "offline")
    den.story.client("dora").asks_to_join("den")
    moment, change = den.story.at, den.story.last
    with den.story.moment():
        den.show(den.listener, "dora", "offline" if here else "online")
    found = presence.announced(den.story.index, den.listener.conn, "den", "dora", moment, here=here, why=why)
    params = {"who": "listener", "subject": "dora", "room": "den"}
    assert found == [Anomaly("unannounced_presence", params, [change], why)]
    assert names_of(found) == [f"unannounced_presence/{why}"]


def test_one_event_shows_when_a_change_was() -> None:
    """Although several may have the same time: the first is enough."""
    den = Den()
    with den.story.moment() as moment:
        den.story.client("dora").joins("den")
    first = next(event for event in den.story.events if event.at == moment)
    (found,) = presence.announced(
        den.story.index, den.listener.conn, "den", "dora", moment, here=True, why="join"
    )
    assert found.evidence == [first]


def test_a_user_missing_in_the_list() -> None:
    """The last answer of the span counts."""
    den = Den()
    began = den.story.at
    den.ask()
    den.ask({"listener": "online", "asker": "offline"})
    found = presence.listed(
        den.story.index, den.asker.conn, "den", {"listener", "asker", "vera"}, began, inf, {"dora"}
    )
    assert names_of(found) == ["presence_disagrees/missing"] * 2
    assert [each.params["subject"] for each in found] == ["asker", "vera"]
    joined = {m.user: [m.event] for m in den.story.index.memberships}
    at, four = den.story.at, {"dora", "listener", "asker", "vera"}
    assert presence.listed(den.story.index, den.asker.conn, "den", four, at, at, set()) == [
        Anomaly(
            "presence_disagrees",
            {"who": "asker", "subject": user, "room": "den"},
            [*joined.get(user, []), den.story.last],
            "missing",
        )
        for user in ("asker", "dora")
    ]


def test_a_user_in_the_list_who_does_not_belong_there() -> None:
    """Of the candidates, nobody else may be listed as present; others are not checked."""
    den = Den()
    began = den.story.at
    den.ask({**den.users, "carol": "online", "dora": "offline", "a bot": "online"})
    found = presence.listed(
        den.story.index, den.asker.conn, "den", set(den.users), began, inf, {"carol", "dora"}
    )
    assert names_of(found) == ["presence_leak/listed"]
    assert facts(found, "who", "subject") == ["asker", "carol"]


@pytest.mark.parametrize("how", ["vanished", "left", "elsewhere"])
def test_a_former_member_who_is_still_listed(how: str) -> None:
    """A client lost there is a zombie; one that left, or was in another room only, does not belong there."""
    den = Den()
    everybody = dict(den.users)
    cause: list[Event] = []
    if how == "elsewhere":
        den.story.client("carol").joins("attic")
        everybody["carol"] = "online"
    elif how == "left":
        den.vera.asks_to_leave("den")
        cause = [den.story.last]
        den.vera.has_left("den")
    else:
        den.vera.faults("go_silent")
        cause = [den.story.last]
    den.ask(everybody)
    users = {"vera", "carol"}
    found = presence.listed(den.story.index, den.asker.conn, "den", set(everybody) - users, 0.0, inf, users)
    subject = "carol" if how == "elsewhere" else "vera"
    params = {"who": "asker", "subject": subject, "room": "den"}
    params |= {"gone": "go_silent"} if how == "vanished" else {}
    name = "zombie_presence" if how == "vanished" else "presence_leak"
    variant = "listed_left" if how == "left" else "listed"
    assert found[:1] == [Anomaly(name, params, [*cause, den.story.last], variant)]
    assert names_of(found[:1]) == [f"{name}/{variant}"]


def test_a_user_who_left_another_room_and_is_not_listed_any_more() -> None:
    """The finding has the join of this room and the leave of the other one."""
    den = Den()
    den.vera.joins("attic")
    den.vera.asks_to_leave("attic")
    leave = den.story.last
    den.vera.has_left("attic")
    den.ask({"listener": "online", "asker": "online"})
    found = presence.listed(den.story.index, den.asker.conn, "den", set(den.users), 0.0, inf, set())
    assert names_of(found) == ["presence_disagrees/missing_left"]
    assert facts(found, "subject", "other_room") == ["vera", "attic"]
    assert found[0].evidence[-2:] == [leave, den.story.last]


def test_a_change_that_says_it_is_the_full_list() -> None:
    """It lacks the client that received it, which tells it from a list that is wrong."""
    den = Den()
    began = den.story.passes(1)
    den.listener.is_shown("den", {"dora": "offline"}, full=True)
    found = presence.always_here(den.story.index, "vera", "den", [den.listener.conn], began, inf, "twin")
    assert names_of(found) == ["premature_offline/full"]
    assert found[0].evidence == [den.story.last]


# --- leaks ----------------------------------------------------------------------------------------


def test_presence_that_reaches_an_outsider() -> None:
    """A client that is not in the room and did not ask who is in it, although it asked about another."""
    den = Den()
    (carol,) = den.story.members("attic", "carol")
    carol.asks_who("attic", {"carol": "online"})
    carol.is_shown("den", {"vera": "online", "asker": "online"}, full=False)
    found = presence.leaks(den.story.index)
    params = {"who": "carol", "room": "den", "subject": "vera, asker"}
    assert found == [Anomaly("presence_leak", params, [den.story.last])]
    assert names_of(found) == ["presence_leak"]


def test_presence_that_reaches_somebody_who_left() -> None:
    """An earlier join is no question; asking from outside is one."""
    den = Den()
    den.vera.asks_to_leave("den")
    den.goes(den.vera)
    den.show(den.vera, "vera", "offline")
    den.vera.has_left("den")
    assert names_of(presence.leaks(den.story.index)) == []
    den.vera.asks_who("den", den.users)
    assert names_of(presence.leaks(den.story.index)) == []
    den = Den()
    den.vera.leaves("den")
    den.show(den.vera, "asker", "offline")
    found = presence.leaks(den.story.index)
    assert names_of(found) == ["presence_leak"]
    assert facts(found, "who", "subject") == ["vera", "asker"]


def test_a_client_that_sends_bad_frames_may_get_odd_answers() -> None:
    """How a server answers a bad request for presence is judged by its errors."""
    story = Story()
    (mallory,) = story.clients("mallory")
    mallory.misbehaves("presence_bad_room", {"type": "presence", "room": "a/b"})
    mallory.is_shown("a/b", {})
    assert names_of(presence.leaks(story.index)) == []


# --- heartbeats -----------------------------------------------------------------------------------


def test_no_heartbeats() -> None:
    """None at all for as long as we watched."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    began = story.passes(3)
    story.passes(4.46)
    log = story.index
    found = presence.heartbeats(
        log, [log.conn(alice.conn), log.conn(bob.conn)], began, story.at, HEARTBEAT, SLACK
    )
    assert names_of(found) == ["missing_heartbeat/none"]
    assert facts(found, "who", "seconds", "interval", "count") == ["alice", 4.5, HEARTBEAT, 0]


@pytest.mark.parametrize(("count", "names"), [(29, []), (31, ["flooding/heartbeats"])])
def test_heartbeats_that_answer_heartbeats(count: int, names: list[str]) -> None:
    """Ten times as many as are due are allowed; more than that would have no end."""
    story = Story()
    (alice,) = story.clients("alice")
    bob = story.client("bob")
    for _ in range(count):
        alice.gets_beat()
        story.passes(1.0 / count)
    log = story.index
    conns = [log.conn(bob.conn), log.conn(alice.conn)]
    assert names_of(presence.too_many_heartbeats(log, conns, HEARTBEAT)) == names


@pytest.mark.parametrize(("count", "names"), [(20, []), (21, ["flooding/heartbeats"])])
def test_a_storm_of_heartbeats_counts_from_its_first_one(count: int, names: list[str]) -> None:
    """Whatever was before it: ten for each interval, and ten more, are allowed."""
    story = Story()
    (alice,) = story.clients("alice")
    story.next_at(8.0)
    alice.gets_beat()
    first = story.last
    with story.moment(8.25):
        for _ in range(count - 1):
            alice.gets_beat()
    log = story.index
    found = presence.too_many_heartbeats(log, [log.conn(alice.conn)], 0.25)
    params = {"who": "alice", "interval": 0.25, "count": count, "seconds": 0.2}
    begin = story.events.index(first)
    assert found == [
        Anomaly("flooding", params, story.events[begin : begin + 4], "heartbeats") for _ in names
    ]
    assert names_of(found) == names


@pytest.mark.parametrize("when", ["first", "middle", "last"])
def test_heartbeats_with_a_gap(when: str) -> None:
    """The widest distance counts, to a hundredth, and so do those to the beginning and the end."""
    story = Story()
    (alice,) = story.clients("alice")
    began = story.passes(3)
    beats: list[Event] = []
    for number, name in enumerate(("first", "middle", "last")):
        story.passes(1.4037 if name == when else 0.5)
        if number < 2:
            alice.gets_beat()
            beats.append(story.last)
    log = story.index
    found = presence.heartbeats(log, [log.conn(alice.conn)], began, story.at, HEARTBEAT, SLACK)
    params = {"who": "alice", "interval": HEARTBEAT, "count": 2, "seconds": 2.4, "gap": 1.4}
    around = {"first": beats[:1], "middle": beats, "last": beats[1:]}[when]
    variant = "stopped" if when == "last" else ""
    assert found == [Anomaly("missing_heartbeat", params, around, variant)]
    assert names_of(found) == [f"missing_heartbeat/{variant}" if variant else "missing_heartbeat"]


@pytest.mark.parametrize(("rounds", "variant"), [(1, "stopped"), (4, "")])
def test_others_may_get_one_more_heartbeat_before_the_loop_ends(rounds: int, variant: str) -> None:
    """In its last round; whoever goes on to receive them shows that it has not ended."""
    story = Story()
    alice, bob = story.clients("alice", "bob")
    began = story.passes(1)
    alice.gets_beat()
    bob.gets_beat()
    for number in range(4):
        story.passes(max(HEARTBEAT, 1.1))
        if number < rounds:
            bob.gets_beat()
    log = story.index
    found = presence.heartbeats(log, [log.conn(alice.conn)], began, story.at, HEARTBEAT, SLACK)
    assert [each.variant for each in found] == [variant]


def test_heartbeats_at_the_ends_of_the_span_are_counted() -> None:
    """They came in it, so the finding does not say that there were none."""
    story = Story()
    (alice,) = story.clients("alice")
    for moment in (2.0, 5.0):
        story.next_at(moment)
        alice.gets_beat()
    log = story.index
    for since, until, count, variant in ((2.0, 5.0, 2, ""), (2.0, 4.0, 1, "/stopped"), (3.0, 5.0, 1, "")):
        found = presence.heartbeats(log, [log.conn(alice.conn)], since, until, HEARTBEAT, SLACK)
        assert names_of(found) == [f"missing_heartbeat{variant}"]
        assert facts(found, "count") == [count]


def test_presence_is_read_as_it_is_written() -> None:
    """What the stories of this file write is what the log reads."""
    den = Den("bare")
    presence_frames = [presence_frame for _, presence_frame in den.story.index.presence_frames]
    assert presence_frames[0] == frames.PresenceFrame("den", presence_frames[0].users, None)
    assert len(presence_frames) == 3 + 2 + 1


def test_an_answer_before_the_news_does_not_disagree_with_it() -> None:
    """Only an answer that comes after the broadcast can contradict it."""
    den = Den()
    den.vera.sends({"type": "heartbeat"})
    den.vera.faults("go_silent")
    den.watches(1.6)
    den.goes(den.vera)
    assert names_of(den.offline()) == []
    den.ask({**den.users, "vera": "online"})
    assert names_of(den.offline()) == ["presence_disagrees/still_listed"]

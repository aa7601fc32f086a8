from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.interfaces import Change
from lab.presence import PresenceManager
from lab.protocol import Presence, Status
from tests.lab.helpers import PROPERTY

ONLINE, AWAY, OFFLINE = Status.ONLINE, Status.AWAY, Status.OFFLINE
USERS = {"a1": "ada", "a2": "ada", "b1": "bob"}
ROOMS = ["r", "s"]


@dataclass
class Naive:
    """The rule itself: which user was seen when, on which connection;
    everything else is computed each time.
    """

    interval: float
    timeout: float
    seen: dict[str, float] = field(default_factory=dict)
    rooms: dict[str, set[str]] = field(default_factory=dict)

    def last_sign(self, room: str, user: str) -> float | None:
        """When the user was last seen on a connection that is in the room."""
        signs = [self.seen[c] for c in self.seen if USERS[c] == user and room in self.rooms[c]]
        return max(signs, default=None)

    def status(self, room: str, user: str, now: float) -> Status:
        """The user's status."""
        sign = self.last_sign(room, user)
        if sign is None or now - sign >= self.timeout:
            return OFFLINE
        return AWAY if now - sign >= 1.5 * self.interval else ONLINE

    def forget_silent(self, now: float) -> None:
        """Drop the connections that timed out."""
        for connection in [c for c, seen in self.seen.items() if now - seen >= self.timeout]:
            del self.seen[connection]


connections = st.sampled_from(sorted(USERS))
steps = st.one_of(
    st.tuples(st.sampled_from(["connected", "seen", "lost"]), connections, st.just("")),
    st.tuples(st.sampled_from(["joined", "joined", "left"]), connections, st.sampled_from(ROOMS)),
    st.tuples(st.just("sweep"), st.just(""), st.just("")),
    st.tuples(st.just("wait"), st.sampled_from(["0.25", "1", "2.75", "3", "4"]), st.just("")),
)


@PROPERTY
@given(st.lists(steps, max_size=60), st.sampled_from([(2.0, 4.0), (2.0, 2.5), (1.0, 6.0)]))
def test_presence_is_that_of_the_naive_model(
    history: list[tuple[str, str, str]], times: tuple[float, float]
) -> None:
    """A user is online in a room iff one of their connections there was seen in time;
    each change is reported once.
    """
    manager, model, now = PresenceManager(*times), Naive(*times), 1000.0
    shown: dict[tuple[str, str], Status] = {}

    def note(changes: list[Change]) -> None:
        for change in changes:
            key = (change.room, change.presence.user)
            assert change.presence.status is not shown.get(key, OFFLINE), "it was shown as that already"
            shown[key] = change.presence.status

    for what, who, room in [*history, ("sweep", "", "")]:
        known = who in model.seen
        if what == "wait":
            now += float(who)
        elif what == "connected":
            if not known:
                note(manager.connected(who, USERS[who], now))
                model.seen[who], model.rooms[who] = now, set()
        elif what == "sweep":
            note(manager.sweep(now))
            model.forget_silent(now)
            for each in ROOMS:
                users = {user: model.status(each, user, now) for user in ("ada", "bob")}
                assert users == {user: shown.get((each, user), OFFLINE) for user in users}
        else:
            # A frame is a sign of life before anything else: so the server reports it.
            if what != "lost":
                note(manager.seen(who, now))
                if known:
                    model.seen[who] = now
            if what == "joined":
                note(manager.joined(who, room, now))
                model.rooms.setdefault(who, set()).add(room)
            elif what == "left":
                note(manager.left(who, room, now))
                model.rooms.setdefault(who, set()).discard(room)
            elif what == "lost":
                note(manager.lost(who, now))
                model.seen.pop(who, None)
        for each in ROOMS:
            listed = {p.user: p for p in manager.in_room(each, now)}
            assert len(listed) == len(manager.in_room(each, now)), "a user is listed twice"
            for user in ("ada", "bob"):
                status, sign = model.status(each, user, now), model.last_sign(each, user)
                if status is OFFLINE:
                    assert user not in listed
                else:
                    assert sign is not None
                    assert listed[user] == Presence(user, status, int(sign * 1000))
        for each in USERS:
            assert manager.is_connected(each) is (each in model.seen)


def joined(manager: PresenceManager, connection: str, user: str, room: str, now: float) -> list[Change]:
    """Connect and join at once."""
    return manager.connected(connection, user, now) + manager.joined(connection, room, now)


def test_the_timeout_is_exact() -> None:
    """A silent user is away after one and a half intervals and offline at the timeout, never earlier."""
    manager = PresenceManager(2.0, 8.0)
    online = Change("r", Presence("ada", ONLINE, 1000))
    assert joined(manager, "a1", "ada", "r", 1.0) == [online]
    assert manager.sweep(3.999) == []
    assert manager.sweep(4.0) == [Change("r", Presence("ada", AWAY, 1000))]
    assert manager.sweep(8.999) == []
    assert manager.is_connected("a1")
    assert manager.sweep(9.0) == [Change("r", Presence("ada", OFFLINE, 1000))]
    assert not manager.is_connected("a1")
    assert manager.in_room("r", 9.0) == []
    assert manager.sweep(100.0) == []


def test_a_sign_of_life_renews_everything() -> None:
    """An away user is online again in every room after one sign of life, and the timeout starts again."""
    manager = PresenceManager(2.0, 8.0)
    joined(manager, "a1", "ada", "r", 0.0)
    manager.joined("a1", "s", 0.0)
    assert {change.presence.status for change in manager.sweep(7.0)} == {AWAY}
    back = manager.seen("a1", 7.5)
    assert {(change.room, change.presence.status) for change in back} == {("r", ONLINE), ("s", ONLINE)}
    assert manager.seen("a1", 7.6) == []
    manager.sweep(15.5)
    assert manager.is_connected("a1")
    manager.sweep(15.6)
    assert not manager.is_connected("a1")


def test_only_the_last_connection_counts() -> None:
    """A user with two connections in a room goes offline when the second one is gone, not with the first."""
    manager = PresenceManager(2.0, 8.0)
    joined(manager, "a1", "ada", "r", 0.0)
    assert joined(manager, "a2", "ada", "r", 1.0) == []
    assert manager.lost("a1", 2.0) == []
    assert [p.user for p in manager.in_room("r", 2.0)] == ["ada"]
    assert manager.left("a2", "r", 3.0) == [Change("r", Presence("ada", OFFLINE, 3000))]


def test_two_connections_that_time_out_together_are_one_change() -> None:
    """A user whose connections all go silent is shown as offline once."""
    manager = PresenceManager(2.0, 3.0)
    joined(manager, "a1", "ada", "r", 0.0)
    joined(manager, "a2", "ada", "r", 0.5)
    changes = manager.sweep(50.0)
    assert [change.presence.status for change in changes] == [OFFLINE]


def test_unknown_connections_change_nothing() -> None:
    """Calls about a connection that never existed, is gone, or is not in the room change nothing."""
    manager = PresenceManager(2.0, 8.0)
    joined(manager, "a1", "ada", "r", 0.0)
    assert manager.left("a1", "elsewhere", 0.0) == []
    assert manager.joined("a1", "r", 0.0) == []
    for gone in ("never", "a1"):
        manager.lost(gone, 1.0)
        assert manager.seen(gone, 1.0) == manager.joined(gone, "r", 1.0) == []
        assert manager.left(gone, "r", 1.0) == manager.lost(gone, 1.0) == []
        assert not manager.is_connected(gone)
    assert manager.in_room("r", 1.0) == []


def test_no_user_is_kept_for_ever() -> None:
    """After a thousand users have come and gone, each in their own way, nothing of them is kept."""
    manager = PresenceManager(2.0, 8.0)
    for number in range(1000):
        name = f"c{number}"
        joined(manager, name, f"user-{number}", f"room-{number}", 0.0)
        manager.joined(name, "all", 0.0)
        if number % 3 == 0:
            manager.left(name, "all", 0.0)
        if number % 2 == 0:
            manager.lost(name, 0.0)
    manager.sweep(8.0)
    assert vars(manager) == vars(PresenceManager(2.0, 8.0))


@pytest.mark.parametrize("what", ["joined", "left"])
def test_joining_or_leaving_is_a_sign_of_life_in_all_rooms(what: str) -> None:
    """An away user that joins or leaves some room is online, and shown as online, in the other rooms too."""
    manager = PresenceManager(2.0, 8.0)
    joined(manager, "a1", "ada", "r", 0.0)
    manager.joined("a1", "s", 0.0)
    assert {change.presence.status for change in manager.sweep(4.0)} == {AWAY}
    changes = manager.left("a1", "s", 5.0) if what == "left" else manager.joined("a1", "t", 5.0)
    shown = {change.room: change.presence.status for change in changes}
    assert [p.status for p in manager.in_room("r", 5.0)] == [ONLINE]
    assert shown.get("r") is ONLINE, "the answer says online, and nobody was told"

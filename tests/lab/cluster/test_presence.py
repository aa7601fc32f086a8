from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.cluster.presence import FORGET_SECONDS, LEASE_USERS, Move, PresenceManager, Told
from lab.interfaces import Change
from lab.protocol import Presence, Status
from tests.lab.helpers import PROPERTY

ONLINE, OFFLINE = Status.ONLINE, Status.OFFLINE
INTERVAL, TIMEOUT = 10.0, 40.0
LEASE = INTERVAL / 4
Place = tuple[str, str, str]


class Node:
    """A presence manager, what it says, and what its members were shown."""

    def __init__(self, name: str, world: World) -> None:
        self.world = world
        self.manager = PresenceManager(INTERVAL, TIMEOUT, name, self._say)
        self.name = name
        self.outbox: dict[tuple[str, str], Told] = {}  # as a node does, it says the newest only
        self.shown: dict[tuple[str, str], Status] = {}
        self.crossings: list[tuple[str, str, Status]] = []
        self.position = 0  # in the log
        self.is_cut = False
        self.said = 0

    def _say(self, room: str, user: str, told: Told) -> None:
        self.said += 1
        self.outbox[room, user] = told

    def show(self, changes: list[Change]) -> None:
        """Changes are changes."""
        for each in changes:
            before = self.shown.get((each.room, each.presence.user), OFFLINE)
            assert each.presence.status is not before
            self.shown[each.room, each.presence.user] = each.presence.status

    def move(self, moves: list[Move]) -> None:
        """What other nodes made happen."""
        self.show([each.change for each in moves])
        for change, is_crossing in moves:
            if is_crossing:
                self.crossings.append((change.room, change.presence.user, change.presence.status))

    def say_some(self, count: int = 1000) -> None:
        """Append what is to be said."""
        for room, user in list(self.outbox)[:count]:
            if not self.is_cut:
                self.world.log.append(((room, user, self.name), self.outbox.pop((room, user))))

    def hear_some(self, count: int = 1000) -> None:
        """Follow the log."""
        if not self.is_cut:
            for (room, user, node), told in self.world.log[self.position : self.position + count]:
                self.position += 1
                self.move(self.manager.hear(room, user, node, told))

    def join(self, connection: str, user: str, room: str = "r") -> None:
        """A connection comes, and joins."""
        if not self.manager.is_connected(connection):
            self.show(self.manager.connected(connection, user, self.world.now))
        self.show(self.manager.joined(connection, room, self.world.now))

    def leave(self, connection: str, room: str = "r") -> None:
        """It leaves."""
        self.show(self.manager.left(connection, room, self.world.now))

    def lose(self, connection: str) -> None:
        """It is gone."""
        self.show(self.manager.lost(connection, self.world.now))

    def here(self, room: str = "r") -> dict[str, Status]:
        """The answer to who is in a room, which agrees with what was shown."""
        answer = {each.user: each.status for each in self.manager.in_room(room, self.world.now)}
        shown = {user: s for (r, user), s in self.shown.items() if r == room and s is not OFFLINE}
        assert answer == shown
        return answer


class World:
    """Nodes, and a log that they share."""

    def __init__(self, *names: str) -> None:
        self.now = 1000.0
        self.log: list[tuple[Place, Told]] = []
        self.nodes = [Node(name, self) for name in names]
        self.living = list(self.nodes)
        self.signs: dict[str, Node] = {}  # connections that answer heartbeats
        self.pass_time(LEASE)

    def pass_time(self, seconds: float) -> None:
        """Signs of life are shown and told as they should be, where there is a connection."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + LEASE, end)
            for connection, node in self.signs.items():
                if node in self.living:
                    node.show(node.manager.seen(connection, self.now))
            for node in self.living:
                leases = node.manager.leases()
                for other in [] if node.is_cut else self.living:
                    for lease in [] if other.is_cut else leases:
                        other.move(other.manager.hear_lease(lease, self.now))
            for node in self.living:
                node.move(node.manager.doubt(self.now))
                node.show(node.manager.sweep(self.now))
            self.deliver()

    def deliver(self) -> None:
        """All that was said comes to everybody."""
        for _ in range(6):
            for node in self.living:
                node.say_some()
            for node in self.living:
                node.hear_some()
        assert not any(node.outbox for node in self.living if not node.is_cut), "they talk for ever"


def test_a_user_at_two_nodes_is_there_until_both_are_left() -> None:
    """What is shown is the best of both; nobody comes or goes twice."""
    world = World("a", "b", "c")
    a, b, c = world.nodes
    a.join("a1", "ada")
    world.deliver()
    b.join("b1", "ada")
    world.deliver()
    assert a.manager.is_elsewhere("r", "ada")
    a.leave("a1")
    world.deliver()
    assert all(node.here() == {"ada": ONLINE} for node in world.nodes)
    assert not b.manager.is_elsewhere("r", "ada")
    b.leave("b1")
    world.deliver()
    assert all(node.here() == {} for node in world.nodes)
    assert c.crossings == [("r", "ada", ONLINE), ("r", "ada", OFFLINE)]
    assert a.crossings == [("r", "ada", OFFLINE)]


def test_users_of_a_silent_node_are_offline_after_the_timeout() -> None:
    """Not sooner than the timeout after its last sign of life, and at most an interval later."""
    world = World("a", "b")
    a, b = world.nodes
    a.join("a1", "ada")
    b.join("b1", "bob")
    world.signs = {"a1": a, "b1": b}
    world.pass_time(100)
    assert a.here() == b.here() == {"ada": ONLINE, "bob": ONLINE}
    world.living = [a]
    world.pass_time(TIMEOUT - LEASE)
    assert a.here()["bob"] is ONLINE
    world.pass_time(INTERVAL + LEASE)
    assert a.here() == {"ada": ONLINE}
    assert a.crossings[-1] == ("r", "bob", OFFLINE)
    world.living = [a, b]  # it was held up, and comes back
    world.pass_time(LEASE)
    assert a.here()["ada"] is ONLINE


def test_who_left_a_doubtful_node_for_another_is_shown_as_the_other_says() -> None:
    """A node that is silent for a while is believed, except of those who have shown up elsewhere since."""
    world = World("a", "b", "c")
    a, b, c = world.nodes
    b.join("b1", "ada")
    b.join("b2", "bob")
    world.pass_time(LEASE)
    world.living = [a, c]
    world.pass_time(4 * LEASE)
    assert a.here() == {"ada": ONLINE, "bob": ONLINE}
    c.join("c1", "ada")
    world.pass_time(LEASE)
    c.leave("c1")
    world.pass_time(LEASE)
    assert a.here() == c.here() == {"bob": ONLINE}


@pytest.mark.parametrize("seconds", [2 * LEASE, TIMEOUT - LEASE, 3 * TIMEOUT])
def test_who_is_cut_off_shows_nobody_as_offline_by_that(seconds: float) -> None:
    """We hear nobody, not even ourselves: that is no silence of the others, now or when we are back."""
    world = World("a", "b")
    a, b = world.nodes
    a.join("a1", "ada")
    b.join("b1", "bob")
    world.signs = {"a1": a, "b1": b}
    world.pass_time(LEASE)
    a.is_cut = True
    world.pass_time(seconds)
    assert a.here() == {"ada": ONLINE, "bob": ONLINE}
    assert b.here() == ({"ada": ONLINE, "bob": ONLINE} if seconds < TIMEOUT else {"bob": ONLINE})
    a.leave("a1")
    a.join("a1", "ada")
    a.is_cut = False
    world.pass_time(2 * LEASE)
    a.manager.say_everything()  # as a node does when it is back
    world.pass_time(INTERVAL)
    assert a.here() == b.here() == {"ada": ONLINE, "bob": ONLINE}
    assert ("r", "bob", OFFLINE) not in a.crossings


def test_nodes_do_not_talk_to_themselves_for_ever() -> None:
    """What comes back and is older than what was said since then is no reason to say it again."""
    world = World("a", "b")
    a, b = world.nodes
    a.join("a1", "ada")
    a.say_some()  # under way,
    a.leave("a1")
    a.say_some()  # and so is this
    a.join("a1", "ada")
    for _ in range(10):
        a.hear_some(1)
        a.say_some()
    assert a.said == 3
    world.deliver()
    assert b.here() == {"ada": ONLINE}


def test_what_comes_late_and_replaces_something_newer_is_put_right() -> None:
    """An append of which nobody knew whether it happened, happens after all."""
    world = World("a", "b")
    a, b = world.nodes
    a.join("a1", "ada")
    late = a.outbox["r", "ada"]
    a.leave("a1")
    world.deliver()
    world.log.append((("r", "ada", "a"), late))
    world.deliver()
    assert world.log[-1][1].presence.status is OFFLINE
    assert a.here() == b.here() == {}
    world.pass_time(4 * TIMEOUT)  # by now it is forgotten
    world.log.append((("r", "ada", "a"), late))
    world.deliver()
    assert world.log[-1][1].presence.status is OFFLINE
    assert a.here() == b.here() == {}


def test_who_was_away_for_long_is_told_what_stands() -> None:
    """What does not stand any more is forgotten, what stands is shown, and nobody leaves and comes back."""
    world = World("a", "b")
    a, b = world.nodes
    b.join("b1", "bob")
    b.join("b2", "bea")
    b.join("b2", "bea", "elsewhere")
    world.deliver()
    a.crossings.clear()
    stands = {("r", "bob", "b"): b.manager._told["r"]["bob"]["b"]}
    stands["r", "cyd", "b"] = Told(Presence("cyd", ONLINE, 5), 99)
    a.move(a.manager.restore(stands, lambda room: room == "r"))
    assert a.here() == {"bob": ONLINE, "cyd": ONLINE}
    assert a.here("elsewhere") == {"bea": ONLINE}
    assert sorted(a.crossings) == [("r", "bea", OFFLINE), ("r", "cyd", ONLINE)]


def test_what_a_killed_node_left_is_not_shown() -> None:
    """We start, and find what it said; it has never been heard."""
    world = World("a")
    (a,) = world.nodes
    left = {("r", "bob", "dead"): Told(Presence("bob", ONLINE, 5), 1)}
    a.move(a.manager.restore(left, lambda room: True))
    assert (a.here(), a.crossings) == ({}, [])


def test_a_crowd_fits_into_leases() -> None:
    """NATS takes a megabyte at a time; nobody's sign of life is left out."""
    world = World("a")
    (a,) = world.nodes
    for number in range(2 * LEASE_USERS + 1):
        a.manager.connected(f"c{number}", f"u{number}", world.now)
    leases = a.manager.leases()
    assert [len(lease.seen) for lease in leases] == [LEASE_USERS, LEASE_USERS, 1]
    assert len({user for lease in leases for user in lease.seen}) == 2 * LEASE_USERS + 1
    assert [lease.seen for lease in a.manager.leases()] == [{}], "without users it is a sign of life, too"


def test_what_is_gone_costs_no_memory() -> None:
    """Users who left, and nodes that died, an hour ago."""
    world = World("a", "b", "c")
    a, b, c = world.nodes
    for number in range(20):
        a.join(f"a{number}", f"u{number}")
        b.join(f"b{number}", f"v{number}")
        world.pass_time(LEASE)
        a.lose(f"a{number}")
    world.living = [a, c]
    world.pass_time(FORGET_SECONDS + 3 * TIMEOUT)
    for manager in (a.manager, c.manager):
        assert (manager._told, manager._shown, manager._back) == ({}, {}, {})
        assert set(manager._heard) | set(manager._silent) | set(manager._sign) <= {"a", "c"}
        assert all(each == {} for each in manager._last_seen.values())


@settings(PROPERTY, max_examples=40)
@given(st.integers(0, 1 << 32))
def test_all_nodes_come_to_show_the_same(seed: int) -> None:
    """Whatever happens where, and however late each node says it and hears of it."""
    random = Random(seed)
    world = World("a", "b", "c")
    users = {f"{user}-{n}": user for user in ("ada", "bob") for n in range(3)}
    rooms = {connection: set[str]() for connection in users}
    place = {connection: random.choice(world.nodes) for connection in users}
    for _ in range(80):
        connection, room = random.choice(sorted(users)), random.choice("rs")
        node = place[connection]
        match random.randrange(6):
            case 0 | 1:
                node.join(connection, users[connection], room)
                rooms[connection].add(room)
            case 2:
                if room in rooms[connection]:
                    node.leave(connection, room)
                    rooms[connection].discard(room)
            case 3:
                if random.random() < 0.3:
                    node.lose(connection)
                    rooms[connection].clear()
                    place[connection] = random.choice(world.nodes)
            case 4:
                random.choice(world.nodes).say_some(random.randrange(3))
            case 5:
                random.choice(world.nodes).hear_some(random.randrange(4))
        for each in world.nodes:
            each.here("r")
    world.deliver()
    for room in "rs":
        expected = {users[each]: ONLINE for each in users if room in rooms[each]}
        assert [node.here(room) for node in world.nodes] == [expected] * 3

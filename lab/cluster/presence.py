"""Who is here (exercise 3), on several nodes.

A connection is at one node, which alone sees its signs of life. So each node decides on its own connections,
with the `PresenceManager` of `lab.presence`, and tells the others what changed: "at my place, Ada is online
in this room". What a room is shown of a user is the best of what all nodes say of that user. No two nodes
write the same entry, so they need not agree on anything.

What if a node says nothing any more? It tells its signs of life (its *lease*) several times an interval:

    silence of the node            its users are shown
    less than STALE_LEASES         as it said
    more, but less than the        as it said, except those who have shown up at another node since then
    offline timeout
    the offline timeout or more    as offline

Silence is measured by our own leases, which come back to us over NATS like those of the others: where we do
not even hear ourselves, it is us who are cut off, and nobody else is silent.

So the contract holds for users of a node that is gone as for others. A node that was cut off and comes back
tells everything again. A node of which we have heard nothing since we started is gone: its entries are left
from before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from msgspec import Struct

from lab import presence
from lab.interfaces import Change
from lab.protocol import Presence, Status

STALE_LEASES = 3
"""Leases that a node may miss before it is doubted."""
LEASE_USERS = 1000
"""Users in a lease: NATS takes a megabyte, and the longest name takes 400 bytes as JSON."""
FORGET_SECONDS = 3600
"""After which nobody remembers what a node said that is gone; nor does NATS."""
_RANK = {Status.ONLINE: 2, Status.AWAY: 1, Status.OFFLINE: 0}


class Lease(Struct):
    """A node's sign of life; `seen` has the last ones of its users since the last lease (ms)."""

    node: str
    seen: dict[str, int]


class Told(Struct):
    """What a node says of a user in a room; `version` rises with each thing it says."""

    presence: Presence
    version: int


class Move(NamedTuple):
    """What is to be shown of a user now; and whether the user came or went by it, and is not just away or
    back.
    """

    change: Change
    is_crossing: bool


class PresenceManager:
    """The presence of every user in every room, on all nodes. See `interfaces.PresenceManager`.

    `say` is called with what the other nodes are to be told: room, user, and what this node says of them.
    What they say comes by `hear`, `hear_lease` and `restore`, which return what changes by it.
    """

    def __init__(
        self,
        heartbeat_interval: float,
        offline_timeout: float,
        node: str,
        say: Callable[[str, str, Told], None],
    ) -> None:
        self.node = node
        self.lease_interval = heartbeat_interval / 4
        self._offline_after = offline_timeout
        self._say = say
        self._own = presence.PresenceManager(heartbeat_interval, offline_timeout)
        self._told: dict[str, dict[str, dict[str, Told]]] = {}  # room -> user -> node -> what it says
        self._heard: dict[str, float] = {}  # node -> when its last lease came
        self._heard_self = 0.0  # when our own last lease came back to us
        # By node: the row of the table that its users are shown by, from 0 on.
        self._silent: dict[str, int] = {}
        self._sign: dict[str, float] = {}  # node -> when it last said anything
        self._last_seen: dict[str, dict[str, int]] = {}  # node -> user -> ms
        self._users: dict[str, str] = {}  # our connections -> user
        self._seen: dict[str, int] = {}  # user -> ms, since our last lease
        self._shown: dict[tuple[str, str], Status] = {}
        self._version = 0
        self._back: dict[tuple[str, str], int] = {}  # newest version of ours that came back
        self._drop_at = 0.0
        self._now = 0.0

    # Our own connections.

    def connected(self, connection: str, user: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        self._users[connection] = user
        self._note_sign(connection, now)
        return self._say_all(self._own.connected(connection, user, now))

    def seen(self, connection: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        self._note_sign(connection, now)
        return self._say_all(self._own.seen(connection, now))

    def joined(self, connection: str, room: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        self._now = now
        return self._say_all(self._own.joined(connection, room, now))

    def left(self, connection: str, room: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        self._now = now
        return self._say_all(self._own.left(connection, room, now))

    def lost(self, connection: str, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        self._now = now
        self._users.pop(connection, None)
        return self._say_all(self._own.lost(connection, now))

    def sweep(self, now: float) -> list[Change]:
        """See `interfaces.PresenceManager`."""
        self._now = now
        self._drop_old()
        return self._say_all(self._own.sweep(now))

    def in_room(self, room: str, now: float) -> list[Presence]:
        """See `interfaces.PresenceManager`."""
        own = {each.user: each for each in self._own.in_room(room, now)}
        everybody = [self._best(room, user, own.get(user)) for user in self._told.get(room, {})]
        return [each for each in everybody if each is not None and each.status is not Status.OFFLINE]

    def is_connected(self, connection: str) -> bool:
        """See `interfaces.PresenceManager`."""
        return self._own.is_connected(connection)

    def _note_sign(self, connection: str, now: float) -> None:
        self._now = now
        if user := self._users.get(connection):
            self._seen[user] = int(now * 1000)

    def _say_all(self, changes: list[Change]) -> list[Change]:
        """Tell the other nodes what changed at our place; returns what changes for the rooms."""
        for change in changes:
            self._version += 1
            told = Told(change.presence, self._version)
            self._note(change.room, change.presence.user, self.node, told)
            self._say(change.room, change.presence.user, told)
        moves = self._moves((change.room, change.presence.user) for change in changes)
        return [move.change for move in moves]

    # Other nodes.

    def is_elsewhere(self, room: str, user: str) -> bool:
        """Whether the user is in the room at another node."""
        elsewhere = {
            node: told for node, told in self._told.get(room, {}).get(user, {}).items() if node != self.node
        }
        best = self._best_of(user, elsewhere)
        return best is not None and best.status is not Status.OFFLINE

    def leases(self) -> list[Lease]:
        """Our own sign of life, in parts that are short enough."""
        seen, self._seen = list(self._seen.items()), {}
        parts = range(0, max(len(seen), 1), LEASE_USERS)
        return [Lease(self.node, dict(seen[start : start + LEASE_USERS])) for start in parts]

    def hear_lease(self, lease: Lease, now: float) -> list[Move]:
        """A node lives; it may be us."""
        self._now = max(now, self._now)
        if lease.node == self.node:
            if self._now - self._heard_self >= STALE_LEASES * self.lease_interval:
                self.forgive(self._now)
            self._heard_self = self._now
            return []
        self._heard[lease.node] = self._sign[lease.node] = self._now
        self._last_seen.setdefault(lease.node, {}).update(lease.seen)
        return self._judge(lease.node)

    def doubt(self, now: float) -> list[Move]:
        """Look for nodes that have been silent for too long. Called several times an interval."""
        self._now = max(now, self._now)
        return [move for node in self._heard for move in self._judge(node)]

    def forgive(self, now: float) -> None:
        """We ourselves were cut off and heard nobody: nobody was silent."""
        self._now = now
        for node in self._heard:
            if self._silent.get(node, 2) < 2:
                self._heard[node] = now

    def hear(self, room: str, user: str, node: str, told: Told) -> list[Move]:
        """What a node says of a user in a room. What we said ourselves comes back, too."""
        known = self._told.get(room, {}).get(user, {}).get(node)
        if node == self.node:
            self._hear_back(room, user, known, told)
            return []
        self._sign[node] = self._now
        if known is not None and known.version >= told.version:
            return []
        self._note(room, user, node, told)
        return self._moves([(room, user)])

    def _hear_back(self, room: str, user: str, known: Told | None, told: Told) -> None:
        """What we said ourselves came back. If it came late, behind something newer, it has replaced
        that: say how it is.
        """
        is_late = told.version < self._back.get((room, user), 0)
        if is_late or (known is None and told.presence.status is not Status.OFFLINE):
            self._say_again(room, user, known)
        elif known is not None:
            self._back[room, user] = told.version

    def restore(
        self, standing: dict[tuple[str, str, str], Told], is_concerned: Callable[[str], bool]
    ) -> list[Move]:
        """All that nodes say of users (by room, user, node), in the rooms that are concerned. What else other
        nodes said there does not stand any more.
        """
        places = {(room, user): None for room, user, _ in standing}
        for room, users in self._told.items():
            for user, nodes in users.items() if is_concerned(room) else ():
                for node in [
                    node for node in nodes if node != self.node and (room, user, node) not in standing
                ]:
                    del nodes[node]
                    places[room, user] = None
        for (room, user, node), told in standing.items():
            known = self._told.get(room, {}).get(user, {}).get(node)
            if node != self.node and (known is None or known.version < told.version):
                self._sign.setdefault(node, self._now)
                self._note(room, user, node, told)
        return self._moves(places)

    def say_everything(self) -> None:
        """We were cut off: tell all of it again."""
        for room, users in self._told.items():
            for user, nodes in users.items():
                if self.node in nodes:
                    self._say_again(room, user, nodes[self.node])

    def _say_again(self, room: str, user: str, told: Told | None) -> None:
        self._version += 1
        last = Presence(user, Status.OFFLINE, int(self._now * 1000)) if told is None else told.presence
        again = Told(last, self._version)
        self._note(room, user, self.node, again)
        self._say(room, user, again)

    def _judge(self, node: str) -> list[Move]:
        """See in which row of the table a node is; if that is another than before, what changes for its
        users.
        """
        silence = self._heard_self - self._heard[node]
        row = (silence >= STALE_LEASES * self.lease_interval) + (silence >= self._offline_after)
        if self._silent.get(node, 2) == row:
            return []
        self._silent[node] = row
        return self._moves(
            [
                (room, user)
                for room, users in self._told.items()
                for user, nodes in users.items()
                if node in nodes
            ]
        )

    # All together.

    def _note(self, room: str, user: str, node: str, told: Told) -> None:
        self._told.setdefault(room, {}).setdefault(user, {})[node] = told

    def _best(self, room: str, user: str, own: Presence | None) -> Presence | None:
        """What is shown of a user in a room; `own` is newer than what we told the others."""
        nodes = self._told[room][user]
        if own is not None:
            nodes = nodes | {self.node: Told(own, 0)}
        return self._best_of(user, nodes)

    def _best_of(self, user: str, nodes: dict[str, Told]) -> Presence | None:
        """The table above, for what these nodes say."""
        said: list[Presence] = []
        doubtful: list[tuple[float, Presence]] = []
        for node, told in nodes.items():
            row = 0 if node == self.node else self._silent.get(node, 2)
            if row == 0:
                said.append(Presence(user, told.presence.status, self._last_sign(user, node, told)))
            elif row == 1:
                doubtful.append((self._heard[node], told.presence))
        newest = max((each.last_seen for each in said), default=0)
        said += [each for heard, each in doubtful if newest < heard * 1000]
        if not said:
            return None
        best = max(said, key=lambda each: (_RANK[each.status], each.last_seen))
        return Presence(user, best.status, max(each.last_seen for each in said))

    def _last_sign(self, user: str, node: str, told: Told) -> int:
        """When a node last saw a user (ms), as far as we have heard."""
        return max(told.presence.last_seen, self._last_seen.get(node, {}).get(user, 0))

    def _moves(self, places: Iterable[tuple[str, str]]) -> list[Move]:
        """What is to be shown of these users in these rooms, where it differs from what was shown."""
        moves = []
        for room, user in places:
            nodes = self._told.get(room, {}).get(user, {})
            best = self._best_of(user, nodes)
            if best is None:
                signs = [self._last_sign(user, node, told) for node, told in nodes.items()]
                best = Presence(user, Status.OFFLINE, max(signs, default=int(self._now * 1000)))
            before = self._shown.get((room, user), Status.OFFLINE)
            if best.status is not before:
                moves.append(Move(Change(room, best), Status.OFFLINE in (best.status, before)))
            if best.status is Status.OFFLINE:
                self._shown.pop((room, user), None)
            else:
                self._shown[room, user] = best.status
        return moves

    def _drop_old(self) -> None:
        """Who was offline everywhere for longer than the timeout costs no memory; nor a node that is gone."""
        if self._now < self._drop_at:
            return
        self._drop_at = self._now + self._offline_after
        signs = [(node, sign) for node, sign in self._sign.items() if self._silent.get(node, 2) == 2]
        gone = [node for node, sign in signs if self._now - sign > FORGET_SECONDS]
        for node in gone:
            for by_node in (self._heard, self._silent, self._sign, self._last_seen):
                by_node.pop(node, None)
        before = (self._now - 2 * self._offline_after) * 1000
        known: dict[str, dict[str, int]] = {node: {} for node in self._last_seen}
        for room, users in list(self._told.items()):
            for user, nodes in list(users.items()):
                for node in gone:
                    nodes.pop(node, None)
                if (room, user) not in self._shown and all(
                    each.presence.status is Status.OFFLINE and each.presence.last_seen < before
                    for each in nodes.values()
                ):
                    del users[user]
                    self._back.pop((room, user), None)
                for node in nodes:
                    if seen := self._last_seen.get(node, {}).get(user):
                        known[node][user] = seen
            if not users:
                del self._told[room]
        self._last_seen = known

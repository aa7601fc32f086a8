"""What members of rooms are owed: a model that follows each action, and compares the results with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from lab.protocol import MAX_PAGE, NEWEST, SYSTEM
from tests.lab.helpers import Client, Json, errors, messages, notices, replayed

Notice = tuple[str, str, str]
"""Room, user, and `joined` or `left`."""


@dataclass(eq=False)
class Person:
    """One connection, what it has been shown of each room, and what it is owed for the last action."""

    client: Client
    rooms: set[str] = field(default_factory=set)
    seen: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    messages: list[Json] = field(default_factory=list)
    replayed: list[Json] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    left: set[str] = field(default_factory=set)

    @property
    def user(self) -> str:
        """The user's name."""
        return self.client.user

    def forget_debts(self) -> None:
        """Nothing is owed before an action."""
        self.messages, self.replayed, self.notices, self.errors = [], [], [], []
        self.left = set()


@dataclass
class Rooms:
    """Everything that is stored, and the members of each room."""

    stored: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    people: list[Person] = field(default_factory=list)

    def members(self, room: str) -> list[Person]:
        """The connections in a room."""
        return [each for each in self.people if room in each.rooms]

    def users(self, room: str) -> set[str]:
        """Who is online there."""
        return {each.user for each in self.members(room)}

    def known(self, room: str, user: str, id: str | None) -> Json | None:
        """The stored message of a user's id."""
        if id is None:
            return None
        return next((m for m in self.stored[room] if (m["user"], m["id"]) == (user, id)), None)

    def after(self, room: str, since: int | None) -> list[Json]:
        """The messages that answer a join with this `since`."""
        return self.stored[room][-NEWEST:] if since is None else self.stored[room][since:]

    # Actions.

    def join(self, person: Person, room: str, since: int | None) -> None:
        """The first connection of a user is announced; every client that joins gets the history."""
        if room in person.rooms:
            return
        if person.user not in self.users(room):
            self._announce(room, person.user, "joined")
        person.rooms.add(room)
        person.replayed += self.after(room, since)

    def leave(self, person: Person, room: str) -> None:
        """The last connection of a user is announced."""
        if room not in person.rooms:
            person.errors.append("not_joined")
            return
        person.rooms.remove(room)
        person.seen.pop(room, None)
        person.left.add(room)
        if person.user not in self.users(room):
            self._announce(room, person.user, "left")

    def gone(self, person: Person) -> None:
        """A connection that ends leaves all its rooms."""
        self.people.remove(person)
        for room in sorted(person.rooms):
            self.leave(person, room)

    def say(self, person: Person, said: Json, heard: list[Json]) -> None:
        """A new message goes to all members; a known id is answered to the sender only.

        `heard` is what the sender received: a new message's `id` and `timestamp` are learned from it.
        """
        room = said["room"]
        if room not in person.rooms:
            person.errors.append("not_joined")
            return
        if known := self.known(room, person.user, said.get("id")):
            person.messages.append(known)
            return
        assert len(heard) == 1, (said, heard)
        expected = {**said, "user": person.user, "sequence": len(self.stored[room]) + 1}
        assert {**heard[0], **expected} == heard[0], (expected, heard[0])
        self.stored[room].append(heard[0])
        for each in self.members(room):
            each.messages.append(heard[0])

    def _announce(self, room: str, user: str, what: str) -> None:
        for each in self.members(room):
            each.notices.append((room, user, what))

    # Results.

    def check(self, person: Person, came: list[Json]) -> None:
        """Raise AssertionError unless it is exactly what is owed."""
        assert messages(came) == person.messages
        self.check_replay(person, came)
        self.check_the_rest(person, came)

    def check_replay(self, person: Person, came: list[Json]) -> None:
        """The pages of history are those that are owed, each no longer than a page may be."""
        assert replayed(came) == person.replayed
        pages = [frame["data"] for frame in came if frame["type"] == "history"]
        assert all(len(page["messages"]) <= MAX_PAGE for page in pages)
        assert all(page["last"] == len(self.stored[page["room"]]) for page in pages)

    def check_the_rest(self, person: Person, came: list[Json]) -> None:
        """Errors, notices and presence; every client knows the members of its rooms."""
        assert [each["code"] for each in errors(came)] == person.errors
        assert sorted(self._told(person, came)) == sorted(person.notices)
        for frame in came:
            if frame["type"] == "presence":
                self._show(person, frame["data"])
        for room in person.rooms:
            assert person.seen[room] == self.users(room), (person.user, room)

    def _told(self, person: Person, came: Iterable[Json]) -> list[Notice]:
        """The notices, except those about a client's own actions, which are optional."""
        others: list[Notice] = []
        for each in notices(came):
            user, _, what = each["content"].rpartition(" ")
            assert each["user"] == SYSTEM
            assert each["sequence"] <= len(self.stored[each["room"]])
            if user != person.user or (each["room"], user, what) in person.notices:
                others.append((each["room"], user, what))
        return others

    def _show(self, person: Person, data: Json) -> None:
        room = data["room"]
        if data.get("full"):
            assert {each["user"] for each in data["users"]} == self.users(room), data
            assert {each["status"] for each in data["users"]} <= {"online"}
            if room in person.rooms:
                person.seen[room] = {each["user"] for each in data["users"]}
            return
        assert room in person.rooms | person.left, f"{person.user} is shown {data}"
        for each in data["users"]:
            change = person.seen[room].discard if each["status"] == "offline" else person.seen[room].add
            change(each["user"])

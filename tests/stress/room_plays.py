"""Random plays of members in rooms, against the reference server on real sockets.

After each action each client is asked for what it received (by a fence, never a pause), and the model
compares.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from lab.protocol import NEWEST
from lab.server import ChatServer
from tests.lab.helpers import Client, Json, dial, eventually, fill, message, messages, replayed, serving
from tests.stress.room_model import Person, Rooms

T = TypeVar("T")

ROOMS = ("red", "blue", "Red")
USERS = ("ada", "bob", "été & co")
MOST = 6
"""Connections at once."""

rooms = st.sampled_from(ROOMS)
whom = st.integers(0, MOST - 1)
"""Whose turn it is, counted round those who are there."""
ids = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
sinces = st.one_of(st.none(), st.just(0), st.integers(0, 130), st.just(10**9))


class RoomPlays(RuleBasedStateMachine):
    """Rules are the actions of clients; after each of them all frames are compared with what is owed."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.model = Rooms()
        self.stack = AsyncExitStack()
        self.said = 0
        self.server: ChatServer

    def run(self, action: Coroutine[Any, Any, T]) -> T:
        """Run it while the server runs."""
        return self.runner.run(action)

    @initialize(stored=st.sampled_from([0, 0, 3, NEWEST - 1, NEWEST + 1, 100, 101, 230]))
    def start(self, stored: int) -> None:
        """Some rooms have a history."""
        old = [message(number, "red", id=f"old-{number}") for number in range(1, stored + 1)]
        self.model.stored["red"] = [{name: getattr(m, name) for name in m.__struct_fields__} for m in old]
        self.run(fill(self.folder, old))
        self.run(self._start())
        for user in (*USERS[:2], USERS[0]):
            self.run(self._dial(user))
        for who in range(3):
            self.join(who, "red", 10**9)

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    # --- rules ------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.model.people) < MOST)
    @rule(user=st.sampled_from(USERS))
    def connect(self, user: str) -> None:
        """A client connects, perhaps as a user's second connection."""
        self.run(self._dial(user))
        self.run(self._compare())

    @precondition(lambda self: self.model.people)
    @rule(who=whom, room=rooms, since=sinces)
    def join(self, who: int, room: str, since: int | None) -> None:
        """Join a room, perhaps one of its own."""
        person = self._person(who)
        self.model.join(person, room, since)
        more = {} if since is None else {"since": since}
        self.run(self._ask(person, "join", room=room, **more))

    @precondition(lambda self: self.model.people)
    @rule(who=whom, room=rooms)
    def leave(self, who: int, room: str) -> None:
        """Leave a room, perhaps one in which it is no member."""
        person = self._person(who)
        self.model.leave(person, room)
        self.run(self._ask(person, "leave", room=room))

    @precondition(lambda self: self.model.people)
    @rule(who=whom, room=rooms, id=ids)
    def say(self, who: int, room: str, id: str | None) -> None:
        """Send a message, perhaps again, perhaps to a room in which it is no member."""

        async def do() -> None:
            person = self._person(who)
            words = self._words(room, id)
            await person.client.send("message", data=words)
            came = await person.client.settle()
            self.model.say(person, words, messages(came))
            await self._compare({person: came})

        self.run(do())

    @precondition(lambda self: self.model.people)
    @rule(who=whom, room=rooms, since=st.integers(0, 240), limit=st.integers(1, 120))
    def ask_history(self, who: int, room: str, since: int, limit: int) -> None:
        """The page has exactly the stored messages that were asked for, for members and others."""
        person = self._person(who)
        stored = self.model.stored[room]
        person.replayed = owed = stored[since : since + min(limit, 100)]
        came = self.run(self._ask(person, "history", room=room, since=since, limit=limit))
        (page,) = [frame["data"] for frame in came if frame["type"] == "history"]
        assert page["more"] == bool(owed and owed[-1] != stored[-1])

    @precondition(lambda self: self.model.people)
    @rule(who=whom, room=rooms)
    def ask_presence(self, who: int, room: str) -> None:
        """The list is right, for members and others."""
        came = self.run(self._ask(self._person(who), "presence", room=room))
        assert [frame["type"] for frame in came] == ["presence"]

    @precondition(lambda self: self.model.people)
    @rule(who=whom, kind=st.sampled_from(["join", "nonsense", "history", "message"]))
    def blunder(self, who: int, kind: str) -> None:
        """A frame that must be refused is answered by an error, and changes nothing."""
        person = self._person(who)
        person.errors.append("unknown_type" if kind == "nonsense" else "bad_request")
        self.run(self._ask(person, kind))

    @precondition(lambda self: self.model.people)
    @rule(who=whom, politely=st.booleans())
    def go(self, who: int, politely: bool) -> None:
        """A connection is closed or cut; both count as leaving."""
        self.run(self._go([self._person(who)], politely))

    @precondition(lambda self: len(self.model.people) > 2)
    @rule(who=whom, politely=st.booleans())
    def two_go(self, who: int, politely: bool) -> None:
        """Two connections end at once, perhaps of one user."""
        self.run(self._go([self._person(who), self._person(who + 1)], politely))

    @rule()
    def restart(self) -> None:
        """The server stops and starts on the same folder; all clients reconnect, and join no room yet."""

        async def do() -> None:
            users = [each.user for each in self.model.people]
            await self.stack.aclose()
            self.model.people.clear()
            await self._start()
            for user in users:
                await self._dial(user)

        self.run(do())

    @precondition(lambda self: any(self.model.members(room) for room in ROOMS))
    @rule(
        room=rooms,
        lines=st.lists(st.tuples(whom, ids), min_size=2, max_size=30),
        joiner=st.none() | whom,
        since=sinces,
        gone=st.none() | whom,
    )
    def rush(
        self,
        room: str,
        lines: list[tuple[int, str | None]],
        joiner: int | None,
        since: int | None,
        gone: int | None,
    ) -> None:
        """All members send at once while a client joins or is cut off."""
        members = self.model.members(room)
        if members:
            self.run(self._rush(room, members, lines, joiner, since, gone))

    # --- how actions are carried out --------------------------------------------------------------

    async def _start(self) -> None:
        self.stack = AsyncExitStack()
        self.server = await self.stack.enter_async_context(serving(self.folder))

    async def _dial(self, user: str) -> None:
        client = await self.stack.enter_async_context(dial(self.server, quote(user)))
        assert client.user == user
        self.model.people.append(Person(client))

    def _person(self, who: int) -> Person:
        return self.model.people[who % len(self.model.people)]

    def _words(self, room: str, id: str | None) -> Json:
        self.said += 1
        words: Json = {"room": room, "content": f"no. {self.said}"}
        return words if id is None else {**words, "id": id}

    async def _ask(self, person: Person, kind: str, **fields: Any) -> list[Json]:
        await person.client.send(kind, **fields)
        came = await person.client.settle()
        await self._compare({person: came})
        return came

    async def _go(self, leavers: list[Person], politely: bool) -> None:
        for person in leavers:
            if not politely:
                person.client.socket.transport.abort()
        await asyncio.gather(*[each.client.socket.close() for each in leavers])
        for person in leavers:
            self.model.gone(person)
        await self._all_gone_are_gone()
        await self._compare()

    async def _all_gone_are_gone(self) -> None:
        """Wait until the server has removed all clients that are gone."""
        await eventually(lambda: self.server.figures()["chatlab_connections"] == len(self.model.people))

    async def _compare(self, early: dict[Person, list[Json]] | None = None) -> None:
        """Each client, the acting one last, has what it is owed."""
        for person in self.model.people:
            came = (early or {}).get(person, []) + await person.client.settle()
            self.model.check(person, came)
            person.forget_debts()

    # --- a rush -----------------------------------------------------------------------------------

    async def _rush(
        self,
        room: str,
        members: list[Person],
        lines: list[tuple[int, str | None]],
        joiner: int | None,
        since: int | None,
        gone: int | None,
    ) -> None:
        outside = [each for each in self.model.people if room not in each.rooms]
        newcomer = outside[joiner % len(outside)] if joiner is not None and outside else None
        # Not both in one rush: whether the new member is notified of the cut would depend on which was first.
        victim = members[gone % len(members)] if gone is not None and not newcomer else None
        said: dict[Person, list[Json]] = {each: [] for each in members}
        for number, (who, id) in enumerate(lines):
            talker = members[who % len(members)]
            words = self._words(room, None if talker is victim else id)
            said[talker].append(words)
            await talker.client.send("message", data=words)
            if newcomer and number == len(lines) // 2:
                await newcomer.client.send("join", room=room, **({} if since is None else {"since": since}))
        if victim:
            victim.client.socket.transport.abort()
            await victim.client.socket.wait_closed()
            self.model.gone(victim)
            await self._all_gone_are_gone()
        await self._look_back(room, members, said, newcomer, since)

    async def _look_back(
        self,
        room: str,
        members: list[Person],
        said: dict[Person, list[Json]],
        newcomer: Person | None,
        since: int | None,
    ) -> None:
        """The order is not known beforehand: the history shows it, and all must agree with that."""
        people = self.model.people
        came = {each: await each.client.settle() for each in people}
        for each in people:
            came[each] += await each.client.settle()
        before = list(self.model.stored[room])
        async with dial(self.server) as auditor:
            await auditor.send("join", room=room, since=len(before))  # as many pages as it takes
            new = replayed(await auditor.settle())
        await self._all_gone_are_gone()
        check_truth(new, len(before), said, self.model)
        self.model.stored[room] += new
        for each in people:
            came[each] += await each.client.settle()
            without_auditor = [f for f in came[each] if not _is_of(f, auditor)]
            self._check_one(each, without_auditor, room, before, new, said, newcomer, since)
        if newcomer:
            self._welcome(newcomer, room)
        for each in people:
            self.model.check_the_rest(each, [f for f in came[each] if not _is_of(f, auditor)])
            each.forget_debts()

    def _welcome(self, newcomer: Person, room: str) -> None:
        """Like `Rooms.join`, except for the history, which was checked already."""
        self.model.join(newcomer, room, 10**9)

    def _check_one(
        self,
        person: Person,
        came: list[Json],
        room: str,
        before: list[Json],
        new: list[Json],
        said: dict[Person, list[Json]],
        newcomer: Person | None,
        since: int | None,
    ) -> None:
        heard = messages(came)
        if person is newcomer:
            old = replayed(came)
            if since is None:  # the newest at the time of joining, whichever that was
                moment = len(before) + len(new) - len(heard)
                assert old + heard == (before + new)[max(0, moment - NEWEST) :]
            elif since <= len(before):
                assert old + heard == (before + new)[since:]
            else:  # what it claims to know already is not replayed, but received if it is sent after the join
                assert [each["sequence"] for each in old] == list(range(since + 1, since + 1 + len(old)))
                assert old + heard == (before + new)[len(before + new) - len(old + heard) :]
        elif person in said:
            mine = {words["id"] for words in said[person] if "id" in words}
            check_heard(heard, before + new, len(before), person.user, mine)
        else:
            assert heard == []


def check_truth(new: list[Json], last: int, said: dict[Person, list[Json]], model: Rooms) -> None:
    """The new history: no gap, no repetition, nothing that nobody sent,
    each connection's messages in order.
    """
    assert [each["sequence"] for each in new] == list(range(last + 1, last + len(new) + 1))
    place = {each["content"]: number for number, each in enumerate(new)}
    assert len(place) == len(new), "a content, which are all different, is stored twice"
    everything = {words["content"] for lines in said.values() for words in lines}
    assert place.keys() <= everything
    keys = [(each["user"], each["id"]) for each in new]
    assert len(set(keys)) == len(keys), "an id is stored twice"
    for person, lines in said.items():
        places = [place[words["content"]] for words in lines if words["content"] in place]
        assert places == sorted(places)
        if person in model.people:
            for words in lines:
                known = (person.user, words.get("id")) in keys or model.known(
                    words["room"], person.user, words.get("id")
                )
                assert words["content"] in place or known, f"{words} is lost"
        else:  # it was cut: what arrived is the beginning of what it sent
            assert [words["content"] in place for words in lines] == sorted(
                [words["content"] in place for words in lines], reverse=True
            )


def check_heard(heard: list[Json], history: list[Json], last: int, user: str, mine: set[str]) -> None:
    """A member received all that is new, in order, and besides only answers to what it sent again."""
    due = last
    for each in heard:
        if due < len(history) and each == history[due]:
            due += 1
        else:
            assert (each["user"], each["id"] in mine) == (user, True), each
            assert each in history, each
    assert due == len(history), f"{user} did not hear no. {due + 1}"


def _is_of(frame: Json, client: Client) -> bool:
    """Whether a frame is only about that client's joining or leaving."""
    data = frame.get("data", {})
    if frame["type"] == "presence" and not data.get("full"):
        return [each["user"] for each in data["users"]] == [client.user]
    return frame["type"] == "message" and str(data["content"]).rpartition(" ")[0] == client.user

"""A soak test: clients connect, talk, read slowly, are cut and return, all floods go on at once, and the
server is killed and restarted.

Lives of a server are either short, ended by SIGKILL in the middle of everything, or long. In a long one all
clients disconnect twice, after the warm-up and at the end, and the server's use of resources is compared.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from subprocess import DEVNULL

from lab.protocol import MAX_SEQUENCE, SYSTEM
from tests.stress.campaign import rest
from tests.stress.flooder import ALL
from tests.stress.ledger import Ledger
from tests.stress.link import PING, Gone, Json, Link, wire
from tests.stress.process import MIB, ROOT, Measure, Server

GROWTH = 16 * MIB
"""Bytes by which resident memory may grow between the two rests of a long life; nothing else may at all."""
WARM_UP = 0.3
"""The share of a long life before the first rest."""
SHORT, LONG = 4.0, 288.0
"""Seconds of a life."""
CYCLE = 3 * SHORT + LONG
PEOPLE = 14
ROOMS = ("red", "green", "blue", "grey")
FLOOD_ROOM, FLOOD_EVERY, FLOOD = "flood", 60.0, 260
"""Where that many messages of 60 kB are said at once, while somebody there does not read; seconds."""
BRINK, BURST = "brink", 40
"""Where that many messages are said just before a kill, which comes when the first of them is heard."""
PROGRESS_SECONDS = 5.0
OPTIONS = ("--heartbeat-interval", "2", "--offline-timeout", "8")


@dataclass
class Tally:
    """What has happened so far."""

    said: int = 0
    heard: int = 0
    visits: int = 0
    overrun: int = 0
    kills: int = 0
    read_back: int = 0


class Soak:
    """One soak of `seconds`; `run` raises what went wrong."""

    def __init__(self, folder: Path, seconds: float, seed: int) -> None:
        self.server = Server(folder, *OPTIONS)
        self.ledger = Ledger()
        self.tally = Tally()
        self.seconds, self.seed = seconds, seed
        self.life = 0
        self.going_on = True
        self.doors = asyncio.Event()  # set while the server runs and no client has to disconnect
        self.inside = 0

    async def run(self) -> Tally:
        """Play it; returns what has happened. Raises AssertionError, in a group."""
        self.server.start()
        self.doors.set()
        try:
            async with asyncio.TaskGroup() as group:
                progress = group.create_task(self._progress())
                for number in range(PEOPLE):
                    group.create_task(Visitor(self, number).live())
                group.create_task(Shouter(self, PEOPLE).live())
                group.create_task(Dawdler(self, PEOPLE + 1).live())
                group.create_task(Flooders(self, PEOPLE + 2).live())
                await self._lives()
                self.going_on = False
                self.doors.clear()  # clients that are connected disconnect
                progress.cancel()
            await self._audit(whole=True)
            assert self.server.stop() == 0
            assert not self.server.log(), self.server.log()[-5000:]
            return self.tally
        finally:
            self.server.kill()

    async def _lives(self) -> None:
        cycles = max(1, int(self.seconds // CYCLE))
        long = max(self.seconds / cycles - 3 * SHORT, 20.0)
        for cycle in range(cycles):
            for _ in range(3):
                await asyncio.sleep(SHORT)
                await self._kill()
            await self._long_life(long)
            if cycle + 1 < cycles:
                await self._kill()

    async def _kill(self) -> None:
        """SIGKILL in the middle of everything, a restart, and a check of what is left."""
        witness = await Link.open(self.server.port, "witness")
        witness.ask("join", room=BRINK, since=MAX_SEQUENCE)
        await witness.settle()
        for _ in range(BURST):
            witness.say(BRINK, "x" * 5_000)
        heard = [await witness.next()]
        self.server.kill()  # at once: a message that was published before it was saved is lost now
        self.life += 1
        self.tally.kills += 1
        self.doors.clear()
        try:
            while True:
                heard.append(await witness.next())
        except Gone:
            witness.abort()
        for frame in heard:
            if frame["type"] == "message" and frame["data"]["user"] != SYSTEM:
                self.ledger.heard(frame["data"])
        await asyncio.to_thread(self.server.start)
        await self._audit()
        self.doors.set()

    async def _audit(self, whole: bool = False) -> None:
        link = await Link.open(self.server.port, "auditor")
        self.tally.read_back += await self.ledger.audit(link, whole)
        await link.close()

    async def _long_life(self, seconds: float) -> None:
        await asyncio.sleep(seconds * WARM_UP)
        before = await self._all_go_home(None)
        print(f"after the warm-up, all at home: {before}", flush=True)
        await asyncio.sleep(seconds * (1 - WARM_UP))
        after = await self._all_go_home(before)
        print(f"at the end, all at home: {after}", flush=True)
        assert not before.growth_to(after, GROWTH), f"before: {before}; after: {after}"

    async def _all_go_home(self, until: Measure | None) -> Measure:
        """The server's use of resources when no client is connected."""
        self.doors.clear()
        async with asyncio.timeout(60):
            while self.inside:
                await asyncio.sleep(0.05)
        now = await asyncio.to_thread(self.server.measure)
        nobody = Measure(now.memory, now.descriptors, now.threads, connections=0, rooms=0)
        measure = await rest(self.server, until or nobody)
        assert (measure.connections, measure.rooms) == (0, 0), measure
        self.doors.set()
        return measure

    async def _progress(self) -> None:
        began = time.monotonic()
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            print(f"{time.monotonic() - began:5.0f} s  {self.inside} inside, {self.tally}", flush=True)


class Kills(Soak):
    """Short lives alone, each of which is ended by SIGKILL."""

    def __init__(self, folder: Path, kills: int, seed: int) -> None:
        super().__init__(folder, 60.0 + kills * 20.0, seed)
        self._kills, self._chance = kills, Random(f"{seed} kills")

    async def _lives(self) -> None:
        for _ in range(self._kills):
            await asyncio.sleep(SHORT * self._chance.random())
            await self._kill()


class Visitor:
    """One user who returns again and again, knows what it has received, and repeats what was not answered."""

    rooms: tuple[str, ...] = ROOMS

    def __init__(self, soak: Soak, number: int) -> None:
        self.soak, self.name = soak, f"visitor-{number}"
        self.chance = Random(f"{soak.seed} {number}")
        self.newest = dict.fromkeys(self.rooms, 0)
        self.unanswered: dict[str, tuple[str, str]] = {}  # id -> room and content
        self.count = 0

    async def live(self) -> None:
        """Visit until the soak is over."""
        soak = self.soak
        while soak.going_on:
            try:
                async with asyncio.timeout(0.2):
                    await soak.doors.wait()
            except TimeoutError:
                continue
            life = soak.life
            soak.inside += 1
            try:
                await self._visit()
            except (Gone, OSError, TimeoutError) as error:
                await self._excuse(error, life)
            finally:
                soak.inside -= 1

    async def _excuse(self, error: Exception, life: int) -> None:
        """A visit may only end early because the server was killed."""
        if self.soak.life == life:
            raise AssertionError(f"{self.name}: {error!r}") from error

    async def _visit(self) -> None:
        self.soak.tally.visits += 1
        link = await Link.open(self.soak.server.port, self.name)
        try:
            joined = set(self.chance.sample(self.rooms, self.chance.randrange(1, len(self.rooms) + 1)))
            await self._join(link, joined)
            for _ in range(self.chance.randrange(1, 40)):
                if not self.soak.doors.is_set():
                    break
                await self._something(link, joined)
            dice = self.chance.random()
            if dice < 0.4:
                return  # cut, perhaps in the middle of its messages
            if dice < 0.7:
                for room in joined:
                    link.ask("leave", room=room)
            self._take(await link.settle())
            await link.close()
        finally:
            link.abort()

    async def _join(self, link: Link, rooms: set[str]) -> None:
        for room in sorted(rooms):
            link.ask("join", room=room, since=self.newest[room])
        for id, (room, content) in list(self.unanswered.items()):
            if room in rooms:
                link.say(room, content, id)
        self._take(await link.settle())

    async def _something(self, link: Link, joined: set[str]) -> None:
        """Talk, ping, read slowly, leave and join again, or ask, and then read what came."""
        dice = self.chance.random()
        room = self.chance.choice(sorted(joined))
        if dice < 0.6:
            for _ in range(self.chance.choice((1, 1, 1, 5))):
                self._say(link, room, "x" * self.chance.choice((10, 10, 100, 3000)))
        elif dice < 0.7:
            link.write(wire(PING, b"are you there?"))
        elif dice < 0.8:
            await asyncio.sleep(self.chance.random())
        elif dice < 0.9:
            link.ask("leave", room=room)
            self._take(await link.settle())
            link.ask("join", room=room, since=self.newest[room])
        else:
            link.ask("presence", room=room)
        self._take(await link.settle())
        await asyncio.sleep(self.chance.random() * 0.2)

    def _say(self, link: Link, room: str, content: str) -> None:
        self.count += 1
        id = f"{self.name}-{self.count}"
        self.unanswered[id] = (room, content)
        link.say(room, content, id)
        self.soak.tally.said += 1

    def _take(self, frames: list[Json]) -> None:
        """Each room continues where it was; only repeated messages may be received out of order."""
        for frame in frames:
            assert frame["type"] in ("message", "history", "presence"), frame
            data = frame["data"]
            lines = data["messages"] if frame["type"] == "history" else [data]
            for each in lines if frame["type"] != "presence" else ():
                if each["user"] != SYSTEM:
                    self._hear(each)

    def _hear(self, data: Json) -> None:
        room, number = data["room"], data["sequence"]
        self.soak.tally.heard += 1
        self.soak.ledger.heard(data)
        was_mine = self.unanswered.pop(data["id"], None) if data["user"] == self.name else None
        if number == self.newest[room] + 1:
            self.newest[room] = number
        else:
            assert number <= self.newest[room], f"{self.name} misses no. {self.newest[room] + 1} of {room}"
            again = was_mine is not None or data["user"] == self.name
            assert again, f"{self.name} hears no. {number} of {room} again"


class Shouter(Visitor):
    """Sends more, at times, than may wait for a client that does not read."""

    rooms = (FLOOD_ROOM,)

    async def _visit(self) -> None:
        link = await Link.open(self.soak.server.port, self.name)
        try:
            await self._join(link, {FLOOD_ROOM})
            for number in range(FLOOD):
                self._say(link, FLOOD_ROOM, str(number) + "x" * 60_000)
                if number % 8 == 7:
                    self._take(await link.settle())
                if not self.soak.doors.is_set():
                    return
            async for _ in self._while_open(FLOOD_EVERY):
                self._take(await link.settle())
        finally:
            link.abort()

    async def _while_open(self, seconds: float) -> AsyncIterator[None]:
        """Return at intervals for so long, until all disconnect or the server is killed."""
        soak, life, until = self.soak, self.soak.life, time.monotonic() + seconds
        while soak.going_on and soak.doors.is_set() and soak.life == life and time.monotonic() < until:
            yield
            await asyncio.sleep(0.2)


class Dawdler(Shouter):
    """Joins a busy room, and does not read for longer than the server waits."""

    async def _visit(self) -> None:
        link = await Link.open(self.soak.server.port, self.name, receive_buffer=16 * 1024)
        try:
            await self._join(link, {FLOOD_ROOM})
            async for _ in self._while_open(self.chance.uniform(0.0, 30.0)):
                link.ask("heartbeat")  # it is a member, and does not read
            self._take(await link.settle())
        finally:
            link.abort()

    async def _excuse(self, error: Exception, life: int) -> None:
        """It may be disconnected or reset."""
        if self.soak.life == life:
            assert isinstance(error, ConnectionError) or (
                isinstance(error, Gone) and error.code in (0, 1013)
            ), error
            self.soak.tally.overrun += 1


class Flooders(Visitor):
    """A process that floods the server in all ways at once, in rooms of its own."""

    async def _visit(self) -> None:
        command = [sys.executable, "-m", "tests.stress.flooder", ALL, str(self.soak.server.port)]
        flood = await asyncio.create_subprocess_exec(
            *command, str(self.soak.seconds), cwd=ROOT, stdout=DEVNULL
        )
        life = self.soak.life
        try:
            while self.soak.going_on and self.soak.doors.is_set() and self.soak.life == life:
                assert flood.returncode is None, "the flood has ended by itself"
                await asyncio.sleep(0.1)
        finally:
            if flood.returncode is None:
                flood.kill()
            await flood.wait()

"""Talkers who go on and on, so that whoever joins does so in the middle of it."""

from __future__ import annotations

import asyncio

from harness.scenarios.common import together
from harness.worlds.base import World
from harness.worlds.client import Client

FAR_BEHIND = 40
"""Messages under way from which on talkers slow down: how much a server can bear is not the question."""
MANY = 2
"""Times as much as is enough, from which on they do so, too: a server that is slow is not flooded."""
SLOW_DOWN = 10
"""How many times as long they wait then at the most: messages may also be lost."""
CHATS = 20
"""Messages that a talker says meanwhile at the most where it is not, each as soon as the last was heard: so
that some message is saved just between what a careless join does first and what it does then."""
ECHO = 0.5
"""Seconds after which it says the next one all the same."""


class Seam:
    """A room in which all talkers go on and on, so that whoever joins it does so in the middle."""

    def __init__(
        self, world: World, room: str, talkers: list[Client], *, enough: int, pace: float, volley: int
    ) -> None:
        """`enough` messages are said in all, one each `pace` seconds; `volley`: see `join`."""
        self.room = room
        self.said = 0
        self._world = world
        self._talkers = talkers
        self._least = enough
        self._pace = pace
        self._volley = volley
        self._near = talkers  # those first whose messages come back soonest
        self._enough = False

    async def say(self, talker: Client) -> None:
        """Say something."""
        await talker.say(self.room, self._words(talker, "goes on"))

    def _words(self, talker: Client, does: str) -> str:
        self.said += 1
        return f"{self._world.tag()}. {talker.name} {does}"

    async def talk(self, talker: Client) -> None:
        """Say something now and then until it is enough; less often if what was said does not come back."""
        pause = self._world.pause
        while not self._enough or self.said < self._least:
            await self.say(talker)
            await pause(self._pace if self.said < MANY * self._least else SLOW_DOWN * self._pace)
            for _ in range(SLOW_DOWN):
                if self.said - talker.live[self.room] <= FAR_BEHIND:
                    break
                await pause(self._pace)

    async def end(self, talking: list[asyncio.Task[None]]) -> None:
        """Wait until enough was said."""
        self._enough = True
        for task in talking:
            await task

    async def find_the_near(self) -> None:
        """Find out whose messages come back soonest."""
        seconds = {talker: await self._chat(talker) for talker in self._talkers}
        self._near = sorted(self._talkers, key=seconds.__getitem__)

    async def join(self, client: Client, since: int | None = None) -> None:
        """Have somebody join while the others talk as fast as they can: it is there that a seam tears.

        They say `volley` messages each, all at once. Where that is 0, each waits for its last one to come
        back: in the simulated world that finds more, and there it costs no time.
        """
        if self._volley:
            await together(client.join(self.room, since), self._hurry())
            return
        inside = asyncio.Event()

        async def enter() -> None:
            await client.join(self.room, since)
            inside.set()

        async def chat(talker: Client) -> None:
            for _ in range(CHATS):
                if not inside.is_set():
                    await self._chat(talker)

        # One alone drifts against the steps of a join that has several pages; all of them leave no gap.
        chatting = self._near if since is None else self._near[:1]
        await together(enter(), *(chat(talker) for talker in chatting))

    async def _hurry(self) -> None:
        for _ in range(self._volley):
            for talker in self._talkers:
                await self.say(talker)

    async def _chat(self, talker: Client) -> float:
        """Say something and wait for it; return how long that took, in seconds."""
        began = self._world.now()
        await talker.say_and_hear(self.room, self._words(talker, "chats"), ECHO)
        return self._world.now() - began

"""Talkers that never stop, so that a client always joins in the middle of a conversation."""

from __future__ import annotations

import asyncio

from harness.scenarios.common import together
from harness.worlds.base import World
from harness.worlds.client import Client

FAR_BEHIND = 40
"""Messages in flight at which talkers slow down: this is not a test of the server's throughput."""
MANY = 2
"""They also slow down after this many times as many messages as are needed: a slow server is not flooded."""
SLOW_DOWN = 10
"""How many times as long they wait then at most: the messages in flight may also be lost."""
CHATS = 20
"""Messages that a talker says at most during a join in simulated time, each as soon as the last was heard: so
that some message is saved just between the two steps of a join that is not atomic."""
ECHO = 0.5
"""Seconds after which it says the next one even if the last was not heard."""


class Seam:
    """A room in which all talkers keep talking, so that clients join in the middle of it."""

    def __init__(
        self, world: World, room: str, talkers: list[Client], *, enough: int, pace: float, volley: int
    ) -> None:
        """At least `enough` messages are said in all, one each `pace` seconds; `volley`: see `join`."""
        self.room = room
        self.said = 0
        self._world = world
        self._talkers = talkers
        self._least = enough
        self._pace = pace
        self._volley = volley
        self._fastest = talkers  # sorted by how soon their messages come back
        self._enough = False

    async def say(self, talker: Client) -> None:
        """Say one message."""
        await talker.say(self.room, self._words(talker, "goes on"))

    def _words(self, talker: Client, does: str) -> str:
        self.said += 1
        return f"{self._world.tag()}. {talker.name} {does}"

    async def talk(self, talker: Client) -> None:
        """Say a message every `pace` seconds until `end`; less often if the messages do not come back."""
        pause = self._world.pause
        while not self._enough or self.said < self._least:
            await self.say(talker)
            await pause(self._pace if self.said < MANY * self._least else SLOW_DOWN * self._pace)
            for _ in range(SLOW_DOWN):
                if self.said - talker.live[self.room] <= FAR_BEHIND:
                    break
                await pause(self._pace)

    async def end(self, talking: list[asyncio.Task[None]]) -> None:
        """Wait until enough messages were said."""
        self._enough = True
        for task in talking:
            await task

    async def find_fastest(self) -> None:
        """Find out whose messages come back soonest."""
        seconds = {talker: await self._chat(talker) for talker in self._talkers}
        self._fastest = sorted(self._talkers, key=seconds.__getitem__)

    async def join(self, client: Client, since: int | None = None) -> None:
        """Join while the others talk as fast as they can: a careless join loses messages just then.

        They say `volley` messages each, all at once. If that is 0, each waits for its last one to come back:
        in the simulated world that finds more, and costs no time.
        """
        if self._volley:
            await together(client.join(self.room, since), self._say_volley())
            return
        inside = asyncio.Event()

        async def enter() -> None:
            await client.join(self.room, since)
            inside.set()

        async def chat(talker: Client) -> None:
            for _ in range(CHATS):
                if not inside.is_set():
                    await self._chat(talker)

        # The messages of one talker drift relative to the steps of a join with several pages; with all
        # talkers there would be no gap between messages.
        chatting = self._fastest if since is None else self._fastest[:1]
        await together(enter(), *(chat(talker) for talker in chatting))

    async def _say_volley(self) -> None:
        for _ in range(self._volley):
            for talker in self._talkers:
                await self.say(talker)

    async def _chat(self, talker: Client) -> float:
        """Say something and wait for it; return how long that took, in seconds."""
        began = self._world.now()
        await talker.say_and_hear(self.room, self._words(talker, "chats"), ECHO)
        return self._world.now() - began

"""What a scenario may ask of the world that it is played in.

Scenarios know this class and no other: they start and stop "the server", make clients, wait and count,
and never know whether the server is a process or a simulation.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from math import inf

from harness.history import events as history
from harness.history.events import Event
from harness.worlds.client import Client
from harness.worlds.surroundings import PlayStopped, Surroundings
from harness.worlds.timeline import Timeline
from harness.worlds.torn import Sizes, Watch


class World(Surroundings):
    """A place with a server, clients and a clock; it writes what happens into its timeline."""

    kind = "abstract"

    def __init__(self, timeline: Timeline) -> None:
        super().__init__(timeline)
        self.can_restart = True
        """Whether the world can stop and start the server."""
        self.skip_slow = False
        """Whether steps that wait for long timeouts are left out."""
        self.longest_timeout = inf
        """Seconds of the server's own timeout that are waited for at the most."""
        self.is_hurried = False
        """Whether another play of the same server had to be stopped."""
        self.is_broken = False
        """Whether a failure is certain before anything is played: then less is waited for."""
        self.on_step: Callable[[Event], None] = lambda event: None
        """Called with each step that begins or ends, and with long waits, to show progress."""
        self.lags: dict[str, float] = {}
        """For each step that was played, the seconds by which our own event loop was late at the most."""
        self.heartbeat = 0.0
        self.timeout = 0.0
        self._clients: list[Client] = []

    # --- steps ------------------------------------------------------------------------------------

    @contextmanager
    def step(self, step: str) -> Iterator[None]:
        """Mark what is played inside as one of the course's steps."""
        self.lags[step] = 0.0
        for done in (False, True):
            event = history.Step(self.now(), step, done)
            self.record(event)
            self.on_step(event)
            if not done:
                yield

    def announce_wait(self, seconds: float) -> None:
        """Announce that the next part takes long, because the server's own timeouts do."""
        event = history.Noted(self.now(), "long_wait", seconds)
        self.record(event)
        self.on_step(event)

    # --- clients ----------------------------------------------------------------------------------

    @property
    def clients(self) -> list[Client]:
        """All clients that were made."""
        return self._clients

    async def client(
        self, name: str, user: str | None = None, *, narrow: bool = False, is_exact: bool = False
    ) -> Client:
        """A new client, connected. It asks for the user `user` (`name` unless given), as a name of this run.

        With `is_exact`, it asks for just that name, which others may have, too. With `narrow`, the network
        buffers little, so that the server soon notices a client that does not read. Raises PlayStopped if it
        cannot connect.
        """
        client = Client(self, name, user if user and is_exact else self.name(user or name), narrow)
        self._clients.append(client)
        await client.connect()
        if client.connected_frame:
            opened = self.history[-1]
            assert isinstance(opened, history.Opened)
            self.heartbeat, self.timeout = opened.heartbeat, opened.timeout
        return client

    async def stranger(self, name: str, user: str) -> Client:
        """A client that is not connected yet, with a user name that is not allowed."""
        client = Client(self, name, user, narrow=False, unwelcome=True)
        self._clients.append(client)
        return client

    async def settle(self) -> None:
        """Wait until undisturbed clients have received all that was sent to them: networks take time."""
        answered = [each for each in self._clients if each.is_answered]
        await asyncio.gather(*(each.fence() for each in answered), return_exceptions=True)

    async def close(self) -> None:
        """End everything: clients, servers, files."""
        for client in self._clients:
            await client.dispose()

    # --- the server -------------------------------------------------------------------------------

    @abstractmethod
    async def start_server(self) -> None:
        """Start the server, also again, on the same address and data; returns when it answers.

        Raises PlayStopped if it does not.
        """

    @abstractmethod
    async def stop_server(self) -> None:
        """Ask the server to stop (SIGTERM), and wait until it has; kill it if it does not."""

    @abstractmethod
    async def kill_server(self) -> None:
        """End the server at once (SIGKILL)."""

    @abstractmethod
    async def kill_while_writing(self, watch: Watch, fraction: float) -> int:
        """SIGKILL as soon as the server has written something since `watch` began, or after a while.

        The end of what it has written then is torn off: about `fraction` of it (0 to 1) stays. Returns how
        many bytes were torn off.
        """

    @abstractmethod
    def stored(self) -> Sizes:
        """The files in the server's data folder."""

    @abstractmethod
    def watch_files(self) -> Watch:
        """Watch what the server writes there from now on."""

    @asynccontextmanager
    async def second_world(self) -> AsyncIterator[World]:
        """A world beside this one, with a server on a copy of this one's data. They share the timeline."""
        second = self._beside()
        try:
            await second.start_server()
            yield second
        except PlayStopped:
            with suppress(PlayStopped):
                await second.check_end()  # an end of the server may be why
            raise
        finally:
            await second.close()

    @abstractmethod
    def _beside(self) -> World:
        """A world of the same kind with a copy of the data; its server is not started yet."""

    @abstractmethod
    async def check_end(self) -> None:
        """Raise PlayStopped if the server ends by itself within a moment; called when connections broke."""


class SeveralNodes(World):
    """A world whose server is several chat nodes on a backplane of NATS nodes, each of which can fail alone.

    Chat nodes and NATS nodes have names. What of the server is stopped, killed and started as a whole, and
    what of it is copied, is all of it.
    """

    @property
    @abstractmethod
    def nodes(self) -> list[str]:
        """The names of the chat nodes that run."""

    @abstractmethod
    def node_of(self, client: Client) -> str:
        """The chat node that a client was connected to last."""

    @abstractmethod
    async def kill_node(self, name: str) -> list[Client]:
        """SIGKILL to a chat node; returns the clients that it had, when they have noticed it."""

    @abstractmethod
    async def start_node(self, name: str) -> None:
        """Start a chat node again; returns when it answers. Raises PlayStopped if it does not."""

    @abstractmethod
    async def kill_nats(self, role: str) -> str:
        """SIGKILL to the NATS node that leads the stream in which something was stored last, or to another.

        `role` is "leader" or "follower". Returns the name of the node.
        """

    @abstractmethod
    async def start_nats(self, name: str) -> None:
        """Start a NATS node again; returns when it knows all that the others do."""

    @abstractmethod
    async def leads(self, name: str) -> bool:
        """Whether a NATS node leads the stream in which something was stored last."""

    @abstractmethod
    async def cut_node(self, name: str) -> None:
        """Let nothing through between a chat node and NATS; its clients stay connected to it."""

    @abstractmethod
    async def heal_node(self, name: str) -> None:
        """The end of that."""

"""What the fixtures for tests of one's own are: a server, simulated clients, and what these saw.

    async def test_who_comes_late_reads_what_was_said(chat_client, history):
        ada = await chat_client("ada")
        await ada.join("red")
        await ada.say("red", "hello")
        bob = await chat_client("bob")
        await bob.join("red")
        await bob.hears("red", "hello")
        history.check()

They need pytest-asyncio. The server is the one that a `--lab-…` option names, with all four components of
a submission at once, else the reference server. Each test gets a new server with empty data.
`harness/entry_points/chatlab_fixtures.py` declares the fixtures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn

import pytest

from harness.judged import targets
from harness.judged.targets import Target
from harness.pytest_support import clients, options
from harness.pytest_support.handed_in import all_together
from harness.worlds.live import LiveWorld


class Failures(clients.Failures):
    """Tells what goes wrong in a test by exceptions of pytest's."""

    world: LiveWorld

    def failed(self, text: str) -> BaseException:
        """See clients.Failures; pytest need not show where it was raised."""
        return pytest.fail.Exception(text, pytrace=False)

    def skip(self, text: str) -> NoReturn:
        """See clients.Failures."""
        pytest.skip(text)


@asynccontextmanager
async def started(config: pytest.Config, loop_scope: str) -> AsyncIterator[Failures]:
    """A new server for a test, in the loop that runs now, and how the failures of that test are told."""
    words = options.words_of(config)
    loop = clients.running_loop()
    if loop is None:  # another plugin runs this, such as anyio's with trio
        pytest.fail(words.say("pytest.no_loop"), pytrace=False)
    world = LiveWorld(_target(config), 0, "")
    failures = Failures(world, words, loop, loop_scope)
    try:
        with failures.explained():
            await world.start_server()
        yield failures
    finally:
        await world.close()


def _target(config: pytest.Config) -> Target:
    if options.is_asked_for(config):
        return all_together(config)
    return targets.reference()

"""A play is ended from outside, however much happens in it."""

from __future__ import annotations

import asyncio

import pytest

from harness.history.events import Server
from harness.running.limit import limited
from harness.worlds.served import ServedWorld
from harness.worlds.surroundings import PlayStopped
from tests.harness.worlds.stage import Stage


@pytest.mark.parametrize("is_news", [True, False])
def test_a_play_without_end_is_stopped_and_told(is_news: bool) -> None:
    """Soon after its limit; what has happened by then is judged. A known failure is not told again."""

    async def for_ever() -> None:
        while True:
            await asyncio.sleep(0.1)

    async def scene(world: ServedWorld) -> None:
        with pytest.raises(PlayStopped):
            await limited(for_ever(), world, lambda: (30.0, is_news))
        assert 30.0 < world.now() < 32.0
        told = [event for event in world.history if isinstance(event, Server)]
        assert [(event.what, event.detail["seconds"] > 30.0) for event in told] == [("slow", True)] * is_news

    Stage("sim").play(scene)

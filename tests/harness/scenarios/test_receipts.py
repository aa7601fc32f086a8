"""Each pass proves that its fault had an effect: without the fault, the step is left open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness.judged import targets
from harness.running.run import Case, Run
from harness.running.simulate import simulate
from harness.scenarios import ex1_chat, ex2_ordering, ex3_presence, ex4_persistence
from harness.scenarios.common import MODEST
from harness.verdict.outcome import Outcome
from harness.worlds.base import World
from harness.worlds.client import Client

pytestmark = pytest.mark.xdist_group("sim")

Patch = Callable[[pytest.MonkeyPatch], None]


async def nothing(*_: Any, **__: Any) -> None:
    """Done in place of a fault."""


def without(place: Any, name: str) -> Patch:
    """An action that waits, and does nothing."""
    return lambda patch: patch.setattr(place, name, nothing)


def no_bad_frames(patch: pytest.MonkeyPatch) -> None:
    """No client sends bad frames."""

    async def behave(world: World, client: Client, bad: Any) -> Client:
        return client

    patch.setattr(ex1_chat, "misbehave", behave)
    patch.setattr(ex2_ordering, "misbehave", behave)
    patch.setattr(ex3_presence, "misbehave", behave)


def nobody_stops_reading(patch: pytest.MonkeyPatch) -> None:
    """The slow reader reads."""
    patch.setattr(Client, "suffer", lambda self, fault: None)


def nobody_goes_silent(patch: pytest.MonkeyPatch) -> None:
    """No client goes silent, and no frames are lost."""
    patch.setattr(Client, "suffer", lambda self, fault: None)


def one_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """A client that sends a message waits until it has arrived, and nobody sends anything meanwhile."""
    say, turns = Client.say, []

    async def politely(self: Client, room: str, content: str, *more: Any, **fields: Any) -> None:
        turn = object()
        turns.append(turn)
        try:
            while turns[0] is not turn:
                await self.world.moment()
            await say(self, room, content, *more, **fields)
            await self.fence()
        finally:
            turns.remove(turn)

    patch.setattr(Client, "say", politely)


def nobody_is_cut_off(patch: pytest.MonkeyPatch) -> None:
    """A client that would be reset closes its connection instead."""
    patch.setattr(Client, "reset", Client.close)


def nothing_is_repeated(patch: pytest.MonkeyPatch) -> None:
    """No message is sent again after a restart."""
    patch.setattr(ex4_persistence, "_retry", nothing)


def nothing_is_in_flight(patch: pytest.MonkeyPatch) -> None:
    """The server is killed when all messages have arrived."""

    async def kill_in_silence(world: World, *_: Any) -> None:
        await world.settle()
        await world.kill_server()

    patch.setattr(ex4_persistence, "_kill_in_a_burst", kill_in_silence)


def nobody_reads(patch: pytest.MonkeyPatch) -> None:
    """No history is read."""

    patch.setattr(Client, "ask_history", nothing)


def the_stop_took_too_long(patch: pytest.MonkeyPatch) -> None:
    """It took longer than a server has for it, and counted as in time: somebody stood still."""
    patch.setattr(ex4_persistence, "STOP_SECONDS", 0.0)


# 1.1, 3.1 and 4.1 are about what a right server does without any fault.
TAKEN_OUT: list[tuple[str, Patch]] = [
    ("1.2", no_bad_frames),
    ("1.3", no_bad_frames),
    ("1.4", no_bad_frames),
    ("1.5", without(Client, "leave")),
    ("2.1", nobody_stops_reading),
    ("2.2", one_at_a_time),
    ("2.3", nobody_is_cut_off),
    ("2.4", nobody_reads),
    ("3.2", no_bad_frames),
    ("3.3", without(Client, "reset")),
    ("3.4", nobody_goes_silent),
    ("4.2", nothing_is_in_flight),
    ("4.2", the_stop_took_too_long),
    ("4.3", nobody_reads),
    ("4.4", nothing_is_repeated),
    ("4.5", nobody_reads),
]


def play(step: str) -> Run:
    """Play the exercise of a step with the reference server."""
    return simulate(Case(int(step[0]), "1", MODEST), targets.reference())


@pytest.mark.parametrize(("step", "taken_out"), TAKEN_OUT, ids=[step for step, _ in TAKEN_OUT])
def test_without_its_fault_a_step_is_left_open(
    step: str, taken_out: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A right server must not pass it then, since nothing was shown; nor does it fail."""
    taken_out(monkeypatch)
    run = play(step)
    assert not run.defect, run.defect
    result = next(each for each in run.steps if each.step == step)
    shown = (result.outcome, result.receipt, [anomaly.name for anomaly in result.anomalies])
    assert result.outcome is Outcome.INCONCLUSIVE, shown

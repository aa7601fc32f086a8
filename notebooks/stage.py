"""What the walkthroughs share: a real server, a scene that is played on it, and the kit's verdict.

A scene is an `async` function of a world (`harness/worlds/base.py`): it makes clients, and has them act one
after the other. So what happens is the same each time, and only how long it takes is not.
"""

from __future__ import annotations

import ast
import asyncio
import shlex
import sys
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from harness.history.events import Closed, GaveUp, History, Server, Stalled
from harness.judged.targets import Target, whole_server
from harness.reports.words import Words
from harness.running.play import play
from harness.texts import texts
from harness.verdict.outcome import Outcome
from harness.worlds.base import World
from harness.worlds.client import Client
from harness.worlds.live import LiveWorld
from harness.worlds.surroundings import PlayStopped

HERE = Path(__file__).parent
SEED = "7"
"""Which plan the kit's own verdicts play."""
TRIES = 5
"""How often a scene is played at the most."""
_MARKS = {Outcome.PASSED: "✓", Outcome.FAILED: "✗", Outcome.INCONCLUSIVE: "?", Outcome.SKIPPED: "-"}

Scene = Callable[[World], Awaitable[None]]


def server(**components: str) -> Target:
    """The reference server; each of `components` is replaced by a file in this folder."""
    words = [sys.executable, "-P", "-m", "lab", "--log-level", "warning"]
    for component, file in components.items():
        words += ["--use", f"{component}={HERE / file}"]
    return whole_server(shlex.join(words), label=" and ".join(components.values()) or "reference")


async def perform(scene: Scene, **components: str) -> History:
    """Start a server, play a scene on it, end it, and return what happened.

    If this machine had no time for us meanwhile, it is played again: then even a right server may have taken
    somebody for absent. Raises RuntimeError if the server does not start, or ends before its time.
    """
    for _ in range(TRIES):
        events = await _play(scene, server(**components))
        if not any(isinstance(event, Stalled) for event in events):
            break
    return events


async def _play(scene: Scene, target: Target) -> History:
    world = LiveWorld(target, 0, SEED)
    try:
        await world.start_server()
        await scene(world)
        return list(world.history)
    except PlayStopped as stopped:
        raise RuntimeError(f"the scene could not be played to its end: {_last_words(world)}") from stopped
    finally:
        await world.close()


def _last_words(world: LiveWorld) -> str:
    """What went wrong last, as far as anybody saw it, and what the server printed."""
    ends = (Closed, GaveUp, Server)
    last = next((event for event in reversed(world.history) if isinstance(event, ends)), world.history[-1])
    at, who, what = Words(texts("en"), world.nonce).event(last)
    return "\n".join([f"after {at:.1f} s, {who} {what}", *world.output()])


async def say(client: Client, room: str, text: str, id: str | None = None) -> None:
    """Say something in a room (its full name), and do not wait for anything."""
    await client.say(room, f"{client.world.tag()}. {text}", id)


async def settle(*clients: Client) -> None:
    """Wait until the server has done all that these clients asked for, and each has heard what that led to.

    Answers come in order. So once everybody's question is answered, everything before it was done; and once
    everybody's second question is answered, everything that was sent to them has come.
    """
    for _ in range(2):
        await asyncio.gather(*(client.fence() for client in clients if client.is_open and not client.is_mute))


async def verdict(exercise: int, anomaly: str, component: str, **components: str) -> None:
    """Play a whole exercise as `chatlab check` does; print its steps, and what it says of one anomaly."""
    target = msgspec.structs.replace(server(**components), component=component)
    run = await play(exercise, target, SEED)
    words = Words(texts("en"), run.nonce, component)
    for step in run.steps:
        print(f"{_MARKS[step.outcome]} {step.step}  {words.step(step.step)}")
    found = next((each for step in run.steps for each in step.anomalies if each.name == anomaly), None)
    if found is None:
        print(f"\nThe check found no {anomaly}.")
    else:
        print(f"\n{words.title(found)}  ({found.name})")
        for label, text in (("ui.cause", words.cause(found)), ("ui.look", words.rule(found))):
            print(textwrap.fill(f"{texts('en').say(label)} {text}", 100))


def source(file: str, name: str) -> None:
    """Print the method `name` of a class in a file of this folder, as it stands there."""
    text = (HERE / file).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            lines = text.splitlines()[node.lineno - 1 : node.end_lineno]
            print("\n".join(line[4:] for line in lines), end="\n\n")

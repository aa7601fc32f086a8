"""The definition of an animal of the zoo, and how the modules of this package make one.

    @animal("1.5", "missing_notice", also="1.3")
    def leaving_is_not_announced(parts: Components) -> None:
        '''A client that sends `leave` is removed from the list, but its leaving is not announced.'''
        ...

The function adds the defect: it changes the components of the reference server, or the reference server
itself. Its docstring describes the defect, and `chatlab zoo` shows it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import signal
from collections.abc import Callable
from functools import partial
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent
from typing import Any

from msgspec import Struct

from lab.hub import Components, Config
from lab.protocol import HEARTBEAT_INTERVAL, OFFLINE_TIMEOUT
from lab.server import ChatServer, run
from lab.system import when_told_to_stop

Defect = Callable[[Components], None]
_OTHERS_THERE = {"sequencer", "presence", "store"}
"""The components that a chat node of a cluster has of its own."""

BOTH = ("live", "sim")


class Animal(Struct, frozen=True):
    """A server with one defect, and the verdict that it must get.

    One of the `steps` (mostly there is only one) must fail by this `anomaly`. The steps in `also` may fail,
    since the defect affects them too; all others must pass. It is played in these `worlds`; `why` says why
    not in both.
    """

    name: str
    steps: tuple[str, ...]
    anomaly: str
    says: str
    start: Callable[[], None] | None
    """Runs it, configured by environment variables, until it is asked to stop. None for a component."""
    also: tuple[str, ...] = ()
    worlds: tuple[str, ...] = BOTH
    why: str = ""
    defect: Defect | None = None
    """The change of the reference server, if it is made from that."""
    source: str = ""
    """Its source code, if it is a file of its own."""
    component: str = ""
    """The component that it replaces in the reference server, and that is called directly; or empty."""
    file: str = ""
    """The file in TypeScript that is changed, a path below the kit's folder; empty for what is in Python."""
    changes: tuple[tuple[str, str], ...] = ()
    """Parts of that file, and what stands there instead."""

    is_alone: bool = False
    """Whether it lives in no cluster, although it replaces nothing that is another one there."""

    @property
    def lives_in_cluster(self) -> bool:
        """Whether its defect is in what a chat node of a cluster has in common with a single server.

        Its sequencer, its presence manager and its store are others there, and a whole server in one file
        shares no rooms.
        """
        return self.defect is not None and not self.is_alone and not _OTHERS_THERE & _touched(self.defect)

    @property
    def exercise(self) -> int:
        """The exercise that it belongs to."""
        return int(self.steps[0][0])


_MADE: dict[str, Animal] = {}


def animal(step: str, anomaly: str, **more: Any) -> Callable[[Defect], Defect]:
    """Make the decorated function an animal: see `keep`."""

    def register(defect: Defect) -> Defect:
        says = cleandoc(defect.__doc__ or "")
        keep(defect.__name__, step, anomaly, says, partial(run_reference, defect), defect=defect, **more)
        return defect

    return register


def keep(
    name: str,
    step: str,
    anomaly: str,
    says: str,
    start: Callable[[], None] | None,
    *,
    also: str = "",
    **more: Any,
) -> None:
    """Add an animal. `step` and `also` may name several steps, with spaces between; for `more` see Animal."""
    assert name not in _MADE, f"there is an animal {name} already"
    steps = tuple(step.split())
    _MADE[name] = Animal(name, steps, anomaly, says, start, also=tuple(also.split()), **more)


def _touched(defect: Defect) -> set[str]:
    """The components that a defect replaces, or has to do with in more than calling them as a server does.

    These are attributes of what it is given, modules of `lab`, and whatever is private in a component. The
    store is nobody's but the sequencer's, where there is one.
    """
    tree = ast.parse(dedent(inspect.getsource(defect)))
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="parts" | "lab"), attr=name):
                found.add(name)
            case ast.Attribute(attr="store"):
                found.add("store")
            case ast.Attribute(value=ast.Attribute(attr=name), attr=inner) if inner.startswith("_"):
                found.add(name)
    return found


def made() -> dict[str, Animal]:
    """The animals made so far, by their names."""
    return _MADE


def run_reference(defect: Defect) -> None:
    """Run the reference server with a defect."""
    parts = Components()
    if backplane := os.environ.get("BACKPLANE"):
        from lab.command import load_components  # in a cluster only

        parts = load_components([], backplane)
    defect(parts)
    config = Config(
        os.environ.get("HOST", "127.0.0.1"),
        int(os.environ.get("PORT", "8080")),
        Path(os.environ.get("DATA_DIR", "data")),
        float(os.environ.get("HEARTBEAT_INTERVAL", HEARTBEAT_INTERVAL)),
        float(os.environ.get("OFFLINE_TIMEOUT", OFFLINE_TIMEOUT)),
    )

    async def serve() -> None:
        stop = asyncio.Event()
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
            when_told_to_stop(stop.set, ("SIGTERM",))
        await run(ChatServer(config, parts), stop)

    asyncio.run(serve())

"""Notices code that never returns: an endless loop, or a lock that is never released.

While such code runs nothing else does, the clock of the simulation included. So real time decides, by a
signal each second: much processor time in one turn of the loop is an endless loop. A turn that
takes long without the processor waits for something outside, and may take longer, since the machine may be
busy.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import process_time  # the real one, also while it is replaced
from types import FrameType

from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.source_locations import place_of

BUSY_SECONDS = 4.0
"""Seconds of processor time in one turn after which it counts as an endless loop."""
BLOCKED_TICKS = 20
"""Seconds without the processor, likewise."""


@contextmanager
def watching(
    simulator: Simulator, stuck: Callable[[str], None], busy: float = BUSY_SECONDS
) -> Iterator[None]:
    """While active, call `stuck` with the place in the code if one turn of the simulation does not end.

    `busy` are the seconds of processor time that a turn may take. `stuck` is called in the middle of that
    turn, and should end the process. Only the main thread can watch, on systems that have SIGALRM;
    elsewhere nothing is watched.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer"):
        yield
        return
    turn, began, ticks = -1, 0.0, 0

    def look(_: int, frame: FrameType | None) -> None:
        nonlocal turn, began, ticks
        if simulator.handled != turn:
            turn, began, ticks = simulator.handled, process_time(), 0
            return
        ticks += 1
        if process_time() - began >= busy or ticks >= BLOCKED_TICKS:
            where = place_of(frame)
            simulator.step_outside()  # what ends the process is no `os._exit` of the host
            stuck(where)

    previous = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, previous)

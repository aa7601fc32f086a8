"""What `/metrics` shows, in the text format of Prometheus, and how it is counted.

Nothing is counted for each frame: frames and bytes are counted where those of a tick are written in one piece
(`lab.send_queue`), and added up over all connections when somebody asks. How late the event loop is, is seen
from the first question on, so whoever never asks pays nothing for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

Figures = Mapping[str, float | Mapping[str, float]]
"""Values by the names of FAMILIES; where a family has a label, by the label's values."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FAMILIES: dict[str, tuple[str, str, str]] = {
    "chatlab_connections": ("gauge", "", "Connections that are open."),
    "chatlab_rooms": ("gauge", "", "Rooms that somebody is in."),
    "chatlab_messages_accepted_total": ("counter", "", "Chat messages that were accepted, retries included."),
    "chatlab_sent_frames_total": ("counter", "", "Frames of all kinds that were written to clients."),
    "chatlab_sent_bytes_total": ("counter", "", "Bytes of these frames, with their WebSocket headers."),
    "chatlab_received_frames_total": ("counter", "", "WebSocket frames of all kinds that clients sent."),
    "chatlab_received_bytes_total": ("counter", "", "Bytes that clients sent, with the opening handshakes."),
    "chatlab_connections_opened_total": ("counter", "", "Connections that were let in."),
    "chatlab_connections_refused_total": ("counter", "", "Connections refused since the server was full."),
    "chatlab_disconnects_total": (
        "counter",
        "reason",
        "Connections that the server ended, by the reason.",
    ),
    "chatlab_errors_total": ("counter", "code", "Frames that were answered with `error`, by its code."),
    "chatlab_event_loop_lag_seconds": (
        *("gauge", ""),
        "The most that the event loop was late in the last 10 seconds, from the first question on.",
    ),
    "process_cpu_seconds_total": ("counter", "", "Processor time of the server, by all its threads."),
}
"""Each family's type, its label if it has one, and its help."""

REASONS = {1013: "slow_reader", 1008: "flood", 1001: "silent"}
"""Why the server ends a connection, by the code that it closes it with."""

LOOK_EVERY = 0.25
"""Seconds between two looks at how late the event loop is."""


def as_text(figures: Figures) -> str:
    """The figures in the text format of Prometheus."""
    lines = []
    for name, figure in figures.items():
        kind, label, help = FAMILIES[name]
        lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
        if isinstance(figure, Mapping):
            lines += [f'{name}{{{label}="{each}"}} {value:.15g}' for each, value in figure.items()]
        else:
            lines.append(f"{name} {figure:.15g}")
    return "\n".join(lines) + "\n"


class LoopLag:
    """How late the event loop calls what is due."""

    def __init__(self) -> None:
        self._lates: deque[float] = deque(maxlen=round(10 / LOOK_EVERY))
        self._timer: asyncio.TimerHandle | None = None

    def most(self) -> float:
        """The most of the last ten seconds; the first call begins to look."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._look(loop, loop.time())
        return max(self._lates)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._lates.append(max(loop.time() - due, 0.0))
        due = loop.time() + LOOK_EVERY
        self._timer = loop.call_at(due, self._look, loop, due)

    def end(self) -> None:
        """Look no more."""
        if self._timer:
            self._timer.cancel()

"""How long a server is unavailable when it is killed and restarted at once."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from harness.bench.crowd import Chat
from harness.bench.peers import PEERS, REFERENCE, Peer, check_alive, launch
from harness.bench.plan import BenchError, Plan
from harness.bench.result import Cell, Part, Table, median, shown, spread
from harness.judged.environment import of_server
from harness.judged.process import ServerProcess
from harness.posix import KILL

_PATIENCE = 20.0
_POLL = 0.001
"""Seconds between two attempts to connect."""
_STARTS = 5
"""Restarts in each round."""


def starts(plan: Plan) -> Part:
    """Kill and restart the reference and the naive server in turns. Raises BenchError."""
    part = Part("start", "How long is it from SIGKILL to the first client that is connected again?")
    naive = next(peer for peer in PEERS if peer.name == "naive")
    times: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="chatlab-bench-") as name:
        for number in range(1, plan.rounds + 1):
            plan.say(f"start: round {number} of {plan.rounds}")
            for _ in range(_STARTS):
                times["python -c pass"].append(_bare(Path(name)))
                for peer in (REFERENCE, naive):
                    times[peer.name].append(_restart(peer, Path(name) / peer.name))
    rows: list[list[Cell]] = [
        [name, 1000 * median(of), spread([1000 * each for each in of])] for name, of in times.items()
    ]
    part.tables.append(Table("Milliseconds", ["", "median", "from, to"], rows))
    away, bare = median(times[REFERENCE.name]), median(times["python -c pass"])
    part.sentences.append(
        f"The reference is away for {shown(1000 * away)} ms; {shown(1000 * bare)} ms are any Python's."
    )
    return part


def _bare(folder: Path) -> float:
    """Seconds that a Python takes which does nothing, started as servers are."""
    began = time.perf_counter()
    process = ServerProcess([sys.executable, "-P", "-c", "pass"], folder, of_server({}), folder / "bare.txt")
    while process.exit_code is None:
        time.sleep(_POLL)
    taken = time.perf_counter() - began
    process.kill()
    return taken


def _restart(peer: Peer, folder: Path) -> float:
    """Seconds from the kill until a client has its WebSocket again."""
    folder.mkdir(exist_ok=True)
    first, port = launch(peer, folder)
    try:
        _connect(port, first)
        began = time.perf_counter()
        os.kill(first.pid, KILL)  # at once: `kill` would look for its child processes first
    finally:
        first.kill()
    second, port = launch(peer, folder, port)
    try:
        _connect(port, second)
        return time.perf_counter() - began
    finally:
        second.kill()


def _connect(port: int, process: ServerProcess) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            Chat().greet(sock, 0)
            return
        check_alive(process)
        time.sleep(_POLL)
    raise BenchError("nobody could connect")

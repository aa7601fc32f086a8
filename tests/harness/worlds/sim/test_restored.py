"""After a simulation, the standard library and the interpreter are as they were before."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import contextlib
import gc
import io
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from harness.worlds.sim.simulator import Deadlock, Simulator
from tests.harness.worlds.sim.hosts import Code, ended, start
from tests.harness.worlds.simulations import simulate


def standard_library() -> dict[str, Any]:
    """Everything that a simulation changes."""
    names = {
        asyncio: ("get_event_loop", "new_event_loop", "set_event_loop"),
        atexit: ("register",),
        builtins: ("open", "id", "input", "__build_class__"),
        io: ("open",),
        os: ("_exit", "environ", "fork", "getpid", "listdir", "scandir", "system", "urandom"),
        signal: ("getsignal", "signal"),
        socket.socket: ("__init__",),
        subprocess.Popen: ("__init__",),
        sys: ("argv", "path", "stderr", "stdout"),
        threading.Thread: ("start",),
        time: ("monotonic", "monotonic_ns", "perf_counter", "sleep"),
        uuid: ("_node", "_generate_time_safe"),
    }
    found = {f"{place}.{name}": getattr(place, name) for place, each in names.items() for name in each}
    found |= {"hooks": tuple(sys.get_asyncgen_hooks()), "collects": gc.isenabled(), "cwd": os.getcwd()}
    found |= {"handlers": list(logging.getLogger().handlers), "level": logging.getLogger().level}
    return found | {"chance": random.getstate(), "environ": dict(os.environ), "main": sys.modules["__main__"]}


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_behind(code: Code, tmp_path: Path, fails: bool) -> None:
    """After a run, even a failed one, the standard library,
    the modules and the random numbers are as before.
    """
    (tmp_path / "helper_of_the_server.py").write_text("")
    text = """
        import asyncio, helper_of_the_server, logging, os, random, signal, sys
        logging.basicConfig(level=10)
        os.environ["NEW"] = "1"
        sys.path.append("/nowhere")
        random.seed(5)
        signal.signal(signal.SIGTERM, print)
        asyncio.run(asyncio.sleep(1))
    """

    async def play(simulator: Simulator) -> None:
        await ended(start(simulator, code.main(text)))
        if fails:
            raise ValueError("boom")

    before, real, loaded = standard_library(), time.time(), dict(sys.modules)
    with pytest.raises(ValueError, match="boom") if fails else contextlib.nullcontext():
        simulate(play)
    after = standard_library()
    assert {name for name in before if before[name] != after[name]} == set()
    assert 0 <= time.time() - real < 60
    assert "helper_of_the_server" not in sys.modules
    assert [name for name in loaded if sys.modules.get(name) is not loaded[name]] == []
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert object.__hash__(asyncio.Future) == hash(asyncio.Future)
    assert "__hash__" not in vars(asyncio.Event)


def test_nothing_is_left_behind_by_a_deadlock() -> None:
    """Nor by a run that stopped in a deadlock."""
    before = standard_library()
    with pytest.raises(Deadlock):
        simulate(lambda simulator: asyncio.Event().wait())
    after = standard_library()
    assert {name for name in before if before[name] != after[name]} == set()

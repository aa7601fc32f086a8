"""State that belongs to a simulated host as it does to a process: modules, environment, handlers, output."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.history import events as history
from harness.judged.targets import Target
from harness.worlds.sim.simulator import Simulator
from harness.worlds.sim.world import SimWorld
from harness.worlds.surroundings import PlayStopped
from tests.harness.worlds.sim.hosts import LONG, Code, ended, run_host, running, start, waits_in_many_ways
from tests.harness.worlds.simulations import simulate

# --- modules ------------------------------------------------------------------------------------------


def test_a_restart_resets_variables(code: Code, tmp_path: Path) -> None:
    """Variables of modules and of classes, also of imported ones, are as at the start of a process."""
    (tmp_path / "helper.py").write_text("import lab.protocol\nSEEN = []\nclass Counter:\n    value = 0\n")
    text = """
        import helper, lab.protocol, sys
        helper.SEEN.append(1)
        helper.Counter.value += 1
        lab.protocol.CHANGED = getattr(lab.protocol, "CHANGED", 0) + 1
        print(len(helper.SEEN), helper.Counter.value, lab.protocol.CHANGED, __name__, sys.argv[1:])
    """
    program = code.main(text)

    async def play(simulator: Simulator) -> list[list[str]]:
        lines = []
        for _ in range(2):
            host = start(simulator, program)
            await ended(host)
            lines.append(host.lines())
        return lines

    import lab.protocol

    try:
        first, second = simulate(play)
    finally:
        vars(lab.protocol).pop("CHANGED", None)
    assert first == ["1 1 1 __main__ []"]
    assert second[0].startswith("1 1 ")


STARTS = """
class Counter:
    starts = 0
Counter.starts += 1
print("starts", Counter.starts)
raise SystemExit(Counter.starts)
"""


def test_a_world_restarts_a_server_with_new_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same through a world: each start of a server file has new variables and its own process number."""
    monkeypatch.setattr(SimWorld, "disk", str(tmp_path))
    (tmp_path / "server.py").write_text(STARTS)
    target = Target("file", (sys.executable, "server.py"), str(tmp_path))

    async def play(simulator: Simulator) -> list[Any]:
        world = SimWorld(simulator, target, 1, "seed")
        for _ in range(3):
            with pytest.raises(PlayStopped):
                await world.start_server()
        await world.close()
        servers = [event for event in world.history if isinstance(event, history.Server)]
        return [event.detail for event in servers if event.what == "not_ready"]

    with contextlib.chdir(tmp_path):
        details = simulate(play)
    assert [(each["code"], each["output"]) for each in details] == [(1, ["starts 1"])] * 3
    assert [path.name for path in tmp_path.iterdir()] == ["server.py"]


# --- what belongs to a host ---------------------------------------------------------------------------


def test_each_host_has_its_own_process() -> None:
    """Environment, process number and output are those of the host; the harness has its real ones."""
    real = os.getpid()

    async def main(name: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0.1)
            print(os.environ["NAME"], os.getenv("HOME"), file=sys.stderr if name == "b" else None)
        os.environ["NAME"] = "changed"
        sys.exit(os.getpid() % 100)

    async def play(simulator: Simulator) -> None:
        hosts = [start(simulator, running(main, n), NAME=n) for n in ("a", "b")]
        assert os.getpid() == real
        assert os.environ["PATH"]
        codes = [await ended(host) for host in hosts]
        assert codes == [host.pid % 100 for host in hosts]
        assert codes[0] != codes[1]
        assert [host.lines() for host in hosts] == [["a None"] * 3, ["b None"] * 3]
        assert [host.environ["NAME"] for host in hosts] == ["changed"] * 2

    simulate(play)
    assert "NAME" not in os.environ


def test_signal_handlers_and_atexit_of_two_hosts() -> None:
    """Signal handlers and `atexit` belong to the host that set them."""
    traces: list[str] = []

    async def main(name: str, code: int) -> None:
        atexit.register(traces.append, f"{name} at exit")
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(code))
        await asyncio.sleep(LONG)

    async def play(simulator: Simulator) -> list[int]:
        starts = {"a": 3, "b": 4}
        hosts = [start(simulator, running(main, n, c)) for n, c in starts.items()]
        await asyncio.sleep(1.0)
        hosts[1].send_signal(signal.SIGTERM)
        assert await ended(hosts[1]) == 4
        assert hosts[0].exit_code is None
        hosts[0].send_signal(signal.SIGTERM)
        return [await ended(host) for host in hosts]

    before = signal.getsignal(signal.SIGTERM)
    assert simulate(play) == [3, 4]
    assert traces == ["b at exit", "a at exit"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_os_exit() -> None:
    """`os._exit` ends the host with that code, whoever is waiting, and `atexit` does not run."""
    traces: list[str] = []

    async def leave() -> None:
        await asyncio.sleep(1.0)
        os._exit(9)

    async def main() -> None:
        atexit.register(traces.append, "at exit")
        await asyncio.gather(leave(), waits_in_many_ways(traces))

    assert run_host(running(main)).exit_code == 9
    gc.collect()
    assert traces == []


@pytest.mark.parametrize("end", [lambda: os._exit(1), lambda: threading.Thread(target=print).start()])
def test_nothing_runs_after_os_exit(end: Callable[[], object]) -> None:
    """After `os._exit`, or after a refused call, not even the `finally` around it runs."""
    traces: list[str] = []

    async def main() -> None:
        try:
            end()
        finally:
            traces.append("finally")

    run_host(running(main))
    assert traces == []


def test_logging_belongs_to_a_host(code: Code) -> None:
    """What a server logs is in its output, and at the next start no logging has been set up."""
    text = """
        import logging
        logging.warning("plain")
        logging.getLogger().handlers.clear()
        logging.basicConfig(format="set up: %(message)s")
        logging.warning("two")
    """
    before = list(logging.getLogger().handlers)
    for _ in range(2):
        assert code.run(text).lines() == ["WARNING:root:plain", "set up: two"]
    assert logging.getLogger().handlers == before


def test_a_line_may_be_printed_in_pieces() -> None:
    """Output is kept by line, and only the last lines are kept; how much was printed is counted."""

    def main() -> None:
        print("one", end="")
        print(" two", end="\nthree")
        for number in range(1000):
            print(number)

    host = run_host(main)
    assert host.lines()[-1] == "999"
    assert len(host.lines()) == 200
    assert host.printed == len("one two\nthree") + sum(len(f"{number}\n") for number in range(1000))

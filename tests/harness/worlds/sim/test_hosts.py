"""Simulated hosts: what belongs to each of them, what dies with it, and what they cannot do."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import contextlib
import datetime
import gc
import io
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.history import events as history
from harness.worlds.sim import modules
from harness.worlds.sim.host import Host
from harness.worlds.sim.simulator import UPTIME, Deadlock, Simulator
from harness.worlds.sim.world import NEW_YEAR, SimWorld
from harness.worlds.surroundings import PlayStopped
from harness.worlds.targets import Target

PAST: list[Simulator] = []
"""Simulations that are over: what was killed in them must never be tidied up."""
LONG = 100_000.0
"""Seconds of virtual time in which everything ends that ever does."""

Play = Callable[[Simulator], Coroutine[Any, Any, Any]]


def simulate(play: Play, seed: str = "seed") -> Any:
    """Run a coroutine in a new simulated world."""
    simulator = Simulator(seed, NEW_YEAR)
    PAST.append(simulator)
    with modules.restored():
        return simulator.run(play(simulator))


def start(simulator: Simulator, main: Callable[[], object], **environ: str) -> Host:
    """Start a program on a new host."""
    host = simulator.host("program")
    host.start(main, environ)
    return host


def running(main: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> Callable[[], object]:
    """The main part of a program that runs a coroutine."""
    return lambda: asyncio.run(main(*args))


async def ended(host: Host) -> int:
    """Wait until a host has ended; returns its exit code."""
    nap = 0.01
    async with asyncio.timeout(2 * LONG):
        while host.exit_code is None:
            await asyncio.sleep(nap)
            nap = min(2 * nap, 100.0)
    return host.exit_code


def run_host(main: Callable[[], object], seed: str = "seed", **environ: str) -> Host:
    """Run a program on a host to its end."""

    async def play(simulator: Simulator) -> Host:
        host = start(simulator, main, **environ)
        await ended(host)
        return host

    host: Host = simulate(play, seed)
    return host


class Code:
    """Programs in files, as servers are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def main(self, text: str, name: str = "server.py") -> Callable[[], object]:
        """The main part of a program with this text."""
        path = self.folder / name
        path.write_text(textwrap.dedent(text))

        def main() -> None:
            PAST[-1].hosts[-1].keep(modules.forget_own("lab"))
            modules.run_file(path, [])

        return main

    def run(self, text: str, seed: str = "seed", **environ: str) -> Host:
        """Run a program with this text on a host to its end."""
        return run_host(self.main(text), seed, **environ)


@pytest.fixture
def code(tmp_path: Path) -> Code:
    """Programs in a temporary folder."""
    return Code(tmp_path)


# --- the end of a host --------------------------------------------------------------------------------


class Told:
    """Says when its destructor runs."""

    def __init__(self, traces: list[str], what: str) -> None:
        self.traces = traces
        self.what = what

    def __del__(self) -> None:
        self.traces.append(self.what)


async def waits_in_many_ways(traces: list[str]) -> None:
    """Wait, with something to do at the end in each way that there is."""

    @asynccontextmanager
    async def manager() -> AsyncIterator[None]:
        try:
            yield
        finally:
            traces.append("context")

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.sleep(LONG)
        finally:
            traces.append("generator")

    told = Told(traces, "destructor")
    try:
        async with manager(), asyncio.timeout(LONG / 2):
            async for _ in numbers():
                await asyncio.sleep(LONG)
    except BaseException:
        traces.append("except")
    finally:
        traces.append("finally")
        del told


def test_killed_code_does_nothing_more() -> None:
    """After SIGKILL no `finally`, `except`, destructor, context manager, callback or `atexit` runs."""
    traces: list[str] = []

    def main() -> None:
        atexit.register(traces.append, "at exit")
        signal.signal(signal.SIGTERM, lambda *_: traces.append("signal"))
        asyncio.run(several())

    async def several() -> None:
        task = asyncio.create_task(waits_in_many_ways(traces))
        task.add_done_callback(lambda _: traces.append("callback"))
        asyncio.get_running_loop().call_later(1.0, traces.append, "later")
        asyncio.get_running_loop().run_in_executor(None, traces.append, "work")
        await waits_in_many_ways(traces)

    async def play(simulator: Simulator) -> Host:
        host = start(simulator, main)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        host.kill()
        gc.collect()
        await asyncio.sleep(LONG)
        gc.collect()
        return host

    assert simulate(play).exit_code == -signal.SIGKILL
    gc.collect()
    assert traces == []


def test_a_normal_end_runs_all_that() -> None:
    """The same program, asked to stop, does all that it has to do at its end."""
    traces: list[str] = []

    async def main() -> None:
        asyncio.current_task().add_done_callback(lambda _: traces.append("callback"))  # type: ignore[union-attr]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)  # type: ignore[union-attr]
        await waits_in_many_ways(traces)

    async def play(simulator: Simulator) -> int:
        host = start(simulator, running(main))
        await asyncio.sleep(1.0)
        host.send_signal(signal.SIGTERM)
        return await ended(host)

    assert simulate(play) == 0
    assert sorted(traces) == ["callback", "context", "destructor", "except", "finally", "generator"]


def test_a_killed_host_does_not_go_on_with_the_turn() -> None:
    """Callbacks that were ready to run when their host was killed do not run; those of others do."""
    traces: list[str] = []

    async def main(name: str) -> None:
        while True:
            await asyncio.sleep(0.01)
            traces.append(name)

    async def play(simulator: Simulator) -> None:
        killed, other = [start(simulator, running(main, n)) for n in ("killed", "other")]
        await asyncio.sleep(0.105)
        killed.kill()
        before = list(traces)
        await asyncio.sleep(1.0)
        assert traces.count("killed") == before.count("killed") > 0
        assert traces.count("other") > before.count("other") + 90
        other.kill()

    simulate(play)


def test_a_killed_host_is_off_the_network() -> None:
    """The connections of a killed host end at the other side, its port is free, and nobody is let in."""
    refused = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()

    async def main() -> None:
        async with await asyncio.start_server(talk, "127.0.0.1", 8080) as server:
            await server.serve_forever()

    async def play(simulator: Simulator) -> None:
        for _ in range(2):
            host = start(simulator, running(main))
            await asyncio.sleep(1.0)
            assert simulator.network.ports_of(host) == [8080]
            reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
            assert await reader.readexactly(5) == b"hello"
            host.kill()
            assert await reader.read() == b""
            writer.close()
            with contextlib.suppress(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", 8080)
                refused.append(False)

    simulate(play)
    assert refused == []


@pytest.mark.parametrize(
    ("address", "is_heard"),
    [("127.0.0.1", True), ("0.0.0.0", True), (None, True), ("::1", False), ("10.0.0.1", False)],
)
def test_who_listens_elsewhere_is_not_found(address: str | None, is_heard: bool) -> None:
    """Clients connect to 127.0.0.1: a server that listens at another address is not there."""

    async def main() -> None:
        async with await asyncio.start_server(lambda reader, writer: writer.close(), address, 8080) as server:
            await server.serve_forever()

    async def play(simulator: Simulator) -> None:
        start(simulator, running(main))
        await asyncio.sleep(1.0)
        with contextlib.nullcontext() if is_heard else pytest.raises(ConnectionRefusedError):
            _, writer = await asyncio.open_connection("127.0.0.1", 8080)
            writer.close()

    simulate(play)


def test_what_was_written_before_a_kill_may_arrive() -> None:
    """What a host wrote a while before it was killed is not lost on its way."""

    async def main() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", 9000)
        writer.write(b"last words")
        await asyncio.sleep(LONG)

    async def play(simulator: Simulator) -> bytes:
        heard = asyncio.get_running_loop().create_future()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.set_result(await reader.read())
            writer.close()

        async with await asyncio.start_server(listen, "127.0.0.1", 9000):
            host = start(simulator, running(main))
            await asyncio.sleep(2.0)
            host.kill()
            return bytes(await heard)

    assert simulate(play) == b"last words"


def test_a_connection_that_is_reset_before_it_was_accepted() -> None:
    """A busy host that accepts a connection which was reset meanwhile is told that it is lost."""
    happened: list[str] = []

    class Watcher(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            happened.append("made")

        def connection_lost(self, error: Exception | None) -> None:
            happened.append("lost")

    async def main() -> None:
        await asyncio.get_running_loop().create_server(Watcher, "127.0.0.1", 8080)
        await asyncio.sleep(1.0)
        time.sleep(10.0)  # noqa: ASYNC251 - this is what is tested
        await asyncio.sleep(LONG)

    async def play(simulator: Simulator) -> None:
        host = start(simulator, running(main))
        await asyncio.sleep(2.0)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", 8080)
        assert happened == []
        transport.reset()  # type: ignore[attr-defined]
        await asyncio.sleep(30.0)
        host.kill()

    simulate(play)
    assert happened in ([], ["made", "lost"])


def test_what_is_held_up_arrives_afterwards() -> None:
    """Nothing that a side writes arrives while it is held up, not even its end; then all does, in order."""

    async def play(simulator: Simulator) -> None:
        heard = bytearray()
        done = asyncio.Event()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"goes this way")
            while data := await reader.read(100):
                heard.extend(data)
            done.set()
            writer.close()

        async with await asyncio.start_server(listen, "127.0.0.1", 9000):
            reader, writer = await asyncio.open_connection("127.0.0.1", 9000)
            writer.write(b"one ")
            await asyncio.sleep(60.0)
            writer.transport.hold()  # type: ignore[attr-defined]
            writer.write(b"two ")
            writer.write(b"three")
            assert await reader.readexactly(13) == b"goes this way"
            writer.close()
            await asyncio.sleep(60.0)
            assert (bytes(heard), done.is_set()) == (b"one ", False)
            writer.transport.release()  # type: ignore[attr-defined]
            await done.wait()
            assert heard == b"one two three"

    simulate(play)


WRITES = """
    import asyncio, io, json, logging, os, pathlib, signal
    folder = pathlib.Path(os.environ["FOLDER"])
    async def main():
        global kept
        kept = [open(folder / "a", "w"), (folder / "b").open("wb"), io.open(folder / "c", "a", 4096)]
        for file, text in zip(kept, ("text", b"text", "text")):
            file.write(text)
        with open(folder / "closed", "w") as file:
            file.write("text")
        (folder / "at once").write_text("text")
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            pass
    asyncio.run(main())
"""


@pytest.mark.parametrize(("number", "content"), [(signal.SIGKILL, ""), (signal.SIGTERM, "text")])
def test_files_at_the_end(code: Code, tmp_path: Path, number: int, content: str) -> None:
    """What was written to a file and not flushed is lost by SIGKILL, and written at a normal end."""

    async def play(simulator: Simulator) -> None:
        host = start(simulator, code.main(WRITES), FOLDER=str(tmp_path))
        await asyncio.sleep(1.0)
        host.send_signal(number)
        await ended(host)
        gc.collect()

    simulate(play)
    gc.collect()
    assert [(tmp_path / name).read_text() for name in "abc"] == [content] * 3
    assert [(tmp_path / name).read_text() for name in ("closed", "at once")] == ["text"] * 2


def test_a_transaction_is_lost_by_a_kill(code: Code, tmp_path: Path) -> None:
    """Of a database, what was committed before SIGKILL stays, and nothing else; the next start may write."""
    text = """
        import asyncio, os, sqlite3
        async def main():
            database = sqlite3.connect(os.environ["FOLDER"] + "/db", isolation_level=None)
            database.execute("CREATE TABLE IF NOT EXISTS t (x)")
            database.execute("INSERT INTO t VALUES (1)")
            print(database.execute("SELECT count(*) FROM t").fetchone()[0])
            if os.environ["START"] == "0":
                database.execute("BEGIN")
                database.execute("INSERT INTO t VALUES (2)")
            await asyncio.sleep(1000)
        asyncio.run(main())
    """

    async def play(simulator: Simulator) -> list[str]:
        lines = []
        for number in range(2):
            folder = tmp_path / str(number)
            folder.mkdir()
            if number:
                folder.joinpath("db").write_bytes((tmp_path / "0" / "db").read_bytes())
            host = start(simulator, code.main(text), FOLDER=str(folder), START=str(number))
            await asyncio.sleep(1.0)
            host.kill()
            lines += host.lines()
        return lines

    assert simulate(play) == ["1", "2"]


# --- modules ------------------------------------------------------------------------------------------


def test_a_restart_begins_anew(code: Code, tmp_path: Path) -> None:
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


def test_a_world_restarts_a_server_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same through a world: each start of a server file has new variables, and its own process number."""
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
    """Environment, process number and output are those of the host, and the harness has its real ones."""
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


def test_handlers_and_exits_of_two_hosts() -> None:
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


def test_leaving_at_once() -> None:
    """`os._exit` ends the host with that code, whoever waits, and `atexit` does not run."""
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
def test_who_has_left_at_once_does_nothing_more(end: Callable[[], object]) -> None:
    """After `os._exit`, or what is refused, not even the `finally` around it runs."""
    traces: list[str] = []

    async def main() -> None:
        try:
            end()
        finally:
            traces.append("finally")

    run_host(running(main))
    assert traces == []


def test_logging_belongs_to_a_host(code: Code) -> None:
    """What a server logs is in its output, and the next start has set up no logging yet."""
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
    """Output is kept by line, of which only the last are kept; what was printed is counted."""

    def main() -> None:
        print("one", end="")
        print(" two", end="\nthree")
        for number in range(1000):
            print(number)

    host = run_host(main)
    assert host.lines()[-1] == "999"
    assert len(host.lines()) == 200
    assert host.printed == len("one two\nthree") + sum(len(f"{number}\n") for number in range(1000))


# --- time ---------------------------------------------------------------------------------------------


def clocks() -> list[float]:
    """What all clocks show."""
    return [
        asyncio.get_running_loop().time(),
        time.monotonic(),
        time.perf_counter(),
        time.monotonic_ns() / 1e9,
        time.time(),
        time.time_ns() / 1e9,
        datetime.datetime.now(datetime.UTC).timestamp(),
        datetime.datetime.now().timestamp(),
        time.mktime(time.localtime()) + time.time() % 1,
        time.clock_gettime(time.CLOCK_REALTIME),
    ]


@pytest.mark.parametrize("seconds", [0.001, 1.25, 86_400.0])
def test_the_clocks_agree(seconds: float) -> None:
    """All clocks go on by what was slept, on the harness's host and on a server's."""
    passed: list[float] = []

    async def main() -> None:
        before = clocks()
        await asyncio.sleep(seconds)
        passed.extend(after - then for then, after in zip(before, clocks(), strict=True))
        time.sleep(seconds)  # noqa: ASYNC251 - this is what is tested
        passed.extend((after - then) / 2 for then, after in zip(before, clocks(), strict=True))

    async def play(simulator: Simulator) -> None:
        await ended(start(simulator, running(main)))

    simulate(play)
    assert len(passed) == 20
    assert passed == pytest.approx([seconds] * 20, abs=2e-6)


def test_the_system_s_own_clock() -> None:
    """`time.clock_gettime` follows, too, for every clock."""

    async def play(simulator: Simulator) -> float:
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        await asyncio.sleep(100.0)
        return time.clock_gettime(time.CLOCK_MONOTONIC) - before

    assert simulate(play) == pytest.approx(100.0)


def test_the_day_of_the_start() -> None:
    """The time of day begins where the simulator was told."""

    async def play(simulator: Simulator) -> None:
        assert time.time() == NEW_YEAR
        assert datetime.datetime.now(datetime.UTC).isoformat() == "2026-01-01T00:00:00+00:00"
        assert asyncio.get_running_loop().time() == time.monotonic() == UPTIME

    simulate(play)


def test_time_passes_at_no_cost() -> None:
    """A day of virtual time takes no real day, and code takes no virtual time."""
    real = time.monotonic()

    async def play(simulator: Simulator) -> None:
        for _ in range(24):
            await asyncio.sleep(3600)
        before = asyncio.get_running_loop().time()
        sum(range(100_000))
        assert asyncio.get_running_loop().time() == before == UPTIME + 86_400.0

    simulate(play)
    assert time.monotonic() - real < 60


SLEEPS = """
    import asyncio, time
    async def tick():
        while True:
            print(round(time.monotonic() - began, 3))
            await asyncio.sleep(1)
    async def main():
        global began
        began = time.monotonic()
        ticks = asyncio.create_task(tick())
        await asyncio.sleep(1.5)
        time.sleep(3)
        await asyncio.sleep(1)
    asyncio.run(main())
"""


def test_sleeping_holds_up_one_host(code: Code) -> None:
    """`time.sleep` in a coroutine holds up everything on its host, nothing elsewhere, and is noted."""
    ticks: list[float] = []

    async def play(simulator: Simulator) -> Host:
        host = start(simulator, code.main(SLEEPS))
        while host.exit_code is None:
            ticks.append(round(asyncio.get_running_loop().time() - UPTIME, 3))
            await asyncio.sleep(0.5)
        return host

    host = simulate(play)
    assert [float(line) for line in host.lines()] == [0.0, 1.0, 4.5, 5.5]
    assert ticks == [number / 2 for number in range(len(ticks))]
    assert host.slept == {"server.py, line 12, in main: time.sleep(3)": 3.0}


def test_sleeping_in_the_main_part(code: Code) -> None:
    """`time.sleep` before `asyncio.run` takes its time, too."""
    host = code.run("import time\nbefore = time.time()\ntime.sleep(2)\nprint(time.time() - before)\n")
    assert host.lines() == ["2.0"]
    assert sum(host.slept.values()) == 2.0


IN_A_THREAD = """
    import asyncio, time
    from concurrent.futures import ThreadPoolExecutor
    async def main():
        loop, pool, began = asyncio.get_running_loop(), ThreadPoolExecutor(1), time.monotonic()
        work = [loop.run_in_executor(pool, time.sleep, 1.0) for _ in range(3)]
        await asyncio.sleep(0.5)
        print(round(time.monotonic() - began, 1))
        await asyncio.gather(*work)
        print(round(time.monotonic() - began, 1))
    asyncio.run(main())
"""


def test_sleeping_in_a_thread_holds_up_nobody(code: Code) -> None:
    """`time.sleep` in an executor takes its time, and the loop goes on meanwhile."""
    assert code.run(IN_A_THREAD.replace("range(3)", "range(1)")).lines() == ["0.5", "1.0"]


def test_sleeping_keeps_a_worker_busy(code: Code) -> None:
    """One worker that has to sleep three times takes three times as long."""
    assert code.run(IN_A_THREAD).lines() == ["0.5", "3.0"]


def test_sleeping_in_a_thread_is_no_mistake(code: Code) -> None:
    """`time.sleep` in an executor is not noted, since it is what one should do."""
    assert code.run(IN_A_THREAD).slept == {}


# --- chance -------------------------------------------------------------------------------------------

CHANCES = [
    "random.random()",
    "random.choice(range(10**9))",
    "random.SystemRandom().random()",
    "uuid.uuid4()",
    "uuid.uuid1()",
    "secrets.token_hex()",
    "os.urandom(8)",
    "os.getrandom(8)",
    "random.Random().random()",
    "(random.seed(), random.random())",
]


@pytest.mark.parametrize("chance", CHANCES)
def test_chance_follows_from_the_seed(code: Code, chance: str) -> None:
    """The same seed gives the same numbers, another one gives others."""
    text = f"import os, random, secrets, uuid\nprint({chance})\nprint({chance})\n"
    first, again, other = [code.run(text, seed).lines() for seed in ("one", "one", "two")]
    assert first == again
    assert first != other or chance == "uuid.uuid1()", "its chance is the time and the place"
    assert first[0] != first[1]


def test_the_order_of_sets_follows_from_nothing_else(code: Code) -> None:
    """Objects without a hash of their own lie in sets in the same order in each run."""
    text = """
        class Thing:
            def __init__(self, number):
                self.number = number
        kept = [bytearray(n) for n in range(hash("any") % 100)]
        print([thing.number for thing in {Thing(n) for n in range(50)}])
    """
    kept = [object() for _ in range(1000)]
    first = code.run(text).lines()
    kept += [object() for _ in range(777)]
    assert first == code.run(text).lines()


def test_the_same_seed_gives_the_same_run() -> None:
    """Everything that happens between hosts happens at the same moments with the same seed."""

    def play_of(seen: list[tuple[float, bytes]]) -> Play:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(100):
                await asyncio.to_thread(str, data)
                seen.append((time.time(), data))
                writer.write(data)
            writer.close()

        async def main() -> None:
            async with await asyncio.start_server(talk, "127.0.0.1", 8080) as server:
                await server.serve_forever()

        async def play(simulator: Simulator) -> None:
            host = start(simulator, running(main))
            await asyncio.sleep(1.0)
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
                writer.write(os.urandom(8))
                await reader.readexactly(8)
                writer.close()
            host.kill()

        return play

    runs: list[list[tuple[float, bytes]]] = [[], [], []]
    for seen, seed in zip(runs, ("one", "one", "two"), strict=True):
        simulate(play_of(seen), seed)
    assert len(runs[0]) == 5
    assert runs[0] == runs[1] != runs[2]


# --- what there is not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("threading.Thread(target=print).start()", "thread"),
        ("threading.Timer(1, print).start()", "thread"),
        ("ThreadPoolExecutor().submit(print)", "thread"),
        ("socket.socket()", "socket"),
        ("socket.create_connection(('127.0.0.1', 9))", "socket"),
        ("urllib.request.urlopen('http://127.0.0.1:9/')", "socket"),
        ("subprocess.run(['true'])", "process"),
        ("os.system('true')", "process"),
        ("os.fork()", "process"),
        ("os.execv('/bin/true', ['true'])", "process"),
        ("os.execlp('true', 'true')", "process"),
        ("multiprocessing.get_context('fork').Process(target=print).start()", "process"),
        ("await asyncio.create_subprocess_exec('true')", "process"),
        ("await asyncio.create_subprocess_shell('true')", "process"),
        ("asyncio.get_running_loop().add_reader(0, print)", "socket"),
        ("await asyncio.start_unix_server(print, 'path')", "socket"),
        ("input()", "input"),
    ],
)
@pytest.mark.parametrize("guard", ["pass", "try_except"])
def test_what_is_refused(code: Code, line: str, what: str, guard: str) -> None:
    """What would break virtual time ends the host, with the line that did it, whatever it catches."""
    body = [line] if guard == "pass" else ["try:", f"    {line}", "except Exception:", "    pass"]
    imports = "import asyncio, multiprocessing, os, socket, subprocess, threading, urllib.request"
    text = [imports, "from concurrent.futures import ThreadPoolExecutor", "async def main():"]
    text += [f"    {each}" for each in [*body, "print('never')"]]
    host = code.run("\n".join([*text, "asyncio.run(main())", ""]))
    assert host.refused is not None
    assert host.refused.what == what
    number = 4 + (guard != "pass")
    assert host.refused.where == f"server.py, line {number}, in main: {line}"
    assert (host.exit_code, host.lines()) == (1, [])


@pytest.mark.parametrize(
    "wait",
    [
        "asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001), loop).result(0.05)",
        "threading.Event().wait(0.05)",
        "queue.Queue().get(timeout=0.05)",
        "taken.acquire()",
    ],
)
def test_threads_cannot_wait(code: Code, wait: str) -> None:
    """Work that waits for the loop or another thread is refused: nothing would come while it runs."""
    text = f"""
        import asyncio, queue, threading
        async def main():
            loop, taken = asyncio.get_running_loop(), threading.Lock(); taken.acquire()
            def work():
                {wait}
            await asyncio.to_thread(work)
        asyncio.run(main())
    """
    host = code.run(text)
    assert host.refused is not None
    assert host.refused.where == f"server.py, line 6, in work: {wait}"


def test_the_harness_may_do_all_that() -> None:
    """The harness's own code is refused nothing, not even while a host runs."""

    async def play(simulator: Simulator) -> None:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
        say_one()

    def say_one() -> None:
        done = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True)
        assert done.stdout.split() == [b"1"]

    simulate(play)


# --- waiting for nothing ------------------------------------------------------------------------------


def test_a_deadlock_is_told() -> None:
    """When everybody waits for what never comes, that is an exception with each task's file and line."""

    async def waits_in_vain() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.Lock().acquire()
        await asyncio.get_running_loop().create_future()

    async def play(simulator: Simulator) -> None:
        start(simulator, running(main))
        await waits_in_vain()

    with pytest.raises(Deadlock) as error:
        simulate(play)
    lines = str(error.value).splitlines()
    assert "nothing is left to run" in lines[0]
    for host, place in (
        ("harness", "in waits_in_vain: await asyncio.Event().wait()"),
        ("program", "in main"),
    ):
        assert any(line.startswith(f"{host}: test_sim_hosts.py, line ") and place in line for line in lines)


def test_a_deadlock_of_one_host_alone_is_none() -> None:
    """While somebody has something to do, others may wait; what they wait for can be asked."""

    async def main() -> None:
        lock = asyncio.Lock()
        async with lock:
            await lock.acquire()

    async def play(simulator: Simulator) -> list[str]:
        host = start(simulator, running(main))
        await asyncio.sleep(10.0)
        return host.waiting(("Lock.acquire",))

    (place,) = simulate(play)
    assert place.startswith("test_sim_hosts.py, line ")
    assert place.endswith("in main: await lock.acquire()")


def test_a_busy_wait_does_not_stop_time() -> None:
    """`while …: await asyncio.sleep(0)` waits until something happens, on its own host and elsewhere."""

    async def main() -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            await asyncio.sleep(0)

    async def forever() -> None:
        while True:
            await asyncio.sleep(0)

    async def play(simulator: Simulator) -> None:
        host = start(simulator, running(main))
        other = start(simulator, lambda: asyncio.run(forever()))
        await asyncio.sleep(2.0)
        assert asyncio.get_running_loop().time() == UPTIME + 2.0
        assert (host.exit_code, other.exit_code) == (None, None)
        assert await ended(host) == 0
        other.kill()

    simulate(play)


def test_a_busy_wait_alone_ends_by_its_own_clock() -> None:
    """A busy wait for a moment comes to its end although nothing else is due before."""

    async def play(simulator: Simulator) -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            await asyncio.sleep(0)

    simulate(play)


# --- afterwards ---------------------------------------------------------------------------------------


def standard_library() -> dict[str, Any]:
    """All that a simulation changes."""
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
    """After a run, also a failed one, the standard library is as it was, and so are modules and chance."""
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
    """Nor by a run that could not end."""
    before = standard_library()
    with pytest.raises(Deadlock):
        simulate(lambda simulator: asyncio.Event().wait())
    after = standard_library()
    assert {name for name in before if before[name] != after[name]} == set()

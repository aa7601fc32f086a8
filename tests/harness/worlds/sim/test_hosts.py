"""The end of a simulated host: what stops with it, what is lost, and what still arrives."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import signal
import time
from pathlib import Path

import pytest

from harness.worlds.sim.host import Host
from harness.worlds.sim.simulator import Simulator
from tests.harness.worlds.sim.hosts import LONG, Code, ended, running, start, waits_in_many_ways
from tests.harness.worlds.simulations import simulate


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


def test_a_normal_end_runs_all_cleanup_code() -> None:
    """The same program, asked to stop, runs all of its cleanup code."""
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


def test_a_killed_host_runs_no_callback_that_was_ready() -> None:
    """Callbacks that were ready when their host was killed do not run; those of other hosts do."""
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


def test_a_killed_host_has_no_connections_and_no_port() -> None:
    """The connections of a killed host end at the other side, its port is free,
    and new connections are refused.
    """
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
def test_a_server_at_another_address_is_not_found(address: str | None, is_heard: bool) -> None:
    """Clients connect to 127.0.0.1: a server that listens at another address is not found."""

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


def test_a_connection_reset_before_it_was_accepted() -> None:
    """A busy host that accepts a connection which has been reset meanwhile gets `connection_lost`."""
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


def test_delayed_data_arrives_later_in_order() -> None:
    """While a direction is held up, nothing arrives that was written, not even the end;
    later all of it does, in order.
    """

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
    """What was written to a file and not flushed is lost by SIGKILL, and saved at a normal end."""

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
    """After SIGKILL a database has what was committed and nothing else; the next start may write to it."""
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

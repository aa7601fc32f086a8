"""Each loop: transports between two protocols, their ends, their buffers, and readers that do not read."""

from __future__ import annotations

import asyncio

import pytest

from tests.harness.worlds.connections import Recorder, connected, filled, pattern
from tests.harness.worlds.loops import Run


def test_bytes_arrive_complete_and_in_order(run: Run) -> None:
    """What was written in several writes of many sizes arrives unchanged."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            sent, at = pattern(300_000), 0
            for size in (0, 1, 2, 100, 5_000, 70_000, 1, 300_000):
                near.transport.write(sent[at : at + size])
                at += size
            near.transport.writelines([b"last", bytearray(b" "), memoryview(b"words")])
            near.transport.close()
            await far.lost.wait()
            assert far.data == sent + b"last words"

    run(main)


def test_writing_after_the_end_was_written(run: Run) -> None:
    """To write after `write_eof` is a RuntimeError."""

    async def main() -> None:
        near, far = Recorder(), Recorder(keeps_open=True)
        async with connected(near, far):
            near.transport.write_eof()
            with pytest.raises(RuntimeError):
                near.transport.write(b"more")

    run(main)


def test_abort_is_noticed(run: Run) -> None:
    """`abort` at one end gives `connection_lost` at both."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            near.transport.abort()
            await near.lost.wait()
            await far.lost.wait()
            assert near.happened == ["made", "lost"]
            assert near.error is None
            assert far.happened[-1] == "lost"

    run(main)


def test_close_is_noticed_as_an_end(run: Run) -> None:
    """After the other side's `close`, `eof_received` comes first and `connection_lost` then, once each."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            near.transport.write(b"last")
            near.transport.close()
            near.transport.close()
            assert near.transport.is_closing()
            await far.lost.wait()
            assert (far.happened, bytes(far.data), far.error) == (["made", "eof", "lost"], b"last", None)
            assert near.happened == ["made", "lost"]

    run(main)


def test_connection_lost_is_not_called_by_close(run: Run) -> None:
    """`connection_lost` is called in a later turn, and not from within `close` or `abort`."""

    async def main() -> None:
        for way in ("close", "abort"):
            near, far = Recorder(), Recorder()
            async with connected(near, far):
                getattr(near.transport, way)()
                assert not near.lost.is_set()
                await near.lost.wait()

    run(main)


def test_writing_to_a_closed_connection(run: Run) -> None:
    """A side that goes on writing after the other has closed loses the connection by a ConnectionError."""

    async def main() -> None:
        near, far = Recorder(), Recorder(keeps_open=True)
        async with connected(near, far):
            near.transport.close()
            await far.ended.wait()
            assert not far.transport.is_closing()
            while not far.lost.is_set():
                far.transport.write(b"anybody?")
                await asyncio.sleep(0.001)
            assert isinstance(far.error, ConnectionError)

    run(main)


@pytest.mark.parametrize("way", ["close", "abort"])
def test_writing_after_the_end_is_dropped(run: Run, way: str) -> None:
    """What is written after `close` or `abort` raises nothing, and does not arrive."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            near.transport.write(b"before")
            while not far.data:
                await asyncio.sleep(0.001)
            getattr(near.transport, way)()
            near.transport.write(b"after")
            await far.lost.wait()
            near.transport.write(b"long after")
            assert far.data == b"before"

    run(main)


@pytest.mark.parametrize("wrong", ["text", 5])
def test_only_bytes_can_be_written(run: Run, wrong: object) -> None:
    """To write anything but bytes raises a TypeError."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            with pytest.raises(TypeError):
                near.transport.write(wrong)

    run(main)


def test_empty_writes_must_be_bytes_too(run: Run) -> None:
    """To write an empty object that is not bytes raises a TypeError, too."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            with pytest.raises(TypeError):
                near.transport.write("")

    run(main)


def test_a_protocol_that_fails(run: Run) -> None:
    """A protocol that raises in `data_received` gets `connection_lost` with that exception."""

    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ValueError("boom")

    async def main() -> list[str]:
        reported: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(repr(context["exception"])))
        near, far = Recorder(), Failing()
        async with connected(near, far):
            near.transport.write(b"text")
            async with asyncio.timeout(5):
                await far.lost.wait()
                await near.lost.wait()
            assert isinstance(far.error, ValueError)
        return reported

    assert run(main) == ["ValueError('boom')"]


def test_buffered_protocols(run: Run) -> None:
    """A protocol that provides its own buffer gets the data written into it."""

    class Buffered(asyncio.BufferedProtocol, Recorder):  # type: ignore[misc]
        def data_received(self, data: bytes) -> None:
            raise AssertionError("it has a buffer")

        def get_buffer(self, sizehint: int) -> bytearray:
            self.buffer = bytearray(8)
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.data += self.buffer[:nbytes]

    async def main() -> None:
        near, far = Recorder(), Buffered()
        async with connected(near, far):
            near.transport.write(pattern(400))
            near.transport.close()
            async with asyncio.timeout(5):
                await far.lost.wait()
            assert far.data == pattern(400)

    run(main)


# --- readers that do not read -------------------------------------------------------------------------


def test_back_pressure(run: Run) -> None:
    """A receiver that does not read makes the sender pause after a limited number of bytes; none is lost."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            far.transport.pause_reading()
            assert not far.transport.is_reading()
            chunk = pattern(64 * 1024)
            written = await filled(near, chunk)
            assert near.transport.get_write_buffer_size() > 0
            assert near.happened == ["made", "pause"]
            far.transport.resume_reading()
            await near.may_write.wait()
            near.transport.close()
            await far.lost.wait()
            assert bytes(far.data) == chunk * (written // len(chunk))
            assert near.happened[:3] == ["made", "pause", "resume"]

    run(main)


def test_limits_of_the_buffer(run: Run) -> None:
    """With a limit of 0, the sender pauses as soon as anything waits; the limits can be asked for."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            assert near.transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
            near.transport.set_write_buffer_limits(high=0)
            assert near.transport.get_write_buffer_limits() == (0, 0)
            far.transport.pause_reading()
            await filled(near, pattern(1024 * 1024))
            far.transport.resume_reading()
            await near.may_write.wait()
            assert near.transport.get_write_buffer_size() == 0

    run(main)


def test_impossible_limits(run: Run) -> None:
    """Limits of which the low one is above the high one raise a ValueError."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            with pytest.raises(ValueError, match="must be"):
                near.transport.set_write_buffer_limits(high=1, low=2)

    run(main)


def test_closing_sends_what_waits(run: Run) -> None:
    """Data in the sender's buffer when it closes is sent first, as soon as the other side reads."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            far.transport.pause_reading()
            near.transport.write(bytes(16 * 2**20))
            assert near.transport.get_write_buffer_size() > 0
            near.transport.close()
            await asyncio.sleep(0.02)
            assert not near.lost.is_set()
            far.transport.resume_reading()
            await far.lost.wait()
            assert len(far.data) == 16 * 2**20
            assert near.error is None

    run(main)


def test_pausing_keeps_what_comes(run: Run) -> None:
    """While reading is paused nothing is received, not even the end; afterwards everything is."""

    async def main() -> None:
        near, far = Recorder(), Recorder()
        async with connected(near, far):
            far.transport.pause_reading()
            far.transport.pause_reading()
            near.transport.write(b"waits")
            near.transport.close()
            await near.lost.wait()
            await asyncio.sleep(0.02)
            assert (bytes(far.data), far.happened) == (b"", ["made"])
            far.transport.resume_reading()
            await far.lost.wait()
            assert (bytes(far.data), far.happened) == (b"waits", ["made", "eof", "lost"])

    run(main)

"""The two attacks of the fuzzers: a batch of odd messages on one connection, and one broken stream."""

from __future__ import annotations

import asyncio
import socket
from random import Random

from lab.protocol import ErrorCode
from tests.stress.frames import Due, on_the_wire, shot
from tests.stress.link import CLOSE, PATIENCE, Gone, Json, Link, asking, reset, take_frames
from tests.stress.streams import Ending, Stream, stream

BATCH = 250
"""Messages on one connection."""
ANSWERS = {"message", "presence", "history", "heartbeat", "error"}
CODES = {str(code) for code in ErrorCode} - {
    ErrorCode.UNAVAILABLE,
    ErrorCode.RATE_LIMITED,
    ErrorCode.BAD_NAME,
}


async def batch(port: int, chance: Random) -> None:
    """Send BATCH messages at once. The server answers those that it must refuse, and keeps the connection."""
    link = await Link.open(port, f"fuzzer-{chance.randrange(20)}")
    try:
        shots = [shot(chance) for _ in range(BATCH)]
        data = b"".join([on_the_wire(each, chance) for each in shots])
        if chance.random() < 0.1:  # the connection ends in the middle of it
            link.write(data[: chance.randrange(len(data))])
            await asyncio.sleep(0)
            return
        link.write(data + asking("presence", room="the-end"))
        came = await _read_to_fence(link)
        check_answers(came, [each.due for each in shots])
    except Gone as error:
        raise AssertionError(f"good frames, and {error}") from error
    finally:
        link.abort()


async def _read_to_fence(link: Link) -> list[Json]:
    came: list[Json] = []
    while True:
        part = await link.some()
        came += part
        # It may be anywhere in the part: messages of others follow it.
        if any(frame["type"] == "presence" and frame["data"]["room"] == "the-end" for frame in part):
            return came


def check_answers(came: list[Json], dues: list[Due]) -> None:
    """Every answer is one of the contract's, and as many messages were refused as had to be."""
    assert {frame["type"] for frame in came} <= ANSWERS, came
    errors = [frame["data"] for frame in came if frame["type"] == "error"]
    odd = [error for error in errors if error["code"] not in CODES]
    assert not odd, odd
    at_least = dues.count(Due.REFUSED)
    at_most = len(dues) - dues.count(Due.OBEYED)
    assert at_least <= len(errors) <= at_most, f"{len(errors)} refused, not {at_least} to {at_most}"


async def broken(port: int, chance: Random) -> None:
    """Send one stream. If the server has to end the connection, it does, with a code that fits."""
    each = stream(chance)
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    try:
        async with asyncio.timeout(PATIENCE):
            await loop.sock_connect(sock, ("127.0.0.1", port))
            answer = await _play(each, sock, loop)
        if each.codes:
            code = close_code(answer)
            assert code in each.codes, f"closed with {code}, not one of {each.codes}: {answer[-300:]!r}"
    except BaseException as error:
        error.add_note(f"{each.kind}, {each.ending.value}: {b''.join(each.parts)[-300:]!r}")
        raise
    finally:
        if each.ending is Ending.RESET:
            reset(sock)
        else:
            sock.close()


async def _play(each: Stream, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> bytes:
    """Write the stream, and read to the end where it has one; returns what was read."""
    answer = b""
    try:
        for number, part in enumerate(each.parts):
            await loop.sock_sendall(sock, part)
            if each.greeted and number == 0:
                while b"connected" not in answer:
                    more = await loop.sock_recv(sock, 1 << 16)
                    assert more, f"ended in the handshake: {answer!r}"
                    answer += more
        if each.ending is Ending.FINISH:
            sock.shutdown(socket.SHUT_WR)
        if each.ending in (Ending.FINISH, Ending.WAIT):
            while close_code(answer) is None and (more := await loop.sock_recv(sock, 1 << 16)):
                answer += more
    except (ConnectionError, OSError):
        pass  # it was ended while we wrote
    return answer


def close_code(answer: bytes) -> int | None:
    """The code of the close frame after the handshake's answer; None if there is none."""
    _, greeted, rest = answer.partition(b"\r\n\r\n")
    frames = take_frames(bytearray(rest)) if greeted and b" 101 " in answer[:20] else []
    codes = [int.from_bytes(payload[:2], "big") for opcode, payload in frames if opcode == CLOSE]
    return codes[0] if codes else None

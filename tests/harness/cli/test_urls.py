"""Each command that takes a `--url`, with addresses that do not lead to a chat server as they should."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.extras import needs_module
from tests.harness.worlds.rawservers import CONNECTED, TEXT, Conduct, frame, listening, sends, status, text

pytestmark = pytest.mark.live

CHATLAB = ("-m", "harness.cli.main")
FEW = ("--users", "2", "--time", "2s", "--pace", "20")
COMMANDS = {
    "check": (*CHATLAB, "check", "2", "--url"),
    "doctor": (*CHATLAB, "doctor", "--url"),
    "load": (*CHATLAB, "load", *FEW, "--url"),
    "pytest": (
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:locust",
        "--lab-exercises=1",
        "--lab-url",
    ),
}
"""What is typed before the address, after `python -P`."""


async def run(folder: Path, *arguments: str) -> tuple[int | None, str]:
    """Run a command of Python in a folder, while servers of this process answer it: its code and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", *arguments),
        cwd=folder,
        env={**os.environ, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode, " ".join(out.decode().split())


def noting(requests: list[str], conduct: Conduct) -> Conduct:
    """The same conduct, which notes the first line of each request."""

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        requests.append(head.decode().splitlines()[0])
        reader._buffer[:0] = head  # type: ignore[attr-defined]  # it has no way to put something back
        await conduct(reader, writer)

    return note


@pytest.mark.parametrize(
    "command", ["check", "doctor", "pytest", pytest.param("load", marks=pytest.mark.extra)]
)
async def test_a_redirect_is_told_and_not_followed(command: str, tmp_path: Path) -> None:
    """In the same words, with code 1; and the query of the address was kept in the request."""
    if command == "load":
        needs_module("locust", "load")
    requests: list[str] = []
    conduct = noting(requests, status("307 Moved", "Location: /chat/?key=abc&user=me"))
    async with listening(conduct) as port:
        code, said = await run(tmp_path, *COMMANDS[command], f"ws://127.0.0.1:{port}/?key=abc&user=x")
    assert code == 1, said
    assert f"a redirect (status 307) to ws://127.0.0.1:{port}/chat/?key=abc." in said
    assert "do not follow redirects" in said
    assert "Traceback" not in said
    assert requests
    assert all(line.startswith("GET /?key=abc&user=probe-") for line in requests)


async def test_a_violation_of_the_protocol_is_told(tmp_path: Path) -> None:
    """Not as what the server has done, but as what our client did because of it."""
    conduct = sends(text(CONNECTED), on_frame=frame(TEXT, "é".encode("latin-1")))
    async with listening(conduct) as port:
        code, said = await run(tmp_path, *COMMANDS["doctor"], f"ws://127.0.0.1:{port}/")
    assert code == 1, said
    assert (
        r"received text that is not UTF-8 (b'\xe9'), so the client ended the connection (code 1007)" in said
    )
    assert "was disconnected by the server" not in said


async def bad_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers whatever comes by plain HTTP."""
    await reader.read(100)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize("command", ["check", "doctor"])
async def test_tls_at_an_address_without_it(command: str, tmp_path: Path) -> None:
    """A plain server at a wss:// address is not a server that nobody has started."""
    async with listening(bad_request) as port:
        code, said = await run(tmp_path, *COMMANDS[command], f"wss://127.0.0.1:{port}/")
    assert code == 1, said
    assert "Write ws:// in place of wss:// in --url." in said


async def test_an_address_that_the_library_refuses_is_wrong_usage(tmp_path: Path) -> None:
    """Such as one with a user but without a password."""
    code, said = await run(tmp_path, *COMMANDS["check"], "ws://ada@127.0.0.1:1/")
    assert code == 64, said
    assert "username provided without password" in said

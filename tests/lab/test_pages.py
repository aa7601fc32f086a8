from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.limits import Limits
from lab.pages import WEB
from lab.server import ChatServer
from tests.lab.helpers import PATIENCE, dial, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ChatServer]:
    """A server without clients."""
    async with serving(tmp_path) as server:
        yield server


async def ask(port: int, request: str) -> tuple[str, bytes]:
    """The head and the body of the answer to a request line, as they are sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{request} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), PATIENCE)).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.decode(), body


async def test_the_page_and_all_files_that_it_names(server: ChatServer) -> None:
    """`/` is the page; its styles, its icon and each module that another one imports are there too."""
    head, body = await ask(server.port, "GET /?user=ada")
    assert head.startswith("HTTP/1.1 200 ")
    assert "Content-Type: text/html; charset=utf-8" in head
    assert body == (WEB / "index.html").read_bytes()
    kinds = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    names = set(re.findall(r'(?:href|src)="([\w.]+)"', body.decode()))
    assert {"main.js", "page.css", "icon.svg"} <= names
    seen: set[str] = set()
    while names - seen:
        name = min(names - seen)
        seen.add(name)
        head, body = await ask(server.port, f"GET /{name}")
        assert head.startswith("HTTP/1.1 200 "), name
        assert f"Content-Type: {kinds[name.rpartition('.')[2]]}" in head
        assert f"Content-Length: {len(body)}" in head
        names |= set(re.findall(r'(?:from |import\(|href: )"(?:\./)?([\w.]+)"', body.decode()))
    assert seen | {"index.html"} == {path.name for path in WEB.iterdir()}


async def test_the_page_offers_the_rooms_that_the_server_names(tmp_path: Path) -> None:
    """They stand in the page, which has no other difference; what could end the attribute does not."""
    async with serving(tmp_path, rooms=("general", "café", '"><b>')) as server:
        _, body = await ask(server.port, "GET /")
    named = b'content="general,caf\xc3\xa9,&quot;&gt;&lt;b&gt;"'
    assert named in body
    assert body.replace(named, b'content=""') == (WEB / "index.html").read_bytes()


@pytest.mark.parametrize("path", ["/", "/main.js", "/healthz", "/nothing"])
async def test_every_answer_is_safe(server: ChatServer, path: str) -> None:
    """No answer lets a browser run foreign scripts, guess a type, or show the page in another's frame."""
    head, _ = await ask(server.port, f"GET {path}")
    assert "Content-Security-Policy: default-src 'self'; connect-src 'self' ws: wss:;" in head
    assert "frame-ancestors 'none'" in head
    assert "X-Content-Type-Options: nosniff" in head


@pytest.mark.parametrize(
    "path",
    [
        "/favicon.ico",
        "/index.html",
        "/../server.py",
        "/web/../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "//etc/passwd",
        "/./main.js",
        "/main.js/",
        "/.",
        "server.py",
        "http://localhost/main.js",
    ],
)
async def test_other_paths_are_not_found(server: ChatServer, path: str) -> None:
    """Whatever is not one of the page's files by its plain name is not found."""
    head, body = await ask(server.port, f"GET {path}")
    assert head.startswith("HTTP/1.1 404 ")
    assert body == b"There are /, /healthz and /metrics.\n"


async def test_head_is_get_without_the_body(server: ChatServer) -> None:
    """HEAD has the same head as GET, and nothing after it."""
    for path in ("/", "/healthz", "/nothing"):
        expected, body = await ask(server.port, f"GET {path}")
        assert body
        head, nothing = await ask(server.port, f"HEAD {path}")
        without_date = [line for line in head.splitlines() if not line.startswith("Date:")]
        assert without_date == [line for line in expected.splitlines() if not line.startswith("Date:")]
        assert nothing == b""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_other_methods_are_refused(server: ChatServer, method: str) -> None:
    """Nothing but GET and HEAD is accepted, and the chat goes on."""
    head, _ = await ask(server.port, f"{method} /")
    assert head.startswith("HTTP/1.1 405 ")
    assert "Allow: GET, HEAD" in head
    async with dial(server, "ada") as ada:
        await ada.join()


async def test_malformed_requests_do_not_end_the_server(
    server: ChatServer, caplog: pytest.LogCaptureFixture
) -> None:
    """They get an error or no answer; the next request is served."""
    for nonsense in ("", "GET", "GET /\x00", "POST /\r\nContent-Length: 3\r\n\r\nabc", "GET / / /"):
        await ask(server.port, nonsense)
    head, _ = await ask(server.port, "GET /healthz")
    assert head.startswith("HTTP/1.1 200 ")


async def test_health_has_a_port_of_its_own(tmp_path: Path) -> None:
    """On the second port there are /healthz and /metrics alone, also while the server is full."""
    async with serving(tmp_path, health_port=0) as plain:
        assert plain._health_door is None
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    async with serving(tmp_path, health_port=port, limits=Limits(connections=1)) as server, dial(server):
        assert (await ask(port, "GET /healthz"))[1] == b"ok\n"
        assert b"chatlab_connections 1" in (await ask(port, "GET /metrics"))[1]
        for path in ("/", "/main.js", "/healthz/x"):
            assert (await ask(port, f"GET {path}"))[0].startswith("HTTP/1.1 404 ")


async def test_what_follows_a_request_is_not_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More requests behind the first one end the connection, and the log says nothing of it."""
    async with serving(tmp_path) as server:
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), PATIENCE)
            writer.transport.abort()
        assert (await ask(server.port, "GET /healthz"))[1] == b"ok\n"
    assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []

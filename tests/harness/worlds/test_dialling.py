"""Opening connections: all addresses of a name, redirects, TLS, and why there is no connection."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from harness.judged import targets
from harness.judged.targets import as_user
from harness.worlds.dialling import connected_socket, dial, dial_blocking, other_scheme
from harness.worlds.library_errors import NotOpened
from harness.worlds.live import LiveWorld
from tests.harness.worlds.rawservers import (
    CONNECTED,
    Conduct,
    hangs_up,
    listening,
    never_answers,
    sends,
    status,
    text,
)

SECONDS = 20.0
"""More than any handshake takes on a slow machine."""
GREETS = sends(text(CONNECTED))


async def async_dial(address: str, user: str = "ada", seconds: float = SECONDS) -> None:
    """Open a connection as the clients of a check do, and drop it."""
    (await dial(address, user, seconds, connected_socket)).transport.abort()


async def narrow_dial(address: str, user: str = "ada", seconds: float = SECONDS) -> None:
    """As one that is not going to read."""
    connection = await dial(address, user, seconds, partial(connected_socket, narrow=True))
    connection.transport.abort()


async def thread_dial(address: str, user: str = "ada", seconds: float = SECONDS) -> None:
    """As a user of a load."""

    def open_it() -> None:
        dial_blocking(address, user, seconds, ClientConnection).close_socket()

    await asyncio.to_thread(open_it)


DIALS = [async_dial, narrow_dial, thread_dial]


@pytest.fixture
def localhost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name localhost is ::1 first, and 127.0.0.1 second, as on many machines."""
    look_up = socket.getaddrinfo

    def both(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host != "localhost":
            return look_up(host, port, *args, **more)
        if more.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "no number")
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)


@pytest.mark.usefixtures("localhost")
@pytest.mark.parametrize("any_dial", DIALS)
async def test_all_addresses_of_a_name_are_tried(any_dial: Any) -> None:
    """The server is at the second one; where it is at none, the connection was refused."""
    async with listening(GREETS) as port:
        await any_dial(f"ws://localhost:{port}/")
    with pytest.raises(NotOpened) as error:
        await any_dial(f"ws://localhost:{port}/")
    assert error.value.why == "nobody"


@pytest.mark.usefixtures("localhost")
async def test_a_slow_reader_of_a_world_finds_the_second_address() -> None:
    """As any other client does; its buffer is small."""
    async with listening(GREETS) as port:
        world = LiveWorld(targets.at_url(f"ws://localhost:{port}/"), 2, "seed")
        try:
            await world.start_server()
            slow = await world.client("slow", narrow=True)
            assert slow._ws is not None
            sock = slow._ws.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 20_000
        finally:
            await world.close()


async def test_an_address_that_never_answers_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each gets its share of the time; if none answers, the host cannot be reached."""
    loop = asyncio.get_running_loop()
    connect, far = loop.sock_connect, [(2, 1, 6, "", ("192.0.2.1", 80))]

    async def sock_connect(sock: socket.socket, address: Any) -> None:
        if address[0] == "192.0.2.1":
            await asyncio.Event().wait()
        await connect(sock, address)

    async with listening(GREETS) as port:
        addresses = [*far, (2, 1, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        monkeypatch.setattr(loop, "sock_connect", sock_connect)
        (await connected_socket("far.test", 80, 1.0)).close()
        addresses[1:] = []
        with pytest.raises(NotOpened) as error:
            await async_dial("ws://far.test/", seconds=0.05)
        assert error.value.why == "unreachable"


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("ws://h", "ws://h/?user=me%20%26"),
        ("wss://h:81/chat/?key=a%20b&x", "wss://h:81/chat/?key=a%20b&x&user=me%20%26"),
        ("ws://[::1]:81/?user=ada&key=abc&us%65r=bob#top", "ws://[::1]:81/?key=abc&user=me%20%26"),
        ("ws://u:p@h/?users=1&&user", "ws://u:p@h/?users=1&&user=me%20%26"),
    ],
)
def test_the_query_of_an_address_is_kept(address: str, uri: str) -> None:
    """As it is written, with the user in place of any that it names."""
    assert as_user(address, "me &") == uri


REDIRECTS = {
    "/chat": "ws://127.0.0.1:{port}/chat",
    "/chat?room=x&user=ada": "ws://127.0.0.1:{port}/chat?room=x",
    "http://example.org/chat": "ws://example.org/chat",
    "https://example.org/": "wss://example.org/",
    "ws://example.org:81/?user=ada": "ws://example.org:81/",
    "mailto:ada": "mailto:ada",
    "http://[::1/": "http://[::1/",
}


@pytest.mark.parametrize("to", REDIRECTS)
@pytest.mark.parametrize("any_dial", DIALS)
async def test_a_redirect_is_told_and_not_followed(any_dial: Any, to: str) -> None:
    """With the address of a WebSocket that it leads to, without the user that was asked for."""
    async with listening(status("302 Found", f"Location: {to}")) as port:
        with pytest.raises(NotOpened) as error:
            await any_dial(f"ws://127.0.0.1:{port}/")
    assert (error.value.why, error.value.shown["more"]) == ("redirect", "302")
    assert error.value.shown["to"] == REDIRECTS[to].format(port=port)


async def test_a_redirect_to_two_places() -> None:
    """The first one is told."""
    async with listening(status("300 Many", "Location: /a", "Location: /b")) as port:
        with pytest.raises(NotOpened) as error:
            await async_dial(f"ws://127.0.0.1:{port}/")
    assert error.value.shown["to"] == f"ws://127.0.0.1:{port}/a"


@pytest.mark.parametrize(
    ("conduct", "why"), [(hangs_up, "closes"), (never_answers, "silent"), (status("503 Busy"), "fails")]
)
@pytest.mark.parametrize("any_dial", DIALS)
async def test_reasons_are_the_same_for_all(any_dial: Any, conduct: Conduct, why: str) -> None:
    """However the connection is opened. (`test_greeting.py` has the whole table.)"""
    seconds = 0.2 if why == "silent" else SECONDS
    async with listening(conduct) as port:
        with pytest.raises(NotOpened) as error:
            await any_dial(f"ws://127.0.0.1:{port}/", seconds=seconds)
    assert error.value.why == why


@pytest.mark.parametrize(
    ("number", "why"), [(errno.EMFILE, "own_limit"), (errno.EHOSTUNREACH, "unreachable"), (1, "nobody")]
)
async def test_an_error_of_a_socket_is_told_by_its_number(number: int, why: str) -> None:
    """A limit of this machine is no fault of the server."""

    async def fails(host: str, port: int, timeout: float) -> Any:
        raise OSError(number, "no luck")

    with pytest.raises(NotOpened) as error:
        await dial("ws://127.0.0.1:1/", "ada", 1.0, fails)
    assert (error.value.why, error.value.shown) == (why, {"more": "no luck"})


@pytest.mark.parametrize("name", ["no.such.host.invalid", f"{'x' * 70}.org"])
@pytest.mark.parametrize("any_dial", DIALS)
async def test_a_name_without_an_address(any_dial: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, also where it cannot be a name at all."""

    def unknown(host: Any, *_: Any, **__: Any) -> Any:
        host.encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(NotOpened) as error:
        await any_dial(f"ws://{name}/")
    assert (error.value.why, error.value.shown) == ("no_address", {"more": name})


# --- TLS --------------------------------------------------------------------------------------------

HERE = Path(__file__).parent


def tls(file: str) -> ssl.SSLContext:
    """A server's TLS, with a certificate of localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(HERE / file)
    return context


@pytest.fixture
def trusts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is named in the variable, as the text advises."""
    monkeypatch.setenv("SSL_CERT_FILE", str(HERE / "localhost.pem"))


@pytest.mark.usefixtures("trusts")
@pytest.mark.parametrize("any_dial", DIALS)
async def test_tls_with_a_certificate_that_is_trusted(any_dial: Any) -> None:
    """It is a connection like any other, also for a slow reader."""
    async with listening(GREETS, tls=tls("localhost.pem")) as port:
        await any_dial(f"wss://localhost:{port}/")


@pytest.mark.parametrize("any_dial", DIALS)
async def test_a_self_signed_certificate(any_dial: Any) -> None:
    """It is not accepted, and that is what is said."""
    async with listening(GREETS, tls=tls("localhost.pem")) as port:
        with pytest.raises(NotOpened) as error:
            await any_dial(f"wss://localhost:{port}/")
    assert error.value.why == "self_signed"


@pytest.mark.parametrize(
    ("file", "host", "why"),
    [("localhost.pem", "127.0.0.1", "other_name"), ("expired.pem", "localhost", "expired")],
)
async def test_a_certificate_that_does_not_fit(
    file: str, host: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own reason, though it is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(HERE / file))
    async with listening(GREETS, tls=tls(file)) as port:
        with pytest.raises(NotOpened) as error:
            await async_dial(f"wss://{host}:{port}/")
    assert error.value.why == why


@pytest.mark.parametrize("any_dial", DIALS)
async def test_tls_on_a_plain_port(any_dial: Any) -> None:
    """A server that answers a TLS greeting by HTTP does not speak TLS."""

    async def bad_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with listening(bad_request) as port:
        with pytest.raises(NotOpened) as error:
            await any_dial(f"wss://127.0.0.1:{port}/")
    assert error.value.why == "is_plain"


async def test_the_other_scheme_is_tried() -> None:
    """Where the error alone does not tell: a plain server that just closes, and any TLS server."""
    async with listening(GREETS) as plain, listening(GREETS, tls=tls("localhost.pem")) as safe:
        assert await other_scheme(f"wss://127.0.0.1:{plain}/") == "is_plain"
        assert await other_scheme(f"ws://127.0.0.1:{plain}/") == ""
        assert await other_scheme(f"ws://127.0.0.1:{safe}/") == "is_tls"
        assert await other_scheme(f"wss://127.0.0.1:{safe}/") == ""

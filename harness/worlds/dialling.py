"""Opens WebSocket connections, for all commands alike.

All addresses of a name are tried. A redirect is not followed: it would lose the query that names the user,
and browsers do not follow it either. (The library does not where it is given a socket, as it is here.) What
goes wrong is raised as `NotOpened`, whose reason is a key of our texts.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException
from websockets.sync import client as blocking
from websockets.uri import parse_uri

from harness.judged.bounds import LARGEST_FRAME
from harness.judged.targets import as_user
from harness.worlds.connection import Connection
from harness.worlds.library_errors import NotOpened, why_not_opened

NARROW = 4096
"""Bytes that the system buffers for a client that does not read."""
_CLOSE_SECONDS = 1.0
_LOOK_SECONDS = 2.0
_OPTIONS: dict[str, Any] = {
    "proxy": None,
    "compression": None,
    "ping_interval": None,
    "max_size": LARGEST_FRAME,
    "max_queue": None,
    "close_timeout": _CLOSE_SECONDS,
    "user_agent_header": None,
}
_ERRORS = (OSError, EOFError, ValueError, LookupError, WebSocketException)
"""What the library, TLS, sockets and addresses raise."""

OpenSocket = Callable[[str, int, float], Awaitable[Any]]
"""Connects to a host and port within so many seconds. Raises OSError, TimeoutError and UnicodeError."""


async def dial(address: str, user: str, timeout: float, open_socket: OpenSocket) -> Connection:
    """Open a WebSocket, as a user, within so many seconds. Raises NotOpened."""
    uri = as_user(address, user)
    try:
        place = parse_uri(uri)
        deadline = asyncio.get_running_loop().time() + timeout
        sock = await open_socket(place.host, place.port, timeout)
        left = deadline - asyncio.get_running_loop().time()
        connection = await connect(
            uri, create_connection=Connection, sock=sock, open_timeout=left, **_OPTIONS
        )
    except _ERRORS as error:
        raise why_not_opened(error, uri) from error
    assert isinstance(connection, Connection)
    return connection


async def connected_socket(host: str, port: int, timeout: float, *, narrow: bool = False) -> socket.socket:
    """A socket that is connected to the first address of a host that accepts it.

    With `narrow`, the system buffers only some kilobytes for a client that does not read. Raises OSError, and
    UnicodeError for a name that cannot be one.
    """
    infos = await _addresses(host, port, timeout)
    failed: list[OSError] = []
    for family, kind, proto, _, address in infos:
        try:
            return await _connected(family, kind, proto, address, timeout / len(infos), narrow)
        except OSError as error:
            failed.append(error)
    raise next((each for each in failed if isinstance(each, ConnectionRefusedError)), failed[-1])


async def _addresses(host: str, port: int, timeout: float) -> list[Any]:
    with suppress(socket.gaierror):  # an address needs no other thread to look it up
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise _timed_out() from None


async def _connected(
    family: int, kind: int, proto: int, address: Any, timeout: float, narrow: bool
) -> socket.socket:
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().sock_connect(sock, address)
    except TimeoutError:
        sock.close()
        raise _timed_out() from None
    except BaseException:
        sock.close()
        raise
    return sock


def _timed_out() -> OSError:
    return OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))


def dial_blocking(
    address: str,
    user: str,
    timeout: float,
    create_connection: Callable[..., blocking.ClientConnection],
) -> blocking.ClientConnection:
    """The same for a thread, with the library's blocking connection. Raises NotOpened."""
    uri = as_user(address, user)
    try:
        place, began = parse_uri(uri), time.monotonic()
        try:
            sock = socket.create_connection((place.host, place.port), timeout)
        except TimeoutError:
            raise _timed_out() from None
        sock.settimeout(None)
        return blocking.connect(
            uri,
            sock=sock,
            open_timeout=timeout - (time.monotonic() - began),
            create_connection=cast(type[blocking.ClientConnection], create_connection),  # any factory will do
            legacy=True,  # it is not used as a context manager
            **_OPTIONS,
        )
    except _ERRORS as error:
        raise why_not_opened(error, uri) from error


async def other_scheme(address: str) -> str:
    """`is_tls` if a program at a ws:// address speaks TLS, `is_plain` if one at a wss:// address does not."""
    if address.startswith("ws:"):
        return "is_tls" if await _speaks_tls(address) else ""
    try:
        connection = await dial(f"ws{address[3:]}", "probe", _LOOK_SECONDS, connected_socket)
    except NotOpened:
        return ""
    connection.transport.abort()
    return "is_plain"


async def _speaks_tls(address: str) -> bool:
    """Whether a TLS handshake comes to its end, whatever the certificate is."""
    place = parse_uri(address)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(_LOOK_SECONDS):
            sock = await connected_socket(place.host, place.port, _LOOK_SECONDS)
            _, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=place.host)
    except _ERRORS:
        return False
    writer.transport.abort()
    return True

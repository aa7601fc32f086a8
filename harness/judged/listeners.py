"""Whether anybody listens on a port of this machine, as Linux tells it.

A connection would tell it, too, but the server would notice that. The kernel's answer to one question (see
sock_diag(7)) takes no time; where it gives none, its tables tell the same, but they hold all connections of
the machine, and to read them takes milliseconds.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from harness.posix import NETLINK, proc

_TABLES = (proc("net/tcp"), proc("net/tcp6"))
_LISTENS = 10
"""The state of a listening socket."""
_SOCK_DIAG, _BY_FAMILY = 4, 20
"""The protocol of the questions about sockets, and the type of a question and of a socket in its answer."""
_ALL = 0x301
"""A question is for all sockets that are like the one which it describes."""
_DONE = 3
"""The type of the end of an answer."""


def can_listen(port: int) -> bool:
    """Whether a server can be at a port of loopback; connections that are closed by now do not count."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def is_listened_on(port: int) -> bool:
    """Whether a socket listens on this port, on any address."""
    with contextlib.suppress(OSError):
        return asked(port)
    tables = [text for table in _TABLES for text in _text_of(table)]
    if not tables:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", port)) == 0
    return any(_is_in(table, port) for table in tables)


def asked(port: int) -> bool:
    """What the kernel answers. Raises OSError if it does not."""
    if NETLINK is None:
        raise OSError
    return any(_answer(port, family) for family in (socket.AF_INET, socket.AF_INET6))


def _answer(port: int, family: int) -> bool:
    is_like = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, 1 << _LISTENS) + struct.pack("!H46x", port)
    question = struct.pack("=IHHII", 16 + len(is_like), _BY_FAMILY, _ALL, 0, 0) + is_like
    assert NETLINK is not None, "somebody has asked"
    with socket.socket(NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.send(question)
        _, kind = struct.unpack_from("=IH", kernel.recv(4096))
    if kind not in (_BY_FAMILY, _DONE):
        raise OSError
    return bool(kind == _BY_FAMILY)


def _is_in(table: str, port: int) -> bool:
    rows = (row.split() for row in table.splitlines()[1:])
    return any(row[3] == f"{_LISTENS:02X}" and row[1].endswith(f":{port:04X}") for row in rows)


def _text_of(file: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):
        yield file.read_text()

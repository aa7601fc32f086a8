"""Members of a room who only listen, in a process of their own: it prints a line when all have joined.

    python -m tests.stress.audience ROOM PORT MEMBERS

They read and discard until the server or whoever started them is gone.
"""

from __future__ import annotations

import selectors
import socket
import sys

from tests.stress.link import asking, handshake


def listen(room: str, port: int, members: int) -> None:
    """Join one after the other, and read."""
    chooser = selectors.DefaultSelector()
    joined = asking("presence", room="a-room-that-nobody-is-in")
    for number in range(members):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(handshake(f"member{number}") + asking("join", room=room, since=0) + joined)
        seen = b""
        while b"a-room-that-nobody-is-in" not in seen:
            seen = seen[-100:] + sock.recv(1 << 20)
        sock.setblocking(False)
        chooser.register(sock, selectors.EVENT_READ)
        _discard(chooser, 0)
    print("all are there", flush=True)
    while chooser.get_map():
        _discard(chooser, None)


def _discard(chooser: selectors.BaseSelector, timeout: float | None) -> None:
    for key, _ in chooser.select(timeout):
        sock = key.fileobj
        assert isinstance(sock, socket.socket)
        try:
            gone = not sock.recv(1 << 20)
        except OSError:
            gone = True
        if gone:
            chooser.unregister(sock)
            sock.close()


if __name__ == "__main__":
    listen(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))

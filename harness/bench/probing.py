"""Somebody who talks, in a room and in a process of its own: how long does each word take to come back?

`probing PORT` says a word every RHYTHM, whether the last has come back or not, until its standard input ends;
then it prints the latencies as JSON, in milliseconds.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time

from harness.bench.crowd import Chat

RHYTHM = 0.02
"""Seconds."""
_ROOM = "a-probe"
_HEARTBEAT = b'{"type":"heartbeat"}'
_WORD = re.compile(rb'"content":"word-(\d+)"')
_LONGEST = 64


def probe(port: int) -> list[float]:
    """The latencies in milliseconds, each from when the word was due."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Chat().greet(sock, 0)
        sock.sendall(Chat().join(_ROOM))
        seen = b""
        while b'"full":true' not in seen:
            seen += _receive(sock)
        print("ready", flush=True)
        return _talk(sock)


def _talk(sock: socket.socket) -> list[float]:
    latencies: list[float] = []
    began = time.perf_counter()
    said, tail, is_over = 0, b"", False
    while not is_over or len(latencies) < said:
        due = began + said * RHYTHM
        wait = 30.0 if is_over else max(due - time.perf_counter(), 0.0)
        ready, _, _ = select.select([sock] if is_over else [sock, sys.stdin], [], [], wait)
        is_over |= sys.stdin in ready
        if sock in ready:
            seen = tail + _receive(sock)
            now, end = time.perf_counter(), 0
            for found in _WORD.finditer(seen):
                latencies.append(1000 * (now - began - int(found[1]) * RHYTHM))
                end = found.end()
            tail = seen[max(end, len(seen) - _LONGEST) :]
        if not is_over and time.perf_counter() >= due:
            sock.sendall(Chat().say(_ROOM, f"word-{said}"))
            said += 1
    return latencies


def _receive(sock: socket.socket) -> bytes:
    data = sock.recv(1 << 16)
    if not data:
        raise ConnectionError("it closed the connection")
    if _HEARTBEAT in data:
        sock.sendall(Chat.frame({"type": "heartbeat"}))
    return data


if __name__ == "__main__":
    print(json.dumps(probe(int(sys.argv[1]))))

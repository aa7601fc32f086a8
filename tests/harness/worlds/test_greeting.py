"""What is said of servers that do not answer as they should, at the start and later on."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import sys
from math import inf
from pathlib import Path
from unittest.mock import Mock

import pytest

from harness.checkers import lifecycle
from harness.checkers.catalogue import Anomaly
from harness.history import events as history
from harness.history.index import HistoryIndex
from harness.judged import targets
from harness.reports.words import Words
from harness.texts import LANGUAGES, texts
from harness.worlds import greeting, served
from harness.worlds.library_errors import SHOWN
from harness.worlds.live import LiveWorld
from harness.worlds.surroundings import Gone, PlayStopped
from tests.harness.stories import names_of
from tests.harness.worlds.rawservers import (
    BINARY,
    CLOSE,
    CONNECTED,
    CONT,
    PING,
    RIGHT,
    TEXT,
    Conduct,
    answers,
    frame,
    hangs_up,
    listening,
    never_answers,
    resets,
    sends,
    status,
    text,
    upgrade,
)

pytestmark = pytest.mark.xdist_group("greeting")


def closing(code: int, reason: bytes = b"") -> bytes:
    """A close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason)


HEAD = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
LATIN1 = '{"type": "connected", "data": {"user": "zoé"}}'.encode("latin-1")
REFUSAL = '{"type": "error", "data": {"code": "bad_key", "message": "no key"}}'

ROWS: dict[str, tuple[Conduct, str, str]] = {
    # Plain HTTP, or nearly.
    "a redirect": (
        status("301 Moved", "Location: http://b.org/x?user=me"),
        "redirect",
        "(status 301) ws://b.org/x.",
    ),
    "a redirect to nowhere": (status("302 Found"), "plain_http", "(status 302)"),
    "a page": (status("200 OK"), "plain_http", "(status 200)"),
    "a bad request": (status("400 Bad Request"), "plain_http", "(status 400)"),
    "no such path": (status("404 Not Found"), "plain_http", "(status 404)"),
    "an upgrade required": (status("426 Upgrade Required"), "plain_http", "(status 426)"),
    "a key wanted": (status("401 Unauthorized"), "forbidden", "(status 401) ?key="),
    "no entry": (status("403 Forbidden"), "forbidden", "(status 403) Origin"),
    "an error inside": (status("500 Oops"), "fails", "(status 500)"),
    "a proxy alone": (status("503 Busy"), "fails", "(status 503) proxy"),
    "a file server": (status("200 OK", version="1.0"), "http_1_0", "HTTP/1.0 protocol_version"),
    "a handshake in 1.0": (answers(b"HTTP/1.0 101 Switching\r\n" + HEAD), "http_1_0", "HTTP/1.0"),
    "another protocol": (answers(b"SSH-2.0-OpenSSH_9.6\r\n"), "not_http", "'SSH-2.0-OpenSSH_9.6'"),
    "escape sequences": (answers(b"\x1b[31mred\r\n"), "not_http", r"'\x1b[31mred'"),
    "lines of Unix": (answers(b"HTTP/1.1 101 Switching\n" + HEAD), "line_ends", r"end with \r\n"),
    "a line that is no header": (upgrade("Upgrade websocket"), "wrong_header", "(Upgrade websocket)"),
    "no Upgrade": (upgrade(*RIGHT[1:]), "wrong_header", "(Upgrade)"),
    "no Connection": (upgrade(RIGHT[0], RIGHT[2]), "wrong_header", "(Connection)"),
    "another upgrade": (upgrade("Upgrade: h2c", *RIGHT[1:]), "wrong_header", "(Upgrade: h2c)"),
    "no key": (upgrade(*RIGHT[:2]), "wrong_header", "(Sec-WebSocket-Accept)"),
    "a wrong key": (upgrade(*RIGHT[:2], "Sec-WebSocket-Accept: abc"), "wrong_accept", "('abc') 258EAFA5"),
    "compression unasked": (
        upgrade(*RIGHT, "Sec-WebSocket-Extensions: permessage-deflate"),
        "not_offered",
        "`Sec-WebSocket-Extensions`",
    ),
    "a protocol unasked": (upgrade(*RIGHT, "Sec-WebSocket-Protocol: chat"), "not_offered", "-Protocol`"),
    "a hang-up": (hangs_up, "closes", "before it has answered where it was started"),
    "half an answer": (answers(b"HTTP/1.1 101 Swi"), "closes", "before it has answered"),
    "a reset": (resets, "closes", "before it has answered"),
    "silence": (never_answers, "silent", "did not answer the WebSocket handshake"),
    # The first frame.
    "bytes": (
        sends(frame(BINARY, CONNECTED.encode())),
        "first_binary",
        """b'{"type": "connected", .encode()""",
    ),
    "a byte order mark": (sends(text(f"\ufeff{CONNECTED}")), "first_bom", r"'\ufeff{ utf-8-sig"),
    "NULs": (sends(text(f"{CONNECTED}\0\0")), "first_nul", r"\x00\x00' buffer"),
    "Python's spelling": (sends(text(str(json.loads(CONNECTED)))), "first_repr", "{'type': json.dumps"),
    "bytes as Python spells them": (sends(text(str(CONNECTED.encode()))), "first_repr", '{"type":'),
    "words": (sends(text("hello")), "first_not_json", "'hello'"),
    "nothing in it": (sends(text("")), "first_not_json", "''"),
    "no type": (sends(text('{"user": "ada"}')), "first_no_type", '{"user": "ada"}'),
    "another type": (sends(text('{"type": "welcome"}')), "first_other", '{"type": "welcome"}'),
    "a long one": (sends(text("x" * 5000)), "first_not_json", f"{'x' * SHOWN}'…"),
    "heartbeats only": (sends(text('{"type": "heartbeat"}')), "first_other", "heartbeat"),
    "no frame": (sends(), "no_connected", "sends no frame of type `connected`"),
    # The end of the connection.
    "an exception": (sends(closing(1011), holds=False), "hangs_up", "(code 1011) exception"),
    "the end of file": (sends(holds=False), "hangs_up", "(code 1006)"),
    "a handler that returns": (sends(closing(1000), holds=False), "returns", "(code 1000) returns"),
    "a refusal": (sends(text(REFUSAL), closing(1008), holds=False), "hangs_up_said", "no key"),
    "a wrong frame and an end": (sends(text("hi"), closing(1001), holds=False), "first_not_json", "'hi'"),
    # What our client does not take.
    "a mask": (sends(frame(TEXT, CONNECTED.encode(), masked=True)), "violation", "masked (code 1002) 5.1"),
    "a reserved bit": (sends(frame(TEXT, b"x", rsv=4)), "violation", "reserved (code 1002) compression"),
    "an unknown type": (sends(frame(3, b"x")), "violation", "unknown type (code 1002)"),
    "bare text": (sends(CONNECTED.encode()), "violation", "bytes that are no frame"),
    "another text encoding": (sends(frame(TEXT, LATIN1)), "violation", r"""UTF-8 zo\xe9"}}' (code 1007)"""),
    "a long ping": (sends(frame(PING, b"x" * 200)), "violation", "ping 125 bytes"),
    "a fragment of nothing": (sends(frame(CONT, b"x")), "violation", "fragments (code 1002)"),
    "an impossible code": (sends(closing(999)), "violation", "close frame with an invalid code"),
    "far too much": (sends(frame(TEXT, b"", size=1 << 40)), "violation", "8 MiB (code 1009)"),
}
"""What a server does; the reason that is recorded; and what the report must say, in this order."""


async def _start(conduct: Conduct) -> Anomaly | None:
    """Try to start a server at a URL; returns what was found."""
    async with listening(conduct) as port:
        world = LiveWorld(targets.at_url(f"ws://127.0.0.1:{port}/"), 1, "seed")
        try:
            await world.start_server()
            return None
        except PlayStopped:
            (found,) = lifecycle.server(HistoryIndex(world.history, world.readings), 0.0, inf)
            return found
        finally:
            await world.close()


@pytest.fixture(scope="module")
def found() -> dict[str, Anomaly | None]:
    """What was found of each server: all are started at the same time, once."""

    async def all_of_them() -> dict[str, Anomaly | None]:
        results = await asyncio.gather(*(_start(conduct) for conduct, _, _ in ROWS.values()))
        return dict(zip(ROWS, results, strict=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served, "READY_SECONDS", 0.0)  # each is tried once
        return asyncio.run(all_of_them())


def said(anomaly: Anomaly, language: str = "en") -> str:
    """All that a report says of it, with single spaces."""
    words = Words(texts(language))
    told = (words.title(anomaly), words.message(anomaly), words.cause(anomaly), *words.explained(anomaly))
    return " ".join(" ".join(told).split())


@pytest.mark.parametrize("name", ROWS)
def test_what_is_said_of_a_server_that_cannot_be_used(name: str, found: dict[str, Anomaly | None]) -> None:
    """The reason is the true one, and what shows it is printed: nothing of it as a control character."""
    _, why, must = ROWS[name]
    anomaly = found[name]
    assert anomaly is not None
    assert names_of([anomaly]) == [f"no_start/{why}"]
    assert "The server does not answer as a chat server" in said(anomaly)
    place = 0
    for part in must.split(" "):
        place = said(anomaly).find(part, place)
        assert place >= 0, (part, said(anomaly))
    for language in LANGUAGES:
        assert said(anomaly, language).isprintable()
        assert not re.search(r"\{[a-z]+\}", said(anomaly, language))


async def test_a_heartbeat_before_the_greeting_is_answered() -> None:
    """So a server with a short timeout does not take the first client for a dead one."""
    assert await _start(sends(text('{"type": "heartbeat"}'), on_frame=text(CONNECTED))) is None


async def test_a_connection_that_is_closed_later_is_not_closed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As by a server that ends connections which are silent: what is missing is `connected`."""
    monkeypatch.setattr(served, "READY_SECONDS", 0.0)
    monkeypatch.setattr(greeting, "AT_ONCE", 0.0)
    anomaly = await _start(sends(closing(1001), holds=False))
    assert anomaly is not None
    assert names_of([anomaly]) == ["no_start/no_connected"]


# --- later on -----------------------------------------------------------------------------------------

LATER = {
    "a mask": (frame(TEXT, b"{}", masked=True), 1002, "masked"),
    "a reserved bit": (frame(TEXT, b"{}", rsv=4), 1002, "reserved"),
    "another text encoding": (frame(TEXT, "é".encode("latin-1")), 1007, r"not_utf8 b'\xe9'"),
    "fragments that are not UTF-8": (
        frame(TEXT, b"x", fin=False) + frame(CONT, b"\xff"),
        1007,
        r"not_utf8 b'x\xff'",
    ),
    "far too much": (frame(TEXT, b"", size=1 << 40), 1009, "too_large"),
}


@pytest.mark.parametrize("name", LATER)
async def test_a_violation_in_the_middle_of_a_play(name: str) -> None:
    """The client has ended the connection, at once, and says why; the finding is the server's violation."""
    what, code, reason = LATER[name]
    async with listening(sends(text(CONNECTED), on_frame=what)) as port:
        world = LiveWorld(targets.at_url(f"ws://127.0.0.1:{port}/"), 1, "seed")
        try:
            client = await world.client("ada")
            with pytest.raises(Gone):
                await client.fence()
            assert not client.is_open
        finally:
            await world.close()
    (closed,) = [event for event in world.history if isinstance(event, history.Closed)]
    assert (closed.by, closed.code, closed.reason) == ("kit", code, reason)
    found = lifecycle.connections(HistoryIndex(world.history, world.readings), 0.0, inf)
    assert names_of(found) == [f"invalid_frame/{reason.partition(' ')[0]}"]
    _, who, what_happened = Words(texts("en")).event(closed)
    assert who == "ada"
    assert what_happened.startswith("ended the connection, because it received ")


@pytest.mark.parametrize(
    ("listens", "found"),
    [
        ([("::1", 0)], {"why": "wrong_host", "hosts": ["[::1]"], "host": "127.0.0.1"}),
        ([("::1", 0), ("127.0.0.1", 1)], {"why": "wrong_host", "hosts": ["[::1]"]}),
        ([("127.0.0.1", 1), ("::1", 1)], {"why": "wrong_port"}),
        ([("127.0.0.1", 0), ("::1", 0)], {"why": "late"}),
        ([("0.0.0.0", 0)], {"why": "late"}),
        ([("::", 0)], {"why": "late"}),
        ([], {"why": "not_listening", "output": ["in a loop"]}),
    ],
)
async def test_where_a_server_listens(listens: list[tuple[str, int]], found: dict[str, object]) -> None:
    """At the last look (the number is that of ports above the right one): it may just have begun to."""
    world = LiveWorld(targets.reference(), 1, "seed")
    try:
        process = Mock(hangs_where=lambda: ["in a loop"])
        process.listens_on.return_value = [(host, world._port + more) for host, more in listens]
        assert found.items() <= world._not_there(process).items()
    finally:
        await world.close()


# --- servers that are started -------------------------------------------------------------------------

LISTENS = """
import os, socket, time
sock = socket.socket(socket.AF_INET6 if ":" in {host!r} else socket.AF_INET)
sock.bind(({host!r}, int(os.environ["PORT"]) + {more}))
sock.listen()
time.sleep(60)
"""


@pytest.mark.live
@pytest.mark.parametrize(
    ("host", "more", "why", "words"),
    [
        (
            "::1",
            0,
            "wrong_host",
            "It listens on [::1], port {port}, and not on 127.0.0.1, which the variable HOST",
        ),
        ("127.0.0.2", 0, "wrong_host", "It listens on 127.0.0.2, port {port}, and not on 127.0.0.1"),
        ("::1", 1, "wrong_port", "and not on {port}, which the variable PORT"),
    ],
)
async def test_a_server_that_listens_elsewhere(
    host: str, more: int, why: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it listens is said: the host, if that is the difference, and else the port."""
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"this machine has no address {host}")
    monkeypatch.setattr(served, "READY_SECONDS", 0.5)
    (tmp_path / "server.py").write_text(LISTENS.format(host=host, more=more))
    world = LiveWorld(targets.whole_server(f"{sys.executable} server.py", tmp_path), 1, "seed")
    try:
        with pytest.raises(PlayStopped):
            await world.start_server()
        (anomaly,) = lifecycle.server(HistoryIndex(world.history, world.readings), 0.0, inf)
    finally:
        await world.close()
    assert names_of([anomaly]) == [f"no_start/{why}"]
    assert words.format(port=world._port) in said(anomaly)

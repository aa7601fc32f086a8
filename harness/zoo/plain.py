"""A whole chat server in one file, on asyncio, websockets and SQLite. It follows lab/PROTOCOL.md.

The frames of one connection are handled one after the other. A room's lock serializes its messages: each gets
its number, is stored, and is sent, before the next one is accepted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
import sqlite3
import time
import unicodedata
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "8080"))
DATA_DIR = Path(os.environ.get("DATA_DIR", "./data"))
HEARTBEAT_INTERVAL = float(os.environ.get("HEARTBEAT_INTERVAL", "30"))
OFFLINE_TIMEOUT = float(os.environ.get("OFFLINE_TIMEOUT", "60"))

MIB = 1024 * 1024
MAX_FRAME = MIB
MAX_CONTENT = 64 * 1024  # bytes
MAX_WAITING = 8 * MIB  # bytes that may wait for a slow reader
PAGE, NEWEST = 100, 50  # messages in a page of history, and in the history after a join

HALF_CHARACTER = re.compile("[\ud800-\udfff]")

Json = dict[str, Any]
log = logging.getLogger("plain")


def milliseconds() -> int:
    """The time of day, in milliseconds since the epoch."""
    return round(time.time() * 1000)


class Refusal(Exception):  # noqa: N818 - named for what it is
    """A frame that cannot be obeyed; `code` is an error code of the protocol."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Client(ServerConnection):
    """A connection, with its user, its rooms, and the time of its last sign of life."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = ""
        self.rooms: set[Room] = set()
        self.alive = time.monotonic()

    def data_received(self, data: bytes) -> None:
        """Any byte is a sign of life: pings, pongs and bad frames, too."""
        self.alive = time.monotonic()
        super().data_received(data)

    @property
    def last_seen(self) -> int:
        """The time of the last sign of life, in milliseconds since the epoch."""
        return milliseconds() - round((time.monotonic() - self.alive) * 1000)


class Room:
    """A room, its members, and the number of its newest message."""

    def __init__(self, name: str, last: int = 0) -> None:
        self.name = name
        self.last = last
        self.members: set[Client] = set()
        self.lock = asyncio.Lock()

    def holds(self, user: str) -> bool:
        """Whether a connection of this user is in the room."""
        return any(member.user == user for member in self.members)


clients: set[Client] = set()
rooms: dict[str, Room] = {}


# --- the disk: everything here runs in one other thread -----------------------------------------------

DISK = ThreadPoolExecutor(1)
DATA_DIR.mkdir(parents=True, exist_ok=True)
db = sqlite3.connect(DATA_DIR / "chat.db", check_same_thread=False)
db.row_factory = sqlite3.Row


async def on_disk(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in the disk's thread, so that it does not block the event loop."""
    return await asyncio.get_running_loop().run_in_executor(DISK, function, *args)


def open_database() -> None:
    """Make the table if there is none, and read the newest number of each room."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(
        "CREATE TABLE IF NOT EXISTS messages (room TEXT, sequence INTEGER, id TEXT, user TEXT, content TEXT,"
        " timestamp INTEGER, PRIMARY KEY (room, sequence), UNIQUE (room, user, id))"
    )
    for name, last in db.execute("SELECT room, MAX(sequence) FROM messages GROUP BY room"):
        rooms[name] = Room(name, last)


def save(message: Json) -> None:
    """Store a message; when this returns, it survives the end of the process."""
    columns = ":room, :sequence, :id, :user, :content, :timestamp"
    with db:
        db.execute(f"INSERT INTO messages VALUES ({columns})", message)


def find(room: str, user: str, id: str) -> Json | None:
    """The message that this user has sent to this room with this id."""
    query = "SELECT * FROM messages WHERE room = ? AND user = ? AND id = ?"
    row = db.execute(query, (room, user, id)).fetchone()
    return dict(row) if row else None


def read(room: str, since: int, limit: int) -> list[Json]:
    """The first messages after number `since`."""
    query = "SELECT * FROM messages WHERE room=? AND sequence>? ORDER BY sequence LIMIT ?"
    return [dict(row) for row in db.execute(query, (room, since, limit))]


# --- sending ------------------------------------------------------------------------------------------


def encode(type: str, data: Json) -> str:
    """A frame as text."""
    return json.dumps({"type": type, "data": data}, ensure_ascii=False)


def post(client: Client, text: str) -> None:
    """Send to one client without waiting. A client that reads too slowly is disconnected: it can rejoin."""
    broadcast([client], text)
    if client.transport.get_write_buffer_size() > MAX_WAITING:
        client.transport.abort()


def tell(room: Room, text: str) -> None:
    """Send to all members of a room."""
    for member in list(room.members):
        post(member, text)


def announce(room: Room, client: Client, status: str, words: str) -> None:
    """Announce to a room that a user has joined or left."""
    user = {"user": client.user, "status": status, "lastSeen": client.last_seen}
    tell(room, encode("presence", {"room": room.name, "users": [user], "full": False}))
    notice: Json = {"id": uuid.uuid4().hex, "room": room.name, "user": "system"}
    notice |= {"content": f"{client.user} {words}", "sequence": room.last, "timestamp": milliseconds()}
    tell(room, encode("message", notice))


def presence_of(name: str) -> str:
    """The list of the users in a room, as a frame."""
    seen: dict[str, int] = {}
    for member in rooms[name].members if name in rooms else ():
        seen[member.user] = max(seen.get(member.user, 0), member.last_seen)
    users = [{"user": user, "status": "online", "lastSeen": when} for user, when in seen.items()]
    return encode("presence", {"room": name, "users": users, "full": True})


async def page_of(room: Room, since: int, limit: int) -> Json:
    """A page of a room's history: as many messages as requested, if they fit into a frame."""
    messages, size = [], 0
    for message in await on_disk(read, room.name, since, limit):
        size += len(json.dumps(message, ensure_ascii=False).encode()) + 2
        if size > MAX_FRAME - 4096:
            break
        messages.append(message)
    last = max([room.last, *(message["sequence"] for message in messages)])
    more = bool(messages) and messages[-1]["sequence"] < last
    return {"room": room.name, "messages": messages, "last": last, "more": more}


# --- requests of clients ------------------------------------------------------------------------------


def text_in(frame: Json, name: str) -> str:
    """A field that must be a string. Raises Refusal."""
    value = frame.get(name)
    if not isinstance(value, str):
        raise Refusal("bad_request", f"`{name}` must be there, and be a string")
    return value


def number_in(frame: Json, name: str, least: int) -> int | None:
    """A field that must be an integer, or be missing. Raises Refusal."""
    value = frame.get(name)
    if value is None:
        return None
    if type(value) is not int or value < least:
        raise Refusal("bad_request", f"`{name}` must be a whole number, at least {least}")
    return value


def is_id(value: Any) -> bool:
    """Whether this can be the `id` of a message."""
    return isinstance(value, str) and 1 <= len(value) <= 128 and not HALF_CHARACTER.search(value)


def room_in(frame: Json) -> str:
    """The name of a room. Raises Refusal."""
    name = text_in(frame, "room")
    is_good = all(each in "_-." or unicodedata.category(each)[0] in "LMN" for each in name)
    if not is_good or not 1 <= len(name) <= 64 or set(name) == {"."}:
        raise Refusal("bad_room", "a room's name has 1 to 64 letters, digits, `_`, `-` and `.`")
    return name


def joined(client: Client, name: str) -> Room:
    """The room of this name, if the client is in it. Raises Refusal."""
    room = rooms.get(name)
    if room is None or client not in room.members:
        raise Refusal("not_joined", "you are not in this room")
    return room


async def join(client: Client, frame: Json) -> None:
    """Send the client what it missed, and make it a member."""
    name, since = room_in(frame), number_in(frame, "since", 0)
    room = rooms.setdefault(name, Room(name))
    if client in room.members:
        post(client, presence_of(name))
        return
    is_first = await enter(client, room, since)
    post(client, presence_of(name))
    if is_first:
        announce(room, client, "online", "has joined")


async def enter(client: Client, room: Room, seen: int | None) -> bool:
    """Send page after page; with the last one, add the member. Returns whether the user is new there."""
    while True:
        async with room.lock:  # no message is accepted between the history and the membership
            seen = max(0, room.last - NEWEST) if seen is None else min(seen, room.last)
            page = await page_of(room, seen, PAGE)
            if not page["more"]:
                if page["messages"]:
                    post(client, encode("history", page))
                is_first = not room.holds(client.user)
                room.members.add(client)
                client.rooms.add(room)
                return is_first
        async with asyncio.timeout(OFFLINE_TIMEOUT):
            await client.send(encode("history", page))  # a long replay, as fast as the client reads
        seen = page["messages"][-1]["sequence"]


def leave(client: Client, room: Room) -> None:
    """Remove a member from a room; its user may still be there with another connection."""
    room.members.discard(client)
    client.rooms.discard(room)
    if not room.holds(client.user):
        announce(room, client, "offline", "has left")


async def say(client: Client, data: Any) -> None:
    """Check a message, and accept it when the room's lock is free."""
    if not isinstance(data, dict):
        raise Refusal("bad_request", "`data` must be there, and be an object")
    name, content, id = room_in(data), text_in(data, "content"), data.get("id")
    if id is not None and not is_id(id):
        raise Refusal("bad_request", "an `id` is a string of 1 to 128 characters")
    if not content or HALF_CHARACTER.search(content):
        raise Refusal("bad_content", "a content has at least one character, and whole ones only")
    if len(content.encode()) > MAX_CONTENT:
        raise Refusal("too_large", "a content has at most 64 KiB")
    room = joined(client, name)
    async with room.lock:
        await accept(room, client, content, id)


async def accept(room: Room, client: Client, content: str, id: str | None) -> None:
    """Number a message, store it, and send it to all members; a retry is only answered."""
    known = await on_disk(find, room.name, client.user, id) if id is not None else None
    if known is not None:
        post(client, encode("message", known))
        return
    message: Json = {"id": id or uuid.uuid4().hex, "room": room.name, "user": client.user, "content": content}
    message |= {"sequence": room.last + 1, "timestamp": milliseconds()}
    await on_disk(save, message)
    room.last = message["sequence"]
    tell(room, encode("message", message))


async def history(client: Client, frame: Json) -> None:
    """Answer with a page of stored messages."""
    name, since, limit = room_in(frame), number_in(frame, "since", 0), number_in(frame, "limit", 1)
    room = rooms.get(name) or Room(name)
    page = await page_of(room, min(since or 0, room.last), min(limit or PAGE, PAGE))
    await client.send(encode("history", page))


def parse(text: str | bytes) -> Json:
    """The frame in a text. Raises Refusal."""
    try:
        frame = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        frame = None
    if not isinstance(frame, dict):
        raise Refusal("bad_json", "a frame is one JSON object, as text")
    return frame


async def obey(client: Client, text: str | bytes) -> None:
    """Do what a frame asks for. One that cannot be obeyed is answered with an error, and changes nothing."""
    frame: Json = {}
    try:
        frame = parse(text)
        match text_in(frame, "type"):
            case "join":
                await join(client, frame)
            case "leave":
                leave(client, joined(client, room_in(frame)))
            case "message":
                await say(client, frame.get("data"))
            case "presence":
                post(client, presence_of(room_in(frame)))
            case "history":
                await history(client, frame)
            case "heartbeat":
                pass  # its bytes were a sign of life already
            case _:
                raise Refusal("unknown_type", "there is no such type")
    except (ConnectionClosed, TimeoutError):
        raise
    except Exception as error:
        if not isinstance(error, Refusal):
            log.exception("could not obey %.200r", text)
        answer = {"code": getattr(error, "code", "unavailable"), "message": str(error) or "not now"}
        data = frame.get("data")
        if isinstance(data, dict) and is_id(data.get("id")):
            answer["id"] = data["id"]
        post(client, encode("error", answer))


# --- connections --------------------------------------------------------------------------------------


def name_in(path: str) -> str:
    """The user's name in the URL, or a generated one. Raises Refusal."""
    try:
        names = parse_qs(urlsplit(path).query, keep_blank_values=True, errors="strict").get("user")
    except ValueError:
        names = [""]
    name = names[0] if names else f"user_{uuid.uuid4().hex[:8]}"
    if not 1 <= len(name) <= 64 or name == "system":
        raise Refusal("bad_name", "a name has 1 to 64 characters, and is not `system`")
    return name


async def welcome(client: ServerConnection) -> None:
    """Serve a connection from its beginning to its end."""
    assert isinstance(client, Client)
    assert client.request is not None
    try:
        client.user = name_in(client.request.path)
    except Refusal as refusal:
        post(client, encode("error", {"code": refusal.code, "message": str(refusal)}))
        await client.close(1008, refusal.code)
        return
    clients.add(client)
    intervals = {"heartbeatInterval": HEARTBEAT_INTERVAL, "offlineTimeout": OFFLINE_TIMEOUT}
    post(client, encode("connected", {"clientId": uuid.uuid4().hex, "user": client.user, **intervals}))
    try:
        async for text in client:
            await obey(client, text)
    except (ConnectionClosed, TimeoutError):
        client.transport.abort()  # if it did not read for too long; else it is closed already
    finally:
        clients.discard(client)
        for room in list(client.rooms):
            leave(client, room)


async def heartbeats() -> None:
    """Send heartbeats to all clients, and disconnect the silent ones. Checks are four times as frequent."""
    look, due = 0, time.monotonic()
    while True:
        look, due = look + 1, due + HEARTBEAT_INTERVAL / 4
        await asyncio.sleep(due - time.monotonic())
        late = max(0.0, time.monotonic() - due)
        due += late
        for client in list(clients):
            client.alive = min(client.alive + late, time.monotonic())  # nothing could be read meanwhile
            if not client.transport.is_reading():
                client.alive = time.monotonic()  # we are behind with reading its frames
            if time.monotonic() - client.alive > OFFLINE_TIMEOUT:
                client.transport.abort()  # so its `async for` ends, and it leaves
            elif look % 4 == 0:
                post(client, '{"type": "heartbeat"}')


async def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    await on_disk(open_database)
    beating = asyncio.create_task(heartbeats())
    options: Json = {"compression": None, "max_size": MAX_FRAME, "ping_interval": None, "close_timeout": 1}
    async with serve(welcome, HOST, PORT, create_connection=Client, **options):
        print(f"listening on ws://{HOST}:{PORT}/", flush=True)
        await stop.wait()
    beating.cancel()
    db.close()


if __name__ == "__main__":
    asyncio.run(main())

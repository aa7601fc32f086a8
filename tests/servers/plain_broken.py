"""The server of `plain.py` with one defect each, as a student would make it: small changes of its text."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

PLAIN = Path(__file__).with_name("plain.py")


class Defect(NamedTuple):
    """What is changed, and what is found then: in which exercise, and under which names of the catalogue."""

    exercise: int
    anomalies: tuple[str, ...]
    changes: tuple[tuple[str, str], ...]
    """Old texts, each of which stands in `plain.py` exactly once, and new ones."""
    why: str
    """What is wrong, for a teacher."""


_LOCKED = """    room = joined(client, name)
    async with room.lock:
        await accept(room, client, content, id)
"""
_SAVED = """    await on_disk(save, message)
    room.last = message["sequence"]
    tell(room, encode("message", message))
"""
_ENTERED = """        async with room.lock:  # nothing is said between the history and the membership
            seen = max(0, room.last - NEWEST) if seen is None else min(seen, room.last)
            page = await page_of(room, seen, PAGE)
            if not page["more"]:
                if page["messages"]:
                    post(client, encode("history", page))
                is_first = not room.holds(client.user)
                room.members.add(client)
                client.rooms.add(room)
                return is_first
"""

DEFECTS: dict[str, Defect] = {
    "set_changes_while_iterating": Defect(
        2,
        ("lost",),
        (
            (
                "async def on_disk(",
                '''async def deliver(member: Client, message: Json) -> None:
    """Send a message, and write down who has got it."""
    post(member, encode("message", message))
    await on_disk(note, f"{member.user} got {message['sequence']} of {message['room']}")


def note(line: str) -> None:
    """Add a line to the list of what was delivered."""
    with open(DATA_DIR / "delivered.log", "a") as file:
        print(line, file=file)


async def on_disk(''',
            ),
            (
                _SAVED,
                """    await on_disk(save, message)
    room.last = message["sequence"]
    for member in room.members:
        await deliver(member, message)
""",
            ),
        ),
        "The loop goes over the set itself and waits in its middle. If a member is cut off meanwhile, "
        "the set changes, the loop ends by a RuntimeError, and the rest of the members never get the "
        "message.",
    ),
    "one_of_two_connections_ends": Defect(
        3,
        ("premature_offline",),
        (
            (
                """    if not room.holds(client.user):
        announce(room, client, "offline", "has left")
""",
                """    announce(room, client, "offline", "has left")
""",
            ),
        ),
        "Each connection that ends takes its user offline, although the user is still there with another "
        "one.",
    ),
    "heartbeat_dies": Defect(
        3,
        ("missing_heartbeat",),
        (
            (
                """                client.transport.abort()  # so its `async for` ends, and it leaves
            elif look % 4 == 0:
                post(client, '{"type": "heartbeat"}')
""",
                """                await client.close(1001)
            await client.send('{"type": "heartbeat"}')
""",
            ),
            ("    look, due = 0, time.monotonic()\n", "    due = time.monotonic()\n"),
            ("look, due = look + 1, due + HEARTBEAT_INTERVAL / 4", "due += HEARTBEAT_INTERVAL"),
            (" Looks are four times as frequent as beats.", ""),
        ),
        "One task sends the heartbeats of all clients, and it ends at the first exception: here it sends "
        "to a connection that it has just closed. From then on nobody gets heartbeats, and nobody times "
        "out.",
    ),
    "numbers_then_saves_then_sends_unlocked": Defect(
        2,
        ("reorder",),
        (
            ("DISK = ThreadPoolExecutor(1)", "DISK = ThreadPoolExecutor(4)"),
            (
                _LOCKED,
                """    room = joined(client, name)
    await accept(room, client, content, id)
""",
            ),
            (
                'message |= {"sequence": room.last + 1, "timestamp": milliseconds()}\n' + _SAVED,
                """room.last += 1
    message |= {"sequence": room.last, "timestamp": milliseconds()}
    await on_disk(save, message)
    tell(room, encode("message", message))
""",
            ),
        ),
        "A message gets its number, waits for the disk, and is sent then. Nothing keeps the next one "
        "from being quicker at that, and so members see number 8 before number 7.",
    ),
    "history_then_subscribe": Defect(
        2,
        ("replay_hole",),
        (
            (
                _ENTERED,
                """        seen = max(0, room.last - NEWEST) if seen is None else min(seen, room.last)
        page = await page_of(room, seen, PAGE)
        if not page["more"]:
            if page["messages"]:
                post(client, encode("history", page))
            async with room.lock:
                is_first = not room.holds(client.user)
                room.members.add(client)
                client.rooms.add(room)
                return is_first
""",
            ),
        ),
        "The history is read first, and then the client becomes a member. What is said in between, while "
        "it waits for its turn, is neither in the history nor heard live.",
    ),
    "subscribe_then_history": Defect(
        2,
        ("replay_overlap",),
        (
            (
                _ENTERED,
                """        is_first = not room.holds(client.user)
        room.members.add(client)
        client.rooms.add(room)
        async with room.lock:
            seen = max(0, room.last - NEWEST) if seen is None else min(seen, room.last)
            page = await page_of(room, seen, PAGE)
            if not page["more"]:
                if page["messages"]:
                    post(client, encode("history", page))
                return is_first
""",
            ),
        ),
        "The client becomes a member first, and then the history is read. What is said in between, while "
        "it waits for its turn, is heard live and stands in the history, too.",
    ),
    "keeps_messages_in_a_dict": Defect(
        4,
        ("data_dir_ignored", "lost_after_crash", "sequence_reset"),
        (
            (
                "clients: set[Client] = set()\n",
                "clients: set[Client] = set()\nsaid: dict[str, list[Json]] = {}\n",
            ),
            (
                """db = sqlite3.connect(DATA_DIR / "chat.db", check_same_thread=False)
db.row_factory = sqlite3.Row
""",
                "",
            ),
            ("    await on_disk(open_database)\n", ""),
            ("    db.close()\n", ""),
            (
                """    columns = ":room, :sequence, :id, :user, :content, :timestamp"
    with db:
        db.execute(f"INSERT INTO messages VALUES ({columns})", message)
""",
                """    said.setdefault(message["room"], []).append(message)
""",
            ),
            (
                """    query = "SELECT * FROM messages WHERE room = ? AND user = ? AND id = ?"
    row = db.execute(query, (room, user, id)).fetchone()
    return dict(row) if row else None
""",
                """    for message in said.get(room, []):
        if message["user"] == user and message["id"] == id:
            return message
    return None
""",
            ),
            (
                """    query = "SELECT * FROM messages WHERE room=? AND sequence>? ORDER BY sequence LIMIT ?"
    return [dict(row) for row in db.execute(query, (room, since, limit))]
""",
                """    return said.get(room, [])[since : since + limit]
""",
            ),
        ),
        "The messages are kept in a dict and nowhere else: they end with the process.",
    ),
    "unlocked_lock": Defect(
        1,
        ("missing_notice", "lost", "unanswered_error"),
        (
            (
                _LOCKED,
                """    room = rooms[name]
    await room.lock.acquire()
    joined(client, name)
    await accept(room, client, content, id)
    room.lock.release()
""",
            ),
        ),
        "The room's lock is taken, and not given back if the message is refused. The next one who speaks "
        "there, or wants to enter, waits for ever.",
    ),
    "retry_keeps_the_lock": Defect(
        2,
        ("lost", "retry_unanswered"),
        (
            (
                _LOCKED,
                """    room = joined(client, name)
    await room.lock.acquire()
    await accept(room, client, content, id)
""",
            ),
            (_SAVED, _SAVED + "    room.lock.release()\n"),
        ),
        "The room's lock is taken, and not given back on the path of a message that comes again: that "
        "one is answered by an early return.",
    ),
}


def source(name: str) -> str:
    """The server's text with a defect. Raises AssertionError if an old text is not in it exactly once."""
    text = PLAIN.read_text(encoding="utf-8")
    for old, new in DEFECTS[name].changes:
        assert text.count(old) == 1, f"{name}: found {text.count(old)} times: {old!r}"
        text = text.replace(old, new)
    return text

"""Animals in a file of their own: the correct server of `plain.py`, with a small change of its source code.

They are written in the style of students, and the races in them are real.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from harness.zoo.animal import keep

PLAIN = Path(__file__).with_name("plain.py")
_TEXT = PLAIN.read_text(encoding="utf-8")


def changed(name: str, changes: Iterable[tuple[str, str]]) -> str:
    """The source code after changes: pairs of an old text, which must occur exactly once, and a new one."""
    source = _TEXT
    for old, new in changes:
        assert source.count(old) == 1, f"{name}: found {source.count(old)} times: {old!r}"
        source = source.replace(old, new)
    return source


def _keep(name: str, step: str, anomaly: str, says: str, *changes: tuple[str, str], **more: Any) -> None:
    """Make an animal by changes of the source code of `plain.py`."""
    source = changed(name, changes)
    keep(name, step, anomaly, says, partial(run_source, name, source), source=source, **more)


def run_source(name: str, source: str) -> None:
    """Run source code as a program, with its lines in tracebacks."""
    filename = f"{name}.py"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), {"__name__": "__main__", "__file__": filename})


_LOCKED = """    room = joined(client, name)
    async with room.lock:
        await accept(room, client, content, id)
"""
_SAVED = """    await on_disk(save, message)
    room.last = message["sequence"]
    tell(room, encode("message", message))
"""
_ENTERED = """        async with room.lock:  # no message is accepted between the history and the membership
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

_keep(
    "set_changes_while_iterating",
    "2.1 2.3",
    "lost",
    "The loop iterates over the set itself and awaits inside. If a member is disconnected meanwhile, the "
    "set changes, the loop ends with a RuntimeError, and the remaining members never receive the message.",
    (
        "async def on_disk(",
        '''async def deliver(member: Client, message: Json) -> None:
    """Send a message, and log who received it."""
    post(member, encode("message", message))
    await on_disk(note, f"{member.user} got {message['sequence']} of {message['room']}")


def note(line: str) -> None:
    """Add a line to the log of deliveries."""
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
)

_keep(
    "one_of_two_connections_ends",
    "3.3",
    "premature_offline",
    "Each connection that ends sets its user offline, although the user still has another connection.",
    (
        """    if not room.holds(client.user):
        announce(room, client, "offline", "has left")
""",
        """    announce(room, client, "offline", "has left")
""",
    ),
)

_keep(
    "heartbeat_dies",
    "3.3",
    "missing_heartbeat",
    "One task sends the heartbeats of all clients, and ends at the first exception: here it sends to a "
    "connection that it has just closed. From then on no client is sent heartbeats, and none times out.",
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
    (" Checks are four times as frequent.", ""),
    also="3.4",
)

_keep(
    "numbers_then_saves_then_sends_unlocked",
    "2.2",
    "reorder",
    "A message gets its number, waits for the disk, and is sent then, without a lock. The next one may be "
    "faster, so members receive number 8 before number 7.",
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
    also="2.1 2.3 2.4 4.4",
)

_keep(
    "history_then_subscribe",
    "2.3",
    "replay_hole",
    "The history is read first, and then the client becomes a member. Messages accepted in between, while "
    "it waits for the lock, are neither in the history nor delivered live.",
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
)

_keep(
    "subscribe_then_history",
    "2.3",
    "replay_overlap",
    "The client becomes a member first, and then the history is read. Messages accepted in between, while "
    "it waits for the lock, are delivered live and are in the history, too.",
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
)

_keep(
    "unlocked_lock",
    "1.4",
    "lost",
    "The room's lock is acquired, and not released if the message is refused. The next client that sends "
    "a message to the room, or joins it, waits forever.",
    (
        _LOCKED,
        """    room = rooms[name]
    await room.lock.acquire()
    joined(client, name)
    await accept(room, client, content, id)
    room.lock.release()
""",
    ),
    also="1.3 1.5",
)

_keep(
    "retry_keeps_the_lock",
    "2.3",
    "retry_unanswered",
    "The room's lock is acquired, and not released for a retry, which is answered by an early return.",
    (
        _LOCKED,
        """    room = joined(client, name)
    await room.lock.acquire()
    await accept(room, client, content, id)
""",
    ),
    (_SAVED, _SAVED + "    room.lock.release()\n"),
    also="4.1 4.4",
)


# --- what the course's listings get wrong, once each ----------------------------------------------------

_CAREFUL = """    except Exception as error:
        if not isinstance(error, Refusal):
            log.exception("could not obey %.200r", text)
        answer"""
_CARELESS = """    except Refusal as error:
        answer"""
_HEARTBEAT = """                post(client, '{"type": "heartbeat"}')
"""
_SINCE = "seen = max(0, room.last - NEWEST) if seen is None else min(seen, room.last)"

_keep(
    "an_import_is_missing",
    "1.1",
    "no_start",
    "A module is used but never imported, so the program ends before it listens.",
    ("import os\n", ""),
    also="2.1 3.1 4.1",
)

_keep(
    "handlers_take_a_path",
    "1.1",
    "no_start",
    "The handler has the parameters that websockets passed before version 14, so each connection ends "
    "with a TypeError.",
    (
        "async def welcome(client: ServerConnection) -> None:",
        "async def welcome(client: ServerConnection, path: str) -> None:",
    ),
    also="2.1 3.1 4.1",
)

_keep(
    "nobody_listens",
    "1.1",
    "no_start",
    "The program prints that it listens, but never starts the server: the attribute that it checks first "
    "does not exist.",
    (
        """    async with serve(welcome, HOST, PORT, create_connection=Client, **options):
        print(f"listening on ws://{HOST}:{PORT}/", flush=True)
        await stop.wait()
""",
        """    server = serve(welcome, HOST, PORT, create_connection=Client, **options)
    if getattr(server, "server", None):
        await server
    print(f"listening on ws://{HOST}:{PORT}/", flush=True)
    await stop.wait()
""",
    ),
    also="2.1 3.1 4.1",
)

_keep(
    "members_cannot_be_hashed",
    "1.3",
    "dropped_connection",
    "Members are instances of a dataclass, which cannot be hashed, and are added to a set: each join ends "
    "the connection with an uncaught TypeError.",
    ("import uuid\n", "import uuid\nfrom dataclasses import dataclass\n"),
    (
        "class Room:\n",
        '''@dataclass
class Member:
    """A member of a room."""

    client: Client


class Room:
''',
    ),
    ("                room.members.add(client)\n", "                room.members.add(Member(client))\n"),
    (_CAREFUL, _CARELESS),
    also="2.1 3.1 4.1",
)

_keep(
    "leaving_awaits_no_coroutine",
    "1.5",
    "dropped_connection",
    "A plain function is awaited: it does its work, and then the connection ends with a TypeError.",
    (
        "                leave(client, joined(client, room_in(frame)))\n",
        "                await leave(client, joined(client, room_in(frame)))\n",
    ),
    (_CAREFUL, _CARELESS),
    also="2.1 3.2",
)

_keep(
    "nothing_is_caught",
    "1.2",
    "dropped_connection",
    "Exceptions raised by bad frames are not caught, and so they end the connection.",
    (
        _CAREFUL,
        """    except ZeroDivisionError as error:
        answer""",
    ),
    also="1.3 1.4 1.5 2.4 3.2 3.4",
)

_keep(
    "times_are_of_the_loop",
    "1.4",
    "malformed_frame",
    "Timestamps come from the event loop's clock, which counts from the start of the machine, and not from "
    "1970.",
    (
        "    return round(time.time() * 1000)\n",
        "    return round(asyncio.get_running_loop().time() * 1000)\n",
    ),
    also="2.1 2.3 2.4 3.1 3.2 3.4 4.1 4.3 4.4 4.5",
)

_keep(
    "rooms_are_paths",
    "1.3",
    "unanswered_error",
    "Any text is accepted as a room name, and the name is a path: `../../x` is a room whose folder lies "
    "outside of the data directory.",
    (
        '        raise Refusal("bad_room", "a room\'s name has 1 to 64 letters, digits, `_`, `-` and `.`")\n',
        '        log.warning("odd name of a room: %r", name)\n',
    ),
    also="2.4 3.2",
)

_keep(
    "own_heartbeats_are_signs_of_life",
    "3.4",
    "zombie_presence",
    "When the server sends a heartbeat, it records a sign of life of the client. So a frozen client stays "
    "online forever.",
    (_HEARTBEAT, _HEARTBEAT + "                client.alive = time.monotonic()\n"),
)

_keep(
    "numbers_start_again_and_overwrite",
    "4.4",
    "sequence_reset",
    "After a restart the numbers start at 1 again, and new messages overwrite the old ones.",
    (
        """    for name, last in db.execute("SELECT room, MAX(sequence) FROM messages GROUP BY room"):
        rooms[name] = Room(name, last)
""",
        "",
    ),
    ("INSERT INTO messages", "INSERT OR REPLACE INTO messages"),
    also="2.2 2.3 2.4 4.3 4.5",
)

_keep(
    "the_oldest_50_are_replayed",
    "4.5",
    "wrong_replay",
    "A join is answered with the first fifty messages, and not with the last fifty.",
    (
        _SINCE,
        """at_most = NEWEST if seen is None else PAGE
            seen = min(seen or 0, room.last)""",
    ),
    (
        "page = await page_of(room, seen, PAGE)\n            if not",
        """page = await page_of(room, seen, at_most)
            page["more"] = page["more"] and at_most == PAGE
            if not""",
    ),
    also="2.3",
)

_keep(
    "each_send_is_waited_for",
    "2.1",
    "stalled_by_slow_reader",
    "The message is sent to one member after the other, and the server waits for each send: a member that "
    "does not read blocks the room.",
    (
        _SAVED,
        """    await on_disk(save, message)
    room.last = message["sequence"]
    for member in list(room.members):
        try:
            await member.send(encode("message", message))
        except ConnectionClosed:
            pass
""",
    ),
)

_keep(
    "whatever_is_not_read_is_kept",
    "2.1",
    "unbounded_slow_reader",
    "Frames that a member does not read are buffered without limit.",
    (
        """    if client.transport.get_write_buffer_size() > MAX_WAITING:
        client.transport.abort()
""",
        "",
    ),
)


# --- more mistakes of beginners -------------------------------------------------------------------------

_keep(
    "some_are_turned_away",
    "1.3",
    "no_connection",
    "The count of connections is never decreased, and after the tenth all others are rejected.",
    (
        "async def welcome(client",
        '''served = 0


def count(client: ServerConnection, request: Any) -> Any:
    """Accept as many connections as the server can handle."""
    global served
    served += 1
    return client.respond(503, "too many") if served > 10 else None


async def welcome(client''',
    ),
    ("create_connection=Client, **options", "create_connection=Client, process_request=count, **options"),
    also="2.3 3.3",
)

_keep(
    "heartbeats_answer_heartbeats",
    "3.3",
    "flooding",
    "Each heartbeat is answered with a heartbeat, on both sides: after the first one they never stop.",
    (
        "                pass  # its bytes were a sign of life already\n",
        _HEARTBEAT,
    ),
    also="3.4",
)

_keep(
    "local_time_is_taken_for_utc",
    "2.1",
    "wrong_time",
    "Timestamps are made from local time, two hours ahead of UTC, as if that were UTC.",
    (
        """    return round(time.time() * 1000)
""",
        """    here = datetime.now(timezone(timedelta(hours=2)))
    return round(here.replace(tzinfo=UTC).timestamp() * 1000)
""",
    ),
    ("from concurrent", "from datetime import UTC, datetime, timedelta, timezone\nfrom concurrent"),
    also="1.4 3.2 4.1",
)

_keep(
    "the_time_is_looked_up_once",
    "2.1",
    "wrong_time",
    "The time is the default value of a parameter. Python evaluates it when the function is defined, so "
    "all messages have the time when the server was started.",
    (
        "async def accept(room: Room, client: Client, content: str, id: str | None) -> None:",
        "async def accept(\n"
        "    room: Room, client: Client, content: str, id: str | None, now: int = milliseconds()\n"
        ") -> None:",
    ),
    (
        'message |= {"sequence": room.last + 1, "timestamp": milliseconds()}',
        'message |= {"sequence": room.last + 1, "timestamp": now}',
    ),
    also="1.4 4.1",
    worlds=("sim",),
    why="live runs are too short to show that its clock stands still",
)

_keep(
    "the_frame_says_who_speaks",
    "1.4",
    "impersonation",
    "The name of the sender is taken from the frame, where a client can write any name.",
    ('"user": client.user, "content": content}', '"user": user, "content": content}'),
    (
        "        await accept(room, client, content, id)\n",
        '        await accept(room, client, content, id, data.get("user") or client.user)\n',
    ),
    (
        "async def accept(room: Room, client: Client, content: str, id: str | None) -> None:",
        "async def accept(room: Room, client: Client, content: str, id: str | None, user: str) -> None:",
    ),
)

_keep(
    "an_odd_frame_is_looked_at_for_ever",
    "1.2",
    "server_hung",
    "JSON that is not an object is parsed again and again, in an endless loop.",
    (
        """    if not isinstance(frame, dict):
        raise Refusal("bad_json\"""",
        """    while frame is not None and not isinstance(frame, dict):
        frame = json.loads(text)
    if frame is None:
        raise Refusal("bad_json\"""",
    ),
)

_ACCEPTS = "    known = await on_disk(find, room.name, client.user, id) if id is not None else None\n"

_keep(
    "each_message_blocks_the_loop",
    "2.1",
    "server_blocked",
    "Each message takes three seconds of `time.sleep`, in which nobody else is served.",
    (_ACCEPTS, f"    time.sleep(3)\n{_ACCEPTS}"),
    also="1.4 3.4 4.1",
)

_keep(
    "each_message_takes_five_seconds",
    "2.1",
    "server_slow",
    "Each message waits for five seconds while its room is locked, so the next one waits for it.",
    (_ACCEPTS, f"    await asyncio.sleep(5)\n{_ACCEPTS}"),
    also="1.4 4.1",
)

_keep(
    "an_odd_frame_takes_all_memory",
    "1.2",
    "unbounded_memory",
    "JSON that is not an object is put into a list, and that again, without end.",
    (
        """    if not isinstance(frame, dict):
        raise Refusal("bad_json\"""",
        """    while frame is not None and not isinstance(frame, dict):
        frame = [frame, *range(1000)]
    if frame is None:
        raise Refusal("bad_json\"""",
    ),
    worlds=("sim",),
    why="it would take all memory of this machine",
)

_keep(
    "history_is_told_to_members_alone",
    "2.4",
    "unanswered_request",
    "A client that requests the history of a room that it is not in gets no answer at all.",
    (
        "    room = rooms.get(name) or Room(name)\n    page = await",
        """    room = rooms.get(name) or Room(name)
    if client not in room.members:
        return
    page = await""",
    ),
    also="4.3 4.5",
)

_keep(
    "history_has_ids_of_its_own",
    "2.4",
    "history_mismatch",
    "Each time a message is read from the disk it is given a new `id`, so it differs from the one that was "
    "delivered live.",
    (
        "    return [dict(row) for row in db.execute(query, (room, since, limit))]\n",
        """    rows = db.execute(query, (room, since, limit))
    return [dict(row) | {"id": uuid.uuid4().hex} for row in rows]
""",
    ),
    also="4.4",
)

_keep(
    "the_last_message_waits_for_the_next",
    "4.3",
    "lost_after_crash",
    "Each message is stored when the next one arrives. After a kill the last one of each room is missing.",
    (
        "def save(message: Json) -> None:\n",
        '''waiting: dict[str, Json] = {}


def save(message: Json) -> None:
    """Store the message before this one."""
    before, waiting[message["room"]] = waiting.get(message["room"]), message
    if before:
        store(before)


def store(message: Json) -> None:
''',
    ),
    (
        "    return dict(row) if row else None\n",
        """    late = waiting.get(room)
    if late and late["user"] == user and late["id"] == id:
        return late
    return dict(row) if row else None
""",
    ),
    (
        "    return [dict(row) for row in db.execute(query, (room, since, limit))]\n",
        """    found = [dict(row) for row in db.execute(query, (room, since, limit))]
    late = waiting.get(room)
    if late and late["sequence"] > since and len(found) < limit:
        found.append(late)
    return found
""",
    ),
    ("    db.close()\n", "    for message in waiting.values():\n        store(message)\n    db.close()\n"),
    also="4.4 4.5",
)

_keep(
    "lists_are_of_those_who_are_gone_too",
    "3.2",
    "presence_leak",
    "Changes are sent as they should be, but the answer to `presence` is made from a list from which no "
    "user is ever removed.",
    (
        "    seen: dict[str, int] = {}\n",
        "    seen: dict[str, int] = dict(known.get(name, {}))\n",
    ),
    (
        "clients: set[Client] = set()\n",
        "clients: set[Client] = set()\nknown: dict[str, dict[str, int]] = {}\n",
    ),
    (
        '    tell(room, encode("presence", {"room": room.name, "users": [user], "full": False}))\n',
        """    known.setdefault(room.name, {})[client.user] = client.last_seen
    tell(room, encode("presence", {"room": room.name, "users": [user], "full": False}))
""",
    ),
    also="3.3 3.4",
)

_keep(
    "one_too_few_at_the_edge_of_a_page",
    "2.4",
    "history_hole",
    "There is more to read if the page is full, but a page counts as full only from 101 messages on.",
    (
        '    more = bool(messages) and messages[-1]["sequence"] < last\n',
        "    more = len(messages) > limit\n",
    ),
    also="2.3 4.5",
)


# --- messages in memory, or in other files than a database ----------------------------------------------

_DATABASE = """db = sqlite3.connect(DATA_DIR / "chat.db", check_same_thread=False)
db.row_factory = sqlite3.Row
"""
_OPEN_DATABASE = _TEXT[_TEXT.index("def open_database()") : _TEXT.index("def save(")]
_STATEMENTS = _TEXT[_TEXT.index("def save(") : _TEXT.index("# --- sending")]
_FROM_MEMORY = '''def find(room: str, user: str, id: str) -> Json | None:
    """The message that this user has sent to this room with this id."""
    for message in said.get(room, []):
        if message["user"] == user and message["id"] == id:
            return message
    return None


def read(room: str, since: int, limit: int) -> list[Json]:
    """The first messages after number `since`."""
    return said.get(room, [])[since : since + limit]


'''


def _without_database(opening: str, saving: str, at_start: str = "") -> tuple[tuple[str, str], ...]:
    """Changes that read messages from a dict, `said`: the code that fills it, and the code of `save`."""
    return (
        (_DATABASE, ""),
        (_OPEN_DATABASE, opening),
        (_STATEMENTS, saving + _FROM_MEMORY),
        ("    await on_disk(open_database)\n", at_start),
        ("    db.close()\n", ""),
    )


_keep(
    "keeps_messages_in_a_dict",
    "4.3",
    "data_dir_ignored",
    "Messages are kept in a dict and nowhere else: they are lost when the process ends.",
    *_without_database(
        "said: dict[str, list[Json]] = {}\n\n\n",
        '''def save(message: Json) -> None:
    """Keep a message in memory."""
    said.setdefault(message["room"], []).append(message)


''',
    ),
    also="2.2 4.4 4.5",
)

_KEPT = '''said: dict[str, list[Json]] = {}


def keep(message: Json) -> None:
    """Keep a message in memory that is on the disk."""
    room = rooms.setdefault(message["room"], Room(message["room"]))
    room.last = message["sequence"]
    said.setdefault(room.name, []).append(message)


'''


def _stored_by(reading: str, saving: str) -> tuple[tuple[str, str], ...]:
    """Changes that keep messages in memory, and on the disk in another form than a database."""
    return _without_database(_KEPT + reading, saving, "    await on_disk(read_all)\n")


_READ_JOURNAL = '''def read_all() -> None:
    """Read the journal: a line for each message. An incomplete last line was not published."""
    whole = 0
    journal.seek(0)
    for line in journal:
        if not line.endswith(b"\\n"):
            break
        keep(json.loads(line))
        whole += len(line)
    journal.truncate(whole)


'''
_SAVE_IN_JOURNAL = '''journal = open(DATA_DIR / "journal", "a+b")


def save(message: Json) -> None:
    """Add a line to the journal; when this returns, it survives even a power failure."""
    journal.write(json.dumps(message).encode() + b"\\n")
    journal.flush()
    os.fsync(journal.fileno())
    said.setdefault(message["room"], []).append(message)


'''
_JOURNAL = _stored_by(_READ_JOURNAL, _SAVE_IN_JOURNAL)

JOURNAL = changed("journal", _JOURNAL)
"""The source code of a correct server that keeps a journal and no database."""

_keep(
    "a_torn_line_ends_the_start",
    "4.4",
    "no_start",
    "Each line of the journal is parsed without a check. If the last one is incomplete because the server "
    "was killed, the server never starts again.",
    *_JOURNAL,
    (
        """        if not line.endswith(b"\\n"):
            break
        keep""",
        "        keep",
    ),
)

_keep(
    "the_journal_goes_on_after_a_torn_line",
    "4.4",
    "lost_after_crash",
    "An incomplete last line is skipped, but left in the file: the next message is appended to the same "
    "line, and at the start after that both are lost.",
    *_JOURNAL,
    (
        """        if not line.endswith(b"\\n"):
            break
        keep(json.loads(line))
        whole += len(line)
    journal.truncate(whole)
""",
        """        try:
            keep(json.loads(line))
        except ValueError:
            log.warning("not a message: %.60r", line)
""",
    ),
    ("    whole = 0\n", ""),
)

_keep(
    "the_whole_file_is_written_anew",
    "4.3 4.4",
    "no_start",
    "All messages are in one JSON file, which is rewritten for each new message. A kill in the middle of "
    "that leaves half a file, and the server does not start with it.",
    *_stored_by(
        '''FILE = DATA_DIR / "messages.json"


def read_all() -> None:
    """Read all messages."""
    if FILE.exists():
        for message in json.loads(FILE.read_text()):
            keep(message)


''',
        '''def save(message: Json) -> None:
    """Write all messages."""
    said.setdefault(message["room"], []).append(message)
    FILE.write_text(json.dumps([each for room in said.values() for each in room]))


''',
    ),
)

_keep(
    "one_torn_file_breaks_the_start",
    "4.4",
    "no_start",
    "Each message has its own file, and all files are parsed when the server starts. One incomplete file "
    "is enough to make that fail.",
    *_stored_by(
        '''def read_all() -> None:
    """Read all messages."""
    for path in sorted(DATA_DIR.glob("*/*.json"), key=lambda path: int(path.stem)):
        keep(json.loads(path.read_text()))


''',
        '''def save(message: Json) -> None:
    """Write a file for the message."""
    folder = DATA_DIR / message["room"]
    folder.mkdir(exist_ok=True)
    (folder / f"{message['sequence']}.json").write_text(json.dumps(message))
    said.setdefault(message["room"], []).append(message)


''',
    ),
)

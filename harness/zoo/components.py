"""Components that are broken on purpose: changes of the model answers' source code, like students' mistakes.

The server around them is correct, and hides most of these defects from its clients. They are found because
the components are called directly (`harness/contracts`), each in a step of its own exercise.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.judged.targets import ROOT
from harness.verdict.steps import COMPONENTS, EXERCISES
from harness.zoo.animal import keep

_ANSWERS = {
    component: ROOT / "solutions" / EXERCISES[number] / f"{component}.py"
    for number, component in COMPONENTS.items()
}


def _keep(
    component: str, name: str, step: str, anomaly: str, says: str, *changes: tuple[str, str], also: str = ""
) -> None:
    source = _changed(component, name, changes)
    keep(name, step, anomaly, says, None, also=also, source=source, component=component)


def _changed(component: str, name: str, changes: Iterable[tuple[str, str]]) -> str:
    text = _ANSWERS[component].read_text(encoding="utf-8")
    head, _, body = text.partition('"""\n\n')  # the docstring explains the correct answer
    assert head, "it begins with a docstring"
    for old, new in changes:
        assert old in body, f"{name}: {old!r} is not there (any more)"
        body = body.replace(old, new)
    return body


# --- exercise 1 -----------------------------------------------------------------------------------

_LOOP = "        for member in self.members(room):\n            member.send(frame)"

_keep(
    "pubsub",
    "publish_loops_over_the_live_list",
    "1.4",
    "wrong_delivery",
    "`publish` iterates over the list itself: if a member leaves meanwhile, the next one is skipped.",
    (_LOOP, "        for member in self._rooms.get(room, []):\n            member.send(frame)"),
)
_keep(
    "pubsub",
    "publish_loops_over_the_live_set",
    "1.4",
    "call_raised",
    "`publish` iterates over a dictionary that changes during the loop.",
    ("list[Member]] = {}", "dict[Member, None]] = {}"),
    ("setdefault(room, [])", "setdefault(room, {})"),
    ("members.append(member)", "members[member] = None"),
    (".remove(member)", ".pop(member)"),
    (_LOOP, "        for member in self._rooms.get(room, {}):\n            member.send(frame)"),
)
_keep(
    "pubsub",
    "an_attribute_is_called_rooms",
    "1.3",
    "method_hidden",
    "The dictionary is stored as `self.rooms`, which hides the method `rooms`.",
    ("self._rooms", "self.rooms"),
    also="1.4 1.5",
)
_keep(
    "pubsub",
    "members_are_lent",
    "1.3",
    "wrong_answer",
    "`members` returns the internal list: a caller that empties it empties the room.",
    ("return list(self._rooms.get(room, []))", "return self._rooms.get(room, [])"),
    also="1.4",
)
_keep(
    "pubsub",
    "empty_rooms_stay",
    "1.5",
    "wrong_answer",
    "A room that all members have left is still one of `rooms()`, and stays in memory forever.",
    ("        if not self.members(room):\n            self._rooms.pop(room, None)\n", ""),
)
_keep(
    "pubsub",
    "unknown_rooms_raise",
    "1.3",
    "call_raised",
    "`members` of a room that never had a member raises KeyError.",
    ("return list(self._rooms.get(room, []))", "return list(self._rooms[room])"),
    (
        "in self.members(room):\n            self._rooms[room].remove",
        "in self._rooms.get(room, []):\n            self._rooms[room].remove",
    ),
    ("if not self.members(room)", "if not self._rooms.get(room)"),
    also="1.4 1.5",
)
_keep(
    "pubsub",
    "publish_turns_for_ever",
    "1.4",
    "call_hangs",
    "In an empty room, `publish` waits for a member in an endless loop.",
    (_LOOP, f"        while not self.members(room):\n            pass\n{_LOOP}"),
    also="1.1 1.2 1.3 1.5",
)
_keep(
    "pubsub",
    "publish_sleeps",
    "1.4",
    "call_blocks",
    "In a room of several, `publish` calls `time.sleep(2)`: meanwhile the server does nothing.",
    (_LOOP, f"        if len(self.members(room)) > 1:\n            __import__('time').sleep(2)\n{_LOOP}"),
)
_keep(
    "pubsub",
    "publish_gives_up",
    "1.4",
    "call_ends",
    "In an empty room, `publish` ends the whole process.",
    (_LOOP, f"        if not self.members(room):\n            __import__('os')._exit(1)\n{_LOOP}"),
    also="1.1 1.2 1.3 1.5",
)

_keep(
    "pubsub",
    "rooms_as_a_default_argument",
    "1.3",
    "wrong_answer",
    "`def __init__(self, rooms={})`: all instances share one dictionary.",
    (
        "    def __init__(self) -> None:\n        self._rooms: dict[str, list[Member]] = {}",
        "    def __init__(self, rooms: dict[str, list[Member]] = {}) -> None:\n        self._rooms = rooms",
    ),
)
_keep(
    "pubsub",
    "the_oldest_of_many_rooms_is_dropped",
    "1.4",
    "wrong_delivery",
    "Beyond 256 rooms, the first one is removed, even if it has members.",
    (
        "        members = self._rooms.setdefault(room, [])",
        "        if room not in self._rooms and len(self._rooms) == 256:\n"
        "            del self._rooms[next(iter(self._rooms))]\n"
        "        members = self._rooms.setdefault(room, [])",
    ),
    also="1.3",
)

# --- exercise 2 -----------------------------------------------------------------------------------

_SAVE = "            await self._store.save([message])\n"
_PUBLISH = "            self._pubsub.publish(draft.room, message)\n"
_LAST = "await self._store.last(draft.room) + 1"
_REPLAY = (
    "        if since is not None:\n"
    "            while (page := await self.history(room, since, MAX_PAGE)).more:\n"
    "                member.send(page)\n"
    "                await member.drain()\n"
    "                since = page.messages[-1].sequence\n"
)
_LOCK = "        async with self._locks[room]:\n"
_ALL_PAGES = """        if since is not None:
            more = True
            while more:
                page = await self.history(room, since, MAX_PAGE)
                member.send(page)
                await member.drain()
                more = page.more
                since = page.messages[-1].sequence if page.messages else since
"""
_THE_REST = (
    "                while (page := await self.history(room, since, MAX_PAGE)).messages:\n"
    "                    member.send(page)\n"
    "                    since = page.messages[-1].sequence\n"
)

_keep(
    "sequencer",
    "published_and_then_saved",
    "2.2",
    "published_unsaved",
    "A message is published before it is saved: members may receive one that is lost in a crash.",
    (_SAVE + _PUBLISH, _PUBLISH + _SAVE),
)
_keep(
    "sequencer",
    "the_replay_holds_the_lock",
    "2.3",
    "reader_delays",
    "`attach` waits for a slow reader while it holds the room's lock: the whole room waits, too.",
    (_REPLAY + _LOCK, _LOCK + "".join(f"    {line}\n" for line in _REPLAY.splitlines())),
    also="2.1 2.2",
)
_keep(
    "sequencer",
    "nobody_drains",
    "2.3",
    "wrong_join",
    "A long replay is queued as a whole, without waiting for its reader.",
    ("                await member.drain()\n", ""),
    also="2.1",
)
_keep(
    "sequencer",
    "the_rest_is_one_page",
    "2.3",
    "wrong_join",
    "Under the lock, `attach` sends one page: more may have come while its reader was waited for.",
    (_REPLAY, _ALL_PAGES),
    (_THE_REST, "                member.send(await self.history(room, since, MAX_PAGE))\n"),
    also="2.1",
)
_keep(
    "sequencer",
    "accept_returns_nothing",
    "2.1",
    "wrong_message",
    "`accept` does all of its work, but returns None.",
    ("            return message\n", ""),
)
_keep(
    "sequencer",
    "the_newest_page_says_more",
    "2.4",
    "wrong_page",
    "The newest page of a join says that more follows.",
    ("more=False", "more=True"),
)
_keep(
    "sequencer",
    "the_page_of_an_empty_room_names_a_number",
    "2.4",
    "wrong_page",
    "A client that joins a room without messages is sent 1 as the newest number.",
    ("await self._store.last(room), more=False", "await self._store.last(room) or 1, more=False"),
)
_keep(
    "sequencer",
    "the_counter_goes_on_after_a_failed_save",
    "2.2",
    "wrong_number",
    "Numbers are counted in memory: if the store fails to save a message, its number is not used again.",
    (
        "        self._store = store\n",
        "        self._store = store\n        self._numbers: dict[str, int] = {}\n",
    ),
    (
        "            message = Message(",
        "            if draft.room not in self._numbers:\n"
        "                self._numbers[draft.room] = await self._store.last(draft.room)\n"
        "            self._numbers[draft.room] += 1\n"
        "            message = Message(",
    ),
    (_LAST, "self._numbers[draft.room]"),
)
_keep(
    "sequencer",
    "timestamps_of_another_month",
    "2.1",
    "wrong_message",
    "Every `timestamp` is twenty days off.",
    ("int(time.time() * 1000)", "int(time.time() * 1000) - 20 * 24 * 3600 * 1000"),
)
_keep(
    "sequencer",
    "ids_are_looked_up_outside_of_the_lock",
    "2.3",
    "retry_new",
    "Two concurrent messages with the same `id` both find nothing, and both are accepted.",
    (
        "        async with self._locks[draft.room]:\n"
        "            if draft.id is not None:\n"
        "                stored = await self._store.find(draft.room, draft.user, draft.id)\n"
        "                if stored is not None:\n"
        "                    return stored\n",
        "        if draft.id is not None:\n"
        "            stored = await self._store.find(draft.room, draft.user, draft.id)\n"
        "            if stored is not None:\n"
        "                return stored\n"
        "        async with self._locks[draft.room]:\n",
    ),
)
_keep(
    "sequencer",
    "everything_goes_to_the_first_room",
    "2.1",
    "wrong_publish",
    "The messages of all rooms are published in the room of the first message.",
    ("        self._store = store\n", '        self._store = store\n        self._first = ""\n'),
    (
        _PUBLISH,
        "            self._first = self._first or draft.room\n"
        "            self._pubsub.publish(self._first, message)\n",
    ),
    also="2.2 2.3 2.4",
)

_keep(
    "sequencer",
    "a_save_has_two_seconds",
    "2.1",
    "call_raised",
    "A save times out after two seconds, although the store is still working on it.",
    ("await self._store.save([message])", "await asyncio.wait_for(self._store.save([message]), 2)"),
)
_keep(
    "sequencer",
    "eight_may_join_at_once",
    "2.3",
    "reader_delays",
    "A semaphore lets eight clients join at a time: eight that do not read keep the ninth waiting.",
    (
        "        self._store = store\n",
        "        self._store = store\n        self._joining = asyncio.Semaphore(8)\n",
    ),
    (
        "    async def attach(",
        "    async def attach(self, room: str, member: Member, since: int | None) -> None:\n"
        "        async with self._joining:\n"
        "            await self._attach(room, member, since)\n\n"
        "    async def _attach(",
    ),
)

# --- exercise 3 -----------------------------------------------------------------------------------

_ONLINE_IN = "        return [presence for (where, _), presence in self._online().items() if where == room]"

_keep(
    "presence",
    "the_others_are_announced_again",
    "3.2",
    "wrong_change",
    "When a user joins, those who are in the room already are announced, and the new one is not.",
    (
        "        return came + went",
        "        rooms = [change.room for change in came]\n"
        "        others = [\n"
        "            Change(room, after[room, user])\n"
        "            for room, user in after\n"
        "            if room in rooms and (room, user) in before\n"
        "        ]\n"
        "        return others + went",
    ),
    also="3.3 3.4",
)
_keep(
    "presence",
    "a_user_is_listed_once_per_connection",
    "3.1",
    "wrong_answer",
    "A user with two connections is in the list twice.",
    (
        _ONLINE_IN,
        "        return [\n"
        "            Presence(each.user, Status.ONLINE, int(each.seen * 1000))\n"
        "            for each in self._connections.values()\n"
        "            if room in each.rooms\n"
        "        ]",
    ),
)
_keep(
    "presence",
    "seen_returns_nothing",
    "3.4",
    "wrong_answer",
    "`seen` records the time, but returns None.",
    (
        "            self._connections[connection].seen = now\n        return []",
        "            self._connections[connection].seen = now",
    ),
    also="3.1 3.2 3.3",
)
_keep(
    "presence",
    "last_seen_in_another_month",
    "3.2",
    "wrong_last_seen",
    "Every `last_seen` is twenty days off.",
    ("seen = int(connection.seen * 1000)", "seen = int((connection.seen - 20 * 24 * 3600) * 1000)"),
    also="3.1 3.3 3.4",
)

_keep(
    "presence",
    "connections_of_the_class",
    "3.1",
    "wrong_answer",
    "The dictionary of connections is a class attribute: all instances share it.",
    (
        "    def __init__(self, heartbeat",
        "    _connections: dict[str, Connection] = {}\n\n    def __init__(self, heartbeat",
    ),
    ("        self._connections: dict[str, Connection] = {}\n", ""),
)

# --- exercise 4 -----------------------------------------------------------------------------------

_APPEND = (
    "        await asyncio.get_running_loop().run_in_executor(self._writer, self._append, lines.encode())\n"
)
_REMEMBER = "        for message in messages:\n            self._remember(message)\n"

_keep(
    "store",
    "two_threads_write",
    "4.5",
    "wrong_answer",
    "Two threads write concurrently, and a later message may precede an earlier one in the list.",
    ("ThreadPoolExecutor(1)", "ThreadPoolExecutor(2)"),
    also="4.2 4.3 4.4",
)
_keep(
    "store",
    "an_id_is_known_in_all_rooms",
    "4.5",
    "wrong_answer",
    "`find` ignores the room: messages with the same `id` in two rooms count as one.",
    ("self._ids[message.room, message.user", 'self._ids["", message.user'),
    ("self._ids.get((room, user", 'self._ids.get(("", user'),
)
_keep(
    "store",
    "written_over_in_place",
    "4.4",
    "not_kept",
    "To add a message, the file is truncated and rewritten: a kill in between loses all messages.",
    (
        "        self._file.write(lines)",
        "        self._file.seek(0)\n"
        "        before = self._file.read()\n"
        "        self._file.truncate(0)\n"
        "        self._file.write(before + lines)",
    ),
    also="4.3 4.5",
)
_keep(
    "store",
    "a_full_disk_is_passed_over",
    "4.3",
    "not_kept",
    "The OSError of a failed write is caught and logged, and `save` returns as if it had succeeded.",
    (
        "        self._file.flush()",
        "        try:\n"
        "            self._file.flush()\n"
        "        except OSError as error:\n"
        "            print(error)\n"
        "            return",
    ),
)
_keep(
    "store",
    "digits_become_a_number",
    "4.3",
    "not_kept",
    "Content that consists of digits is stored as a number: `007` comes back as 7.",
    (
        "[m.id, m.room, m.user, m.content,",
        "[m.id, m.room, m.user, int(m.content) if m.content.isdigit() else m.content,",
    ),
    also="4.2 4.4 4.5",
)
_keep(
    "store",
    "what_was_not_found_never_is",
    "4.5",
    "wrong_answer",
    "`find` caches that a message was not found, and the cache is not updated by a save.",
    (
        "        return self._ids.get((room, user, id))",
        "        found = self._ids.get((room, user, id))\n"
        "        if found is None or (room, user, id) in self._missing:\n"
        "            self._missing.add((room, user, id))\n"
        "            return None\n"
        "        return found",
    ),
    ("        self._ids: ", "        self._missing: set[tuple[str, str, str]] = set()\n        self._ids: "),
)
_keep(
    "store",
    "close_does_nothing",
    "4.2",
    "files_open",
    "`close` leaves the file open until the process ends.",
    ("        self._writer.shutdown(wait=True)\n        self._file.close()", "        pass"),
)
_keep(
    "store",
    "a_log_beside_the_server",
    "4.3",
    "files_elsewhere",
    "In addition to its own folder, the store writes a log to the server's working directory.",
    (
        "        self._file.flush()",
        '        Path("store.log").write_bytes(lines)\n        self._file.flush()',
    ),
)
_keep(
    "store",
    "the_file_is_written_anew_at_the_start",
    "4.4",
    "not_kept",
    "A new instance empties the file and writes it again: a SIGKILL at that moment loses everything.",
    (
        "        self._file.truncate(whole)",
        "        self._file.seek(0)\n"
        "        kept = self._file.read(whole)\n"
        "        self._file.truncate(0)\n"
        "        self._file.write(kept)\n"
        "        self._file.flush()",
    ),
)
_keep(
    "store",
    "a_message_is_told_before_it_is_written",
    "4.3",
    "not_kept",
    "A message can be read while its `save` is waiting for the disk: a client may see it, and it is lost.",
    (_REMEMBER, ""),
    (_APPEND, _REMEMBER + _APPEND),
)

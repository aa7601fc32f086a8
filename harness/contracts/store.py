"""MessageStore: what was saved can be read, by the same instance and by the next, however this one ended.

After each save that has returned, and after each write to the disk, the folder is copied as SIGKILL would
have left it just then; where something was appended to a text file, once more with its end torn off. Each
copy is opened by a second instance, which must return all that was saved by then, and may return what was
being saved. It saves one more message, which a third instance must return too. What the second one writes
while it is being made is looked at as well: SIGKILL may strike then, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from errno import ENAMETOOLONG, ENOENT
from pathlib import Path
from random import Random
from typing import Any

import psutil
from msgspec import Struct, field
from msgspec.structs import replace

from harness.contracts.base import PROTO, Plan, Stage, is_message, one_line
from harness.contracts.disk import Watch, Written, full, watched
from harness.history.calls import quoted, raised, said_by
from harness.history.events import Called
from harness.worlds.torn import is_text, sizes
from lab.protocol import MAX_CONTENT, MAX_ID, MAX_NAME, MAX_PAGE, Message

STEPS = {
    "MessageStore": "4.3",
    "save": "4.3",
    "close": "4.2",
    **dict.fromkeys(("page", "newest", "last", "find"), "4.5"),
}
SIZES = range(1, 9)
PLAYS = 6

_ALIKE = ("nord", "Nord", "no.rd", "no-rd", "no_rd", "É", "E\u0301", "7", "007", "1e3", "1000")
"""Names that look alike: they are different rooms, even as names of files."""
ROOMS = _ALIKE + PROTO
LONG = "北" * MAX_NAME
"""A room with the longest name there is, of three-byte letters. If the store refuses it, that is a note."""
USERS = ("ann", "Ann", "bob", "O'Neil", "a,b\tc", "new\nline", "👩🏽‍🚀", "7", "007", "ann ")
_GLUE = (":", "/", "|", "-", "_", ".", ",", " ", "")
"""Separators with which a store may join a user and an id into one key: two keys may then be equal."""
IDS = ("id1", "ID1", "id2", "7", "007", "1e3", "a/b", 'say "x"', "'; --", "ü\n", "i" * MAX_ID)
CONTENTS = (
    "hello",
    "two\nlines\r\nand a\ttab\r",
    "\u2028 \u2029 \x85 \x0b \x1c line ends",
    "a\x00b",
    "nothing at the end\x00",
    '{"type": "leave"}, [1]',
    "'quotes' \"double\" \\ back\\slash \\n",
    "  spaces at both ends  ",
    "007",
    "1e3",
    " 1",
    "-0",
    "null",
    "True",
    "déjà vu, cafe\u0301 你好 👩🏽‍🚀",
    "x",
)
LARGE = "l" * MAX_CONTENT
_ALIKE_USERS = (("ann", "Ann"), ("7", "007"), ("ann", "ann "))
MOST_COPIES = 10
"""Copies of the folder in one play."""
_EXISTS = 0.7
"""The share of plays in which the folder exists from the beginning."""
_FULL = 0.15
"""The share of plays that end on a full disk."""
MOST_EXAMINED = 6
"""Copies that are opened and examined in one play."""
MOST_STARTS, MOST_APPENDED = 5, 2
"""Copies that are made while a copy is being opened, and how many of them after something was appended."""
_EARLY = 3
"""Questions that are asked while a save is under way."""
_WHY_MISSING = {"full": "missing", "killed_starting": "missing_starting", "killed_early": "told_early"}
"""What is behind a missing message wherever the store ended in this way."""
_CUT_OFF = ("torn", "killed_writing", "killed_starting")
"""Ends in the middle of a write."""
_TORN = (0.1, 0.5, 0.95)
"""The share that stays of what was just written."""
_BETWEEN = (0, 0, 0.0005, 0.002)
"""Seconds between the beginnings of two concurrent saves; a disk takes milliseconds."""
_CLOSING = 0.1
"""Seconds in which a file may still be closing."""
_MANY = 1200
"""Messages in one save: more than a list of the newest would hold."""
_NOT_ALL_OF_IT = re.compile(rb"[\x80-\xbf]")
"""A byte of UTF-8 in the middle of a character."""


class Words(Struct, frozen=True):
    """A message to be saved, without its number."""

    room: int
    user: str
    id: str
    content: str


class Act(Struct, frozen=True):
    """`save`: some concurrent calls; `ask` something; `close` and open again; `skip` some numbers.

    `long` saves in a room with a long name; `early` asks for the newest messages while a save is under way;
    `full` saves when the disk is full, which is the last act.
    """

    what: str
    saves: list[list[Words]] = field(default_factory=list)
    method: str = ""
    room: int = 0
    number: int = 0
    limit: int = 1


def plan(rng: Random, size: int) -> Plan:
    """So many acts: mostly saves, with questions between them."""
    alike = rng.choice(((0, 1), (2, 3, 4), (5, 6), (7, 8, 9, 10), range(len(_ALIKE))))
    rooms = rng.sample(alike, rng.randint(1, min(3, len(alike))))
    users = rng.choice((rng.sample(USERS, 2), list(rng.choice(_ALIKE_USERS))))
    acts = []
    for _ in range(size):
        what = rng.choices(("save", "ask", "close", "skip"), (6, 4, 1, 0.3))[0]
        if what == "save":
            acts.append(Act("save", _saves(rng, rooms, users)))
        elif what == "ask":
            acts.append(_ask(rng, rooms))
        else:
            acts.append(Act(what, room=rng.choice(rooms), number=rng.choice((4, 4, 2**33))))
    acts.append(_ask(rng, rooms))
    if rng.random() < 0.1:
        acts.append(Act("long"))
    if rng.random() < _FULL:
        acts.append(Act("full", _saves(rng, rooms, users)[:1]))
    return Plan("", acts)


def _saved(*rooms: int, count: int = 1) -> Act:
    return Act("save", [[Words(room, USERS[0], "", "hello")] * count for room in rooms])


def _asked(method: str, number: int = 0, limit: int = MAX_PAGE) -> Act:
    return Act("ask", method=method, number=number, limit=limit)


def _alike(by: str) -> list[Words]:
    """Two messages whose user and id, joined by `by`, are the same string."""
    return [Words(0, f"x{by}y", "z", "hello"), Words(0, "x", f"y{by}z", "hello")]


ALWAYS = [
    Plan("", [_saved(0, 1), Act("another"), _saved(0), _asked("last"), _asked("newest")]),
    Plan(
        "",
        [_saved(0, count=_MANY), _asked("page"), _asked("last"), _asked("newest"), Act("close"), _saved(0)],
    ),
    Plan("", [_saved(0, count=250), *(_asked("page", since) for since in (0, 1, 100, 150, 249, 250))]),
    Plan("", [Act("skip", number=2**33), _asked("last"), Act("close"), _saved(0), _asked("newest")]),
    # Messages that `find` did not find at first: a sequencer calls it before it saves a message.
    Plan("", [Act("found", [[Words(0, user, id, "hello")]]) for user in USERS[:2] for id in IDS[:6]]),
    Plan("", [Act("found", [[words]]) for by in _GLUE for words in _alike(by)]),
    *(
        Plan(
            "",
            [
                Act("ask", method="newest", room=room),
                Act("found", [[Words(room, name, name, name)]]),
                *(Act("ask", method=method, room=room, limit=1) for method in ("last", "page", "newest")),
                Act("close"),
                Act("ask", method="last", room=room),
            ],
        )
        for room, name in enumerate(PROTO, start=len(_ALIKE))
    ),
    Plan("", [_saved(0), Act("full", [[Words(0, USERS[0], "", "hello")]])]),
    Plan("", [_saved(0), Act("early", [[Words(0, USERS[0], "", "hello")]])]),
]


def less(act: Act) -> list[Act]:
    """Variants of an act with less in it."""
    if len(act.saves) > 1:
        return [replace(act, saves=act.saves[:n] + act.saves[n + 1 :]) for n in range(len(act.saves))]
    if not act.saves or len(act.saves[0]) < 2:
        return []
    words = act.saves[0]
    halves = [words[: len(words) // 2], words[len(words) // 2 :]] if len(words) > 3 else []
    singles = [words[:n] + words[n + 1 :] for n in range(min(len(words), 12))]
    return [replace(act, saves=[fewer]) for fewer in (*singles, *halves)]


def _saves(rng: Random, rooms: list[int], users: list[str]) -> list[list[Words]]:
    ids = rng.sample(IDS, 2)
    count, many = rng.choice(((1, 1), (1, 1), (3, 1), (2, 2), (1, 60)))
    return [
        [
            Words(
                rng.choice(rooms),
                rng.choice(users),
                rng.choice((*ids, "")) if many < 5 else "",
                LARGE if rng.random() < 0.03 else rng.choice(CONTENTS),
            )
            for _ in range(rng.randint(1, many))
        ]
        for _ in range(count)
    ]


def _ask(rng: Random, rooms: list[int]) -> Act:
    method = rng.choice(("page", "page", "newest", "newest", "last", "find", "find"))
    number, limit = rng.choice((0, 0, 1, 2, 30, 500)), rng.choice((1, 2, 50, MAX_PAGE))
    return Act("ask", method=method, room=rng.choice(rooms), number=number, limit=limit)


async def play(plan: Plan, stage: Stage) -> None:
    """Make all calls, and compare their results with the model."""
    with tempfile.TemporaryDirectory(dir=stage.folder) as folder:
        home, data = Path(folder, "home"), Path(folder, "data")
        home.mkdir()
        one = _Play(plan, stage, Path(folder), data)
        with contextlib.chdir(home), watched(one.watch):
            await one.all()
        one.look_elsewhere(home)


class _Copy(Struct):
    """The folder as it was at some moment, and what had been saved by then, or was being saved.

    `step` is the step of the course that it tests; `how` says what ended the store there, `before` has the
    calls by then, and `end` shows the end among them.
    """

    path: Path
    step: str
    how: str
    before: list[Called]
    saved: list[Message]
    maybe: list[Message]
    end: str = "SIGKILL"
    content: bytes = b""
    """What stands in its files, before a new instance opens them."""

    @property
    def calls(self) -> list[Called]:
        """What had happened, with the end."""
        ended = [] if self.how.startswith("stopped") else [Called(self.before[-1].at, 0, "", self.end)]
        return [*self.before, *ended]

    @property
    def rooms(self) -> list[str]:
        """The rooms of all these messages."""
        return list(dict.fromkeys(message.room for message in [*self.saved, *self.maybe]))

    def has_written(self, message: Message) -> bool:
        """Whether a message stands in its files, by its timestamp as digits: no two have the same."""
        return str(message.timestamp).encode() in self.content


class _Play:
    """One play: the store, the model of its content, and the copies of its folder."""

    def __init__(self, plan: Plan, stage: Stage, folder: Path, data: Path) -> None:
        self._acts: list[Act] = plan.acts
        self._stage = stage
        self._rng = Random(plan.seed)
        self._folder, self._data = folder, data
        if self._rng.random() < _EXISTS:
            data.mkdir()
        self._saved: list[Message] = []
        self._found = 0
        """How many of them had been saved when the store was opened for the last time."""
        self._saving: list[list[Message]] = []
        self._batches: list[list[Message]] = []
        """What each `save` was given, those that run included."""
        self._numbers = dict.fromkeys(ROOMS, 0)
        self._copies: list[_Copy] = []
        self._opening: _Copy | None = None
        """The copy that a new instance is being made for."""
        self._starts: list[_Copy] = []
        """That copy as it was while the instance was being made."""
        self._used: set[tuple[str, str, str]] = set()
        self._tags = 0
        self._examined = 0  # events before the copy that is being examined
        self._is_over = self._is_copying = self._is_full = False
        loop = asyncio.get_running_loop() if stage.host is None else None  # there may be real threads
        self.watch = Watch(folder, self.written, loop)
        self._strays: set[str] = set()
        """Files that were made outside of the data folder, even if they were removed again."""

    # --- what is called ---------------------------------------------------------------------------

    async def all(self) -> None:
        """Play to the end; then examine the copies."""
        await self._open(self._data, "4.3")
        for act in self._acts:
            if not self._is_over:
                await self._one(act)
        if not self._is_over:
            await self._close()
            self._copy("4.2", "stopped")
        self._is_copying = True  # the copies themselves are not copied
        most = MOST_EXAMINED if len(self._saved) < _MANY else 1  # reading many is slow
        chosen = self._rng.sample(self._copies, min(most, len(self._copies)))
        for copy in sorted(chosen, key=self._copies.index):
            if await self._examine(copy):
                for start in self._starts:
                    await self._examine_start(start)

    async def _open(self, data: Path, step: str) -> None:
        self._store: Any = await self._call(
            step, "MessageStore", self._stage.fresh(), data, shown='MessageStore("data")'
        )

    async def _one(self, act: Act) -> None:
        match act.what:
            case "save":
                await self._save_all(act.saves)
            case "ask":
                await self._ask(act)
            case "skip":
                self._numbers[ROOMS[act.room]] += act.number
                await self._save_all([[Words(act.room, USERS[0], "", "hello")]])
                await self._check_after_gap(ROOMS[act.room])
            case "long":
                await self._save([Message("long", LONG, USERS[0], "hello", 1, 1_767_225_600_000)])
            case "found":
                await self._find_it(act.saves[0][0])
            case "another":
                await self._make_another()
            case "early":
                await self._ask_early(act.saves[0][0])
            case "full":
                # A save may raise; if it returns, it has saved. After that, the store is not judged.
                self._is_full = True
                with full(self._data, self._stage.pid if self._stage.is_apart else 0):
                    is_back = await self._save_all(act.saves)
                if is_back:
                    with contextlib.suppress(Exception):
                        await _closed(self._store)
                self._is_over = True
            case "close":
                await self._close()
                self._copy("4.2", "stopped")
                if not self._is_over:
                    # On a copy, so that files that the old instance left open do not affect the next.
                    before, self._data = self._data, self._folder / f"data{len(self._stage.history)}"
                    _copy_folder(before, self._data)
                    self._count_as_synced()
                    self._found = len(self._saved)
                    await self._open(self._data, "4.4")

    async def _find_it(self, words: Words) -> None:
        """Look for a message, save it, and look for it again."""
        key = ROOMS[words.room], words.user, words.id
        await self._compare("find", key, None)
        if not self._is_over:
            await self._save_all([[words]])
        if not self._is_over:
            await self._compare("find", key, self._saved[-1])

    async def _ask_early(self, words: Words) -> None:
        """Ask while a message is being saved: what is told then may be shown to a client, so it survives."""
        message = self._message(words)
        save = asyncio.create_task(self._save([message]))
        for _ in range(_EARLY):
            await asyncio.sleep(0)
            if save.done():
                break
            told = await self._call("4.5", "newest", self._store.newest, message.room, MAX_PAGE)
            if isinstance(told, list) and message in told:
                copy = self._copy("4.3", "killed_early")
                if copy is not None:
                    copy.saved = list(dict.fromkeys([*copy.saved, message]))
                break
        await self._wait_for([save])

    async def _make_another(self) -> None:
        """A second instance of the same class, with another folder, must share nothing with the first."""
        kind, room = type(self._store), ROOMS[0]
        other = await self._call(
            "4.3", "MessageStore", kind, self._folder / "other", shown='MessageStore("other")  # 2'
        )
        if other is _RAISED:
            return
        got = await self._call("4.5", "last", other.last, room)
        if got is not _RAISED and got != 0:
            shown = {"call": f"last({quoted(room)})", "got": self._stage.calls.shown(got), "owed": "0"}
            self._stage.breach("4.5", "wrong_answer", "MessageStore.last", "shared", **shown)
            self._is_over = True
        if not self._is_over:
            message = Message("other", room, USERS[0], "other", 1, 1_767_225_600_000)
            await self._call("4.3", "save", other.save, [message])
            await self._call("4.2", "close", other.close)
        self._stage.calls.begin("# 1")

    async def _save_all(self, saves: list[list[Words]]) -> bool:
        """Make concurrent calls of `save`, in the order of their numbers; return whether all return."""
        batches = [[self._message(words) for words in batch] for batch in saves]
        tasks = []
        for batch in batches:
            tasks.append(asyncio.create_task(self._save(batch)))
            await asyncio.sleep(self._rng.choice(_BETWEEN))  # the next begins while this one is running
        return await self._wait_for(tasks)

    async def _wait_for(self, tasks: list[asyncio.Task[None]]) -> bool:
        """Wait for calls of `save`; return whether all of them return."""
        _, pending = await asyncio.wait(tasks, timeout=self._stage.never)
        if pending:
            if self._is_full:
                self._stage.notes.append(("save_hangs", {}))
            else:
                self._stage.hangs("4.3", "MessageStore.save", "save", pending)
            self._is_over = True
            for task in pending:
                task.cancel()
        return not pending

    def _message(self, words: Words) -> Message:
        room = ROOMS[words.room]
        self._numbers[room] += 1
        self._tags += 1
        key = room, words.user, words.id
        # A user uses an id once in a room; other users, or other rooms, may have the same one.
        id = words.id if words.id and key not in self._used else f"t{self._tags}"
        self._used.add(key)
        message = Message(
            id, room, words.user, words.content, self._numbers[room], 1_767_225_600_000 + self._tags
        )
        user, known_by = self._stage.calls.shown(message.user), self._stage.calls.shown(id)
        by = f" (user={user}, id={known_by})" if id == words.id else ""
        self._stage.name(message, f"{quoted(room)[1:-1]} {self._stage.calls.shown(message)}{by}")
        return message

    async def _save(self, batch: list[Message]) -> None:
        self._saving.append(batch)
        self._batches.append(batch)
        if await self._call("4.3", "save", self._store.save, list(batch)) is not _RAISED:
            self._saved += batch
            if self._stage.host is not None or len(self._saving) == 1:
                self._copy("4.3", "full" if self._is_full else "killed")
        self._saving.remove(batch)
        self._look_for_unsynced()

    async def _close(self) -> None:
        await self._call("4.2", "close", self._store.close)
        still_open = self._open_files()
        if still_open and self._stage.is_apart:
            await asyncio.sleep(_CLOSING)  # streams of Node's close their files by themselves, a moment later
            still_open = self._open_files()
        if still_open and not self._is_over:
            self._stage.breach("4.2", "files_open", "MessageStore.close", files=", ".join(still_open))

    def _open_files(self) -> list[str]:
        """The names of files in the data folder that its process has open."""
        with contextlib.suppress(psutil.Error):
            mine = [Path(each.path) for each in psutil.Process(self._stage.pid).open_files()]
            return sorted(path.name for path in mine if path.is_relative_to(self._data))
        return []

    async def _call(self, step: str, method: str, function: Any, *args: Any, shown: str = "") -> Any:
        """Call a method, and await it. If it raises, the play is over: returns _RAISED."""
        calls = self._stage.calls
        what = shown or calls.written(method, args)
        number = calls.begin(what)
        try:
            got = function(*args)
            if asyncio.iscoroutine(got):
                got = await got
        except (Exception, SystemExit) as error:
            calls.end(number, what, raised(error))
            self._is_over = True
            if self._is_full:
                return _RAISED
            if isinstance(error, OSError) and error.errno == ENAMETOOLONG:
                self._stage.notes.append(("long_names", {"letters": MAX_NAME}))
            else:
                duty = f"MessageStore.{'__init__' if shown else method}"
                is_no_folder = not self._data.exists() and _is_no_folder(error)
                self._stage.raised(
                    step, duty, what, error, "no_folder" if is_no_folder else "",
                    unknown=self._unknown(method, args), owed=_NOTHING.get(method, ""),
                )  # fmt: skip
            return _RAISED
        if method in ("save", "close"):
            calls.end(number, what, "done")
        elif not shown:
            calls.end(number, what, calls.shown(got))
        return got

    def _unknown(self, method: str, args: tuple[Any, ...]) -> list[object]:
        """What such a call was given and is not there: a room without messages, or an id."""
        if method not in _NOTHING:
            return []
        is_there = method == "find" and any((m.room, m.user, m.id) == args for m in self._saved)
        return [*([] if self._in(args[0]) else [args[0]]), *([] if is_there or method != "find" else [args])]

    # --- what is asked ----------------------------------------------------------------------------

    def _in(self, room: str) -> list[Message]:
        return sorted((m for m in self._saved if m.room == room), key=lambda m: m.sequence)

    async def _ask(self, act: Act) -> None:
        room = ROOMS[act.room]
        known = self._in(room)
        owed: Any
        match act.method:
            case "page":
                args: tuple[Any, ...] = (room, act.number, act.limit)
                owed = [m for m in known if m.sequence > act.number][: act.limit]
            case "newest":
                args, owed = (room, act.limit), known[-act.limit :]
            case "last":
                args, owed = (room,), known[-1].sequence if known else 0
            case _:
                # A message that is stored; or its id in another room, or of another user.
                message = self._rng.choice(self._saved) if self._saved else None
                user, id = (message.user, message.id) if message else ("ann", "id1")
                user = user if self._rng.random() < 0.7 else USERS[0]
                room = message.room if message and self._rng.random() < 0.5 else room
                args = room, user, id
                owed = next((m for m in self._in(room) if (m.user, m.id) == (user, id)), None)
        await self._compare(act.method, args, owed)

    async def _compare(self, method: str, args: tuple[Any, ...], owed: Any) -> None:
        """Call a method of the store, and compare its result with the expected one."""
        got = await self._call("4.5", method, getattr(self._store, method), *args)
        if got is not _RAISED and got != owed:
            is_rest = await self._is_rest(got, owed)
            self._wrong_answer(method, args, got, owed, is_rest=is_rest)

    def _is_new(self, room: str) -> bool:
        """Whether a message of this room was saved since the store was opened for the last time."""
        return any(message.room == room for message in self._saved[self._found :])

    async def _is_rest(self, got: Any, owed: Any) -> bool:
        """Whether messages are not stored that one `save` was given after others that are."""
        if not isinstance(got, list) or not isinstance(owed, list):
            return False
        lost = next((each for each in owed if each not in got), None)
        batch = next((each for each in self._batches if lost in each), [])
        if lost is None or batch[0] is lost:
            return False
        with contextlib.suppress(Exception):
            first, this = [await self._store.find(m.room, m.user, m.id) for m in (batch[0], lost)]
            return first == batch[0] and this is None
        return False

    def _wrong_answer(
        self, method: str, args: tuple[Any, ...], got: Any, owed: Any, *, is_rest: bool
    ) -> None:
        calls = self._stage.calls
        shown = {"call": calls.written(method, args), "got": calls.shown(got), "owed": calls.shown(owed)}
        variant = _likely_mistake(method, got, owed)
        if method == "find" and isinstance(got, Message) and any(got in self._in(room) for room in ROOMS):
            variant = "store_other_found" if owed is not None else variant
        if is_rest and variant == "store_missing":
            variant = "store_missing_rest"
        elif not got and not self._is_new(args[0]):
            variant = _UNREAD.get(variant, variant)
        if variant == "store_altered":
            pairs = zip(got, owed, strict=False) if isinstance(owed, list) else [(got, owed)]
            shown |= next((_difference(mine, due) for mine, due in pairs if mine != due), {})
        self._stage.breach("4.5", "wrong_answer", f"MessageStore.{method}", variant, **shown)

    async def _check_after_gap(self, room: str) -> None:
        """Check the message after a gap in the numbers. If only paging there fails, that is just a note."""
        if self._is_over:
            return
        await self._ask(Act("ask", method="last", room=ROOMS.index(room)))
        await self._ask(Act("ask", method="newest", room=ROOMS.index(room), limit=MAX_PAGE))
        owed = self._in(room)[-1:]
        with contextlib.suppress(Exception):
            got = await self._store.page(room, owed[0].sequence - 1, MAX_PAGE)
            if got != owed:
                self._stage.notes.append(("pages_by_place", {}))
                self._is_over = True  # pages are wrong from here on

    # --- what is on the disk ----------------------------------------------------------------------

    def written(self, what: Written | None) -> None:
        """Copy the folder after a write."""
        if what is not None and what.path.parent == self._folder:
            self._strays.add(what.path.name)
        if self._opening is not None:
            self._copy_start(self._opening, what)
        if self._is_copying or self._is_full or not self._saving or len(self._copies) >= MOST_COPIES:
            return
        if what is not None and not what.path.is_relative_to(self._data):
            return
        self._copy("4.4", "killed_writing")
        if what is not None and what.size > 1 and self._may_tear(what):
            copy = self._copy("4.4", "torn")
            if copy is not None:
                kept = self._torn_at(what)
                name = what.path.relative_to(self._data)
                os.truncate(copy.path / name, what.start + kept)
                copy.end = f"SIGKILL; truncate({name}, {what.start + what.size} → {what.start + kept})"

    def _copy_start(self, opening: _Copy, what: Written | None) -> None:
        """Copy the folder while a new instance is made for it and may write: SIGKILL may strike then, too."""
        is_appended = what is not None and what.size
        if len(self._starts) >= (MOST_APPENDED if is_appended else MOST_STARTS):
            return
        if what is not None and not what.path.is_relative_to(opening.path):
            return
        path = self._folder / f"{opening.path.name}-{len(self._starts)}"
        self._opening = None  # what the copying writes does not count
        _copy_folder(opening.path, path)
        self._opening = opening
        before = [*opening.calls, *self._stage.history[self._examined :]]
        self._starts.append(_Copy(path, "4.4", "killed_starting", before, [*opening.saved], opening.maybe))

    def _torn_at(self, what: Written) -> int:
        """How many bytes stay: some part, or all up to the middle of a character."""
        with what.path.open("rb") as file:
            file.seek(what.start)
            inside = [found.start() for found in _NOT_ALL_OF_IT.finditer(file.read(what.size))]
        if inside and self._rng.random() < 0.5:
            return self._rng.choice(inside)
        return min(max(int(what.size * self._rng.choice(_TORN)), 1), what.size - 1)

    def _may_tear(self, what: Written) -> bool:
        """Only text is torn: a database has a log of its own for this."""
        with what.path.open("rb") as file:
            file.seek(what.start)
            return is_text(file.read())

    def _copy(self, step: str, how: str) -> _Copy | None:
        """Copy the folder as it is."""
        if self._is_over or len(self._copies) >= 3 * MOST_COPIES:
            return None
        path = self._folder / f"copy{len(self._copies)}"
        with self.watch.lock:
            self._is_copying = True
            saved, saving = list(self._saved), list(self._saving)
            _copy_folder(self._data, path)
            self._is_copying = False
        # In real time other threads keep running: what was saved meanwhile may be in the copy, or not.
        maybe = [message for batch in (*saving, *self._saving) for message in batch]
        self._copies.append(_Copy(path, step, how, list(self._stage.history), saved, maybe))
        return self._copies[-1]

    async def _examine(self, copy: _Copy) -> bool:
        """Open a copy, check that all is there, save one more message, and check that it is there too.

        Returns whether all of that is so.
        """
        if not copy.rooms or self._is_broken(copy.step):
            return False
        self._examined = len(self._stage.history)
        copy.content = _content_of(copy.path)
        self._opening, self._starts = copy, []
        store = self._opened_copy(copy)
        self._opening = None
        if store is None or not await self._is_all_there(copy, store):
            return False
        if copy.how == "full":
            return True
        room = copy.rooms[0]
        highest = max((each.sequence for each in copy.saved if each.room == room), default=0)
        try:
            self._show(f"last({quoted(room)})")
            last = self._number(await store.last(room))
            if last < highest:
                self._lost(copy, "last", room=room, got=last, owed=highest)
                return False
            more = Message("more", room, "ann", "more", last + 1, 1_767_225_700_000)
            self._show(f"save([{room} {self._stage.calls.shown(more)}])")
            await store.save([more])
            self._show("close()")
            await _closed(store)
        except Exception as error:
            self._failed(copy, error)
            return False
        copy.saved.append(more)
        copy.how = "killed_twice" if copy.how == "killed_writing" else f"{copy.how}_twice"
        again = self._opened_copy(copy)
        if again is None or not await self._is_all_there(copy, again):
            return False
        await _closed(again)
        return True

    async def _examine_start(self, start: _Copy) -> None:
        """Check that nothing is lost if the process is killed while a new instance is being made."""
        if self._is_broken(start.step):
            return
        self._examined = len(self._stage.history)
        store = self._opened_copy(start)
        if store is not None and await self._is_all_there(start, store):
            with contextlib.suppress(Exception):
                await _closed(store)

    def _is_broken(self, step: str) -> bool:
        """Whether a breach of this step was found already: one is enough."""
        return any(each.step == step for each in self._stage.breaches)

    def _opened_copy(self, copy: _Copy) -> Any:
        self._show('MessageStore("data")')
        try:
            return self._stage.fresh()(copy.path)
        except Exception as error:
            self._lost(copy, "no_start", error=one_line(error))
            return None

    def _show(self, what: str) -> None:
        """Record a call that examines a copy."""
        self._stage.calls.begin(what)

    async def _is_all_there(self, copy: _Copy, store: Any) -> bool:
        maybe = {(each.room, each.sequence): each for each in copy.maybe}
        for room in copy.rooms:
            self._show(f"page({quoted(room)}, 0, {MAX_PAGE})")
            owed = sorted((m for m in copy.saved if m.room == room), key=lambda m: m.sequence)
            try:
                there = await self._all_of(store, room)
            except Exception as error:
                self._failed(copy, error)
                return False
            found = {each.sequence: each for each in there if isinstance(each.sequence, int)}
            for message in owed:
                if found.get(message.sequence) != message:
                    other, shown = found.get(message.sequence), self._stage.calls.shown(message)
                    if other is None:
                        self._lost(copy, self._why_missing(copy, message), message=shown, room=room)
                    else:
                        what = _difference(other, message)
                        variant = "altered_room" if what["field"] == "room" else "altered"
                        self._lost(copy, variant, message=shown, room=room, **what)
                    return False
            for message in there:
                if message not in owed and maybe.get((room, message.sequence)) != message:
                    self._lost(copy, "invented", message=self._stage.calls.shown(message), room=room)
                    return False
            numbers = [message.sequence for message in there]
            if numbers != sorted(set(numbers)):
                self._lost(copy, "disorder", got=str(numbers), room=room)
                return False
        return True

    def _why_missing(self, copy: _Copy, message: Message) -> str:
        """The most likely mistake behind a message that a new instance does not have."""
        if copy.how in _WHY_MISSING:
            return _WHY_MISSING[copy.how]
        if copy.step == "4.4" and copy.how.endswith("_twice"):
            return "missing_torn"
        if copy.has_written(message):
            return "missing_lines" if _has_line_ends(copy.saved) else "missing_unread"
        batch = next((each for each in self._batches if message in each), [message])
        if any(copy.has_written(each) for each in batch[: batch.index(message)]):
            return "missing_rest"
        return "missing_stopped" if copy.how.startswith("stopped") else "missing"

    async def _all_of(self, store: Any, room: str) -> list[Message]:
        """All messages of a room, page by page, and with `newest`, as for a join without `since`."""
        found: list[Message] = []
        since = 0
        while page := self._listed("page", await store.page(room, since, MAX_PAGE)):
            found += page
            if page[-1].sequence <= since or len(found) > 10_000:
                break
            since = page[-1].sequence
        newest = self._listed("newest", await store.newest(room, MAX_PAGE))
        return [*found, *(message for message in newest if message not in found)]

    def _failed(self, copy: _Copy, error: Exception) -> None:
        """A new instance raised an exception, or a method of it returned something else than it must."""
        if isinstance(error, _WrongType):
            self._lost(copy, "wrong_type", error=said_by(error))
        else:
            self._lost(copy, "raises", error=one_line(error))

    def _number(self, got: Any) -> int:
        """What `last` returned, which must be an integer. Raises _WrongType."""
        if not isinstance(got, int):
            raise _WrongType(f"`last` returned {self._stage.calls.shown(got)}")
        return got

    def _listed(self, method: str, got: Any) -> list[Message]:
        """What a method returned, which must be a list of messages. Raises _WrongType."""
        if not isinstance(got, list) or not all(map(is_message, got)):
            raise _WrongType(f"`{method}` returned {self._stage.calls.shown(got)}")
        return got

    def _lost(self, copy: _Copy, variant: str, **params: Any) -> None:
        if variant in ("no_start", "raises") and not copy.how.startswith(_CUT_OFF):
            variant = "unreadable"  # nothing was cut off: it cannot read what it has written itself
        if variant == "no_start" and copy.step == "4.4" and copy.how.endswith("_twice"):
            variant = "no_start_torn"
        if (variant, copy.how) == ("missing", "full"):
            variant = "missing_full"
        shown = {"after": copy.how, "saved": len(copy.saved), **params}
        duty = "MessageStore.close" if copy.how.startswith("stopped") else "MessageStore.save"
        since = self._stage.history[self._examined :]
        self._stage.breach_in([*copy.calls, *since], copy.step, "not_kept", duty, variant, **shown)

    def _look_for_unsynced(self) -> None:
        """Note what was saved but not synced, so that a power cut would lose it; on simulated disks only."""
        host = self._stage.host
        if (
            host is None
            or self._is_full
            or not self._saved
            or any(key == "save_not_synced" for key, _ in self._stage.notes)
        ):
            return
        for path, size in sorted(sizes(self._data).items()):
            synced = host.synced.get(size.inode, 0)
            if size.size > synced:
                with path.open("rb") as file:
                    file.seek(synced)
                    text = file.read()
                # Its timestamp, which no other one has: what is being saved may be there, too.
                if is_text(text) and str(self._saved[-1].timestamp).encode() in text:
                    self._stage.notes.append(("save_not_synced", {"file": path.name}))
                    return

    def _count_as_synced(self) -> None:
        """Count all files as synced: the harness made this copy of the folder, and has checked it."""
        if self._stage.host is not None:
            for size in sizes(self._data).values():
                self._stage.host.synced[size.inode] = size.size

    def look_elsewhere(self, home: Path) -> None:
        """Check that files were created in the data folder only."""
        if found := sorted({path.name for path in home.iterdir()} | self._strays):
            self._stage.breach("4.3", "files_elsewhere", "MessageStore.__init__", files=", ".join(found[:3]))


async def _closed(store: Any) -> None:
    """Close it, and wait until it is if that takes time, as it may in Node."""
    closing = store.close()
    if asyncio.iscoroutine(closing):
        await closing


def _content_of(folder: Path) -> bytes:
    """The content of all files of a folder."""
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def _has_line_ends(messages: list[Message]) -> bool:
    """Whether these hold line ends that JSON need not escape, and at which `splitlines` cuts."""
    texts = (text for each in messages for text in (each.room, each.user, each.id, each.content))
    return any(end in text for text in texts for end in "\u2028\u2029\x85")


def _copy_folder(folder: Path, path: Path) -> None:
    """Copy a folder, if there is one: a store that has saved nothing need not have made it."""
    if folder.exists():
        shutil.copytree(folder, path)


_UNREAD = {"store_missing": "store_missing_unread", "store_last": "store_last_unread"}
"""These mistakes, where nothing at all is there after a restart."""
_RAISED = object()


class _WrongType(TypeError):  # noqa: N818 - named for what it says
    """A method returned something else than it must."""


_NOTHING = {"page": "[]", "newest": "[]", "last": "0", "find": "None"}
"""What each method returns where nothing is stored."""


def _likely_mistake(method: str, got: Any, owed: Any) -> str:
    """The most likely mistake behind a wrong answer."""
    if method == "last":
        return "store_none" if got is None else "store_last"
    if method == "find":
        if not is_message(got):
            return "store_not_found" if owed else "store_no_message"
        if owed is None:
            return "store_found"
        return "store_altered" if got.sequence == owed.sequence else "store_other_found"
    if not isinstance(got, list):
        return "store_none" if got is None else "store_no_list"
    if not all(map(is_message, got)):
        return "store_no_list"
    if owed and any(each.room != owed[0].room for each in got):
        return "store_other_room"
    numbers, due = [each.sequence for each in got], [each.sequence for each in owed]
    if numbers == due:
        return "store_altered"
    if sorted(numbers, key=str) == sorted(due, key=str):
        return "store_disorder"
    return "store_missing" if set(due) - set(numbers) else "store_too_many"


def _is_no_folder(error: BaseException) -> bool:
    """Whether somebody has opened a file in a folder that does not exist; SQLite says so in its own way."""
    is_missing = isinstance(error, OSError) and error.errno == ENOENT
    return is_missing or type(error).__name__ == "OperationalError"


def _difference(got: Message, owed: Message) -> dict[str, str]:
    """The first field in which a message differs from what was saved."""
    for name in ("room", *owed.__struct_fields__):  # all else of another room's message differs, too
        was, now = getattr(owed, name), getattr(got, name, None)
        if was != now:
            return {"field": name, "was": quoted(str(was)), "now": quoted(str(now))}
    return {"field": "type", "was": "Message", "now": type(got).__name__}

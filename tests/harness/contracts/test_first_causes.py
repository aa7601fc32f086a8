"""What a breach names as its cause follows from the calls that it shows: one mistake in each model answer."""

from __future__ import annotations

import re
import tempfile
import textwrap
from pathlib import Path

import pytest
from msgspec import Struct

from harness.contracts import running
from harness.contracts.result import Breach, Played
from harness.judged.targets import find_folder
from harness.reports.words import Words
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import COMPONENTS, EXERCISES

NUMBERS = {component: number for number, component in COMPONENTS.items()}


class Mistake(Struct, frozen=True):
    """A change of the model answer, and what the first breach then is: `name/variant`."""

    component: str
    old: str
    new: str
    breach: str
    cause: str
    """A regular expression for its cause in English."""
    says: str = ""
    """The same for what it says."""


_LOOK_UP = """\
        async with self._locks[draft.room]:
            if draft.id is not None:
                stored = await self._store.find(draft.room, draft.user, draft.id)
                if stored is not None:
                    return stored
"""
_SAVE_AND_PUBLISH = """\
            await self._store.save([message])
            self._pubsub.publish(draft.room, message)
            return message
"""
_SAVE_OR_COUNT_DOWN = """\
try:
            await self._store.save([message])
        except Exception:
            self._counts[draft.room] -= 1
            raise
"""
_SAVE_IN_TURN = """\
earlier, mine = self._turns.get(draft.room), asyncio.Event()
        self._turns[draft.room] = mine
        try:
            await self._store.save([message])
        except Exception:
            self._counts[draft.room] -= 1
            raise
        finally:
            if earlier is not None:
                await earlier.wait()
            mine.set()
"""
_LOCKS = "        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)\n"

MISTAKES = {
    "rooms_go_with_each_leaver": Mistake(
        "pubsub",
        "if not self.members(room):\n            self._rooms.pop(room, None)",
        "self._rooms.pop(room, None)",
        "wrong_answer/missing_left",
        "the room only when nobody is left in it",
    ),
    "unsubscribe_raises_meanwhile": Mistake(
        "pubsub",
        "if not self.members(room):\n            self._rooms.pop(room, None)",
        "if not self._rooms[room]:\n            del self._rooms[room]",
        "call_raised/unknown",
        "not known.*changes nothing and raises nothing",
    ),
    "nothing_is_stored": Mistake(
        "pubsub",
        "self._rooms.setdefault(room, [])",
        "[]",
        "wrong_answer/missing",
        "Does `subscribe` store the member",
    ),
    "reading_makes_rooms": Mistake(
        "pubsub",
        "self._rooms.get(room, [])",
        "self._rooms.setdefault(room, [])",
        "wrong_answer/extra_nobody",
        "Nobody was ever subscribed there.*`defaultdict`",
    ),
    "unknown_rooms_raise": Mistake(
        "pubsub",
        "self._rooms.get(room, [])",
        "self._rooms[room]",
        "call_raised/unknown_returns",
        "not known.*returns \\[\\]",
    ),
    "rooms_that_nobody_is_in_raise": Mistake(
        "pubsub",
        "        for member in self.members(room):\n",
        "        for member in list(self._rooms[room]):\n",
        "call_raised/unknown",
        "not known.*changes nothing and raises nothing",
    ),
    "strangers_raise": Mistake(
        "pubsub",
        "        if member in self.members(room):\n            self._rooms[room].remove(member)\n",
        "        if room in self._rooms:\n            self._rooms[room].remove(member)\n",
        "call_raised/unknown",
        "`[a-z]+` is not known.*changes nothing and raises nothing",
    ),
    "one_page_under_the_lock": Mistake(
        "sequencer",
        "while (page := await self.history(room, since, MAX_PAGE)).messages:\n"
        "                    member.send(page)\n"
        "                    since = page.messages[-1].sequence\n",
        "member.send(await self.history(room, since, MAX_PAGE))\n",
        "wrong_join/hole_more",
        "more=true.*Go on page by page.*also while you hold the lock",
    ),
    "pages_start_one_too_late": Mistake(
        "sequencer",
        "                await member.drain()\n                since = page.messages[-1].sequence\n",
        "                await member.drain()\n                since = page.messages[-1].sequence + 1\n",
        "wrong_join/hole_skipped",
        "after N comes N \\+ 1.*`since \\+ 1`",
    ),
    "refusals_are_swallowed": Mistake(
        "sequencer",
        "            await self._store.save([message])\n",
        "            try:\n                await self._store.save([message])\n"
        "            except Exception:\n                pass\n",
        "published_unsaved/refused",
        "`save` raised.*Raise the exception again.*publish nothing",
    ),
    "a_lock_for_each_call": Mistake(
        "sequencer",
        "async with self._locks[draft.room]:",
        "async with asyncio.Lock():",
        "wrong_number/twice",
        "is it the same in all calls",
    ),
    "the_save_is_outside_of_the_lock": Mistake(
        "sequencer",
        _SAVE_AND_PUBLISH,
        textwrap.indent(textwrap.dedent(_SAVE_AND_PUBLISH), " " * 8),
        "retry_new/meanwhile_saving",
        "released before `save` has returned",
    ),
    "ids_are_looked_up_before_the_lock": Mistake(
        "sequencer",
        _LOOK_UP,
        "        if draft.id is not None:\n"
        "            stored = await self._store.find(draft.room, draft.user, draft.id)\n"
        "            if stored is not None:\n"
        "                return stored\n"
        "        async with self._locks[draft.room]:\n",
        "retry_new/meanwhile",
        "The look-up stands before the lock",
    ),
    "a_counter_with_the_save_outside_of_the_lock": Mistake(
        "sequencer",
        _SAVE_AND_PUBLISH,
        textwrap.indent(textwrap.dedent(_SAVE_AND_PUBLISH), " " * 8),
        "wrong_number/order_saving",
        "overtook another at an `await`.*inside it",
        "number 2 was published while the save of number 1 was under way",
    ),
    "a_number_is_given_back_too_late": Mistake(
        "sequencer",
        _SAVE_AND_PUBLISH,
        textwrap.indent(textwrap.dedent(_SAVE_AND_PUBLISH), " " * 8),
        "wrong_number/refused_meanwhile",
        "at the same time.*under one lock",
        "the store failed to save number 1, and the next message was published with number 2",
    ),
    "a_counter_is_not_set_back": Mistake(
        "sequencer",
        "await self._store.last(draft.room) + 1",
        "await self._next(draft.room)",
        "wrong_number/refused",
        "Under the lock, raise the counter only when `save` has returned",
        "the store failed to save number 1, and the next message was published with number 2",
    ),
    "with_instead_of_async_with": Mistake(
        "sequencer",
        "async with self._locks[draft.room]:",
        "with self._locks[draft.room]:",
        "call_raised/plain_with",
        "`async with`, not with `with`",
    ),
    "a_lock_is_not_released_on_errors": Mistake(
        "sequencer",
        "            self._pubsub.publish(draft.room, message)\n            return message\n",
        "            self._pubsub.publish(draft.room, message)\n"
        "            self._locks[draft.room].release()\n            return message\n",
        "call_hangs/early",
        "took a lock and did not release it.*`finally`",
    ),
    "unknown_connections_raise": Mistake(
        "presence",
        "self._connections.pop(connection, None)",
        "self._connections.pop(connection)",
        "call_raised/unknown_returns",
        '`"c[0-9]"` is not known.*returns \\[\\]',
    ),
    "joins_are_counted": Mistake(
        "presence",
        "rooms: set[str] = field(default_factory=set)",
        "rooms: list[str] = field(default_factory=list)",
        "wrong_change/no_offline_joined_twice",
        "joined the room twice.*counts once",
    ),
    "a_sign_of_life_counts_for_all": Mistake(
        "presence",
        "            self._connections[connection].seen = now\n",
        "            for each in self._connections.values():\n"
        "                if each.user == self._connections[connection].user:\n"
        "                    each.seen = now\n",
        "wrong_answer/connected_silent_other",
        "for its own connection only",
        '"c[135]" was silent from now=.*"c[135]", another connection of the same user, was seen later',
    ),
    "sweep_changes_what_it_goes_over": Mistake(
        "presence",
        "list(self._connections.items())",
        "self._connections.items()",
        "call_raised/changed",
        "by its own body.*Iterate over a copy",
    ),
    "the_timeout_is_twice_as_long": Mistake(
        "presence",
        ">= self._offline_timeout",
        ">= 2 * self._offline_timeout",
        "wrong_change/no_offline_kept",
        "Which duration is the silence compared with",
    ),
    "the_folder_is_not_made": Mistake(
        "store",
        "        data_dir.mkdir(parents=True, exist_ok=True)\n",
        "",
        "call_raised/no_folder",
        "data_dir.mkdir\\(parents=True, exist_ok=True\\)",
    ),
    "rooms_ignore_case": Mistake(
        "store",
        "self._rooms.get(room, [])",
        "sorted((m for r in self._rooms.values() for m in r if m.room.lower() == room.lower()),"
        " key=lambda m: m.sequence)",
        "wrong_answer/store_other_room",
        "Compare room names exactly",
    ),
    "nothing_is_read_back": Mistake(
        "store",
        "            self._remember(Message(*json.loads(line)))\n",
        "",
        "wrong_answer/store_last_unread",
        "saved before the restart.*read the file back",
    ),
    "torn_lines_end_the_start": Mistake(
        "store",
        "        self._file.truncate(whole)\n",
        "",
        "not_kept/no_start_torn",
        "cut off an incomplete end before anything is appended",
    ),
    "torn_lines_stay": Mistake(
        "store",
        "            self._remember(Message(*json.loads(line)))\n",
        "            with contextlib.suppress(ValueError):\n"
        "                self._remember(Message(*json.loads(line)))\n",
        "not_kept/missing_torn",
        "cut off an incomplete end before anything is appended",
    ),
    "only_the_first_is_kept": Mistake(
        "store",
        "        for message in messages:\n            self._remember(message)\n",
        "        for message in messages:\n            self._remember(message)\n            return\n",
        "wrong_answer/store_missing_rest",
        "all messages of the list.*`return` inside the loop",
    ),
    "only_the_first_is_written": Mistake(
        "store",
        "for m in messages]",
        "for m in messages[:1]]",
        "not_kept/missing_rest",
        "all messages of the list.*`return` inside the loop",
    ),
    "nothing_is_flushed": Mistake(
        "store",
        "        self._file.flush()  # from our memory to the system's\n"
        "        os.fsync(self._file.fileno())  # from the system's memory to the disk\n",
        "",
        "not_kept/missing",
        "written and flushed",
    ),
    "lines_are_split_everywhere": Mistake(
        "store",
        "        for line in self._file:\n",
        "        text = self._file.read().decode()\n"
        "        whole = len(text.encode())\n"
        "        for line in text.splitlines():\n"
        "            try:\n"
        "                self._remember(Message(*json.loads(line)))\n"
        "            except ValueError:\n"
        "                pass\n"
        "        for line in ():\n",
        "not_kept/missing_lines",
        "`splitlines\\(\\)` cuts there, too",
    ),
}
_COUNTER = (
    (
        _LOCKS,
        f"{_LOCKS}        self._counts: dict[str, int] = {{}}\n\n"
        "    async def _next(self, room: str) -> int:\n"
        "        if room not in self._counts:\n"
        "            self._counts[room] = await self._store.last(room)\n"
        "        self._counts[room] += 1\n"
        "        return self._counts[room]\n",
    ),
)
_MORE = {
    "joins_are_counted": (("rooms.add(", "rooms.append("), ("rooms.discard(", "rooms.remove(")),
    "a_counter_is_not_set_back": _COUNTER,
    "a_number_is_given_back_too_late": (
        *_COUNTER,
        ("self._counts: dict[str, int] = {}", "self._counts, self._turns = {}, {}"),
        ("await self._store.last(draft.room) + 1", "await self._next(draft.room)"),
        ("await self._store.save([message])\n", _SAVE_IN_TURN),
    ),
    "a_counter_with_the_save_outside_of_the_lock": (
        *_COUNTER,
        ("await self._store.last(draft.room) + 1", "await self._next(draft.room)"),
        ("await self._store.save([message])\n", _SAVE_OR_COUNT_DOWN),
    ),
    "a_lock_is_not_released_on_errors": (
        ("async with self._locks[draft.room]:", "if await self._locks[draft.room].acquire():"),
    ),
    "torn_lines_stay": (
        ("        self._file.truncate(whole)\n", ""),
        ("import json", "import contextlib\nimport json"),
    ),
    "lines_are_split_everywhere": (("json.dumps(each)", "json.dumps(each, ensure_ascii=False)"),),
}


def breaches(mistake: Mistake, more: tuple[tuple[str, str], ...] = ()) -> list[Breach]:
    """The breaches of the model answer with a mistake in it, in the order of the steps."""
    number, component = NUMBERS[mistake.component], mistake.component
    text = (find_folder("solutions") / EXERCISES[number] / f"{component}.py").read_text(encoding="utf-8")
    for old, new in ((mistake.old, mistake.new), *more):
        assert old in text
        text = text.replace(old, new)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"{component}.py")
        path.write_text(text, encoding="utf-8")
        played: Played = running.play_contract(component, str(path), Path(folder))
    assert not played.defect, played.defect
    return played.found


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", MISTAKES)
def test_the_cause_is_what_the_calls_show(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A breach has the variant whose cause is the mistake, and its texts are filled in."""
    mistake = MISTAKES[name]
    keep = running._Series._keep

    def keep_and_end(series: running._Series, breach: Breach) -> None:
        """What else is wrong does not matter here."""
        keep(series, breach)
        series._hangs |= f"{breach.name}/{breach.variant}" == mistake.breach

    monkeypatch.setattr(running._Series, "_keep", keep_and_end)
    found = {f"{each.name}/{each.variant}": each for each in breaches(mistake, _MORE.get(name, ()))}
    assert mistake.breach in found
    breach = found[mistake.breach]
    for language in LANGUAGES:
        words = Words(texts(language), component=mistake.component)
        assert not re.search("{[a-z]+}", words.message(breach.anomaly()) + words.cause(breach.anomaly()))
    words = Words(texts(), component=mistake.component)
    assert re.search(mistake.cause, words.cause(breach.anomaly()))
    assert re.search(mistake.says, words.message(breach.anomaly()))


def test_what_raises_in_the_middle_of_a_publish_is_named() -> None:
    """The method that raised, and not `publish`, in which it was called."""
    found = breaches(MISTAKES["unsubscribe_raises_meanwhile"])
    duties = {each.step: (each.duty, each.params["call"].partition("(")[0]) for each in found}
    assert duties["1.4"] == ("PubSub.unsubscribe", "unsubscribe")


def test_the_calls_of_a_presence_manager_begin_with_its_durations() -> None:
    """Without them nobody can say whether a silence is too long; times in milliseconds are told as `now`."""
    (sweep, *_) = breaches(MISTAKES["the_timeout_is_twice_as_long"])
    assert re.fullmatch("PresenceManager\\([0-9.]+, [0-9.]+\\)", sweep.events[0].what)
    seconds = Mistake("presence", "int(connection.seen * 1000)", "int(connection.seen)", "", "")
    (first, *_) = breaches(seconds)
    assert (first.variant, first.is_wrong_time) == ("seconds", True)
    owed = 1000 * (float(first.params["began"]) + float(first.params["now"]))
    assert abs(first.params["owed"] - owed) <= 1


def test_a_missing_key_is_named_as_in_the_calls() -> None:
    """A member has one name in a report: that of the calls, and not its `repr`."""
    mistake = Mistake("pubsub", "if member in self.members(room)", "if {}[member]", "", "")
    found = next(each for each in breaches(mistake) if each.name == "call_raised")
    who = found.params["call"].rpartition(", ")[2].removesuffix(")")
    assert found.params["error"] == f"KeyError: {who}" == found.events[-1].result

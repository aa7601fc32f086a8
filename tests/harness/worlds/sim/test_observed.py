"""Calls between components in simulated plays: they show a race, and recording them changes nothing."""

from __future__ import annotations

import asyncio
import contextvars
import html
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest

from harness.history.calls import Calls
from harness.history.events import Called, Event, History, seen_outside
from harness.history.index import HistoryIndex
from harness.judged import targets
from harness.judged.targets import Target
from harness.minimize import replay_file as replay
from harness.reports.calls import joined_calls
from harness.reports.excerpt import CALLERS, CALLS, excerpt, tags_of
from harness.reports.words import Words
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case, Run
from harness.running.simulate import simulate
from harness.scenarios import script
from harness.scenarios.catalogue import SCENARIOS
from harness.scenarios.common import MODEST, SMALL
from harness.texts import texts
from harness.verdict.any_history import anomalies_in
from harness.verdict.steps import EXERCISES
from tests.harness.stories import NONCE, Person, Story

pytestmark = pytest.mark.xdist_group("sim")

SEQUENCER = """
import time
import uuid

from lab.protocol import NEWEST, History, Message


class Sequencer:
    def __init__(self, store, pubsub):
        self._store = store
        self._pubsub = pubsub

    async def accept(self, draft):
        last = await self._store.last(draft.room)
        id, now = draft.id or uuid.uuid4().hex, int(time.time() * 1000)
        message = Message(id, draft.room, draft.user, draft.content, last + 1, now)
        await self._store.save([message])
        self._pubsub.publish(draft.room, message)
        return message

    async def attach(self, room, member, since):
        messages = await self._store.newest(room, NEWEST)
        member.send(History(room, messages, messages[-1].sequence if messages else 0, False))
        self._pubsub.subscribe(room, member)

    async def history(self, room, since, limit):
        messages = await self._store.page(room, since, limit)
        last = await self._store.last(room)
        return History(room, messages, last, bool(messages) and messages[-1].sequence < last)
"""
"""A sequencer that numbers, saves and attaches without a lock."""
RAISES = SEQUENCER.replace(
    "        self._pubsub.publish",
    "        self._store.save([])\n        await self._store.save(3)\n        self._pubsub.publish",
)
"""One that forgets to await a save, and then fails in another, which gets a wrong answer."""
LOOKS = SEQUENCER.replace(
    "        last = await self._store.last(draft.room)\n        id",
    "        if len(type(self).__mro__) > 2:\n            raise RuntimeError('observed')\n"
    "        last = await self._store.last(draft.room)\n        id",
)
"""One that does not work where its class has a subclass."""


def with_sequencer(folder: Path, source: str) -> Target:
    """The reference server with a sequencer of this source."""
    (folder / "sequencer.py").write_text(source)
    command = f"{sys.executable} -P -m lab --use sequencer={folder / 'sequencer.py'}"
    return targets.whole_server(command)


def scenes(exercise: int) -> list[Case]:
    """Some small plays, and a larger one."""
    scripts = [script.plan(Random(str(seed)), SCENARIOS[exercise].SCENES, 2, 3, 2) for seed in range(4)]
    small = [Case(exercise, str(seed), SMALL) for seed in range(3)]
    return [*(Case(exercise, "1", script=each) for each in scripts), *small, Case(exercise, "1", MODEST)]


def calls_in(history: History) -> list[Called]:
    """The history's calls only."""
    return [event for event in history if isinstance(event, Called)]


# --- recording changes nothing ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["1", "2", "3", "4", "unlocked", "raises"])
def test_recording_calls_changes_nothing(name: str, tmp_path: Path) -> None:
    """With and without calls, a play has the same history, verdict, notes and output, tracebacks included."""
    if name in ("unlocked", "raises"):
        exercise, target = 2, with_sequencer(tmp_path, SEQUENCER if name == "unlocked" else RAISES)
    else:
        exercise, target = int(name), targets.choose(int(name), of_solutions=True)
    cases = scenes(exercise)
    if target.component is None:
        cases = cases[:-1]  # as wrong in the small as in the large

    async def played() -> list[list[Run]]:
        async with ForkPool(2) as pool:
            jobs = [SimJob(target, cases, lean=False, with_calls=each) for each in (False, True)]
            return list(await asyncio.gather(*map(pool.play, jobs)))

    for plain, observed in zip(*asyncio.run(played()), strict=True):
        assert calls_in(observed.history)
        assert [event for event in observed.history if not isinstance(event, Called)] == plain.history
        assert observed.causes == plain.causes
        assert observed.digest == plain.digest
        assert observed.steps == plain.steps
        assert observed.notes == plain.notes
        assert observed.output == plain.output


def test_a_server_that_detects_recording_is_shown_without_calls(tmp_path: Path) -> None:
    """Where recording has changed what happens, the history without calls is returned."""
    target = with_sequencer(tmp_path, LOOKS)
    case = scenes(2)[0]

    async def recalled() -> History:
        async with ForkPool(1) as pool:
            return (await pool.recall(target, case, plain.digest)).history

    plain = simulate(case, target)
    assert simulate(case, target, with_calls=True).digest != plain.digest
    assert asyncio.run(recalled()) == plain.history


@pytest.mark.parametrize("place", ["nowhere", "everywhere"])
def test_checkers_and_the_log_do_not_see_calls(place: str) -> None:
    """A history with calls between all its events gives the same verdict as without them."""
    story, _, _ = unnumbered()
    events: History = []
    for number, event in enumerate(story.events):
        events.append(event)
        if place == "everywhere":
            events += [Called(event.at, number, "accept#1", "store.last()", end) for end in (None, "0")]
    assert anomalies_in(HistoryIndex(events)) == anomalies_in(HistoryIndex(story.events)) != []
    assert HistoryIndex(events).events == story.events


def test_calls_are_written_and_read(tmp_path: Path) -> None:
    """In JSON they are events like others; a replay file has only what was seen from outside."""
    target = with_sequencer(tmp_path, SEQUENCER)
    run = simulate(scenes(2)[0], target, with_calls=True)
    assert msgspec.json.decode(msgspec.json.encode(run.history), type=History) == run.history
    kept = replay.of(run, target, "split_sequence")
    assert kept.history == seen_outside(run.history)
    assert replay.first_difference(kept.history, run.history) == (None, None)


def test_other_servers_have_no_calls(tmp_path: Path) -> None:
    """A server that is not the reference server has no components that we know of."""
    from harness.zoo.single_file import PLAIN

    assert not calls_in(simulate(scenes(1)[0], targets.at_file(str(PLAIN)), with_calls=True).history)


def test_an_abandoned_call_may_be_closed_anywhere() -> None:
    """A coroutine that a killed server left behind is closed in another context, and its call has no end."""
    events: list[Called] = []
    calls = Calls(events.append, lambda: 0.0)

    async def save() -> None:
        await asyncio.Event().wait()

    async def accept() -> None:
        with calls.on_behalf_of("accept"):
            await calls.call("store.save", save, ())

    async def run() -> None:
        coroutine = accept()
        contextvars.copy_context().run(coroutine.send, None)
        coroutine.close()

    asyncio.run(run())
    assert events == [Called(0.0, 1, "accept#1", "store.save()")]


# --- what the calls show ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", EXERCISES)
def test_each_exercise_shows_the_calls_of_its_component(number: int) -> None:
    """In exercise 2 also those that the sequencer makes; the calls of one `accept` have its number."""
    target = targets.choose(number, of_solutions=True)
    calls = [
        call for case in scenes(number) for call in calls_in(simulate(case, target, with_calls=True).history)
    ]
    components = {call.what.partition(".")[0] for call in calls}
    assert components == [{"pubsub"}, {"sequencer", "store", "pubsub"}, {"presence"}, {"store"}][number - 1]
    callers = {call.who.partition("#")[0] for call in calls}
    assert callers <= {"", "accept", "attach", "history"}
    assert not any(re.search(r"0x[0-9a-f]{6}|[0-9a-f]{32}", call.what) for call in calls)


def test_a_killed_server_does_not_finish_its_calls() -> None:
    """A call that was running at a SIGKILL has a beginning and no end."""
    run = simulate(Case(4, "1", MODEST), targets.choose(4, of_solutions=True), with_calls=True)
    ended = {call.number for call in calls_in(run.history) if call.result is not None}
    assert any("store.save(" in call.what for call in calls_in(run.history) if call.number not in ended)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (Called(1.0, 1, "accept#2", f'store.last("red-{NONCE}")'), ("accept#2", 'store.last("red") …')),
        (Called(1.0, 1, "accept#2", 'store.last("red")', "0"), ("accept#2", 'store.last("red") → 0')),
        (
            Called(1.0, 1, "", f'pubsub.subscribe("red", ada-{NONCE})'),
            ("server", 'pubsub.subscribe("red", ada)'),
        ),
        (
            Called(1.0, 1, "accept#1", 'sequencer.accept(ada: "hi")', '#1 "hi"'),
            ("accept#1", 'sequencer.accept(…) → #1 "hi"'),
        ),
    ],
)
def test_a_call_in_words(call: Called, told: tuple[str, str]) -> None:
    """The caller, the component and the result, under the names that the student knows."""
    assert Words(texts("en"), NONCE).event(call) == (1.0, *told)


def test_a_call_takes_one_line_if_nothing_happens_meanwhile() -> None:
    """If nothing happens meanwhile, the end says it all; otherwise both ends are shown where they were."""
    ends = [Called(0.0, n, "accept#1", "store.last()", result) for n in (1, 2) for result in (None, "0")]
    assert joined_calls(ends) == [ends[1], ends[3]]
    crossed = [ends[0], ends[2], ends[1], ends[3]]
    assert joined_calls(crossed) == crossed


def unnumbered() -> tuple[Story, list[Person], list[Event]]:
    """A long conversation in which one number is given twice,
    and the two frames in which Alice receives it.
    """
    story = Story()
    people = story.members(f"red-{NONCE}", "alice", "bob", "carol")
    story.talk(people, f"red-{NONCE}", 30)
    one, two = people[1].says(f"red-{NONCE}", "one"), people[2].says(f"red-{NONCE}", "two")
    story.all_hear(people, (one, 31), (two, 31))
    guilty = [e for e in story.events if getattr(e, "client", "") == "alice"][-2:]
    story.talk(people, f"red-{NONCE}", 30, first=32)
    return story, people, guilty


def test_an_excerpt_has_the_calls_behind_the_messages_of_a_finding() -> None:
    """The calls of the two `accept` whose messages have the same number,
    with all that they call; no others.
    """
    story, _, guilty = unnumbered()
    events: History = []
    for number, event in enumerate(story.events):
        events.append(event)
        frame = getattr(event, "frame", None)
        if frame and frame.get("type") == "message" and not hasattr(event, "size"):
            who, content = f"accept#{number}", frame["data"]["content"]
            events.append(Called(event.at, 2 * number, who, f'sequencer.accept(x: "{content}")'))
            events.append(Called(event.at, 2 * number + 1, who, 'store.last("red")', "30"))
    found = calls_in([e for e in excerpt(events, guilty).events if not hasattr(e, "seconds")])
    assert [call.what.partition(". ")[2] or call.what for call in found] == [
        'one")', 'store.last("red")', 'two")', 'store.last("red")'
    ]  # fmt: skip
    assert len({call.who for call in found}) == 2


def test_an_excerpt_has_a_bounded_number_of_calls() -> None:
    """However many calls those messages cause, an excerpt shows only the nearest ones."""
    story, _, guilty = unnumbered()
    (tag,) = tags_of(guilty[0])
    place = story.events.index(guilty[0])
    many = [
        Called(guilty[0].at, n, f"accept#{n % 9}", f'store.save([#1 "{tag}. x"])', "done") for n in range(500)
    ]
    events = [*story.events[:place], *many, *story.events[place:]]
    found = calls_in([e for e in excerpt(events, guilty).events if not hasattr(e, "seconds")])
    assert 0 < len(found) <= CALLS
    assert len({call.who for call in found}) <= CALLERS


# --- as a student sees them ---------------------------------------------------------------------------


PATIENT = """
from harness.check import simulated_runs
from harness.cli.main import main
from harness.minimize import shrink
simulated_runs.MOST_SECONDS, shrink._BUSY_MACHINE = 40, 2.5
main()
"""
"""The command with more time to search for the smallest scene: on a busy machine, it finds the same one."""


def test_a_race_is_seen_in_the_terminal_on_the_page_and_in_the_replay(tmp_path: Path) -> None:
    """Both messages are numbered after the same last number, before either is saved."""

    def chatlab(*arguments: str) -> str:
        command = [sys.executable, "-P", "-c", PATIENT, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "racing.py").write_text(SEQUENCER)
    server = "python -P -m lab --use sequencer=racing.py"
    checked = chatlab("check", "2", "--server", server, "--world", "sim", "--seed", "1")
    _, _, scene = checked.partition("The smallest scenario found")
    assert_race(scene)
    page = html.unescape(re.sub(r"<[^>]+>", " ", (tmp_path / ".chatlab/report.html").read_text()))
    assert_race(page[page.index("The smallest scenario that fails in this way") :])
    (path,) = (tmp_path / ".chatlab/replays").glob("*-split_sequence-*.json")
    again = chatlab("replay", f".chatlab/replays/{path.name}")
    assert "The same history, byte for byte" in again
    assert_race(again)
    table = [line for line in scene.splitlines() if re.search(r" (accept|attach)#\d+ ", line)]
    assert table == [line for line in again.splitlines() if re.search(r" (accept|attach)#\d+ ", line)]


def assert_race(report: str) -> None:
    """Two calls of `accept` get 0 as the last number before either of them has saved a #1."""
    asked, saved = (
        [re.search(rf"accept#{number}\s+{re.escape(call)}", report) for number in (1, 2)]
        for call in ('store.last("room") → 0', "store.save([#1 ")
    )
    ended = [re.search(rf"accept#{number}\s+store\.save\(\[#1 .*\]\) → done", report) for number in (1, 2)]
    assert all((*asked, *saved, *ended)), report
    assert max(each.start() for each in asked if each) < min(each.start() for each in ended if each)

"""Whatever numbers a server sends, and however deep its frames are: nothing fails for it, and a verdict takes
time and memory by the number of events, never by the size of a number in them.

Frames are given as a server sends them, as text, and go all the way: they are read, judged by the checkers of
every exercise, and shown in every report.
"""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from io import StringIO
from itertools import product
from string import Template

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.grading.grade import _part
from harness.history import frames
from harness.history.as_json import from_json, to_json
from harness.history.events import Closed, Opened, Received, Sent, digest, shortened
from harness.history.index import HistoryIndex
from harness.load import judging
from harness.load import report as load_report
from harness.load.record import Recorder, pack, unpack
from harness.minimize import replay_file
from harness.reports.jsonreport import report
from harness.reports.page import page
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.running.play import prepared_exercise, prepared_script
from harness.running.run import Run
from harness.scenarios.script import Script
from harness.texts import texts
from harness.verdict.any_history import anomalies_in, flaws_in, leniencies
from harness.verdict.outcome import Outcome, StepResult
from harness.verdict.steps import EXERCISES
from tests.harness.reports.test_hostile_text import HOSTILE, OBEYED
from tests.harness.stories import EPOCH, NONCE, PROPERTY, Person, Story, names_of

RED = f"red-{NONCE}"
MOST_MEMORY = 60 * 2**20
"""Bytes that a verdict on some dozen frames may take, with all reports."""
MOST_SECONDS = 10.0
"""The same in seconds; on an idle machine it takes some tenths."""
NUMBERS = {
    "nanoseconds": str(1_767_225_600_000_000_000),
    "above 2**53": str(2**53 + 1),
    "10**18": str(10**18),
    "the last of 63 bits": str(2**63 - 1),
    "64 bits": str(2**64 - 1),
    "65 bits": str(2**64),
    "negative": "-7",
    "the first of 64 bits": str(-(2**63)),
    "below 64 bits": str(-(2**63) - 1),
    "true": "true",
    "null": "null",
    "a fraction": "1.5",
    "an integer as a float": "3.0",
    "1e18": "1e18",
    "1e308": "1e308",
    "1e400": "1e400",
    "tiny": "1e-300",
    "minus zero": "-0.0",
    "4000 digits": "9" * 4000,
    "5000 digits": "9" * 5000,
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "a string": '"12"',
    "digits in a string": f'"{"9" * 5000}"',
    "brackets in a string": f'"{"[" * 5000}"',
    "a list": "[1]",
    "nested 60 deep": "[" * 60 + "]" * 60,
    "nested 900 deep": "[" * 900 + "]" * 900,
    "nested 900 deep in objects": '{"a":' * 900 + "1" + "}" * 900,
    "nested 100,000 deep": "[" * 100_000 + "]" * 100_000,
}
"""What stands in a frame where a number should be, as JSON or what looks like it."""
_START = '{"id":"i$n","room":"$room","user":"bob","content":"$tag. hello",'
_NUMBER, _TIME = _START + '"sequence":$x,"timestamp":$t}', _START + '"sequence":$n,"timestamp":$x}'
_RIGHT = _START + '"sequence":$n,"timestamp":$t}'
_USER = '[{"user":"bob","status":"online","lastSeen":$x}]'
FRAMES = {
    "a message": f'{{"type":"message","data":{_NUMBER}}}',
    "a time": f'{{"type":"message","data":{_TIME}}}',
    "a page": f'{{"type":"history","data":{{"room":"$room","messages":[{_NUMBER}],"last":$x,"more":$x}}}}',
    "the last of a page": f'{{"type":"history","data":{{"room":"$room","messages":[{_RIGHT}],"last":$x}}}}',
    "an announcement": '{"type":"message","data":{"id":"n","room":"$room","user":"system",'
    '"content":"bob joined","sequence":$x,"timestamp":$x}}',
    "presence": f'{{"type":"presence","data":{{"room":"$room","full":$x,"users":{_USER}}}}}',
    "lastSeen": f'{{"type":"presence","data":{{"room":"$room","full":true,"users":{_USER}}}}}',
    "connected": '{"type":"connected","data":{"user":"bob","clientId":"1","heartbeatInterval":$x,'
    '"offlineTimeout":$x}}',
    "an error": '{"type":"error","data":{"code":$x,"message":$x,"id":$x}}',
    "another type": '{"type":"odd","data":$x}',
    "an extra field": '{"type":"heartbeat","x":$x}',
    "a type": '{"type":$x}',
    "a value": "$x",
}
"""Frames, with places for such a value (`x`), a small number (`n`) and a tag."""


def _receives(person: Person, text: str) -> None:
    """A client receives a text, which is read as the harness reads it in either world."""
    frame, reading = frames.hear(text)
    person.gets(frame, len(text), None if frame is not None else repr(text[:200]))
    if isinstance(reading.meaning, frames.Connected):
        person.heartbeat = reading.meaning.heartbeat or person.heartbeat
        person.timeout = reading.meaning.timeout or person.timeout


def _story(exercise: int, values: list[str], kinds: list[str]) -> Story:
    """Three people talk; the server sends each of these frames with each of the values."""
    story = Story(exercise)
    alice, bob, carol = people = story.members(RED, "alice", "bob", "carol")
    story.talk(people, RED, 6)
    count = 6
    for kind in kinds:
        for value in values:
            count += 1
            if "page" in kind:
                carol.asks_history(RED, 0, 50)
            line = bob.says(RED)
            where = {"room": RED, "n": count, "t": EPOCH + count, "tag": line.tag}
            for person in people:
                _receives(person, Template(FRAMES[kind]).substitute(where, x=value))
    alice.joins(RED, since=3)
    carol.is_cut()
    story.restarts("killed", alice, bob)
    alice.joins(RED, since=count)
    story.add(Closed(story.tick(), "bob", bob.conn, "server", 65535, "x" * 123))
    return story


def _judged(exercise: int, story: Story) -> list[StepResult]:
    index = HistoryIndex(story.events)
    anomalies_in(index)
    leniencies(index)
    prepared_script(Script(["a"], {}, [])).judge(index)
    return prepared_exercise(exercise, "1", 1, None).judge(index)


def _shown(run: Run) -> str:
    """Every report of a run; returns what a terminal shows, and the log of a grade."""
    summary = Summary(7, "live", "x", 2.0, [[run]])
    out = StringIO()
    terminal = Terminal(texts("fr" if run.exercise % 2 else "en"), verbose=True, out=out)
    terminal.run(run)
    terminal.table(run)
    terminal.summary(summary, hints=True)
    if run.exercise in (2, 3):
        page([summary], texts("en"), "chatlab check")
    json.dumps(report(summary, texts("en")))
    log = _part(summary, texts("en")).log
    assert from_json(to_json(run), Run).steps == run.steps
    digest(run.history)
    shortened(run.history)
    replay_file.first_difference(run.history, run.history[:-1])
    return out.getvalue() + log


def _judge_and_show(exercise: int, values: list[str], kinds: list[str]) -> list[StepResult]:
    story = _story(exercise, values, kinds)
    steps = _judged(exercise, story)
    _shown(Run(exercise, "7", "live", "x", 1.5, steps, [], [], 0.0, story.events, nonce=NONCE))
    return steps


@contextmanager
def _bounded() -> Iterator[None]:
    """What happens inside takes little time and memory."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        assert time.process_time() - began < MOST_SECONDS
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_is_counted_up_to(name: str) -> None:
    """In each frame that a server may send: judged and shown fast, in little memory, without error."""
    for exercise in EXERCISES:
        with _bounded() if exercise == 2 else nullcontext():  # to count memory takes four times as long
            _judge_and_show(exercise, [NUMBERS[name]], list(FRAMES))


def test_nor_in_a_load(capsys: pytest.CaptureFixture[str]) -> None:
    """The record of a process holds every frame, can be sent to another one, and is judged and shown."""
    values = [*NUMBERS.values(), json.dumps(HOSTILE)]
    with _bounded():
        recorder = Recorder("p1", "h1")
        conn = recorder.next_conn()
        recorder.add(Opened(0.0, "ada", conn, "ada", "ada", 1.0, 2.0))
        recorder.add(Sent(0.1, "ada", conn, {"type": "join", "room": RED}))
        for number, (kind, value) in enumerate(product(FRAMES, values)):
            where = {"room": RED, "n": number, "t": EPOCH, "tag": f"h1-{number}"}
            recorder.hear("ada", conn, Template(FRAMES[kind]).substitute(where, x=value))
        recording = unpack(pack(recorder.finish()))
        result = judging.judge(judging.Load("x", "steady", 1, 1, 5.0), [recording])
    assert result.outcome is Outcome.FAILED
    load_report.tell(result, "en", "")
    assert not OBEYED & set(capsys.readouterr().out)


@settings(PROPERTY, max_examples=10)
@given(
    st.sampled_from(sorted(EXERCISES)),
    st.lists(
        st.sampled_from(sorted(NUMBERS.values())) | st.integers(-(2**70), 2**70).map(str),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.sampled_from(sorted(FRAMES)), min_size=1, max_size=4),
)
def test_nor_are_several(exercise: int, values: list[str], kinds: list[str]) -> None:
    """The same for frames with several values, which are far from one another."""
    _judge_and_show(exercise, values, kinds)


@pytest.mark.parametrize(
    "name", ["nested 900 deep", "nested 100,000 deep", "65 bits", "4000 digits", "1e400"]
)
def test_what_is_too_much_for_a_frame_is_told(name: str) -> None:
    """It is a malformed frame, and the finding says what is the matter with it."""
    where = {"room": RED, "n": 1, "t": EPOCH, "tag": "a-1"}
    text = Template(FRAMES["a message"]).substitute(where, x=NUMBERS[name])
    frame, reading = frames.hear(text)
    assert frame is None
    assert [flaw.expected for flaw in reading.flaws] == ["plain"]
    history = [*Story().events, Received(1.0, "alice", 1, frame, len(text), text[:200])]
    found = flaws_in(HistoryIndex(history, [reading]))
    assert names_of(found.values()) == ["malformed_frame/plain"]


def test_what_is_nested_little_is_no_flaw() -> None:
    """Fields that the protocol does not know are allowed, also with values inside of values."""
    text = '{"type":"heartbeat","x":' + NUMBERS["nested 60 deep"] + "}"
    _, reading = frames.hear(text)
    assert (reading.kind, reading.flaws) == ("heartbeat", ())


def test_a_large_page_is_read() -> None:
    """Many brackets side by side are not deep."""
    users = [{"user": f"u{n}", "status": "online", "lastSeen": EPOCH} for n in range(2000)]
    _, reading = frames.hear(json.dumps({"type": "presence", "data": {"room": "red", "users": users}}))
    assert isinstance(reading.meaning, frames.PresenceFrame)


def test_a_number_that_is_a_time_is_judged() -> None:
    """A server that numbers messages by nanoseconds fails the step of numbers, and by what it did."""
    steps = _judge_and_show(2, [NUMBERS["nanoseconds"]], ["a message"])
    failed = {
        step.step: [each.name for each in step.anomalies] for step in steps if step.outcome is Outcome.FAILED
    }
    assert "gap" in failed["2.2"]


@pytest.mark.parametrize("exercise", EXERCISES)
def test_no_text_in_a_frame_steers_a_report(exercise: int) -> None:
    """Wherever a string stands where something else should be: it has escapes, and begins no line of ours."""
    story = _story(exercise, [json.dumps(HOSTILE)], list(FRAMES))
    run = Run(exercise, "7", "live", "x", 1.5, _judged(exercise, story), [], [HOSTILE], 0.0, story.events)
    shown = _shown(run)
    assert not OBEYED & set(shown)
    assert not [line for line in shown.splitlines() if line.startswith("  ✓ 9.9")]
    assert "\\x1b[2J" in shown

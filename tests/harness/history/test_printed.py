"""What a server prints becomes events: a line each, a traceback as a whole; without end, not without end."""

from __future__ import annotations

import random

import pytest

from harness.history.events import Printed
from harness.history.printed import MOST, MOST_CHARACTERS, MOST_READ, Output

TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 2, in f\n    x()\nKeyError: 1'
CHAINED = f"{TRACEBACK}\n\nDuring handling of the above exception, another exception occurred:\n\n{TRACEBACK}"
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "a.py", line 6, in main
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "a.py", line 3, in f
    |     raise KeyError("red")
    | KeyError: 'red'
    +------------------------------------"""
WARNING = "a.py:3: RuntimeWarning: coroutine 'S.save' was never awaited\n  s.save()"


def heard(text: str, size: int = 10_000_000) -> tuple[list[Printed], Output]:
    """The events that a text becomes which is printed in pieces of this size."""
    events: list[Printed] = []
    output = Output(events.append, hidden="/tmp/x")
    for at in range(0, len(text), size):
        output.take(at / 1000, text[at : at + size])
    output.flush(9.0)
    return events, output


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("block", ["one line", TRACEBACK, CHAINED, GROUP, WARNING])
def test_a_traceback_is_one_event(block: str, size: int) -> None:
    """However its text comes in pieces, and whatever is printed before and after it."""
    events, _ = heard(f"before\n{block}\nafter\n\nlast", size)
    texts = [event.text for event in events]
    first, *_ = texts
    # A line that was printed at the same time says what failed, and stays with it.
    assert "\n".join(texts) == f"before\n{block}\nafter\nlast"
    assert first == "before" or (size == 10_000 and first == f"before\n{block}")
    assert len(texts) == (3 if first != "before" else 4)


def test_only_the_last_words_of_a_killed_server_may_be_incomplete() -> None:
    """What was printed last is shown without the rest of it."""
    events, _ = heard(TRACEBACK[:-15])
    assert [event.text for event in events] == [TRACEBACK[:-15].rstrip()]


def test_a_block_has_the_time_of_its_first_line() -> None:
    """That is when the exception was raised; the rest may be read later."""
    events, _ = heard(f"a\n{TRACEBACK}\n", 1)
    assert [event.at for event in events] == [0.001, 0.036]


def test_tracebacks_are_counted_without_what_the_exception_says() -> None:
    """One mistake raises exceptions with texts of their own."""
    text = "".join(f"{TRACEBACK[:-1]}{number}\n" for number in range(5)) + f"{WARNING}\n"
    _, output = heard(text)
    assert [(seen.count, seen.lines[-1]) for seen in output.seen.values()] == [
        (5, "KeyError: 0"),
        (1, "  s.save()"),
    ]


def test_what_is_printed_without_end_takes_no_room() -> None:
    """A history has the first of it, and how much more there was; exceptions are still counted."""
    events, output = heard("x" * 99 + "\n" + f"{TRACEBACK}\n" * (2 * MOST))
    assert len(events) == MOST + 1
    assert events[-1].more > 0
    assert not events[-1].text
    assert sum(seen.count for seen in output.seen.values()) == 2 * MOST
    events, _ = heard("y" * 70_000 + "\n" + "z" * (MOST_READ + 5), 70_000)
    assert [len(event.text) for event in events] == [301, 301, 0]
    assert events[-1].more == 70_006
    events, _ = heard(f"{'y' * 299}\n" * 2000)
    assert sum(len(event.text) for event in events) < MOST_CHARACTERS + 300


def test_a_line_without_end_is_read_once() -> None:
    """However small its pieces are."""
    events: list[Printed] = []
    output = Output(events.append)
    for _ in range(100_000):
        output.take(1.0, "x")
    output.take(2.0, "\nnext\n")
    output.flush(2.0)
    assert [len(event.text) for event in events] == [301, 4]


def test_what_nobody_could_read_is_counted() -> None:
    """The live world skips what comes faster than it reads."""
    events: list[Printed] = []
    output = Output(events.append)
    output.take(1.0, "a\n", 50)
    output.flush(2.0)
    assert [(event.text, event.more) for event in events] == [("a", 0), ("", 50)]


def test_texts_are_legible() -> None:
    """A server's output is shown in a terminal, which must not obey it; our own folders are not shown."""
    events, _ = heard("\x1b[2Jred /tmp/x/data\nlistening on ws://127.0.0.1:1\n")
    assert [event.text for event in events] == ["\\x1b[2Jred …/data"]


def test_any_output_is_taken() -> None:
    """Whatever lines follow one another, all of them are shown in their order."""
    chooser = random.Random("output")
    pieces = [*CHAINED.splitlines(), *GROUP.splitlines(), *WARNING.splitlines(), "", "word", "  indented"]
    for _ in range(200):
        lines = chooser.choices(pieces, k=30)
        events, _ = heard("\n".join(lines), chooser.choice([1, 13, 999]))
        shown = "\n".join(event.text for event in events).splitlines()
        assert [line for line in shown if line.strip()] == [line for line in lines if line.strip()]

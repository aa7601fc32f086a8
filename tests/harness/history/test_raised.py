"""The exception that began it is read from what Python prints, with the line of the judged code."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

import pytest

from harness.history.raised import Frame, essence, is_no_library, own_frame, raised_in, unawaited_in

OWN, LIBRARY = (
    '  File "server.py", line 3, in read',
    '  File "/usr/lib/python3.11/json/decoder.py", line 355, in x',
)


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ([OWN, "    a = b", "KeyError: 1"], "server.py, line 3, in read"),
        ([OWN, "    a = b", LIBRARY, "    c", "x.Error: 1"], "server.py, line 3, in read"),
        ([OWN, LIBRARY, "    c", "x.Error: 1"], "server.py, line 3, in read"),
        ([LIBRARY, "    c", "x.Error: 1"], None),
        ([LIBRARY, "    c", OWN, "    d", "KeyError: 1"], "server.py, line 3, in read"),
        (["KeyError: 1"], None),
    ],
)
def test_an_exception_has_the_line_in_the_student_s_code(output: list[str], found: str | None) -> None:
    """A library raises it because of what it was given there."""
    raised = raised_in(output, is_no_library)
    frame = own_frame(raised.frames, is_no_library) if raised else None
    assert (frame.place if frame else None) == found


def _while_handling() -> None:
    rooms: dict[str, int] = {}
    try:
        rooms["red"] += 1
    except KeyError:
        raise ValueError("no such room") from None if not rooms else ValueError()


def _handled_badly() -> None:
    rooms: dict[str, int] = {}
    try:
        rooms["red"] += 1
    except KeyError as error:
        raise ValueError("no such room") from error


def _in_a_group() -> None:
    async def fails() -> None:
        raise KeyError("red")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(fails())

    asyncio.run(main())


def _client_gone() -> None:
    members: set[str] = set()
    try:
        raise ConnectionResetError
    except ConnectionResetError:
        members.remove("ada")


def _printed(function: Callable[[], None]) -> list[str]:
    try:
        function()
    except Exception:
        return traceback.format_exc().splitlines()
    raise AssertionError("it raises")


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (_while_handling, "ValueError: no such room"),
        (_handled_badly, "KeyError: 'red'"),
        (_in_a_group, "KeyError: 'red'"),
        (_client_gone, "KeyError: 'ada'"),
    ],
)
def test_the_first_exception_counts(function: Callable[[], None], error: str) -> None:
    """Of those that were raised while another was handled, and of a group.

    But not the one by which a library says that a client is gone: that is no mistake.
    """
    raised = raised_in(_printed(function), is_no_library)
    assert raised is not None
    assert raised.error == error
    assert raised.frames[-1].function in (function.__name__, "fails")


def test_the_first_exception_of_the_judged_code_counts() -> None:
    """Of two, the one that has a line of it."""
    other = [LIBRARY, "    c", "OSError: 1", "", "During handling of the above exception, …", ""]
    raised = raised_in([*other, OWN, "    a", "KeyError: 2"], is_no_library)
    assert raised is not None
    assert raised.error == "KeyError: 2"


def test_a_coroutine_that_was_never_awaited_is_found() -> None:
    """Python says so in a warning, with the line where it was dropped."""
    lines = ["/x/a.py:3: RuntimeWarning: coroutine 'S.save' was never awaited", "  s.save()"]
    found = unawaited_in(lines)
    assert found is not None
    assert (found.name, found.frame) == ("S.save", Frame("/x/a.py", 3, "", "s.save()"))
    assert unawaited_in(["a.py:3: DeprecationWarning: old", "  x"]) is None
    assert essence(lines) == ["a.py, line 3: coroutine 'S.save' was never awaited"]


def test_what_is_shown_of_a_traceback() -> None:
    """The exception, and its place with the line of code; of other lines, the line itself."""
    lines = ["Traceback (most recent call last):", OWN, "    a = b", "    ^^^^", "KeyError: 1"]
    assert essence(lines) == ["KeyError: 1", "server.py, line 3, in read: a = b"]
    assert essence(["hello"]) == ["hello"]

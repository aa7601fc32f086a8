from __future__ import annotations

import logging

from lab.logs import FloodFilter, _Format


def _record(
    message: str, *values: object, line: int = 1, at: float = 0.0, error: bool = False
) -> logging.LogRecord:
    info = None
    if error:
        try:
            raise ValueError("bad\n2026-01-01 00:00:00,000 INFO lab.server all is well")
        except ValueError as raised:
            info = (ValueError, raised, raised.__traceback__)
    record = logging.LogRecord("lab.test", logging.WARNING, "file.py", line, message, values, info)
    record.created = at
    return record


def test_a_record_is_one_line() -> None:
    """A name cannot begin a line of its own, nor be obeyed by a terminal; and it cannot be endless."""
    text = _Format("%(levelname)s %(message)s").format(
        _record("user=%s", "ada\r\n2026 ERROR forged\x1b[31m\u202e\u2028" + "x" * 100_000)
    )
    assert text.startswith(r"WARNING user=ada\r\n2026 ERROR forged\x1b[31m\u202e\u2028xxx")
    assert len(text) < 2100
    assert len(text.splitlines()) == 1


def test_the_lines_of_a_traceback_are_no_records() -> None:
    """They are as Python prints them, but for one that could be taken for a record: that is indented."""
    first, *rest = _Format("%(levelname)s %(message)s").format(_record("oops", error=True)).split("\n")
    assert first == "WARNING oops"
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-2:] == ["ValueError: bad", "    2026-01-01 00:00:00,000 INFO lab.server all is well"]


def test_a_flood_of_one_kind_leaves_the_others_alone() -> None:
    """Of ten thousand records from one line of code a burst is logged; the next one later counts the rest."""
    flood = FloodFilter()
    assert sum(flood.filter(_record("a %s", n)) for n in range(10_000)) == 500
    assert flood.filter(_record("b", line=2))
    later = _record("a %s", "x", at=10.0)
    assert flood.filter(later)
    assert later.getMessage() == "a x (and 9,500 lines like this)"
    last = _record("a %s", "y", at=10.0)
    assert flood.filter(last)
    assert last.getMessage() == "a y"

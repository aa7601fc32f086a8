"""The server's log on standard error: lines that nobody can forge, and no more of one kind than can be read.

What is logged may hold a user's name or a frame, and those may hold anything. So each record is one line that
begins with the time. Only the lines of a traceback follow; one that begins with a time, too, is indented.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter

from lab.legible import both_ends, legible, one_line
from lab.limits import TokenBucket

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_TIME = re.compile(r"\d{4}-\d\d-\d\d ")
_LONGEST = 2000
"""Characters of a line; of a longer one, the beginning and the end are shown."""
_RATE, _BURST = 5.0, 500.0
"""Records of one kind: so many a second, and so many at once."""


def configure(level: str) -> None:
    """Log to standard error whatever is of this level or above, of every library."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Format(_FORMAT))
    handler.addFilter(_is_worth_logging)
    handler.addFilter(FloodFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler])


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """The record as text; see the top of this module."""
        record.message = both_ends(one_line(record.getMessage()), _LONGEST)
        record.asctime = self.formatTime(record, self.datefmt)
        lines = [self.formatMessage(record)]
        if record.exc_info:
            traceback = legible(self.formatException(record.exc_info)).split("\n")
            lines += [f"    {line}" if _TIME.match(line) else line for line in traceback]
        return "\n".join(lines)


class FloodFilter(logging.Filter):
    """Lets a burst of records of one kind through, and then a few a second.

    Records are of one kind if they come from the same line of code. The next one that is let through tells
    how many were left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._buckets: dict[tuple[str, int], TokenBucket] = {}
        self._left_out: Counter[tuple[str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        kind = (record.pathname, record.lineno)
        if kind not in self._buckets:
            self._buckets[kind] = TokenBucket(_RATE, _BURST, record.created)
        if self._buckets[kind].take(record.created):
            self._left_out[kind] += 1
            return False
        if left_out := self._left_out.pop(kind, 0):
            record.msg, record.args = f"{record.getMessage()} (and {left_out:,} lines like this)", None
        return True


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Whether a line of the websockets library tells of our fault, and not of a client's bad handshake."""
    if record.name != "websockets.server":
        return True
    return record.levelno >= logging.WARNING and "handshake failed" not in record.getMessage()

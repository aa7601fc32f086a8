"""What a server prints, as events: a line each, but a traceback or a warning as a whole, Python's or Node's.

A server may print without end. So a history has the first of it, and how much more there was; `Output.seen`
counts all tracebacks of some megabytes, each distinct one once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from msgspec import Struct

from harness.history.events import Printed
from harness.history.raised_by_node import Kind, goes_on, is_whole, key_of, kind_of
from lab.legible import legible

LAST_LINES = 40
"""Lines that are kept of the end of a server's output."""
MOST = 300
"""Events of a run that show what was printed."""
MOST_CHARACTERS = 250_000
"""Characters of these."""
MOST_READ = 8 * 1024 * 1024
"""Characters of a run's output that are read."""
_LONGEST = 300
"""Characters of a line that are kept."""
_MOST_LINES = 80
"""Lines of a traceback that are kept: the first and the last ones."""
_OWN = "listening on "
"""How the line begins by which the reference server says that it is ready."""
_ERROR = "Error: "
_HEADER = re.compile(r"[\s|+]*(?:Exception Group )?Traceback \(most recent call last\):$")
_CHAIN = re.compile(
    r"[\s|]*(?:During handling of the above exception|The above exception was the direct cause)"
)
_WARNING = re.compile(r".+:\d+: \w*Warning: ")
_IN_GROUP = re.compile(r"\s*[|+]")
_LINES_OF_WARNING = 3
"""The warning, its line of code, and the advice to use tracemalloc."""
_TRACEMALLOC = "RuntimeWarning: Enable tracemalloc"


class Seen(Struct):
    """A traceback or a warning: its lines and its time, where it was printed first; and how often it was."""

    at: float
    lines: list[str]
    count: int = 1


class Output:
    """Takes what a server prints, piece by piece, and gives `record` the events. `hidden` is not shown."""

    def __init__(
        self,
        record: Callable[[Printed], None],
        *,
        hidden: str = "",
        is_second: bool = False,
    ) -> None:
        self._record = record
        self.cleaned: Callable[[list[str]], list[str]] = lambda lines: lines
        """Leaves out of a traceback what is ours."""
        self.seen: dict[tuple[str, ...], Seen] = {}
        """Tracebacks and warnings, by their lines without the one that says the exception."""
        self._last: deque[tuple[float, str]] = deque(maxlen=LAST_LINES)  # with their times
        self.is_reference = False
        """Whether the reference server prints it, which says in several lines why it ends: `Error: …`."""
        self._hidden = hidden
        self._is_second = is_second
        self._rest = ""  # a line that has not ended yet
        self._block: list[str] = []
        self._at = 0.0
        self._is_traceback = self._is_warning = False
        self._kind = Kind.OTHER  # of what Node may have begun to print
        self._is_group = False
        self._is_ended = False  # the exception was printed: the next line may still belong to it
        self._read = 0
        self._shown = self._characters = 0
        self._left_out = 0

    def take(self, at: float, text: str, skipped: int = 0) -> None:
        """What was printed at this time; before it, so many characters that nobody could keep up with."""
        room = max(MOST_READ - self._read, 0)
        self._left_out += skipped + max(len(text) - room, 0)
        text = text[:room]
        self._read += len(text)
        first, *more = text.split("\n")
        if len(self._rest) <= _LONGEST:  # else nobody sees the rest of that line
            self._rest += first
        for line in more:
            self._line(at, self._rest.rstrip("\r"))
            self._rest = line

    def end_block(self) -> None:
        """Nothing came for a while: what is complete so far is shown."""
        if self._block and (self._is_ended or not self._is_traceback):
            self._end()

    def flush(self, at: float) -> None:
        """The server, or the run, has ended."""
        if self._rest:
            self._line(at, self._rest)
            self._rest = ""
        self._end()
        if self._left_out:
            self._record(Printed(at, "", self._is_second, self._left_out))
            self._left_out = 0

    def last_lines(self) -> list[str]:
        """The last lines, each with its time."""
        times = [f"{at:.3f} s" for at, _ in self._last]
        lines = self._legible([line for _, line in self._last])
        return [f"{at}  {line}" for at, line in zip(times, lines, strict=True)]

    def _line(self, at: float, line: str) -> None:
        if self._block and self._belongs(at, line):
            self._block.append(line)
            return
        is_header = _HEADER.match(line) is not None
        if is_header and self._is_line and self._at == at and len(self._block) == 1:  # it says what failed
            self._begin_traceback(line)
            self._block.append(line)
            return
        self._end()
        self._at, self._block = at, [line]
        self._is_traceback = self._is_warning = False
        self._kind = kind_of(line)
        if is_header:
            self._begin_traceback(line)
        else:
            self._is_warning = _WARNING.match(line) is not None

    def _begin_traceback(self, header: str) -> None:
        self._is_traceback, self._is_ended = True, False
        self._is_group = _IN_GROUP.match(header) is not None

    @property
    def _is_line(self) -> bool:
        """Whether what is not shown yet is one ordinary line."""
        return bool(self._block) and not self._is_traceback and not self._is_warning

    def _belongs(self, at: float, line: str) -> bool:
        """Whether a line goes on with a warning, with the group of exceptions, or with the traceback."""
        if self._is_warning:
            return line.startswith(("  ", _TRACEMALLOC)) and len(self._block) < _LINES_OF_WARNING
        if self._is_line:
            if self.is_reference and self._at == at and self._block[0].startswith(_ERROR):
                return True
            if _HEADER.match(line) or ("Warning: " in line and _WARNING.match(line)):
                return False
            return goes_on(self._kind, self._block, line, at_once=self._at == at)
        if self._is_group:
            return _IN_GROUP.match(line) is not None
        if line.startswith(" ") and not self._is_ended:
            return True
        if not line.strip() or _CHAIN.match(line):
            return True
        if self._is_ended:
            words = next(each for each in reversed(self._block) if each.strip())
            if not _CHAIN.match(words) or not _HEADER.match(line):
                return False
            self._begin_traceback(line)
            return True
        self._is_ended = not line.startswith("\t")
        return True

    def _end(self) -> None:
        is_of_node = self._is_line and is_whole(self._kind, self._block)
        is_one = not self._is_line or is_of_node or self.is_reference
        lines, self._block = self.cleaned(self._block), []
        while lines and not lines[-1].strip():
            lines.pop()
        if not lines:
            return
        if self._is_traceback or self._is_warning:
            begin = 1 if self._is_traceback and not _HEADER.match(lines[0]) else 0
            self._count(tuple(lines[begin:-1]), lines[begin:])
        elif is_of_node and self._kind is not Kind.WARNING:
            self._count(key_of(self._kind, lines), lines)
            if self._kind is Kind.BLOCKED:
                return  # it is ours
        for each in [lines] if is_one else [[line] for line in lines if line.strip()]:
            self._show(each)

    def _show(self, lines: list[str]) -> None:
        if lines[0].startswith(_OWN):
            return
        self._last.extend((self._at, line) for line in lines if line.strip())
        if self._shown >= MOST or self._characters >= MOST_CHARACTERS:
            self._left_out += sum(map(len, lines))
            return
        text = "\n".join(_fewer(self._legible(lines)))
        self._shown += 1
        self._characters += len(text)
        self._record(Printed(self._at, text, self._is_second))

    def _count(self, key: tuple[str, ...], lines: list[str]) -> None:
        if key in self.seen:
            self.seen[key].count += 1
        else:
            self.seen[key] = Seen(self._at, self._legible(lines))

    def _legible(self, lines: list[str]) -> list[str]:
        """The lines as they are shown."""
        found = []
        for line in lines:
            line = legible(line.replace(self._hidden, "…") if self._hidden else line)
            found.append(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…")
        return found


def _fewer(lines: list[str]) -> list[str]:
    half = _MOST_LINES // 2
    return lines if len(lines) <= _MOST_LINES else [*lines[:half], "  …", *lines[-half:]]

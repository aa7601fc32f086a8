"""All that was received of one room: what each connection received, and the order that all should have seen.

The live messages of a connection are nearly always a range of that order, without gap or repeat. Then the two
are compared as arrays, without a look at single messages: so a million deliveries take less than a second.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from itertools import compress
from math import inf
from operator import lt

from harness.load.record import HeardPage


class Column:
    """The live messages of one connection in order of arrival: when (seconds), and which."""

    __slots__ = ("at", "messages", "start")

    def __init__(self, at: array[float], messages: array[int], start: int | None = None) -> None:
        self.at = at
        self.messages = messages
        self.start = start
        """Its begin in the order of the room; None if it is not a range of that order."""


class Room:
    """A room. Messages are identified by their indexes; notices of joins and leaves are kept apart."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.live: dict[int, Column] = {}
        """By connection; so are the next ones."""
        self.notices: dict[int, Column] = {}
        self.pages: dict[int, list[HeardPage]] = defaultdict(list)
        self.numbers: dict[int, int] = {}
        """The sequence number of each message that any client received."""
        self.order = array("I")
        """All messages, sorted by their numbers."""
        self.numbered = False
        """Whether these numbers are 1, 2, 3 and so on."""
        self.places: dict[int, int] = {}
        """The place of each message in the order, from 0."""
        self.first = array("d")
        """When the message at each place was first received."""
        self.first_by = array("I")
        """And by which connection."""
        self.first_in_page: set[int] = set()
        """Places of messages that were first received in a page of history."""

    def settle(self) -> None:
        """Sort all messages, and find which columns are ranges of that order; the caller notes pages."""
        self.order = array("I", sorted(self.numbers, key=self.numbers.__getitem__))
        self.numbered = [self.numbers[each] for each in self.order] == list(range(1, len(self.order) + 1))
        self.places = {message: place for place, message in enumerate(self.order)}
        self.first = array("d", [inf]) * len(self.order)
        self.first_by = array("I", [0]) * len(self.order)
        for conn, column in self.live.items():
            column.start = self.find(column.messages)
            self._note_column(conn, column)

    def find(self, messages: array[int]) -> int | None:
        """The place at which the order contains exactly these messages in a row; None if nowhere."""
        start = self.places.get(messages[0]) if messages else 0
        if start is None or self.order[start : start + len(messages)] != messages:
            return None
        return start

    def _note_column(self, conn: int, column: Column) -> None:
        start = column.start
        if start is None:
            for at, message in zip(column.at, column.messages, strict=True):
                self.note_first(message, at, conn)
            return
        # Few deliveries are the first of a message, and comparing costs almost nothing for all others.
        sooner = map(lt, column.at, self.first[start : start + len(column.at)])
        for number in compress(range(len(column.at)), sooner):
            self.first[start + number] = column.at[number]
            self.first_by[start + number] = conn

    def note_first(self, message: int, at: float, conn: int, in_page: bool = False) -> None:
        """Note that a connection received a message, if it was the first."""
        place = self.places[message]
        if at < self.first[place]:
            self.first[place] = at
            self.first_by[place] = conn
            if in_page:
                self.first_in_page.add(place)

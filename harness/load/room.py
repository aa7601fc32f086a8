"""All that was heard of one room: what each connection heard, beside the order in which all should have.

What a connection heard live is nearly always a piece of that order, without gap or repeat. Then the two are
compared as arrays, and no message is looked at by itself: that is how a million deliveries take no second.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from itertools import compress
from math import inf
from operator import lt

from harness.load.record import HeardPage


class Column:
    """What one connection heard live, in that order: when (seconds), and which messages."""

    __slots__ = ("at", "messages", "start")

    def __init__(self, at: array[float], messages: array[int], start: int | None = None) -> None:
        self.at = at
        self.messages = messages
        self.start = start
        """Where in the order of the room it begins; None if it is no piece of that."""


class Room:
    """A room. Messages are told apart by their indexes; notices of who came and left are none of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.live: dict[int, Column] = {}
        """By connection; and so below."""
        self.notices: dict[int, Column] = {}
        self.pages: dict[int, list[HeardPage]] = defaultdict(list)
        self.numbers: dict[int, int] = {}
        """The number of each message that anybody heard."""
        self.order = array("I")
        """All messages by their numbers."""
        self.numbered = False
        """Whether these are 1, 2, 3 and so on."""
        self.places: dict[int, int] = {}
        """Where in the order each message stands, from 0."""
        self.first = array("d")
        """When each was first heard, by place."""
        self.first_by = array("I")
        """And by which connection."""
        self.first_in_page: set[int] = set()
        """Places of those that were first heard in a page of history."""

    def settle(self) -> None:
        """Put all messages in order, and see which columns are pieces of that; the caller notes pages."""
        self.order = array("I", sorted(self.numbers, key=self.numbers.__getitem__))
        self.numbered = [self.numbers[each] for each in self.order] == list(range(1, len(self.order) + 1))
        self.places = {message: place for place, message in enumerate(self.order)}
        self.first = array("d", [inf]) * len(self.order)
        self.first_by = array("I", [0]) * len(self.order)
        for conn, column in self.live.items():
            column.start = self.find(column.messages)
            self._note_column(conn, column)

    def find(self, messages: array[int]) -> int | None:
        """At which place the order goes on with just these messages; None if nowhere."""
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
        # Few are the first to hear something, and comparing takes next to no time for each of the others.
        sooner = map(lt, column.at, self.first[start : start + len(column.at)])
        for number in compress(range(len(column.at)), sooner):
            self.first[start + number] = column.at[number]
            self.first_by[start + number] = conn

    def note_first(self, message: int, at: float, conn: int, in_page: bool = False) -> None:
        """Note who heard a message first, if that was now."""
        place = self.places[message]
        if at < self.first[place]:
            self.first[place] = at
            self.first_by[place] = conn
            if in_page:
                self.first_in_page.add(place)

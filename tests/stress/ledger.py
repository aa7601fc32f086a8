"""All messages that any client has received, so that no number is given twice and no message is lost."""

from __future__ import annotations

from collections import defaultdict

from tests.stress.link import Json, Link

Line = tuple[str, str, int, int]
"""Id, user, hash of the content, and timestamp of a message."""


class Ledger:
    """All numbered messages of all rooms that a client received, live or replayed."""

    def __init__(self) -> None:
        self.lines: dict[str, dict[int, Line]] = defaultdict(dict)
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._audited: dict[str, int] = defaultdict(int)

    def heard(self, data: Json) -> None:
        """Record it. Raises AssertionError if a number or an id was another message's before."""
        room, number = data["room"], data["sequence"]
        line = (data["id"], data["user"], hash(data["content"]), data["timestamp"])
        before = self.lines[room].setdefault(number, line)
        assert before == line, f"no. {number} of {room} was {before}, and is {line}"
        first = self._numbers.setdefault((room, data["user"], data["id"]), number)
        assert first == number, f"{data['id']} of {data['user']} in {room} is no. {first} and no. {number}"

    async def audit(self, link: Link, whole: bool = False) -> int:
        """Ask for the history, all of it or what is new since the last audit; returns how many messages were
        read.

        Raises AssertionError for a gap, and for a message that was received and is not stored unchanged.
        """
        read = 0
        for room, lines in self.lines.items():
            since = 0 if whole else self._audited[room]
            newest = max(lines)
            stored = await link.history(room, since)
            numbers = [each["sequence"] for each in stored]
            assert numbers == list(range(since + 1, since + 1 + len(stored))), (
                f"{room} has holes after {since}"
            )
            assert since + len(stored) >= newest, (
                f"{room} ends at {since + len(stored)}, and {newest} was heard"
            )
            for each in stored:
                self.heard(each)
            self._audited[room] = since + len(stored)
            read += len(stored)
        return read

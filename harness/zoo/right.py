"""Correct servers beside the reference: what a check of one's own must let pass, however they behave.

A check that takes a habit of one server for a duty, or waits for a fixed time, fails one of them.
"""

from __future__ import annotations

import asyncio
from functools import partial

from harness.zoo.animal import run_reference
from harness.zoo.single_file import JOURNAL, PLAIN, changed, run_source
from lab.hub import Components
from lab.protocol import Message
from lab.store import MessageStore

_SLOW_SECONDS, _QUICK_SECONDS = 1.5, 3.0
"""How long a slow save takes, and for how long all are quick after it: so much is stored all the same."""


def _slow(parts: Components) -> None:
    """The first message, and now and then another one, takes a while to be stored, and is sent only then."""

    class Slow(MessageStore):
        quick_until = 0.0

        async def save(self, messages: list[Message]) -> None:
            loop = asyncio.get_running_loop()
            if loop.time() >= self.quick_until:
                await asyncio.sleep(_SLOW_SECONDS)
                self.quick_until = loop.time() + _QUICK_SECONDS
            await super().save(messages)

    parts.store = Slow


_OTHER_HABITS = (
    # Who was there is still listed, as offline.
    (
        "        self.lock = asyncio.Lock()\n",
        "        self.lock = asyncio.Lock()\n        self.gone: dict[str, int] = {}\n",
    ),
    (
        "    if not room.holds(client.user):\n",
        "    if not room.holds(client.user):\n        room.gone[client.user] = client.last_seen\n",
    ),
    (
        '    return encode("presence", {"room": name, "users": users, "full": True})\n',
        """    for user, when in rooms[name].gone.items() if name in rooms else ():
        if user not in seen:
            users.append({"user": user, "status": "offline", "lastSeen": when})
    return encode("presence", {"room": name, "users": users, "full": True})
""",
    ),
    # A page is as short as it likes.
    ("min(limit or PAGE, PAGE)", "min(limit or PAGE, 20)"),
    (
        "    while True:\n        async with room.lock:",
        "    at_most = NEWEST if seen is None else 20\n    while True:\n        async with room.lock:",
    ),
    (
        "page = await page_of(room, seen, PAGE)\n            if not",
        "page = await page_of(room, seen, at_most)\n            if not",
    ),
    # Who joins is not sent the notice of that.
    (
        """def tell(room: Room, text: str) -> None:
    \"\"\"Send to all members of a room.\"\"\"
    for member in list(room.members):
        post(member, text)
""",
        """def tell(room: Room, text: str, but: Client | None = None) -> None:
    \"\"\"Send to all members of a room.\"\"\"
    for member in list(room.members):
        if member is not but:
            post(member, text)
""",
    ),
    ('    tell(room, encode("message", notice))\n', '    tell(room, encode("message", notice), client)\n'),
)

RIGHT = {
    "reference": partial(run_reference, lambda parts: None),
    "single_file": partial(run_source, "server", PLAIN.read_text(encoding="utf-8")),
    "journal": partial(run_source, "journal", JOURNAL),
    "slow_disk": partial(run_reference, _slow),
    "other_habits": partial(run_source, "server", changed("other_habits", _OTHER_HABITS)),
}
"""What starts each of them, configured by environment variables, by its name."""

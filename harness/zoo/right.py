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

_SLOW_SECONDS = 1.0
_EVERY = 4
"""So many saves to the next one that is slow; the first one is."""


def _slow(parts: Components) -> None:
    """Now and then a message takes a while to be stored: nobody is sent it before that."""

    class Slow(MessageStore):
        saves = -1

        async def save(self, messages: list[Message]) -> None:
            self.saves += 1
            if self.saves % _EVERY == 0:
                await asyncio.sleep(_SLOW_SECONDS)
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
    ("PAGE, NEWEST = 100, 50", "PAGE, NEWEST = 20, 50"),
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

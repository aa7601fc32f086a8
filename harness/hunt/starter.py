"""The file that a level begins with: an example that passes with every server, for a player to change."""

from __future__ import annotations

import textwrap
from pathlib import Path

from harness.texts import Texts

_TEXT = '''"""{level}

{complaint}
"""

import asyncio


async def test_level{number}(chat_client, chat_server):
    ada = await chat_client("ada")
    bob = await chat_client("bob")
    await ada.join("red")
    await bob.join("red")
    assert await ada.sees("red") == {{"ada": "online", "bob": "online"}}
'''


def path_of(number: int) -> Path:
    """Where the check of a level is, unless the player says another place."""
    return Path("hunt") / f"level{number}.py"


def write(number: int, words: Texts) -> bool:
    """Write the file if there is none; returns whether there was none. Raises OSError."""
    path = path_of(number)
    path.parent.mkdir(exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_text(number, words))
    except FileExistsError:
        return False
    return True


def _text(number: int, words: Texts) -> str:
    say, level = words.say, f"hunt.level_{number}"
    complaint = say("hunt.quoted", complaint=say(f"{level}.complaint"))
    return _TEXT.format(
        level=say("hunt.level", number=number, title=say(f"{level}.title")),
        complaint="\n".join(textwrap.wrap(complaint, 88)),
        number=number,
    )

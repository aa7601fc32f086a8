"""A file that cannot be a check is told about in a sentence with its line; nothing of it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.hunt.check_file import BadCheck, read

TEST = "async def test_a(chat_client, chat_server, more=1):\n    ada = await chat_client('ada')\n"
WRONG = {
    "": "has no test",
    "x = (": "line 1: Python does not understand this",
    "async def helper(chat_client):\n    pass": "has no test",
    "def test_a(chat_client):\n    pass": "line 1: write `async def test_a`",
    "def f():\n    await g()": "line 2: Python does not understand this",
    "async def test_a(history):\n    pass": "line 1: there is no `history`",
    f"import os\n{TEST}": "line 1: a check may not import os",
    f"from harness.zoo import animals\n{TEST}": "line 1: a check may not import harness.zoo",
    f"from . import spy\n{TEST}": "line 1: a check may not import .",
    f"{TEST}    ada._client": "line 3: a check does not need `_client`",
    f"{TEST}    open('x')": "line 3: a check does not need `open`",
    f"{TEST}    ada.join('red')": "line 3: `join(…)` does nothing without `await`",
    f"{TEST}    assert 'bob' in ada.sees('red')": "line 3: `sees(…)` does nothing without `await`",
    f"{TEST}    ada.sees('red')['bob']": "line 3: `sees(…)` does nothing without `await`",
    f"{TEST}    bob = chat_client('bob')": "line 3: `chat_client(…)` does nothing without `await`",
    f"{TEST}\0": "is no text in UTF-8 that Python could read",
}


@pytest.mark.parametrize("source", WRONG)
def test_an_unfit_file_is_told_about(tmp_path: Path, source: str) -> None:
    """With the line, where it has one."""
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")
    with pytest.raises(BadCheck) as raised:
        read(str(path))
    assert WRONG[source] in str(raised.value)
    assert str(path) in str(raised.value)


def test_what_is_no_file_is_told_about(tmp_path: Path) -> None:
    """Missing, a folder, no text, or far too long."""
    long, binary = tmp_path / "long.py", tmp_path / "binary.py"
    long.write_text("#" * 300_000)
    binary.write_bytes(b"\xff\xfe")
    found = {}
    for path in (tmp_path / "no.py", tmp_path, binary, long):
        with pytest.raises(BadCheck) as raised:
            read(str(path))
        found[path.name] = raised.value.key
    assert list(found.values()) == ["hunt.no_file", "hunt.unreadable", "hunt.no_text", "hunt.too_long"]


def test_a_check_may_have_what_a_check_needs(tmp_path: Path) -> None:
    """Several tests, functions, modules for it, tasks of calls that are not awaited at once."""
    path = tmp_path / "mine.py"
    path.write_text(
        "import asyncio, random\nfrom collections import Counter\n"
        f"{TEST}    await asyncio.gather(ada.say('red', 'a'), *[ada.say('red', 'b') for _ in range(3)])\n"
        "    talking = asyncio.create_task(ada.say('red', 'c'))\n    await talking\n"
        "async def helper(ada):\n    await ada.join('red')\n"
        "async def test_b():\n    pass\n",
        encoding="utf-8",
    )
    assert read(str(path)).tests == {"test_a": ("chat_client", "chat_server"), "test_b": ()}

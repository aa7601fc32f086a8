"""What came of a play: which line failed, and why; what a check prints; and tests that never end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.hunt import play as playing
from harness.hunt.check_file import read
from harness.hunt.play import play
from harness.texts import texts
from tests.harness.hunt.checks import failure

pytestmark = pytest.mark.xdist_group("sim")

HEAD = """import asyncio
async def test_a(chat_client, chat_server):
    ada = await chat_client("ada")
    await ada.join("red")
"""
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "assert await ada.sees('red') == {}": ("compared", {"left": "{'ada': 'online'}", "right": "{}"}),
    "assert not ada": ("untrue", {}),
    "assert ada.newest('red') > 0, 'none'": ("message", {"message": "none"}),
    "ada.dance()": ("raised", {"error": "AttributeError: 'ChatClient' object has no attribute 'dance'"}),
    "raise SystemExit(3)": ("raised", {"error": "SystemExit: 3"}),
    "await ada.hears('red', 'x')": ("said", {"text": "ada did not hear 'x' in red."}),
    "await chat_server.start()": ("said", {"text": "The server runs already."}),
    "await asyncio.Event().wait()": ("hangs", {"seconds": 600}),
    "while True: await asyncio.sleep(0.1)": ("hangs", {"seconds": 600}),
}


def written(folder: Path, text: str) -> Path:
    """A check."""
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("line", LINES)
def test_a_failure_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    """What was compared, what was said, what was raised, and what was waited for in vain."""
    found = failure(written(tmp_path, f"{HEAD}    {line}\n"), "reference")
    assert found is not None
    assert (found.test, found.line, found.source) == ("test_a", 5, line)
    assert (found.why.key, found.why.params) == LINES[line]
    assert found.hangs == (found.why.key == "hangs")


def test_the_innermost_line_of_the_check_is_shown(tmp_path: Path) -> None:
    """Where a function of the check's own has failed; in French as well."""
    text = f"{HEAD}    await helper(ada)\n\nasync def helper(ada):\n    await ada.hears('red', 'x')\n"
    found = failure(written(tmp_path, text), "reference", language="fr")
    assert found is not None
    assert found.line == 8
    assert found.why.params["text"] == "ada n’a pas reçu 'x' dans red."


def test_a_check_that_keeps_the_processor_busy_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while, and its line is known."""
    monkeypatch.setattr(playing, "BUSY_SECONDS", 0.5)
    found = failure(written(tmp_path, f"{HEAD}    while True: pass\n"), "reference")
    assert found is not None
    assert (found.line, found.why.key, found.hangs) == (5, "hangs_busy", True)


def test_what_a_check_prints_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is shown with the verdict, and goes nowhere else."""
    path = written(
        tmp_path, f"{HEAD}    print('hello', await ada.sees('red'), sep='; ')\n    print('x' * 5000)\n"
    )
    played = play(read(str(path)), "reference", "1", "sim", texts("en"))
    assert played.failure is None
    assert played.printed.startswith("hello; {'ada': 'online'}\nxxx")
    assert capsys.readouterr().out == ""


def test_each_test_has_a_server_of_its_own(tmp_path: Path) -> None:
    """With no messages; the first that fails is told."""
    text = f"{HEAD}    await ada.say('red', 'hello')\n    assert ada.numbers('red') == [1]\n"
    text += text.replace("import asyncio\n", "").replace("test_a", "test_b").replace("== [1]", "== [2]")
    found = failure(written(tmp_path, text), "reference")
    assert found is not None
    assert (found.test, found.why.params) == ("test_b", {"left": "[1]", "right": "[2]"})

"""The fixtures run in the event loop of each test, whichever pytest-asyncio takes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.pytest_support.fixtures import started
from tests.harness.pytest_support.test_plugin import counts, run

LOOPS = """
import asyncio
import pytest
import pytest_asyncio


async def talk(chat_client, history):
    ada = await chat_client("ada")
    await ada.join("red")
    assert ada.newest("red") == 0, "a new server for each test"
    await ada.say("red", "hello")
    await ada.close()
    history.check()


@pytest.mark.asyncio
async def test_default(chat_client, history):
    await talk(chat_client, history)


@pytest.mark.asyncio(loop_scope="function")
async def test_function(chat_client, history):
    await talk(chat_client, history)


class TestOfAClass:
    @pytest.mark.asyncio(loop_scope="class")
    async def test_class(self, chat_client, history):
        await talk(chat_client, history)


@pytest.mark.asyncio(loop_scope="module")
async def test_module(chat_client, chat_server, history):
    await talk(chat_client, history)
    await chat_server.kill()


@pytest.mark.asyncio(loop_scope="session")
async def test_session(chat_client, history):
    await talk(chat_client, history)


@pytest_asyncio.fixture(loop_scope="module")
async def ada(chat_client):
    ada = await chat_client("ada")
    yield ada
    await ada.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_own_fixture(ada):
    await ada.join("red")


@pytest.mark.asyncio(loop_scope="session")
async def test_another_loop(ada):
    raise AssertionError("its fixture fails")


def test_a_loop_of_its_own(chat_client):
    asyncio.run(chat_client("ada"))
"""


def settings(folder: Path, **lines: str) -> None:
    """Write settings of pytest-asyncio, which come before those of the other tests."""
    text = "".join(f"asyncio_{name} = {value}\n" for name, value in lines.items())
    (folder / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{text}")


@pytest.mark.live
@pytest.mark.parametrize(
    "lines",
    [
        {"mode": "auto", "default_fixture_loop_scope": "function"},
        {
            "mode": "strict",
            "default_fixture_loop_scope": "session",
            "default_test_loop_scope": "session",
        },
    ],
    ids=["auto", "strict"],
)
def test_fixtures_are_in_the_loop_of_the_test(tmp_path: Path, lines: dict[str, str]) -> None:
    """In each scope, by its mark or by the settings. What runs in another loop is told what to write."""
    (tmp_path / "test_own.py").write_text(LOOPS)
    settings(tmp_path, **lines)
    code, said = run(tmp_path, "test_own.py", ini="")
    found = counts(said)
    assert (code, found.get("passed"), found.get("failed"), found.get("error")) == (1, 6, 1, 1), said
    assert said.count("This code runs in another event loop than its test") >= 2
    assert "Give a fixture the loop of the test by @pytest_asyncio.fixture(loop_scope='session')" in said
    assert "Traceback" not in said
    assert "RuntimeError" not in said


def test_only_asyncio_runs_the_fixtures() -> None:
    """A plugin that takes another library is told about, in one sentence."""
    config = cast("pytest.Config", SimpleNamespace(getoption={"--lab-lang": "en"}.get))
    beginning = started(config, "function").__aenter__()
    with pytest.raises(pytest.fail.Exception, match=r"another library runs this test\. Mark it with"):
        beginning.send(None)  # as a loop does it, without one of asyncio


def test_without_pytest_asyncio_and_xdist(tmp_path: Path) -> None:
    """The steps need neither; a test with our fixtures is told what to install, in one sentence."""
    (tmp_path / "test_own.py").write_text("def test_own(chat_client):\n    pass\n")
    settings(tmp_path)
    options = ["-p", "no:asyncio", "-p", "no:xdist", "-p", "no:pytest_asyncio", "--lab-solutions"]
    code, said = run(tmp_path, *options, "--lab-exercises=1", "test_own.py", fake=True, ini="")
    found = counts(said)
    assert (code, found) == (1, {"passed": 5, "error": 1}), said
    assert "The fixtures for a chat need pytest-asyncio, which is not installed, or switched off" in said
    assert "Traceback" not in said

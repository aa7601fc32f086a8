"""The page is accessible: axe finds nothing that matters, in both colour schemes, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.fake import FakeServer, frame, said
from tests.browser.helpers import ThreadedServer, eventually
from tests.browser.test_page import say, shown, state, waiting
from tests.extras import needs_module
from tests.lab.helpers import message

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra

LOOKS = [
    pytest.param(
        {"color_scheme": scheme, "viewport": {"width": width, "height": height}}, id=f"{scheme} {width}"
    )
    for scheme in ("light", "dark")
    for width, height in ((1280, 800), (360, 740))
]


def faults(page: Page) -> list[str]:
    """What axe finds, whatever its impact."""
    needs_module("axe_playwright_python", "browser")
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(page).response["violations"]
    return [f"{each['impact']} {each['id']}: {node['html']}" for each in violations for node in each["nodes"]]


@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(tmp_path: Path, tab: OpenTab, look: dict[str, object]) -> None:
    """Nothing is found in a busy room, with and without a connection, and with a dialog open."""
    past = [message(number, "red", "bob", content=f"no. {number}") for number in range(1, 61)]
    chat = ThreadedServer(tmp_path, past)
    try:
        ada, bob = tab(chat.url, "ada", "red,blue", **look), tab(chat.url, "bob", "red,blue")
        tab(chat.url, "eve").close()
        say(ada, "Hello")
        bob.locator("[data-room=blue] .room").click()
        say(bob, "unread")
        ada.locator("[data-room=blue] .badge").wait_for()
        ada.locator("#people [data-status=offline]").wait_for(state="attached")
        say(ada, "x" * 70_000)
        ada.locator("#say textarea").fill("")
        if ada.locator("#who").is_visible():
            ada.locator("#who").click()
        assert faults(ada) == []
        ada.context.set_offline(True)
        chat.cut("red", "ada")
        state(ada, "waiting")
        say(ada, "waits")
        eventually(lambda: waiting(ada) == 1)
        assert faults(ada) == []
        ada.locator("#join").click()
        ada.locator("#answer").fill("...")
        ada.locator("#answer").press("Enter")
        assert faults(ada) == []
    finally:
        chat.stop()


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[-1]])
def test_axe_finds_nothing_under_attack(tab: OpenTab, look: dict[str, object]) -> None:
    """Nor with folded messages, more people than are shown, and a frame that could not be read."""
    server = FakeServer(past=300, replayed=300, others=150)
    try:
        ada = tab(server.url, "ada", **look)
        server.send(frame("message", **said(301, content="x\n" * 3000)), "{", "{")
        ada.locator("#log .fold").wait_for()
        ada.locator("#unreadable").wait_for()
        if ada.locator("#who").is_visible():
            ada.locator("#who").click()
        assert faults(ada) == []
    finally:
        server.stop()


def test_the_first_question(chat: ThreadedServer, new_page: Callable[..., Page]) -> None:
    """The question for the name has no fault, either."""
    page = new_page()
    page.goto(chat.url)
    page.locator("#answer").wait_for()
    assert faults(page) == []


@pytest.mark.parametrize("width", [320, 360, 640, 1024])
def test_nothing_is_wider_than_the_window(tmp_path: Path, tab: OpenTab, width: int) -> None:
    """However narrow the window, and however long names, words and the history: only the log scrolls."""
    name, rooms = "n" * 64, ",".join(["r" * 64, "s" * 64, "t"])
    past = [message(number, "r" * 64, name, content=f"no. {number}") for number in range(1, 51)]
    chat = ThreadedServer(tmp_path, past)
    try:
        ada = tab(chat.url, name, rooms, viewport={"width": width, "height": 600})
        say(ada, "w" * 500)
        eventually(lambda: len(shown(ada)) == 51)
        fits(ada, width, 600)
        ada.context.set_offline(True)
        chat.cut("t", name)
        state(ada, "waiting")
        fits(ada, width, 600)
    finally:
        chat.stop()


def fits(page: Page, width: int, height: int) -> None:
    """Check that the page is as large as its window, and that nothing overflows it."""
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("document.documentElement.scrollHeight") == height
    beyond = page.evaluate(
        """[...document.querySelectorAll("header > *, #log > *, #say > *, #join")].filter((it) => {
             const {left, right} = it.getBoundingClientRect();
             return it.checkVisibility() && (left < 0 || right > innerWidth);
           }).map((it) => it.outerHTML)"""
    )
    assert beyond == []

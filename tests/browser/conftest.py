"""Fixtures for tests in a browser: Debian's Chromium, driven by playwright."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.browser.helpers import PATIENCE, ThreadedServer
from tests.extras import needs_module, needs_program

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP lan.test 127.0.0.1",
]

OpenTab = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser. It ends with its module: while it runs, no asynchronous test can run in this process."""
    needs_module("playwright", "browser")
    program = needs_program("chromium", "chromium-browser", "google-chrome", hint="install Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Makes blank pages, each with its own profile; none may ever have an error in its code."""
    contexts, errors = [], []

    def make(**options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(PATIENCE * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[ThreadedServer]:
    """A server without messages."""
    server = ThreadedServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def tab(new_page: Callable[..., Page]) -> OpenTab:
    """Opens the chat at a server's address as a user in some rooms, and waits until the first is joined."""

    def open_tab(url: str, user: str, rooms: str = "red", **options: Any) -> Page:
        page = new_page(**options)
        page.goto(f"{url}/?user={quote(user)}#{rooms}")
        page.locator(f"#people li:has-text('{user}')").wait_for(state="attached")
        return page

    return open_tab

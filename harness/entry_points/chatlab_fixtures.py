"""The fixtures for students' and instructors' own tests; `harness.pytest_support.fixtures` says what they do.

The kit is imported by the first test that uses one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chatlab_entry import hidden

if TYPE_CHECKING:
    from harness.pytest_support.fixtures import ChatHistory, ChatServer, Failures, MakeClient
    from harness.worlds.live import LiveWorld


@pytest.fixture
def chat_failures(request: pytest.FixtureRequest) -> Failures:
    """How the failures of this test are told."""
    said = hidden()
    if said:
        pytest.fail(said, pytrace=False)
    from harness.pytest_support.options import words_of

    if not request.config.pluginmanager.hasplugin("asyncio"):
        pytest.fail(words_of(request.config).say("pytest.no_asyncio"), pytrace=False)
    from harness.pytest_support.event_loops import failures_of

    return failures_of(request)


@pytest.fixture
def chat_world(chat_failures: Failures) -> LiveWorld:
    """The world of one test, with its server started; the other fixtures are made from it."""
    return chat_failures.world


@pytest.fixture
def chat_server(chat_failures: Failures) -> ChatServer:
    """The server, started."""
    from harness.pytest_support.fixtures import ChatServer

    return ChatServer(chat_failures)


@pytest.fixture
def chat_client(chat_failures: Failures) -> MakeClient:
    """Makes a client of the name given, connected."""
    from harness.pytest_support.fixtures import client_maker

    return client_maker(chat_failures)


@pytest.fixture
def history(chat_failures: Failures) -> ChatHistory:
    """The history of this test, as far as it has come."""
    from harness.pytest_support.fixtures import ChatHistory

    return ChatHistory(chat_failures)

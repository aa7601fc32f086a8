"""The fixtures for tests of one's own; `harness.pytest_support` has what they are.

The kit is imported by the first test that uses one. A test's server is in the event loop that pytest-asyncio
runs the test in: that is one of several, by its scope, and each fixture has its own for good. So there is one
fixture for each scope.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import pytest
from chatlab_entry import hidden

if TYPE_CHECKING:
    from harness.pytest_support.clients import ChatHistory, ChatServer, MakeClient
    from harness.pytest_support.fixtures import Failures
    from harness.worlds.live import LiveWorld

Scope = Literal["function", "class", "module", "package", "session"]


@pytest.fixture
def chat_failures(request: pytest.FixtureRequest) -> Failures:
    """How the failures of this test are told."""
    said = hidden()
    if said:
        pytest.fail(said, pytrace=False)
    from harness.pytest_support.options import words_of

    if not request.config.pluginmanager.hasplugin("asyncio"):
        pytest.fail(words_of(request.config).say("pytest.no_asyncio"), pytrace=False)
    failures: Failures = request.getfixturevalue(_name_for(_loop_scope_of(request)))
    return failures


def _loop_scope_of(request: pytest.FixtureRequest) -> str:
    """The scope of the loop that a test runs in, by its mark or the settings."""
    mark = request.node.get_closest_marker("asyncio")
    given = mark.kwargs if mark else {}
    default = request.config.getini("asyncio_default_test_loop_scope")
    return str(given.get("loop_scope") or given.get("scope") or default)


def _name_for(scope: str) -> str:
    return f"_chat_failures_in_{scope}_loop"


def _failures_in_loop(scope: Scope) -> Any:
    import pytest_asyncio

    async def failures(request: pytest.FixtureRequest) -> AsyncIterator[Failures]:
        from harness.pytest_support.fixtures import started

        async with started(request.config, scope) as failures:
            yield failures

    return pytest_asyncio.fixture(failures, loop_scope=scope, name=_name_for(scope))


if find_spec("pytest_asyncio"):
    _in_function_loop = _failures_in_loop("function")
    _in_class_loop = _failures_in_loop("class")
    _in_module_loop = _failures_in_loop("module")
    _in_package_loop = _failures_in_loop("package")
    _in_session_loop = _failures_in_loop("session")


@pytest.fixture
def chat_world(chat_failures: Failures) -> LiveWorld:
    """The world of one test, with its server started; the other fixtures are made from it."""
    return chat_failures.world


@pytest.fixture
def chat_server(chat_failures: Failures) -> ChatServer:
    """The server, started."""
    from harness.pytest_support.clients import ChatServer

    return ChatServer(chat_failures)


@pytest.fixture
def chat_client(chat_failures: Failures) -> MakeClient:
    """Makes a client of the name given, connected."""
    from harness.pytest_support.clients import client_maker

    return client_maker(chat_failures)


@pytest.fixture
def history(chat_failures: Failures) -> ChatHistory:
    """The history of this test, as far as it has come."""
    from harness.pytest_support.clients import ChatHistory

    return ChatHistory(chat_failures)

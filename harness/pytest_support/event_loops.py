"""A server for each test, started in the event loop that pytest-asyncio runs the test in.

pytest-asyncio has a loop for each scope, and a fixture's is fixed where it is defined. So there is a fixture
for each, and a test is given that of its own loop.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import pytest
import pytest_asyncio

from harness.pytest_support import options
from harness.pytest_support.fixtures import Failures, running_loop
from harness.verdict.steps import EXERCISES
from harness.worlds import targets
from harness.worlds.live import LiveWorld
from harness.worlds.targets import Target

Scope = Literal["function", "class", "module", "package", "session"]


def failures_of(request: pytest.FixtureRequest) -> Failures:
    """Start a new server for the test that asks, and return how its failures are told."""
    plugins = request.config.pluginmanager
    if not plugins.hasplugin("chatlab-event-loops"):
        plugins.register(sys.modules[__name__], "chatlab-event-loops")
    failures = request.getfixturevalue(_name_for(_loop_scope_of(request)))
    assert isinstance(failures, Failures), "each of these fixtures makes one"
    return failures


def _loop_scope_of(request: pytest.FixtureRequest) -> str:
    """The scope of the loop that a test runs in, by its mark or the settings."""
    mark = request.node.get_closest_marker("asyncio")
    given = mark.kwargs if mark else {}
    default = request.config.getini("asyncio_default_test_loop_scope")
    return str(given.get("loop_scope") or given.get("scope") or default or "function")


def _name_for(scope: str) -> str:
    return f"_chat_failures_in_{scope}_loop"


@asynccontextmanager
async def started(config: pytest.Config, scope: Scope) -> AsyncIterator[Failures]:
    """A new server for a test, in the loop that runs now."""
    words = options.words_of(config)
    loop = running_loop()
    if loop is None:  # another plugin runs this, such as anyio's, and trio with it
        pytest.fail(words.say("pytest.no_loop"), pytrace=False)
    world = LiveWorld(_target(config), 0, "")
    failures = Failures(world, words, loop, scope)
    try:
        with failures.explained():
            await world.start_server()
        yield failures
    finally:
        await world.close()


def _fixture_for(scope: Scope) -> Any:
    async def failures(request: pytest.FixtureRequest) -> AsyncIterator[Failures]:
        async with started(request.config, scope) as failures:
            yield failures

    return pytest_asyncio.fixture(failures, loop_scope=scope, name=_name_for(scope))


def _target(config: pytest.Config) -> Target:
    if options.is_asked_for(config):
        return options.target_of(config, min(EXERCISES), together=True)
    return targets.reference()


in_function_loop = _fixture_for("function")
in_class_loop = _fixture_for("class")
in_module_loop = _fixture_for("module")
in_package_loop = _fixture_for("package")
in_session_loop = _fixture_for("session")

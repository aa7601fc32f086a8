"""What the tests of the TypeScript track share: Node, the compiled server, and the kit's judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.typescript.build import build
from harness.typescript.tools import Tools
from tests.extras import needs_node
from tests.kit.conftest import judge

__all__ = ["compiled", "judge", "tools"]


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Node and the packages; without them the test is skipped, or fails in CI."""
    return needs_node()


@pytest.fixture(scope="session")
def compiled(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the modules of the server with its model answers, as JavaScript."""
    made = build({}, tmp_path_factory.mktemp("compiled") / "server", tools)
    assert made.refused is None, made.problem
    return made.folder / "dist"

"""Requirements of the tests of the extras: if one is missing they are skipped; in CI it must be there."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest

from harness.judged.isolation_trial import NoIsolation, find_isolation
from harness.typescript.tools import NotReady, Tools, find_tools


def needs_module(name: str, extra: str) -> None:
    """Skip the test (in CI: fail it) unless the module of an extra is installed."""
    if importlib.util.find_spec(name) is None:
        _missing(f"{name} is not installed: pip install 'chat-lab[{extra}]'")


def needs_program(*names: str, hint: str) -> str:
    """The path of the first of these programs that exists; else skip the test (in CI: fail it)."""
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        _missing(f"there is no {' or '.join(names)}: {hint}")
    assert found is not None
    return found


def needs_isolation() -> None:
    """Skip the test (in CI: fail it) unless code can be isolated by bubblewrap."""
    try:
        find_isolation("required")
    except NoIsolation as error:
        _missing(str(error))


def needs_node() -> Tools:
    """Node, and the packages that `npm ci` installs; else skip the test (in CI: fail it)."""
    try:
        return find_tools()
    except NotReady as error:
        _missing(str(error))
        raise


def _missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(f"in CI nothing may be missing, and {reason}")
    pytest.skip(reason)

"""A server's own modules, which are imported anew."""

from __future__ import annotations

import importlib
import sys

import harness.zoo.matrix
from harness.worlds.sim import modules


def test_what_was_imported_is_as_before() -> None:
    """Also as attributes of the packages, by which others reach it."""
    before = harness.zoo, harness.zoo.matrix
    with modules.restored():
        modules.forget_own("harness.zoo")
        importlib.import_module("harness.zoo.animal")
        assert sys.modules["harness.zoo"] is not before[0]
    assert sys.modules["harness.zoo.matrix"] is before[1]
    assert (harness.zoo, harness.zoo.matrix) == before
    assert sys.modules["harness"].zoo is before[0]

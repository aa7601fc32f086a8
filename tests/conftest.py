"""The order in which files begin where whole files are shared out among workers, as in `make extra`."""

from __future__ import annotations

from pathlib import Path

import pytest

LONG = (
    "load/test_load.py",
    "rehearsal/test_rehearsal.py",
    "grading/test_grade.py",
    "browser/test_lesson.py",
    "browser/test_report.py",
    "notebooks/test_walkthroughs.py",
    "rehearsal/test_installed.py",
    "browser/test_bounds.py",
    "browser/test_page.py",
)
"""What takes longest begins first, so that no worker is left with it at the end. Loads that judge times, and
a class that is mostly waited for, are beside each other.
"""
_PLACES = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put them into that order; all others stay as they are."""
    items.sort(key=lambda item: _PLACES.get(item.path, len(LONG)))

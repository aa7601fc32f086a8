"""Pytest's report and JUnit's file show what a server sent, and obey none of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.harness.pytest_support import test_plugin
from tests.harness.reports.test_hostile_text import HOSTILE, OBEYED


def test_pytest_obeys_nothing_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in an explanation, and one of a server in the header and in the properties."""
    plays = test_plugin.FAKE_PLAYS.replace('"who": "bob"', f'"who": {HOSTILE!r}')
    monkeypatch.setattr(test_plugin, "FAKE_PLAYS", plays)
    server = f"node '{HOSTILE.replace(chr(0xFFFE), '')}'"
    arguments = (f"--lab-server={server}", "--lab-exercises=2", "--junitxml=junit.xml")
    code, said = test_plugin.run(tmp_path, *arguments, fake=True)
    assert code == 1, said
    assert not OBEYED & set(said)
    assert "x\\x1b[2J" in said
    written = (tmp_path / "junit.xml").read_text(encoding="utf-8")
    assert not OBEYED & set(written)
    assert len(list(ET.fromstring(written).iter("testcase"))) == 4

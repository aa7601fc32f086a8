"""How far a player is, is remembered, and a file that cannot be read is in nobody's way."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.hunt.levels import LEVELS
from harness.hunt.progress import FILE, OfLevel, keep, load


def _unexpected(path: Path) -> None:
    raise AssertionError(path)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder of its own."""
    monkeypatch.chdir(tmp_path)


def test_what_is_kept_is_found_again() -> None:
    """With the first level that is not solved; our folder tells git to leave it alone."""
    known = load(_unexpected)
    assert known.next_level == 1
    known.levels[1] = OfLevel(started=1.0, solved=2.0, checks=3, hints=1, kin=["newcomers_miss_the_first"])
    keep(known)
    again = load(_unexpected)
    assert again.levels[1] == known.levels[1]
    assert again.next_level == 2
    assert (FILE.parent / ".gitignore").read_text() == "*\n"
    for number in LEVELS:
        again.of(number).solved = 1.0
    assert again.next_level is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"levels": 3}', '{"levels": {"x": {}}}', "[" * 5000, "\xff"]
)
def test_a_broken_file_is_no_obstacle(text: str) -> None:
    """Everything begins anew, the file is set aside, and the new one is whole after the next step."""
    FILE.parent.mkdir()
    FILE.write_bytes(text.encode("latin-1"))
    aside: list[Path] = []
    keep(load(aside.append))
    assert [each.read_bytes() for each in aside] == [text.encode("latin-1")]
    load(_unexpected)


def test_levels_that_there_are_no_more_are_forgotten() -> None:
    """As are fields that this kit does not know."""
    FILE.parent.mkdir()
    FILE.write_text('{"levels": {"1": {"solved": 5.0, "new": 1}, "77": {}}, "version": 2}')
    known = load(_unexpected)
    assert list(known.levels) == [1]

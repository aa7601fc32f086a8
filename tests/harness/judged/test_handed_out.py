from __future__ import annotations

import pytest

from harness.judged import handed_out
from harness.judged.handed_out import KEPT, as_file, place_of, pristine
from harness.judged.targets import ROOT
from harness.judged.tracks import TRACKS
from harness.verdict.steps import EXERCISES


def test_what_is_kept_are_the_stubs() -> None:
    """After a change of a stub, it was written anew: `python -m harness.judged.handed_out`."""
    assert KEPT.read_text(encoding="utf-8") == as_file()


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("exercise", EXERCISES)
def test_each_exercise_is_kept_in_each_track(exercise: int, track: str) -> None:
    """Its file has the name that it has in `exercises`, and each character of it."""
    place = place_of(exercise, track)
    text = (ROOT / "exercises" / place).read_text(encoding="utf-8")
    assert pristine(exercise, track) == {place: text}


def test_a_text_that_could_not_be_read_again_is_refused() -> None:
    """No stub may have the quotes between which it is kept."""
    for text in ("a = '''b'''\n", "a = 'b'"):
        with pytest.raises(ValueError, match="three single quotes"):
            handed_out._literal(text)

"""What was handed out: the file of each exercise as students get it, whatever they have made of their own.

It is kept beside this module, since whoever works in a clone edits the files in `exercises` themselves. After
a change of a stub, `python -m harness.judged.handed_out` writes it anew.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.typescript.components import COMPONENTS as MODULES
from harness.verdict.steps import COMPONENTS, EXERCISES

KEPT = Path(__file__).with_name("handed_out.toml")
_EXERCISES = Path(__file__).resolve().parents[2] / "exercises"
_HEAD = "# The files that students fill in, written by `python -m harness.judged.handed_out`.\n"


def place_of(exercise: int, track: str = PYTHON) -> Path:
    """Where the file of an exercise belongs, from the folder `exercises`."""
    component = COMPONENTS[exercise]
    if track == TYPESCRIPT:
        return Path("typescript", "src", MODULES[component].file)
    return Path(EXERCISES[exercise], f"{component}.py")


def pristine(exercise: int, track: str = PYTHON) -> dict[Path, str]:
    """The files that a student fills in for an exercise, by their paths from `exercises`, as handed out."""
    place = place_of(exercise, track)
    return {place: _kept()[place.as_posix()]}


def as_file() -> str:
    """What is kept if the files that are in `exercises` now are those that are handed out."""
    places = [place_of(number, track) for track in (PYTHON, TYPESCRIPT) for number in EXERCISES]
    texts = {place.as_posix(): (_EXERCISES / place).read_text(encoding="utf-8") for place in places}
    return "\n".join([_HEAD, *(f'"{place}" = {_literal(text)}\n' for place, text in texts.items())])


def _literal(text: str) -> str:
    """A text between quotes that leave each character as it is. Raises ValueError if it has such quotes."""
    if "'''" in text or text.endswith("'"):
        raise ValueError("a stub has three single quotes, which end a text in TOML")
    return f"'''\n{text}'''"


@cache
def _kept() -> dict[str, str]:
    return tomllib.loads(KEPT.read_text(encoding="utf-8"))


if __name__ == "__main__":
    KEPT.write_text(as_file(), encoding="utf-8")

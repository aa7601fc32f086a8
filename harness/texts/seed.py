"""How the seed of a run is written: a number, and behind that of a small simulated run an `s`.

So the seed alone says what is played: the first of many simulated runs plays much, and the others little.
"""

from __future__ import annotations

_SMALL = "s"


def written(number: int | str, *, small: bool) -> str:
    """The seed of a run, as reports print it and `--seed` takes it."""
    return f"{number}{_SMALL}" if small else str(number)


def read(text: str) -> tuple[int, bool]:
    """The number, and whether the run is a small one. Raises ValueError."""
    number = text.removesuffix(_SMALL)
    if not (number.isascii() and number.isdecimal()):
        raise ValueError(text)
    return int(number), number != text

"""Which submissions of a class are meant, by names with wildcards; and files that somebody names for them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from harness.cli.usage import wrong_usage
from harness.submissions.listing import HandIn
from harness.verdict.steps import EXERCISES

ALL = "*"
_MAP = re.compile(r"(?P<name>.+):(?P<exercise>\d+)=(?P<file>.+)", re.DOTALL)


def named(patterns: Sequence[str], hand_ins: Sequence[HandIn], option: str) -> Callable[[str], bool]:
    """Whether a submission is one that the patterns name. Raises click.UsageError for one that names none."""
    names = [each.name for each in hand_ins]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names, n=1)
            if near:
                raise wrong_usage("nobody_near", option=option, name=pattern, near=near[0])
            raise wrong_usage("nobody", option=option, name=pattern)
    return lambda name: any(fnmatchcase(name, pattern) for pattern in patterns)


def mapped(words: Sequence[str], hand_ins: Sequence[HandIn]) -> dict[str, dict[int, str]]:
    """The files that `--map` names, by submission and exercise. Raises click.UsageError."""
    found: dict[str, dict[int, str]] = {}
    by_name = {each.name: each.key for each in hand_ins}
    for word in words:
        parts = _MAP.fullmatch(word)
        if parts is None or int(parts["exercise"]) not in EXERCISES:
            raise wrong_usage("map", given=word)
        named([parts["name"]], hand_ins, "--map")
        key = by_name.get(parts["name"], parts["name"])
        found.setdefault(key, {})[int(parts["exercise"])] = parts["file"]
    return found

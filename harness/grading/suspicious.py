"""What in the code of submissions an instructor should look at: it proves nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from harness.judged.targets import ROOT
from harness.verdict.steps import COMPONENTS, EXERCISES

_WORDS = re.compile(
    r"\bsolutions\b|\bsys\.modules\b|/proc/|\bctypes\b|\bgc\.get_\w+|\b__subclasses__\b|\bos\.kill\b"
    r"|\bimportlib\b|\b_getframe\b|\bexec\(|\blab\.(?:pubsub|sequencer|presence|store)\b|-grades\b"
)
"""What a component has no use for, and who takes an answer from elsewhere has."""


def suspicious_words(sources: Iterable[str]) -> list[str]:
    """What sources mention that a component has no use for, each once."""
    found = (match.group() for source in sources for match in _WORDS.finditer(source))
    return list(dict.fromkeys(found))


def same_files(sources: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, list[str]]]:
    """Students, with a component and who else has the very same file: not what was handed out or answered."""
    for number, component in COMPONENTS.items():
        given = [
            ROOT / folder / EXERCISES[number] / f"{component}.py" for folder in ("exercises", "solutions")
        ]
        known = {path.read_text(encoding="utf-8").strip() for path in given if path.is_file()}
        groups: dict[str, list[str]] = {}
        for student, files in sources.items():
            if (source := files.get(component, "").strip()) and source not in known:
                groups.setdefault(source, []).append(student)
        for group in groups.values():
            yield from ((each, component, [other for other in group if other != each]) for each in group[1:])
            if len(group) > 1:
                yield group[0], component, group[1:]

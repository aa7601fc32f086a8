"""What in the code of submissions an instructor should look at: it proves nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.judged.targets import ROOT
from harness.typescript.components import COMPONENTS as MODULES
from harness.verdict.steps import COMPONENTS, EXERCISES

_ANYWHERE = r"\bsolutions\b|/proc/|-grades\b"
_IN_PYTHON = re.compile(
    rf"{_ANYWHERE}|\bsys\.modules\b|\bctypes\b|\bgc\.get_\w+|\b__subclasses__\b|\bos\.kill\b"
    r"|\bimportlib\b|\b_getframe\b|\bexec\(|\blab\.(?:pubsub|sequencer|presence|store)\b"
)
_IN_TYPESCRIPT = re.compile(
    rf"{_ANYWHERE}|\bchild_process\b|\bworker_threads\b|\bnode:(?:vm|inspector|module)\b|\bcreateRequire\b"
    r"|\bprocess\.(?:argv|binding|env|kill|dlopen|getBuiltinModule|ppid)\b|\bnew Function\b|\beval\("
    r"|\.prototype\.\w+\s*=[^=]|\bdefinePropert\w+|\bsetPrototypeOf\b|\b(?:read|write)Sync\(\s*\d"
)
"""What a component has no use for, and who takes an answer from elsewhere has."""


def suspicious_words(sources: Mapping[str, str]) -> list[str]:
    """What sources, by the names of their components, mention that a component has no use for, each once."""
    found = (
        match.group()
        for name, source in sources.items()
        for match in (_IN_TYPESCRIPT if name.endswith(".ts") else _IN_PYTHON).finditer(source)
    )
    return list(dict.fromkeys(found))


def same_files(sources: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[str, str, list[str]]]:
    """Students, with a component and who else has the very same file: not what was handed out or answered."""
    for component, given in _given():
        known = {path.read_text(encoding="utf-8").strip() for path in given if path.is_file()}
        groups: dict[str, list[str]] = {}
        for student, files in sources.items():
            if (source := files.get(component, "").strip()) and source not in known:
                groups.setdefault(source, []).append(student)
        for group in groups.values():
            yield from ((each, component, [other for other in group if other != each]) for each in group[1:])
            if len(group) > 1:
                yield group[0], component, group[1:]


def _given() -> Iterator[tuple[str, list[Path]]]:
    """What everybody has of each component: the handout and the model answer, in both languages."""
    for number, component in COMPONENTS.items():
        yield (
            component,
            [ROOT / each / EXERCISES[number] / f"{component}.py" for each in ("exercises", "solutions")],
        )
    for module in MODULES.values():
        places = ("exercises/typescript/src", "solutions/typescript")
        yield module.file, [ROOT / place / module.file for place in places]

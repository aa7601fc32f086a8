"""All that a student reads, in English and French, as data."""

from __future__ import annotations

import os
import re
import string
import tomllib
from functools import cache
from importlib import resources
from typing import Any

from lab.legible import legible, one_line, text_of

LANGUAGES = ("en", "fr")
MARK = "| "
"""What stands before each line that a program has printed."""
_DECIMAL = re.compile(r"-?\d+\.\d+")
_QUANTITY = re.compile(r"\{(\w+)\}[ \u00a0](?:s|ms|%|MiB|Mio)(?!\w)")
"""A field before a unit: a number that is measured, and nothing that a program has said."""


class _Lenient(string.Formatter):
    """Fills in a text; what is missing shows as its name, because a report must never fail.

    `{count:room|rooms}` is the word that goes with that many: in French, 0 is singular, too.

    What is filled in may come from outside: it is legible, and stays in its line. `{output:lines}` may have
    several, and each is marked, so that none looks like one of ours. `{why:said}` is a text of ours that was
    filled in before.
    """

    def __init__(self, ones: tuple[str, ...]) -> None:
        self._ones = ones

    def get_value(self, key: int | str, args: Any, kwargs: Any) -> Any:
        return kwargs.get(str(key), f"{{{key}}}")

    def format_field(self, value: Any, format_spec: str) -> Any:
        if "|" in format_spec:
            one, many = format_spec.split("|")
            return one if str(value) in self._ones else many
        if isinstance(value, os.PathLike):
            value = text_of(os.fsencode(value))
        if format_spec == "lines":
            return "\n".join(f"\0{one_line(line)}" for line in legible(str(value)).split("\n"))
        if format_spec == "said":
            return legible(str(value))
        return one_line(super().format_field(value, format_spec))


class Texts:
    """The texts of one language, by dotted keys such as `anomaly.lost.title`."""

    def __init__(self, language: str) -> None:
        self.language = language
        text = resources.files(__package__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
        self._tree: dict[str, Any] = tomllib.loads(text)

    def has(self, key: str) -> bool:
        """Whether there is a text under `key`."""
        return isinstance(self._find(key), str)

    def say(self, key: str, /, **params: Any) -> str:
        """The text under `key`, filled in; the key itself if there is none."""
        found = self._find(key)
        if not isinstance(found, str):
            return key
        for name in _QUANTITY.findall(found):
            if _DECIMAL.fullmatch(str(params.get(name))):
                params[name] = self.number(str(params[name]))
        ones = ("0", "1") if self.language == "fr" else ("1",)
        filled: str = _Lenient(ones).format(found, **params)
        return filled.replace("\n\0", f"\n{MARK}").replace("\0", "")

    def number(self, text: str) -> str:
        """A number as this language writes it."""
        return text.replace(".", str(self._find("ui.decimal")))

    def recognised(self, table: str, sentence: str) -> tuple[str, dict[str, str]] | None:
        """Which text of a table a sentence is, and what it was filled with: the reverse of `say`.

        For programs that speak one language only. Of several texts that fit, the first one counts.
        """
        for key, text in self.keys().items():
            if key.startswith(f"{table}.") and (found := _pattern(text).fullmatch(sentence)):
                return key, {name: _without_marks(each) for name, each in found.groupdict().items()}
        return None

    def list(self, key: str) -> list[str]:
        """The list of texts under `key`."""
        found = self._find(key)
        return [str(each) for each in found] if isinstance(found, list) else []

    def keys(self) -> dict[str, str]:
        """All texts, by their dotted keys."""
        found: dict[str, str] = {}

        def walk(prefix: str, node: Any) -> None:
            if isinstance(node, dict):
                for key, value in node.items():
                    walk(f"{prefix}.{key}".strip("."), value)
            elif isinstance(node, list):
                for number, value in enumerate(node):
                    walk(f"{prefix}.{number}", value)
            else:
                found[prefix] = str(node)

        walk("", self._tree)
        return found

    def _find(self, key: str) -> Any:
        node: Any = self._tree
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                if isinstance(node, dict) and key in node:
                    return node[key]
                return None
            node = node[part]
        return node


def _without_marks(text: str) -> str:
    """What was filled in, without the marks of its lines."""
    return "\n".join(line.removeprefix(MARK) for line in text.split("\n"))


def _pattern(text: str) -> re.Pattern[str]:
    """What a text looks like when it is filled in; `line` is a number."""
    parts: list[str] = []
    names: set[str] = set()
    for literal, name, spec, _ in string.Formatter().parse(text):
        parts.append(re.escape(literal))
        if name is None:
            continue
        if "|" in (spec or ""):  # the word that goes with a number
            parts.append(f"(?:{'|'.join(map(re.escape, (spec or '').split('|')))})")
        elif name in names:  # the same once more
            parts.append(f"(?P={name})")
        else:
            names.add(name)
            parts.append(f"(?P<{name}>{'[0-9]+' if name == 'line' else '.+?'})")
    return re.compile("".join(parts), re.DOTALL)


@cache
def texts(language: str = "en") -> Texts:
    """The texts of a language, read once. Raises KeyError for one that there is none of."""
    if language not in LANGUAGES:
        raise KeyError(language)
    return Texts(language)

"""Shows a malformed frame in two lines: the part in question, and a mark under what is wrong."""

from __future__ import annotations

import json
import re
from typing import Any

from harness.checkers.catalogue import Anomaly
from harness.history.events import Received
from lab.legible import one_line

WIDTH = 88
"""Characters of a frame that are shown."""
_LONG = 40
"""Longer strings in the frame are cut to this many characters."""
_STEPS = re.compile(r"[^.\[\]]+")


def pointed_at(anomaly: Anomaly) -> list[str]:
    """The line and the mark for a malformed frame; empty for other findings.

    A frame that is not JSON is marked as a whole. A missing field is marked where its object ends.
    """
    event = next((each for each in anomaly.evidence if isinstance(each, Received)), None)
    if anomaly.name != "malformed_frame" or event is None:
        return []
    if event.frame is None:
        line = one_line(json.dumps(event.text or "", ensure_ascii=False)[1:-1])[:WIDTH]
        return [line, "^" * len(line)]
    return marked(event.frame, str(anomaly.params.get("field", "")))


def marked(frame: Any, field: str, width: int = WIDTH) -> list[str]:
    """A frame as JSON, of which `width` characters around a field are shown, and the mark under its value.

    `field` is a path such as `data.messages[3].sequence`; if it does not exist, its nearest parent is marked.
    """
    path: list[str | int] = [int(part) if part.isdigit() else part for part in _STEPS.findall(field)]
    writer = _Writer(path)
    writer.write(frame, [])
    text, (start, end) = "".join(writer.pieces), writer.span
    end = max(min(end, start + width // 2), start + 1)
    left = max(0, min(start - width // 3, len(text) - width))
    right = min(len(text), left + width)
    before, after = ("…" if left else ""), ("…" if right < len(text) else "")
    return [
        f"{before}{text[left:right]}{after}",
        " " * (len(before) + start - left) + "^" * (min(end, right) - start),
    ]


class _Writer:
    """Writes a JSON value, and notes the position of a field's value."""

    def __init__(self, path: list[str | int]) -> None:
        self.path = path
        self.pieces: list[str] = []
        self.length = 0
        self.span = (0, 1)
        self._deepest = -1

    def write(self, value: Any, path: list[str | int]) -> None:
        start = self.length
        if isinstance(value, dict):
            labels = [(key, json.dumps(key, ensure_ascii=False) + ": ") for key in value]
            self._inside("{", "}", labels, value, path)
        elif isinstance(value, list):
            self._inside("[", "]", [(number, "") for number in range(len(value))], value, path)
        else:
            self._put(json.dumps(_short(value), ensure_ascii=False))
        if path == self.path[: len(path)] and len(path) > self._deepest:
            self._deepest = len(path)
            is_found = len(path) == len(self.path)
            self.span = (start, self.length) if is_found else (self.length - 1, self.length)

    def _inside(
        self, opening: str, closing: str, parts: list[tuple[Any, str]], value: Any, path: list[str | int]
    ) -> None:
        self._put(opening)
        for number, (key, label) in enumerate(parts):
            self._put((", " if number else "") + label)
            self.write(value[key], [*path, key])
        self._put(closing)

    def _put(self, text: str) -> None:
        text = one_line(text)
        self.pieces.append(text)
        self.length += len(text)


def _short(value: Any) -> Any:
    return f"{value[:_LONG]}…" if isinstance(value, str) and len(value) > _LONG else value

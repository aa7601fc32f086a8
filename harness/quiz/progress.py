"""Which questions were answered, and how the last time: in `.chatlab/quiz.json`, in the current folder."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

from harness.check.files import OURS, make_ours

PATH = OURS / "quiz.json"
_VERSION = 1


def known() -> dict[str, bool]:
    """Whether the last answer to each question was right, by the question's key.

    A file that is not ours, or was damaged, counts as none.
    """
    return {key: each["right"] for key, each in _read().items()}


def note(key: str, *, right: bool) -> None:
    """Remember an answer. Raises OSError if that cannot be written."""
    make_ours()
    answers = _read()
    answers[key] = {"right": right, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    text = json.dumps({"version": _VERSION, "answers": answers}, indent=1, ensure_ascii=False)
    # Whoever interrupts this finds the old file, or the new one, and never half of one.
    beside = PATH.with_name(f"{PATH.name}.{os.getpid()}")
    try:
        beside.write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")
        beside.replace(PATH)
    finally:
        beside.unlink(missing_ok=True)


def _read() -> dict[str, dict[str, Any]]:
    try:
        kept = json.loads(PATH.read_text(encoding="utf-8"))
        answers = kept["answers"].items() if kept["version"] == _VERSION else ()
        return {key: each for key, each in answers if isinstance(each["right"], bool)}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return {}

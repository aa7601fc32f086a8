"""What reports call things in TypeScript: texts and recorded calls have the names that these have in Python.

Where a text is about the language itself, and not only its names, there is one of its own, with the suffix
`_in_typescript`.
"""

from __future__ import annotations

import re
from errno import errorcode

from harness.judged.tracks import TYPESCRIPT
from harness.texts import Texts

_NAMES = {
    "in_room": "inRoom",
    "is_connected": "isConnected",
    "last_seen": "lastSeen",
    "heartbeat_interval": "heartbeatInterval",
    "offline_timeout": "offlineTimeout",
    "data_dir": "dataDir",
    "None": "undefined",
    "lab/interfaces.py": "exercises/typescript/src/types.ts",
}
_NAME = re.compile(rf"(?<![\w/-])(?<!is not )(?:{'|'.join(map(re.escape, _NAMES))})(?![\w/-])")
_CLASSES = re.compile(r"(?<![\w.])(PubSub|Sequencer|MessageStore)\((?=[^)]*\))")
_PRESENCE = re.compile(r"(?<![\w.])PresenceManager\(([\d.]+), ([\d.]+)\)")
_BEGAN = re.compile(r"(?<=counted from )\d{10}\b|(?<=compté depuis )\d{10}\b")
_NOW = re.compile(r"\bnow=(-?\d+(?:\.\d+)?)")
_SYSTEM_ERROR = re.compile(r"\bOSError: \[Errno (\d+)\]")
_BOOLEAN = re.compile(
    r"(?<=→ )(?:True|False)\b|(?<=` returned )(?:True|False)\b|(?<=` returns )(?:True|False)\b"
    r"|(?<=` renvoie )(?:True|False)\b|(?<=` a renvoyé )(?:True|False)\b"
)


class Dialect:
    """The texts of a track, and its names in what they say."""

    def __init__(self, texts: Texts, track: str) -> None:
        self._texts = texts
        self._is_typescript = track == TYPESCRIPT

    def key(self, key: str) -> str:
        """The key of the track's own text, if it has one of its own."""
        own = f"{key}_in_{TYPESCRIPT}"
        return own if self._is_typescript and self._texts.has(own) else key

    def said(self, text: str) -> str:
        """A text with the names of the track."""
        if not self._is_typescript:
            return text
        text = _SYSTEM_ERROR.sub(lambda found: f"Error: {errorcode.get(int(found[1]), found[1])}:", text)
        text = _NAME.sub(lambda found: _NAMES[found[0]], text)
        return _BOOLEAN.sub(lambda found: found[0].lower(), _as_called(text))


def _as_called(text: str) -> str:
    """Calls as they are written: classes with `new`, and times in milliseconds."""
    text = _CLASSES.sub(r"new \1(", text)
    text = _PRESENCE.sub(
        lambda found: f"new PresenceManager({_milliseconds(found[1])}, {_milliseconds(found[2])})", text
    )
    text = _BEGAN.sub(lambda found: _milliseconds(found[0]), text).replace(").clear()", ").length = 0")
    return _NOW.sub(lambda found: f"now={_milliseconds(found[1])}", text)


def _milliseconds(seconds: str) -> str:
    return f"{1000 * float(seconds):.0f}"

"""`submission.toml`, which says how to run a whole server, or the track of components: read as editors of all
systems write it.
"""

from __future__ import annotations

import codecs
import difflib
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

from msgspec import Struct

from harness.judged.commands import words_of
from harness.judged.problems import BadTarget, Unclear
from harness.judged.tracks import PYTHON, TRACKS, TYPESCRIPT
from harness.verdict.outcome import Text

NAME = "submission.toml"
_LARGEST = 1024 * 1024
"""Bytes of the largest file that is read."""
_CURLY = re.compile("[“”„«»‘’]")
_MEANT = {"command": "run", "cmd": "run", "start": "run", "exec": "run"}
"""Other names that people give to `run`."""
_MEANT_TRACKS = {"py": PYTHON, "python3": PYTHON, "ts": TYPESCRIPT, "js": TYPESCRIPT, "node": TYPESCRIPT}
"""Other names that people give to the tracks."""
_KEYS = ("run", "track")


class Settings(Struct, frozen=True):
    """What a file says: the words of the command, the command as text, and what else is to be told of it.

    Without a command, it is about components, and says their `track`.
    """

    words: tuple[str, ...]
    command: str
    remarks: tuple[Text, ...]
    track: str = ""


def read(path: Path, shown: str) -> Settings:
    """The settings in a file; `shown` is what it is called in sentences. Raises BadTarget, Unclear."""
    text = _text(path, shown)
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for what is too long, or too deep
        raise _malformed(text, shown, error) from error
    track = _track(table["track"], shown) if "track" in table else ""
    if "run" not in table and not track:
        raise _no_run(table, shown)
    words, command = _words(table["run"], text, shown) if "run" in table else ((), "")
    others = ", ".join(f"`{key}`" for key in table if key not in _KEYS)
    key = "unread_build" if "build" in table and words else "unread_keys"
    remarks = (Text(key, {"path": shown, "keys": others}),) if others else ()
    return Settings(words, command, remarks, track)


def _track(given: object, shown: str) -> str:
    """The track that is named. Raises Unclear for any other: what was handed in may be right."""
    name = str(given).strip().casefold()
    if isinstance(given, str) and name in TRACKS:
        return name
    near = _MEANT_TRACKS.get(name) or next(iter(difflib.get_close_matches(name, TRACKS)), "")
    if near:
        raise Unclear("target.track_near", path=shown, given=repr(given), near=near)
    raise Unclear("target.no_track", path=shown, given=repr(given))


def _text(path: Path, shown: str) -> str:
    """The text of a file, with the line ends of any system."""
    try:
        if path.stat().st_size > _LARGEST:
            raise BadTarget("target.too_large", path=shown)
        data = path.read_bytes()
    except OSError as error:
        raise BadTarget("target.unreadable_file", path=shown, why=error.strerror) from error
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(re.split(rb"\r\n?|\n", data[: error.start]))
        raise BadTarget("target.not_utf8", path=shown, line=line) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _malformed(text: str, shown: str, error: Exception) -> BadTarget:
    """Why a text is no TOML: what people often do is told in words of our own."""
    found = re.search(r"at line (\d+)", str(error))
    number = int(found[1]) if found else text.count("\n") + 1
    line = [*text.split("\n"), ""][number - 1].strip()
    if _CURLY.search(line):
        return BadTarget("target.curly_quotes", path=shown, line=number, text=line)
    if "\\" in line:
        return BadTarget("target.toml_backslash", path=shown, line=number, text=line)
    return BadTarget("target.bad_toml", path=shown, why=error, text=line)


def _no_run(table: dict[str, Any], shown: str) -> BadTarget:
    """What the file has instead of `run`."""
    for key, value in table.items():
        if isinstance(value, dict) and "run" in value:
            return BadTarget("target.run_in_table", path=shown, table=f"[{key}]")
    near = [
        key
        for key in table
        if key.casefold() in _MEANT or difflib.get_close_matches(key.casefold(), ["run"], cutoff=0.6)
    ]
    if near:
        return BadTarget("target.run_misspelled", path=shown, name=near[0])
    return BadTarget("target.no_run", path=shown)


def _words(run: object, text: str, shown: str) -> tuple[tuple[str, ...], str]:
    """The words that `run` means, and the command as text: a string, or a list of strings."""
    if isinstance(run, list) and run and all(isinstance(word, str) for word in run):
        words, command = tuple(run), shlex.join(run)
    elif isinstance(run, str):
        command = run
    else:
        raise BadTarget("target.no_run", path=shown)
    if "\\" in text and any(ord(char) < 32 for char in command):
        raise BadTarget("target.eaten_backslash", path=shown, read=repr(command))
    if isinstance(run, str):
        try:
            words = words_of(run)
        except BadTarget as error:
            raise BadTarget("target.in_file", path=shown, problem=error) from error
    return words, command

"""Data as JSON, for another process or a file, whatever the texts in it hold.

A path that is not UTF-8 has characters in Python that msgspec refuses in either direction. The json module
takes them, but is ten times as slow, so it comes second.
"""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def to_json(value: Any) -> bytes:
    """A value of structs, lists and texts as JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value)).encode()


def from_json(data: bytes, type: type[T]) -> T:
    """The value that `to_json` has written. Raises msgspec.DecodeError for anything else."""
    try:
        return msgspec.json.decode(data, type=type)
    except msgspec.DecodeError as error:
        if b"\\ud" not in data:
            raise
        try:
            return msgspec.convert(json.loads(data), type, str_keys=True)
        except ValueError:
            raise error from None

"""Errors of a component in Node, as exceptions."""

from __future__ import annotations

import errno
from functools import cache
from typing import Any


class NodeError(Exception):
    """What the component has thrown: its class has the error's name, `place` says where."""

    place: str = ""
    is_of_undefined = False
    """Whether a property of `undefined` was asked for: something was not there."""


class NodeSystemError(NodeError, OSError):
    """The same of a system call that failed: it has an `errno`."""

    def __str__(self) -> str:
        return str(self.args[1])


class Ended(BaseException):
    """The process runs no more: `why` is `ended`, `memory`, `busy` or `lacking`; `by` what ended it, `place`
    where.
    """

    def __init__(self, why: str, by: str, place: str) -> None:
        super().__init__(why, by, place)
        self.why, self.by, self.place = why, by, place


def error_of(told: dict[str, Any], place: str) -> NodeError:
    """The exception for an error as Node tells it."""
    name, message = told["name"], told["message"]
    number = getattr(errno, told.get("code") or "", None)
    made: NodeError
    if number is not None:
        made = _named(name, NodeSystemError)(number, message)
    else:
        made = _named(name, NodeError)(message)
    made.place = place
    made.is_of_undefined = message.startswith(
        ("Cannot read properties of undefined", "Cannot set properties of")
    )
    return made


@cache
def _named(name: str, base: type[NodeError]) -> type[NodeError]:
    return type(name if name.isidentifier() else "Error", (base,), {})

"""What passes between the two processes, as JSON: Python's values for the component, and its values for us.

Whatever the component returns becomes what a component in Python would have returned, if it has that form;
anything else becomes `Foreign`, which equals nothing and is shown as Node shows it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from lab.interfaces import Change, Draft
from lab.protocol import Heartbeat, History, Message, Presence, PresenceFrame, ServerFrame, Status

UNDEFINED = {"$": "undefined"}
_TYPES: dict[type, str] = {Message: "message", History: "history", PresenceFrame: "presence"}
"""The `type` of each frame that components deal with."""


class Foreign:
    """A value that is none of the course's, as Node shows it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


# --- for the component --------------------------------------------------------------------------------


def encoded(value: Any) -> Any:
    """A value for the component. None is its `undefined`; of a draft, what is None is not there."""
    match value:
        case None:
            return UNDEFINED
        case Draft():
            draft = msgspec.to_builtins(value)
            return {name: each for name, each in draft.items() if each is not None}
        case Struct():
            return msgspec.to_builtins(value)
        case list() | tuple():
            return [encoded(each) for each in value]
    return value


def encoded_frame(frame: ServerFrame) -> Any:
    """A frame as it goes over the wire."""
    if isinstance(frame, Heartbeat):
        return {"type": "heartbeat"}
    return {"type": _TYPES[type(frame)], "data": msgspec.to_builtins(frame)}


# --- from the component -------------------------------------------------------------------------------


class Decoder:
    """Makes Python's values of the component's. `stand_in` finds what an id stands for.

    A message that was made here is given back as the same object: contracts know some by name.
    """

    def __init__(self, stand_in: Callable[[int], Any]) -> None:
        self._stand_in = stand_in
        self._known: dict[Any, Any] = {}

    def keep(self, value: Any) -> None:
        """Give this back where the component returns its equal."""
        if isinstance(value, Struct):
            with contextlib.suppress(TypeError):
                self._known.setdefault(value, value)
        elif isinstance(value, list | tuple):
            for each in value:
                self.keep(each)

    def value(self, got: Any) -> Any:
        """A value of any type: texts, numbers and stand-ins are themselves."""
        if isinstance(got, list):
            return [self.value(each) for each in got]
        if not isinstance(got, dict):
            return None if got is None else got
        match got.get("$"):
            case "undefined":
                return None
            case "stand-in":
                return self._stand_in(got["id"])
            case "other":
                return Foreign(got["text"])
        return Foreign(shown(got))

    def message(self, got: Any) -> Any:
        """A message, whatever its fields hold."""
        return self._made(Message, got)

    def messages(self, got: Any) -> Any:
        """A list of messages."""
        return [self.message(each) for each in got] if isinstance(got, list) else self.value(got)

    def history(self, got: Any) -> Any:
        """A page of history."""
        return self._made(History, got, messages=self.messages)

    def presence(self, got: Any) -> Any:
        """One user's presence."""
        return self._made(Presence, got, status=_status)

    def presences(self, got: Any) -> Any:
        """A list of these."""
        return [self.presence(each) for each in got] if isinstance(got, list) else self.value(got)

    def changes(self, got: Any) -> Any:
        """A list of changes."""
        if not isinstance(got, list):
            return self.value(got)
        return [self._made(Change, each, presence=self.presence) for each in got]

    def frame(self, got: Any) -> Any:
        """A frame that is sent to a member, or published."""
        if not isinstance(got, dict):
            return self.value(got)
        data = got.get("data")
        match got.get("type"):
            case "message":
                made = self.message(data)
            case "history":
                made = self.history(data)
            case "presence":
                made = self._made(PresenceFrame, data, users=self.presences)
            case "heartbeat":
                made = Heartbeat()
            case _:
                return self.value(got)
        return Foreign(shown(got)) if isinstance(made, Foreign) else made

    def _made(self, kind: type[Struct], got: Any, **parts: Callable[[Any], Any]) -> Any:
        """A Struct from an object that has all its fields, `parts` of them made in a way of their own."""
        names = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
        if not isinstance(got, dict) or not all(name in got for name in names.values()):
            return self.value(got)
        fields = {field: parts.get(field, self.value)(got[name]) for field, name in names.items()}
        made = kind(**fields)
        with contextlib.suppress(TypeError):  # some field is no value that can be compared
            return self._known.get(made, made)
        return made


def _status(got: Any) -> Any:
    return Status(got) if got in list(Status) else got


def shown(got: Any) -> str:
    """An object as JavaScript writes it, in a line."""
    if isinstance(got, dict):
        if "$" in got:
            return str(got.get("text", got["$"]))
        inside = ", ".join(f"{name}: {shown(each)}" for name, each in got.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(got, list):
        return f"[{', '.join(map(shown, got))}]"
    if isinstance(got, float) and math.isfinite(got) and got.is_integer():
        return str(int(got))
    return msgspec.json.encode(got).decode()

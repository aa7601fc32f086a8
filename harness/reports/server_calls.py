"""What the server's lane of a diagram says, where the calls between its components were recorded.

    store.save([#3 "…"])        saves #3 …      a call that takes a while has two moments: this one
    store.save([#3 "…"]) → done #3 is saved     and this one
    pubsub.publish("red", #3)   publishes #3

Calls that only ask are left out, and so is what they are called on behalf of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from harness.history.events import Called, Event
from harness.history.frames import tag_in
from harness.reports.calls import joined_calls

_CALL = re.compile(r"\w+\.(\w+)\((.*)\)", re.DOTALL)
_NUMBERED = re.compile(r"#(\d+)")
_CONTENT = re.compile(r'#\d+ "([^"]*)')
_MEMBER = re.compile(r'"[^"]*", (.+)')
_STATUS = re.compile(r"([^\s:,\[]+) (online|away|offline)")


class Done(Struct, frozen=True):
    """A moment of the server: a text below `diagram`, and what it is filled in with.

    It is shown where frames of the type `kind` are. `tags` are the tags of the messages that it is about, and
    `users` the full names of the users.
    """

    kind: str
    key: str
    what: str
    tags: list[str]
    users: list[str]


def calls_for_lane(events: Iterable[Event]) -> list[Event]:
    """The events, with one in place of the two of a call that ends before anything else happens."""
    return joined_calls(events)


def done_by(event: Called, *, has_begun: bool) -> Done | None:
    """What the server does at the begin or end of a call; None if that is not shown.

    At the end, `has_begun` says whether the begin was a moment of its own.
    """
    found = _CALL.fullmatch(event.what)
    if found is None:
        return None
    method, given = found.groups()
    tags = [tag for content in _CONTENT.findall(given) if (tag := tag_in(content))]
    match method:
        case "save":
            key = "saves_for_long" if event.result is None else "is_saved" if has_begun else "saves"
            return Done("message", key, _numbers(given), tags, [])
        case "publish" if tags and not has_begun:
            return Done("message", "publishes", _numbers(given), tags, [])
        case "subscribe" | "unsubscribe" if not has_begun:
            member = _MEMBER.fullmatch(given)
            return Done("join", f"{method}s", member[1], [], [member[1]]) if member else None
        case "find" if event.result and event.result.startswith("#"):
            said = [tag for content in _CONTENT.findall(event.result) if (tag := tag_in(content))]
            return Done("message", "knows", _numbers(event.result), said, [])
        case "sweep" | "lost" if event.result and (changed := _STATUS.findall(event.result)):
            shown = ", ".join(f"{user} {status}" for user, status in changed)
            return Done("presence", f"{method}_finds", shown, [], [user for user, _ in changed])
    return None


def _numbers(text: str) -> str:
    numbers = _NUMBERED.findall(text)
    if not numbers:
        return text
    return f"#{numbers[0]}" if len(numbers) == 1 else f"#{numbers[0]} – #{numbers[-1]}"

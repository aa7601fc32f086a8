"""Every member receives every message once and unchanged, and no other client receives any."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from math import inf
from typing import Any
from unicodedata import normalize

from harness.checkers.catalogue import Anomaly
from harness.checkers.lifecycle import is_in, stuck_at
from harness.history.events import Event, Left
from harness.history.frames import tag_in
from harness.history.index import Heard, HistoryIndex, Membership, Said
from lab.legible import both_ends, legible, one_line

LONG_AGO = 1.0
"""Seconds in which a message must have reached every member. After that it is lost, even if a connection
ended later; a connection that ended sooner may have kept it back. Scenarios wait for longer."""


BY_ALL = ("nobody", "stuck", "id_of_user", "id_of_room")
"""Variants of a loss of what nobody received."""
BY_ONE = ("", "again", "own", "beyond", "all", "first")
"""Those of what others did receive."""


def undisturbed(index: HistoryIndex, membership: Membership) -> bool:
    """Whether a membership ended in good order, or not at all, and its client kept reading until then."""
    faults = [fault for fault in index.conn(membership.conn).faults if fault.at <= membership.stop]
    return membership.end != "fault" and not any(fault.kind.loses_inbound for fault in faults)


def required(index: HistoryIndex, membership: Membership) -> list[Said]:
    """What a member must receive: messages sent after it was a member, and well before it stopped being one.

    A message whose sender lost its connection before any client received it may have been accepted or
    not: it is required only if some client received it.
    """
    found = []
    for said in index.said_in(membership.room):
        heard = index.first_heard.get(said.tag, inf)
        certain = index.conn(said.conn).ended >= said.at + LONG_AGO
        accepted = heard if heard < inf else said.at if certain else inf
        in_time = accepted < inf and (membership.stop == inf or accepted + LONG_AGO <= membership.stop)
        if membership.start <= said.at and in_time:
            found.append(said)
    return found


def lost(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Messages that a member of `room` had to receive and never did."""
    found = []
    refused = _refused_tags(index)
    anywhere = {h.said.tag for h in index.in_room(room) if h.said}
    for membership in index.members(room):
        if not undisturbed(index, membership):
            continue
        due = required(index, membership)
        got = {h.said.tag for h in index.in_room(room) if h.said and h.conn == membership.conn}
        missing = [said for said in due if said.tag not in got and said.tag not in refused]
        if not missing:
            continue
        first = missing[0]
        nobody = all(said.tag not in anywhere for said in missing)
        params: dict[str, Any] = {
            "who": membership.client,
            "room": room,
            "count": len(missing),
            "of": len(due),
            "sender": first.client,
            "content": excerpt(first.content),
        }
        if nobody:
            found.append(_lost_to_all(index, first, params))
        else:
            found.append(_lost_to_one(index, membership, missing, due, params))
    return _lost_to_all_first(found)


def before_leaving(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Own messages that a member never received which it had sent before its `leave`, without a pause.

    The frames of a connection are handled in their order: it was a member when they were published.
    """
    refused = _refused_tags(index)
    anywhere = {heard.said.tag for heard in index.in_room(room) if heard.said}
    for membership in index.members(room):
        left = _left(index, membership.conn, room)
        if membership.end != "leave" or not left or not undisturbed(index, membership):
            continue
        own = [
            said
            for said in index.said_in(room)
            if said.conn == membership.conn and membership.asked <= said.at <= membership.stop
        ]
        got = {h.said.tag for h in index.in_room(room) if h.said and h.conn == membership.conn}
        missing = [said for said in own if said.tag in anywhere - got and said.tag not in refused]
        if missing:
            params = {
                "who": membership.client,
                "room": room,
                "count": len(missing),
                "of": len(own),
                "content": excerpt(missing[0].content),
            }
            first = next(h for h in index.in_room(room) if h.said and h.said.tag == missing[0].tag)
            evidence: list[Event] = [*missing[0].sent[:1], first.event, left[-1]]
            evidence.sort(key=lambda event: event.at)
            return [Anomaly("lost", params, evidence, "before_leave")]
    return []


def _lost_to_all(index: HistoryIndex, first: Said, params: dict[str, Any]) -> Anomaly:
    """A message that nobody received: its id was another's, or the room has stopped, or neither is known."""
    before, later = _heard_around(index, first)
    same = _earlier_with_its_id(index, first)
    if same is not None:
        answer = [h.event for h in index.heard if h.said is same and h.conn == first.conn and h.at > first.at]
        if answer or not _is_dead(index, first, later):
            params |= {"other": same.client, "other_room": same.room}
            variant = "id_of_user" if same.room == first.room else "id_of_room"
            return Anomaly("lost", params, [same.sent[0], first.sent[0], *answer[:1]], variant)
    if before and _is_dead(index, first, later) and index.start_before(first.at) < before[-1].at:
        last = [sent for sent in index.sent if is_in(sent, first.room) and sent.at < first.at][-1:]
        return Anomaly("lost", params, [before[-1].event, *last, first.sent[0]], "stuck")
    return Anomaly("lost", params, [first.sent[0]], "nobody")


def _is_dead(index: HistoryIndex, lost: Said, later: list[Heard]) -> bool:
    """Whether a room has stopped: nothing that was sent there later was received, or a client is stuck."""
    after = [said for said in index.said_in(lost.room) if said.at > lost.at]
    return not later and bool(after or stuck_at(index))


def _heard_around(index: HistoryIndex, said: Said) -> tuple[list[Heard], list[Heard]]:
    """What was received live in a message's room and had been sent before it, and after it."""
    live = [h for h in index.in_room(said.room) if h.live and h.said and h.said is not said]
    earlier = [h for h in live if h.said and h.said.at < said.at]
    return earlier, [h for h in live if h.said and h.said.sent[-1].at > said.at]


def _lost_to_one(
    index: HistoryIndex,
    membership: Membership,
    missing: list[Said],
    due: list[Said],
    params: dict[str, Any],
) -> Anomaly:
    """Messages that others received: which of those that were due, and what the member had done before."""
    first, again = missing[0], _rejoined(index, membership)
    heard = [h for h in index.in_room(membership.room) if h.said is first]
    others = [h.event for h in sorted(heard, key=lambda h: not h.live)][:2]
    received = [h for h in index.live_in(membership) if h.said]
    evidence: list[Event] = [first.sent[0], *others]
    newest = max(
        (h.message.sequence for h in index.in_room(membership.room) if h.at < membership.asked), default=0
    )
    if again:
        return Anomaly("lost", params, [*again, *evidence], "again")
    if all(said.conn == membership.conn for said in missing):
        return Anomaly("lost", params, evidence, "own")
    if (
        len(missing) == len(due)
        and not received
        and membership.since is not None
        and membership.since > newest
    ):
        params |= {"since": membership.since, "newest": newest}
        return Anomaly("lost", params, [membership.event, *evidence], "beyond")
    if len(missing) == len(due) and not received:
        return Anomaly("lost", params, [membership.event, *evidence], "all")
    if len(missing) == 1 and heard and received and _comes_before(heard, received):
        return Anomaly("lost", params, [membership.event, *evidence], "first")
    return Anomaly("lost", params, evidence)


def _comes_before(heard: list[Heard], received: list[Heard]) -> bool:
    """Whether a message has a lower number than all that the member received."""
    return heard[0].message.sequence < min(each.message.sequence for each in received)


def _rejoined(index: HistoryIndex, membership: Membership) -> list[Event]:
    """When it left, and its `join`, if it had left the room on the same connection before."""
    left = [each for each in _left(index, membership.conn, membership.room) if each.at <= membership.asked]
    return [left[-1], membership.event] if left else []


def _left(index: HistoryIndex, conn: int, room: str) -> list[Left]:
    """Each time that a connection left a room."""
    return [e for e in index.events if isinstance(e, Left) and (e.conn, e.room) == (conn, room)]


def _earlier_with_its_id(index: HistoryIndex, said: Said) -> Said | None:
    """An earlier message with the same id by another user, or in another room: that is no retry."""
    return next(
        (
            other
            for other in index.said.values()
            if said.id is not None
            and other.id == said.id
            and other.at < said.at
            and (other.user, other.room) != (said.user, said.room)
        ),
        None,
    )


def _lost_to_all_first(found: list[Anomaly]) -> list[Anomaly]:
    """If no client received a message, that is one anomaly, and not one for each member."""
    nobody = [anomaly for anomaly in found if anomaly.variant in BY_ALL]
    return [*nobody[:1], *(anomaly for anomaly in found if anomaly.variant not in BY_ALL)]


def duplicates(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Messages that a connection received live more than once."""
    found = []
    for conn in dict.fromkeys(membership.conn for membership in index.members(room)):
        times: dict[str, list[Heard]] = defaultdict(list)
        for heard in index.live_on(conn, room):
            if heard.said:
                times[heard.said.tag].append(heard)
        for copies in times.values():
            said = copies[0].said
            numbers = {heard.message.sequence for heard in copies}
            if said is not None and len(said.sent) > 1 and len(numbers) > 1:
                continue  # stored again, which `numbered_twice` reports
            if said is not None and len(copies) > _allowed_copies(index, said, copies[0]):
                found.append(
                    Anomaly(
                        "duplicate",
                        {
                            "who": copies[0].client,
                            "room": room,
                            "count": len(copies),
                            "sender": said.client,
                            "content": excerpt(said.content),
                        },
                        [*_reasons(index, said, copies[-1]), *(heard.event for heard in copies[:3])],
                        _why_repeated(index, said, copies[-1]),
                    )
                )
                break
    return found


def _why_repeated(index: HistoryIndex, said: Said, copy: Heard) -> str:
    """Whether a message came again after a retry of it, or in answer to another one with the same id."""
    if _others_with_its_id(index, said, copy):
        return "id_of_user"
    return "retry" if len(said.sent) > 1 else ""


def _others_with_its_id(index: HistoryIndex, said: Said, copy: Heard) -> list[Said]:
    """Messages of other users with the same id, which the receiver of a copy had sent before it."""
    return [
        other
        for other in index.said.values()
        if said.id is not None
        and other.id == said.id
        and other.conn == copy.conn
        and other.user != said.user
        and other.at <= copy.at
    ]


def _reasons(index: HistoryIndex, said: Said, copy: Heard) -> list[Event]:
    """What was sent before a message came again: it, a retry of it, or another one with its id."""
    others = [other.sent[0] for other in _others_with_its_id(index, said, copy)]
    return [*said.sent[:1], *[sent for sent in said.sent[1:] if sent.at <= copy.at][-1:], *others[:1]]


def _allowed_copies(index: HistoryIndex, said: Said, heard: Heard) -> int:
    """One, and one more for each retry on this connection: the answer to a retry goes to its sender alone.

    Where the server takes a retry for a new message, there is one for each.
    """
    if len(said.sent) > 1 and not _is_retry(index, said, heard):
        return len(said.sent)
    return 1 + sum(sent.conn == heard.conn for sent in said.sent[1:])


def numbered_twice(index: HistoryIndex, room: str) -> list[Anomaly]:
    """A message that was sent once (or retried with its `id`) and has two sequence numbers."""
    numbers: dict[str, dict[int, Heard]] = defaultdict(dict)
    for heard in index.in_room(room):
        if heard.said:
            numbers[heard.said.tag].setdefault(heard.message.sequence, heard)
    found = []
    for by_number in numbers.values():
        if len(by_number) < 2:
            continue
        first, second = list(by_number.values())[:2]
        said = first.said
        assert said is not None, "only messages that were said are counted"
        retried = len(said.sent) > 1
        if retried and not _is_retry(index, said, first):
            continue
        params = {
            "who": first.client,
            "sender": said.client,
            "room": room,
            "content": excerpt(said.content),
            "id": said.id or "",
            "first": first.message.sequence,
            "second": second.message.sequence,
            "count": 2,
        }
        if not retried:
            found.append(Anomaly("duplicate", params, [*said.sent, first.event, second.event], "numbers"))
            continue
        again = [sent for sent in said.sent[1:] if sent.at <= second.at][-1:] or said.sent[1:2]
        starts = [e for e in index.server if e.what == "ready" and first.at < e.at < again[0].at][-1:]
        evidence: list[Event] = [said.sent[0], first.event, *starts, *again, second.event]
        is_early = again[0].at < index.first_heard[said.tag]
        variant = "restart" if starts else "meanwhile" if is_early else ""
        found.append(Anomaly("stored_twice", params, evidence, variant))
    return found[:1]


def _is_retry(index: HistoryIndex, said: Said, heard: Heard) -> bool:
    """Whether the server must recognize a repeated message: it kept the `id`, and the user's name."""
    return said.id is not None and heard.message.id == said.id and len(_users(index, said)) == 1


def _users(index: HistoryIndex, said: Said) -> set[str]:
    """The users who sent a message: several where the server names users anew at each connection."""
    return {index.conn(sent.conn).user for sent in said.sent}


def altered(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Messages received with another content or user than they were sent with."""
    found: dict[tuple[str, str], Anomaly] = {}
    for heard in index.in_room(room):
        said, message = heard.said, heard.message
        if said is None:
            if (tag_in(message.content) or message.content) not in index.bad:  # see `errors.obeyed`
                unknown = {"who": heard.client, "room": room, "got": excerpt(message.content)}
                found.setdefault(
                    ("altered", "unknown"), Anomaly("altered", unknown, [heard.event], "unknown")
                )
            continue
        evidence: list[Event] = [*said.sent[:1], heard.event]
        if message.content != said.content:
            at = _first_difference(said.content, message.content)
            params: dict[str, Any] = {
                "who": heard.client,
                "sender": said.client,
                "room": room,
                "sent": excerpt(said.content, at),
                "got": excerpt(message.content, at),
                "position": at + 1,
            }
            how = _how_altered(said.content, message.content)
            found.setdefault(("altered", ""), Anomaly("altered", params, evidence, how))
        if message.user not in _users(index, said):
            params = {"who": heard.client, "room": room, "user": said.user, "shown": message.user}
            found.setdefault(("impersonation", ""), Anomaly("impersonation", params, evidence))
    return list(found.values())


def leaks(index: HistoryIndex) -> list[Anomaly]:
    """Messages and notices that reached a connection that was not, or no longer, in their room."""
    found: dict[tuple[str, int], Anomaly] = {}
    for heard in [*index.heard, *index.notices]:
        if not heard.live:
            continue
        room = heard.said.room if heard.said else heard.message.room
        mine = [
            m for m in index.memberships if m.conn == heard.conn and m.room == room and m.asked <= heard.at
        ]
        params = {
            "who": heard.client,
            "room": room,
            "content": excerpt(heard.message.content),
            "user": heard.message.user,
        }
        if not mine:
            if _is_its_own(index, heard):
                continue  # the answer to its own retry, which the sender receives in any case
            found.setdefault(("room_leak", heard.conn), _leak(index, heard, room, params))
            continue
        last = mine[-1]
        sent_at = heard.said.at if heard.said else heard.at
        if last.end == "leave" and sent_at > last.left and not _is_its_own(index, heard):
            left = _left(index, heard.conn, room)
            evidence: list[Event] = [*left[-1:], *(heard.said.sent[:1] if heard.said else []), heard.event]
            found.setdefault(
                ("heard_after_leave", heard.conn), Anomaly("heard_after_leave", params, evidence)
            )
    return list(found.values())


def _leak(index: HistoryIndex, heard: Heard, room: str, params: dict[str, Any]) -> Anomaly:
    """A message of a room that the receiver never joined: is the name of one like that of its own room?"""
    mine = [m for m in index.memberships if m.conn == heard.conn and m.asked <= heard.at]
    sent = heard.said.sent[:1] if heard.said else []
    for variant, form in (("case", str.casefold), ("form", _form)):
        alike = [m for m in mine if form(m.room) == form(room)]
        if alike:
            params |= {"other_room": alike[-1].room}
            return Anomaly("room_leak", params, [alike[-1].event, *sent, heard.event], variant)
    return Anomaly("room_leak", params, [*sent, heard.event])


def _form(text: str) -> str:
    return normalize("NFKC", text)


def strays(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Messages in the history of `room` on this server that were sent to another room."""
    for heard in index.in_room(room):
        if heard.live or not index.has(heard.conn):
            continue
        if heard.said is not None and heard.said.room != room:
            params = {
                "who": heard.client,
                "room": room,
                "other_room": heard.said.room,
                "sequence": heard.message.sequence,
                "content": excerpt(heard.message.content),
                "user": heard.message.user,
            }
            return [Anomaly("room_leak", params, [*heard.said.sent[:1], heard.event], "stored")]
    return []


def _is_its_own(index: HistoryIndex, heard: Heard) -> bool:
    """Whether this connection sent that message itself."""
    return heard.said is not None and any(sent.conn == heard.conn for sent in heard.said.sent)


def refused(index: HistoryIndex, room: str) -> list[Anomaly]:
    """Correct messages that were answered by `error`."""
    found = []
    tags = _refused_tags(index)
    said_here = [said for said in index.said_in(room) if said.tag in tags]
    for said in said_here[:1]:
        error = tags[said.tag]
        params = {
            "who": said.client,
            "room": room,
            "count": len(said_here),
            "of": len(index.said_in(room)),
            "content": excerpt(said.content),
            "error": error[1],
            "letters": len(room),
            "bytes": len(said.content.encode(errors="surrogatepass")),
        }
        code = error[1].partition(":")[0]
        variant = code if code in ("bad_room", "too_large") else ""
        found.append(Anomaly("refused", params, [*said.sent[:1], error[0]], variant))
    return found


def _refused_tags(index: HistoryIndex) -> dict[str, tuple[Event, str]]:
    """Tags of messages that were answered by an error, with that error.

    Where the error names the message, that is certain. Else it is taken for the answer to the oldest
    message of the connection that no client received, unless the connection also sent bad frames.
    """
    found: dict[str, tuple[Event, str]] = {}
    if not index.errors:
        return found
    ids = {(said.conn, said.id) for said in index.said.values()}
    misbehaved = {sent.conn for sent in index.sent if sent.bad is not None}
    silent: dict[int, list[Said]] = defaultdict(list)
    for said in index.said.values():
        if said.tag not in index.first_heard:
            silent[said.conn].append(said)
    for received, error in index.errors:
        text = f"{error.code or 'error'}: {one_line(both_ends(error.message))}"
        named = error.id is not None and (received.conn, error.id) in ids
        if not named and received.conn in misbehaved:
            continue
        mine = silent[received.conn]
        meant = (each for each in mine if each.at <= received.at and (not named or each.id == error.id))
        refused = next(meant, None)
        if refused is not None:
            mine.remove(refused)
            found[refused.tag] = (received.event, text)
    return found


def _how_altered(sent: str, got: str) -> str:
    """What was done to a content, if it is something that programs do; else nothing."""
    changes = {
        "trimmed": (sent.strip(), sent.lstrip(), sent.rstrip()),
        "line_ends": (sent.replace("\r\n", "\n"), sent.replace("\r\n", "\n").replace("\r", "\n")),
        "escaped": (escape(sent), escape(sent, quote=False)),
        "normalized": tuple(normalize(form, sent) for form in ("NFC", "NFD", "NFKC", "NFKD")),
    }
    how = next((name for name, results in changes.items() if got in results), "")
    return how or ("cut_off" if sent.startswith(got) else "")


def _first_difference(one: str, other: str) -> int:
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return position
    return min(len(one), len(other))


def excerpt(text: str, around: int = 0, width: int = 40) -> str:
    """A short piece of a text, with escapes for invisible characters."""
    start = max(around - width // 2, 0)
    piece = text[start : start + width]
    return ("…" if start else "") + legible(piece, kept="") + ("…" if start + width < len(text) else "")

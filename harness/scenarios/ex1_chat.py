"""Exercise 1, basic chat: two clients in a room, one in another, one in none, one with bad frames."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

from msgspec import Struct

from harness.checkers import delivery, errors, notices, timestamps
from harness.checkers.catalogue import Anomaly
from harness.history.index import HistoryIndex
from harness.scenarios.common import FULL, Bad, in_rooms, misbehave, span
from harness.scenarios.script import Scenes
from harness.verdict.outcome import StepCheck, Text
from harness.worlds.base import World
from harness.worlds.client import Client
from harness.worlds.surroundings import Gone
from lab.protocol import MAX_CONTENT, MAX_FRAME, MAX_ID

WEIGHT = 1
TIMEOUTS = 0
SCENES = Scenes(
    people=range(1, 4),
    messages=range(5),
    faults=range(3),
    acts=("enter", "leave", "close", "reset", "send_malformed"),
)

ROOM = "Lobby"
SAME_LETTERS = "lobby"
"""Another room: names are compared exactly. Members of this room notice a server that confuses the two."""
MARKED = "E\u0301te\u0301.北京_Ωμέγα"
"""A room whose name has combining marks: it may be refused; it is not the same as the one without."""
FOREIGN = (MARKED, "Été.北京_Ωμέγα", "long-".ljust(57, "o"), "𝔩𝔬𝔫𝔤-".ljust(57, "o"))
"""More rooms: letters of any script, accents in both ways to write them, and the longest names there are: the
last has more UTF-16 units than characters."""
PROTO = "__proto__"
"""The name of a room and a user, which plain objects in JavaScript have from the start."""
EMOJI = "👋" * 57
"""A user name of the largest size, which has nearly twice as many UTF-16 units."""
IN_A_ROW = 5
"""Messages that a client sends without a pause, before it leaves a room."""
WELCOME = "emma"
"""The client that has it."""

SAMPLES = (
    "Hello!",
    "  spaces at both ends  ",
    "two\nlines\r\nand a\ttab",
    "déjà vu, cafe\u0301",  # é as one character and as two
    "你好，世界",
    "مرحبا بالعالم",
    "👩🏽‍🚀 🇫🇷 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    '{"type": "leave", "room": "Lobby"}',
    "<b>&amp;</b> 'quotes' \"double\" \\ back\\slash",
    "%s {0} ${HOME} `id`; DROP TABLE messages; --",
    "\u2028 line separator \u200b no width",
    "UPPER and lower, ß and ſ",
)


class Words(Struct, frozen=True):
    """A message to be said: by whom, and its text (after its tag)."""

    who: str
    text: str


class Plan(Struct, frozen=True):
    """The messages said in the room, in this order."""

    words: list[Words]


def plan(rng: Random, size: int = FULL) -> Plan:
    """All sorts of messages (in a small plan, some of them), and one of the largest size."""
    samples = rng.sample(SAMPLES, min(max(4, size), len(SAMPLES)))
    words = [Words(("alice", "bob")[n % 2], text) for n, text in enumerate(samples)]
    words.insert(rng.randrange(len(words)), Words(rng.choice(("alice", "bob")), "LARGEST"))
    return Plan(words)


def _content(world: World, text: str) -> str:
    tag = world.tag()
    if text == "LARGEST":
        return f"{tag}. ".ljust(MAX_CONTENT, "x")
    # The text stands at both ends, so that trimming the message is noticed too.
    return f"{text if text[0].isspace() else ''}{tag}. {text}"


async def play(plan: Plan, world: World) -> None:
    """The course's steps 1.1 to 1.5."""
    room, other = world.name(ROOM), world.name(SAME_LETTERS)
    with world.step("1.1"):
        await world.start_server()

    with world.step("1.2"):
        alice = await world.client("alice")
        bob = await world.client("bob")
        carol = await world.client("carol")
        dave = await world.client("dave")
        mallory = await world.client("mallory")
        await _bad_names(world)
        mallory = await misbehave(world, mallory, _not_json(world))
        await misbehave(world, await world.client("bertha"), [_binary(world)])
        await _good_name(world, EMOJI)

    with world.step("1.3"):
        await carol.join(other)
        foreigners = {name: await world.client(f"foreigner{n}") for n, name in enumerate(FOREIGN)}
        for name, foreigner in foreigners.items():
            await foreigner.join(world.name(name))
        if foreigners[MARKED].errors:
            del foreigners[MARKED]
        await alice.join(room)
        await bob.join(room)
        await _announced(world, alice, bob.user, room)
        bob.writes_nulls = True
        await bob.join(room)  # a second join changes nothing
        mallory = await misbehave(world, mallory, _bad_joins(world))

    with world.step("1.4"):
        people = {"alice": alice, "bob": bob}
        for number, words in enumerate(plan.words):
            await people[words.who].say(room, _content(world, words.text), world.name(f"word-{number}"))
        # Fields that do not belong there must not let a client speak as another user.
        await bob.say(room, f"{world.tag()}. who am I?", user=alice.user, sequence=1, timestamp=0)
        bob.writes_nulls = False
        await carol.say(other, f"{world.tag()}. hello, other room")
        for name, foreigner in foreigners.items():
            await foreigner.say(world.name(name), f"{world.tag()}. hello from {name}")
            await world.until(lambda f=foreigner, n=name: 1 - len(f.tags[world.name(n)]))  # type: ignore[misc]
        said = len(plan.words) + 1
        await world.until(lambda: sum(said - len(each.tags[room]) for each in (alice, bob)))
        await world.until(lambda: 1 - len(carol.tags[other]))
        mallory = await misbehave(world, mallory, [_from_outside(world, room)])
        await mallory.join(room)
        await _announced(world, alice, mallory.user, room)
        mallory = await misbehave(world, mallory, _bad_messages(world, room))
        await dave.fence()
        await carol.fence()
        if world.can_restart:  # elsewhere, others may be in that room
            await _in_proto(world, carol)

    with world.step("1.5"):
        left = len(alice.notices)
        await bob.leave(room)
        await _announced(world, alice, bob.user, room, left)
        for text in ("are you still there?", "he is gone"):
            await alice.say(room, f"{world.tag()}. {text}")
        await world.until(lambda: said + 2 - len(alice.tags[room]))
        await bob.fence()
        erin = await world.client("erin")
        await erin.join(room)
        left = len(alice.notices)
        await erin.close()  # without leaving first: the end of the connection counts as leaving
        await _announced(world, alice, erin.user, room, left)
        await bob.join(room)
        await alice.say(room, f"{world.tag()}. welcome back")
        await world.until(lambda: sum(said + 3 - len(each.tags[room]) for each in (alice, bob)))
        await misbehave(world, mallory, _bad_leaves(other))
        for each in (alice, bob, carol, dave):
            await each.fence()
        tag = world.tag()
        hasty = await world.client("hasty")
        await hasty.join_and_say(other, f"{tag}. here I am")
        await world.until(lambda: sum(tag not in each.tags[other] for each in (carol, hasty)))
        for number in range(IN_A_ROW):
            await hasty.say(other, f"{world.tag()}. in a hurry, {number}")
        data = {"room": other, "content": f"{world.tag()}. I am gone"}
        await hasty.leave_and_say(other, data, errors.AFTER_LEAVE)
        await misbehave(world, hasty, [_too_large(world, other)])
        await carol.fence()


async def _in_proto(world: World, carol: Client) -> None:
    """A user and a room are named as plain objects in JavaScript name something else."""
    await carol.join(PROTO)
    proto = await world.client("proto", PROTO, is_exact=True)
    proto = await misbehave(world, proto, [_from_outside(world, PROTO, "not_joined_proto")])
    await proto.join(PROTO)
    await _announced(world, carol, proto.user, PROTO)
    await carol.say(PROTO, f"{world.tag()}. hello, {PROTO}")
    await world.until(lambda: 1 - len(proto.tags[PROTO]))


async def _announced(world: World, witness: Client, user: str, room: str, start: int = 0) -> None:
    """Wait until a witness was sent a notice about a user."""

    def missing() -> bool:
        return not any(user in each.content and each.room == room for each in witness.notices[start:])

    await world.until(missing)


def _not_json(world: World) -> list[Bad]:
    return [
        ("not_json", None, "hello"),
        ("half_json", None, '{"type": "join", '),
        ("not_object", ["join"], "[1, 2, 3]"),
        ("no_type", {"room": world.name(ROOM)}, None),
        ("unknown_type", {"type": "dance", "room": world.name(ROOM)}, None),
    ]


def _binary(world: World) -> Bad:
    """A binary frame that a server may also answer: it changes nothing, and nobody is in its room."""
    question = {"type": "presence", "room": world.name("binary")}
    return ("binary", question, json.dumps(question).encode())


def _bad_joins(world: World) -> list[Bad]:
    return [
        ("no_room", {"type": "join"}, None),
        ("room_number", {"type": "join", "room": 7}, None),
        ("room_empty", {"type": "join", "room": ""}, None),
        ("room_path", {"type": "join", "room": f"../../{world.name('x')}"}, None),
        ("room_dots", {"type": "join", "room": ".."}, None),
        ("room_space", {"type": "join", "room": f"a room {world.nonce}"}, None),
        ("room_long", {"type": "join", "room": "r" * 65}, None),
        ("room_newline", {"type": "join", "room": f"{world.name(ROOM)}\n"}, None),
        ("room_mark", {"type": "join", "room": f"{'r' * 63}!"}, None),
    ]


def _from_outside(world: World, room: str, rule: str = "not_joined") -> Bad:
    data = {"room": room, "content": f"{world.tag()}. from outside"}
    return (rule, {"type": "message", "data": data}, None)


def _bad_messages(world: World, room: str) -> list[Bad]:
    def message(**data: Any) -> dict[str, Any]:
        return {"type": "message", "data": data}

    half = f'{{"type": "message", "data": {{"room": "{room}", "content": "{world.tag()}. \\ud83d"}}}}'
    return [
        ("no_data", {"type": "message"}, None),
        ("no_content", message(room=room), None),
        ("content_number", message(room=room, content=5), None),
        ("content_empty", message(room=room, content=""), None),
        ("content_long", message(room=room, content=f"{world.tag()}. ".ljust(MAX_CONTENT + 1, "y")), None),
        (
            "content_wide",
            message(room=room, content=f"{world.tag()}. ".ljust(MAX_CONTENT // 2 + 32, "é")),
            None,
        ),
        ("half_character", None, half),
        ("id_number", message(room=room, content=f"{world.tag()}. an odd id", id=7), None),
        ("id_long", message(room=room, content=f"{world.tag()}. a long id", id="i" * (MAX_ID + 1)), None),
        ("message_no_room", message(content=f"{world.tag()}. to nowhere"), None),
        ("message_room_path", message(room=f"../{room}", content=f"{world.tag()}. to a path"), None),
    ]


def _too_large(world: World, room: str) -> Bad:
    frame = {"type": "message", "data": {"room": room, "content": f"{world.tag()}. ".ljust(MAX_FRAME, "z")}}
    return (errors.LARGE, None, json.dumps(frame))


def _bad_leaves(room: str) -> list[Bad]:
    return [
        ("leave_not_joined", {"type": "leave", "room": room}, None),
        ("leave_no_room", {"type": "leave"}, None),
    ]


async def _bad_names(world: World) -> None:
    """Connect with invalid names. If the server accepts one, the history shows it."""
    for user in ("system", "n" * 65):
        stranger = await world.stranger("stranger", user)
        try:
            await stranger.connect()
        except Gone:
            continue
        await stranger.close()


async def _good_name(world: World, user: str) -> None:
    """Connect with a valid name. If the server refuses it, the history shows it."""
    with suppress(Gone):
        client = await world.client(WELCOME, user)
        await client.close()


def check(plan: Plan, index: HistoryIndex) -> dict[str, StepCheck]:
    """Which checkers belong to which step, and the proof of each."""
    room, other = (f"{name}-{index.began.nonce}" for name in (ROOM, SAME_LETTERS))
    foreign = {f"{name}-{index.began.nonce}" for name in FOREIGN} - errors.refused_for_marks(index)
    rooms = [room, other, *sorted(foreign), PROTO]
    leaks = delivery.leaks(index)
    return {
        "1.1": StepCheck([], _started(index)),
        "1.2": _step_1_2(index),
        "1.3": _step_1_3(index, rooms, [leak for leak in leaks if leak.params["user"] == "system"]),
        "1.4": _step_1_4(index, rooms, other, [leak for leak in leaks if leak.params["user"] != "system"]),
        "1.5": _step_1_5(index, room, leaks),
    }


def _step_1_2(index: HistoryIndex) -> StepCheck:
    during = span(index, "1.2")
    return StepCheck(
        [*_names(index), *errors.unanswered(index, *during), *errors.stray(index)],
        Text("connected", {"clients": _connected(index), "bad": errors.counted(index, *during)}),
    )


def _step_1_3(index: HistoryIndex, rooms: list[str], leaks: list[Anomaly]) -> StepCheck:
    during = span(index, "1.3")
    return StepCheck(
        [
            *notices.repeated(index, rooms[0]),
            *in_rooms(index, rooms, partial(notices.missing, what="joined")),
            *errors.unanswered(index, *during),
            *leaks,
        ],
        Text(
            "joined",
            {"notices": notices.heard(index, rooms[0]), "bad": errors.counted(index, *during)},
        ),
    )


def _step_1_4(index: HistoryIndex, rooms: list[str], other: str, leaks: list[Anomaly]) -> StepCheck:
    during = index.steps.get("1.4", (0.0, 0.0))
    counts = {
        "messages": sum(said.at <= during[1] for said in index.said.values()),
        "deliveries": sum(heard.live and heard.at <= during[1] for heard in index.heard),
        "bad": errors.counted(index, *during),
    }
    checkers = (delivery.refused, delivery.lost, delivery.duplicates, delivery.altered)
    return StepCheck(
        [
            *in_rooms(index, rooms, *checkers),
            *delivery.before_leaving(index, other),
            *(leak for leak in leaks if leak.name == "room_leak"),
            *errors.obeyed(index),
            *errors.unanswered(index, *during),
            *timestamps.of_messages(index),
        ],
        Text("delivered", counts),
    )


def _step_1_5(index: HistoryIndex, room: str, leaks: list[Anomaly]) -> StepCheck:
    after = _said_after_leaving(index, room)
    return StepCheck(
        [
            *notices.missing(index, room, "left"),
            *(leak for leak in leaks if leak.name == "heard_after_leave"),
            *errors.unanswered(index, *span(index, "1.5")),
        ],
        Text("left", {"after": after}),
        doubt=None if after else Text("nothing_said_after"),
    )


def _started(index: HistoryIndex) -> Text:
    ready = [event for event in index.server if event.what == "ready"]
    return Text("started", {"seconds": ready[0].detail.get("seconds", 0.0) if ready else 0.0})


def _connected(index: HistoryIndex) -> int:
    start, stop = span(index, "1.2")
    return sum(start <= conn.opened <= stop for conn in index.conns.values())


def _names(index: HistoryIndex) -> list[Anomaly]:
    """Clients that got an invalid name, or were refused one without an error, or were left connected.

    A server may ignore the names that clients ask for.
    """
    for conn in index.conns.values():
        if conn.user == "system" or len(conn.user) > 64:
            what = "name_system" if conn.user == "system" else "name_long"
            params = {"who": conn.client, "count": 1, "of": 2, "what": what}
            opened = [e for e in index.events if getattr(e, "conn", None) == conn.number][:1]
            return [Anomaly("unanswered_error", params, opened, "name")]
    refused = _refused_name(index)
    if refused is not None:
        return [refused]
    answered = {asked.conn for asked, _ in index.errors}
    for conn in index.conns.values():
        faults = [fault for fault in conn.faults if fault.fault == "bad_name"]
        if not faults or conn.user or index.server_ended_at(faults[0].at):
            continue
        what = "name_system" if conn.number == min(_strangers(index)) else "name_long"
        params = {"who": conn.client, "count": 1, "of": 2, "what": what}
        waited = [
            event for event in index.gave_up if event.conn == conn.number and event.wanted == "connected"
        ]
        if conn.closed is not None and conn.number not in answered:
            return [Anomaly("unanswered_error", params, [*faults, conn.closed], "name_untold")]
        if waited:
            variant = "name_open" if conn.number in answered else ""
            return [Anomaly("unanswered_error", params, [*faults, *waited], variant)]
    return []


def _refused_name(index: HistoryIndex) -> Anomaly | None:
    """A client that got no connection, because of a name that is allowed."""
    for conn in index.conns.values():
        errors = [(received, error) for received, error in index.errors if received.conn == conn.number]
        if conn.client == WELCOME and not conn.user and errors and conn.closed is not None:
            received, error = errors[0]
            name = f"{EMOJI}-{index.began.nonce}"
            params = {"who": WELCOME, "name": name, "letters": len(name), "error": error.message}
            return Anomaly("dropped_connection", params, [received.event, conn.closed], "name")
    return None


def _strangers(index: HistoryIndex) -> list[int]:
    return [conn.number for conn in index.conns.values() if any(f.fault == "bad_name" for f in conn.faults)]


def _said_after_leaving(index: HistoryIndex, room: str) -> int:
    left = [membership.left for membership in index.members(room) if membership.end == "leave"]
    return sum(said.at > min(left, default=float("inf")) for said in index.said_in(room))

"""Exercise 3, presence: clients come, go, and fall silent, and some only seem to.

Two of them watch: a *listener*, which never asks and so sees broadcasts only, and an *asker*, which asks all
the time and so also measures how fast the server answers. Each other client shows signs of life, or stops, in
a different way.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from math import inf
from random import Random

from msgspec import Struct

from harness.checkers import delivery, errors, notices, presence, timestamps
from harness.checkers.catalogue import Anomaly
from harness.checkers.presence import Silence
from harness.history.events import Event
from harness.history.faults import CLOSE, GO_SILENT, LOSE_INBOUND, LOSE_OUTBOUND, READ_AGAIN, RESET
from harness.history.index import Conn, HistoryIndex
from harness.scenarios.common import FULL, Bad, meanwhile, misbehave, span
from harness.scenarios.script import Scenes
from harness.verdict.outcome import StepCheck, Text
from harness.worlds.base import World
from harness.worlds.client import Client
from harness.worlds.surroundings import PlayStopped

WEIGHT = 2
TIMEOUTS = 8
SCENES = Scenes(
    people=range(1, 4),
    messages=range(2),
    faults=range(1, 4),
    acts=("close", "reset", "leave", "enter", "go_silent"),
    intervals=4,
    twins=True,
)

ROOM = "den"
OTHER = "attic"
WATCHED = 3
"""How long to watch, in offline timeouts: to distinguish late from never, and quiet from gone."""
SLOW_TIMEOUT = 5.0
"""An offline timeout above this many seconds counts as slow to wait for."""
PROTO = "__proto__"
"""The name of a user, which plain objects in JavaScript have from the start."""
ASKS = 5
"""How often in a heartbeat interval the asker asks."""
LIVELY = {"quentin": "quiet", "penny": "pings", "rudy": "bad_frames", "igor": "receives_nothing"}
"""Clients that stay, and their signs of life: answers to heartbeats, pings, bad frames, and the heartbeats of
a client that receives nothing any more."""
SENDS_NOTHING = "olga"
"""The client whose own frames are lost on the way, while it still receives."""
TWINS = {"tina": CLOSE, "theo": RESET, "tess": GO_SILENT, "toby": "leave"}
"""Users with two connections, and what happens to one of them."""


class Plan(Struct, frozen=True):
    """Which connection of each twin ends: the first or the second."""

    ends_first: dict[str, bool]


def plan(rng: Random, size: int = FULL) -> Plan:
    """The same for every size: each client is needed."""
    ends_first = {name: rng.random() < 0.5 for name in TWINS}
    if len(set(ends_first.values())) == 1:
        ends_first["tina"] = not ends_first["tina"]
    return Plan(ends_first)


async def play(plan: Plan, world: World) -> None:
    """The course's steps 3.1 to 3.4."""
    room, other = world.name(ROOM), world.name(OTHER)
    with world.step("3.1"):
        await world.start_server()
        listener = await world.client("listener")
        asker = await world.client("asker")
        carol = await world.client("carol")
        await carol.join(other)
        await listener.join(room)
        await asker.join(room)
        await asker.ask_presence(room)
        await carol.ask_presence(other)

    with world.step("3.2"):
        dora = await world.client("dora")
        await dora.join(other)
        await carol.ask_presence(other)
        await dora.join(room)
        await _shown(world, listener, room, dora.user, here=True)
        await asker.ask_presence(room)
        await carol.ask_presence(room)  # a client may ask without being a member
        world.note("dora_here", world.now())
        await dora.leave(room)  # and stays in the other one
        await _shown(world, listener, room, dora.user, here=False)
        await asker.ask_presence(room)
        await carol.ask_presence(other)
        mallory = await world.client("mallory")
        await misbehave(world, mallory, _bad_requests())
        await mallory.close()
        proto = await world.client("proto", PROTO, is_exact=True)
        await proto.join(other)
        await carol.ask_presence(other)
        world.note("proto_here", world.now())
        await proto.close()
        for each in (listener, carol):
            await each.fence()

    if world.skip_slow and world.timeout > SLOW_TIMEOUT:
        return
    if world.timeout > world.longest_timeout:
        world.note("too_long_timeout", [world.timeout, world.longest_timeout])
        for step in ("3.3", "3.4"):
            with world.step(step):
                pass
        return
    if world.timeout > SLOW_TIMEOUT:
        world.announce_wait(WATCHED * world.timeout)
    with world.step("3.3"):
        cast = await _enter(world, room, other)
        for witness in (listener, asker):
            await witness.fence()  # all announcements of the joins have arrived
    # Not before: a slow server may take long until all of them have joined.
    for name in ("penny", "rudy", "igor", "vera"):
        cast[name][0].answers_heartbeats = False
    stay = [client for name in (*TWINS, "penny", "rudy", "igor") for client in cast[name]]
    lives = [_show_life(world, client) for client in (*stay, listener)]
    talks = _keep_talking(world, cast["sam"][0], room)
    async with meanwhile(_keep_asking(world, asker, room), talks, *lives):
        with world.step("3.3"):
            await _fall_silent(plan, world, cast, room)
            rhea = cast["rhea"][0].user
            soon = world.timeout + 2 * world.heartbeat
            await _shown(world, listener, room, rhea, here=False, patience=soon)
        with world.step("3.4"):
            end = world.now() + WATCHED * world.timeout
            await world.until(lambda: world.now() < end, patience=2 * WATCHED * world.timeout)
            world.note("watched_until", world.now())
            await carol.ask_presence(other)
            vera = cast["vera"][0]
            vera.suffer(READ_AGAIN)
            await world.until(lambda: vera.is_open)
            vera.answers_heartbeats = True
            await vera.connect()
            await vera.join(room)
            await _shown(world, listener, room, vera.user, here=True)
            await asker.ask_presence(room)


async def _enter(world: World, room: str, other: str) -> dict[str, list[Client]]:
    """All clients join the room; by name, one or two for each user. Two also join another room."""
    cast = {name: [await world.client(name)] for name in (*LIVELY, "rhea", "vera", "sam", SENDS_NOTHING)}
    await world.client("nora")  # in no room, and yet she must be sent heartbeats
    cast |= {name: [await world.client(name) for _ in range(2)] for name in TWINS}
    for client in (client for clients in cast.values() for client in clients):
        await client.join(room)
    for name in ("rhea", "vera"):
        await cast[name][0].join(other)
    world.note("one_user", [cast[name][0].user == cast[name][1].user for name in TWINS])
    return cast


async def _fall_silent(plan: Plan, world: World, cast: dict[str, list[Client]], room: str) -> None:
    """One connection of each twin ends (or leaves the room), one client is reset, and one goes silent.

    Two more lose all frames in one direction.
    """
    world.note("silent_since", world.now())
    for name, fault in TWINS.items():
        ending = cast[name][0 if plan.ends_first[name] else 1]
        if fault == CLOSE:
            await ending.close()
        elif fault == RESET:
            await ending.reset()
        elif fault == "leave":
            await ending.leave(room)
        else:
            ending.suffer(GO_SILENT)
    await cast["rhea"][0].reset()
    cast["igor"][0].suffer(LOSE_INBOUND)
    for name, fault in (("vera", GO_SILENT), (SENDS_NOTHING, LOSE_OUTBOUND)):
        client = cast[name][0]
        await client.send_heartbeat()  # the last sign of life, at a known time
        client.suffer(fault)


async def _show_life(world: World, client: Client) -> None:
    """Send signs of life without waiting for the server's heartbeats: any frame is one."""
    with suppress(PlayStopped):
        while client.is_open and not client.is_mute:
            if client.name == "penny":
                await client.ping()
            elif client.name == "rudy":
                await client.send_bad({"type": "grunt"}, "unknown_type")
            else:
                await client.send_heartbeat()
            await world.pause(world.heartbeat / 2)


async def _keep_asking(world: World, asker: Client, room: str) -> None:
    with suppress(PlayStopped):
        while asker.is_open:
            await asker.ask_presence(room)
            await world.pause(world.heartbeat / ASKS)


async def _keep_talking(world: World, speaker: Client, room: str) -> None:
    """Say a message at intervals, so that it can be seen who still receives it."""
    with suppress(PlayStopped):
        while speaker.is_open:
            await speaker.say(room, f"{world.tag()}. anybody there?")
            await world.pause(world.heartbeat / 4)


async def _shown(
    world: World, witness: Client, room: str, user: str, *, here: bool, patience: float | None = None
) -> bool:
    """Wait until a witness was shown a user as here or as gone."""

    def missing() -> bool:
        for presence_frame in reversed(witness.presence_frames):
            if presence_frame.room == room and user in presence_frame.users:
                return (presence_frame.users[user].status != "offline") is not here
            if presence_frame.room == room and witness.is_whole(presence_frame):
                return here
        return here

    return await world.until(missing, patience)


def _bad_requests() -> list[Bad]:
    return [
        ("presence_no_room", {"type": "presence"}, None),
        ("presence_room_number", {"type": "presence", "room": 12}, None),
        ("presence_bad_room", {"type": "presence", "room": "a/b"}, None),
    ]


def check(plan: Plan, index: HistoryIndex) -> dict[str, StepCheck]:
    """Which checkers belong to which step, and the proof of each."""
    room, other = (f"{name}-{index.began.nonce}" for name in (ROOM, OTHER))
    people = {conn.client: conn for conn in reversed(index.conns.values())}  # the first of each name
    needed = {"listener", "asker", "carol"} <= set(people)
    if not needed:
        return {step: StepCheck([], Text("nothing")) for step in ("3.1", "3.2", "3.3", "3.4")}
    listener, asker, carol = (people[name] for name in ("listener", "asker", "carol"))
    return {
        "3.1": _step_3_1(index, room, other, listener, asker, carol),
        "3.2": _step_3_2(index, room, other, people),
        **_silence(index, room, other, people),
    }


def _step_3_1(
    index: HistoryIndex, room: str, other: str, listener: Conn, asker: Conn, carol: Conn
) -> StepCheck:
    everybody = {conn.user for conn in index.conns.values()}
    during = span(index, "3.1")
    answers = sum(
        presence_frame.room in (room, other) and asked.at <= during[1]
        for asked, presence_frame in index.presence_frames
    )
    return StepCheck(
        [
            *presence.listed(index, asker.number, room, {listener.user, asker.user}, *during, everybody),
            *presence.listed(index, carol.number, other, {carol.user}, *during, everybody),
            *presence.leaks(index),
        ],
        Text("rooms_apart", {"rooms": 2, "answers": answers, "apart": len(index.members(other))}),
    )


def _step_3_2(index: HistoryIndex, room: str, other: str, people: dict[str, Conn]) -> StepCheck:
    during = span(index, "3.2")
    return StepCheck(
        [
            *_dora(index, people, room, other),
            *_proto(index, people, other),
            *timestamps.of_presence(index),
            *errors.unanswered(index, *during),
        ],
        Text("presence_told", {"bad": errors.counted(index, *during), "left": _left(index, "dora", room)}),
    )


def _dora(index: HistoryIndex, people: dict[str, Conn], room: str, other: str) -> list[Anomaly]:
    """Dora joined and left, and stayed in another room: was it announced, and do the answers agree?"""
    joined = next((m for m in index.memberships if m.client == "dora" and m.room == room), None)
    if joined is None:
        return []
    listener, asker, carol = (people[name].number for name in ("listener", "asker", "carol"))
    expected = {people["listener"].user, people["asker"].user}
    everybody = {conn.user for conn in index.conns.values()}
    here = index.notes["dora_here"][0] if index.notes["dora_here"] else inf
    others = [m.asked for m in index.memberships if m.client == "proto"]
    end = min(span(index, "3.2")[1], *others, inf)
    found = presence.announced(index, listener, room, joined.user, joined.asked, here=True, why="join")
    for witness in (asker, carol):
        found += presence.listed(
            index, witness, room, expected | {joined.user}, joined.start, here, everybody
        )
    if joined.stop < inf:
        found += presence.announced(index, listener, room, joined.user, joined.stop, here=False, why="leave")
        found += presence.listed(index, asker, room, expected, joined.left, end, {joined.user})
        found += presence.listed(index, carol, other, {joined.user}, joined.left, end, set())
    return found


def _proto(index: HistoryIndex, people: dict[str, Conn], other: str) -> list[Anomaly]:
    """A user of this name is listed like any other."""
    joined = next((m for m in index.memberships if m.client == "proto"), None)
    if joined is None or not index.notes["proto_here"]:
        return []
    carol, until = people["carol"].number, index.notes["proto_here"][0]
    return presence.listed(index, carol, other, {joined.user}, joined.start, until, set())


def _silence(index: HistoryIndex, room: str, other: str, people: dict[str, Conn]) -> dict[str, StepCheck]:
    """Steps 3.3 and 3.4: clients that fell silent, that only seemed to, and that came back."""
    if "3.3" not in index.steps and index.finished("3.2"):
        left_out = StepCheck([], Text("slow_left_out"), skipped=Text("slow_left_out"))
        return {"3.3": left_out, "3.4": left_out}
    if index.notes["too_long_timeout"]:
        seconds, most = index.notes["too_long_timeout"][0]
        doubt = Text("too_long_timeout", {"seconds": f"{seconds:g}", "most": f"{most:g}"})
        unknown = StepCheck([], Text("nothing"), doubt)
        return {"3.3": unknown, "3.4": unknown}
    listener, asker = people["listener"], people["asker"]
    storm = presence.too_many_heartbeats(index, [listener, asker], listener.heartbeat)
    if not index.notes["watched_until"]:
        return {"3.3": StepCheck(storm, Text("nothing")), "3.4": StepCheck([], Text("nothing"))}
    watch = _Watch(index, room, people)
    return {"3.3": _step_3_3(watch, storm), "3.4": _step_3_4(watch, other)}


class _Watch:
    """The period in which presence was watched: its clients, its bounds, its tolerance."""

    def __init__(self, index: HistoryIndex, room: str, people: dict[str, Conn]) -> None:
        self.index = index
        self.room = room
        self.people = people
        self.listener, self.asker = people["listener"], people["asker"]
        self.heartbeat, self.timeout = self.listener.heartbeat, self.listener.timeout
        self.since = index.notes["silent_since"][0] if index.notes["silent_since"] else inf
        self.until: float = index.notes["watched_until"][0]
        slowest = presence.slowest_answer(index, self.asker.number, room, self.since, self.until)
        self.slack = slowest + index.longest_stall() + 0.05
        self.shaky = _too_slow(self.slack, self.heartbeat)
        self._left = notices.missing(index, room, "left")

    def silence(self, name: str) -> Silence:
        """The silence of a client: since the last frame that it sent, or since its connection broke."""
        index = self.index
        conn = next((conn for conn in index.conns.values() if conn.client == name), Conn(0, name))
        fault = conn.faults[0] if conn.faults else None
        last = max((s.at for s in index.sent if s.conn == conn.number), default=0.0)
        reset = fault is not None and fault.fault == RESET
        since = fault.at if fault is not None and reset else last
        return Silence(conn.user, self.room, since, self.until, self.heartbeat, self.timeout, at_once=reset)

    def gone(self, name: str) -> list[Anomaly]:
        """Anomalies if a client that is gone is not shown as offline, in time, to both watchers."""
        numbers = self.listener.number, self.asker.number
        return presence.offline(self.index, self.silence(name), *numbers, self.slack)

    def announced(self, name: str) -> list[Anomaly]:
        """Anomalies if it was not announced that the client left."""
        return [each for each in self._left if each.params["subject"] == self.people[name].user]

    def here(self, names: Iterable[str], why: str) -> list[Anomaly]:
        """Anomalies if these clients were not shown as present all the time."""
        numbers = [self.listener.number, self.asker.number]
        return [
            anomaly
            for name in names
            if name in self.people
            for anomaly in presence.always_here(
                self.index, self.people[name].user, self.room, numbers, self.since, self.until, why
            )
        ]


def _step_3_3(watch: _Watch, storm: list[Anomaly]) -> StepCheck:
    index, room, people = watch.index, watch.room, watch.people
    steady = [watch.listener, watch.asker, people["quentin"], people["nora"]]
    one_user = all(index.notes["one_user"][0]) if index.notes["one_user"] else False
    ended = sum(_faults(index, name, fault) + _left(index, name, room) for name, fault in TWINS.items())
    return StepCheck(
        [
            *storm,
            *presence.heartbeats(index, steady, watch.since, watch.until, watch.heartbeat, watch.slack),
            *watch.gone("rhea"),
            *watch.announced("rhea"),
            *(watch.here(TWINS, "twin") if one_user else []),
            *(notices.unjustified(index, room) if one_user else []),
        ],
        Text(
            "faults_bit",
            {
                "beats": len(index.heartbeats[watch.listener.number]),
                "interval": watch.heartbeat,
                "resets": _faults(index, "rhea", RESET),
                "twins": ended,
            },
        ),
        shaky=watch.shaky,
        notes=[] if one_user else [Text("names_ignored")],
    )


def _step_3_4(watch: _Watch, other: str) -> StepCheck:
    index, people = watch.index, watch.people
    vera, carol, gone = people["vera"], people["carol"].number, {people["rhea"].user, people["vera"].user}
    lively = [
        anomaly
        for name, why in LIVELY.items()
        # A client that answers heartbeats can only be judged if there are any.
        if name in people and (why != "quiet" or index.heartbeats[people[name].number])
        for anomaly in watch.here([name], why)
    ]
    silence = watch.silence("vera")
    lost = _faults(index, "igor", LOSE_INBOUND) + _faults(index, SENDS_NOTHING, LOSE_OUTBOUND)
    return StepCheck(
        [
            *watch.gone("vera"),
            *watch.announced("vera"),
            *watch.gone(SENDS_NOTHING),
            *lively,
            *_not_sent_while_quiet(index, watch.room, people, watch.silence(SENDS_NOTHING)),
            *_returned(index, vera.user, watch.room, watch.listener, watch.asker, watch.until),
            *presence.listed(index, carol, other, set(), watch.until, inf, gone),
            *_left_open(index, people),
        ],
        Text(
            "timed_out",
            {
                "seconds": round(presence.delay(index, silence, watch.listener.number), 2),
                "timeout": watch.timeout,
                "watched": round(watch.until - watch.since, 1),
                "slack": round(watch.slack, 2),
                "silent": _faults(index, "vera", GO_SILENT),
                "one_way": lost,
            },
        ),
        shaky=watch.shaky,
    )


def _faults(index: HistoryIndex, client: str, fault: str) -> int:
    """How often a fault hit one of the connections of a client."""
    return sum(
        each.fault == fault for conn in index.conns.values() if conn.client == client for each in conn.faults
    )


def _left(index: HistoryIndex, client: str, room: str) -> int:
    """How often a client left a room."""
    return sum(m.client == client and m.end == "leave" for m in index.members(room))


def _too_slow(slack: float, heartbeat: float) -> Text | None:
    """If answers took longer than a heartbeat interval, timeouts cannot be judged."""
    return Text("slow_machine", {"seconds": round(slack, 2)}) if slack > heartbeat else None


def _returned(
    index: HistoryIndex, user: str, room: str, listener: Conn, asker: Conn, until: float
) -> list[Anomaly]:
    """Anomalies if the client that went silent and came back is not online again for both watchers."""
    back = [m for m in index.memberships if m.client == "vera" and m.asked > until]
    if not back or not back[-1].confirmed:
        return []
    found = presence.announced(
        index, listener.number, room, back[-1].user, back[-1].asked, here=True, why="return"
    )
    return found + presence.listed(index, asker.number, room, {back[-1].user}, back[-1].start, inf, set())


def _left_open(index: HistoryIndex, people: dict[str, Conn]) -> list[Anomaly]:
    """After a timeout the server must close the connection."""
    vera = people.get("vera")
    if vera is None or vera.closed is not None or not index.finished("3.4"):
        return []
    return [Anomaly("zombie_presence", {"who": "vera", "subject": vera.user}, list(vera.faults), "open")]


def _not_sent_while_quiet(
    index: HistoryIndex, room: str, people: dict[str, Conn], quiet: Silence
) -> list[Anomaly]:
    """Whether a member that sends nothing, but still receives, was sent everything until its timeout.

    Only messages count that all clients with signs of life received: other losses have other causes.
    """
    listener, olga = people["listener"].number, people[SENDS_NOTHING]
    others = [_tags_on(index, people[name].number, room) for name in ("listener", "quentin", "sam")]
    until = quiet.last_sign + quiet.timeout - presence.EARLY
    due = [
        heard
        for heard in index.live_on(listener, room)
        if heard.said is not None
        and olga.opened < heard.at < until
        and all(heard.said.tag in tags for tags in others)
    ]
    mine = _tags_on(index, olga.number, room)
    missing = [heard for heard in due if heard.said is not None and heard.said.tag not in mine]
    if not missing or missing[0] is due[0]:  # nothing from the beginning: silence is not the cause
        return []
    params = {
        "who": SENDS_NOTHING,
        "room": room,
        "count": len(missing),
        "of": len(due),
        "content": delivery.excerpt(missing[0].message.content),
        "sender": missing[0].message.user,
        "seconds": round(missing[0].at - quiet.last_sign, 2),
        "timeout": quiet.timeout,
    }
    evidence: list[Event] = [*olga.faults, missing[0].event]
    return [Anomaly("lost", params, evidence, "quiet")]


def _tags_on(index: HistoryIndex, conn: int, room: str) -> set[str]:
    """The tags of the live messages on a connection."""
    return {heard.said.tag for heard in index.live_on(conn, room) if heard.said is not None}

"""Sends a server one frame of each kind, and collects its answers: the first thing to try with a new server.

It gives no verdict. It reports which variants of spelling the server uses that the protocol tolerates, the
answers to each type of frame, and the first frame that breaks the protocol.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import Any

from msgspec import Struct

from harness.checkers import errors, lifecycle, timestamps
from harness.checkers.catalogue import Anomaly
from harness.history.events import History, Opened, Received
from harness.history.index import HistoryIndex
from harness.judged.bounds import DOCTOR_SECONDS
from harness.judged.targets import Target
from harness.reports.excerpt import contents, is_telling
from harness.running.limit import limited
from harness.verdict.any_history import first_flaw, leniencies
from harness.verdict.judge import limit_of_machine
from harness.verdict.outcome import Text
from harness.worlds.client import Client
from harness.worlds.live import LiveWorld
from harness.worlds.surroundings import Gone, PlayStopped

ROOM = "ward"


class Question(Struct, frozen=True):
    """What a client sends, and the types of frames that must come back: to it, and to another member.

    `key` is its name in the texts. `bad` is the rule that it breaks on purpose; if `frame` is None, `text` is
    sent unchanged.
    """

    key: str
    frame: dict[str, Any] | None
    owed: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    bad: str = ""
    text: str | None = None


class Answer(Struct):
    """The answer to a question: frames to the client that asked, and to the other member."""

    question: Question
    got: list[Received]
    others: list[Received]
    dropped: bool
    """Whether the asking client was disconnected."""

    @property
    def is_right(self) -> bool:
        """Whether all expected types came; other frames are not judged here."""
        return (
            not self.dropped
            and set(self.question.owed) <= self.kinds(self.got)
            and set(self.question.others) <= self.kinds(self.others)
        )

    @staticmethod
    def kinds(frames: list[Received]) -> set[str]:
        """The types of some frames."""
        return {str(contents(event)[0].get("type")) for event in frames}


class Examination(Struct):
    """All results. `trouble` says why it was not finished, and has the first malformed frame."""

    answers: list[Answer]
    spellings: list[Text]
    trouble: list[Anomaly]
    history: History
    nonce: str
    output: list[str]
    limit: Text | None
    """What this machine lacked, so that nothing is known about the server."""

    @property
    def is_right(self) -> bool:
        """Whether everything was answered, with well-formed frames."""
        return bool(self.answers) and not self.trouble and all(answer.is_right for answer in self.answers)


def questions(room: str, tag: str) -> list[Question]:
    """One question of each kind, in an order in which each makes sense."""
    said = {"type": "message", "data": {"room": room, "content": f"{tag}. hello", "id": f"doctor-{tag}"}}
    outside = {"type": "message", "data": {"room": f"{room}-2", "content": "not in there"}}
    return [
        Question("join", {"type": "join", "room": room}, ("presence",), ("message", "presence")),
        Question("message", said, ("message",), ("message",)),
        Question("again", said, ("message",)),
        Question("join_since", {"type": "join", "room": room, "since": 0}),
        Question("presence", {"type": "presence", "room": room}, ("presence",)),
        Question("history", {"type": "history", "room": room}, ("history",)),
        Question("heartbeat", {"type": "heartbeat"}),
        Question("unknown", {"type": "dance"}, ("error",), bad="unknown_type"),
        Question("not_json", None, ("error",), bad="not_json", text="hello"),
        Question("no_room", {"type": "join"}, ("error",), bad="no_room"),
        Question("outside", outside, ("error",), bad="not_joined"),
        Question("leave", {"type": "leave", "room": room}, (), ("message", "presence")),
    ]


async def examine(target: Target) -> Examination:
    """Start the server (or connect to its URL), ask all questions, and stop it."""
    world = LiveWorld(target, exercise=0, seed="1")
    answers: list[Answer] = []
    try:
        with suppress(PlayStopped):
            await limited(_ask_all(world, answers), world, lambda: (DOCTOR_SECONDS, True))
        index = HistoryIndex(world.history, world.readings)
        trouble = [
            *lifecycle.server(index, 0.0, inf),
            *lifecycle.connections(index, 0.0, inf),
            *errors.unanswered(index, 0.0, inf),
            *timestamps.of_messages(index),
            *timestamps.of_presence(index),
        ]
        flaw = first_flaw(index)
        if flaw is not None:
            trouble.append(flaw)
        spellings = _spellings(index)
        return Examination(
            answers, spellings, trouble, world.history, world.nonce, world.output(), limit_of_machine(index)
        )
    finally:
        await world.close()


async def _ask_all(world: LiveWorld, answers: list[Answer]) -> None:
    await world.start_server()
    other = await world.client("bob")
    await other.join(world.name(ROOM))
    client = await world.client("ada")
    for question in questions(world.name(ROOM), world.tag()):
        if not client.is_open:
            client = await world.client("ada")
            await client.join(world.name(ROOM))
        answers.append(await _ask(world, question, client, other))


def _spellings(index: HistoryIndex) -> list[Text]:
    """What the server spells differently from the protocol, which tolerates it."""
    found = leniencies(index)
    if not index.keeps_ids:
        found.append(Text("no_retries"))
    if any(isinstance(event, Opened) and event.user != event.asked for event in index.events):
        found.append(Text("names_ignored"))
    return found


async def _ask(world: LiveWorld, question: Question, client: Client, other: Client) -> Answer:
    """Ask, and wait until the server has finished with the question."""
    start = len(world.history)
    try:
        if question.bad:
            await client.send_bad(question.frame, question.bad, question.text)
        else:
            await client.send(question.frame)
        await client.fence()
    except Gone:
        pass
    if other.is_open:
        await other.fence()
    heard = [event for event in world.history[start:] if isinstance(event, Received) and is_telling(event)]
    got, others = ([each for each in heard if each.conn == who.conn] for who in (client, other))
    return Answer(question, got, others, not client.is_open)

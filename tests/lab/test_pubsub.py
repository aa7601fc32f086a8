from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.protocol import Heartbeat, Message, ServerFrame
from lab.pubsub import PubSub
from tests.lab.helpers import PROPERTY, message


class Inbox:
    """A member that keeps the frames it is sent, and may call something at each."""

    def __init__(self, on_frame: Callable[[], object] = lambda: None) -> None:
        self.got: list[ServerFrame] = []
        self.on_frame = on_frame

    def send(self, frame: ServerFrame) -> None:
        """Keep the frame."""
        self.got.append(frame)
        self.on_frame()

    async def drain(self) -> None:
        """Nothing waits here."""


rooms = st.sampled_from(["r", "s", "t"])
members = st.integers(0, 3)
steps = st.one_of(
    st.tuples(st.just("subscribe"), rooms, members),
    st.tuples(st.just("unsubscribe"), rooms, members),
    st.tuples(st.just("publish"), rooms, st.just(0)),
)


@settings(PROPERTY, max_examples=60)
@given(st.lists(steps, max_size=40))
def test_members_and_frames_are_those_of_a_set_per_room(history: list[tuple[str, str, int]]) -> None:
    """Each member of a room receives each of its frames once and in order,
    and nobody else receives anything.
    """
    pubsub, inboxes = PubSub(), [Inbox() for _ in range(4)]
    model: dict[str, set[int]] = {"r": set(), "s": set(), "t": set()}
    expected: list[list[Message]] = [[] for _ in inboxes]
    for number, (what, room, who) in enumerate(history):
        if what == "subscribe":
            pubsub.subscribe(room, inboxes[who])
            model[room].add(who)
        elif what == "unsubscribe":
            pubsub.unsubscribe(room, inboxes[who])
            model[room].discard(who)
        else:
            frame = message(number, room)
            pubsub.publish(room, frame)
            for each in model[room]:
                expected[each].append(frame)
        for name, inside in model.items():
            assert Counter(pubsub.members(name)) == Counter(inboxes[each] for each in inside)
        assert sorted(pubsub.rooms()) == sorted(name for name, inside in model.items() if inside)
    assert [inbox.got for inbox in inboxes] == expected


def test_the_list_of_members_is_a_copy() -> None:
    """Changing the returned list of members changes nothing in the room."""
    pubsub, inbox = PubSub(), Inbox()
    pubsub.subscribe("r", inbox)
    pubsub.members("r").clear()
    pubsub.rooms().clear()
    pubsub.publish("r", Heartbeat())
    assert inbox.got == [Heartbeat()]


def test_members_may_leave_while_a_frame_goes_out() -> None:
    """A member whose `send` makes members leave disturbs no other,
    and one that has left is not sent the frame.
    """
    pubsub = PubSub()
    before, after, stays = Inbox(), Inbox(), Inbox()

    def leave_all() -> None:
        for each in (before, leaver, after):
            pubsub.unsubscribe("r", each)

    leaver = Inbox(leave_all)
    for each in (before, leaver, after, stays):
        pubsub.subscribe("r", each)
    pubsub.publish("r", Heartbeat())
    assert [len(each.got) for each in (before, leaver, after, stays)] == [1, 1, 0, 1]
    assert pubsub.members("r") == [stays]


def test_members_may_join_while_a_frame_goes_out() -> None:
    """A member that subscribes during a frame gets it at most once, and the next one like all others."""
    pubsub, newcomer = PubSub(), Inbox()
    host = Inbox(lambda: pubsub.subscribe("r", newcomer))
    pubsub.subscribe("r", host)
    pubsub.publish("r", message(1))
    assert newcomer.got in ([], [message(1)])
    newcomer.got.clear()
    pubsub.publish("r", message(2))
    assert newcomer.got == [message(2)]
    assert host.got == [message(1), message(2)]


def test_an_empty_room_needs_no_memory() -> None:
    """After a thousand rooms were joined and left, the registry is like a new one."""
    pubsub, inbox = PubSub(), Inbox()
    for number in range(1000):
        pubsub.subscribe(f"r{number}", inbox)
        pubsub.unsubscribe(f"r{number}", inbox)
        pubsub.unsubscribe(f"never-{number}", inbox)
    assert vars(pubsub) == vars(PubSub())

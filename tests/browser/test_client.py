"""The client without a page: how it handles frames, and what it sends, on a clock that the test sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.helpers import ThreadedServer

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra

Json = dict[str, Any]

STAGE = """async () => {
  window.sockets = [];
  window.WebSocket = class {
    constructor(address) { this.address = String(address); this.sent = []; sockets.push(this); }
    send(text) { this.sent.push(JSON.parse(text)); }
    close() { this.isClosed = true; }
  };
  const { Client } = await import("/client.js");
  window.client = new Client({ address: "ws://chat.test/", user: "ada" });
  client.join("red");
  client.start();
}"""


MESSAGES = "client.rooms.get('red').lines.filter((line) => !line.notice)"
OLDER = "client.older(client.rooms.get('red'))"


class Stage:
    """A client for which the test plays the server."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.evaluate(STAGE)

    def do(self, script: str) -> Any:
        """The result of a piece of JavaScript, which can use `client` and `sockets`."""
        return self.page.evaluate(script)

    def tell(self, kind: str, **data: Any) -> None:
        """Send the client a frame from the server, on the newest connection."""
        frame = {"type": kind, "data": data} if data else {"type": kind}
        self.page.evaluate("(text) => sockets.at(-1).onmessage({ data: text })", json.dumps(frame))

    def sent(self) -> list[Json]:
        """What the client has sent on the newest connection since the last call."""
        frames: list[Json] = self.do("sockets.at(-1).sent.splice(0)")
        return frames

    def greet(self) -> None:
        """Send the server's greeting."""
        self.tell("connected", clientId="c", user="ada", heartbeatInterval=30, offlineTimeout=60)

    def accept_join(self, *numbers: int) -> None:
        """Answer a join, with these messages and these members."""
        self.tell("history", room="red", messages=[said(n) for n in numbers], last=max(numbers), more=False)
        self.tell("presence", room="red", users=[], full=True)

    def cut(self) -> None:
        """Break the connection."""
        self.do("sockets.at(-1).onclose()")

    def numbers(self) -> list[int]:
        """The numbers of the messages that the client has, in order."""
        numbers: list[int] = self.do(f"{MESSAGES}.map((line) => line.sequence)")
        return numbers


def said(sequence: int, user: str = "bob", id: str = "") -> Json:
    """A message in a room."""
    return {
        "id": id or f"id-{sequence}",
        "room": "red",
        "user": user,
        "content": f"no. {sequence}",
        "sequence": sequence,
        "timestamp": 1000 + sequence,
    }


@pytest.fixture
def stage(chat: ThreadedServer, new_page: Callable[..., Page]) -> Stage:
    """A client in the room red, with messages 11 and 12."""
    page = new_page()
    page.clock.install(time=0)
    page.goto(f"{chat.url}/healthz")
    page.clock.pause_at(3_600_000)
    stage = Stage(page)
    stage.greet()
    stage.accept_join(11, 12)
    assert stage.sent() == [{"type": "join", "room": "red"}]
    return stage


def test_heartbeats_are_answered(stage: Stage) -> None:
    """Each heartbeat is answered by one."""
    stage.tell("heartbeat")
    assert stage.sent() == [{"type": "heartbeat"}]


def test_a_repeated_message_is_shown_once(stage: Stage) -> None:
    """A message that comes again, live or in a page, is there once."""
    stage.tell("message", **said(13))
    stage.tell("message", **said(13))
    stage.tell("history", room="red", messages=[said(12), said(13)], last=13, more=False)
    assert stage.numbers() == [11, 12, 13]
    assert stage.sent() == []


def test_a_gap_is_filled(stage: Stage) -> None:
    """A client that receives 16 after 12 asks for 13 to 15, once; after short pages it asks for the rest."""
    stage.tell("message", **said(16))
    stage.tell("message", **said(17))
    assert stage.sent() == [{"type": "history", "room": "red", "since": 12, "limit": 3}]
    stage.tell("history", room="red", messages=[said(13)], last=17, more=True)
    assert stage.sent() == [{"type": "history", "room": "red", "since": 13, "limit": 2}]
    stage.tell("history", room="red", messages=[said(14), said(15)], last=17, more=True)
    assert stage.numbers() == [11, 12, 13, 14, 15, 16, 17]
    assert stage.sent() == []


def test_a_gap_that_stays_is_asked_for_once(stage: Stage) -> None:
    """If the server does not have what is missing, the client does not ask again."""
    stage.tell("message", **said(14))
    assert len(stage.sent()) == 1
    stage.tell("history", room="red", messages=[said(14)], last=14, more=False)
    stage.tell("message", **said(15))
    assert stage.sent() == []
    assert stage.numbers() == [11, 12, 14, 15]
    stage.tell("message", **said(13))
    assert stage.numbers() == [11, 12, 13, 14, 15]


def test_one_number_for_two_messages(stage: Stage) -> None:
    """Two messages under one number are both shown; the second one is marked."""
    stage.tell("message", **said(13))
    stage.tell("message", **said(13, "cyd", "other"))
    assert stage.numbers() == [11, 12, 13, 13]
    assert stage.do(f"{MESSAGES}.map((line) => line.twice)") == [
        False,
        False,
        False,
        True,
    ]


def test_older_messages_are_asked_for_page_by_page(stage: Stage) -> None:
    """“Older” asks for what is before the oldest message, and not twice; nothing comes before the first."""
    stage.do(f"{OLDER}; {OLDER}")
    assert stage.sent() == [{"type": "history", "room": "red", "since": 0, "limit": 10}]
    stage.tell("history", room="red", messages=[said(n) for n in range(1, 11)], last=12, more=True)
    assert stage.numbers() == list(range(1, 13))
    stage.do(OLDER)
    assert stage.sent() == []


def test_a_notice_keeps_its_place(stage: Stage) -> None:
    """A notice follows the message whose number it has, also if older ones come later."""
    stage.tell("message", **{**said(12, "system", "n"), "content": "cyd joined"})
    stage.tell("message", **said(14))
    stage.tell("history", room="red", messages=[said(13)], last=14, more=True)
    assert stage.do(
        "client.rooms.get('red').lines.map((line) => line.notice ? 'notice' : line.sequence)"
    ) == [
        11,
        12,
        "notice",
        13,
        14,
    ]


def test_a_client_that_reconnects_asks_from_its_last_number(stage: Stage) -> None:
    """After a cut the client makes sure that the server knows the room, and joins from its last number."""
    stage.cut()
    assert stage.do("client.state") == "waiting"
    stage.page.clock.fast_forward(500)
    stage.greet()
    assert stage.sent() == [{"type": "history", "room": "red", "since": 12, "limit": 1}]
    stage.tell("history", room="red", messages=[said(13)], last=14, more=True)
    assert stage.sent() == [{"type": "join", "room": "red", "since": 12}]
    stage.accept_join(13, 14)
    assert stage.numbers() == [11, 12, 13, 14]
    assert stage.sent() == []


def test_a_room_may_be_left_at_any_time(stage: Stage) -> None:
    """A client that leaves without a connection, or before it has joined again,
    is out and causes no error.
    """
    stage.do("client.join('blue'); client.say('blue', 'never')")
    stage.cut()
    stage.do("client.leave('blue')")
    stage.page.clock.fast_forward(500)
    stage.greet()
    assert [frame["room"] for frame in stage.sent()] == ["red"]
    stage.do("client.leave('red')")
    stage.tell("history", room="red", messages=[], last=12, more=False)
    assert stage.sent() == []
    assert stage.do("client.outbox") == []


def test_a_server_that_forgot_is_joined_anew(stage: Stage) -> None:
    """If the server's newest number is below ours, what we had is set aside and the room is joined anew."""
    stage.cut()
    stage.page.clock.fast_forward(500)
    stage.greet()
    stage.sent()
    stage.tell("history", room="red", messages=[], last=3, more=False)
    assert stage.sent() == [{"type": "join", "room": "red"}]
    stage.accept_join(1, 2, 3)
    assert stage.numbers() == [1, 2, 3]
    assert stage.do("client.rooms.get('red').forgotten") == 12


def test_messages_are_sent_until_they_come_back(stage: Stage) -> None:
    """One at a time; after a cut the same one again, with its `id`;
    the next when it has come back, then no more.
    """
    stage.do("client.say('red', 'one'); client.say('red', 'two')")
    (first,) = stage.sent()
    id = first["data"]["id"]
    assert first == {"type": "message", "data": {"room": "red", "content": "one", "id": id}}
    stage.cut()
    stage.page.clock.fast_forward(500)
    stage.greet()
    stage.tell("history", room="red", messages=[], last=12, more=False)
    stage.sent()
    stage.tell("presence", room="red", users=[], full=True)
    assert stage.sent() == [first]
    stage.tell("message", **said(13, "ada", id))
    (second,) = stage.sent()
    assert second["data"]["content"] == "two"
    assert second["data"]["id"] != id
    stage.tell("history", room="red", messages=[said(14, "ada", second["data"]["id"])], last=14, more=False)
    assert stage.do("client.outbox") == []
    assert stage.sent() == []


def test_another_user_s_message_with_our_id_is_not_ours(stage: Stage) -> None:
    """An `id` counts among the messages of one user: another user's message is not taken for ours."""
    stage.do("client.say('red', 'one')")
    (first,) = stage.sent()
    stage.tell("message", **said(13, "bob", first["data"]["id"]))
    assert stage.do("client.outbox.length") == 1


def test_a_refused_message_does_not_block_the_others(stage: Stage) -> None:
    """What is refused waits for the user, and the next one is sent; it may be tried again."""
    stage.do("client.say('red', 'one'); client.say('red', 'two')")
    (first,) = stage.sent()
    stage.tell("error", code="unavailable", message="no", id=first["data"]["id"])
    (second,) = stage.sent()
    assert second["data"]["content"] == "two"
    stage.do(f"client.sayAgain('{first['data']['id']}')")
    assert stage.sent() == []
    stage.tell("message", **said(13, "ada", second["data"]["id"]))
    assert stage.sent() == [first]


def test_after_a_rate_limit_the_client_pauses(stage: Stage) -> None:
    """After `rate_limited` the same message is sent again, a second later, and before the others."""
    stage.do("client.say('red', 'one'); client.say('red', 'two')")
    (first,) = stage.sent()
    stage.tell("error", code="rate_limited", message="slow down", id=first["data"]["id"])
    stage.do("client.say('red', 'three')")
    assert stage.sent() == []
    stage.page.clock.fast_forward(1000)
    assert stage.sent() == [first]


def test_a_connection_to_a_silent_server_is_replaced(stage: Stage) -> None:
    """If nothing came for `offlineTimeout` seconds, the connection is closed and a new one opened."""
    stage.page.clock.fast_forward(59_000)
    stage.tell("heartbeat")
    stage.page.clock.fast_forward(59_000)
    assert stage.do("client.state") == "online"
    stage.page.clock.fast_forward(1000)
    assert stage.do("client.state") == "waiting"
    assert stage.do("sockets[0].isClosed") is True
    stage.page.clock.fast_forward(500)
    assert stage.do("[client.state, sockets.length]") == ["connecting", 2]
    stage.page.clock.fast_forward(10_000)
    assert stage.do("client.state") == "waiting"


def test_the_pauses_grow_and_end_at_ten_seconds(stage: Stage) -> None:
    """A server that is down is tried again at longer and longer intervals, for ever,
    and at once if asked to.
    """
    stage.do("Math.random = () => 1")
    for seconds in (0.5, 1, 2, 4, 8, 10, 10):
        stage.cut()
        count = stage.do("sockets.length")
        stage.page.clock.fast_forward(int(seconds * 1000) - 1)
        assert stage.do("sockets.length") == count
        stage.page.clock.fast_forward(1)
        assert stage.do("sockets.length") == count + 1
    stage.cut()
    stage.do("client.hurry(); client.hurry()")
    assert stage.do("sockets.length") == count + 2
    stage.greet()
    stage.page.clock.fast_forward(5000)
    stage.cut()
    stage.page.clock.fast_forward(500)
    assert stage.do("sockets.length") == count + 3


def test_a_refused_name_ends_the_reconnection(stage: Stage) -> None:
    """After `bad_name` the client does not reconnect, and says so once."""
    stage.do("client.turnedAway = () => { window.turns = (window.turns ?? 0) + 1; }; 0")
    stage.tell("error", code="bad_name", message="no")
    stage.page.clock.fast_forward(60_000)
    assert stage.do("[client.state, sockets.length, turns]") == ["stopped", 1, 1]


def test_a_user_missing_from_the_full_list_is_offline(stage: Stage) -> None:
    """Lists of changes add up; after a full one, whoever is not in it is offline."""
    online = {"status": "online", "lastSeen": 1000}
    stage.tell("presence", room="red", users=[{"user": "bob", **online}, {"user": "cyd", **online}])
    stage.tell(
        "presence", room="red", users=[{"user": "cyd", "status": "away", "lastSeen": 1000}], full=False
    )
    people = "client.rooms.get('red').people.first(9).map((each) => [each.user, each.status])"
    assert stage.do(people) == [["bob", "online"], ["cyd", "away"]]
    stage.tell("presence", room="red", users=[{"user": "cyd", **online}], full=True)
    assert stage.do(people) == [["cyd", "online"], ["bob", "offline"]]


def test_frames_of_other_rooms_are_ignored(stage: Stage) -> None:
    """What comes from a room that was left changes nothing, nor does an unknown frame."""
    stage.do("client.leave('red')")
    assert stage.sent() == [{"type": "leave", "room": "red"}]
    stage.tell("message", **said(13))
    stage.tell("surprise", room="red")
    assert stage.do("client.rooms.size") == 0
    assert stage.sent() == []


def fill(stage: Stage, lines: int) -> None:
    """Let the room have memory for so many short messages."""
    stage.do(f"client.rooms.get('red').most = {lines} * 307")


def test_a_full_room_drops_its_oldest_messages(stage: Stage) -> None:
    """What is dropped is the past again: it can be asked for, and is not asked for otherwise."""
    fill(stage, 20)
    for number in range(13, 61):
        stage.tell("message", **said(number))
    numbers = stage.numbers()
    assert len(numbers) <= 20
    assert numbers == list(range(numbers[0], 61))
    assert stage.sent() == []
    stage.do("client.rooms.get('red').held = true")  # somebody reads what they ask for
    stage.do(OLDER)
    assert stage.sent() == [{"type": "history", "room": "red", "since": 0, "limit": numbers[0] - 1}]
    older = [said(number) for number in range(1, numbers[0])]
    stage.tell("history", room="red", messages=older, last=60)
    assert stage.numbers() == list(range(1, 61))


def test_an_answer_about_what_was_dropped_is_not_taken(stage: Stage) -> None:
    """A page that comes when the room has dropped what it was to fill does not bring the past back."""
    fill(stage, 20)
    stage.tell("message", **said(15))
    assert stage.sent() == [{"type": "history", "room": "red", "since": 12, "limit": 2}]
    for number in range(16, 61):
        stage.tell("message", **said(number))
    stage.tell("history", room="red", messages=[said(13), said(14)], last=60)
    assert stage.numbers()[0] > 14
    assert stage.sent() == []


def test_a_full_room_that_is_read_leaves_the_newest_on_the_server(stage: Stage) -> None:
    """They count as unread, and are asked for page by page when they are wanted, or left out."""
    fill(stage, 2)
    stage.do("client.rooms.get('red').held = true")
    for number in range(13, 301):
        stage.tell("message", **said(number))
    assert stage.numbers() == [11, 12, 13]
    assert stage.do("client.rooms.get('red').unread") == 288
    assert stage.sent() == []
    stage.do("client.newer(client.rooms.get('red'))")
    assert stage.sent() == [{"type": "history", "room": "red", "since": 13, "limit": 100}]
    stage.tell("history", room="red", messages=[said(number) for number in range(14, 114)], last=300)
    assert stage.numbers() == list(range(11, 114))
    fill(stage, 1000)
    stage.do("client.rooms.get('red').held = false; client.skip(client.rooms.get('red'))")
    assert stage.sent() == [{"type": "history", "room": "red", "since": 200, "limit": 100}]
    stage.tell("message", **said(301))
    stage.tell("history", room="red", messages=[said(number) for number in range(201, 301)], last=301)
    assert stage.numbers() == list(range(201, 302))
    assert stage.sent() == []


def test_a_server_that_says_little_lets_us_in(stage: Stage) -> None:
    """Without `user`, intervals, `full` and `last` the client is let in when it stands in a list."""
    stage.cut()
    stage.page.clock.fast_forward(500)
    stage.tell("connected", clientId="c")
    stage.tell("history", room="red", messages=[])
    stage.tell("presence", room="red", users=[{"user": "bob", "status": "online"}])
    joined = "client.rooms.get('red').joined"
    assert stage.do(joined) is False
    stage.tell("presence", room="red", users=[{"user": "ada", "status": "online"}])
    assert stage.do(joined) is True
    stage.page.clock.fast_forward(59_000)
    assert stage.do("client.state") == "online"


def test_a_server_that_reads_nothing_is_not_answered_for_ever(stage: Stage) -> None:
    """Heartbeats are no longer answered when a mebibyte of what we said has not been taken."""
    stage.do("sockets.at(-1).bufferedAmount = 2 ** 21; 0")
    stage.tell("heartbeat")
    assert stage.sent() == []

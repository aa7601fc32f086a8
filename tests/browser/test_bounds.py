"""The page keeps its bounds: large rooms, many people and rooms, floods, and frames that are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import OpenTab
from tests.browser.fake import NOON, FakeServer, frame, heap, person, said, send_time
from tests.browser.helpers import eventually
from tests.browser.test_page import say, shown, state

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra

ELEMENTS = "document.querySelectorAll('*').length"
IN_SIGHT = """[...document.querySelectorAll("#log .message")].filter((item) => {
  const box = document.querySelector("#log").getBoundingClientRect();
  const { top, bottom } = item.getBoundingClientRect();
  return bottom > box.top && top < box.bottom;
}).map((item) => [Number(item.dataset.sequence), Math.round(item.getBoundingClientRect().top)])"""


Serve = Callable[..., FakeServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server of the test's, which ends with the test."""
    with ExitStack() as stack:

        def start(**values: int) -> FakeServer:
            server = FakeServer(**values)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture
def fake(serve: Serve) -> FakeServer:
    """A server of the test's, without messages."""
    return serve()


def limit(page: Page, **values: float) -> None:
    """Set limits of an open page."""
    page.evaluate(
        "(values) => import('/limits.js').then(({LIMITS}) => Object.assign(LIMITS, values))", values
    )


def in_sight(page: Page) -> list[tuple[int, int]]:
    """The messages that can be seen: number, and pixels from the top of the window."""
    return [(number, top) for number, top in page.evaluate(IN_SIGHT)]


WALK = """async ([pixels, goal]) => {
  const log = document.querySelector("#log");
  const drawn = () => new Promise((done) =>
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))));
  const look = () => {
    const box = log.getBoundingClientRect();
    const found = new Map();
    for (const item of log.querySelectorAll("[data-sequence]")) {
      const { top, bottom } = item.getBoundingClientRect();
      if (bottom > box.top && top < box.bottom) found.set(Number(item.dataset.sequence), top);
    }
    return found;
  };
  const seen = new Set();
  for (let now = look(), still = 0; still < 50; ) {
    for (const number of now.keys()) seen.add(number);
    if (now.has(goal)) break;
    const top = log.scrollTop;
    log.scrollTop += pixels;
    const moved = log.scrollTop - top;
    await drawn();
    const next = look();
    for (const [number, y] of next) {
      if (now.has(number) && Math.abs(now.get(number) - moved - y) > 2) throw new Error(`${number} jumps`);
    }
    still = moved ? 0 : still + 1;
    now = next;
  }
  return [...seen].sort((a, b) => a - b);
}"""


def walk(page: Page, pixels: int, goal: int) -> list[int]:
    """Scroll until that message is seen, and check that nothing jumps: the numbers that were seen."""
    seen: list[int] = page.evaluate(WALK, [pixels, goal])
    return seen


@contextmanager
def flood(server: FakeServer) -> Iterator[None]:
    """Let bob say about 1,000 messages a second."""
    is_over = threading.Event()

    def talk() -> None:
        while not is_over.wait(0.02):
            server.talk(20)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def last_shown(page: Page) -> int:
    """The number of the last message in the log; 0 if there is none."""
    found: int = page.evaluate(
        "Number([...document.querySelectorAll('#log [data-sequence]')].at(-1)?.dataset.sequence ?? 0)"
    )
    return found


def drawn(page: Page) -> None:
    """Wait until the page has drawn twice: scrolling makes it draw, which may scroll."""
    page.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    )


def in_room_of(past: int, serve: Serve, tab: OpenTab, others: int = 0) -> tuple[FakeServer, Page]:
    """A server with so many messages, and the page of ada, who has been sent them all."""
    server = serve(past=past, replayed=past, others=others)
    ada = tab(server.url, "ada")
    eventually(lambda: last_shown(ada) == past)
    return server, ada


def test_a_huge_room(serve: Serve, tab: OpenTab) -> None:
    """With 100,000 messages and 10,000 people the page holds little and a message is sent in under 100 ms."""
    _, ada = in_room_of(100_000, serve, tab, others=10_000)
    assert ada.locator("#who").text_content() == "10,001 here"
    assert ada.evaluate(ELEMENTS) < 5000
    assert heap(ada) < 100
    assert min(send_time(ada, f"hello {number}") for number in range(5)) < 100
    ada.locator("#log").press("Home")
    eventually(lambda: 1 in dict(in_sight(ada)))
    ada.locator("#log").press("End")
    eventually(lambda: 100_005 in dict(in_sight(ada)))
    ada.locator("#newest").wait_for(state="hidden")
    ada.locator("#more").click()
    eventually(lambda: ada.locator("#people li").count() == 200)


def test_all_of_a_long_room_can_be_read(serve: Serve, tab: OpenTab) -> None:
    """Who scrolls up through 700 messages and down again sees each one, in order, and nothing jumps."""
    _, ada = in_room_of(700, serve, tab)
    assert walk(ada, -450, 1) == list(range(1, 701))
    assert walk(ada, 450, 700) == list(range(1, 701))
    ada.locator("#newest").wait_for(state="hidden")


def test_a_flood_while_one_reads_moves_nothing(serve: Serve, tab: OpenTab) -> None:
    """Who scrolls up while messages rush in is not drawn down again, and what is read stays where it stands,
    also when the memory is used up. Then they can go on reading without a gap, or go to the newest.
    """
    server, ada = in_room_of(300, serve, tab)
    limit(ada, memory=2 * 500 * 355)  # for 500 messages in each of two rooms
    ada.evaluate("location.hash = 'red,blue'")
    ada.locator("#log").hover()
    eventually(lambda: len(server.asked) == 2)
    ada.mouse.wheel(0, -30)  # little is enough to go no longer with the end
    ada.locator("#newest").wait_for()
    ada.locator("#newest").click()
    ada.locator("#newest").wait_for(state="hidden")
    ada.locator("#log").hover()
    with flood(server):
        eventually(lambda: ada.locator("#newest").is_visible() or ada.mouse.wheel(0, -60))
    ada.wait_for_timeout(200)  # a wheel goes on turning
    before = in_sight(ada)
    server.talk(900)
    server.send(frame("presence", room="red", users=[person("eve")]))  # comes after them
    ada.locator("#people li:has-text('eve')").wait_for()
    assert in_sight(ada) == before
    assert not any(asked["type"] == "history" for asked in server.asked)
    assert walk(ada, 450, server.newest) == list(range(before[0][0], server.newest + 1))
    assert len([asked for asked in server.asked if asked["type"] == "history"]) > 3
    ada.locator("#newest").wait_for(state="hidden")

    ada.evaluate("document.querySelector('#log').scrollTop -= 3000")
    ada.locator("#newest").wait_for()
    server.talk(1500)
    ada.locator("#newest").click()
    eventually(lambda: server.newest in dict(in_sight(ada)))
    assert ada.locator("#log .message").count() == 100
    say(ada, "still here")
    eventually(lambda: last_shown(ada) == server.newest)
    ada.locator("#older").click()
    eventually(lambda: ada.locator("#log .message").count() == 201)


def test_a_selection_stays_whole(serve: Serve, tab: OpenTab) -> None:
    """What is selected stays selected, and can be copied, when one scrolls many screens on."""
    _, ada = in_room_of(700, serve, tab)
    ada.evaluate("getSelection().selectAllChildren(document.querySelector('[data-sequence=\"699\"]'))")
    walk(ada, -450, 300)
    ada.locator("#log").hover()
    ada.evaluate(
        """() => { const log = document.querySelector("#log");
           getSelection().extend(document.elementFromPoint(600, 300), 0); }"""
    )
    drawn(ada)
    assert ada.evaluate("getSelection().toString()").count("and a few words more") > 380


def test_a_soak_leaves_the_heap_flat(fake: FakeServer, tab: OpenTab) -> None:
    """Of 20,000 messages the page keeps as many as it may: heap and elements grow no more from then on."""
    ada = tab(fake.url, "ada")
    limit(ada, memory=2 * 2000 * 355)
    ada.evaluate("location.hash = 'red,blue'")
    sizes = []
    for _ in range(10):
        fake.talk(2000)
        eventually(lambda: last_shown(ada) == fake.newest)
        sizes.append((heap(ada), ada.evaluate(ELEMENTS)))
    heaps, elements = zip(*sizes[2:], strict=True)
    assert max(heaps) - min(heaps) < 1.5
    assert max(elements) < 4000
    assert not any(asked["type"] == "history" for asked in fake.asked)


def test_a_hidden_page_counts_what_comes(fake: FakeServer, tab: OpenTab) -> None:
    """While nobody sees the page its title counts the messages; when it is seen they are no news any more."""
    ada = tab(fake.url, "ada")
    hide = """(isHidden) => {
      Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    ada.evaluate(hide, True)
    fake.talk(300)
    eventually(lambda: ada.title() == "(300) Chat")
    ada.evaluate(hide, False)
    eventually(lambda: ada.title() == "Chat" and last_shown(ada) == 300)


@pytest.mark.parametrize("kept", ["5", "{}", '"system"', '[{"id": 1}, null, "a/b", {"room": "red"}]', "{"])
def test_what_another_page_has_kept(fake: FakeServer, tab: OpenTab, kept: str) -> None:
    """What another program of this address left in the browser does no harm: the name is asked for."""
    page = tab(fake.url, "ada")
    keys = {"localStorage": ["user", "rooms"], "sessionStorage": ["outbox of bob"]}
    page.evaluate(
        "([keys, kept]) => { for (const s in keys) for (const key of keys[s]) window[s].setItem(key, kept) }",
        [keys, kept],
    )
    page.goto(f"{fake.url}/")
    page.locator("#answer").fill("bob")
    page.locator("#answer").press("Enter")
    page.locator("#app:not([hidden])").wait_for()


def test_the_outbox_is_bounded(fake: FakeServer, tab: OpenTab) -> None:
    """Only so much can wait to be sent: what is too much stays in the field, and the page says why."""
    ada = tab(fake.url, "ada")
    limit(ada, outbox=3)
    fake.is_deaf = True
    say(ada, "one", "two", "three", "four")
    ada.locator("#trouble:has-text('Too much waits')").wait_for()
    assert ada.locator("#say textarea").input_value() == "four"
    assert ada.locator("#log .waiting").count() == 3


def test_frames_that_are_none(fake: FakeServer, tab: OpenTab) -> None:
    """Whatever the server sends that cannot be read is told and counted on one line, and the chat goes on."""
    ada = tab(fake.url, "ada")
    lacking = [
        {key: value for key, value in said(9).items() if key != lack}
        for lack in ("user", "timestamp", "content", "sequence", "id")
    ]
    wrong: list[dict[str, Any]] = [
        {"user": ""},
        {"user": "u" * 65},
        {"user": 7},
        {"sequence": 1e300},
        {"sequence": -1},
        {"timestamp": 1e300},
        {"timestamp": "2026-01-01"},
    ]
    frames: list[str | bytes] = [
        *(frame("message", room="red", **{k: v for k, v in each.items() if k != "room"}) for each in lacking),
        *(frame("message", **{**said(9), **each}) for each in wrong),
        frame("presence", room="red", users=[{"user": "eve", "status": "asleep", "lastSeen": 0}]),
        frame("history", room="red"),
        json.dumps(frame("message", **said(9))),
        frame("message", **said(9)).replace(str(NOON + 9000), "1e999"),
        frame("message", **said(9)).replace(str(NOON + 9000), "NaN"),
        b"\x00\x01",
        "null",
        "[]",
        "{",
        '{"type": {}}',
        '{"type": "message"}',
        '{"type": "message", "data": []}',
        "[" * 100_000,
        frame("message", **said(9, content="x" * 2**20)),
    ]
    for number, each in enumerate(frames, start=1):
        fake.send(each)
        words = f"{number} such frames" if number > 1 else ""
        ada.wait_for_function(
            "(words) => document.querySelector('#unreadable span').textContent === words", arg=words
        )
    assert "in a “message”, “user” is missing" in ada.locator("#unreadable p").text_content()
    assert "no. 9" in ada.locator("#unreadable code").text_content()
    assert ada.locator("#log .message").count() == 0
    say(ada, "goes on")
    eventually(lambda: shown(ada) == [("1", "goes on")])
    state(ada, "online")
    ada.get_by_role("button", name="Dismiss").click()
    ada.locator("#unreadable").wait_for(state="hidden")


def test_the_good_part_of_a_list_is_taken(fake: FakeServer, tab: OpenTab) -> None:
    """A page or a list with one bad entry is told, and its other entries are shown."""
    ada = tab(fake.url, "ada")
    messages = [said(1), {**said(2), "content": None}, said(3)]
    fake.send(
        frame("history", room="red", messages=messages, last=3),
        frame("presence", room="red", users=[{"status": "online"}, person("bob")]),
    )
    ada.locator("#people li:has-text('bob')").wait_for()
    fake.newest = 3
    assert [number for number, _ in shown(ada)][:1] == ["1"]
    assert ada.locator("#unreadable span").text_content() == "2 such frames"


def test_what_the_protocol_forgives(fake: FakeServer, tab: OpenTab) -> None:
    """Seconds, `last_seen`, and no `full`, `last`, `more`, `code` or time of a notice do no harm."""
    ada = tab(fake.url, "ada")
    seconds = NOON / 1000 + 0.25
    fake.send(
        frame("message", **{**said(1), "timestamp": seconds}),
        frame("message", room="red", user="system", content="eve joined"),
        frame("presence", room="red", users=[{"user": "bob", "status": "offline", "last_seen": seconds}]),
        frame("presence", room="red", users=[{"user": "cyd", "status": "offline"}]),
        frame("surprise", room="red"),
        frame("error", message="Not today."),
    )
    ada.locator("#trouble:has-text('Not today.')").wait_for()
    assert ada.locator("#log time").first.get_attribute("datetime") == "2026-01-01T00:00:00.250Z"
    assert ada.locator(".notice").text_content().startswith("eve joined")
    assert "since" in ada.locator("#people li:has-text('bob') .status").text_content()
    assert ada.locator("#people li:has-text('cyd') .status").text_content() == "offline"
    assert ada.locator("#unreadable").is_hidden()


def test_a_long_message_is_folded(fake: FakeServer, tab: OpenTab) -> None:
    """A message of 3,000 lines is no higher than the window, until it is unfolded; then nothing jumps."""
    ada = tab(fake.url, "ada")
    fake.newest = 3
    fake.send(
        frame("message", **said(1, content="\n" * 3000 + "end")),
        frame("message", **said(2, content="😀" * 16_000)),
        frame("message", **said(3, user="system", content="n" * 60_000)),
    )
    eventually(lambda: ada.locator("#log .fold").count() == 3)
    for item in ada.locator("#log li:has(.fold)").all():
        assert item.bounding_box()["height"] < 700
    last = ada.locator("#log li").last
    last.locator("button").dispatch_event("click")
    eventually(lambda: last.bounding_box()["height"] > 5000)
    before = last.bounding_box()["y"]
    fake.talk(1)
    ada.locator("#newest").wait_for()
    eventually(lambda: last_shown(ada) == 4)
    assert abs(ada.locator(".notice").bounding_box()["y"] - before) < 1
    first = ada.locator("[data-sequence='1']")
    first.get_by_role("button", name="Show all 3,003 characters").click()
    eventually(lambda: first.bounding_box()["height"] > 60_000)
    before = first.bounding_box()["y"]
    fake.talk(1)
    ada.locator("#newest").wait_for()
    drawn(ada)
    assert first.bounding_box()["y"] == before
    first.get_by_role("button", name="Show less").click()
    eventually(lambda: first.bounding_box()["height"] < 700)


NASTY = [
    "__proto__",
    "constructor",
    "toString",
    "a\nb\r\tc",
    "\u202edrowssap",
    "\u2069\u2067x",
    "ada\u200b",
    "\x00",
]


def test_nasty_names(fake: FakeServer, tab: OpenTab) -> None:
    """Names of JavaScript's own, and names with line breaks, direction marks and control characters, are
    shown as names: on one line, and what stands beside them is not turned around.
    """
    ada = tab(fake.url, "__proto__", "constructor,__proto__,toString")
    say(ada, "from constructor")
    eventually(lambda: shown(ada) == [("1", "from constructor")])
    ada.locator("[data-room=__proto__] .room").click()
    users = [person(name) for name in NASTY]
    fake.send(frame("presence", room="__proto__", users=users))
    for number, name in enumerate(NASTY, start=2):
        fake.send(frame("message", **said(number, user=name, room="__proto__", content="<-")))
    fake.send(frame("error", code="constructor", message="\u202eno\n" + "x" * 100_000))
    ada.locator("#trouble").wait_for()
    eventually(lambda: len(shown(ada)) == len(NASTY))
    names = ada.locator("#people bdi").all_text_contents()
    assert {"__proto__", "a\\u000ab\\u000d\\u0009c", "\\u202edrowssap", "ada\\u200b", "\\u0000"} <= set(names)
    for item in ada.locator("#log .message").all():
        name, time = item.locator(".by bdi").bounding_box(), item.locator(".by time").bounding_box()
        assert item.locator(".goes-on").count() or name["x"] + name["width"] <= time["x"] + 1
        assert item.bounding_box()["height"] < 80
    assert ada.locator("#trouble").bounding_box()["height"] < 150


def test_a_thousand_rooms(fake: FakeServer, tab: OpenTab) -> None:
    """A page joins 1,000 rooms, at most 100 a second; one more is refused, and each is quick to use."""
    rooms = ",".join(f"r{number}" for number in range(1100))
    ada = tab(fake.url, "ada", rooms)
    assert ada.locator("#rooms li").count() == 1000
    assert len(fake.asked) <= 200
    fake.send(*(frame("message", **said(1, room=f"r{number}")) for number in range(50)))
    eventually(lambda: ada.title() == "(49) Chat")
    ada.locator("[data-room=r99] .room").click()
    assert min(send_time(ada, f"hello {number}") for number in range(3)) < 100
    ada.locator("#join").click()
    ada.locator("#answer").fill("one-more")
    ada.locator("#answer").press("Enter")
    ada.locator("#trouble:has-text('as many rooms')").wait_for()


def test_people_who_went_are_forgotten(fake: FakeServer, tab: OpenTab) -> None:
    """Of 2,000 who went offline the last 50 are listed, the last one first, and nobody for ever."""
    ada = tab(fake.url, "ada")
    names = [f"guest {number:04}" for number in range(2000)]
    fake.send(frame("presence", room="red", users=[person(name) for name in names]))
    eventually(lambda: ada.locator("#who").text_content() == "2,001 here")
    fake.send(frame("presence", room="red", users=[person(name, "offline") for name in names]))
    eventually(lambda: ada.locator("#people li").count() == 51)
    assert ada.locator("#people li bdi").all_text_contents()[:2] == ["ada", "guest 1999"]
    limit(ada, goneFor=0)
    fake.send(frame("heartbeat"))
    eventually(lambda: ada.locator("#people li").count() == 1)

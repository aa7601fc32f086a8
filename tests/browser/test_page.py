"""The chat's page, as its users see it: several tabs, real connections, real kills."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from lab.hub import Components
from lab.interfaces import Draft
from lab.protocol import Message
from lab.sequencer import Sequencer
from tests.browser.conftest import OpenTab
from tests.browser.helpers import KillableServer, ThreadedServer, eventually
from tests.lab.helpers import message

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra


def say(page: Page, *contents: str) -> None:
    """Type messages and send each by Enter, whether or not the chat is connected."""
    for content in contents:
        page.locator("#say textarea").fill(content)
        page.locator("#say textarea").press("Enter")


def say_at_once(page: Page, contents: Sequence[str]) -> None:
    """Send all this faster than anybody could type it, and faster than the server answers."""
    page.evaluate(
        """(contents) => contents.forEach((content) => {
             document.querySelector("#text").value = content;
             document.querySelector("#say").requestSubmit();
           })""",
        contents,
    )


def shown(page: Page) -> list[tuple[str, str]]:
    """The numbered messages on the page, from top to bottom: (number, content)."""
    found = page.evaluate(
        """[...document.querySelectorAll("#log .message[data-sequence]")].map((item) =>
             [item.dataset.sequence, item.querySelector(".content").textContent])"""
    )
    return [(number, content) for number, content in found]


def numbered(*contents: str) -> list[tuple[str, str]]:
    """What is shown of a room with just these messages."""
    return [(str(number), content) for number, content in enumerate(contents, start=1)]


def waiting(page: Page) -> int:
    """How many messages have not come back yet."""
    return len(page.locator("#log .waiting").all())


def all_show(pages: Sequence[Page], *contents: str) -> None:
    """Wait until just these messages are on each page, numbered 1, 2, 3 ..., and none waits."""
    eventually(lambda: all(shown(page) == numbered(*contents) and not waiting(page) for page in pages))


def state(page: Page, wanted: str) -> None:
    """Wait until the connection is shown as in that state."""
    page.locator(f"#connection[data-state={wanted}]").wait_for()


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[KillableServer]:
    """A server that can be killed."""
    server = KillableServer(tmp_path)
    yield server
    server.kill()


def test_two_tabs_talk(chat: ThreadedServer, tab: OpenTab) -> None:
    """A message is shown in both tabs, with its number and author; joins and leaves are shown, too."""
    ada, bob = tab(chat.url, "ada"), tab(chat.url, "bob")
    say(ada, "Hello")
    eventually(lambda: shown(bob) == numbered("Hello"))
    say(bob, "Hi, ada")
    all_show([ada, bob], "Hello", "Hi, ada")
    for page in (ada, bob):
        assert page.locator(".message .by bdi").all_text_contents() == ["ada", "bob"]
        assert page.locator("#people li").all_text_contents() == [
            *(["Aada (you)online", "Bbobonline"] if page is ada else ["Aadaonline", "Bbob (you)online"])
        ]
    assert ada.locator(".notice").last.text_content().startswith("bob joined")
    bob.close()
    eventually(lambda: ada.locator("#people li[data-status=offline] bdi").all_text_contents() == ["bob"])
    eventually(lambda: ada.locator(".notice").last.text_content().startswith("bob left"))


def test_a_cut_connection_comes_back_with_everything(chat: ThreadedServer, tab: OpenTab) -> None:
    """A page that was cut off says so, reconnects, and has every message once, its own too."""
    ada, bob = tab(chat.url, "ada"), tab(chat.url, "bob")
    say(ada, "before")
    eventually(lambda: shown(bob) == numbered("before"))
    ada.context.set_offline(True)
    chat.cut("red", "ada")
    state(ada, "waiting")
    assert ada.locator("#connection").text_content().strip() == "Reconnecting…"
    assert ada.locator("#hurry").is_visible()
    say(bob, "one", "two", "three")
    eventually(lambda: len(shown(bob)) == 4)
    say(ada, "mine")
    assert waiting(ada) == 1
    assert len(shown(ada)) == 1
    ada.context.set_offline(False)
    state(ada, "online")
    all_show([ada, bob], "before", "one", "two", "three", "mine")
    assert not ada.locator("#hurry").is_visible()


def test_nothing_is_lost_or_repeated_by_a_kill(killable: KillableServer, tab: OpenTab) -> None:
    """SIGKILL during two bursts, messages while the server is down, a restart:
    each is there once for both.
    """
    pages = {name: tab(killable.url, name) for name in ("ada", "bob")}
    for name, page in pages.items():
        say_at_once(page, [f"{name} {number}" for number in range(50)])
    eventually(lambda: shown(pages["ada"]))
    killable.kill()
    for name, page in pages.items():
        state(page, "waiting")
        say(page, f"{name} 50", f"{name} 51")
    assert waiting(pages["bob"]) > 2, "the kill came after the burst"
    killable.start()
    eventually(lambda: all(len(shown(page)) == 104 and not waiting(page) for page in pages.values()))
    seen = shown(pages["ada"])
    assert seen == shown(pages["bob"])
    assert [int(number) for number, _ in seen] == list(range(1, 105))
    for name in pages:
        own = [content for _, content in seen if content.startswith(name)]
        assert own == [f"{name} {number}" for number in range(52)]


def test_waiting_messages_survive_a_reload(killable: KillableServer, tab: OpenTab) -> None:
    """A message typed while the server was down is sent also if the page is reloaded."""
    ada = tab(killable.url, "ada")
    say(ada, "first")
    eventually(lambda: shown(ada) == numbered("first"))
    killable.kill()
    state(ada, "waiting")
    say(ada, "second")
    killable.start()
    ada.reload()
    eventually(lambda: shown(ada) == numbered("first", "second") and not waiting(ada))


def test_a_server_that_forgot_everything(killable: KillableServer, tab: OpenTab, tmp_path: Path) -> None:
    """If the restarted server has no messages any more, the page says so, and shows the new ones."""
    ada = tab(killable.url, "ada")
    say(ada, "one", "two")
    eventually(lambda: len(shown(ada)) == 2)
    killable.kill()
    (tmp_path / "data").rename(tmp_path / "lost")
    killable.start()
    state(ada, "online")
    say(ada, "anew")
    eventually(lambda: shown(ada) == numbered("anew"))
    assert "up to number 2" in ada.locator("#log .flaw").text_content()


def test_older_messages_are_reached_by_paging(tmp_path: Path, tab: OpenTab) -> None:
    """Of 170 messages the newest 50 come by themselves; “older” brings the rest, and then disappears."""
    past = [message(number, "red", content=f"no. {number}") for number in range(1, 171)]
    chat = ThreadedServer(tmp_path, past)
    try:
        ada = tab(chat.url, "ada")
        everything = numbered(*(each.content for each in past))
        eventually(lambda: shown(ada) == everything[120:])
        older = ada.locator("#older")
        older.click()
        eventually(lambda: shown(ada) == everything[20:])
        assert ada.locator("[data-sequence='121']").is_visible()
        older.press("Enter")
        eventually(lambda: shown(ada) == everything)
        assert older.is_hidden()
        assert ada.locator("#top").text_content() == "Here the room begins."
    finally:
        chat.stop()


def test_reading_older_messages_is_not_disturbed(tmp_path: Path, tab: OpenTab) -> None:
    """New and older messages do not move what is being read; a button leads back to the end."""
    past = [message(number, "red", content=f"no. {number}") for number in range(1, 61)]
    chat = ThreadedServer(tmp_path, past)
    try:
        ada, bob = tab(chat.url, "ada"), tab(chat.url, "bob")
        eventually(lambda: len(shown(ada)) == 50)
        ada.locator("[data-sequence='11']").scroll_into_view_if_needed()
        ada.locator("#newest").wait_for()
        before = ada.locator("[data-sequence='12']").bounding_box()
        say(bob, "news")
        eventually(lambda: len(shown(ada)) == 51)
        assert ada.locator("[data-sequence='12']").bounding_box() == before
        ada.locator("#older").dispatch_event("click")
        eventually(lambda: len(shown(ada)) == 61)
        after = ada.locator("[data-sequence='12']").bounding_box()
        assert abs(after["y"] - before["y"]) < 60  # the button itself has gone
        ada.locator("#newest").click()
        eventually(lambda: ada.locator("[data-sequence='61']").is_visible())
        ada.locator("#newest").wait_for(state="hidden")
    finally:
        chat.stop()


def test_html_is_text(chat: ThreadedServer, tab: OpenTab) -> None:
    """A message, a name and a room's notices may contain HTML:
    it is shown as it was typed, and does nothing.
    """
    nasty = "<img src=x onerror=\"document.body.textContent='hacked'\"><script>alert(1)</script> & &amp;"
    ada, bob = tab(chat.url, "ada"), tab(chat.url, "<b>bob</b>")
    say(bob, nasty)
    all_show([ada, bob], nasty)
    for page in (ada, bob):
        assert page.locator("#log img, #log script, #log b, #people b, header b").count() == 0
    assert ada.locator(".message .by bdi").text_content() == "<b>bob</b>"


def test_several_rooms(chat: ThreadedServer, tab: OpenTab) -> None:
    """Rooms are separate; unread messages are counted; the address and the next visit keep name and rooms."""
    ada, bob = tab(chat.url, "ada", "red,blue"), tab(chat.url, "bob", "blue")
    say(bob, "one", "two")
    badge = ada.locator("[data-room=blue] .badge")
    eventually(lambda: badge.is_visible() and badge.text_content() == "2")
    assert ada.title() == "(2) Chat"
    assert shown(ada) == []
    ada.locator("#say textarea").fill("half a thought")
    ada.locator("[data-room='blue'] .room").click()
    eventually(lambda: shown(ada) == numbered("one", "two") and badge.is_hidden())
    assert ada.title() == "Chat"
    assert ada.locator("#say textarea").input_value() == ""
    ada.locator("[data-room='red'] .room").click()
    assert ada.locator("#say textarea").input_value() == "half a thought"
    ada.evaluate("location.hash = 'red,blue,%C3%A9t%C3%A9,..,%'")
    ada.locator("[data-room='été'] .room").wait_for()
    ada.get_by_role("button", name="Leave red").click()
    assert ada.url.endswith("/?user=ada#blue,%C3%A9t%C3%A9")
    ada.goto(f"{chat.url}/")
    ada.locator("[data-room='été'] .room").wait_for()
    assert ada.locator("#rooms li").count() == 2
    state(ada, "online")
    assert ada.locator("#me bdi").text_content() == "ada"


def test_rooms_that_the_server_names(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    """Who comes for the first time is in the first of them; the others are shown, and joined by a click."""
    chat = ThreadedServer(tmp_path, rooms=("questions", "café"))
    try:
        page = new_page(locale="fr-CA")
        page.goto(f"{chat.url}/?user=ada")
        state(page, "online")
        assert page.locator("[data-room='questions'] [aria-current=true]").count() == 1
        offered = page.get_by_role("list", name="Salons à rejoindre").get_by_role("button")
        assert offered.all_text_contents() == ["café"]
        offered.click()
        page.locator("[data-room='café'] [aria-current=true]").wait_for()
        assert page.locator("#offered li").count() == 0
        page.get_by_role("button", name="Quitter questions").click()
        eventually(lambda: offered.all_text_contents() == ["questions"])
    finally:
        chat.stop()


def test_the_keyboard_alone(chat: ThreadedServer, new_page: Callable[..., Page]) -> None:
    """A name, a room, a message, another room, leaving it: all by keys, and the focus is always visible."""
    page = new_page()
    page.goto(chat.url)
    keys = page.keyboard

    def go_to(name: str) -> None:
        """Press Tab until the element of that name has the focus, and check that it shows."""
        for _ in range(30):
            keys.press("Tab")
            focus = page.evaluate(
                """(() => { const it = document.activeElement;
                   const name = it === document.body ? "" : it.ariaLabel ?? it.textContent.trim();
                   return [name, getComputedStyle(it).outlineStyle]; })()"""
            )
            if name in focus[0]:
                assert focus[1] != "none"
                return
        raise AssertionError(f"no Tab leads to {name}")

    page.locator("#answer").wait_for()
    keys.press("Escape")  # no message can be sent without a name
    eventually(lambda: page.evaluate("document.activeElement.id") == "answer")
    keys.type("system")
    keys.press("Enter")
    eventually(lambda: "cannot be a name" in page.locator("#wrong").text_content())
    keys.press("Control+A")
    keys.type("ada")
    keys.press("Enter")
    page.locator("#people li:has-text('ada')").wait_for()
    keys.type("Hello, general")
    keys.press("Shift+Enter")
    keys.type("in two lines")
    keys.press("Enter")
    eventually(lambda: shown(page) == numbered("Hello, general\nin two lines"))
    go_to("Join a room")
    keys.press("Enter")
    keys.type("red")
    keys.press("Enter")
    page.locator("[data-room=red] [aria-current=true]").wait_for()
    keys.type("Hello, red")
    keys.press("Enter")
    eventually(lambda: shown(page) == numbered("Hello, red"))
    go_to("Skip")
    keys.press("Enter")
    assert page.evaluate("document.activeElement.matches('#say textarea')")
    go_to("Messages in red")
    go_to("Leave red")
    keys.press("Enter")
    page.locator("[data-room=general] [aria-current=true]").wait_for()
    go_to("Leave general")
    keys.press("Enter")
    page.locator("#nowhere").wait_for()
    assert page.evaluate("document.activeElement.matches('#nowhere button')")


class Moody(Sequencer):
    """Accepts only polite messages."""

    async def accept(self, draft: Draft) -> Message:
        """See `interfaces.Sequencer`; raises ValueError for other messages."""
        if "please" not in draft.content:
            raise ValueError(draft.content)
        return await super().accept(draft)


def test_a_refused_message_shows_the_reason(tmp_path: Path, tab: OpenTab) -> None:
    """What the server refuses stays there with the reason, does not block others, and can be discarded."""
    chat = ThreadedServer(tmp_path, components=Components(sequencer=Moody))
    try:
        ada = tab(chat.url, "ada")
        say(ada, "Do it", "please do it")
        eventually(lambda: shown(ada) == numbered("please do it"))
        refused = ada.locator(".refused")
        assert "The server cannot do this now." in refused.text_content()
        refused.get_by_role("button", name="Send again").click()
        eventually(lambda: ada.locator(".refused").count() == 1 and not waiting(ada))
        refused.get_by_role("button", name="Discard").click()
        refused.wait_for(state="detached")
        say(ada, "x" * 70_000)
        ada.locator("#trouble:has-text('64 KiB')").wait_for()
        assert len(ada.locator("#say textarea").input_value()) == 70_000
        ada.get_by_role("button", name="Dismiss").click()
        ada.locator("#trouble").wait_for(state="hidden")
    finally:
        chat.stop()


def test_a_server_that_does_not_number(tmp_path: Path, tab: OpenTab) -> None:
    """The sequencer that students start with gives each message number 1: all are shown, with a mark."""
    from lab.loader import load

    stub = Path(__file__).parent.parent.parent / "exercises/ex2_ordering/sequencer.py"
    chat = ThreadedServer(tmp_path, components=Components(sequencer=load("sequencer", str(stub))))
    try:
        ada = tab(chat.url, "ada")
        say(ada, "one", "two", "three")
        eventually(lambda: shown(ada) == [("1", "one"), ("1", "two"), ("1", "three")])
        assert ada.locator(".message .flaw").count() == 2
    finally:
        chat.stop()


def test_french(chat: ThreadedServer, tab: OpenTab) -> None:
    """A browser that prefers French gets French, and both languages have the same texts."""
    ada = tab(chat.url, "ada", locale="fr-CA")
    assert ada.locator("html").get_attribute("lang") == "fr"
    assert ada.locator("#connection").text_content().strip() == "Connecté"
    assert ada.locator("#here").text_content() == "Qui est là"
    keys = ada.evaluate(
        "import('/texts.js').then(({TEXTS}) => Object.values(TEXTS).map((each) => Object.keys(each)))"
    )
    assert keys[0] == keys[1]
    blank = ada.evaluate(
        "[...document.querySelectorAll('[data-text]')].filter((it) => !it.textContent).length"
    )
    assert blank == 0


def test_an_unknown_language_is_english(chat: ThreadedServer, tab: OpenTab) -> None:
    """A browser that prefers neither of our languages gets English, and `lang` says so."""
    ada = tab(chat.url, "ada", locale="ja-JP")
    assert ada.locator("html").get_attribute("lang") == "en"
    assert ada.locator("#connection").text_content().strip() == "Connected"


def test_behind_https_and_a_path(new_page: Callable[..., Page]) -> None:
    """Behind a proxy that speaks https and puts the chat under a path, it connects by wss to that path."""
    page = new_page()
    web = Path(__file__).parent.parent.parent / "lab/web"
    called: list[str] = []

    def serve(route: Any) -> None:
        """Answer from the page's files."""
        name = route.request.url.partition("?")[0].rpartition("/")[2] or "index.html"
        route.fulfill(path=web / name)

    page.route("https://chat.test/**", serve)
    page.route_web_socket("**", lambda socket: called.append(socket.url))
    page.goto("https://chat.test/deep/down/?user=ada#red")
    eventually(lambda: called or page.wait_for_timeout(10))
    assert called == ["wss://chat.test/deep/down/?user=ada"]


def test_from_another_machine_without_https(chat: ThreadedServer, new_page: Callable[..., Page]) -> None:
    """Under a name that is not localhost, where browsers disable some functions, the chat works as well."""
    page = new_page()
    page.goto(f"{chat.url.replace('127.0.0.1', 'lan.test')}/?user=ada#red")
    page.locator("#people li").wait_for()
    assert page.evaluate("isSecureContext") is False
    say(page, "Hello")
    all_show([page], "Hello")


def test_the_page_s_own_query_is_passed_on(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    """A server with an access key is used from `/?key=…`: connections have all of the page's query, with the
    name that the user asks for now.
    """
    server = ThreadedServer(tmp_path, access_key="a key&more")
    page = new_page()
    addresses: list[str] = []
    page.on("websocket", lambda socket: addresses.append(socket.url))
    try:
        page.goto(f"{server.url}/?key=a%20key%26more&user=ada&group=b#red")
        page.locator("#people li:has-text('ada')").wait_for(state="attached")
        page.locator("#me").click()
        page.locator("#answer").fill("grace h")
        page.locator("#answer").press("Enter")
        page.locator("#people li:has-text('grace h')").wait_for(state="attached")
    finally:
        server.stop()
    asked = [sorted(parse_qsl(urlsplit(address).query)) for address in addresses]
    assert asked == [[("group", "b"), ("key", "a key&more"), ("user", name)] for name in ("ada", "grace h")]

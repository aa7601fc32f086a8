"""The teaching page: the lessons, played from the handouts' own steps, and what the page shows besides."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from harness.judged.targets import ROOT
from harness.texts import LANGUAGES
from harness.verdict.steps import EXERCISES
from lab.hub import Components
from lab.loader import load
from lab.pages import WEB
from tests.browser.fake import FakeServer, frame, person, said
from tests.browser.helpers import KillableServer, ThreadedServer, eventually
from tests.browser.test_accessible import LOOKS, faults
from tests.kit.pages import translated
from tests.kit.test_handouts import parse

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.extra

NewPage = Callable[..., "Page"]

LESSONS = dict(zip(("chat", "ordering", "presence", "persistence"), EXERCISES.values(), strict=True))
HEADINGS = {"en": "See it with your own eyes", "fr": "À voir de vos propres yeux"}
EVERYONE = {"en": "everyone", "fr": "tous"}
PEOPLE = ("ada", "bob", "cyd")
FASTER = 3
"""How many times shorter the intervals are here than the handout says."""


@dataclass
class Handout:
    """What a handout says about its lesson: the command, the address of the page, and the steps."""

    command: dict[str, Any]
    link: str
    steps: list[str]


def handout(lesson: str, language: str) -> Handout:
    """The section of a handout about its lesson."""
    page = ROOT / "exercises" / LESSONS[lesson] / translated("README.md", language)
    _, found, rest = page.read_text(encoding="utf-8").partition(f"\n## {HEADINGS[language]}\n")
    assert found, f"{page} has no section {HEADINGS[language]}"
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    command = re.findall(r"^chatlab (.+?)(?: &)?$", section, re.MULTILINE)
    link = re.findall(r"<http://127\.0\.0\.1:8080(/\S+)>", section)
    steps = re.findall(r"^\d+\. ((?:.+\n)(?:   .+\n)*)", section, re.MULTILINE)
    return Handout(parse(command[0].split()).params, link[0], [" ".join(step.split()) for step in steps])


def show(panel: Page | Locator, selector: str) -> str:
    """The text of an element, on one line."""
    return " ".join((panel.locator(selector).inner_text()).split())


class Lesson:
    """A lesson in a browser, driven by the words of a handout."""

    def __init__(self, page: Page, url: str, name: str, language: str) -> None:
        self.page, self.language = page, language
        self.handout = handout(name, language)
        page.goto(url + self.handout.link)
        for each in PEOPLE:
            self.panel(each).locator(".state[data-state=open]").wait_for()

    def panel(self, who: str) -> Locator:
        """A person's column."""
        return self.page.locator(f".person[data-person={who}]")

    def do(self, step: str) -> None:
        """Press and choose what is in bold letters, at the person whose name stands before it."""
        names: list[str] = []
        for act in re.findall(r"\*\*(.+?)\*\*", step):
            if act in (*PEOPLE, EVERYONE[self.language]):
                names = list(PEOPLE) if act == EVERYONE[self.language] else [act]
                continue
            assert names, f"who is to press {act}?"
            for name in names:
                self._press(self.panel(name), act)

    def _press(self, panel: Locator, words: str) -> None:
        select = panel.locator("select", has=self.page.locator(f'option:text-is("{words}")'))
        if select.count():
            select.select_option(label=words)
        else:
            panel.get_by_role("button", name=words, exact=True).click()

    def numbers(self, who: str, kind: str = "") -> list[int]:
        """The numbers that a person received, as the board shows them; or those of one kind only."""
        chips = self.page.locator(f".numbers > [data-person={who}] ol > li{kind}")
        return [int(text) for text in chips.all_text_contents()]

    def have(self, last: int) -> None:
        """Wait until the page says that all have the same numbers up to this one; no rule was broken."""
        same = {"en": f"same order, up to #{last}.", "fr": f"même ordre, jusqu’au n° {last}."}[self.language]
        eventually(lambda: same in show(self.page, ".verdict"))
        self.is_right()

    def is_right(self) -> None:
        """Check that no rule was broken."""
        assert self.page.locator(".findings").get_attribute("data-found") == "false", show(
            self.page, ".findings summary"
        )

    def status(self, of: str, seen_by: str) -> str:
        """The status of somebody that the board shows as what another one was told."""
        cell = self.page.locator(f"tr[data-user={of}] .status").nth(PEOPLE.index(seen_by))
        return cell.get_attribute("data-status") or ""

    def until(self, of: str, status: str, *seen_by: str) -> None:
        """Wait until these are told of that status."""
        eventually(lambda: all(self.status(of, each) == status for each in seen_by))

    def last(self, who: str, count: int = 1) -> list[str]:
        """The last frames of a person, each on one line."""
        rows = self.panel(who).locator(".frames li").all_inner_texts()
        return [" ".join(row.split()) for row in rows[-count:]]

    def comes(self, who: str, *words: str) -> None:
        """Wait until one of the last frames that are seen has all these words."""
        eventually(lambda: any(all(word in row for word in words) for row in self.last(who, 12)))

    def all_hear(self, *words: str, whom: Sequence[str]) -> None:
        """Wait until a frame with all these words comes at each of them."""
        for who in whom:
            self.comes(who, *words)


Check = Callable[[Lesson], object]


def heard_by_two(lesson: Lesson) -> None:
    """Those who are in the room have both messages, and the one who left has one."""
    eventually(lambda: lesson.numbers("ada") == lesson.numbers("bob") == [1, 2])
    assert lesson.numbers("cyd") == [1]


def chat_joined(lesson: Lesson) -> None:
    """She has what was said while she was away."""
    lesson.comes("cyd", "history", "#2")
    lesson.comes("ada", "message", "cyd joined")
    lesson.have(2)


def missed(lesson: Lesson) -> None:
    """The one who is cut off has less, and the page says so."""
    eventually(lambda: lesson.numbers("ada")[-1] == 40)
    assert lesson.numbers("cyd")[-1] == 30
    lesson.is_right()


def seen_again(lesson: Lesson) -> None:
    """Numbers that come again are marked, and are no breach."""
    eventually(lambda: lesson.numbers("cyd", ".note") == list(range(1, 51)))
    lesson.have(50)


def retried(number: int) -> Check:
    """The stored message comes back to its sender alone."""

    def check(lesson: Lesson) -> None:
        eventually(lambda: lesson.numbers("bob", ".note") == [number])
        last = [number - 1, number]
        eventually(lambda: lesson.numbers("ada")[-2:] == lesson.numbers("cyd")[-2:] == last)
        lesson.is_right()

    return check


def alive(lesson: Lesson) -> None:
    """Heartbeats pass in both directions."""
    for who in PEOPLE:
        lesson.comes(who, "← heartbeat")
        lesson.comes(who, "→ heartbeat")
        lesson.until(who, "online", *PEOPLE)


def silent(lesson: Lesson) -> None:
    """The countdown runs, and then the others are told; the one who is silent is cut off by the server."""
    eventually(lambda: lesson.page.locator("tr[data-user=bob][data-stage^=countdown]").count())
    lesson.until("bob", "away", "ada", "cyd")
    lesson.until("bob", "offline", "ada", "cyd")
    lesson.panel("bob").locator(".state[data-state=closed]").wait_for()
    lesson.is_right()


def resumed(lesson: Lesson) -> None:
    """The one who was silent for a while is online again, and never was offline."""
    lesson.until("ada", "online", "bob", "cyd")
    for who in ("bob", "cyd"):
        told = [row for row in lesson.last(who, 100) if "presence" in row and "ada" in row]
        assert told
        offline = {"en": "ada offline", "fr": "ada hors ligne"}[lesson.language]
        assert not any(offline in row for row in told)


def left(lesson: Lesson) -> None:
    """Offline in the room, and still connected."""
    lesson.until("bob", "offline", "ada")
    assert lesson.panel("bob").locator(".state").get_attribute("data-state") == "open"
    eventually(lambda: lesson.page.locator("tr[data-user=bob][data-stage=notHere]").count())
    lesson.is_right()


def all_ended(lesson: Lesson) -> None:
    """All connections have ended, and the page says why."""
    for who in PEOPLE:
        lesson.panel(who).locator(".state:has-text('pas de serveur')").wait_for()


def nothing_came(lesson: Lesson) -> None:
    """All are back, and no number came again."""
    for who in PEOPLE:
        lesson.comes(who, "→ join", "since 30")
        assert lesson.numbers(who) == list(range(1, 31))
    lesson.is_right()


SEEN: dict[str, dict[str, Check]] = {
    "chat": {
        "say": lambda lesson: lesson.have(1),
        "leave": lambda lesson: lesson.all_hear("message", "cyd left", whom=("ada", "bob")),
        "without": heard_by_two,
        "join": chat_joined,
        "bad": lambda lesson: lesson.comes("bob", "error", "bad_json"),
        "other": lambda lesson: lesson.comes("bob", "error", "not_joined"),
        "cut": lambda lesson: lesson.all_hear("message", "bob left", whom=("ada", "cyd")),
    },
    "ordering": {
        "burst": lambda lesson: lesson.have(30),
        "missed": missed,
        "since": lambda lesson: lesson.have(40),
        "seam": lambda lesson: lesson.have(50),
        "nosince": seen_again,
        "twice": retried(51),
    },
    "presence": {
        "alive": alive,
        "silent": silent,
        "back": lambda lesson: lesson.until("bob", "online", "ada", "cyd"),
        "pause": lambda lesson: lesson.until("ada", "away", "bob", "cyd"),
        "resume": resumed,
        "cut": lambda lesson: lesson.until("cyd", "offline", "ada", "bob"),
        "leave": left,
    },
    "persistence": {
        "burst": lambda lesson: lesson.have(30),
        "kill": all_ended,
        "restart": lambda lesson: None,
        "since": nothing_came,
        "all": lambda lesson: eventually(lambda: lesson.numbers("cyd")[-30:] == list(range(1, 31))),
        "retry": lambda lesson: eventually(lambda: len(lesson.numbers("bob", ".note")) == 1),
        "on": lambda lesson: lesson.have(60),
    },
}
"""What is to be seen after each step of each lesson."""


def play(lesson: Lesson, name: str, *, in_the_terminal: dict[str, Callable[[], None]]) -> None:
    """Do the handout's steps one after the other, and see after each what it says."""
    items = lesson.page.locator("aside li")
    ids = [item.get_attribute("data-step") or "" for item in items.all()]
    assert ids == list(SEEN[name]), "a step is new, or gone"
    assert len(lesson.handout.steps) == len(ids)
    for id, step in zip(ids, lesson.handout.steps, strict=True):
        if id in in_the_terminal:
            assert "terminal" in step
            in_the_terminal[id]()
        lesson.do(step)
        SEEN[name][id](lesson)


@pytest.mark.parametrize(("name", "language"), [("chat", "en"), ("ordering", "fr"), ("presence", "en")])
def test_a_lesson_is_played_from_its_handout(
    tmp_path: Path, new_page: NewPage, name: str, language: str
) -> None:
    """Whoever does what the handout says, word for word, sees what it says; in the handout's language."""
    asked = handout(name, language).command
    intervals = (asked["heartbeat_interval"] / FASTER, asked["offline_timeout"] / FASTER)
    server = ThreadedServer(tmp_path, intervals=intervals)
    try:
        play(Lesson(new_page(locale="ja-JP"), server.url, name, language), name, in_the_terminal={})
    finally:
        server.stop()


def test_the_lesson_on_persistence_is_played_from_its_handout(tmp_path: Path, new_page: NewPage) -> None:
    """With a server that is killed and started again where the handout says so."""
    server = KillableServer(tmp_path)
    try:
        lesson = Lesson(new_page(), server.url, "persistence", "fr")
        play(lesson, "persistence", in_the_terminal={"kill": server.kill, "restart": server.start})
    finally:
        server.kill()


def test_the_page_and_the_handouts_have_the_same_steps(chat: ThreadedServer, new_page: NewPage) -> None:
    """Word for word, in each language, with the seconds of the handout's command; the links lead there."""
    page = new_page()
    page.goto(chat.url)
    lessons = page.evaluate("import('/lessons.js').then(({LESSONS}) => LESSONS)")
    assert set(lessons) == set(LESSONS)
    for name, lesson in lessons.items():
        for language in LANGUAGES:
            asked = handout(name, language)
            assert asked.link == f"/?lesson={name}&lang={language}"
            seconds = {
                "{interval}": f"{asked.command['heartbeat_interval']:g}",
                "{timeout}": f"{asked.command['offline_timeout']:g}",
            }
            steps = [words for _, words in lesson[language]["steps"]]
            for place, value in seconds.items():
                steps = [words.replace(place, value) for words in steps]
            assert steps == asked.steps, (name, language)
        ids = [[id for id, _ in lesson[language]["steps"]] for language in LANGUAGES]
        assert all(each == list(SEEN[name]) for each in ids)


def test_its_words_are_the_same_in_all_languages(chat: ThreadedServer, new_page: NewPage) -> None:
    """Each language has the same texts, with the same places to be filled in; each mark has its own."""
    page = new_page()
    page.goto(chat.url)
    words: dict[str, dict[str, str]] = page.evaluate("import('/lessonwords.js').then(({WORDS}) => WORDS)")
    places = {
        language: {name: sorted(re.findall(r"\{\w+\}", text)) for name, text in texts.items()}
        for language, texts in words.items()
    }
    assert set(places) == set(LANGUAGES)
    assert all(each == places["en"] for each in places.values())
    code = "".join(path.read_text(encoding="utf-8") for path in WEB.glob("*.js"))
    marks = set(re.findall(r'(?:breach|note)\(\s*"(\w+)"', code)) | {"gap", "gapOne"}
    assert len(marks) > 12
    assert marks <= set(words["en"])
    buttons = set(re.findall(r'button\("(\w+)"', code))
    assert buttons
    assert not marks & buttons, "a mark that says what stands on a button"


UNFOLD = "(open) => document.querySelectorAll('details').forEach((each) => (each.open = open))"


@pytest.mark.parametrize("look", [LOOKS[0], LOOKS[-1]])
def test_axe_finds_nothing(tmp_path: Path, new_page: NewPage, look: dict[str, object]) -> None:
    """Wide and narrow, light and dark: with broken rules, a frame opened, one silent, one cut off; on both
    boards. Nothing is wider than the window.
    """
    stub = ROOT / "exercises/ex2_ordering/sequencer.py"
    server = ThreadedServer(tmp_path, components=Components(sequencer=load("sequencer", str(stub))))
    try:
        page = new_page(**look)
        page.goto(f"{server.url}/?lesson=ordering")
        page.locator(".person[data-person=cyd] .state[data-state=open]").wait_for(state="attached")
        page.locator("aside li button").first.dispatch_event("click")
        if page.get_by_role("tab").first.is_visible():
            page.get_by_role("tab", name="bob").click()
        bob = page.locator(".person[data-person=bob]")
        bob.locator(".frames .breach").first.wait_for()
        bob.locator(".frames .in").last.click()
        bob.locator(".detail pre").wait_for()
        page.evaluate(UNFOLD, True)
        page.locator(".findings li").first.wait_for()
        assert faults(page) == []
        page.evaluate(UNFOLD, False)
        bob.get_by_role("button", name="Go silent").click()
        page.locator(".person[data-person=cyd] button:text-is('Cut')").dispatch_event("click")
        page.get_by_role("button", name="Presence", exact=True).click()
        page.locator("tr[data-user=bob][data-stage^=countdown]").wait_for()
        page.evaluate(UNFOLD, True)
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
    finally:
        server.stop()


JUDGED = """async ({ frames, repeated }) => {
  const { Judge, Ledger } = await import("/judge.js");
  const judge = new Judge({ room: "red", ledger: new Ledger(), silence: () => 1 });
  Object.assign(judge, { user: "ada", timeout: 60 });
  judge.join();
  for (const id of repeated) {
    judge.say(id);
    judge.say(id);
  }
  const [leave, join] = [() => judge.leave(0), () => judge.join()];
  const act = { leave, join, since: () => judge.join(judge.highest) };
  return frames.flatMap((text) => (act[text] ? (act[text](), []) : judge.hear(text, 9).marks))
    .map(({ kind, name, more }) => [kind, name, more]);
}"""


def live(*numbers: int, user: str = "bob") -> list[str]:
    """Messages that are said now."""
    return [frame("message", **said(number, user)) for number in numbers]


JOIN = frame("presence", room="red", users=[person("ada")], full=True)
AGAIN = frame("history", room="red", messages=[said(1), said(2)], last=2, more=False)


@pytest.mark.parametrize(
    ("frames", "marks"),
    [
        ([JOIN, *live(5, 6, 7)], []),
        (live(1, 2, 4), [("breach", "gapOne", 0)]),
        (live(1, 2, 9, 10), [("breach", "gap", 0)]),
        (live(1, 3, 2, 4), [("breach", "gapOne", 0), ("breach", "late", 0)]),
        (live(1, 2, 2, 3), [("breach", "repeated", 0)]),
        ([*live(1), frame("message", **said(1, id="other"))], [("breach", "reused", 0)]),
        ([*live(1), frame("message", **said(2, "ada", id="id-9")), *live(3, 9, user="ada")[1:]],
         [("breach", "storedTwice", 0)]),
        (live(1, 1, user="ada"), [("note", "retry", 0)]),
        (live(1, 1, user="eve"), [("breach", "repeated", 0)]),
        ([*live(1, 2), AGAIN], [("breach", "repeated", 1)]),
        ([*live(1, 2), "join", AGAIN, *live(3)], [("note", "comesAgain", 1)]),
        ([*live(1, 2), "since", AGAIN], [("breach", "repeated", 1)]),
        ([*live(1, 2), "since", *live(4)], [("breach", "gapOne", 0)]),
        ([frame("message", **said(1, room="blue"))], [("breach", "foreign", 0)]),
        (["leave", *live(1)], [("breach", "foreign", 0)]),
        ([*live(3), frame("history", room="red", messages=[], last=0)], [("breach", "forgot", 0)]),
        ([frame("presence", room="red", users=[person("bob", "offline")])], [("breach", "tooSoon", 0)]),
        ([frame("presence", room="red", users=[person("bob")], full=True)], [("breach", "notListed", 0)]),
        ([frame("dance")], [("breach", "unknownType", 0)]),
        (["{"], [("breach", "unreadable", 0)]),
        ([frame("message", **{**said(1), "user": "system", "content": "eve left"})] * 2, []),
    ],
)  # fmt: skip
def test_what_is_marked(blank: Page, frames: list[str], marks: list[tuple[str, str, int]]) -> None:
    """Each break of a rule is marked at the frame where it shows, with its name; what is allowed is not."""
    found = blank.evaluate(JUDGED, {"frames": frames, "repeated": ["id-1"]})
    assert [tuple(mark) for mark in found] == marks


@pytest.fixture(scope="module")
def blank(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The chat page, of which a test takes modules."""
    server = ThreadedServer(tmp_path_factory.mktemp("blank"))
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    yield page
    context.close()
    server.stop()


SCROLL = """async () => {
  const box = document.querySelector(".frames");
  const frames = [];
  let last = await new Promise(requestAnimationFrame);
  for (let step = 1; step <= 60; step += 1) {
    box.scrollTop = ((box.scrollHeight - box.clientHeight) * (60 - step)) / 60;
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
  }
  return frames.sort((a, b) => a - b);
}"""


def test_ten_thousand_messages_scroll(new_page: NewPage) -> None:
    """However many frames there are, a few dozens are elements, and to scroll through all of them is smooth.
    The oldest are dropped, and the page says how many.
    """
    server = FakeServer()
    try:
        page = new_page()
        page.goto(f"{server.url}/?lesson=ordering&people=ada#red")
        ada = page.locator(".person")
        ada.locator(".frames li[data-type=presence]").wait_for()
        server.talk(10_000)
        ada.locator(".frames li:has-text('#10000')").wait_for()
        rows = int(ada.locator(".frames li").first.get_attribute("aria-setsize") or 0)
        assert rows == 10_003, "connected, join and presence, and the messages"
        assert ada.locator(".frames li").count() < 100
        took = page.evaluate(SCROLL)
        print(f"frames: p50 {took[30]:.1f} ms, p95 {took[57]:.1f} ms, {took[-1]:.1f} ms at most")
        assert took[30] < 34, "of sixty positions, the median takes two frames of a screen at most"
        assert ada.locator(".frames li").first.inner_text().split()[2] == "connected"
        assert page.locator(".numbers ol > li").count() == 60
        server.talk(1_500)
        ada.locator(".dropped").wait_for()
        ada.get_by_role("button", name="Newest").click()
        ada.locator(".frames li:has-text('#11500')").wait_for()
        assert int(ada.locator(".frames li").last.get_attribute("aria-setsize") or 0) <= 11_000
        assert page.locator(".findings").get_attribute("data-found") == "false"
    finally:
        server.stop()


def test_a_burst_of_breaches_is_counted_and_its_list_stays_short(new_page: NewPage) -> None:
    """Ten thousand broken rules are counted; the last ones are listed."""
    server = FakeServer()
    try:
        page = new_page()
        page.goto(f"{server.url}/?lesson=ordering&people=ada#red")
        page.locator(".frames li[data-type=presence]").wait_for()
        server.send(*(frame("message", **said(2 * number)) for number in range(1, 2001)))
        eventually(lambda: "1,999 times" in show(page, ".findings summary"))
        page.locator(".findings summary").click()
        eventually(lambda: page.locator(".findings li").count() == 201)
        assert "#4000 after #3998: #3999 is missing" in page.locator(".findings li").first.inner_text()
        assert page.locator(".findings li").last.inner_text() == "and 1,799 times before"
    finally:
        server.stop()


def test_the_keyboard_chooses_frames_and_people(chat: ThreadedServer, new_page: NewPage) -> None:
    """Arrows choose a frame and show it whole, Escape closes it; on a telephone, arrows choose the person."""
    page = new_page(viewport={"width": 390, "height": 844})
    page.goto(f"{chat.url}/?lesson=chat")
    keys = page.keyboard
    ada, bob = (page.locator(f".person[data-person={name}]") for name in ("ada", "bob"))
    ada.locator(".frames li[data-type=presence]").first.wait_for()
    assert not bob.is_visible()
    page.get_by_role("tab", name="ada").focus()
    keys.press("ArrowRight")
    bob.wait_for()
    assert not ada.is_visible()
    bob.locator(".frames").focus()
    keys.press("Home")
    assert '"type": "connected"' in bob.locator(".detail pre").inner_text()
    keys.press("ArrowDown")
    assert '"type": "join"' in bob.locator(".detail pre").inner_text()
    eventually(lambda: bob.locator(".frames [aria-selected=true] b").all_inner_texts() == ["join"])
    active = bob.locator(".frames").get_attribute("aria-activedescendant")
    assert bob.locator(".frames [aria-selected=true]").get_attribute("id") == active
    keys.press("Escape")
    assert bob.locator(".detail").is_hidden()


def test_the_link_says_it_all(tmp_path: Path, new_page: NewPage) -> None:
    """Lesson, people and room stand in the address; what cannot be is left out; names are text. What else is
    there, such as a key, goes to the server.
    """
    chat = ThreadedServer(tmp_path, access_key="k&y")
    try:
        page, link = new_page(), f"{chat.url}/?key=k%26y&lesson="
        page.goto(f"{link}ordering&people=ada,ada,system,<b>bob</b>&server=javascript:1#red,..")
        page.locator(".person:nth-child(3) .state[data-state=open]").wait_for()
        assert page.locator(".person h2").all_inner_texts() == ["ada", "ada 2", "<b>bob</b>"]
        assert show(page, ".room-name") == "Room red"
        assert page.locator("h1").inner_text() == "Ordering"
        assert page.locator("aside li button:visible").count() == 1, "the step that everyone does"
        page.get_by_role("button", name="Copy the link").click()
        query = dict(parse_qsl(urlsplit(page.url).query))
        assert query["people"] == "ada,ada,<b>bob</b>"
        assert query["key"] == "k&y"
        assert page.url.endswith("#red")
        page.goto(f"{link}no-such")
        page.locator("h1:text-is('Presence')").wait_for()
    finally:
        chat.stop()


def test_the_chat_does_without_it(chat: ThreadedServer, new_page: NewPage) -> None:
    """The ordinary page loads none of the lesson's files."""
    page = new_page()
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
    page.goto(f"{chat.url}/?user=ada#red")
    page.locator("#people li").wait_for()
    assert {"main.js", "client.js"} <= set(loaded)
    assert not {"lesson.js", "lesson.css", "lessons.js", "person.js", "judge.js"} & set(loaded)

"""The scrubber in a real browser: stepping, its picture without scripts, and texts that would be code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.checkers.catalogue import Anomaly
from harness.reports.page import page
from harness.reports.scrubber import scrubber
from harness.texts import texts
from tests.browser.test_accessible import faults
from tests.harness.reports.runs import RED, run_of, story_of, summary_of, swapped

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra

HOSTILE = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1>"
_SHOWN_IN_A_NOTEBOOK = """html => {
    const cell = document.body.appendChild(document.createElement("div"));
    cell.innerHTML = html;
    for (const each of cell.querySelectorAll("script")) {
        const script = document.createElement("script");
        script.type = each.type;
        script.textContent = each.textContent;
        each.replaceWith(script);
    }
}"""
"""How Jupyter shows HTML: scripts in it run only since they are made anew."""
NewPage = Callable[..., "Page"]


def stored(tmp_path: Path, text: str) -> str:
    """The address of a page."""
    file = tmp_path / "page.html"
    file.write_text(text, encoding="utf-8")
    return file.as_uri()


def report(tmp_path: Path, lang: str = "en") -> str:
    """The address of a report of a swap."""
    return stored(tmp_path, page([summary_of(swapped())], texts(lang), "chatlab check 2"))


def messages(tab: Page, client: str) -> list[str]:
    """What a client has at the moment that is shown."""
    found: list[str] = tab.locator(f".client:has(.name b:text-is('{client}')) li").all_inner_texts()
    return found


def test_stepping_shows_who_had_seen_what(tmp_path: Path, new_page: NewPage) -> None:
    """It begins at what went wrong; by button, key and slider one goes back to the gap, and further."""
    tab = new_page(viewport={"width": 1280, "height": 800})
    tab.goto(report(tmp_path))
    slider = tab.get_by_role("slider", name="Moment")
    told = tab.locator(".told")
    assert "alice receives #61 “one” late" in told.inner_text()
    assert messages(tab, "alice")[-2:] == ["#62 carol: two", "#61 bob: one late"]
    assert tab.get_by_role("button", name="Next moment").is_disabled()

    tab.get_by_role("button", name="Previous moment").click()
    assert "alice receives #62 “two”" in told.inner_text()
    assert messages(tab, "alice")[-1] == "#62 carol: two"
    assert tab.get_by_text("missing: #61").is_visible()
    assert messages(tab, "bob")[-1] == "#60 carol: no. 29"
    veiled = tab.evaluate("document.querySelector('.veil').getBoundingClientRect().top")
    late = tab.evaluate(
        "[...document.querySelectorAll('svg text')].find(e => e.textContent.startsWith('#61'))"
        ".getBoundingClientRect().top"
    )
    assert veiled < late, "what lies after the moment is veiled"

    slider.focus()
    tab.keyboard.press("ArrowLeft")
    assert "the server sends to alice: #62 “two”" in told.inner_text()
    assert tab.get_by_text("missing: #61").count() == 0
    tab.keyboard.press("Home")
    assert told.inner_text() == "Before the first of these moments"
    assert messages(tab, "alice")[-1] == "#58 alice: no. 27"
    assert tab.get_by_role("button", name="Previous moment").is_disabled()


def test_without_scripts_it_is_the_picture(tmp_path: Path, new_page: NewPage) -> None:
    """As ever: no control, nothing veiled, all of it in sight; and so it is in print, with scripts."""
    still, live = new_page(java_script_enabled=False), new_page()
    address = report(tmp_path)
    for tab in (still, live):
        tab.goto(address)
    assert still.locator(".chatlab-scrubber figure svg").is_visible()
    assert still.locator("input, button, .veil, .client").count() == 0
    assert live.locator(".veil").is_visible()
    live.emulate_media(media="print")
    assert not any(live.locator(each).first.is_visible() for each in ("input", ".veil", ".row", ".client"))
    for tab in (still, live):
        inside = tab.locator(".chatlab-scrubber figure")
        assert inside.evaluate("e => e.scrollHeight <= e.clientHeight + 1")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_is_accessible(tmp_path: Path, new_page: NewPage, width: int, scheme: str) -> None:
    """Axe finds nothing at a moment in the middle, and nothing sticks out; in French, too."""
    tab = new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    tab.goto(report(tmp_path, "fr"))
    tab.get_by_role("button", name="Moment précédent").click()
    assert tab.get_by_text("manque : #61").is_visible()
    assert faults(tab) == []
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_texts_of_servers_stay_texts(tmp_path: Path, new_page: NewPage) -> None:
    """As contents, users and rooms, in a report and in a notebook, which has no policy of ours."""
    story, (alice, *_) = story_of(4)
    line = alice.says(RED, HOSTILE)
    alice.hears(line, 5, user=HOSTILE)
    alice.hears(line, 6, room=HOSTILE)
    found = Anomaly("lost", {"who": HOSTILE}, story.events[-2:])
    made = page([summary_of(run_of(story, {"2.1": [found]}))], texts("en"), HOSTILE)
    for text in (made, f"<!doctype html><title>t</title>{scrubber(story.events, HOSTILE)}"):
        tab = new_page()
        tab.goto(stored(tmp_path, text))
        tab.get_by_role("slider").first.press("End")
        assert tab.locator("li", has_text="</script>").first.is_visible()
        assert tab.evaluate("window.hit") is None
        assert tab.locator("img").count() == 0


def test_the_policy_stops_what_is_not_ours(tmp_path: Path, new_page: NewPage) -> None:
    """Were there a hole, what comes through it would not run, nor load anything."""
    text = page([summary_of(swapped())], texts("en"), "").replace("</main>", f"{HOSTILE[9:]}</main>")
    tab = new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(stored(tmp_path, text))
    tab.get_by_role("slider").first.press("Home")
    assert tab.evaluate("window.hit") is None
    assert any("Content Security Policy" in each for each in said)


def test_several_on_one_page_keep_apart(tmp_path: Path, new_page: NewPage) -> None:
    """As in a notebook, each with the script: none is made twice or moves another, and no name is left."""
    first, second = (str(scrubber(story_of(messages)[0].events, "t")) for messages in (6, 9))
    tab = new_page()
    tab.goto(stored(tmp_path, "<!doctype html><title>t</title>"))
    names = tab.evaluate("Object.keys(window).length")
    tab.goto(stored(tmp_path, f"<!doctype html><title>t</title>{first}"))
    for cell in (second, first):
        tab.evaluate(_SHOWN_IN_A_NOTEBOOK, cell)
    sliders = tab.get_by_role("slider")
    assert sliders.count() == 3
    sliders.nth(1).press("Home")
    moved = [each == "0" for each in sliders.evaluate_all("all => all.map(each => each.value)")]
    assert moved == [False, True, False]
    assert tab.evaluate("Object.keys(window).length") == names

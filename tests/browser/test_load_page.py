"""The page of a load and of a comparison in a real browser: accessible, whole, and without scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.load import compare_report
from harness.load.compare import compare
from harness.load.page import page
from harness.load.stored import Stored, read
from harness.texts import texts
from tests.browser.test_accessible import faults
from tests.load.made import broken_ramp, steady

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra


def stored(made: dict[str, Any]) -> Stored:
    """What is read back from a file."""
    return read(json.dumps(made))


def written(tmp_path: Path, what: str, language: str) -> str:
    """The address of a page: of a ramp that breaks, or of a comparison of two runs."""
    say = texts(language)
    if what == "ramp":
        html = page(stored(broken_ramp()), say)
    else:
        one, other = stored(steady(2.0)), stored(steady(4.0, users=350))
        html = compare_report.page(one, other, ("a.json", "b.json"), compare(one, other), say)
    file = tmp_path / f"{what}.html"
    file.write_text(html, encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize(("scheme", "size"), [("light", (1280, 900)), ("dark", (390, 844))])
def test_axe_finds_nothing(
    tmp_path: Path, new_page: Callable[..., Page], scheme: str, size: tuple[int, int]
) -> None:
    """Wide and light, narrow and dark; nothing is wider than the window, and nothing is loaded."""
    for what in ("ramp", "comparison"):
        tab = new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        said: list[str] = []
        tab.on("console", lambda message, said=said: said.append(message.text))
        tab.on("request", lambda request, said=said: said.append(request.url))
        tab.goto(written(tmp_path, what, "fr" if scheme == "dark" else "en"))
        asked = said.copy()
        assert faults(tab) == []
        assert len(asked) == 1, "the page itself"
        assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"


def test_where_it_breaks_is_seen_at_a_glance(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    """On a telephone, without scripts: the step stands on the first screen, and no picture is cut."""
    tab = new_page(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    tab.goto(written(tmp_path, "ramp", "en"))
    heading = tab.locator("h1")
    assert "breaks at 640 users" in heading.inner_text()
    for place in range(tab.locator("figure svg").count()):
        box = tab.locator("figure svg").nth(place).bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= 390

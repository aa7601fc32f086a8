"""The page of a class in a real browser: it is accessible, fits, and can be read without colour."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.grading.class_page import class_page
from harness.texts import texts
from tests.browser.test_accessible import faults
from tests.grading.made_class import files_of, made_class, made_copies

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra

WIDE = {"width": 1280, "height": 900}


def written(tmp_path: Path, language: str = "en") -> str:
    """The address of the page of a class of sixty."""
    grades = made_class(60)
    file = tmp_path / "class.html"
    page = class_page(grades, texts(language), files_of(grades), made_copies(grades))
    file.write_text(page, encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (400, 800)])
def test_axe_finds_nothing(
    tmp_path: Path, new_page: Callable[..., Page], scheme: str, size: tuple[int, int]
) -> None:
    """Wide and narrow, light and dark, with everything unfolded; and nothing is wider than the window."""
    tab = new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(written(tmp_path, "fr" if scheme == "dark" else "en"))
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert faults(tab) == []
    assert said == []
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"


def test_the_keyboard_scrolls_the_table_below_its_headers(
    tmp_path: Path, new_page: Callable[..., Page]
) -> None:
    """The region takes the focus without a script; the head and the names stay where they are."""
    tab = new_page(viewport={"width": 400, "height": 800}, java_script_enabled=False)
    tab.goto(written(tmp_path))
    tab.keyboard.press("Tab")
    assert tab.locator("a.skip:focus").count() == 1
    tab.keyboard.press("Tab")
    assert tab.locator(".tall:focus").count() == 1
    region = tab.locator(".tall")
    last = tab.locator(".map tfoot th")
    last.scroll_into_view_if_needed()
    tab.locator(".map thead th").last.scroll_into_view_if_needed()
    area, corner = region.bounding_box(), tab.locator(".map thead th").first.bounding_box()
    assert area is not None
    assert corner is not None
    assert abs(corner["x"] - area["x"]) < 3
    assert abs(corner["y"] - area["y"]) < 3


def test_it_prints_whole_and_in_black_and_white(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    """On paper nothing scrolls, folded names are shown, and dark colours are gone."""
    tab = new_page(viewport={"width": 718, "height": 1000}, color_scheme="dark")
    tab.goto(written(tmp_path))
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing is cut off"
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    hidden = """[...document.querySelectorAll(".wide")].filter(
        (it) => it.scrollHeight > it.clientHeight + 1).length"""
    assert tab.evaluate(hidden) == 0
    assert tab.locator("details:not([open]) a").first.is_visible()


def test_forced_colors_keep_the_signs(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    """Where the system chooses the colours, what failed has a frame."""
    tab = new_page(viewport=WIDE, forced_colors="active")
    tab.goto(written(tmp_path))
    assert tab.locator("td.f").first.evaluate("it => getComputedStyle(it).borderTopWidth") == "2px"
    assert tab.locator("td.f").first.inner_text() == "✗"

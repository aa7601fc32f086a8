"""What a notebook's cells show, in a page of their own: as stored, and as somebody runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
NewPage = Callable[..., "Page"]


def html_of(file: str) -> str:
    """All that the stored cells of a notebook show as HTML, one below the other."""
    cells = json.loads((FOLDER / file).read_text(encoding="utf-8"))["cells"]
    outputs = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    shown = "\n".join(f"<div>{''.join(each.get('text/html', ''))}</div>" for each in outputs)
    return f'<!doctype html><meta charset="utf-8"><body style="width:800px">{shown}'


def test_prediction_is_compared(new_page: NewPage) -> None:
    """Who opens what happened sees what was predicted, and whether it was right; or that nothing was."""
    page = new_page()
    page.set_content(html_of("ex1_chat.ipynb"))
    first, second = page.locator("details.chatlab-fold").all()
    assert not first.locator("img").is_visible()
    page.locator('input[name="chatlab-1-bob"][value="1"]').check()
    first.locator("summary").click()
    assert first.locator("img").is_visible()
    first.get_by_text("You predicted: 1 (right).").wait_for()
    second.locator("summary").click()
    second.get_by_text("You have predicted nothing yet.").wait_for()
    second.locator("summary").click()
    page.locator('input[name="chatlab-1-bob_again"][value="2"]').check()
    second.locator("summary").click()
    second.get_by_text("You predicted: 2 (not quite).").wait_for()


def test_history_is_stepped_through(new_page: NewPage) -> None:
    """The picture becomes a scrubber, also one that was folded; each moment shows what everybody has seen."""
    page = new_page()
    page.set_content(html_of("find_the_bug.fr.ipynb"))
    slider = page.locator("input[type=range]")
    assert slider.count() == 1
    assert page.locator("div[class^=later] img").count() == 0
    slider.focus()
    page.keyboard.press("Home")
    before = page.locator(".chatlab-scrubber").inner_text()
    for _ in range(9):
        page.keyboard.press("ArrowRight")
    assert page.locator(".chatlab-scrubber").inner_text() != before
    page.set_content(html_of("ex2_ordering.ipynb"))
    fold = page.locator("details.chatlab-fold").nth(1)
    fold.locator("summary").click()
    assert fold.locator("input[type=range]").is_visible()


def test_everything_is_there_without_scripts(new_page: NewPage) -> None:
    """As on GitHub: the pictures, no wider than their column, what happened, and the options."""
    page = new_page(java_script_enabled=False)
    page.set_content(html_of("ex2_ordering.fr.ipynb"))
    for fold in page.locator("details.chatlab-fold").all():
        fold.locator("summary").click()
        image = fold.locator("img")
        assert image.is_visible()
        assert image.evaluate("each => each.naturalWidth") > 800
        assert image.bounding_box()["width"] <= 800
    assert page.get_by_text("C’était : 1 2 4 3.").is_visible()
    assert page.locator("input[type=range]").count() == 0

"""The report in a real browser: it is accessible, needs no scripts, and loads nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.reports.page import page
from harness.texts import texts
from harness.verdict.steps import EXERCISES
from tests.browser.test_accessible import faults
from tests.harness.reports.runs import run_of, story_of, summary_of, swapped

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.extra


def written(tmp_path: Path, *, failing: bool, messages: int = 60, lang: str = "en") -> str:
    """The address of a page."""
    run = swapped(messages) if failing else run_of(story_of(messages)[0], {})
    file = tmp_path / "report.html"
    file.write_text(page([summary_of(run)], texts(lang), "chatlab check 2 --seed 7"), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize("failing", [True, False])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing(tmp_path: Path, new_page: Callable[..., Page], failing: bool, width: int) -> None:
    """Neither in a failure nor in a pass, wide or narrow, with everything unfolded."""
    tab = new_page(viewport={"width": width, "height": 800})
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(written(tmp_path, failing=failing))
    tab.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert faults(tab) == []
    assert said == []
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out"


def test_the_keyboard_reaches_everything(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    """The link past the top, the findings, the diagrams, and the folds, which open by Enter."""
    tab = new_page(java_script_enabled=False)
    tab.goto(written(tmp_path, failing=True))
    tab.keyboard.press("Tab")
    assert tab.locator("a.skip:focus").count() == 1
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.locator("details:not([open]) > summary:focus").count():
            break
    folded = tab.locator("details:not([open])").count()
    tab.keyboard.press("Enter")
    assert tab.locator("details:not([open])").count() == folded - 1
    assert tab.locator("figure[tabindex='0']").count() == tab.locator("figure").count() > 2


def test_ten_thousand_events_are_laid_out_at_once(tmp_path: Path, new_page: Callable[..., Page]) -> None:
    """Folded, they take no room: apart from its folds, the page is no longer than that of a short run."""
    heights = []
    for messages in (60, 2500):
        tab = new_page()
        tab.goto(written(tmp_path, failing=True, messages=messages))
        heights.append(tab.evaluate("document.documentElement.scrollHeight"))
    assert heights[1] < heights[0] + 1000


@pytest.mark.live
@pytest.mark.parametrize(
    ("target", "exercise"),
    [
        # Each takes fifteen seconds: of half of them only -m thorough looks at the page.
        pytest.param(target, exercise, marks=[pytest.mark.thorough] if (exercise + number) % 2 else [])
        for number, target in enumerate(["--solutions", "--exercises"])
        for exercise in EXERCISES
    ],
)
def test_the_page_of_a_real_run(
    tmp_path: Path, new_page: Callable[..., Page], exercise: int, target: str
) -> None:
    """Failing as it is handed out, and passing: the page is small, and nothing overflows it."""
    file = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli.main", "check", str(exercise), target, "--html", str(file)],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == (0 if target == "--solutions" else 1), done.stdout + done.stderr
    assert str(file) in done.stdout
    assert file.stat().st_size < 1_100_000
    tab = new_page()
    said: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.goto(file.as_uri())
    assert faults(tab) == []
    assert said == []
    assert tab.locator("svg").count() >= (2 if target == "--solutions" else 3)

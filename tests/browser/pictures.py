"""Takes the README's picture of the teaching page: `python -m tests.browser.pictures`.

The server runs with the stub of exercise 2, and everybody sends at once. What shows is described by
`test_lesson.py`; the picture itself is not compared, since each version of a browser draws other pixels.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from harness.judged.handed_out import pristine
from lab.hub import Components
from lab.loader import load
from tests.browser.conftest import ARGUMENTS
from tests.browser.helpers import ThreadedServer
from tests.kit.pages import ROOT

PICTURE = ROOT / "exercises/lesson.png"


def main() -> None:
    """Write the picture."""
    ((place, text),) = pristine(2).items()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        file = Path(name) / place.name
        file.write_text(text, encoding="utf-8")
        components = Components()
        components.sequencer = load("sequencer", str(file))
        server = ThreadedServer(Path(name) / "data", components=components)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1180, "height": 620})
        try:
            page.goto(f"{server.url}/?lesson=ordering&lang=en")
            page.get_by_role("button", name="10 at once").first.click()
            page.get_by_text("#1").first.wait_for()
            page.wait_for_timeout(1000)
            page.screenshot(path=PICTURE)
        finally:
            browser.close()
            server.stop()


if __name__ == "__main__":
    main()

"""The page that a failed check writes, and the folder that it is in."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from harness.check.files import LAST_PAGE, OURS, write_page
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.texts import texts
from tests.harness.check.checks import made_up, options, terminal


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a check writes goes into a folder of the test."""
    monkeypatch.chdir(tmp_path)


def checked(*verdicts: tuple[int, str], target: str = "", **more: object) -> str:
    """The output of what a check does about its page, after these verdicts on exercises."""
    runs = [made_up(exercise, "1", verdict) for exercise, verdict in verdicts]
    for run in runs:
        run.target = target or run.target
    shown, out = terminal()
    write_page([Summary(1, "live", "x", 1.0, [runs])], options(**more), shown)
    return out.getvalue()


def test_a_failure_is_a_page_in_a_folder_of_its_own() -> None:
    """It is named, and git ignores the folder, in whatever repository it is."""
    subprocess.run(["git", "init", "-q"], check=True)
    assert checked((2, "lost")) == "What happened, with diagrams: .chatlab/report.html\n"
    assert "<html" in LAST_PAGE.read_text()
    told = subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True)
    assert told.stdout == ""


def test_a_pass_removes_it() -> None:
    """Once all that had failed has passed; other exercises, somebody else's, or a small run do not count."""
    checked((1, "passed"), (2, "lost"), (3, "duplicate"))
    checked((1, "passed"))
    checked((2, "passed"))
    checked((2, "passed"), (3, "passed"), target="solutions/x.py")
    checked((2, "inconclusive"), (3, "passed"))
    checked((2, "passed"), (3, "passed"), small=True)
    assert LAST_PAGE.exists()
    assert checked((2, "passed"), (3, "passed")) == ""
    assert not LAST_PAGE.exists()


def test_a_run_that_fails_keeps_it() -> None:
    """Of several runs, one that fails is enough."""
    checked((2, "lost"))
    runs = [[made_up(2, "1", "passed")], [made_up(2, "2", "inconclusive")]]
    write_page([Summary(1, "live", "x", 1.0, runs)], options(), terminal()[0])
    assert LAST_PAGE.exists()


def test_a_page_that_was_asked_for_stays_where_it_was() -> None:
    """`--html FILE` is that file, whether it failed or not, and no folder is made."""
    assert "mine.html" in checked((2, "passed"), html_file="mine.html")
    assert Path("mine.html").exists()
    assert not OURS.exists()


def test_where_nothing_can_be_written_one_sentence_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """The check goes on."""
    OURS.write_text("a file where the folder should be")
    assert checked((2, "lost")) == ""
    assert capsys.readouterr().err == ".chatlab/report.html could not be written: Not a directory\n"


def test_a_page_that_says_nothing_of_itself_stays() -> None:
    """It may be somebody's own."""
    OURS.mkdir()
    LAST_PAGE.write_text("<p>mine")
    checked((2, "passed"))
    assert LAST_PAGE.exists()


@pytest.mark.parametrize("folder", ["plain", "with space #1 é"])
def test_its_link_can_be_clicked(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal is told the address of the file that the name stands for."""
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", soft_wrap=True)
    Terminal(texts(), console=console).link("ui.page", LAST_PAGE)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.startswith("What happened, with diagrams: \033]8;id=")
    assert f";{LAST_PAGE.absolute().as_uri()}\033\\.chatlab/report.html\033]8;;\033\\" in printed

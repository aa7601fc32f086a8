"""Every excerpt in the pages is what the kit prints now."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.reports.summary import excluded_frequency
from harness.texts import texts
from harness.verdict.steps import COMPONENTS, EXERCISES, points_for, steps_of
from tests.kit import excerpts
from tests.kit.excerpts import EXCERPTS, Excerpt, run_of
from tests.kit.pages import INPUT, MEASURED, PAGES, blocks, outputs, put, read

pytestmark = pytest.mark.xdist_group("sim")  # on one worker, where each run is played once


@pytest.mark.parametrize("excerpt", EXCERPTS, ids=lambda excerpt: excerpt.id)
def test_an_excerpt_is_what_is_printed(excerpt: Excerpt) -> None:
    """The whole block is equal; if not, `python -m tests.kit.excerpts --write` replaces it."""
    assert outputs(read(excerpt.page))[excerpt.number][2] == excerpt.made()


@pytest.mark.parametrize("path", excerpts.PICTURES, ids=lambda path: path.name)
def test_the_picture_of_a_report_is_what_is_printed(path: Path) -> None:
    """Word by word."""
    drawn = excerpts.PICTURES[path]()
    assert excerpts.words(path.read_text(encoding="utf-8")) == excerpts.words(drawn)


def unlisted(page: str, text: str) -> list[int]:
    """The blocks of output on a page that have no entry, and the entries that have no block."""
    listed = {each.number for each in EXCERPTS if each.page == page}
    return sorted(listed ^ set(range(len(outputs(text)))))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_output_has_an_entry(page: str) -> None:
    """A block has a kind that a reader types, or is a drawing, or is in the list of output."""
    text = read(page)
    assert {block[1] for block in blocks(text)} <= {*INPUT, *MEASURED, "text"}
    assert text.count("\n```") == 2 * len(blocks(text)), "a fence that is not closed, or is indented"
    assert unlisted(page, text) == []


def test_a_block_of_output_without_an_entry_is_noticed() -> None:
    """Also one whose fence names no kind."""
    text = read("README.md")
    assert unlisted("README.md", f"{text}\n```text\n  ✗ 2.2  Invented\n```\n") == [1]
    assert unlisted("README.md", f"{text}\n```\n  ✗ 2.2  Invented\n```\n") == [1]
    assert unlisted("README.md", f"{text}\n```sh\nchatlab check 2\n```\n") == []
    assert unlisted("README.md", put(text, 0, "").replace("```text\n```", "")) == [0]


def test_a_block_is_replaced() -> None:
    """Writing changes the block and nothing else, and finds it again."""
    text = "a\n```sh\nx\n```\nb\n```text\nold\n```\nc\n"
    assert put(text, 0, "new\n") == text.replace("old", "new")


def test_a_finding_that_is_not_in_the_report_is_an_error() -> None:
    """So an excerpt cannot become empty when a stub starts to fail in another way."""
    with pytest.raises(LookupError, match=r"does not fail at 2\.3 by gap"):
        excerpts.finding(2, "2.3", "gap")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_the_handout_has_the_points_of_the_stub(exercise: int) -> None:
    """As it is handed out."""
    of = sum(points_for(step, COMPONENTS[exercise]) for step in steps_of(exercise))
    folder = f"exercises/{EXERCISES[exercise]}"
    earned = sum(step.points for step in run_of(exercise).steps)
    assert f"ends at {earned} of {of} points" in " ".join(read(f"{folder}/README.md").split())
    assert f"finit à {earned} point{'s' if earned > 1 else ''} sur {of}" in " ".join(
        read(f"{folder}/README.fr.md").split()
    )


def test_the_page_for_instructors_has_the_points_of_the_stubs() -> None:
    """All four together."""
    earned = sum(step.points for exercise in EXERCISES for step in run_of(exercise).steps)
    assert f"as they are earn {earned} of these" in read("harness/grading/README.md")


def test_the_sentences_that_the_readme_quotes_are_those_of_the_report() -> None:
    """A receipt, with some numbers in it; and what 300 runs that passed have shown."""
    text, say = read("README.md"), texts("en").say
    receipt = say("proof.killed", kills=8, unseen=9).partition("; ")[2]
    pattern = re.sub(r"\d", r"[\\d, ]+", re.escape(receipt))
    assert re.search(f"“{pattern}”", " ".join(text.split()))
    sentence = say("ui.runs_bound", percent=f"{100 * excluded_frequency(300):.1f}")
    assert f"--runs 300       # 300 seeds: if all pass, “{sentence.partition(', ')[2].rstrip('.')}”" in text

"""The page of a class says what was found, in words and signs, and whatever names it is given."""

from __future__ import annotations

import os
import re
import time
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import pytest

from harness.grading.class_page import class_page
from harness.grading.copies import NearCopies
from harness.grading.result import Grade, Mark, Part
from harness.texts import LANGUAGES, Texts, texts
from harness.verdict.outcome import Outcome
from harness.verdict.steps import POINTS
from tests.grading.made_class import HOSTILE, files_of, made_class, made_copies

ENGLISH = texts("en")


class Read(HTMLParser):
    """The elements of a page with their attributes, and the text of each cell."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        """Text, of the cell that began last."""
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip("\n")

    def attributes(self, name: str) -> list[str]:
        """What all attributes of a name are set to."""
        return [value for _, attrs in self.elements if (value := attrs.get(name)) is not None]


def read(grades: dict[str, Grade], files: set[str] | None = None) -> Read:
    """The page of these grades; of all their files, unless others are given."""
    return Read(class_page(grades, ENGLISH, files_of(grades) if files is None else files))


def grade(name: str, verdict: Outcome, points: float = 0, of: float = 10, **more: object) -> Grade:
    """A grade with one step."""
    mark = Mark("2.2", verdict, points, of)
    found = Grade(name, parts={2: Part(verdict, points, of, 1.0, [mark])}, **more)
    found.sum_up()
    return found


def test_names_that_mean_harm_do_none() -> None:
    """They are text: no element and no attribute comes from them, and nothing steers whoever reads it."""
    grades = made_class(len(HOSTILE))
    page = class_page(grades, ENGLISH, files_of(grades), made_copies(grades))
    found = Read(page)
    kinds = {tag for tag, _ in found.elements}
    assert not kinds & {"script", "b", "img", "iframe", "link"}
    assert not [name for _, attrs in found.elements for name in attrs if name.startswith("on")]
    assert not set("\u202e\x1b\udce9\udcff") & set(page)
    page.encode()
    assert "evil\\u202egpj.exe" in page


def test_links_lead_to_the_reports() -> None:
    """Each is the file's name, percent-encoded byte for byte; where there is no file, there is no link."""
    grades = made_class(30)
    files = files_of(grades)
    leads = {link for link in read(grades).attributes("href") if not link.startswith("#")}
    assert all(re.fullmatch("[A-Za-z0-9._~%-]+", link) for link in leads)
    assert {unquote_to_bytes(link) for link in leads} == {os.fsencode(file) for file in files}
    assert [link for link in read(grades, set()).attributes("href") if link != "#main"] == []


def test_the_page_needs_nothing_else() -> None:
    """Nothing is loaded, and nothing runs."""
    grades = made_class(10)
    page = class_page(grades, ENGLISH, files_of(grades), made_copies(grades))
    assert not re.search(r"<script|<link|src=|@import|url\(|https?://(?!www\.w3\.org/2000/svg)", page)


def test_the_table_has_a_row_for_each_student_in_order() -> None:
    """Names in the first column, a sign in each cell, and how many passed each step at the end."""
    grades = made_class(30, hostile=False)
    found = read(grades)
    head, *rows, foot = found.rows[:32]
    assert head[2:-1] == [*POINTS, "no sleep"]
    names = [row[0].partition(" (")[0] for row in rows]
    assert names == sorted(grades)
    assert all(set(row[2:-1]) <= set("✓✗?-") for row in rows)
    for place, step in enumerate(POINTS, start=2):
        column = [row[place] for row in rows]
        assert foot[place] == str(column.count("✓")), step
    scopes = found.attributes("scope")
    assert scopes.count("row") >= 31
    assert scopes.count("col") >= len(head)


def test_who_lacks_an_exercise_has_dashes() -> None:
    """Steps that were not judged are told from those that failed; tests of a rubric stand at the end."""
    grades = made_class(3, hostile=False)
    first = next(iter(grades.values()))
    del first.parts[2]
    first.checks = [Mark("2.9", Outcome.PASSED, 1, 1, "<i>Mine</i>")]
    found = read(grades)
    row = next(row for row in found.rows if row[0].startswith(first.name))
    assert found.rows[0][-3:-1] == ["2.9", "no sleep"]
    assert row[7:11] == ["-"] * 4
    assert row[-3:-1] == ["✓", "-"]
    assert not any(tag == "i" for tag, _ in found.elements)


def test_the_summary_comes_first_and_counts() -> None:
    """How many there are, who passed everything, the median of those that are final, and who is open."""
    grades = {
        "a": grade("a", Outcome.PASSED, 10),
        "b": grade("b", Outcome.FAILED, 4.5),
        "c": grade("c", Outcome.FAILED, 1),
        "d": grade("d", Outcome.INCONCLUSIVE),
    }
    page = class_page(grades, ENGLISH, ())
    told = page[page.index("<h1>") : page.index("<table")]
    for words in (
        "4 submissions",
        "For the instructor only",
        "1 of 4 passed",
        "4.5 of 10 points",
        "1 has no final",
    ):
        assert words in told
    assert "4,5 points sur 10" in class_page(grades, texts("fr"), ()).replace("\xa0", " ")
    grades["b"].of = 9
    assert "50 % of the possible" in class_page(grades, ENGLISH, ())


def test_an_empty_class_has_a_page() -> None:
    """Nobody, or nobody who was judged, is no error."""
    assert "0 submissions" in class_page({}, ENGLISH, ())
    assert "1 submission<" in class_page({"a": Grade("a")}, ENGLISH, ())


def test_what_went_wrong_is_ranked() -> None:
    """Each anomaly once, with its students counted once, its steps, its section, and who they are."""
    grades = made_class(40, hostile=False)
    rows = [row for row in read(grades).rows if len(row) == 5][1:]
    counts = [int(row[0]) for row in rows]
    assert counts == sorted(counts, reverse=True)
    crash = next(row for row in rows if "(lost_after_crash)" in row[1])
    expected = {
        stem
        for stem, each in grades.items()
        if any("lost_after_crash" in mark.anomalies for mark in each.parts[4].steps)
    }
    assert int(crash[0]) == len(expected)
    assert crash[1].startswith(ENGLISH.say("anomaly.lost_after_crash.title"))
    assert crash[2] == "4.3, 4.4"
    assert crash[3] == ENGLISH.say("section.persistence")
    assert all(stem in crash[4] for stem in expected)


def test_an_anomaly_that_is_not_in_the_catalogue_is_shown() -> None:
    """A rubric, or another version of the kit, may have names of its own."""
    mark = Mark("x", Outcome.FAILED, 0, 1, "X", ["It <em>sleeps</em>."], ["sleeps"])
    page = class_page({"a": Grade("a", checks=[mark])}, ENGLISH, ())
    assert "It &lt;em&gt;sleeps&lt;/em&gt;." in page
    assert "(sleeps)" in page


def test_who_is_open_is_told_with_the_reason() -> None:
    """Each reason once, beside the steps; and the slowest are ranked."""
    page = class_page(made_class(60, hostile=False), ENGLISH, ())
    told = page[page.index('id="open"') : page.index('id="slowest"')]
    assert told.count("<dt>") == 4
    assert told.count("Not finished within 300 s") == 4
    assert told.count("Open: 2.1, 2.2, 2.3, 2.4.") == 4
    slowest = page[page.index('id="slowest"') :].partition("</ol>")[0]
    seconds = [float(each) for each in re.findall(r"([\d.]+) s<?", slowest)]
    assert len(seconds) == 10
    assert seconds == sorted(seconds, reverse=True)


def test_isolation_is_warned_of_once() -> None:
    """With the number of those concerned; where there was a sandbox, or nothing is known, not at all."""
    grades = made_class(60)
    assert class_page(grades, ENGLISH, ()).count("6 submissions was not run in a sandbox (3 without") == 1
    for each in grades.values():
        each.isolation = "bubblewrap" if each.isolation == "none" else ""
    assert "sandbox" not in class_page(grades, ENGLISH, ())


def test_what_the_instructor_is_to_look_at() -> None:
    """Attention, remarks and notes stand by the student's name."""
    grades = {
        "a": grade("a", Outcome.PASSED, 10, attention=["Look here."], remarks=["A remark."], note="Mine.")
    }
    told = class_page(grades, ENGLISH, ()).partition('id="attention"')[2]
    assert [words for words in ("Look here.", "A remark.", "Note: Mine.") if words not in told] == []
    assert 'id="attention"' not in class_page({"a": grade("a", Outcome.PASSED)}, ENGLISH, ())


def test_near_copies_are_told_or_why_they_are_not() -> None:
    """None found, none looked for, and not asked for are three different things."""
    grades = made_class(20)
    assert "the same as the model answer" in class_page(grades, ENGLISH, (), made_copies(grades))
    assert ENGLISH.say("class_page.no_copies") in class_page(grades, ENGLISH, (), NearCopies())
    assert "chat-lab[grading]" in class_page(grades, ENGLISH, (), NearCopies(is_possible=False))
    assert 'id="copies"' not in class_page(grades, ENGLISH, ())
    many = NearCopies(made_copies(grades).pairs * 50)
    assert "100 less similar pairs are left out." in class_page(grades, ENGLISH, (), many)


def test_the_distribution_has_words_for_its_bars() -> None:
    """Full points are a bar of their own, and the description tells the numbers."""
    points = [0, 0.5, 9.9, 10, 10]
    grades = {f"s{n}": grade(f"s{n}", Outcome.FAILED, each) for n, each in enumerate(points)}
    description = re.search(r"<desc[^>]*>(.*?)</desc>", class_page(grades, ENGLISH, ()))
    assert description is not None
    assert "0–9 %: 2," in description[1]
    assert description[1].endswith("90–99 %: 1, 100 %: 2.")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_the_page_is_used(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No text is left over, none is missing, and no field is left unfilled."""
    used = set()
    say = Texts.say

    def noted(self: Texts, key: str, /, **params: object) -> str:
        used.add(key)
        return say(self, key, **params)

    monkeypatch.setattr(Texts, "say", noted)
    grades = made_class(60)
    grades["bob-hal-027"].parts[1].kit_failed = True
    said = texts(language)
    many = NearCopies(made_copies(grades).pairs * 50)
    pages = [
        class_page(grades, said, files_of(grades), many),
        class_page({"a": Grade("a")}, said, (), NearCopies()),
        class_page({"a": grade("a", Outcome.PASSED), "b": grade("b", Outcome.PASSED, 1, 5)}, said, ()),
        class_page({}, said, (), NearCopies(is_possible=False)),
    ]
    known = {key for key in said.keys() if key.startswith(("class_page.", "copies."))}  # noqa: SIM118
    assert {key for key in used if key.startswith(("class_page.", "copies."))} == known
    assert not re.search(r"\{\w+\}", "".join(pages))
    assert f'<html lang="{language}">' in pages[0]


def test_a_large_class_makes_a_small_page() -> None:
    """Three hundred students fit into 300 KB, at once."""
    grades = made_class(300, hostile=False)
    files = files_of(grades)
    started = time.process_time()  # which other programs hardly lengthen
    page = class_page(grades, ENGLISH, files, made_copies(grades))
    assert time.process_time() - started < 5
    assert len(page.encode()) < 300_000

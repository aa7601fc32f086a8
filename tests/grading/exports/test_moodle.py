from __future__ import annotations

import codecs
import csv
import io

import pytest

from harness.grading.exports.filled import Filled
from harness.grading.exports.moodle import filled
from harness.grading.result import Author, Grade, Mark
from harness.texts import texts
from harness.texts.problem import Problem
from tests.grading.exports.grades import PASSED, failed, grade_of, undecided

ENGLISH = (
    'Identifier,"Full name","Email address",Status,Grade,"Maximum grade","Grade can be changed",'
    '"Last modified (submission)","Last modified (grade)","Feedback comments"\n'
    '"Participant 101","Ada Lovelace",ada@x.org,"Submitted for grading",,5.00,Yes,'
    '"Monday, 5 October 2026, 9:00 AM",-,\n'
    '"Participant 102","Zoé O\'Neil",zoe@x.org,"Submitted for grading",,5.00,Yes,-,-,\n'
    '"Participant 103","Bob =1+1",bob@x.org,"No submission",,5.00,Yes,-,-,\n'
)
FRENCH = (
    'Identifiant;"Nom complet";"Adresse de courriel";Statut;Note;"Note maximale";'
    '"La note peut être modifiée";"Dernière modification (note)";"Feedback par commentaires"\r\n'
    'Participant101;"Ada Lovelace";ada@x.org;"Remis pour évaluation";;20,00;Oui;-;\r\n'
    'Participant102;"Zoé O\'Neil";zoe@x.org;"Remis pour évaluation";;20,00;Oui;-;\r\n'
)
ADA = Author("Participant 101", "Ada Lovelace")
ZOE = Author("", "zoe oneil")


def fill(sheet: str | bytes, *grades: Grade, lang: str = "en", is_scaled: bool = False) -> Filled:
    """Fill in a worksheet."""
    data = sheet.encode() if isinstance(sheet, str) else sheet
    return filled(data, grades, texts(lang), is_scaled=is_scaled)


def cells(result: Filled, delimiter: str = ",") -> list[list[str]]:
    """The rows below the header, as a program reads them."""
    text = result.data.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))[1:]


def test_marks_and_comments_are_filled_in() -> None:
    """By the participant's number, or by the name; who has not handed in is told."""
    wrong = grade_of("z", Mark("1.1", PASSED, 1, 1), failed("1.4", "A message was lost"), author=ZOE)
    result = fill(ENGLISH, grade_of("a", author=ADA), wrong)
    ada, zoe, bob = cells(result)
    assert (ada[4], ada[9]) == ("5", "5 of 5 points.")
    assert (zoe[4], zoe[9]) == ("1", "1 of 5 points.<br>Failed: 1.4: A message was lost")
    assert (bob[4], bob[9]) == ("", "")
    assert (result.count, result.no_submission, result.no_row) == (2, ["Bob =1+1"], [])
    assert (result.unfinished, result.notes) == ([], [])


def test_every_other_byte_stays() -> None:
    """Moodle compares the identifier and the time of the last change: nothing but two cells changes."""
    result = fill(codecs.BOM_UTF8 + ENGLISH.encode(), grade_of("a", author=ADA))
    expected = ENGLISH.replace(",,5.00", ",5,5.00", 1).replace("-,\n", '-,"5 of 5 points."\n', 1)
    assert result.data == codecs.BOM_UTF8 + expected.encode()


def test_a_class_without_grades() -> None:
    """The worksheet stays as it is, and everybody is without a submission."""
    result = fill(ENGLISH)
    assert (result.data, result.count, len(result.no_submission)) == (ENGLISH.encode(), 0, 3)


def test_who_has_no_final_mark_is_left_as_it_was() -> None:
    """One open step is enough: the row is untouched, and the submission is told."""
    is_open = grade_of("a", failed("1.3", "A"), undecided(), author=ADA)
    result = fill(ENGLISH, is_open)
    assert (result.data, result.unfinished, result.no_row) == (ENGLISH.encode(), ["a"], [])


def test_whoever_is_in_no_row_is_told() -> None:
    """A grade that belongs to no row, or perhaps to somebody else's, goes nowhere."""
    other = grade_of("m", author=Author("102", "Mallory"))
    result = fill(ENGLISH, other, grade_of("nobody"))
    assert (result.data, result.no_row) == (ENGLISH.encode(), ["m", "nobody"])


def test_a_french_worksheet() -> None:
    """Its columns, identifiers without a space, semicolons and decimal commas."""
    half = grade_of("a", Mark("1.4", PASSED, 2.5, 4), Mark("1.1", PASSED, 1, 1), author=ADA)
    result = fill(FRENCH, half, lang="fr")
    ada, _ = cells(result, ";")
    assert (ada[4], ada[8]) == ("3,5", "3,5 points sur 5.")
    assert "sur 5 points, et la note maximale de la feuille est 20" in result.notes[0]
    (scaled, *_) = cells(fill(FRENCH, half, lang="fr", is_scaled=True), ";")
    assert scaled[4] == "14"
    assert cells(fill(FRENCH.replace("20,00", "20"), half), ";")[0][4] == "3,5"


def test_a_decimal_comma_between_commas_is_in_quotation_marks() -> None:
    """Moodle itself writes French worksheets with commas between the cells."""
    sheet = FRENCH.replace("20,00", '"20,00"').replace(";", ",")
    half = grade_of("a", Mark("1.4", PASSED, 2.5, 4), author=ADA)
    assert b',"2,5","20,00",' in fill(sheet, half, lang="fr").data


@pytest.mark.parametrize("codec", ["cp1252", "utf-16"])
def test_a_worksheet_that_a_spreadsheet_has_saved(codec: str) -> None:
    """The encoding stays; what it lacks is written as HTML does."""
    lost = grade_of("a", failed("1.4", "lost → 李"), author=ADA)
    data = fill(FRENCH.encode(codec), lost, lang="fr").data
    assert ("→ 李" if codec == "utf-16" else "&#8594; &#26446;") in data.decode(codec)
    assert "Dernière modification" in data.decode(codec)


def test_the_penalty_is_taken_off_and_told() -> None:
    """The mark is what is left, and the comment says why."""
    late = grade_of("a", author=ADA, penalty=1.5)
    late.late_days = 2
    ada, *_ = cells(fill(ENGLISH, late))
    assert ada[4] == "3.5"
    assert ada[9] == "3.5 of 5 points.<br>1.5 points were taken off: 2 days late."


def test_a_mark_above_the_maximum_is_told() -> None:
    """Moodle skips it without a word."""
    result = fill(ENGLISH.replace("5.00", "4.00"), grade_of("a", author=ADA))
    assert "out of 5 points, and the worksheet's maximum is 4" in result.notes[0]
    assert "Above the worksheet's maximum, which Moodle does not import: a" in result.notes[1]


def test_hidden_steps_are_told_by_their_category_only() -> None:
    """Neither the step, nor its title, nor what was found is in the comment."""
    secret = Mark("race-42", failed().verdict, 0, 2, "the secret title", ["the secret reason"], [], True)
    grade = grade_of("a", failed("1.3", "secret of 1.3", hidden=True), author=ADA)
    grade.checks.append(secret)
    grade.sum_up()
    ada, *_ = cells(fill(ENGLISH, grade))
    assert "secret" not in ada[9]
    assert "race" not in ada[9]
    assert "1.3" not in ada[9]
    assert "Exercise 1: Basic chat" in ada[9]
    assert "Tests of the course&#x27;s own" in ada[9]


def test_only_what_its_author_may_read() -> None:
    """Remarks are in the comment; what is for the instructor is not, nor the folders of this machine."""
    why = "there is no /home/prof/My class/ada/ex1_chat/pubsub.py; see /usr/share/doc/x.txt"
    grade = grade_of("ada", failed("1.3", why), failed("1.4", why), author=ADA)
    grade.remarks, grade.attention, grade.note = ["It was in /tmp/in/ada/a.zip."], ["A copy?"], "a note"
    comment = cells(fill(ENGLISH, grade))[0][9]
    assert "Failed: 1.3, 1.4: there is no ada/ex1_chat/pubsub.py; see x.txt" in comment
    assert "It was in ada/a.zip." in comment
    assert not any(word in comment for word in ("prof", "/tmp", "copy?", "a note"))


@pytest.mark.parametrize("said", ['=1+1", "', "<script>", "a\\", "a\nb", "\x1b[31m", "\udce9", '\\"'])
def test_hostile_words_in_a_comment(said: str) -> None:
    """A comment is one line of HTML without tags of others, quotation marks and backslashes."""
    result = fill(ENGLISH, grade_of("a", failed("1.4", said), author=ADA))
    comment = cells(result)[0][9]
    assert not set('"\\\n\x1b') & set(comment)
    assert "<" not in comment.replace("<br>", "")
    assert result.data.count(b"\n") == ENGLISH.count("\n")


def test_comments_that_were_there_are_counted() -> None:
    """Somebody's own words are not replaced in silence; to write the same again is no change."""
    sheet = ENGLISH.replace("-,\n", "-,Well done\n", 1)
    once = fill(sheet, grade_of("a", author=ADA))
    assert once.notes == ["1 comment was there before, and was replaced."]
    assert fill(once.data, grade_of("a", author=ADA)).notes == []


def test_an_anonymous_worksheet_without_comments() -> None:
    """Neither names nor comments are there: the number is enough, and the marks are written."""
    sheet = 'Identifier,Status,Grade,"Maximum Grade","Last modified (grade)"\n"Participant 101",,,5.00,-\n'
    result = fill(sheet, grade_of("a", author=Author("101")))
    assert b'"Participant 101",,5,5.00,-\n' in result.data
    assert "no column for comments" in result.notes[0]


@pytest.mark.parametrize("sheet", ["", "a,b\n1,2\n", ENGLISH.replace("Last modified (grade)", "x")])
def test_a_file_that_is_no_worksheet(sheet: str) -> None:
    """It is refused with a sentence that says how to get one."""
    with pytest.raises(Problem, match="no grading worksheet of Moodle in English or French"):
        fill(sheet, grade_of("a", author=ADA))


def test_scaling_needs_a_maximum() -> None:
    """A worksheet for a scale of words has no maximum."""
    sheet = "Identifier,Grade,Scale,Last modified (grade)\nParticipant 101,,good,-\n"
    with pytest.raises(Problem, match="leave out --scale"):
        fill(sheet, grade_of("a", author=ADA), is_scaled=True)

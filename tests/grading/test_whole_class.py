"""A class is graded in several calls, stopped and edited in between: nothing is lost, or played twice."""

from __future__ import annotations

import asyncio
import csv
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.contracts.result import Played
from harness.grading import grade as grading
from harness.grading import whole_class
from harness.running.run import Run
from harness.running.worker import Job
from harness.submissions import staging
from harness.submissions import submission as submissions
from harness.submissions.copying import Copied, Task, copied
from harness.verdict.outcome import Outcome, StepResult
from harness.verdict.steps import points_for, steps_of
from tests.harness.submissions.test_layouts import SOURCES, laid_out, write

Verdict = Callable[[Job], Outcome]


class Said(NamedTuple):
    """What a call has said."""

    exit_code: int
    output: str


class Class:
    """A class whose plays are made up: `played` has the names and exercises that were."""

    def __init__(self, place: Path) -> None:
        self.folder, self.results = place / "class", place / "class-grades"
        self.played: list[str] = []
        self.outcome: Verdict = lambda job: Outcome.PASSED
        self.meanwhile: Callable[[], None] = lambda: None

    async def play(self, job: Job) -> Run:
        """What is played instead."""
        name = job.target.label.partition("/")[0]
        self.played.append(f"{name} {job.exercise}")
        await asyncio.sleep(0)
        self.meanwhile()
        outcome, component = self.outcome(job), job.target.component
        steps = [
            StepResult(step, outcome, of if outcome is Outcome.PASSED else 0, of, None)
            for step in steps_of(job.exercise)
            for of in [points_for(step, component)]
        ]
        return Run(job.exercise, job.seed, "live", job.target.label, 0.1, steps, [], [], 0.0, [])

    def grade(self, *options: object) -> Said:
        """Call the command; what was played is counted anew."""
        self.played = []
        words = ["grade", str(self.folder), "--isolation", "none", "--jobs", "1", *map(str, options)]
        try:
            done = CliRunner().invoke(cli, words, catch_exceptions=False, standalone_mode=False)
        except click.UsageError as error:
            return Said(64, error.message)
        return Said(done.return_value, done.output)

    def rows(self) -> dict[str, dict[str, str]]:
        """The table."""
        text = (self.results / "grades.csv").read_text(encoding="utf-8-sig")
        return {row["submission"]: row for row in csv.DictReader(io.StringIO(text))}


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Class:
    """Ada and bob have handed in all four."""
    made = Class(tmp_path)

    async def no_calls(*_: object, **__: object) -> dict[int, Played | None]:
        return {}

    monkeypatch.setattr(grading, "run_in_process", made.play)
    monkeypatch.setattr(submissions, "all_called_directly", no_calls)

    async def copied_here(task: Task) -> Copied:
        return copied(task)

    monkeypatch.setattr(staging, "copied_meanwhile", copied_here)  # a process for each takes its time
    for name in ("ada", "bob"):
        write(made.folder, laid_out(f"{name}/"))
    return made


def test_who_has_a_grade_keeps_it(course: Class) -> None:
    """Only what has changed is judged again, and what is no code changes nothing."""
    assert course.grade().exit_code == 0
    assert len(course.played) == 8
    course.grade()
    assert course.played == []
    for name in (".DS_Store", "ada/.DS_Store", "ada/ex1_chat/notes.md", "bob/__MACOSX/._x"):
        write(course.folder, {name: b"x"})
    course.grade()
    assert course.played == []
    write(course.folder, {"ada/ex2_ordering/sequencer.py": SOURCES[2] + b"\n"})
    course.grade()
    assert course.played == ["ada 2"]


def test_weeks_add_up(course: Class) -> None:
    """A file that comes in a later week empties no column, and neither does one that has changed since."""
    for name in ("ada", "bob"):
        shutil.rmtree(course.folder / name)
    for week in range(1, 5):
        write(course.folder, {f"ada/{COMPONENT[week]}": SOURCES[week]})
        assert course.grade("--exercises", week).exit_code == 0
        assert course.played == [f"ada {week}"]
    assert [course.rows()["ada"][f"ex{n}"] for n in range(1, 5)] == ["8", "10", "10", "9"]
    write(course.folder, {f"ada/{COMPONENT[1]}": SOURCES[1] + b"\nx = 1\n"})
    said = course.grade("--exercises", 4).output
    assert "ada: handed in anew since exercise 1 was judged; that mark stays" in said
    assert (course.played, course.rows()["ada"]["ex1"]) == ([], "8")


COMPONENT = dict(enumerate(laid_out(), start=1))


def test_only_open_ones_are_judged_by_the_second_call(course: Class) -> None:
    """An inconclusive step is judged once more, and nothing else."""
    course.outcome = lambda job: Outcome.INCONCLUSIVE if job.exercise == 3 else Outcome.PASSED
    assert course.grade().exit_code == 2
    course.outcome = lambda job: Outcome.PASSED
    assert course.grade().exit_code == 0
    assert course.played == ["ada 3", "bob 3"]


def test_some_are_chosen(course: Class) -> None:
    """By name and with wildcards; the others keep what they have, and a name that nobody has is told."""
    course.grade("--only", "a*", "--exercises", 1)
    assert course.played == ["ada 1"]
    course.grade("--skip", "ada", "--exercises", 1)
    assert course.played == ["bob 1"]
    assert set(course.rows()) == {"ada", "bob"}
    course.grade("--exercises", 1, "--again", "bob")
    assert course.played == ["bob 1"]
    course.grade("--exercises", 1, "--again")
    assert course.played == ["ada 1", "bob 1"]
    for option in ("--only", "--skip", "--again", "--map"):
        result = course.grade(option, "adda:1=x" if option == "--map" else "adda")
        assert result.exit_code == 64
        assert "did you mean ada?" in result.output


def test_a_file_may_be_named_for_an_exercise(course: Class) -> None:
    """Where nobody can guess; `-` says that there is none."""
    write(course.folder, {"cleo/a.py": SOURCES[1], "cleo/b.py": SOURCES[1] + b"\n# better"})
    assert course.grade("--exercises", 1, "--only", "cleo").exit_code == 2
    assert course.grade("--exercises", 1, "--only", "cleo", "--map", "cleo:1=b.py").exit_code == 0
    assert course.rows()["cleo"]["ex1"] == "8"
    course.grade("--exercises", 1, "--only", "cleo", "--map", "cleo:1=-", "--again", "cleo")
    assert course.rows()["cleo"]["ex1"] == "0"
    assert "--map names gone.py" in course.grade("--exercises", 1, "--map", "cleo:1=gone.py").output
    assert course.grade("--map", "cleo").exit_code == 64


def test_a_list_shows_what_would_be_judged(course: Class) -> None:
    """And judges nothing."""
    write(course.folder, {"cleo/x.py": SOURCES[1], "dan/notes.ipynb": b"{}"})
    result = course.grade("--list", "--exercises", 1)
    assert course.played == []
    assert "ada\n  1: ada/ex1_chat/pubsub.py\n" in result.output
    assert "cleo/x.py was taken for pubsub.py" in " ".join(result.output.split())
    assert "it is not clear what dan/notes.ipynb is for" in result.output
    assert result.exit_code == 2


def test_notes_of_a_person_stay(course: Class) -> None:
    """Also those that a spreadsheet has saved in its own way."""
    course.grade("--exercises", 1)
    rows = list(course.rows().values())
    rows[0]["note"] = "=late, but =ok"
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=";")
    writer.writeheader()
    writer.writerows(rows)
    (course.results / "grades.csv").write_text(out.getvalue(), encoding="cp1252")
    result = course.grade("--exercises", 1)
    assert course.rows()["ada"]["note"].removeprefix("'") == "=late, but =ok"
    assert "was edited" not in result.output
    course.grade("--exercises", 2)
    assert course.rows()["ada"]["note"].removeprefix("'") == "=late, but =ok"


def test_other_edits_are_told_and_kept_aside(course: Class) -> None:
    """The table is made from the results; what somebody has changed in it is in a copy."""
    course.grade("--exercises", 1)
    table = course.results / "grades.csv"
    table.write_text(
        table.read_text(encoding="utf-8-sig").replace('"passed",8', '"passed",5'), encoding="utf-8"
    )
    result = course.grade("--exercises", 1)
    assert "was edited; your copy is" in " ".join(result.output.split())
    assert course.rows()["ada"]["points"] == "8"
    assert '"passed",5' in (course.results / "grades-edited-1.csv").read_text()
    course.grade("--exercises", 1)
    assert not (course.results / "grades-edited-2.csv").exists()


def test_grades_that_somebody_changes_meanwhile_are_written_anew(course: Class) -> None:
    """And whoever was judged then is named."""
    for _ in range(2):  # the second call writes it as it stays
        course.grade("--only", "ada", "--exercises", 1)
    grade = course.results / "ada.json"
    before = grade.read_bytes()

    def change() -> None:
        grade.write_bytes(before.replace(b'"points": 8.0', b'"points": 1.0'))

    course.meanwhile = change
    course.grade("--only", "bob", "--exercises", 1)
    assert grade.read_bytes() == before
    assert "the grade of ada was changed by somebody else" in course.rows()["bob"]["attention"]


def test_a_kit_that_is_changed_meanwhile_ends_the_grading(
    course: Class, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that it finds could be trusted; who was judged then is named."""
    hashes = iter(["one", "one", "two"])
    monkeypatch.setattr(whole_class, "hash_of_kit", lambda: next(hashes))
    result = course.grade("--exercises", 1)
    assert result.exit_code == 70
    assert "changed while bob was judged" in result.output


def test_what_ends_the_grading_again_and_again_is_left_to_a_person(course: Class) -> None:
    """Where code is not isolated, it may kill who judges it: the fourth call goes on without it."""

    class KilledError(BaseException):
        pass

    def kill() -> None:
        if course.played[-1].startswith("ada"):
            raise KilledError

    course.meanwhile = kill
    begun = course.results / ".judging.json"
    for times in (1, 2, 3):
        with pytest.raises(KilledError):
            course.grade("--exercises", 1)
        begun.parent.mkdir(exist_ok=True)
        begun.write_text(f'{{"ada": {times}}}')  # as a killed process leaves it
    result = course.grade("--exercises", 1)
    assert result.exit_code == 2
    assert course.played == ["bob 1"]
    assert "the grading was ended 3 times while this was judged" in result.output


def test_a_class_may_come_as_one_archive(course: Class, tmp_path: Path) -> None:
    """As a portal exports it, or with a folder around it; the archives in it are somebody's each."""
    whole = tmp_path / "export"
    write(whole, {"cleo.py": SOURCES[1]})
    shutil.make_archive(str(whole / "dan"), "zip", course.folder / "ada")
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path, "export")
    course.folder = tmp_path / "all.zip"
    course.results = tmp_path / "all-grades"
    course.grade("--exercises", 1)
    assert sorted(course.played) == ["cleo 1", "dan 1"]


def test_an_interrupted_second_judging_takes_nothing_away(course: Class) -> None:
    """What was not judged anew yet keeps its mark, in the table, too."""
    course.grade("--exercises", 1)

    def interrupt() -> None:
        raise asyncio.CancelledError

    course.meanwhile = interrupt
    assert course.grade("--exercises", 1, "--again").exit_code == 130
    assert {name: row["ex1"] for name, row in course.rows().items()} == {"ada": "8", "bob": "8"}


def test_a_refused_call_leaves_nothing(course: Class, tmp_path: Path) -> None:
    """No folder for results, least of all in the class."""
    before = sorted(path.name for path in (tmp_path, course.folder) for path in path.iterdir())
    for folder in (course.folder / "ada", tmp_path / "nowhere", course.folder / "ada" / "ex1_chat"):
        course.folder, whole = folder, course.folder
        assert course.grade().exit_code == 64
        course.folder = whole
    assert course.grade("--list", "--exercises", 1).exit_code == 0
    assert sorted(path.name for path in (tmp_path, course.folder) for path in path.iterdir()) == before


def test_the_same_file_twice_is_told(course: Class) -> None:
    """Byte for byte, if it is neither the handout nor the answer; and what a component has no use for."""
    mine = SOURCES[1] + b"\n# mine, and sys.modules\n"
    for name in ("ada", "bob"):
        write(course.folder, {f"{name}/{COMPONENT[1]}": mine})
    course.grade("--exercises", 1)
    assert "the same file as that of bob" in course.rows()["ada"]["attention"]
    assert "Its code mentions sys.modules" in course.rows()["bob"]["attention"]


def test_a_rubric_gives_points_and_judges_nothing(course: Class, tmp_path: Path) -> None:
    """It is applied to all, whoever is chosen; what it leaves out has no points; the log explains them."""
    course.outcome = lambda job: Outcome.FAILED if job.exercise == 2 else Outcome.PASSED
    course.grade("--exercises", "1,2")
    rubric = tmp_path / "rubric.toml"
    rubric.write_text(
        'exercises = [1]\nhidden = ["1.5"]\n[points]\n"1.4" = 10\n[late]\npoints = 1.5\n'
        "[late.days]\nada = 2\nnobody = 1\n"
    )
    said = course.grade("--rubric", rubric, "--only", "ada").output
    assert course.played == ["ada 1"], "since a hidden step changes its report"
    assert "late days to nobody, and nobody has handed in by that name" in said
    rows = course.rows()
    assert (rows["ada"]["points"], rows["ada"]["of"], rows["ada"]["penalty"]) == ("11", "14", "3")
    assert (rows["bob"]["points"], rows["bob"]["of"]) == ("14", "14")
    log = (course.results / "ada.log").read_text()
    assert "1.4  passed, 10 of 10" in log
    assert "late by 2 days: 3 points less" in log
    assert "Exercise 1 has a hidden test: passed, 2 of 2 points." in log
    course.grade("--exercises", "1,2")
    assert course.rows()["ada"]["of"] == "18"


def test_no_result_names_a_folder_of_this_machine(course: Class, tmp_path: Path) -> None:
    """Logs are sent along."""
    course.outcome = lambda job: Outcome.FAILED
    course.grade()
    for path in course.results.iterdir():
        text = path.read_text(encoding="utf-8-sig")
        assert "/job-" not in text, path
        assert str(tmp_path) not in text, path

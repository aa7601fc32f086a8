from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli, main
from harness.grading.result import Author
from lab.command import EXIT_USAGE
from tests.grading.exports.grades import failed, grade_of, keep, undecided
from tests.grading.exports.test_canvas import BOOK
from tests.grading.exports.test_moodle import ENGLISH, FRENCH

COMMANDS = {
    "moodle": ["moodle", "marks", "--worksheet", "sheet.csv"],
    "canvas": ["canvas", "marks", "--gradebook", "book.csv", "--assignment", "Chat lab"],
    "gradescope.csv": ["gradescope-csv", "marks"],
    "junit.xml": ["junit", "marks"],
    "ctrf.json": ["ctrf", "marks"],
}


def export(*arguments: str) -> Result:
    """Run `chatlab export`."""
    return CliRunner().invoke(cli, ["export", *arguments], standalone_mode=False)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the grades of a class, a worksheet and a gradebook, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHATLAB_LANG", raising=False)
    ada = grade_of("ada", failed("1.4", "A message was lost"), author=Author("101", "Ada Lovelace"))
    zoe = grade_of("zoe", undecided(), author=Author("102", "Zoé O'Neil"))
    keep(tmp_path / "marks", ada, zoe, grade_of("a\x1b[31m\n"))
    Path("sheet.csv").write_text(ENGLISH, encoding="utf-8")
    Path("book.csv").write_text(BOOK, encoding="utf-8")
    return tmp_path


def fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the command says as it is refused, in one or two sentences without a traceback."""
    monkeypatch.setattr("sys.argv", ["chatlab", "export", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == EXIT_USAGE, said
    assert "Traceback" not in said
    return said


def test_a_worksheet_is_filled_in() -> None:
    """The command says which file it wrote, how many rows, who is in no row, and who is open."""
    done = export(*COMMANDS["moodle"])
    assert done.output.splitlines() == [
        "marks/moodle.csv: 1 row filled in.",
        "No final mark yet, so nothing was written for zoe. `chatlab grade` judges again what is open.",
        "Not written, because no row is certainly theirs: a\\x1b[31m\\n.",
        "In the table, but without a submission: Bob =1+1.",
        "Marks are out of 4 points, and the worksheet's maximum is 5: --scale converts them.",
        "Not everybody can have the same points, so marks may not compare; possible points, and how many have"
        " them: 4 (2), 5 (1).",
    ]
    assert Path("sheet.csv").read_text(encoding="utf-8") == ENGLISH
    assert "Failed: 1.4: A message was lost" in Path("marks/moodle.csv").read_text(encoding="utf-8")


def test_what_is_said_in_french() -> None:
    """The words of the command and of the comments."""
    Path("sheet.csv").write_text(FRENCH, encoding="utf-8", newline="")
    done = export(*COMMANDS["moodle"], "--lang", "fr", "--scale")
    assert done.output.startswith("marks/moodle.csv\xa0: 1 ligne remplie.\nPas encore de note définitive")
    assert "Échec\xa0: 1.4\xa0: A message was lost" in Path("marks/moodle.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_writes_its_file(name: str, folder: Path) -> None:
    """Into the folder of the grades, or where --out says; nothing else is left there."""
    before = {path.name for path in (folder / "marks").iterdir()}
    done = export(*COMMANDS[name])
    assert done.exception is None, done.output
    (new,) = {path.name for path in (folder / "marks").iterdir()} - before
    assert new.startswith(name)
    assert str(folder) not in (folder / "marks" / new).read_text(encoding="utf-8")
    assert export(*COMMANDS[name], "--out", "elsewhere").exception is None
    assert Path("elsewhere").read_bytes() == (folder / "marks" / new).read_bytes()
    assert not list(folder.rglob("*.new"))


@pytest.mark.parametrize("name", COMMANDS)
def test_an_export_is_no_grade(name: str) -> None:
    """What was exported before is not exported again."""
    first = export(*COMMANDS[name]).output
    assert export(*COMMANDS[name]).output == first


def test_the_worksheet_itself_is_written_only_if_asked_for() -> None:
    """By --out; a link stays a link."""
    Path("link.csv").symlink_to("sheet.csv")
    assert export(*COMMANDS["moodle"], "--out", "link.csv").exception is None
    assert Path("link.csv").is_symlink()
    assert "lost" in Path("sheet.csv").read_text(encoding="utf-8")


def test_the_default_is_not_written_over_the_worksheet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who keeps the worksheet under the name that we write to is asked what is meant."""
    shutil.copy("sheet.csv", "marks/moodle.csv")
    said = fails(monkeypatch, capsys, "moodle", "marks", "--worksheet", "marks/moodle.csv")
    assert "which is the file to fill in" in said
    assert Path("marks/moodle.csv").read_text(encoding="utf-8") == ENGLISH


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["moodle", "nowhere", "--worksheet", "sheet.csv"], "nowhere cannot be read"),
        (["moodle", "sheet.csv", "--worksheet", "sheet.csv"], "sheet.csv cannot be read"),
        (["junit", "."], "there are no grades in .; name the folder"),
        (["moodle", "marks", "--worksheet", "none.csv"], "none.csv cannot be read"),
        (["moodle", "marks", "--worksheet", "marks"], "marks cannot be read"),
        (["moodle", "marks", "--worksheet", "book.csv"], "book.csv: this is no grading worksheet"),
        (["moodle", "marks", "--worksheet", "none.csv", "--lang", "fr"], "none.csv est illisible"),
        (["moodle", "marks"], "Missing option '--worksheet'"),
        (
            ["canvas", "marks", "--gradebook", "sheet.csv", "--assignment", "x"],
            "sheet.csv: this is no gradebook",
        ),
        (["ctrf", "marks", "--out", "marks/000.json"], "is the grade of a submission"),
        (["ctrf", "marks", "--out", "marks"], "is a directory"),
        (["ctrf", "marks", "--out", "none/x.json"], "there is no such folder"),
        (["ctrf", "marks", "--out", "/dev/full/x"], "no such folder"),
    ],
)
def test_wrong_usage(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence says what is wrong, and where."""
    assert words in fails(monkeypatch, capsys, *arguments)


def test_a_file_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was there stays, and a sentence says why."""
    Path("old.xml").write_text("old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not allowed")))
    assert "--out old.xml cannot be written: not allowed" in fails(
        monkeypatch, capsys, "junit", "marks", "--out", "old.xml"
    )
    assert [path.name for path in Path().glob("*xml*")] == ["old.xml"]
    assert Path("old.xml").read_text() == "old"


@pytest.mark.parametrize("name", ["", *(command[0] for command in COMMANDS.values())])
def test_help(name: str) -> None:
    """Each command explains itself and its options."""
    told = export(*filter(None, [name]), "--help").output
    assert "GRADES" in told if name else "moodle" in told

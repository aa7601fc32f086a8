"""All commands print on any console: whatever its encoding, and whatever the names of the files are."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.check.files import write_json
from harness.check.options import Options
from harness.cli.main import main
from harness.reports.terminal import Terminal
from harness.texts import texts
from harness.texts.console import echo, prepare
from tests.harness.reports.runs import summary_of, swapped

ROOT = Path(__file__).parents[3]
NAMES = ("007123", "=1+1", "Zoé", "Łukasz", "李雷", "a\nb", "\x1b[31mred", "exe.\u202etxt")
NOT_UTF_8 = os.fsdecode(b"\xe9mile")
ENCODINGS = {
    "utf-8": ("✓", "é", "Łukasz", "«"),
    "cp1252": ("ok", "é", "\\u0141ukasz", "«"),
    "latin-1": ("ok", "é", "\\u0141ukasz", "«"),
    "ascii": ("ok", "\\xe9", "\\u0141ukasz", '"'),
}
"""How some characters look in each: a mark, letters, a quotation mark."""
COMMANDS = {
    "grade": ["grade", "class", "--exercises", "3"],
    "grade again": ["grade", "class", "--exercises", "3", "--lang", "fr"],
    "hint": ["hint", "4", "--more", "3", "--lang", "fr"],
    "quiz": ["quiz", "3", "--lang", "fr"],
    "quiz of a file": ["quiz", "--file", "Łukasz.toml"],
    "zoo": ["zoo", "--list"],
    "check": ["check", "--submission", "Łukasz", "--lang", "fr"],
    "doctor": ["doctor", "--server-module", "Łukasz.py", "--lang", "fr"],
    "replay": ["replay", "Łukasz.json", "--lang", "fr"],
    "load": ["load", "--url", "Łukasz", "--lang", "fr"],
    "bench": ["bench", "Łukasz"],
    "serve": ["serve", "--use", "store=Łukasz.py", "--port", "0"],
    "help": ["check", "--help"],
}


@pytest.fixture
def classroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a class of submissions that are empty, but have names."""
    for name in (*NAMES, NOT_UTF_8):
        (tmp_path / "class" / name).mkdir(parents=True)
    (tmp_path / "class" / "notes \x1b[2J.txt").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Consoles:
    """Standard output and errors, in one encoding."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        self._encoding = encoding
        self._bytes = {name: io.BytesIO() for name in ("stdout", "stderr")}
        for name, raw in self._bytes.items():
            monkeypatch.setattr(sys, name, io.TextIOWrapper(raw, encoding=encoding))

    def text(self) -> str:
        """What was printed."""
        sys.stdout.flush()
        sys.stderr.flush()
        return "".join(raw.getvalue().decode(self._encoding) for raw in self._bytes.values())


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_print_in_any_encoding(
    name: str, encoding: str, classroom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends with an exit code of its own, without a traceback, and without an escape sequence."""
    consoles = Consoles(monkeypatch, encoding)
    monkeypatch.setattr(sys, "argv", ["chatlab", *COMMANDS[name]])
    with pytest.raises(SystemExit) as ended:
        main()
    said = consoles.text()
    assert ended.value.code in (0, 1, 64), said
    assert "Traceback" not in said
    assert "\x1b" not in said
    if "Łukasz" in " ".join(COMMANDS[name]) or name == "grade":
        assert ENCODINGS[encoding][2] in said


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_report_is_legible_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Marks and quotation marks have a stand-in where the console lacks them; letters have their escape."""
    consoles = Consoles(monkeypatch, encoding)
    prepare()
    terminal = Terminal(texts("fr"))
    terminal.run(swapped())
    terminal.summary(summary_of(swapped()), hints=False)
    mark, letter, _, quote = ENCODINGS[encoding]
    said = consoles.text()
    assert f"  {mark} 2.1" in said
    assert f"R{letter}f" in said or f"r{letter}" in said or letter in said
    assert quote in said


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_on_a_console_is_json(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--json -` can be read by a program, whatever the console lacks."""
    consoles = Consoles(monkeypatch, encoding)
    prepare()
    run = swapped()
    run.target = "Łukasz “é”"
    options = Options({}, 7, "live", 1, 1, False, False, "fr", False, "-", None, "")
    summary = summary_of(run)
    summary.target = run.target
    write_json([summary], options, Terminal(texts("fr")))
    assert json.loads(consoles.text())["target"] == "Łukasz “é”"


def test_an_ascii_system(classroom: Path) -> None:
    """Where file names are ASCII, too, the class is graded: the table is in UTF-8, and complete."""
    classic = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli.main", *COMMANDS["grade"]],
        env={**os.environ, **classic, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = done.stdout.decode("ascii")
    assert (done.returncode, "Traceback" in done.stderr.decode()) == (0, False), done.stderr.decode()
    assert "Zo\\xe9: failed" in said
    with (classroom / "class-grades" / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
        names = {row["submission"].removeprefix("'") for row in csv.DictReader(file)}
    escaped = {"a\nb": "a\\nb", "\x1b[31mred": "\\x1b[31mred", "exe.\u202etxt": "exe.\\u202etxt"}
    assert names == {escaped.get(name, name) for name in NAMES} | {"\\xe9mile"}
    for name in (*NAMES, NOT_UTF_8):
        kept = json.loads((classroom / "class-grades" / f"{name}.json").read_bytes())
        assert kept["points"] == 0
        assert (classroom / "class-grades" / f"{name}.log").is_file()


def test_echo_is_legible(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed outside of reports has its escapes, too."""
    echo("a\x1b[31m\nb\u202e")
    echo("\r", err=True)
    assert capsys.readouterr() == ("a\\x1b[31m\nb\\u202e\n", "\\r\n")


PRINTS = {
    "harness/texts/console.py": "the one place",
    "harness/entry_points/chatlab_entry.py": "a sentence of its own, where the kit is hidden",
    "harness/reports/terminal.py": "reports, by way of `line`",
    "harness/bench/report.py": "our own figures",
    "harness/bench/listening.py": "a number, for the process that measures",
    "harness/bench/probing.py": "JSON for the process that has started it",
    "harness/zoo/__main__.py": "our own sentences",
    "harness/check/files.py": "JSON on standard output",
    "harness/cli/bench.py": "JSON on standard output",
    "harness/cli/solution.py": "our own model answers, with colours",
    "harness/watch/screen.py": "screens, of lines that a report has written",
    "harness/load/report.py": "a table of numbers, as text",
    "harness/notebooks/apart.py": "to a cell of a notebook, what its scene has printed",
    "harness/notebooks/stage.py": "to a cell of a notebook",
    "harness/load/probe.py": "JSON for the process that has started it",
    "harness/load/compare_report.py": "a table, as text",
    "harness/grading/handouts/autograder.py": "a program of its own, which makes text legible",
}
"""Modules that print, and what; servers in `harness/zoo` are programs of their own."""


def test_who_prints() -> None:
    """Nothing of the harness goes to a console but through the one module that makes it legible."""
    servers = {"ex1_chat.py", "ex4_persistence.py", "plain.py", "single_file.py", "components.py"}
    found = set()
    for path in sorted((ROOT / "harness").rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if (path.parent.name == "zoo" and path.name in servers) or "/sim/" in place or "/servers/" in place:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _prints(ast.unparse(node.func)):
                found.add(place)
    assert found <= set(PRINTS)


def _prints(function: str) -> bool:
    written = ("sys.stdout.write", "sys.stderr.write", "click.echo", "click.secho", "console.print")
    return function == "print" or function.endswith(written)

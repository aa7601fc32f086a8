"""`chatlab doctor`, as it looks at a terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness.zoo.animals import ANIMALS
from harness.zoo.single_file import PLAIN

pytestmark = pytest.mark.live


def doctor(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "harness.cli.main", "doctor", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def changed(folder: Path, *changes: tuple[str, str]) -> str:
    """The right server in one file, with some changes in its text."""
    text = PLAIN.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "server.py").write_text(text)
    return "server.py"


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_a_right_server_answers_everything(lang: str) -> None:
    """Twelve questions, each with its answer, nothing forgiven; and what to do next."""
    done = doctor("--server-module", str(PLAIN), "--lang", lang)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" ✓ ") == 12
    assert "✗" not in done.stdout
    assert f"message #1 ward ada: {'“' if lang == 'en' else '«'}" in done.stdout
    assert f"chatlab check --server-module {PLAIN}" in done.stdout
    words = ("All as in", "Missing") if lang == "en" else ("Tout est conforme à", "Manquant")
    assert words[0] in done.stdout
    assert words[1] not in done.stdout


def test_a_missing_answer_is_named(tmp_path: Path) -> None:
    """With the type of the missing frame."""
    file = changed(tmp_path, ('case "history":', 'case "hist0ry":'))
    done = doctor("--server-module", file, folder=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ `history`" in done.stdout
    assert "Missing: `history`" in done.stdout
    assert done.stdout.count(" ✓ ") == 11


def test_spellings_that_are_forgiven_are_listed(tmp_path: Path) -> None:
    """The server is right all the same."""
    file = changed(tmp_path, ('"lastSeen"', '"last_seen"'))
    done = doctor("--server-module", file, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "`last_seen` was accepted for `lastSeen`" in done.stdout


def test_the_first_malformed_frame_is_shown_with_a_mark(tmp_path: Path) -> None:
    """However well everything else is answered."""
    (tmp_path / "server.py").write_text(ANIMALS["times_are_of_the_loop"].source)
    done = doctor("--server-module", "server.py", folder=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    (place,) = (number for number, line in enumerate(lines) if set(line.strip()) == {"^"})
    start, end = lines[place].index("^"), lines[place].rindex("^") + 1
    assert lines[place - 1][start:end].isdigit()
    assert lines[place - 1][:start].endswith('"lastSeen": ')


def test_a_wrong_time_is_reported(tmp_path: Path) -> None:
    """That of a message, and that of presence, too."""
    (tmp_path / "server.py").write_text(ANIMALS["local_time_is_taken_for_utc"].source)
    done = doctor("--server-module", "server.py", folder=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "`timestamp` of ada" in said
    assert "like that between a time zone and UTC" in said
    assert "and 1 more like this" in said


def test_a_server_that_does_not_start_is_reported_with_its_last_output(tmp_path: Path) -> None:
    """Nothing was asked, so nothing is said about answers."""
    (tmp_path / "server.py").write_text("raise SystemExit('no luck today')")
    done = doctor("--server-module", "server.py", folder=tmp_path)
    assert done.returncode == 1
    assert "no luck today" in done.stdout
    assert "Nothing else can be tried until this is fixed" in done.stdout
    assert "Spellings" not in done.stdout


def test_after_a_lost_connection_the_other_questions_are_asked(tmp_path: Path) -> None:
    """A question that costs the connection does not cost the answers to the others."""
    (tmp_path / "server.py").write_text(ANIMALS["nothing_is_caught"].source)
    done = doctor("--server-module", "server.py", folder=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "and ada's connection was closed" in done.stdout
    assert "✓ `leave`" in done.stdout

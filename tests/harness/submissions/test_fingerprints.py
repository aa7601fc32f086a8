"""A verdict is valid as long as the code that it rests on is the same."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.submissions import fingerprints
from harness.submissions.fingerprints import Rules
from tests.grading.classroom import CLASS, submission_of

RULES = Rules(1, 1, False, 300.0)


def fingerprint(folder: Path, exercise: int, rules: Rules = RULES) -> str:
    """That of what was handed in as a folder."""
    return submission_of(folder, folder.parent / "scratch", rules).fingerprint(exercise)


def test_it_changes_with_the_code_of_its_exercise_and_with_the_rules(tmp_path: Path) -> None:
    """Not with another exercise's file, nor with what a system, a tool or an author leaves beside it."""
    folder = tmp_path / "ada"
    CLASS["ada-right"](folder)
    before = {exercise: fingerprint(folder, exercise) for exercise in (1, 2)}
    assert before[1] != before[2]
    for name in (".DS_Store", "README.md", "notes.pdf", "ex1_chat/._pubsub.py", "node_modules/x.js"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    (folder / "ex2_ordering" / "sequencer.py").write_text("class Sequencer: pass")
    assert fingerprint(folder, 1) == before[1]
    assert fingerprint(folder, 2) != before[2]
    assert fingerprint(folder, 1, replace(RULES, seed=2)) != before[1]
    assert fingerprint(folder, 1, replace(RULES, isolation="user")) != before[1]
    assert fingerprint(folder, 1, replace(RULES, deadline=9.0)) == before[1], "no verdict rests on it"
    (folder / "ex1_chat" / "helper.py").write_text("x = 1")
    assert fingerprint(folder, 1) != before[1], "a component may import it"


def test_files_in_one_folder_are_told_apart(tmp_path: Path) -> None:
    """One that comes for another exercise changes nothing, unless it is named in the code."""
    folder = tmp_path / "ada"
    folder.mkdir()
    (folder / "pubsub.py").write_text("class PubSub: pass")
    before = fingerprint(folder, 1)
    (folder / "store.py").write_text("class MessageStore: pass")
    assert fingerprint(folder, 1) == before
    (folder / "pubsub.py").write_text("from store import x\nclass PubSub: pass")
    named = fingerprint(folder, 1)
    (folder / "store.py").write_text("x = 2\nclass MessageStore: pass")
    assert fingerprint(folder, 1) != named


def test_a_whole_server_is_all_of_its_code(tmp_path: Path) -> None:
    """In whatever language; of large files, and of many, the sizes count."""
    folder = tmp_path / "ada"
    folder.mkdir()
    (folder / "submission.toml").write_text('run = "node server.js"')
    (folder / "server.js").write_text("1")
    before = fingerprint(folder, 1)
    (folder / "page.html").write_text("<p>")
    assert fingerprint(folder, 1) != before


def test_little_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No large file, and of many only the first."""
    monkeypatch.setattr(fingerprints, "_READ", 30)
    folder = tmp_path / "ada"
    folder.mkdir()
    (folder / "pubsub.py").write_text("class PubSub: pass")
    (folder / "second.py").write_text("one, two, three")
    before = fingerprint(folder, 1)
    (folder / "second.py").write_text("two, three, one")
    assert fingerprint(folder, 1) == before, "its size counts"
    (folder / "second.py").write_text("two")
    assert fingerprint(folder, 1) != before


def test_what_is_no_file_holds_nothing_up(tmp_path: Path) -> None:
    """A pipe, and links to everything, to nowhere and in a circle."""
    folder = tmp_path / "ada"
    folder.mkdir()
    os.mkfifo(folder / "pipe.py")
    for name, leads in (("all", "/"), ("again", "."), ("gone", "nowhere")):
        (folder / name).symlink_to(leads)
    (folder / "pubsub.py").write_text("class PubSub: pass")
    assert fingerprint(folder, 1) == fingerprint(folder, 1)

"""What a replay file names can be found by others."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.judged import targets
from harness.minimize import replay_file
from harness.running.run import Case, Run
from harness.verdict.steps import COMPONENTS, EXERCISES


@pytest.mark.parametrize(
    ("inside", "together", "named"),
    [
        (".", False, ["exercises/ex1_chat/pubsub.py"]),
        (".", True, ["exercises/ex1_chat/pubsub.py", "exercises/ex3_presence/presence.py"]),
        ("exercises/ex1_chat", False, ["pubsub.py"]),
        ("exercises/ex2_ordering", False, ["../ex1_chat/pubsub.py"]),
    ],
)
def test_no_path_of_this_machine_is_stored(
    inside: str, together: bool, named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From wherever in one's own work the command was given, the files are named as seen from there."""
    for number, slug in EXERCISES.items():
        path = tmp_path / "exercises" / slug / f"{COMPONENTS[number]}.py"
        path.parent.mkdir(parents=True)
        path.write_text("")
    monkeypatch.chdir(tmp_path / inside)
    target = targets.choose(1, together=together)
    run = Run(1, "1", "sim", target.label, 0.0, [], [], [], 0.0, [], case=Case(1, "1"), digest="")
    kept = replay_file.of(run, target, "lost")
    assert str(tmp_path) not in msgspec.json.encode(kept.target).decode()
    words = [word.partition("=")[2] for word in kept.target.command or () if "=" in word]
    assert set(named) <= set(words)
    file = tmp_path / "case.json"
    replay_file.write(kept, file)
    again = replay_file.read(file)
    assert replay_file.changes(again) == [], "the files are found again"
    assert replay_file.files(again.target)

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


DEEP = "[" * 900 + "]" * 900
DEEPER = "[" * 100_000 + "]" * 100_000
_RECEIVED = '[{"type":"received","at":0.0,"client":"a","conn":1,"size":1,"frame":'
HOSTILE = {
    "a frame that is nested 900 deep": {"history": _RECEIVED + DEEP + "}]"},
    "a frame that is nested 100,000 deep": {"history": _RECEIVED + DEEPER + "}]"},
    "a number of 4000 digits": {"history": _RECEIVED + "9" * 4000 + "}]"},
    "a seed of 5000 digits": {"case": f'{{"exercise":1,"seed":{"9" * 5000}}}'},
    "an enormous play": {"case": '{"exercise":2,"seed":"1","size":1000000000000000000}'},
    "no play at all": {"case": '{"exercise":2,"seed":"1","size":0}'},
    "an enormous exercise": {"case": f'{{"exercise":{2**63},"seed":"1"}}'},
    "a scene without end": {
        "case": '{"exercise":2,"seed":"1","script":{"users":["a"],"inside":[0],"acts":[],'
        '"intervals":999999999}}'
    },
    "a scene in a million years": {
        "case": '{"exercise":2,"seed":"1","script":{"users":["a"],"inside":[0],'
        '"acts":[{"at":1e300,"who":0,"what":"say"}]}}'
    },
    "nested 100,000 deep": {"versions": DEEPER},
    "half a character": {"versions": '{"python":"\\ud800"}', "history": DEEPER},
}
"""What stands in a replay file in place of what we have written: it may come from anybody."""


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_cannot_be_played_is_told(name: str, tmp_path: Path) -> None:
    """Whatever is in it: it is no failure of the kit, and takes no time."""
    right = {
        "format": str(replay_file.FORMAT),
        "anomaly": '"lost"',
        "case": '{"exercise":1,"seed":"1"}',
        "target": '{"label":"x","command":["python","-m","lab"],"cwd":"."}',
        "versions": "{}",
        "files": "{}",
        "digest": '"d"',
    }
    (tmp_path / "right.json").write_text(_as_object(right))
    assert replay_file.read(tmp_path / "right.json").case.exercise == 1
    (tmp_path / "wrong.json").write_text(_as_object(right | HOSTILE[name]))
    with pytest.raises(replay_file.BadReplay):
        replay_file.read(tmp_path / "wrong.json")


def _as_object(fields: dict[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"

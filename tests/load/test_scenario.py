"""Scenarios of one's own: a file with a class that says what users do, and what is told of mistakes in it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from harness.load import User
from harness.load.as_json import as_json
from harness.load.judging import Load, judge
from harness.load.profile import Habits, UserProfile
from harness.load.record import pack, unpack
from harness.load.report import _verdicts
from harness.load.scenario import BadScenario, mistake_in, read_scenario, rest_of
from harness.load.sentences import reason
from harness.reports.words import Words
from harness.texts import texts
from harness.verdict.outcome import Outcome
from tests.extras import needs_module
from tests.kit.pages import ROOT, read
from tests.load.recorders import Story

LOAD = [sys.executable, "-P", "-m", "harness.cli.main", "load"]
FEW = ["--users", "10", "--time", "4s", "--pace", "10", "--seed", "1"]
EXAMPLE = ROOT / "harness" / "load" / "example_scenario.py"
BASE = "from harness.load import User\n"


def written(tmp_path: Path, text: str) -> Path:
    """A file with a scenario."""
    file = tmp_path / "my_load.py"
    file.write_text(text)
    return file


def load(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the command, for a minute and a half at most."""
    return subprocess.run([*LOAD, *FEW, *options], capture_output=True, text=True, timeout=90, check=False)


def test_the_page_shows_the_example() -> None:
    """As it is in its file, in fifteen lines of code or so."""
    text = EXAMPLE.read_text()
    assert f"```python\n{text}```" in read("harness/load/README.md")
    lines = [line for line in text.splitlines() if line.strip() and '"""' not in line]
    assert len(lines) <= 15
    assert read_scenario(EXAMPLE).__name__ == "Reader"


def test_the_last_class_counts(tmp_path: Path) -> None:
    """Of classes that derive from each other; those that are only imported are others'."""
    text = f"{BASE}class A(User): pass\nclass B(A): pass\n"
    assert read_scenario(written(tmp_path, text)).__name__ == "B"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("class A(User): pass\n", "my_load.py, line 1: NameError: name 'User' is not defined"),
        (f"{BASE}class A(User)\n    pass\n", "my_load.py, line 2: SyntaxError: expected ':'"),
        (f"{BASE}import nothing_like_it\n", "my_load.py, line 2: ModuleNotFoundError: No module named"),
        (f"{BASE}open('no such file')\n", "my_load.py, line 2: FileNotFoundError:"),
        (f"{BASE}raise SystemExit(3)\n", "my_load.py, line 2: SystemExit: 3"),
        (BASE, "my_load.py has no class that derives from `harness.load.User`."),
        (f"{BASE}class A(User): pass\nclass B(User): pass\n", "several classes that derive from"),
        ("\0", "my_load.py"),
    ],
)
def test_a_mistake_in_the_file_is_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    """With its line, in both languages."""
    with pytest.raises(BadScenario) as caught:
        read_scenario(written(tmp_path, text))
    bad = caught.value
    assert told in texts("en").say(f"load.{bad.key}", **bad.params)
    assert "{" not in texts("fr").say(f"load.{bad.key}", **bad.params).replace("{}", "")


def test_what_is_no_python_file_is_told(tmp_path: Path) -> None:
    """By its name alone."""
    file = tmp_path / "load.txt"
    file.write_text(BASE)
    with pytest.raises(BadScenario, match="no_python"):
        read_scenario(file)


def test_whose_mistake_it_was(tmp_path: Path) -> None:
    """An exception that a scenario's method raises, or lets pass, is the scenario's; others are not."""
    file = written(tmp_path, f"{BASE}class A(User):\n    def act(self):\n        self.say(1 / 0)\n")
    scenario = read_scenario(file)
    with pytest.raises(ZeroDivisionError) as caught:
        scenario.act(object.__new__(scenario))
    found = mistake_in(file, caught.value)
    assert found is not None
    assert found.params["line"] == 4
    with pytest.raises(AttributeError) as other:
        User.talk(object.__new__(User))
    assert mistake_in(file, other.value) is None


def test_an_act_of_its_own_is_known(tmp_path: Path) -> None:
    """It is what users do at a rate; one that overrides other methods alone talks at the rate."""
    assert read_scenario(EXAMPLE).has_own_act()
    words = f"{BASE}class A(User):\n    def words(self):\n        return 'yes'\n"
    assert not read_scenario(written(tmp_path, words)).has_own_act()
    assert not User.has_own_act()


@pytest.mark.parametrize("number", ["k6-room", 0, 4, 1.5, None])
def test_a_room_that_is_no_number_is_told(tmp_path: Path, number: object) -> None:
    """In a sentence that says what `join` takes."""
    user = object.__new__(User)
    user._profile = UserProfile(Random(1), Habits(rooms=3))
    with pytest.raises(ValueError, match=r"join takes a room's number from 1 to 3 \(--rooms\), and not"):
        user.join(number)


def test_a_check_that_fails_fails_the_load() -> None:
    """Over all processes, with how many there were; those that all passed are told, too."""
    story = Story(4, 2)
    for person in range(4):
        story.say(person, [0, 1, 2, 3])
    for number in range(6):
        story.recorders[number % 2].check("is quick", ok=True)
        story.recorders[number % 2].check("is right", ok=number != 3)
    load = Load("x", "steady", 1, 2, 5.0)
    result = judge(load, [unpack(pack(recorder.finish())) for recorder in story.recorders])
    assert result.checks == {"is quick": (6, 0), "is right": (6, 1)}
    assert result.outcome is Outcome.FAILED
    words = Words(texts("en"), "run")
    assert [reason(each, words) for each in result.reasons] == ["check is right: 1 of 6 failed."]
    assert as_json(result, words)["checks"][1] == {"name": "is right", "count": 6, "failed": 1}
    shown = [line for line, _ in _verdicts(result, words)]
    assert {"check is right: 1 of 6 failed.", "check is quick: all 6 passed."} < {*shown}


@pytest.mark.parametrize("value", ["None", "-1", "float('nan')", "'soon'"])
def test_a_rest_that_is_no_time_is_told(tmp_path: Path, value: str) -> None:
    """Before anything is done with it."""
    file = written(tmp_path, f"{BASE}class A(User):\n    def rest(self):\n        return {value}\n")
    with pytest.raises(BadScenario, match="rest"):
        rest_of(object.__new__(read_scenario(file)), file)


@pytest.mark.extra
@pytest.mark.xdist_group("load")
def test_the_example_is_judged_like_any_load(tmp_path: Path) -> None:
    """The reference server passes, and what users did is what the class says."""
    needs_module("locust", "load")
    report = tmp_path / "load.json"
    done = load("--scenario", str(EXAMPLE), "--json", str(report))
    value = json.loads(report.read_text())
    assert value["anomalies"] == [], done.stdout
    assert value["verdict"] in ("passed", "inconclusive")
    assert value["settings"]["scenario"] == "example_scenario.py"
    assert value["cuts"] > 0
    every = [value[f"{part}times_ms"].get("history", {"count": 0})["count"] for part in ("", "warm_up_")]
    assert sum(every) > value["messages"] / 2, "as many pages are read as things are said"


@pytest.mark.extra
@pytest.mark.xdist_group("load")
def test_a_mistake_that_is_met_ends_the_load(tmp_path: Path) -> None:
    """In whatever process: exit code 64 and one sentence, long before its time, and no traceback."""
    needs_module("locust", "load")
    file = written(tmp_path, f"{BASE}class A(User):\n    def act(self):\n        self.say(1 / 0)\n")
    done = load("--scenario", str(file), "--processes", "2", "--time", "60s")
    assert done.returncode == 64, done.stdout + done.stderr
    assert done.stderr.count("my_load.py, line 4: ZeroDivisionError: division by zero") == 1
    assert "Traceback" not in done.stdout + done.stderr

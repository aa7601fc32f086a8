"""The pytest plugin: verdicts as pytest's outcomes, and fixtures for an instructor's own tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from harness.pytest_support.fixtures import Failures
from harness.texts import texts
from harness.worlds.surroundings import Gone
from tests.extras import needs_node

if TYPE_CHECKING:
    from harness.worlds.live import LiveWorld

ROOT = Path(__file__).parents[3]
INI = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"

FAKE_PLAYS = '''
"""Plays that take no time: a step comes out as its number says, and nothing is called directly."""
import os
import shutil
import harness.running.direct_calls
import harness.running.play
from harness.checkers.catalogue import Anomaly
from harness.running.run import Run
from harness.verdict.steps import points_for, steps_of
from harness.verdict.outcome import Outcome, StepResult, Text

OUTCOMES = {"2.1": "passed", "2.2": "failed", "2.3": "inconclusive", "2.4": "skipped"}


async def play(exercise, target, seed, *, contract=None, skip_slow=False, progress=None):
    if os.environ.get("RAISES"):
        raise KeyError("oops")
    steps = []
    for step in steps_of(exercise):
        outcome = Outcome(OUTCOMES.get(step, "passed"))
        if os.environ.get("ONLY_SEED", seed) != seed:
            outcome = Outcome.PASSED
        failed = outcome is Outcome.FAILED
        params = {"who": "bob", "room": "red", "first": 2, "then": 1, "count": 1}
        receipt = Text({"inconclusive": "slow_machine", "skipped": "restart"}.get(str(outcome), "started"))
        anomalies = [Anomaly("reorder", params, [])] if failed else []
        steps.append(StepResult(step, outcome, 0 if failed else 1, 1, receipt, [], anomalies))
    if os.environ.get("LOST"):
        shutil.rmtree(os.environ["TMPDIR"])
    with open(os.environ["PLAYED"], "a") as file:
        file.write(f"{exercise} {seed} {os.getpid()}\\n")
    defect = "Traceback of ours" if os.environ.get("DEFECT") else ""
    return Run(exercise, seed, "live", target.label, 0.1, [] if defect else steps, [], [], 0.0, [], defect)


async def called_alone(exercise, target):
    return None


harness.running.direct_calls.called_alone = called_alone
harness.running.play.play = play
'''


def run(folder: Path, *arguments: str, fake: bool = False, ini: str = INI, **env: str) -> tuple[int, str]:
    """Run pytest in a folder of its own, with settings if there are any; returns its exit code and output."""
    if ini:
        (folder / "pytest.ini").write_text(ini)
    if fake:
        (folder / "conftest.py").write_text(FAKE_PLAYS)
    without = ["locust", "hypothesispytest"]  # others that are installed here, and take longer than all of it
    without += [] if {"--lf", "--cache-clear"} & {*arguments} else ["cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *(f"-pno:{name}" for name in without), *arguments],
        cwd=folder,
        env={**os.environ, "PLAYED": str(folder / "played.txt"), "PYTEST_ADDOPTS": "", **env},
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr


def counts(said: str) -> dict[str, int]:
    """The counts in pytest's last line."""
    return {what.rstrip("s"): int(n) for n, what in re.findall(r"(\d+) (\w+)", said.splitlines()[-1])}


def properties(path: Path) -> dict[str, dict[str, str]]:
    """The properties of each step in a JUnit file."""
    found = {}
    for case in ET.parse(path).iter("testcase"):
        values = {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
        found[values["chat-lab step"]] = values
    return found


def test_it_is_silent_unless_used(tmp_path: Path) -> None:
    """Without its options it collects nothing, and prints only its name."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    code, said = run(tmp_path)
    assert code == 0
    assert counts(said)["passed"] == 1
    assert "judging" not in said


def test_every_step_is_an_item(tmp_path: Path) -> None:
    """The eighteen steps are collected, and no other files of the folder."""
    (tmp_path / "test_own.py").write_text("def test_own():\n    raise OSError\n")
    code, said = run(tmp_path, "--lab-solutions", "--collect-only", "-q")
    assert code == 0
    found = [line for line in said.splitlines() if "::" in line]
    assert len(found) == 18
    assert found[6] == "ex2_ordering::2.2 Numbers are unique and consecutive"


def test_a_track_is_named_by_an_option_or_the_environment(tmp_path: Path) -> None:
    """The items have the same names in both; a track that there is not is a usage error."""
    needs_node()
    how = ("--lab-solutions", "--lab-exercises=1", "--collect-only", "-q")
    said = [run(tmp_path, *how, "--lab-track=python")[1], run(tmp_path, *how, CHATLAB_TRACK="typescript")[1]]
    names = [[line for line in each.splitlines() if "::" in line] for each in said]
    assert len(names[0]) == 5
    assert names[0] == names[1]
    code, told = run(tmp_path, "--lab-solutions", CHATLAB_TRACK="java")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "CHATLAB_TRACK is 'java'; the tracks of the course are python, typescript" in told
    fake = ("--lab-solutions", "--lab-exercises=2", "-k2.1", "--lab-track=typescript")
    assert "judging solutions --track typescript, seed" in run(tmp_path, *fake, fake=True)[1]


def test_verdicts_are_outcomes(tmp_path: Path) -> None:
    """Passed and failed stay so, inconclusive is an error, skipped is a skip; a failure is explained."""
    junit = tmp_path / "junit.xml"
    code, said = run(tmp_path, "--lab-solutions", "--lab-exercises=2", f"--junitxml={junit}", fake=True)
    assert code == 1
    found = counts(said)
    assert {key: found[key] for key in ("passed", "failed", "error", "skipped")} == dict.fromkeys(
        ("passed", "failed", "error", "skipped"), 1
    )
    assert "bob received sequence number 2, and then 1" in said
    assert "FAILED ex2_ordering::2.2 Numbers are unique and consecutive - Messages arrive" in said
    assert "ERROR ex2_ordering::2.3 A client loses its connection and reconnects - answer" in said
    assert "--lab-seed" in said
    assert "Traceback" not in said
    assert ".py:" not in said
    assert "chat-lab: 2 of 3 points (steps: 3)" in said
    steps = properties(junit)
    assert [(steps[s]["verdict"], steps[s]["points"], steps[s]["of"]) for s in ("2.1", "2.2")] == [
        ("passed", "1", "1"),
        ("failed", "0", "1"),
    ]
    assert steps["2.3"]["verdict"] == "inconclusive"
    name = "2.3 A client loses its connection and reconnects"
    assert ET.parse(junit).find(f".//testcase[@name='{name}']/error") is not None


def test_steps_are_chosen_as_tests_are(tmp_path: Path) -> None:
    """-k and -m choose steps; -x stops at the first that fails; an exercise is played once."""
    _, said = run(tmp_path, "--lab-solutions", "-k", "2.2", fake=True)
    assert counts(said) == {"failed": 1, "deselected": 17}
    _, said = run(tmp_path, "--lab-solutions", "-m", "course", "-x", fake=True)
    assert counts(said) == {"failed": 1, "passed": 6}
    played = (tmp_path / "played.txt").read_text().split("\n")
    assert [line.split()[0] for line in played if line] == ["2", "1", "2"]


def test_xdist_keeps_the_steps_of_an_exercise_together(tmp_path: Path) -> None:
    """With two workers each exercise is played once, and all with one seed."""
    code, said = run(tmp_path, "--lab-solutions", "--lab-exercises=1,3,4", "-n", "2", fake=True)
    assert code == 0, said
    assert counts(said)["passed"] == 14
    played = [line.split() for line in (tmp_path / "played.txt").read_text().splitlines()]
    assert sorted(exercise for exercise, _, _ in played) == ["1", "3", "4"]
    assert len({seed for _, seed, _ in played}) == 1
    assert len({pid for _, _, pid in played}) == 2


@pytest.mark.parametrize("way", ["loadfile", "loadgroup", "each"])
def test_steps_are_of_one_play_however_they_are_shared_out(tmp_path: Path, way: str) -> None:
    """Each exercise is played once, each worker tells what came of it, and the points count a step once."""
    arguments = ["--lab-solutions", "--lab-exercises=1,2", "-n", "2", "--dist", way]
    code, said = run(tmp_path, *arguments, fake=True)
    assert code == 1, said
    workers = 2 if way == "each" else 1
    assert counts(said)["passed"] == 6 * workers
    assert counts(said)["failed"] == workers
    assert "chat-lab: 7 of 8 points (steps: 8)" in said
    played = [line.split() for line in (tmp_path / "played.txt").read_text().splitlines()]
    assert sorted(exercise for exercise, _, _ in played) == ["1", "2"]
    assert len({seed for _, seed, _ in played}) == 1


REORDERED = """

def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.name[::-1])
"""


def test_steps_are_of_one_play_in_any_order(tmp_path: Path) -> None:
    """Where tests are shuffled and stolen by another worker; what failed last is chosen by its name."""
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "conftest.py").write_text(FAKE_PLAYS + REORDERED)
    _, said = run(tmp_path, "--lab-solutions", "-n", "2", "--dist", "worksteal", "--cache-clear")
    assert counts(said)["failed"] == 1
    played = [line.split()[0] for line in (tmp_path / "played.txt").read_text().splitlines()]
    assert sorted(played) == ["1", "2", "3", "4"]
    _, said = run(tmp_path, "--lab-solutions", "--lf")
    assert counts(said)["failed"] == 1
    assert "passed" not in counts(said)


def test_of_several_runs_the_worst_counts(tmp_path: Path) -> None:
    """A step that failed in one of three runs failed."""
    arguments = ["--lab-solutions", "--lab-exercises=2", "--lab-runs=3", "--lab-seed=40", "-k", "2.2"]
    junit = tmp_path / "junit.xml"
    code, said = run(tmp_path, *arguments, f"--junitxml={junit}", fake=True, ONLY_SEED="41")
    assert code == 1
    assert "--lab-seed 41" in said
    steps = properties(junit)
    assert (steps["2.2"]["runs"], steps["2.2"]["runs passed"]) == ("3", "2")
    assert len((tmp_path / "played.txt").read_text().splitlines()) == 3


def test_an_error_of_the_kit_is_no_failure(tmp_path: Path) -> None:
    """If the kit itself fails, all steps are errors, and none is a failure; and so says the exit code."""
    env = {"TMPDIR": str(tmp_path)}
    code, said = run(tmp_path, "--lab-solutions", "--lab-exercises=1", fake=True, DEFECT="1", **env)
    assert code == 70
    assert counts(said) == {"error": 5}
    assert "Traceback of ours" in said
    assert ".py:" not in said
    (kept,) = tmp_path.glob("chatlab-failed-*")
    assert kept.read_text() == "Traceback of ours\n"


def test_a_play_that_raises_is_no_failure(tmp_path: Path) -> None:
    """The same for an error that nobody expects: a sentence, and no traceback; also with xdist."""
    env = {"TMPDIR": str(tmp_path), "RAISES": "1"}
    code, said = run(tmp_path, "--lab-solutions", "--lab-exercises=1", "-n1", fake=True, **env)
    assert code == 70, said
    assert counts(said) == {"error": 5}
    assert "KeyError: 'oops'" in said
    assert "Traceback" not in said


def test_a_play_that_cannot_be_kept_is_no_failure(tmp_path: Path) -> None:
    """If there is no room for what came of it, all steps are errors, which say what to do."""
    (tmp_path / "temporary").mkdir()
    env = {"TMPDIR": str(tmp_path / "temporary"), "LOST": "1"}
    code, said = run(tmp_path, "--lab-solutions", "--lab-exercises=1", fake=True, **env)
    assert code == 1
    assert counts(said) == {"error": 5}
    assert "the folder for temporary files cannot be written: [Errno 2] No such file or directory" in said
    assert ".py:" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--lab-solutions", "--lab-reference"], "exclude each other"),
        (["--lab-exercises=5"], "write some of 1, 2, 3, 4"),
        (["--lab-exercises=x"], "write some of 1, 2, 3, 4"),
        (["--lab-submission=nowhere"], "there is no folder nowhere"),
        (["--lab-server="], "the command is empty"),
        (["--lab-url=http://x"], "begins with ws:// or wss://"),
        (["--lab-submission="], "names no folder"),
        (["--lab-solutions", "--lab-runs=0"], "from 1 on"),
        (["--lab-solutions", "--lab-seed=-3"], "from 0 on"),
    ],
)
def test_wrong_options_are_reported(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """Options that make no sense are a usage error of pytest, explained in a sentence."""
    code, said = run(tmp_path, *arguments)
    assert code == pytest.ExitCode.USAGE_ERROR, said
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--lab-solutions", "--lab-reference"], "s’excluent mutuellement"),
        (["--lab-exercises=5"], "écrivez un ou plusieurs numéros parmi 1, 2, 3, 4"),
        (["--lab-submission=nowhere"], "le dossier nowhere n’existe pas"),
        (["--lab-submission="], "ne nomme aucun dossier"),
        (["--lab-solutions", "--lab-runs=0"], "un nombre à partir de 1"),
    ],
)
def test_wrong_options_are_reported_in_french(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    """Where that language is asked for."""
    code, said = run(tmp_path, "--lab-lang=fr", *arguments)
    assert code == pytest.ExitCode.USAGE_ERROR, said
    assert sentence in said


def test_verdicts_are_in_french(tmp_path: Path) -> None:
    """The header, the explanation and the points; the names of the steps, by which they are chosen, stay."""
    _, said = run(tmp_path, "--lab-solutions", "--lab-exercises=2", "--lab-lang=fr", fake=True)
    assert "chat-lab\u00a0: évaluation de solutions/ex2_ordering, graine " in said
    assert "chat-lab\u00a0: 2 points sur 3 (étapes\u00a0: 3)" in said
    assert "FAILED ex2_ordering::2.2 Numbers are unique and consecutive - " in said
    assert "Messages arrive" not in said


def test_failures_of_own_tests_are_in_french() -> None:
    """The sentence is in that language, and the finding follows."""
    world = SimpleNamespace(history=[], nonce="x")
    failures = Failures(cast("LiveWorld", world), texts("fr"))
    with pytest.raises(pytest.fail.Exception, match="ada n’a pas reçu 'hello' dans red"):
        failures.fail("not_heard", who="ada", text="'hello'", room="red")
    with pytest.raises(pytest.fail.Exception, match="Le client n’a pas de connexion"), failures.explained():
        raise Gone


def test_settings_that_were_handed_in_do_not_count(tmp_path: Path) -> None:
    """A submission's own pytest.ini can neither choose what is judged nor go unnoticed."""
    handed_in = tmp_path / "handed-in"
    (handed_in / "ex1_chat").mkdir(parents=True)
    (handed_in / "pytest.ini").write_text("[pytest]\naddopts = --lab-exercises=1\n")
    mine = tmp_path / "mine"
    mine.mkdir()
    code, said = run(mine, "--lab-submission", str(handed_in))
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "which was handed in" in said


@pytest.mark.live
def test_a_real_server_is_judged(tmp_path: Path) -> None:
    """The model answer passes exercise 1, and the stub fails it, with the reason."""
    code, said = run(tmp_path, "--lab-solutions", "--lab-exercises=1")
    assert (code, counts(said)) == (0, {"passed": 5}), said
    code, said = run(tmp_path, f"--lab-submission={ROOT / 'exercises'}", "--lab-exercises=1", "-k", "1.4")
    assert (code, counts(said)["failed"]) == (1, 1), said
    assert "A message was lost  (lost)" in said


OWN_TESTS = """
async def test_faults(chat_client, chat_server, history):
    ada, bob = await chat_client("ada"), await chat_client("bob")
    for each in (ada, bob):
        await each.join("red")
    await ada.say("red", "one")
    await bob.hears("red", "one")
    await bob.reset()
    await ada.say("red", "two")
    assert await ada.sees("red") == {"ada": "online"}
    await bob.connect()
    await bob.join("red", since=bob.newest("red"))
    await bob.hears("red", "two")
    assert bob.heard("red") == ["one", "two"]
    await bob.leave("red")
    await bob.close()
    ada.go_silent()
    await chat_server.stop()
    assert history.events
    assert history.anomalies() == []
"""


def own_test_of_the_page() -> str:
    """The test in the page for instructors."""
    text = (ROOT / "harness" / "grading" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 1
    return str(blocks[0])


@pytest.mark.live
def test_own_tests_have_fixtures(tmp_path: Path) -> None:
    """An instructor's tests reach a server, clients and the history; what fails is explained."""
    (tmp_path / "test_own.py").write_text(own_test_of_the_page() + OWN_TESTS)
    code, said = run(tmp_path, "test_own.py")
    assert (code, counts(said)) == (0, {"passed": 2}), said
    code, said = run(tmp_path, "test_own.py", f"--lab-submission={ROOT / 'exercises'}", "-k", "late")
    assert (code, counts(said)["failed"]) == (1, 1), said
    assert "ada said 'hello' in red, and did not hear it back." in said
    assert "A message was lost  (lost)" in said
    assert "Traceback" not in said


MISTAKES = """
async def test_bad_name(chat_client):
    ada = await chat_client("ada")
    await ada.join("red room")


async def test_not_joined(chat_client):
    ada = await chat_client("ada")
    await ada.say("red", "hello")


async def test_gone(chat_client):
    ada = await chat_client("ada")
    await ada.reset()
    await ada.join("red")


async def test_killed_twice(chat_server):
    await chat_server.kill()
    await chat_server.kill()


async def test_started_twice(chat_server):
    await chat_server.start()
"""


@pytest.mark.live
def test_mistakes_of_own_tests_are_reported(tmp_path: Path) -> None:
    """What cannot work fails at once, with an explanation and the line of the test."""
    (tmp_path / "test_own.py").write_text(MISTAKES)
    code, said = run(tmp_path, "test_own.py")
    assert (code, counts(said)) == (1, {"failed": 5}), said
    assert "ada wanted to join red room, and the server answered: {'code': 'bad_room'" in said
    assert "ada wanted to say 'hello' in red, and the server answered: {'code': 'not_joined'" in said
    assert "The client has no connection" in said
    assert "test_own.py, line 15: await ada.join(" in said
    assert "The server does not run." in said
    assert "The server runs already." in said
    assert "Traceback" not in said
    assert "another exception" not in said


@pytest.mark.live
def test_own_tests_report_a_server_that_does_not_start(tmp_path: Path) -> None:
    """A server that exits at once is reported with its last lines, and not as a refused connection."""
    (tmp_path / "test_own.py").write_text(own_test_of_the_page())
    (tmp_path / "bad.py").write_text("print('I am tired')\nraise SystemExit(3)\n")
    code, said = run(tmp_path, "test_own.py", f'--lab-server="{sys.executable}" bad.py', "-k", "late")
    assert (code, counts(said)["error"]) == (1, 1), said
    assert "I am tired" in said
    assert "Traceback" not in said

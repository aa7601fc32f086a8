"""Servers that are broken on purpose are caught, each by its own anomaly; `chatlab zoo` shows them."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest

from harness.checkers.catalogue import CATALOGUE, Anomaly
from harness.cli import zoo as cli_zoo
from harness.contracts import running
from harness.contracts.running import play_contract
from harness.history.events import Closed, Fault, Left, Opened, Received, Sent, Server
from harness.judged.problems import Unclear
from harness.reports.terminal import EVIDENCE
from harness.reports.words import Words
from harness.running.direct_calls import known_directly
from harness.running.run import Run
from harness.scenarios.common import MODEST
from harness.texts import texts
from harness.verdict.outcome import Outcome, StepResult, Text
from harness.verdict.steps import EXERCISES, POINTS
from harness.zoo import matrix, typescript
from harness.zoo.animal import BOTH, Animal
from harness.zoo.animals import ANIMALS
from harness.zoo.matrix import Cell, Play, Row
from harness.zoo.single_file import PLAIN
from harness.zoo.table import Table
from tests.extras import needs_node

CHATLAB = (sys.executable, "-P", "-m", "harness.cli.main")
JOBS = 2


NAMED = tomllib.loads((Path(__file__).parent / "named_defects.toml").read_text(encoding="utf-8"))
"""What must stand in the first finding of each animal."""


def play(
    animals: list[Animal], world: str, *, everything: bool = False, right: bool = False, jobs: int = JOBS
) -> dict[str, list[str]]:
    """Play them; returns those with an unexpected result, or whose first finding does not name the defect."""
    plays = matrix.plan(animals, [world], everything=everything, right=right)
    rows = asyncio.run(matrix.play_all(plays, jobs, 7, lambda row: None))
    wrong = {row.name: wrong_in(row) for row in rows}
    return {name: said for name, said in wrong.items() if said}


def wrong_in(row: Row) -> list[str]:
    """What is unexpected in a row."""
    said = []
    if row.outcome is Outcome.FAILED or (row.outcome is Outcome.INCONCLUSIVE and row.world == "sim"):
        said.append(f"{row.name}, {row.world}: {row.cells} {row.found}")
    animal = ANIMALS.get(row.name)
    is_found = animal is not None and row.outcome is not Outcome.INCONCLUSIVE
    if animal is not None and is_found and (row.world == "sim" or "sim" not in animal.worlds):
        said += [*unnamed(row, animal), *undetected(row, animal)]
    return said


def unnamed(row: Row, animal: Animal) -> list[str]:
    """The first finding of an animal, if it does not name its defect; and findings that lack what decides.

    That of the first step that failed, in the animal's own exercise.
    """
    (run,) = (run for run in row.runs if run.exercise == animal.exercise)
    found = [anomaly for step in run.steps if step.outcome is Outcome.FAILED for anomaly in step.anomalies]
    words = Words(texts("en"), run.nonce, run.component)
    first = (
        "\n".join((words.title(found[0]), words.message(found[0]), words.cause(found[0]))) if found else ""
    )
    names = re.search(NAMED[animal.name], first, re.IGNORECASE | re.DOTALL)
    hidden = [each for each in found if not shows_what_decides(each)]
    return [
        *([] if names else [f"{animal.name} is not named: {first}"]),
        *(f"{animal.name}: {each}" for each in hidden),
    ]


def undetected(row: Row, animal: Animal) -> list[str]:
    """What is wrong with the direct calls of a component.

    They must find its defect by themselves, in its step and under its name, and nothing in other steps.
    """
    if not animal.component or not animal.source:
        return []
    (run,) = row.runs
    assert run.contract is not None
    found = {(each.step, each.name) for each in run.contract.found}
    is_found = (animal.steps[0], animal.anomaly) in found
    is_all = {step for step, _ in found} <= {*animal.steps, *animal.also}
    return [] if is_found and is_all else [f"{animal.name}, called directly: {sorted(found)}"]


DECIDES: dict[str, tuple[Any, ...]] = {
    "altered": (Sent, Received),
    "changed_after_restart": (Received, Server),
    "data_dir_ignored": (Received, Server),
    "dropped_connection": (Sent | Fault | Opened | Received, Closed),
    "duplicate": (Sent, Received),
    "flooding": (Received | Server,),
    "gap": (Received,),
    "heard_after_leave": (Left, Sent, Received),
    "history_disorder": (Sent, Received),
    "history_hole": (Sent, Received),
    "history_mismatch": (Received,),
    "impersonation": (Sent, Received),
    "late_offline": (Sent | Fault, Received),
    "lost": (Sent | Received,),
    "lost_after_crash": (Received, Server),
    "missing_heartbeat": (Received | Opened,),
    "missing_notice": (Sent | Fault | Closed,),
    "obeyed_bad_frame": (Sent, Received),
    "presence_disagrees": (Received,),
    "refused": (Sent, Received),
    "reorder": (Received,),
    "replay_hole": (Sent,),
    "replay_overlap": (Sent, Received),
    "replayed_as_new": (Sent, Received),
    "retry_unanswered": (Sent,),
    "sequence_reset": (Sent, Received, Server),
    "server_died": (Sent, Server),
    "server_hung": (Sent, Server),
    "split_sequence": (Sent, Received),
    "stalled_by_slow_reader": (Fault, Sent, Received),
    "stored_twice": (Sent, Received),
    "unannounced_presence": (Sent | Fault,),
    "unanswered_error": (Sent | Fault | Opened,),
    "unanswered_request": (Sent,),
    "unbounded_slow_reader": (Fault, Received),
    "wrong_replay": (Sent, Received),
    "zombie_presence": (Sent | Fault, Received | Fault),
}
"""Events without which a finding does not show what it rests on: one of each kind."""


def shows_what_decides(anomaly: Anomaly) -> bool:
    """Whether the events of a finding are in the order of time, and all shown, with those that decide."""
    times = [event.at for event in anomaly.evidence]
    wanted = DECIDES.get(anomaly.name, ())
    decides = all(any(isinstance(event, kind) for event in anomaly.evidence) for kind in wanted)
    shown = anomaly.is_of_a_contract or len(times) <= EVIDENCE
    return times == sorted(times) and decides and shown


def of_exercise(exercise: int, world: str) -> list[Animal]:
    """The animals that belong to an exercise, and are played in a world."""
    return [each for each in ANIMALS.values() if each.exercise == exercise and world in each.worlds]


# --- the animals --------------------------------------------------------------------------------------


def test_every_anomaly_has_an_animal() -> None:
    """Except for two that need more than a server: a step before that failed, and a program that runs it."""
    assert {each.anomaly for each in ANIMALS.values()} == set(CATALOGUE) - {"not_reached", "outlived"}
    assert len(ANIMALS) >= 40


@pytest.mark.parametrize("name", ANIMALS)
def test_animal_is_described(name: str) -> None:
    """Its description says what is wrong; its steps exist;
    and the reason is given if it has one world only.
    """
    animal = ANIMALS[name]
    assert animal.name == name
    assert animal.says[0].isupper() or animal.says[0] == "`"
    assert animal.says[-1] in ".?`"
    assert {*animal.steps, *animal.also} <= set(POINTS)
    assert not set(animal.steps) & set(animal.also)
    assert len({step[0] for step in animal.steps}) == 1
    assert set(animal.worlds) <= set(BOTH)
    assert bool(animal.why) == (animal.worlds != BOTH)
    assert [bool(animal.source), animal.defect is not None, bool(animal.changes)].count(True) == 1
    assert not animal.file or typescript.changed(animal)
    assert animal.source != PLAIN.read_text(encoding="utf-8")


def test_every_animal_has_the_words_that_name_its_defect() -> None:
    """They are in the order of the animals' exercises, and none is left over."""
    assert set(NAMED) == set(ANIMALS)
    exercises = [ANIMALS[name].exercise for name in NAMED]
    assert exercises == sorted(exercises)


# --- how they are judged ------------------------------------------------------------------------------


def cell_of(outcome: Outcome, anomaly: str = "", step: str = "2.1") -> Cell:
    """The cell of a step of an animal that must be caught by `lost` at 2.1, and may fail at 2.2."""
    animal = Animal("x", ("2.1",), "lost", "", lambda: None, ("2.2",))
    found = [Anomaly(anomaly)] if anomaly else []
    result = StepResult(step, outcome, 0, 0, Text("x"), anomalies=found)
    run = Run(2, "1", "live", "x", 0.0, [result], [], [], 0.0, [])
    return matrix.judged(Play("x", "live", {}, animal), [run]).cells[step]


def test_the_cell_of_an_animal_and_a_step() -> None:
    """Caught, caught by another anomaly, missed; and which other steps may fail and which may not."""
    assert cell_of(Outcome.FAILED, "lost") is Cell.CAUGHT
    assert cell_of(Outcome.FAILED, "gap") is Cell.OTHER
    assert cell_of(Outcome.PASSED) is Cell.MISSED
    assert cell_of(Outcome.INCONCLUSIVE, "lost") is Cell.OPEN
    assert cell_of(Outcome.PASSED, step="2.2") is Cell.PASSED
    assert cell_of(Outcome.FAILED, "gap", step="2.2") is Cell.ALSO
    assert cell_of(Outcome.FAILED, "gap", step="2.3") is Cell.STRAY
    assert cell_of(Outcome.FAILED, "not_reached", step="2.3") is Cell.ALSO


@pytest.mark.parametrize(
    ("first", "second", "cells"),
    [
        ("lost", "lost", ["caught", "caught"]),
        ("lost", "gap", ["caught", "also"]),
        ("", "lost", ["passed", "caught"]),
        ("gap", "", ["other", "missed"]),
    ],
)
def test_an_animal_that_may_be_caught_at_one_of_two_steps(first: str, second: str, cells: list[str]) -> None:
    """As with a kill whose exact time nobody can choose: once is enough."""
    animal = Animal("x", ("4.3", "4.4"), "lost", "", lambda: None)
    results = [
        StepResult(step, Outcome.FAILED, 0, 0, None, anomalies=[Anomaly(name)])
        if name
        else StepResult(step, Outcome.PASSED, 0, 0, None)
        for step, name in (("4.3", first), ("4.4", second))
    ]
    run = Run(4, "1", "live", "x", 0.0, results, [], [], 0.0, [])
    row = matrix.judged(Play("x", "live", {}, animal), [run])
    assert list(row.cells.values()) == cells


@pytest.mark.parametrize(
    ("cells", "outcome"),
    [
        ([Cell.CAUGHT, Cell.ALSO, Cell.PASSED], Outcome.PASSED),
        ([Cell.CAUGHT, Cell.OPEN], Outcome.PASSED),
        ([Cell.PASSED, Cell.OPEN], Outcome.INCONCLUSIVE),
        ([Cell.MISSED, Cell.OPEN], Outcome.FAILED),
        ([Cell.OTHER], Outcome.FAILED),
        ([Cell.CAUGHT, Cell.STRAY], Outcome.FAILED),
    ],
)
def test_the_result_of_a_row(cells: list[Cell], outcome: Outcome) -> None:
    """One wrong cell makes it wrong; otherwise one open cell leaves it open."""
    assert Row("x", "live", {str(n): cell for n, cell in enumerate(cells)}, {}).outcome is outcome


def test_an_animal_that_was_left_open_is_not_caught(capsys: pytest.CaptureFixture[str]) -> None:
    """It counts as an animal, and the step is named; a right server does not count."""
    animal = Animal("x", ("2.1",), "lost", "", lambda: None)
    table = Table([Play("right", "live", {}), Play("x", "live", {}, animal)])
    rows = [Row("right", "live", {"2.1": Cell.PASSED}, {}), Row("x", "live", {"2.1": Cell.OPEN}, {})]
    table.sum_up(rows, 1.0)
    printed = capsys.readouterr().out
    assert "0 of 1 animals caught by their own anomaly; 1 of 2 servers came out as they should" in printed
    assert "x, live: step 2.1 was left open" in printed


# --- that they are caught -----------------------------------------------------------------------------


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("animals")
@pytest.mark.parametrize("exercise", EXERCISES)
def test_animals_are_caught_in_the_simulated_world(exercise: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in its own exercise: by its own anomaly, and the steps that have nothing to do with it pass.

    What a smaller play of exercise 2 shows is played in full by -m thorough: that takes seven times as long.
    """
    monkeypatch.setattr(matrix, "EXERCISES", {exercise: EXERCISES[exercise]})
    animals = of_exercise(exercise, "sim")
    if exercise == 2:
        with monkeypatch.context() as smaller:
            smaller.setattr(matrix, "MODEST", MODEST // 2)
            left = play(animals, "sim")
        animals = [each for each in animals if each.name in left]
        assert len(animals) < 25
    assert play(animals, "sim") == {}


FIRST = {
    each.anomaly: each
    for each in sorted(ANIMALS.values(), key=lambda each: each.defect is not None)
    if "live" in each.worlds and not each.file
}.values()
"""One for each anomaly, and rather one without a race."""

IMITATED = {
    "dropped_connection",
    "lost_after_crash",
    "server_blocked",
    "server_hung",
    "slow_stop",
    "stalled_by_slow_reader",
    "unbounded_slow_reader",
}
"""Anomalies by kills, signals, buffers or a busy processor, which the simulated world only imitates."""

LIVE = {
    each.name
    for each in (
        *{each.steps[0]: each for each in FIRST if not each.component}.values(),  # one for each step
        *(each for each in FIRST if each.anomaly in IMITATED or "sim" not in each.worlds),
    )
}
"""Those that are always played: checkers are the same in both worlds, and how a step is played is not."""


def _marks(animal: Animal) -> list[pytest.MarkDecorator]:
    """The others are simulated anyway, and are left to -m thorough: each takes ten seconds."""
    marks = [pytest.mark.xdist_group(f"live{animal.exercise % 2}")]
    return marks if animal.name in LIVE else [*marks, pytest.mark.thorough]


@pytest.mark.live
@pytest.mark.parametrize(
    "animal",
    [pytest.param(each, id=each.name, marks=_marks(each)) for each in FIRST],
)
def test_animal_is_caught_in_the_live_world(animal: Animal) -> None:
    """One for each step, and where the worlds differ; one for every anomaly is played by -m thorough."""
    assert play([animal], "live") == {}


IN_TYPESCRIPT = [each for each in ANIMALS.values() if each.file]


@pytest.mark.parametrize("animal", [pytest.param(e, id=e.name) for e in IN_TYPESCRIPT if e.component])
def test_component_in_typescript_is_caught(
    animal: Animal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called directly, which is enough to find it."""
    needs_node()
    monkeypatch.setattr(running, "MORE_SECONDS", 0.3)  # after the first breach
    target = typescript.target(animal, tmp_path)
    assert target.build is not None
    found = play_contract(animal.component, target.build.compiled(animal.component), tmp_path)
    run = known_directly(animal.exercise, target, found, "7", "live")
    row = matrix.judged(Play(animal.name, "live", {}, animal), [run])
    assert Cell.CAUGHT in row.cells.values(), row.found
    assert not set(row.cells.values()) & matrix.WRONG, row.found
    assert unnamed(row, animal) == []


@pytest.mark.live
@pytest.mark.thorough
@pytest.mark.xdist_group("live0")
def test_servers_in_typescript_are_caught() -> None:
    """Each in its own exercise, several at once: most of the time they wait."""
    needs_node()
    assert play([each for each in IN_TYPESCRIPT if not each.component], "live", jobs=4) == {}


@pytest.mark.thorough
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("world", BOTH)
def test_the_whole_matrix(world: str) -> None:
    """All animals and right servers, which takes some minutes in each world."""
    needs_node()
    animals = [each for each in ANIMALS.values() if world in each.worlds]
    assert play(animals, world, right=True) == {}


# --- the command --------------------------------------------------------------------------------------


def chatlab(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `chatlab zoo`."""
    return subprocess.run(
        [*CHATLAB, "zoo", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, **more},
    )


@pytest.mark.xdist_group("sim")
def test_the_table_has_a_line_for_each_server() -> None:
    """With a mark for each step, also if the terminal can show only ASCII."""
    done = chatlab("rooms_are_paths", "nobody_listens")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["1", "2", "3", "4"]
    assert lines[1].split() == ["12345", "1234", "1234", "12345"]
    assert lines[2].split() == [
        "rooms_are_paths",
        "sim",
        "··●··",
        "···+",
        "·+··",
        "·····",
        "unanswered_error",
    ]
    assert "2 of 2 animals caught by their own anomaly" in done.stdout
    plain = chatlab("rooms_are_paths", PYTHONIOENCODING="ascii")
    assert "..@.." in plain.stdout


def test_animals_are_listed_and_shown() -> None:
    """Nothing is played then."""
    listed = chatlab("--list").stdout
    assert all(
        f"{animal.name}   [step {' or '.join(animal.steps)}, {animal.anomaly}]" in listed
        for animal in ANIMALS.values()
    )
    assert "In the live world only, since" in listed
    single = chatlab("--source", "rooms_are_paths").stdout
    assert single.strip() == ANIMALS["rooms_are_paths"].source.strip()
    assert "def rooms_are_ascii(parts: Components)" in chatlab("--source", "rooms_are_ascii").stdout


def test_the_source_of_an_animal_in_typescript_is_its_difference() -> None:
    """As a patch of the file that it changes."""
    shown = chatlab("--source", "publish_is_async").stdout
    assert shown.startswith("--- a/solutions/typescript/pub-sub.ts\n+++ b/solutions/typescript/pub-sub.ts\n")
    assert "+  async publish(room: string, frame: types.ServerFrame): Promise<void> {" in shown
    assert (
        "\n--- a/exercises/typescript/src/outbox.ts" in f"\n{chatlab('--source', 'buffers_are_sent').stdout}"
    )


def test_without_node_those_in_typescript_are_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence says so; whoever names one is told why it cannot be played."""

    def check_ready() -> None:
        raise Unclear("typescript.no_node", oldest=20)

    monkeypatch.setattr(cli_zoo, "check_ready", check_ready)
    animals = list(ANIMALS.values())
    left = cli_zoo._possible(animals, ["live"], are_named=False)
    assert left == [each for each in animals if not each.file]
    said = capsys.readouterr().err
    assert f"Left out are {len(IN_TYPESCRIPT)} animals in TypeScript. There is no program `node`." in said
    assert cli_zoo._possible(animals, ["sim"], are_named=False) == animals
    with pytest.raises(click.UsageError, match="There is no program `node`"):
        cli_zoo._possible(IN_TYPESCRIPT[:1], ["live"], are_named=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rooms_are_path",), "did you mean rooms_are_paths"),
        (("--source",), "--source needs the NAME"),
        (("data_dir_is_ignored", "--world", "sim"), "use --world live"),
        (("publish_is_async",), "only servers in Python can be simulated; use --world live"),
    ],
)
def test_wrong_usage_is_reported(arguments: tuple[str, ...], message: str) -> None:
    """In a sentence, with the exit code for it."""
    done = chatlab(*arguments)
    assert done.returncode == 64
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_animal_is_a_program(tmp_path: Path) -> None:
    """`python -m harness.zoo NAME` is what the plays start; without a name, it prints its usage."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness.zoo"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 64
    assert "chatlab zoo --list" in done.stderr

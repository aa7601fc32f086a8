"""Each level can be won: by a check that catches its animals, and by none that catches nobody."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.hunt import starter
from harness.hunt.check_file import read
from harness.hunt.judging import judge
from harness.hunt.levels import LEVELS
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case, Run
from harness.scenarios.common import SMALL
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import EXERCISES
from harness.zoo.animal import BOTH
from harness.zoo.animals import ANIMALS
from harness.zoo.right import RIGHT
from harness.zoo.unnamed import named, target, token_of
from tests.harness.hunt.checks import failure, model
from tests.kit.conftest import assert_right

pytestmark = pytest.mark.xdist_group("sim")
IN_ALL = [name for level in LEVELS.values() for name in (level.quarry, *level.kin)]
RACES = 5
"""The level whose animals are not caught each time."""


@pytest.mark.parametrize("number", [number for number in LEVELS if number != RACES])
def test_a_check_catches_the_animals_of_a_level(number: int) -> None:
    """And passes with each right server."""
    level = LEVELS[number]
    for name in (level.quarry, *level.kin):
        found = failure(model(number), name)
        assert found is not None, name
        assert found.line > 0, found
    for name in RIGHT:
        assert failure(model(number), name) is None, name


def test_a_check_catches_races_in_most_plays() -> None:
    """Of the last level, all of them; it is judged as the command does it."""
    told: list[tuple[int, int]] = []
    level = replace(LEVELS[RACES], plays=3)
    found = judge(read(str(model(RACES))), level, 1, "sim", "en", lambda *each: told.append(each))
    assert found.is_solved
    assert found.caught_kin == list(level.kin)
    assert told[-1] == (3 * (1 + len(level.kin) + len(RIGHT)),) * 2


def test_the_check_to_begin_with_catches_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It passes with each server: what is wrong is for the player to find. It is never overwritten."""
    monkeypatch.chdir(tmp_path)
    for number, level in LEVELS.items():
        language = LANGUAGES[number % 2]
        assert starter.write(number, texts(language))
        path = starter.path_of(number)
        assert texts(language).say(f"hunt.level_{number}.title") in path.read_text(encoding="utf-8")
        assert failure(path, level.quarry) is None
        path.write_text("mine")
        assert not starter.write(number, texts("en"))
        assert path.read_text() == "mine"


def test_right_servers_are_right() -> None:
    """Those that are there for the hunt alone pass all exercises: the others are played with the zoo."""

    async def plays(name: str) -> list[Run]:
        async with ForkPool(1) as pool:
            cases = [Case(exercise, "7", SMALL) for exercise in EXERCISES]
            return await pool.play(SimJob(target(name), cases))

    for name in ("slow_disk", "other_habits"):
        for run in asyncio.run(plays(name)):
            assert not run.defect, run.defect
            assert_right(run)


def test_animals_of_the_hunt_can_be_hunted() -> None:
    """Each is in one level, and a server that both worlds have; the quarry has a page for browsers."""
    assert len(set(IN_ALL)) == len(IN_ALL)
    for name in IN_ALL:
        assert ANIMALS[name].start is not None
        assert ANIMALS[name].worlds == BOTH
    assert all(ANIMALS[level.quarry].defect is not None for level in LEVELS.values())


def test_a_level_is_told_in_the_words_of_the_zoo() -> None:
    """What is said at its end is what the zoo says; three hints, each in all languages."""
    for number, level in LEVELS.items():
        assert texts("en").say(f"hunt.level_{number}.says") == inspect.cleandoc(ANIMALS[level.quarry].says)
        for language in LANGUAGES:
            words = texts(language)
            assert len(words.list(f"hunt.level_{number}.hints")) == 3
            about = " ".join(words.say(f"hunt.level_{number}.{key}") for key in ("title", "complaint"))
            assert level.quarry not in about
            assert model(number).is_file()
    for name in RIGHT:
        assert texts("fr").has(f"hunt.right.{name}")
        assert texts("fr").has(f"hunt.habit.{name}")


def test_a_command_does_not_tell_the_name() -> None:
    """A token stands for each animal and right server, and leads back to it alone."""
    names = {*ANIMALS, *RIGHT}
    assert len({token_of(name) for name in names}) == len(names)
    for name in IN_ALL:
        command = target(name).command
        assert command is not None
        assert not any(name in word for word in command)
        assert named(command[-1], names) == name
    assert named("x", names) is None

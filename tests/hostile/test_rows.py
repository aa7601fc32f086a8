"""The tables of hostile servers and components; some of these, played: they stay within their bounds."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from harness.contracts.result import Played
from harness.judged.families import descendants
from harness.running.fork_pool import ContractJob, ForkPool
from harness.verdict.steps import COMPONENTS
from tests.hostile.__main__ import COMMANDS, words_for
from tests.hostile.cases import Hostile, components, servers


def test_the_tables_hold_what_can_be_played() -> None:
    """Each row is Python, has a name of its own, and differs from what is right; some command judges it."""
    rows = [*servers(), *components()]
    assert len(servers()) >= 40
    assert len(components()) >= 30
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        for path, text in row.files.items():
            compile(text, f"{row.name}/{path}", "exec")
        assert any(words_for(command, row) for command in COMMANDS)


def called(row: Hostile, folder: Path) -> tuple[Played, list[int]]:
    """What direct calls of a component show, and what is left running below the process that calls."""
    ((path, text),) = row.files.items()
    file = folder / Path(path).name
    file.write_text(text)

    async def call() -> tuple[Played, list[int]]:
        async with ForkPool(1) as pool:
            played = await pool.call(ContractJob(COMPONENTS[row.exercise], str(file), dict(os.environ)))
            await pool.call(ContractJob("pubsub", "no such file", {}))  # the pool plays on
            return played, descendants(pool.pid)

    return asyncio.run(call())


@pytest.mark.xdist_group("sim")
@pytest.mark.parametrize(
    ("what", "lacking", "breach"),
    [
        ("a child with a session of its own, which stays", "", ""),
        ("56 children of posix.fork", "", "call_hangs/processes"),
        ("os._exit in a thread of _thread", "", "call_ends/"),
        ("stops itself", "", "call_ends/"),
        ("other clocks, other sleep, other JSON", "crash", ""),
    ],
)
def test_a_component_has_a_verdict_and_leaves_nothing(
    what: str, lacking: str, breach: str, tmp_path: Path
) -> None:
    """Whatever it starts, ends or changes: there is one answer, no failure of the kit, and nothing runs."""
    row = next(row for row in components() if row.name.endswith(f": {what}"))
    played, running = called(row, tmp_path)
    found = [f"{each.name}/{each.variant}" for each in played.found]
    assert (played.defect, running) == ("", [])
    assert (played.lacking, found[:1]) in ((lacking, [breach] * bool(breach)), ("crash", []))

"""Wrong code is told its own mistake first: in simulated plays of code that people write by accident."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.judged import targets
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.run import Case, Run
from harness.verdict.steps import COMPONENTS, EXERCISES
from tests.wrong_code.cases import components, servers

pytestmark = pytest.mark.xdist_group("sim")

FIRST = {
    "pubsub: publish raises": ("raised", "ValueError: publish", "pubsub.py, line 34, in publish"),
    "store: find raises": ("raised", "KeyError", "store.py, line 78, in find"),
    "pubsub: members returns None": ("raised", "TypeError", "pubsub.py, line"),
    "presence: changes return None": ("unusable", "PresenceManager.", "announcer.py, line"),
    "sequencer: save is not awaited": ("unawaited", "MessageStore.save", "sequencer.py, line 47, in accept"),
    "sequencer: last is not awaited": ("unawaited", "MessageStore.last", "sequencer.py, line 44, in accept"),
    "server: a NameError for each connection": ("raised", "NameError", "server.py, line 5, in client"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A small play of each of them."""
    folder = tmp_path_factory.mktemp("wrong")
    texts = {name: text for name, (_, text) in components().items()} | servers()

    def job(number: int, name: str) -> SimJob:
        if name.startswith("server"):
            (folder / "server.py").write_text(texts[name], encoding="utf-8")
            return SimJob(targets.whole_server("python3 server.py", folder), [Case(2, "1", 1)])
        exercise = next(each for each, component in COMPONENTS.items() if name.startswith(component))
        path: Path = folder / str(number) / EXERCISES[exercise] / f"{COMPONENTS[exercise]}.py"
        path.parent.mkdir(parents=True)
        path.write_text(texts[name], encoding="utf-8")
        return SimJob(targets.submission(folder / str(number), exercise, False), [Case(exercise, "1", 1)])

    async def all_of_them() -> list[list[Run]]:
        async with ForkPool(2) as pool:
            jobs = [job(*each) for each in enumerate(FIRST)]
            return list(await asyncio.gather(*map(pool.play, jobs)))

    return {name: run for name, (run,) in zip(FIRST, asyncio.run(all_of_them()), strict=True)}


@pytest.mark.parametrize("name", FIRST)
def test_the_first_cause_is_the_mistake(runs: dict[str, Run], name: str) -> None:
    """With the student's own line; or, if none of them failed, the method that the server had called."""
    kind, what, where = FIRST[name]
    first = runs[name].causes[0]
    assert first.kind == kind
    assert first.what.startswith(what)
    assert first.where.startswith(where)
    assert first.source

"""One submission that is judged: what of it in which exercise, and what direct calls of it have shown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from harness.contracts.result import Played
from harness.judged.found import Found
from harness.judged.problems import BadTarget
from harness.judged.targets import Target
from harness.posix import cores, stay_on
from harness.running.direct_calls import all_called_directly
from harness.submissions.fingerprints import Rules, fingerprint
from harness.submissions.staging import Staged, for_direct_calls, found_of, target_of


class Submission:
    """The copy of a submission that is judged; copies of the kit are made below `place`."""

    def __init__(self, staged: Staged, rules: Rules, place: Path, cores: list[int]) -> None:
        self.staged, self.rules, self.place, self.cores = staged, rules, place, cores
        self._found: dict[int, Found | BadTarget] = {}
        self._targets: dict[int, Target | BadTarget] = {}
        self._calls: asyncio.Task[Mapping[int, Played | None]] | None = None

    def found(self, exercise: int) -> Found | BadTarget:
        """What was handed in for an exercise, before anything is built; or why there is nothing to judge."""
        if exercise not in self._found:
            try:
                self._found[exercise] = found_of(self.staged, exercise, self.rules)
            except BadTarget as error:
                self._found[exercise] = error
        return self._found[exercise]

    def target(self, exercise: int) -> Target | BadTarget:
        """What is judged in an exercise, or why there is nothing to judge."""
        if exercise not in self._targets:
            self._targets[exercise] = self._made(exercise)
        return self._targets[exercise]

    def _made(self, exercise: int) -> Target | BadTarget:
        found = self.found(exercise)
        if isinstance(found, BadTarget):
            return found
        try:
            return target_of(found, self.staged, exercise, self.rules, self.place)
        except BadTarget as error:
            return error

    async def build(self, exercises: list[int]) -> None:
        """Make what is judged in these exercises, on the cores of this job, while others go on."""
        await asyncio.to_thread(self._build, exercises)

    def _build(self, exercises: list[int]) -> None:
        before = cores()
        stay_on(self.cores)  # it holds for this thread, and for what that starts
        try:
            for exercise in exercises:
                self.target(exercise)
        finally:
            stay_on(before)

    def sources(self, exercises: list[int]) -> dict[str, str]:
        """The sources of its components, by their names; those in TypeScript by the names of their files."""
        return {
            name: Path(path).read_text("utf-8", "replace")
            for n in exercises
            if isinstance(found := self.found(n), Found)
            for name, path in found.sources.items()
        }

    def give_up(self, exercise: int, why: BadTarget) -> None:
        """Judge nothing in an exercise."""
        self._targets[exercise] = why

    def fingerprint(self, exercise: int) -> str:
        """What the verdict on an exercise rests on."""
        found = self.found(exercise)
        judged = found if isinstance(found, Found) else None
        named = self.staged.mapped.get(exercise, "")
        return fingerprint(judged, self.staged.folder, exercise, self.rules, named)

    def call_directly(self, exercises: list[int]) -> None:
        """Begin to call the components of these exercises."""
        chosen = {n: target for n in exercises if isinstance(target := self.target(n), Target)}
        called = [target.build.called for target in chosen.values() if target.build]
        setting = for_direct_calls(self.staged, self.rules, self.place, self.cores, called)
        self._calls = asyncio.create_task(all_called_directly(chosen, setting=setting))

    async def contract(self, exercise: int) -> Played | None:
        """What direct calls of an exercise's component have shown."""
        return None if self._calls is None else (await asyncio.shield(self._calls)).get(exercise)

    async def close(self) -> None:
        """End what is still going on."""
        if self._calls is not None:
            self._calls.cancel()
            await asyncio.gather(self._calls, return_exceptions=True)

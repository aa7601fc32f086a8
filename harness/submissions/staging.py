"""The copy of a submission that is judged, in a folder of ours: what was handed in is only read."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from harness.judged import typescript
from harness.judged.bubblewrap import tool_homes
from harness.judged.candidates import LANGUAGES
from harness.judged.found import Found, handed_in
from harness.judged.isolation import Isolation, give_to, user_of
from harness.judged.problems import BadTarget, Unclear
from harness.judged.submissions import component_in
from harness.judged.targets import ROOT, Target, of_found
from harness.judged.tracks import TYPESCRIPT
from harness.running.fork_pool import PoolSetting
from harness.submissions.copying import Copied, Task, copied_apart, copied_meanwhile
from harness.submissions.fingerprints import Rules
from harness.submissions.kit_copy import OF_THE_KIT, copy_of_kit
from harness.submissions.listing import HandIn
from harness.submissions.unpack import encodable
from harness.texts import Texts
from harness.verdict.outcome import Text
from lab.loader import INTERFACES

_LONGEST = 60
"""Bytes of the name of a copy, which stands in reports."""
_HOME, _BUILT = "home", "built"
BESIDE = (_HOME, _BUILT)
"""What lies beside a copy, in the folder of its job."""


class Staged(Struct, frozen=True):
    """The copy of a submission, and what was left out of it; `slot` is that of the job which judges it."""

    name: str
    folder: Path
    slot: int = 0
    left_out: tuple[Text, ...] = ()
    problem: Text | None = None
    """Why it could not be copied."""
    mapped: dict[int, str] = {}
    """The files of exercises that somebody has named, relative to the folder; "-" for none."""

    @property
    def home(self) -> Path:
        """What its programs take for their home."""
        return self.folder.parent / _HOME

    @property
    def built(self) -> Path:
        """Where servers are built of it."""
        return self.folder.parent / _BUILT


def stage(hand_in: HandIn, place: Path, slot: int, mapped: dict[int, str]) -> Staged:
    """Copy what was handed in to a new folder below `place`, which is removed with it."""
    name, task = _prepared(hand_in, place)
    return _staged(name, task, copied_apart(task), slot, mapped)


async def stage_meanwhile(hand_in: HandIn, place: Path, slot: int, mapped: dict[int, str]) -> Staged:
    """The same while other things go on."""
    name, task = _prepared(hand_in, place)
    return _staged(name, task, await copied_meanwhile(task), slot, mapped)


def _prepared(hand_in: HandIn, place: Path) -> tuple[str, Task]:
    """The name of a copy, and what is to be copied."""
    name = re.sub(r"[^\w.@+ -]", "_", hand_in.name).strip()
    name = encodable(name if name.strip(". ") and name not in BESIDE else f"_{name}_")
    while len(name.encode()) > _LONGEST:
        name = name[:-1]
    for folder in (*BESIDE, name):
        (place / folder).mkdir()
    sources = [(os.fsencode(source), called) for source, called in hand_in.sources]
    return name, Task(str(place / name), sources)


def _staged(name: str, task: Task, copied: Copied, slot: int, mapped: dict[int, str]) -> Staged:
    return Staged(name, Path(task.folder), slot, tuple(copied.left_out), copied.problem, mapped)


def left_out(staged: Staged, said: Texts) -> list[str]:
    """What was left out of the copy of a submission, in sentences."""
    problems = [staged.problem] if staged.problem else []
    return [said.say(f"left_out.{each.key}", **each.params) for each in (*problems, *staged.left_out)]


def found_of(staged: Staged, exercise: int, rules: Rules) -> Found:
    """What is judged of a submission, before anything is built. Raises BadTarget, Unclear."""
    if staged.problem is not None:
        raise Unclear(f"left_out.{staged.problem.key}", **staged.problem.params)
    _move_mapped(staged, exercise)
    named = {number: staged.folder / path for number, path in staged.mapped.items() if path != "-"}
    try:
        found = handed_in(staged.folder, exercise, rules.together, is_partial=rules.is_partial, named=named)
    except Unclear:
        raise
    except BadTarget:
        if staged.left_out and not os.path.lexists(component_in(staged.folder, exercise)):
            raise Unclear("target.left_out", path=staged.name) from None
        raise
    return replace(found, label=found.label.replace(f"{staged.folder.parent}/", ""))


def target_of(found: Found, staged: Staged, exercise: int, rules: Rules, place: Path) -> Target:
    """The server of what was found, isolated; copies of the kit are made below `place`.

    Raises BadTarget, Unclear.
    """
    target = of_found(found, exercise, rules.together, staged.built)
    if found.track == TYPESCRIPT:
        return _isolated_build(target, staged, rules)
    return isolated(target, staged, rules, copy_of_kit(place, target.uses))


def for_direct_calls(
    staged: Staged, rules: Rules, place: Path, cores: list[int], called: Collection[str] = ()
) -> PoolSetting:
    """How the components of a submission are called directly: beside the harness, which calls them.

    `called` are the folders of compiled ones. What was built for one exercise has the answers to others.
    """
    kit = copy_of_kit(place, INTERFACES)
    parts = ("zoo", "bench", "load", "grading")
    isolation = Isolation(
        rules.isolation,
        shows=(str(kit), str(ROOT / "harness"), str(staged.folder), *called, *rules.shows),
        hides=(
            *(str(ROOT / name) for name in OF_THE_KIT if name != "harness"),
            *(str(ROOT / "harness" / name) for name in parts),
        ),
        user=user_of(staged.slot),
    )
    return PoolSetting(isolation, {"PYTHONPATH": _python_path(kit, rules)}, rules.passed, cores)


def isolated(target: Target, staged: Staged, rules: Rules, kit: Path) -> Target:
    """A target whose code sees its submission, a copy of the kit, and little else."""
    environment = {"PYTHONPATH": _python_path(kit, rules), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= _own_places(staged, rules)
    own = (str(staged.folder), str(staged.home))
    isolation = Isolation(
        rules.isolation,
        shows=(str(kit), *rules.shows, *(own if target.uses else ())),
        writes=() if target.uses else own,
        hides=tuple(str(ROOT / name) for name in OF_THE_KIT),
        user=user_of(staged.slot),
    )
    give_to(isolation, [staged.home] if target.uses else [staged.folder, staged.home])
    # What Python finds without a path comes from our copy: so it may start in any folder.
    cwd = str(staged.folder) if target.uses else target.cwd
    return replace(target, passed=rules.passed, env=environment, isolation=isolation, cwd=cwd)


def _isolated_build(target: Target, staged: Staged, rules: Rules) -> Target:
    """A server that was built, and sees that, and the packages that it imports."""
    assert target.build is not None, "it is in TypeScript"
    packages = typescript.packages()
    isolation = Isolation(
        rules.isolation,
        shows=(target.build.folder, packages, str(staged.home), *rules.shows),
        hides=tuple(str(ROOT / name) for name in OF_THE_KIT),
        user=user_of(staged.slot),
    )
    give_to(isolation, [staged.home])
    environment = {**_own_places(staged, rules), **target.env}
    return replace(target, passed=rules.passed, env=environment, isolation=isolation, cwd=target.build.folder)


def _own_places(staged: Staged, rules: Rules) -> dict[str, str]:
    """The variables that give isolated code a home of its own."""
    if rules.isolation == "none":
        return {}
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), "/tmp")
    return {"HOME": str(staged.home), **temporary, **tool_homes()}


def _python_path(kit: Path, rules: Rules) -> str:
    theirs = os.environ.get("PYTHONPATH", "") if "PYTHONPATH" in rules.passed else ""
    return os.pathsep.join([str(kit), *(os.path.abspath(each) for each in theirs.split(os.pathsep) if each)])


def _move_mapped(staged: Staged, exercise: int) -> None:
    """Put the file that somebody has named for an exercise where it belongs: in TypeScript, anywhere."""
    named = staged.mapped.get(exercise)
    if named is None:
        return
    wanted = component_in(staged.folder, exercise)
    if named == "-":
        raise BadTarget("target.mapped_to_none", path=staged.name)
    path = staged.folder / named
    if not path.resolve().is_relative_to(staged.folder.resolve()) or not path.is_file():
        raise Unclear("target.mapped_missing", path=named)
    if path.resolve() != wanted.resolve() and not LANGUAGES[TYPESCRIPT].is_source(path.name):
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.write_bytes(path.read_bytes())

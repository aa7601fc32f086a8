"""The copy of a submission that is judged, in a folder of ours: what was handed in is only read."""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from harness.judged.bubblewrap import tool_homes
from harness.judged.isolation import Isolation, give_to, user_of
from harness.judged.problems import BadTarget, Unclear
from harness.judged.submissions import component_in
from harness.judged.targets import ROOT, Target, submission
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
        return self.folder.parent / "home"


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
    name = encodable(name if name.strip(". ") and name != "home" else f"_{name}_")
    while len(name.encode()) > _LONGEST:
        name = name[:-1]
    (place / "home").mkdir()
    (place / name).mkdir()
    sources = [(os.fsencode(source), called) for source, called in hand_in.sources]
    return name, Task(str(place / name), sources)


def _staged(name: str, task: Task, copied: Copied, slot: int, mapped: dict[int, str]) -> Staged:
    return Staged(name, Path(task.folder), slot, tuple(copied.left_out), copied.problem, mapped)


def left_out(staged: Staged, said: Texts) -> list[str]:
    """What was left out of the copy of a submission, in sentences."""
    problems = [staged.problem] if staged.problem else []
    return [said.say(f"left_out.{each.key}", **each.params) for each in (*problems, *staged.left_out)]


def target_of(staged: Staged, exercise: int, rules: Rules, place: Path) -> Target:
    """What is judged of a submission, isolated; copies of the kit are made below `place`.

    Raises BadTarget, Unclear.
    """
    if staged.problem is not None:
        raise Unclear(f"left_out.{staged.problem.key}", **staged.problem.params)
    _move_mapped(staged, exercise)
    try:
        target = submission(staged.folder, exercise, rules.together, is_partial=rules.is_partial)
    except Unclear:
        raise
    except BadTarget:
        if staged.left_out and not os.path.lexists(component_in(staged.folder, exercise)):
            raise Unclear("target.left_out", path=staged.name) from None
        raise
    target = replace(target, label=target.label.replace(f"{staged.folder.parent}/", ""))
    return isolated(target, staged, rules, copy_of_kit(place, target.uses))


def for_direct_calls(staged: Staged, rules: Rules, place: Path, cores: list[int]) -> PoolSetting:
    """How the components of a submission are called directly: beside the harness, which calls them."""
    kit = copy_of_kit(place, INTERFACES)
    parts = ("zoo", "bench", "load", "grading")
    isolation = Isolation(
        rules.isolation,
        shows=(str(kit), str(ROOT / "harness"), str(staged.folder), *rules.shows),
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
    if rules.isolation != "none":
        environment |= {"HOME": str(staged.home), **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), "/tmp")}
        environment |= tool_homes()
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


def _python_path(kit: Path, rules: Rules) -> str:
    theirs = os.environ.get("PYTHONPATH", "") if "PYTHONPATH" in rules.passed else ""
    return os.pathsep.join([str(kit), *(os.path.abspath(each) for each in theirs.split(os.pathsep) if each)])


def _move_mapped(staged: Staged, exercise: int) -> None:
    """Put the file that somebody has named for an exercise where it belongs."""
    named = staged.mapped.get(exercise)
    if named is None:
        return
    wanted = component_in(staged.folder, exercise)
    if named == "-":
        raise BadTarget("target.mapped_to_none", path=staged.name)
    path = staged.folder / named
    if not path.resolve().is_relative_to(staged.folder.resolve()) or not path.is_file():
        raise Unclear("target.mapped_missing", path=named)
    if path.resolve() != wanted.resolve():
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.write_bytes(path.read_bytes())

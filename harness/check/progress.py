"""What a student has reached: the last verdict on each exercise, and when it passed first.

It is written beside the folder `exercises`, where neither git nor a grading looks into it. It is for the
student's own eyes: marks come from elsewhere, since anybody can edit this file.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field

from harness.check import kept
from harness.check.files import OURS
from harness.judged.targets import Target
from harness.running.run import Run
from harness.verdict.outcome import Outcome
from harness.verdict.steps import COMPONENTS, points_for, steps_of

NAME = "progress.json"


class Reached(Struct):
    """What is known of an exercise in one track. Times are seconds since the Unix epoch."""

    steps: dict[str, str]
    """The outcome of each step when it was judged last."""
    points: int
    of: int
    judged_at: float
    judged: str
    """A digest of the file that was judged then."""
    passed_at: float = 0.0
    """When all steps passed first, in the live world; 0 if that has not happened."""
    passed: str = ""
    """A digest of the file that passed last."""

    @property
    def has_passed(self) -> bool:
        """Whether all steps have passed, now or earlier."""
        return self.passed_at > 0


class Kept(Struct):
    """The content of the file: what is reached, by track and the number of the exercise."""

    reached: dict[str, dict[int, Reached]] = field(default_factory=dict)

    def of(self, exercise: int, track: str) -> Reached | None:
        """What is known of an exercise; None if it was never judged."""
        return self.reached.get(track, {}).get(exercise)


class Progress:
    """The progress that is kept in a folder (see `home_of`); for `told`, see `kept.read`."""

    def __init__(self, home: Path, told: Callable[[Path], None] = lambda path: None) -> None:
        self.home = home
        self.path = self.home / OURS / NAME
        self._told = told

    def read(self) -> Kept:
        """What is kept; nothing if there is no file yet."""
        return kept.read(self.path, Kept, self._told)

    def note(self, runs: Iterable[Run], judged: Mapping[int, str]) -> None:
        """Add the verdicts on a student's own components, of which `judged` has the digests.

        What cannot be written is not kept.
        """
        known, now = self.read(), time.time()
        for run in runs:
            if run.component is not None and run.exercise in judged and not run.defect:
                exercises = known.reached.setdefault(run.track, {})
                exercises[run.exercise] = _noted(exercises.get(run.exercise), run, judged[run.exercise], now)
        with suppress(OSError):
            kept.write(self.path, known)


def _noted(before: Reached | None, run: Run, digest: str, now: float) -> Reached:
    now_reached = Reached(
        steps={step.step: str(step.outcome) for step in run.steps},
        points=sum(step.points for step in run.steps),
        of=most_points(run),
        judged_at=now,
        judged=digest,
    )
    if before is not None:
        now_reached.passed_at, now_reached.passed = before.passed_at, before.passed
    has_passed = run.case is None and len(run.steps) == len(steps_of(run.exercise))
    if has_passed and all(step.outcome is Outcome.PASSED for step in run.steps):
        now_reached.passed_at = now_reached.passed_at or now
        now_reached.passed = digest
    return now_reached


def most_points(run: Run) -> int:
    """The points that its component can get, also for steps of which nothing is known yet."""
    return sum(points_for(step, run.component) for step in steps_of(run.exercise))


def home_of(own_folder: Path) -> Path:
    """Where the progress is kept of what lies in this folder: beside `exercises`, or else beside itself."""
    folder = own_folder.absolute()
    above = (each for each in (folder, *folder.parents[:2]) if each.name == "exercises")
    return next(above, folder).parent


def digests(chosen: Mapping[int, Target]) -> dict[int, str]:
    """Digests of the components of these exercises, as they are now, before they are judged."""
    files = {exercise: target.uses.get(COMPONENTS.get(exercise, "")) for exercise, target in chosen.items()}
    return {exercise: digest_of(Path(file)) for exercise, file in files.items() if file}


def digest_of(file: Path) -> str:
    """A digest of a file's content; "" if it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""

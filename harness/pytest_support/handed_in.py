"""A submission that pytest judges in isolation: its copy, which all processes of a session share."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.judged.isolation import Kind
from harness.judged.isolation_trial import NoIsolation, find_isolation
from harness.judged.targets import BadTarget, Target
from harness.pytest_support.options import target_of, words_of
from harness.submissions.fingerprints import Rules
from harness.submissions.listing import HandIn
from harness.submissions.paths import without_paths
from harness.submissions.staging import BESIDE, Staged, stage
from harness.submissions.submission import Submission
from harness.verdict.steps import EXERCISES
from lab.legible import legible

_DEADLINE = 300.0
"""Seconds for each run of an exercise."""


def isolation_of(config: pytest.Config) -> Kind:
    """How the submission is isolated that the options name. Raises pytest.UsageError."""
    if not config.getoption("--lab-submission"):
        return "none"
    try:
        kind, _ = find_isolation(config.getoption("--lab-isolation"))
    except NoIsolation as error:
        raise pytest.UsageError(legible(error.said_in(words_of(config)))) from error
    return kind


def handed_in(
    config: pytest.Config, place: Path, kind: Kind, *, together: bool = False, is_partial: bool = False
) -> Submission | None:
    """The copy of the submission, below `place`; None if it is judged where it lies."""
    if kind == "none":
        return None
    folder = Path(config.getoption("--lab-submission")).absolute()
    rules = Rules(0, 1, together, _DEADLINE, isolation=kind, is_partial=is_partial)
    job = place / "job"
    if job.exists():  # another process of this session has made it
        copy = next(each for each in job.iterdir() if each.name not in BESIDE)
        staged = Staged(copy.name, copy)
    else:
        place.chmod(0o711)
        job.mkdir(mode=0o711)
        staged = stage(HandIn(folder.name, ((folder, folder.name),)), job, 0, {})
    return Submission(staged, rules, place / "kits", [])


def all_together(config: pytest.Config) -> Target:
    """The server with all components that were handed in, for tests of one's own.

    It has no network of its own, since pytest's process, in which the clients are, has none either. Raises
    pytest.UsageError.
    """
    if _GIVEN not in config.stash:
        folder = TemporaryDirectory(prefix="chat-lab-submission-", ignore_cleanup_errors=True)
        config.add_cleanup(folder.cleanup)
        kind = isolation_of(config)
        config.stash[_GIVEN] = handed_in(config, Path(folder.name), kind, together=True, is_partial=True)
    given = config.stash[_GIVEN]
    if given is None:
        return target_of(config, min(EXERCISES), together=True)
    target = given.target(min(EXERCISES))
    if isinstance(target, BadTarget):
        said = target.said_in(words_of(config))
        pytest.fail(legible(without_paths(said, given.staged, given.place)), pytrace=False)
    return target


_GIVEN = pytest.StashKey[Submission | None]()

"""Why a cluster cannot be started, or is not there any more: the key of a sentence in our texts."""

from __future__ import annotations

from harness.texts.problem import Problem


class ClusterProblem(Problem):
    """A cluster could not be started, for a reason that the user can do something about."""


class NatsFailed(RuntimeError):  # noqa: N818 - named for what it says
    """A NATS node ended by itself, or the NATS nodes do not become a cluster. The text has what they log."""

"""Why something cannot be judged or started: the sentence of each stands in `harness/texts`."""

from __future__ import annotations

from harness.texts.problem import Problem


class BadTarget(Problem):
    """The target cannot be judged; the text says what to do."""


class Unclear(BadTarget):
    """Something was handed in, and a person has to say what of it is to be judged: that is no zero."""


class CommandNotFound(Problem):
    """A command's program cannot be started; the text says why, and what to do."""

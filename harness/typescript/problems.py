"""Why something in TypeScript cannot be judged: the sentence of each stands in `harness/texts`."""

from __future__ import annotations

from harness.texts.problem import Problem


class NotReady(Problem):
    """Node, or what `npm ci` installs, is not there; the text says what to do. No student is to blame."""


class NotBuilt(Problem):
    """What a student has written is no server; the text says where and why."""

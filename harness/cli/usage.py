"""Wrong usage, told in the language that a command was asked for."""

from __future__ import annotations

import click

from harness.texts import Texts, texts
from harness.texts.problem import Problem


def asked_words() -> Texts:
    """The texts in the language of the command that is being run; English if it has no `--lang`."""
    context = click.get_current_context(silent=True)
    return texts(context.params.get("lang", "en") if context else "en")


def wrong_usage(key: str, **params: object) -> click.UsageError:
    """The error to raise, with a text of the table `usage`."""
    return click.UsageError(asked_words().say(f"usage.{key}", **params))


def told(problem: Problem) -> click.UsageError:
    """The error to raise for a problem with what was asked for."""
    return click.UsageError(problem.said_in(asked_words()))

"""Reasons and objectives of a load as sentences."""

from __future__ import annotations

from harness.load.doubts import Assessed
from harness.reports.words import Words
from harness.verdict.outcome import Outcome, Text


def reason(text: Text, words: Words) -> str:
    """A reason, in which what the probe measures, too, has its name."""
    row = text.params.get("row")
    named = {} if row is None else {"row": words.texts.say(f"load.compared.{row}")}
    return words.text("load.reason", Text(text.key, text.params | named))


def figure(assessed: Assessed, words: Words) -> str:
    """The figure of an objective, with its unit."""
    if assessed.value is None:
        return "–"
    plain = f"{1000 * assessed.value:.1f} ms" if assessed.objective.is_timed else f"{assessed.value:.6g}"
    told = words.texts.number(plain)
    if assessed.users is not None:
        return words.texts.say("load.at_step", value=told, users=assessed.users)
    return told


def objective(assessed: Assessed, words: Words) -> str:
    """An objective with its figure, and whether it is kept."""
    key = {Outcome.PASSED: "kept", Outcome.FAILED: "not_kept"}.get(assessed.outcome, "open")
    told = words.texts.say(
        f"load.objective.{key}", objective=assessed.objective.text, value=figure(assessed, words)
    )
    return f"{told} {reason(assessed.why, words)}" if assessed.why is not None else told

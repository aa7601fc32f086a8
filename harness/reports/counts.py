"""How many of several runs passed, failed, or were inconclusive, and with which seeds."""

from __future__ import annotations

from collections.abc import Iterator

from harness.reports.summary import Summary, excluded_frequency
from harness.running.run import Run
from harness.texts import Texts
from harness.texts.seed import read, written
from harness.verdict.outcome import Outcome

_SEEDS = 8
"""Seeds, or ranges of them, that are named."""
_RANGE = 3
"""Seeds in a row that are a range."""


def frequency(summary: Summary, texts: Texts) -> list[str]:
    """How many of several runs passed, and what that excludes; empty for a single run."""
    if len(summary.runs) == 1 or not summary.runs:
        return []
    n, passed = len(summary.runs), summary.count(Outcome.PASSED)
    if passed == n:
        bound = f"{100 * excluded_frequency(passed):.1f}"
        return [texts.say("ui.runs_passed", n=n), texts.say("ui.runs_bound", percent=bound)]
    told = [texts.say("ui.runs_sum", n=n, counts=", ".join(_counts(summary, texts))), *_sizes(summary, texts)]
    named = (seed for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE) for seed in summary.seeds(outcome))
    return [*told, texts.say("ui.simulated_small")] if any(read(seed)[1] for seed in named) else told


def _counts(summary: Summary, texts: Texts) -> Iterator[str]:
    """The number of runs with each outcome; with the seeds of those that did not pass."""
    for outcome in Outcome:
        if seeds := summary.seeds(outcome):
            yield texts.say(f"ui.count_{outcome}", count=len(seeds), seeds=seeds_in_words(seeds, texts))


def _sizes(summary: Summary, texts: Texts) -> Iterator[str]:
    """For each exercise of which more large runs were played: how many of both sizes failed."""
    for exercise in dict.fromkeys(run.exercise for run in summary.large):
        more = [run for run in summary.large if run.exercise == exercise]
        first, *small = [run for run in summary.every_run if run.exercise == exercise]
        large = [first, *more]
        yield texts.say(
            "ui.large",
            exercise=exercise,
            more=len(more),
            seeds=seeds_in_words([run.named_seed for run in more], texts),
            failed=_failed(large),
            n=len(large),
            failed_small=_failed(small),
            n_small=len(small),
        )


def _failed(runs: list[Run]) -> int:
    return sum(run.outcome is Outcome.FAILED for run in runs)


def seeds_in_words(seeds: list[str], texts: Texts) -> str:
    """Seeds in a list, with ranges of those that follow one another; the end of a long list is left out."""
    ranges: list[list[str]] = []
    for seed in seeds:
        if ranges and seed == _next(ranges[-1][-1]):
            ranges[-1].append(seed)
        else:
            ranges.append([seed])
    shown = [
        ", ".join(each) if len(each) < _RANGE else texts.say("ui.seed_range", first=each[0], last=each[-1])
        for each in ranges[:_SEEDS]
    ]
    text = ", ".join([*shown, "…"] if len(ranges) > _SEEDS else shown)
    return texts.say("ui.seed" if len(seeds) == 1 else "ui.seeds", seed=text)


def _next(seed: str) -> str:
    number, is_small = read(seed)
    return written(number + 1, small=is_small)

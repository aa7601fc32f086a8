"""Runs of exercise 2, and summaries of them, for tests of reports."""

from __future__ import annotations

from harness.checkers.catalogue import Anomaly
from harness.history.events import Event
from harness.reports.summary import Scene, Summary
from harness.running.run import Run
from harness.verdict.outcome import Outcome, StepResult, Text
from tests.harness.stories import NONCE, Person, Story

RED = f"red-{NONCE}"


def story_of(messages: int) -> tuple[Story, list[Person]]:
    """Three people talk in a room, in two steps."""
    story = Story(2)
    people = story.members(RED, "alice", "bob", "carol")
    with story.step("2.1"):
        story.talk(people, RED, messages // 2)
    with story.step("2.2"):
        story.talk(people, RED, messages - messages // 2, first=messages // 2 + 1)
    return story, people


def run_of(story: Story, found: dict[str, list[Anomaly]], output: list[str] | None = None) -> Run:
    """A run of exercise 2 in which these anomalies were found in these steps."""
    steps = [
        StepResult(
            step,
            Outcome.FAILED if found.get(step) else Outcome.PASSED,
            0 if found.get(step) else 2,
            2,
            None if found.get(step) else Text("said", {"messages": 3, "rooms": 1}),
            anomalies=found.get(step, []),
            lag=0.0123,
        )
        for step in ("2.1", "2.2", "2.3", "2.4")
    ]
    return Run(2, "7", "live", "my <server>", 1.5, steps, [], output or [], 0.0, story.events, nonce=NONCE)


def summary_of(*runs: Run, scenes: list[Scene] | None = None) -> Summary:
    """The summary of several runs of one exercise."""
    return Summary(7, "live", "my <server>", 2.0, [[run] for run in runs], scenes or [])


def swapped(messages: int = 60) -> Run:
    """A run in which Alice receives two messages in the wrong order, and a checker reports it."""
    story, (alice, bob, carol) = story_of(messages)
    one, two = bob.says(RED, "one"), carol.says(RED, "two")
    guilty: list[Event] = []
    for line, number in ((two, messages + 2), (one, messages + 1)):
        alice.hears(line, number)
        guilty.append(story.events[-1])
    params = {"room": RED, "who": "alice", "first": messages + 2, "then": messages + 1, "count": 1}
    found = Anomaly("reorder", params, guilty)
    return run_of(story, {"2.2": [found, found]}, ["listening", "a <b> & c"])

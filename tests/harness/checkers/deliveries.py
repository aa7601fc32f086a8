"""All checkers of delivery together."""

from __future__ import annotations

from harness.checkers import delivery
from tests.harness.stories import Story, names_of


def every(story: Story, room: str = "red") -> list[str]:
    """What all checkers of this file find in a room."""
    log = story.index
    checks = (
        delivery.refused,
        delivery.lost,
        delivery.duplicates,
        delivery.numbered_twice,
        delivery.altered,
    )
    return [name for check in checks for name in names_of(check(log, room))] + names_of(delivery.leaks(log))

"""The levels of the hunt, in one table. What is told of each stands in `harness/texts`, in `hunt.level_N`.

A level has a *quarry*: the unnamed animal that is served and has to be caught. Its *kin* are animals with a
defect of the same kind: whoever caught the quarry by what it has in common with them catches them, too. A
check is a good one if it catches the quarry, and lets every right server of `harness/zoo/right.py` pass.
"""

from __future__ import annotations

from msgspec import Struct


class Level(Struct, frozen=True):
    """The animals of a level, and how many times a check is played with each server."""

    quarry: str
    kin: tuple[str, ...]
    plays: int = 3


LEVELS: dict[int, Level] = {
    1: Level("sender_is_left_out", ("newcomers_miss_the_first",)),
    2: Level("leavers_stay_listed", ("lists_are_of_those_who_are_gone_too", "only_the_first_room_is_left")),
    3: Level("oldest_50_at_a_join", ("the_oldest_50_are_replayed", "joins_bring_all")),
    4: Level(
        "written_only_at_a_clean_stop",
        ("keeps_messages_in_a_dict", "flushed_every_2_s", "the_last_message_waits_for_the_next"),
    ),
    5: Level(
        "subscribed_before_the_replay",
        ("subscribe_then_history", "subscribed_after_the_replay", "history_then_subscribe"),
        plays=6,  # a race, which no check meets each time
    ),
}
"""From a defect that anybody sees to a race that shows only at the seam of a reconnect."""

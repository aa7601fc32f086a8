"""The catalogue of everything that can go wrong with a chat, and the anomalies that name an entry of it.

An entry has a *slug*, by which scripts and students know it; the *rule* of lab/PROTOCOL.md that it
breaks; the *section* of the course that explains it; and it is *timed* if it rests on something not having
happened in time, so that a machine which was held up makes it doubtful. What it means to a student (title,
message, likely cause) is in `harness/texts/`, in two languages.

The theory behind the names: a chat room is a replicated log. One order is decided at one place (N), all
replicas read the same log from some point on (O, J), and whatever was read is durable (D). The names of
the anomalies say in which way a replica differed from the log: something missing (lost, gap,
replay_hole), something too much (duplicate, replay_overlap, room_leak), something in the wrong place
(reorder), or something else than what was written (altered, split_sequence).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from harness.history.events import Event

INTERFACES = "interfaces"
"""The rule of what a component must do for the others: see lab/interfaces.py."""


class Kind(Struct, frozen=True):
    """An entry of the catalogue."""

    rule: str
    section: str
    timed: bool = False


CATALOGUE: dict[str, Kind] = {
    # The server as a process.
    "no_start": Kind("start", "running", timed=True),
    "server_died": Kind("E", "components"),
    "server_hung": Kind("E", "components", timed=True),
    "server_blocked": Kind("E", "components", timed=True),
    "server_slow": Kind("limits", "components", timed=True),
    "unbounded_memory": Kind("E", "components"),
    "flooding": Kind("frames", "components"),
    "not_reached": Kind("start", "exercises"),
    "no_connection": Kind("start", "components", timed=True),
    "slow_stop": Kind("start", "running", timed=True),
    "outlived": Kind("start", "running", timed=True),
    "data_dir_ignored": Kind("start", "persistence"),
    # Frames.
    "malformed_frame": Kind("frames", "flow"),
    "invalid_frame": Kind("frames", "flow"),
    "wrong_time": Kind("frames", "flow"),
    "unanswered_error": Kind("E", "components", timed=True),
    "unanswered_request": Kind("frames", "flow", timed=True),
    "dropped_connection": Kind("E", "components"),
    "obeyed_bad_frame": Kind("E", "components"),
    # Delivery.
    "missing_notice": Kind("L", "flow", timed=True),
    "lost": Kind("O", "pitfalls", timed=True),
    "duplicate": Kind("O", "pitfalls"),
    "altered": Kind("limits", "components"),
    "impersonation": Kind("frames", "components"),
    "room_leak": Kind("I", "components"),
    "heard_after_leave": Kind("L", "components"),
    "refused": Kind("E", "components"),
    "stalled_by_slow_reader": Kind("S", "components", timed=True),
    "unbounded_slow_reader": Kind("S", "components"),
    # One order.
    "gap": Kind("N", "pitfalls"),
    "split_sequence": Kind("N", "pitfalls"),
    "sequence_reset": Kind("N", "pitfalls"),
    "reorder": Kind("O", "pitfalls"),
    # Replay.
    "replay_hole": Kind("J", "pitfalls", timed=True),
    "replay_overlap": Kind("J", "pitfalls"),
    "wrong_replay": Kind("J", "pitfalls"),
    "stored_twice": Kind("R", "pitfalls"),
    "retry_unanswered": Kind("R", "pitfalls", timed=True),
    "history_disorder": Kind("J", "pitfalls"),
    "history_hole": Kind("J", "pitfalls"),
    "history_mismatch": Kind("D", "pitfalls"),
    # Presence.
    "missing_heartbeat": Kind("P", "presence", timed=True),
    "zombie_presence": Kind("P", "presence", timed=True),
    "late_offline": Kind("P", "presence", timed=True),
    "premature_offline": Kind("P", "presence", timed=True),
    "unannounced_presence": Kind("P", "presence", timed=True),
    "presence_disagrees": Kind("P", "presence", timed=True),
    "presence_leak": Kind("I", "presence"),
    # Durability.
    "lost_after_crash": Kind("D", "persistence"),
    "changed_after_restart": Kind("D", "persistence"),
    "replayed_as_new": Kind("O", "pitfalls"),
    # Components that are called directly (harness/contracts).
    "method_hidden": Kind(INTERFACES, "components"),
    "call_raised": Kind(INTERFACES, "components"),
    "call_hangs": Kind(INTERFACES, "components"),
    "call_blocks": Kind(INTERFACES, "components"),
    "call_ends": Kind(INTERFACES, "components"),
    "wrong_answer": Kind(INTERFACES, "components"),
    "wrong_delivery": Kind(INTERFACES, "components"),
    "wrong_number": Kind(INTERFACES, "pitfalls"),
    "wrong_message": Kind(INTERFACES, "flow"),
    "wrong_publish": Kind(INTERFACES, "flow"),
    "published_unsaved": Kind(INTERFACES, "persistence"),
    "retry_new": Kind(INTERFACES, "pitfalls"),
    "reader_delays": Kind(INTERFACES, "components"),
    "wrong_join": Kind(INTERFACES, "pitfalls"),
    "wrong_page": Kind(INTERFACES, "pitfalls"),
    "wrong_change": Kind(INTERFACES, "presence"),
    "wrong_last_seen": Kind(INTERFACES, "presence"),
    "not_kept": Kind(INTERFACES, "persistence"),
    "files_open": Kind(INTERFACES, "persistence"),
    "files_elsewhere": Kind(INTERFACES, "persistence"),
}


RULES_OF_VARIANTS = {
    ("lost", "id_of_user"): "R",
    ("lost", "id_of_room"): "R",
    ("lost", "hole_unread"): "S",
    ("duplicate", "retry"): "R",
    ("duplicate", "id_of_user"): "R",
    ("premature_offline", "notice"): "L",
}
"""The rule that some variants break, where it is not that of their entry."""


class Anomaly(Struct, frozen=True):
    """What was found: an entry of the catalogue, the parameters of its text, and the events that show it.

    The events are in the order of time, whatever order a checker names them in. `variant` chooses among
    several texts of the same entry.
    """

    name: str
    params: dict[str, Any] = field(default_factory=dict)
    evidence: list[Event] = field(default_factory=list)
    variant: str = ""

    def __post_init__(self) -> None:
        """Sort the events: those of the same moment stay as they are."""
        self.evidence.sort(key=lambda event: event.at)

    @property
    def rule(self) -> str:
        """The rule that is broken."""
        return RULES_OF_VARIANTS.get((self.name, self.variant), self.kind.rule)

    @property
    def is_of_a_contract(self) -> bool:
        """Whether the component was called directly: the evidence is then calls, and nothing else."""
        return self.kind.rule == INTERFACES

    @property
    def kind(self) -> Kind:
        """Its entry in the catalogue."""
        return CATALOGUE[self.name]

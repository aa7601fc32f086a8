"""Our options among Locust's: what they mean, and what is wrong with them.

On Locust's page anything can be typed; there no parser says what is allowed.
"""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

from harness.load.objectives import NoObjective, Objective, objective, p99_of_delivery
from harness.load.options import MOST_OF_EACH, SIZES
from harness.load.profile import Habits
from harness.verdict.outcome import Text

_LIMITS: dict[str, tuple[float, float, float]] = {
    "lab_rooms": (1, 10_000, 10),
    "lab_steps": (1, 1000, 5),
    "lab_pace": (0.001, 10_000, 1),
    "lab_rate": (0, 1_000_000, 0),
    "lab_churn": (0, 1_000_000, 0),
    "lab_p99_ms": (0, 10_000_000, 0),
}
"""The least and the largest value of an option, and the one that is used instead of a wrong one."""


def is_address(host: str | None) -> bool:
    """Whether Locust's host is the address of a WebSocket."""
    return host is not None and host.startswith(("ws://", "wss://"))


def wrong_in(options: Any) -> list[Text]:
    """What is wrong with the options, as texts below `load`."""
    found = []
    for name, (least, most, _) in _LIMITS.items():
        value = getattr(options, name)
        if not isfinite(value) or not least <= value <= most:
            told = {"option": _shown(name), "value": value, "least": f"{least:g}", "most": f"{most:g}"}
            found.append(Text("out_of_range", told))
    most = MOST_OF_EACH * (options.num_users or 1)
    if 0 < most < options.lab_rate <= _LIMITS["lab_rate"][1]:
        told = {"option": "--lab-rate", "value": f"{options.lab_rate:g}", "most": f"{most:g}"}
        found.append(Text("too_many", {**told, "each": f"{MOST_OF_EACH:g}"}))
    if options.lab_size and not SIZES[0] <= options.lab_size <= SIZES[1]:
        told = {"option": "--lab-size", "value": options.lab_size, "least": SIZES[0], "most": SIZES[1]}
        found.append(Text("out_of_range", told))
    for each in _texts_of(options):
        try:
            objective(each)
        except NoObjective as error:
            found.append(Text(error.key, {"given": each}))
    return found


def repair(options: Any) -> None:
    """Put the default in place of each wrong value: a test that was started on the page goes on."""
    for name, (least, most, default) in _LIMITS.items():
        value = getattr(options, name)
        if not isfinite(value) or not least <= value <= most:
            setattr(options, name, type(value)(default))
    if options.lab_size and not SIZES[0] <= options.lab_size <= SIZES[1]:
        options.lab_size = 0
    options.lab_rate = min(options.lab_rate, MOST_OF_EACH * (options.num_users or 1))
    options.lab_objective = ",".join(each for each in _texts_of(options) if _is_objective(each))


def objectives_in(options: Any) -> list[Objective]:
    """The objectives that were asked for."""
    found = [objective(each) for each in _texts_of(options)]
    if options.lab_p99_ms:
        found.append(objective(p99_of_delivery(options.lab_p99_ms)))
    return found


def habits_in(options: Any) -> Habits:
    """The habits of the users; rates are divided among them."""
    users = options.num_users or 1
    return Habits(
        options.lab_rooms,
        options.lab_pace,
        options.lab_rate / users,
        options.lab_churn / users,
        options.lab_size,
    )


def settings_in(options: Any) -> dict[str, Any]:
    """What was asked for besides the shape, the seed and the server, by the names of our options."""
    found = {
        "users": options.num_users,
        "spawn_rate": round(options.spawn_rate or 0, 3),
        "time": options.run_time,
        "rooms": options.lab_rooms,
        "pace": options.lab_pace,
        "steps": options.lab_steps if options.lab_shape == "ramp" else 0,
        "rate": options.lab_rate,
        "churn": options.lab_churn,
        "size": options.lab_size,
        "probe": options.lab_probe,
        "scenario": Path(options.lab_scenario).name,
    }
    return {name: value for name, value in found.items() if value}


def _is_objective(text: str) -> bool:
    try:
        objective(text)
    except ValueError:
        return False
    return True


def _texts_of(options: Any) -> list[str]:
    return [each.strip() for each in str(options.lab_objective or "").split(",") if each.strip()]


def _shown(name: str) -> str:
    return f"--{name.replace('_', '-')}"

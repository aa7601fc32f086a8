"""How the number of users changes over time, besides Locust's own shapes."""

from __future__ import annotations

from math import ceil

from locust import LoadTestShape

from harness.load.slots import STEP_SECONDS


class Ramp(LoadTestShape):  # type: ignore[misc]  # the type checker does not read Locust
    """Steps up, each for an equal part of the time, the last with all users."""

    use_common_options = True
    is_over = False
    """Whether it ends before its time: then Locust stops at its next look, a second later at the most."""

    def end(self, *_: object) -> None:
        """End it early: until a shape ends, Locust handles no SIGTERM, which would kill it unjudged."""
        self.is_over = True

    def tick(self) -> tuple[int, float] | None:
        """How many users there should be now, and how many more to start each second; None at the end."""
        options = self.runner.environment.parsed_options
        users = options.num_users or 1
        count = options.lab_steps
        step = int(self.get_run_time() / ((options.run_time or STEP_SECONDS * count) / count))
        if self.is_over or (options.run_time and step >= count):
            return None
        return ceil(users * min(step + 1, count) / count), options.spawn_rate or users

"""How the number of users changes over time, besides Locust's own shapes."""

from __future__ import annotations

from math import ceil

from locust import LoadTestShape

STEPS = 5


class Ramp(LoadTestShape):  # type: ignore[misc]  # the type checker does not read Locust
    """Five steps up, each for a fifth of the time, the last with all users; 30 s each without a limit."""

    use_common_options = True

    def tick(self) -> tuple[int, float] | None:
        """How many users there should be now, and how many more to start each second; None at the end."""
        options = self.runner.environment.parsed_options
        users = options.num_users or 1
        step_seconds = (options.run_time or 30 * STEPS) / STEPS
        step = int(self.get_run_time() / step_seconds)
        if options.run_time and step >= STEPS:
            return None
        return ceil(users * min(step + 1, STEPS) / STEPS), options.spawn_rate or users

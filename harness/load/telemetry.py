"""What `--otel` takes besides Locust's own part: the last figures are sent, and failures are a sentence.

Locust sends a histogram of durations, by the names of our rows, and the number of users. The variables
`OTEL_…` say where to; `README.md` in this folder names them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from lab.legible import both_ends

DEFAULTS = {
    # Its exporters speak gRPC unless they are told otherwise, and that is not what our extra installs.
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    # Locust makes neither of them of WebSockets.
    "OTEL_TRACES_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}
"""Variables for Locust, where the caller has not set them."""
_LONGEST = 300


class _Failures(logging.Handler):
    """Keeps the first thing that went wrong. Otherwise each try would be a traceback."""

    first = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or both_ends(record.getMessage(), _LONGEST)


class Telemetry:
    """The export of one process; `say` is called with what went wrong, at the end."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._failures = _Failures(logging.WARNING)
        logger = logging.getLogger("opentelemetry")
        logger.addHandler(self._failures)
        logger.propagate = False

    def finish(self) -> None:
        """Send what is left, and close the connection."""
        from opentelemetry import metrics

        provider = metrics.get_meter_provider()
        if hasattr(provider, "shutdown"):
            provider.shutdown()
        if self._failures.first:
            self._say(self._failures.first)


def with_defaults(environment: dict[str, str]) -> dict[str, str]:
    """The environment for Locust; what is set there stays."""
    return {**DEFAULTS, **environment}


def endpoint() -> str:
    """Where figures are sent to."""
    own = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
    return own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318"

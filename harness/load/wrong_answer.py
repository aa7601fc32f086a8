"""What Locust is told as a failure."""

from __future__ import annotations


class WrongAnswer(Exception):  # noqa: N818 - what Locust shows as a failure's text
    """What the server did wrong, for Locust's table of failures."""

"""Who has handed something in."""

from __future__ import annotations

from msgspec import Struct


class Author(Struct, frozen=True):
    """Who handed it in, as far as the portal says; empty where it does not."""

    identifier: str = ""
    """Moodle's participant number, Canvas's user id, or Gradescope's SID."""
    full_name: str = ""
    email: str = ""
    handed_in: str = ""
    """When, as ISO 8601."""

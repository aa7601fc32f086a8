"""Servers whose command does not say what they are: `chatlab hunt` has its player find that out."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable

from harness.judged.targets import Target

_KEY = b"chat-lab hunt"


def token_of(name: str) -> str:
    """What stands for the name of an animal or of a right server in a command: 12 hexadecimal digits.

    It keeps nobody from finding out who means to; it only tells nothing to whoever lists processes.
    """
    return hashlib.blake2b(name.encode(), digest_size=6, key=_KEY).hexdigest()


def named(token: str, names: Iterable[str]) -> str | None:
    """Which of these names a token stands for; None if it is none."""
    return next((name for name in names if token_of(name) == token), None)


def target(name: str) -> Target:
    """An animal or a right server of the zoo, under its token."""
    token = token_of(name)
    return Target(token, (sys.executable, "-P", "-m", "harness.zoo", token))

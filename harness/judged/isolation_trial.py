"""Which isolation can be had on this machine: it is tried, since what a system allows cannot be looked up."""

from __future__ import annotations

import socket
import subprocess
import sys

from harness.judged import bubblewrap, own_network
from harness.judged.isolation import Isolation, Kind, user_of
from harness.judged.targets import ROOT
from harness.posix import is_root
from harness.texts.problem import Problem
from lab.legible import text_of

_SECONDS = 20
_CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"


class NoIsolation(Problem):
    """The isolation that was asked for cannot be had; the text says why, and what to do."""


def find_isolation(wish: str) -> tuple[Kind, Problem | None]:
    """The best isolation for a wish ("auto", "required" or "none"), and why it is not bubblewrap.

    Raises NoIsolation if it is required and cannot be had.
    """
    if wish == "none":
        return "none", None
    problem = _without_bubblewrap()
    if problem is None:
        return "bubblewrap", None
    if wish == "required":
        raise problem
    return ("user" if _can_be_another_user() else "none"), problem


def _without_bubblewrap() -> NoIsolation | None:
    """Why there is no isolation by bubblewrap; None if there is."""
    if sys.platform != "linux":
        return NoIsolation("isolation.not_linux")
    if bubblewrap.program() is None:
        return NoIsolation("isolation.not_installed")
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness.judged.isolation_trial"],
            capture_output=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return NoIsolation("isolation.refused", why=error)
    if done.returncode == 0:
        return None
    lines = text_of(done.stderr).strip().splitlines()
    return NoIsolation("isolation.refused", why=lines[-1] if lines else f"exit code {done.returncode}")


def _can_be_another_user() -> bool:
    """Whether code can run as another user, who can read the kit and Python."""
    if not is_root():
        return False
    user, file = user_of(0), ROOT / "lab" / "protocol.py"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", f"import msgspec; open({str(file)!r}).close()"],
            user=user,
            group=user,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def main() -> None:
    """Do what a play does: have a network of our own, and run a program in namespaces that reaches it."""
    own_network.enter()
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = [sys.executable, "-I", "-S", "-c", _CONNECT, str(server.getsockname()[1])]
        words = bubblewrap.wrapped(Isolation("bubblewrap"), words)
        done = subprocess.run(words, capture_output=True, timeout=_SECONDS)
    sys.exit(text_of(done.stderr).strip() or done.returncode)


if __name__ == "__main__":
    main()

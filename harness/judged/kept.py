"""A program and all that it starts, kept together so that all of it can be ended: our end of `keeper.py`."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from harness.judged import keeper
from harness.judged.bubblewrap import wrapped
from harness.judged.families import children, descendants
from harness.judged.isolation import Isolation

_A_MOMENT = 0.2
_SECONDS = 30.0
"""Seconds in which the keeper starts the program; on a busy machine, Python may take some."""
_ending: list[subprocess.Popen[bytes]] = []
"""Keepers that had not ended when they were let go of, as on a busy machine: they are reaped later."""


class Kept:
    """A program in a session of its own, below a keeper. Raises OSError if the system cannot start it."""

    def __init__(
        self,
        program: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        output: int,
        isolation: Isolation | None = None,
    ) -> None:
        self._exit_code: int | None = None
        self._keeper_says, theirs = socket.socketpair()
        limits = isolation.limits() if isolation else "-"
        command = [sys.executable, "-I", "-S", keeper.__file__, str(theirs.fileno()), limits, *program]
        self._is_apart = isolation is not None and isolation.kind == "bubblewrap"
        if isolation is not None and self._is_apart:
            command = wrapped(isolation, command)
        try:
            self._keeper = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(env),
                # Open to the end, and nothing comes: some servers end when their standard input does.
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=[theirs.fileno()],
            )
        except OSError:
            self._keeper_says.close()
            raise
        finally:
            theirs.close()
        self._keeper_says.settimeout(_A_MOMENT)
        self.pid = 0
        """The process id of the program."""
        for _ in range(2):  # the second line is empty if the program killed the keeper
            match self._next_line():
                case ["started", pid]:
                    self.pid = self._seen_from_here(int(pid))
                    self._keeper_says.send(b"\0")
                case ["failed", number]:
                    self.close()
                    self._keeper.wait()
                    raise OSError(int(number), os.strerror(int(number)))
        if not self.pid:
            raise OSError(errno.ENOMEM, f"the keeper of a server ended with {self._keeper.wait()}")
        self._keeper_says.setblocking(False)

    def _seen_from_here(self, pid: int) -> int:
        """The number that a process has here which has this one for the keeper."""
        if not self._is_apart:
            return pid
        return next((each for each in self.below() if _innermost(each) == pid), 0)

    @property
    def _root(self) -> int:
        """The keeper's own process: bubblewrap, which started it, is another one."""
        return next(iter(children(self._keeper.pid)), 0) if self._is_apart else self._keeper.pid

    def _next_line(self) -> list[str]:
        line, deadline = b"", time.monotonic() + _SECONDS
        while not line.endswith(b"\n"):
            try:
                more = self._keeper_says.recv(1)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
                self._keeper.send_signal(signal.SIGCONT)  # the program may have stopped it
                continue
            if not more:
                break
            line += more
        return line.decode().split()

    @property
    def exit_code(self) -> int | None:
        """How the program ended (negative: by that signal); None while it runs."""
        with contextlib.suppress(OSError):
            while data := self._keeper_says.recv(4096):  # it says one thing more: `ended CODE`
                self._exit_code = int(data.split()[1])
        if self._exit_code is None:
            return self._keeper.poll()  # None, unless somebody has killed the keeper
        return self._exit_code

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left, as far as anybody can tell."""
        return self._keeper.poll() is not None and not self.is_lost

    @property
    def is_lost(self) -> bool:
        """Whether somebody has killed the keeper, so that nobody can tell what is left."""
        return (self._keeper.poll() or 0) < 0

    def send(self, number: int) -> None:
        """Send a signal to the program and to all that it started; after SIGKILL, none of it comes back."""
        with contextlib.suppress(OSError):
            self._keeper.send_signal(signal.SIGCONT)  # somebody may have stopped it
            self._keeper_says.send(bytes([number]))
        if self.is_lost:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def stop_at_once(self) -> None:
        """Stop it as SIGSTOP does, before anything is looked for that takes time."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._keeper.poll() is None:
                os.killpg(self.pid, signal.SIGSTOP)

    def processes(self) -> list[psutil.Process]:
        """What is left of it."""
        with contextlib.suppress(psutil.Error):
            return psutil.Process(self._root).children(recursive=True) if self._root else []
        return []

    def below(self) -> list[int]:
        """The process ids of what is left of it, as far as they are known at once."""
        return descendants(self._root) if self._root else []

    def close(self) -> None:
        """Let go of it. What is left, if anything, is killed."""
        self.exit_code  # noqa: B018 - it reads what the keeper has said, which is gone after this
        self._keeper_says.close()
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        _ending[:] = [each for each in (*_ending, self._keeper) if each.poll() is None]


def _innermost(pid: int) -> int:
    """The number that a process has in its own namespace; 0 if it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/status").read_text().partition("NSpid:")[2].splitlines()[0].split()[-1])
    return 0


class KeptOnWindows:
    """The same where no process adopts others: the program, and what is below it while it runs."""

    def __init__(
        self,
        program: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        output: int,
        isolation: Isolation | None = None,
    ) -> None:
        flags: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        self._program = subprocess.Popen(
            list(program),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            creationflags=flags,
        )
        self.pid = self._program.pid
        self._known: dict[int, psutil.Process] = {}

    @property
    def exit_code(self) -> int | None:
        """See Kept."""
        return self._program.poll()

    @property
    def is_over(self) -> bool:
        """See Kept."""
        return self.exit_code is not None and not any(each.is_running() for each in self.processes())

    @property
    def is_lost(self) -> bool:
        """See Kept."""
        return False

    def send(self, number: int) -> None:
        """See Kept. There is one signal to ask, and one to end."""
        if number == signal.SIGTERM:
            self._program.send_signal(signal.CTRL_BREAK_EVENT)  # type: ignore[attr-defined, unused-ignore]
            return
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def stop_at_once(self) -> None:
        """See Kept."""

    def processes(self) -> list[psutil.Process]:
        """See Kept."""
        with contextlib.suppress(psutil.Error):
            program = psutil.Process(self.pid)
            for each in (program, *program.children(recursive=True)):
                self._known.setdefault(each.pid, each)
        return list(self._known.values())

    def below(self) -> list[int]:
        """See Kept."""
        return []

    def close(self) -> None:
        """See Kept."""
        assert self._program.stdin is not None
        self._program.stdin.close()

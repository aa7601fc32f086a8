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
from typing import IO

import psutil

from harness.judged import keeper
from harness.judged.families import descendants

_A_MOMENT = 0.2
_SECONDS = 30.0
"""Seconds in which the keeper starts the program; on a busy machine, Python may take some."""
_ending: list[subprocess.Popen[bytes]] = []
"""Keepers that had not ended when they were let go of, as on a busy machine: they are reaped later."""


class Kept:
    """A program in a session of its own, below a keeper. Raises OSError if the system cannot start it."""

    def __init__(self, program: Sequence[str], cwd: Path, env: Mapping[str, str], output: IO[bytes]) -> None:
        self._exit_code: int | None = None
        self._keeper_says, theirs = socket.socketpair()
        command = [sys.executable, "-I", "-S", keeper.__file__, str(theirs.fileno()), *program]
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
        lines = self._next_line(), self._next_line()  # the second is empty if the program killed the keeper
        for line in lines:
            match line:
                case ["started", pid]:
                    self.pid = int(pid)
                case ["failed", number]:
                    self.close()
                    self._keeper.wait()
                    raise OSError(int(number), os.strerror(int(number)))
        if not self.pid:
            raise OSError(errno.ENOMEM, f"the keeper of a server ended with {self._keeper.wait()}")
        self._keeper_says.setblocking(False)

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
            return psutil.Process(self._keeper.pid).children(recursive=True)
        return []

    def below(self) -> list[int]:
        """The process ids of what is left of it, as far as they are known at once."""
        return descendants(self._keeper.pid)

    def close(self) -> None:
        """Let go of it. What is left, if anything, is killed."""
        self.exit_code  # noqa: B018 - it reads what the keeper has said, which is gone after this
        self._keeper_says.close()
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        _ending[:] = [each for each in (*_ending, self._keeper) if each.poll() is None]


class KeptOnWindows:
    """The same where no process adopts others: the program, and what is below it while it runs."""

    def __init__(self, program: Sequence[str], cwd: Path, env: Mapping[str, str], output: IO[bytes]) -> None:
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

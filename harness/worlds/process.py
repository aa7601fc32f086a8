"""A server as a process of the operating system: started, watched, asked to stop, killed.

A process gets a process group of its own, so that everything it starts ends with it. Its output goes to a
file of which only the end is kept: a server that prints without end fills neither the disk nor a pipe.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from harness.worlds.targets import CommandNotFound
from lab.legible import legible, text_of

if sys.platform != "win32":
    import resource

KEPT_OUTPUT = 64 * 1024
"""Bytes of the output's end that are kept."""
_MAX_OUTPUT = 4 * 1024 * 1024
_PORTS = range(10240, 32768)
"""Ports for servers: below those that the system gives to outgoing connections."""
_MEMORY = "/dev/shm"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def in_memory() -> str | None:
    """A folder in memory, if the system has one: how long a disk takes is simulated, too."""
    return _MEMORY if os.access(_MEMORY, os.W_OK) else None


def free_port() -> int:
    """A free port on loopback."""
    chooser = random.SystemRandom()
    while True:
        port = chooser.choice(_PORTS)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
                return port


class ServerProcess:
    """One run of a server's command. Raises CommandNotFound at the start if there is no such program."""

    def __init__(self, command: Sequence[str], cwd: Path, env: Mapping[str, str], log: Path) -> None:
        program = shutil.which(command[0], path=env.get("PATH"))
        if program is None and not (cwd / command[0]).is_file():
            raise CommandNotFound(command[0])
        self._log = log
        self._printed = 0
        self._processes: dict[int, psutil.Process] = {}
        # Appending, so that what is written after we cut the file short begins at its start again.
        with log.open("ab") as output:
            try:
                self._process = subprocess.Popen(
                    [program or str(cwd / command[0]), *command[1:]],
                    cwd=cwd,
                    env=dict(env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    **_OWN_GROUP,
                )
            except (PermissionError, OSError) as error:
                raise CommandNotFound(f"{command[0]} ({error.strerror})") from error

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by that signal); None while it runs."""
        return self._process.poll()

    @property
    def refused(self) -> Mapping[str, str]:
        """Empty: there is nothing that a real process may not do."""
        return {}

    def terminate(self) -> None:
        """Ask it to stop, and all that it started."""
        self.signal_group(signal.SIGTERM)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and all that it started."""
        self._note_processes()
        if sys.platform == "win32":  # there is one signal to ask, and one to end
            asks = number == signal.SIGTERM
            self._process.send_signal(signal.CTRL_BREAK_EVENT if asks else signal.SIGTERM)
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it and all that it started, at once, and wait for that."""
        if sys.platform != "win32":
            # To find all its processes takes some milliseconds, in which a server could still save what it
            # should have saved before. Stopped, it does nothing more.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGSTOP)
        self.signal_group(getattr(signal, "SIGKILL", signal.SIGABRT))
        for process in self._processes.values():  # one that left the group is found by its parent
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def hangs_where(self, seconds: float = 2.0) -> list[str]:
        """End it by SIGABRT, and return what it printed last.

        A Python server (we set PYTHONFAULTHANDLER) prints where it is then: those lines come first.
        """
        self.signal_group(signal.SIGABRT)
        deadline = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < deadline:
            time.sleep(0.01)
        lines = self.tail(80)
        current = next((n for n, line in enumerate(lines) if line.startswith("Current thread")), None)
        if current is None:
            return lines[-12:]
        return [line for line in lines[current + 1 :] if line.lstrip().startswith("File ")][:4]

    def listens_on(self) -> list[int]:
        """The TCP ports that the process, or one that it started, listens on."""
        self._note_processes()
        ports: set[int] = set()
        for process in self._processes.values():
            with contextlib.suppress(psutil.Error):
                for each in process.net_connections("tcp"):
                    if each.status == psutil.CONN_LISTEN:
                        ports.add(each.laddr.port)
        return sorted(ports)

    def _note_processes(self) -> None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            for each in (process, *process.children(recursive=True)):
                self._processes.setdefault(each.pid, each)

    # --- output -----------------------------------------------------------------------------------

    def trim_output(self) -> None:
        """Cut the output file short if it has grown large."""
        size = self._log.stat().st_size
        if size > _MAX_OUTPUT:
            tail = self._tail_bytes()
            self._printed += size
            with self._log.open("r+b") as file:
                file.truncate(0)
            with self._log.open("ab") as file:
                file.write(tail)

    @property
    def printed(self) -> int:
        """About how many bytes it has printed."""
        return self._printed + self._log.stat().st_size

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines of what it printed."""
        text = text_of(self._tail_bytes())
        return [_short(legible(line.rstrip())) for line in text.splitlines() if line.strip()][-lines:]

    def _tail_bytes(self) -> bytes:
        with self._log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - KEPT_OUTPUT, 0))
            return file.read()


def _short(line: str) -> str:
    """A line, cut to a length that fits a terminal."""
    return line if len(line) <= 300 else f"{line[:300]}…"


_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def end_with_parent(number: int) -> None:
    """Have the system send us this signal when the process that started us ends (on Linux alone)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Become the parent of all processes below us whose own parent ends (on Linux alone)."""
    if _libc is not None:
        _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _before_the_program() -> None:
    """In the child, before the program starts: leave no core file, and (on Linux) be killed if we are."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end_with_parent(signal.SIGKILL)


_OWN_GROUP: dict[str, Any]
if sys.platform == "win32":
    _OWN_GROUP = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
else:
    _OWN_GROUP = {"start_new_session": True, "preexec_fn": _before_the_program}

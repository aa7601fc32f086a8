"""A server as processes of the system: started, watched, asked to stop, killed, and seen to be gone.

Whatever starts the server (a wrapper that waits for it or not, a script that detaches it), all its processes
are below one that keeps them together: see `keeper.py`. A server has ended, asked to or killed, when none of
them is left and nobody listens on its port. Its output goes to a file of which only the end is kept: one that
prints without end fills neither the disk nor a pipe.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import random
import signal
import socket
import sys
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from harness.judged.families import memory_of
from harness.judged.isolation import Isolation
from harness.judged.kept import Kept, KeptOnWindows
from harness.judged.listeners import is_listened_on
from harness.judged.machine_limits import AT_START, limit_of
from harness.judged.problems import CommandNotFound
from harness.judged.programs import not_started, program_of
from harness.posix import KILL, room_in
from lab.legible import legible, text_of

KEPT_OUTPUT = 64 * 1024
"""Bytes of the output's end that are kept."""
_MAX_OUTPUT = 4 * 1024 * 1024
_AT_ONCE = 256 * 1024
"""Bytes of the output that are read at once."""
_PORTS = range(10240, 32768)
"""Ports for servers: below those that the system gives to outgoing connections."""
_MEMORY = "/dev/shm"
_KILL_SECONDS = 0.3
"""Seconds for which `kill` waits for the end; nothing else happens meanwhile."""


def in_memory() -> str | None:
    """A folder in memory, if the system has one with room: how long a disk takes is simulated, too."""
    has_room = os.access(_MEMORY, os.W_OK) and room_in(Path(_MEMORY)) >= AT_START
    return _MEMORY if has_room else None


def free_port() -> int:
    """A port of loopback that nobody holds, not even with connections that are closed by now.

    So a server that does not set SO_REUSEADDR is kept out of it by its own connections only.
    """
    chooser = random.SystemRandom()
    while True:
        port = chooser.choice(_PORTS)
        if _can_bind(port):
            return port


def _can_bind(port: int) -> bool:
    with socket.socket() as sock, contextlib.suppress(OSError):
        sock.bind(("127.0.0.1", port))
        return True
    return False


class ServerProcess:
    """One run of a server's command, which should listen on `port` of loopback (0: on no port that matters).

    Raises CommandNotFound at the start if there is no such program, OSError if the machine lacks something.
    """

    def __init__(
        self,
        command: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        log: Path,
        port: int = 0,
        isolation: Isolation | None = None,
    ) -> None:
        program = program_of(command, cwd, env.get("PATH"))
        self._before = 0  # bytes of the output that came before the file's first one
        self._read = 0  # how many of all its bytes were read
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._port = port
        self._data = env.get("DATA_DIR")
        self._processes: dict[int, psutil.Process] = {}
        self._log = _opened(log)
        weakref.finalize(self, os.close, self._log)
        try:
            self._kept = KEPT([program, *command[1:]], cwd, env, self._log, isolation)
        except OSError as error:
            if limit_of(error):
                raise
            if error.errno == errno.ENOENT and isolation is not None and isolation.kind == "bubblewrap":
                raise CommandNotFound("program.not_shown", program=program) from error
            raise not_started(command, program, error) from error

    @property
    def pid(self) -> int:
        """The id of the process that was started."""
        return self._kept.pid

    @property
    def exit_code(self) -> int | None:
        """How the program ended that was started (negative: by that signal); None while it runs."""
        return self._kept.exit_code

    @property
    def memory(self) -> int:
        """Bytes of memory that it takes, and all that it started; 0 if that is not known."""
        return sum(map(memory_of, {self.pid, *self._kept.below()}))

    @property
    def is_serving(self) -> bool:
        """Whether the program runs, or somebody listens on its port: a server may outlive its wrapper."""
        return self.exit_code is None or self._is_listened_on()

    @property
    def is_gone(self) -> bool:
        """Whether no process of it is left, and nobody listens on its port."""
        return self._kept.is_over and not self._is_listened_on()

    @property
    def is_elsewhere(self) -> bool:
        """Whether another program runs it: no process of it is left, and somebody listens on its port."""
        return self._kept.is_over and self._is_listened_on()

    @property
    def is_lost(self) -> bool:
        """Whether it has killed its keeper, so that nobody can tell what is left of it."""
        return self._kept.is_lost

    @property
    def is_kept_out(self) -> bool:
        """Whether it ended since its address was in use, and only old connections hold its port."""
        words = "\n".join(self.tail())
        in_use = "EADDRINUSE" in words or os.strerror(errno.EADDRINUSE).lower() in words.lower()
        return in_use and self._port > 0 and not self._is_listened_on()

    def _is_listened_on(self) -> bool:
        return self._port > 0 and is_listened_on(self._port)

    @property
    def refused(self) -> Mapping[str, str]:
        """Empty: there is nothing that a real process may not do."""
        return {}

    def terminate(self) -> None:
        """Ask it to stop, and all that it started."""
        self._note_processes()
        self._kept.send(signal.SIGTERM)

    def suspend(self) -> None:
        """Have all of it stand still, as SIGSTOP does; its connections stay open."""
        self._kept.stop_at_once()
        for process in self._kept.processes():
            with contextlib.suppress(psutil.Error):
                process.suspend()

    def resume(self) -> None:
        """Have it go on."""
        for process in self._kept.processes():
            with contextlib.suppress(psutil.Error):
                process.resume()

    def kill(self) -> None:
        """End it and all that it started, at once; `is_gone` says whether it succeeded, or later does."""
        # To find all its processes takes some milliseconds, in which a server could still save what it
        # should have saved before. Stopped, it does nothing more.
        self._kept.stop_at_once()
        self._note_processes()
        self._kept.send(KILL)
        deadline = time.monotonic() + _KILL_SECONDS
        while not self._kept.is_over and time.monotonic() < deadline:
            time.sleep(0.001)
        # Nobody else is killed who listens there. (On Linux, what has detached itself is below the keeper.)
        others = self._with_our_data() if self.is_lost else filter(self._has_our_data, self._listeners())
        for process in (*self._processes.values(), *others):
            with contextlib.suppress(psutil.Error):  # one that has ended already
                process.kill()
        while not self.is_gone and time.monotonic() < deadline:
            time.sleep(0.001)
        self._kept.close()

    def what_is_left(self) -> list[str]:
        """Its processes that still run, and whoever listens on its port: name and process id of each.

        What listens and cannot be seen, since another user runs it, is a question mark.
        """
        self._note_processes()
        found: list[str] = []
        for process in (*self._processes.values(), *self._listeners()):
            with contextlib.suppress(psutil.Error):
                if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{process.name()} ({process.pid})")
        return list(dict.fromkeys(found)) or ["?"] * self._is_listened_on()

    def _with_our_data(self) -> Iterator[psutil.Process]:
        """All processes that were given our data folder: what can be found of it without a keeper."""
        return (process for process in psutil.process_iter() if self._has_our_data(process))

    def _has_our_data(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return self._data is not None and process.environ().get("DATA_DIR") == self._data
        return False

    def _listeners(self) -> list[psutil.Process]:
        """Who listens on the port."""
        if not self._is_listened_on():
            return []
        pids = set()
        with contextlib.suppress(psutil.Error):
            for each in psutil.net_connections("tcp"):
                if each.status == psutil.CONN_LISTEN and each.laddr[1:] == (self._port,):
                    pids.add(each.pid)
        return [process for process in psutil.process_iter() if process.pid in pids]

    def hangs_where(self, seconds: float = 2.0) -> list[str]:
        """End it by SIGABRT, and return what it printed last.

        A Python server (we set PYTHONFAULTHANDLER) prints where it is then: those lines come first.
        """
        self._kept.send(signal.SIGABRT)
        deadline = time.monotonic() + seconds
        while self.exit_code is None and time.monotonic() < deadline:
            time.sleep(0.01)
        lines = self.tail(80)
        current = next((n for n, line in enumerate(lines) if line.startswith("Current thread")), None)
        if current is None:
            return lines[-12:]
        return [line for line in lines[current + 1 :] if line.lstrip().startswith("File ")][:4]

    def listens_on(self) -> list[tuple[str, int]]:
        """The hosts and TCP ports that the process, or one that it started, listens on."""
        self._note_processes()
        found: set[tuple[str, int]] = set()
        for process in self._processes.values():
            with contextlib.suppress(psutil.Error):
                for each in process.net_connections("tcp"):
                    if each.status == psutil.CONN_LISTEN:
                        found.add((each.laddr.ip, each.laddr.port))
        return sorted(found)

    def _note_processes(self) -> None:
        for each in self._kept.processes():
            self._processes.setdefault(each.pid, each)

    # --- output -----------------------------------------------------------------------------------

    def trim_output(self) -> None:
        """Cut the output file short if it has grown large."""
        size = self._size
        if size > _MAX_OUTPUT:
            tail = self._tail_bytes()
            self._before += size - len(tail)
            os.ftruncate(self._log, 0)
            os.write(self._log, tail)

    @property
    def printed(self) -> int:
        """About how many bytes it has printed."""
        return self._before + self._size

    @property
    def _size(self) -> int:
        return os.fstat(self._log).st_size

    def new_output(self) -> tuple[str, int]:
        """Some of what it printed since the last call, and before it, how many bytes nobody could read.

        Empty if there is nothing new.
        """
        if self.printed <= self._read:
            return "", 0
        begin = max(self._read, self._before)
        data = os.pread(self._log, _AT_ONCE, begin - self._before)
        lost, self._read = begin - self._read, begin + len(data)
        return self._decoder.decode(data), lost

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines of what it printed."""
        text = text_of(self._tail_bytes())
        return [_short(legible(line.rstrip())) for line in text.splitlines() if line.strip()][-lines:]

    def _tail_bytes(self) -> bytes:
        # And no more than that: it may grow as fast as we read.
        return os.pread(self._log, KEPT_OUTPUT, max(self._size - KEPT_OUTPUT, 0))


def _opened(log: Path) -> int:
    """A descriptor for the output, by which alone it is read and written: others may move what has its name.

    It appends, so that what is written after we cut the file short begins at its start again.
    """
    no_links = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND | no_links, 0o600)


def _short(line: str) -> str:
    """A line, cut to a length that fits a terminal."""
    return line if len(line) <= 300 else f"{line[:300]}…"


KEPT: type[Kept | KeptOnWindows] = KeptOnWindows if sys.platform == "win32" else Kept

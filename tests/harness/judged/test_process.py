"""A server as processes: whatever starts it, all of it is found, asked to stop, and ended."""

from __future__ import annotations

import codecs
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from pathlib import Path

import psutil
import pytest

from harness.judged import process as process_module
from harness.judged.kept import Kept
from harness.judged.listeners import is_listened_on
from harness.judged.process import KEPT_OUTPUT, ServerProcess, _opened, free_port
from harness.judged.targets import CommandNotFound
from lab.system import allow_files

pytestmark = [pytest.mark.live, pytest.mark.xdist_group("live1")]

LISTENS = """
import os, signal, socket, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listens", os.getpid(), flush=True)
    time.sleep(100)
"""
"""Listens on the port that it is given. When it is `deaf`, SIGTERM does not end it."""

WRAPPERS = {
    "itself": "exec {server}",
    "a shell that waits for it": "{server}\ntrue",
    "a shell in its background": "{server} &\nwait",
    "another session": "setsid -f {server}\nexec sleep 100",
    "another session, without an environment": "env -i setsid -f {server}\nexec sleep 100",
    "a child of a child that has ended": "(setsid {server} &)\nexec sleep 100",
    "a shell with job control": "set -m\n{server} &\nwait",
    "a loop that starts it again": "while :; do {server}; done",
}
"""Ways in which a shell script starts a server."""


class Start:
    """Starts servers with a wrapper around them, and ends them at the end of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.started: list[ServerProcess] = []

    def __call__(self, wrapper: str, *options: str) -> ServerProcess:
        """Start a server that listens, in one of the `WRAPPERS`."""
        (self.folder / "listens.py").write_text(LISTENS)
        server = f"{sys.executable} {self.folder / 'listens.py'} {self.port} {' '.join(options)}"
        return self.program(["sh", "-c", WRAPPERS[wrapper].format(server=server)])

    def program(self, command: list[str]) -> ServerProcess:
        """Start any program."""
        log, env = self.folder / "log.txt", {"PATH": os.environ["PATH"], "DATA_DIR": str(self.folder)}
        self.started.append(ServerProcess(command, self.folder, env, log, self.port))
        return self.started[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A way to start servers."""
    start = Start(tmp_path)
    yield start
    for process in start.started:
        process.kill()


def until(condition: Callable[[], object], *context: object) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, context
        time.sleep(0.005)


def pid_of_listener(process: ServerProcess) -> int:
    """The process that listens, when it does."""
    until(lambda: any(line.startswith("listens ") for line in process.tail()), process.tail())
    return int(next(line for line in process.tail() if line.startswith("listens ")).split()[1])


def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, even if its new parent has not asked yet how it ended."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_killed_is_gone(start: Start, wrapper: str) -> None:
    """After `kill`, no process is left and nobody listens, whatever has started the server."""
    process = start(wrapper)
    listener = psutil.Process(pid_of_listener(process))
    assert not process.is_gone
    assert process.is_serving
    process.kill()
    until(lambda: process.is_gone, process.what_is_left())
    assert not listener.is_running()
    assert process.what_is_left() == []
    assert process.exit_code == -9


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_who_is_asked_to_stop_serves_until_nobody_listens(start: Start, wrapper: str) -> None:
    """SIGTERM reaches the server, whatever has started it; its stop takes as long as that of its listener."""
    process = start(wrapper)
    pid_of_listener(process)
    process.terminate()
    until(lambda: not process.is_serving, process.what_is_left())


@pytest.mark.parametrize("wrapper", ["itself", "a shell that waits for it", "another session"])
def test_a_server_that_ignores_sigterm_still_serves(start: Start, wrapper: str) -> None:
    """A wrapper that ends at SIGTERM does not hide that its server goes on."""
    process = start(wrapper, "deaf")
    listener = psutil.Process(pid_of_listener(process))
    process.terminate()
    if wrapper != "itself":
        until(lambda: process.exit_code is not None)
    assert listener.is_running()
    assert process.is_serving
    process.kill()
    until(lambda: process.is_gone)
    assert not listener.is_running()


def test_a_server_that_somebody_else_runs_is_named_and_left(start: Start) -> None:
    """What listens and is not ours cannot be ended, and is not: it is told by name."""
    other = subprocess.Popen([sys.executable, "-c", LISTENS, str(start.port)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: is_listened_on(start.port))
        process = start.program(["sleep", "100"])
        process.kill()
        until(lambda: process.exit_code is not None)
        assert process.exit_code == -9
        assert not process.is_gone
        (left,) = process.what_is_left()
        assert f"({other.pid})" in left
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert process.is_gone


KIT = """
import sys, time
from pathlib import Path
from harness.judged.process import ServerProcess
folder = Path(sys.argv[1])
process = ServerProcess(sys.argv[3:], folder, {"PATH": sys.argv[2]}, folder / "log.txt", 0)
print("started", flush=True)
time.sleep(100)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wrapper", ["a shell that waits for it", "another session"])
def test_nothing_outlives_the_harness(start: Start, wrapper: str, how: signal.Signals) -> None:
    """If the harness itself is killed, all that it started ends."""
    (start.folder / "listens.py").write_text(LISTENS)
    server = f"{sys.executable} {start.folder / 'listens.py'} {start.port}"
    command = ["sh", "-c", WRAPPERS[wrapper].format(server=server)]
    with subprocess.Popen(
        [sys.executable, "-c", KIT, str(start.folder), os.environ["PATH"], *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as kit:
        until(lambda: is_listened_on(start.port))
        below = psutil.Process(kit.pid).children(recursive=True)
        assert len(below) >= 2
        kit.send_signal(how)
    until(lambda: all(has_ended(each) for each in below), below)
    assert not is_listened_on(start.port)


def test_a_server_that_kills_its_keeper_is_never_gone(start: Start) -> None:
    """It counts as ended by itself; what is known of it is ended, and nobody can tell whether that is all."""
    (start.folder / "listens.py").write_text(LISTENS)
    server = f"{sys.executable} listens.py {start.port}"
    process = start.program(["sh", "-c", f"setsid -f {server}; kill -9 $PPID; exec sleep 100"])
    listener = psutil.Process(pid_of_listener(process))
    until(lambda: process.exit_code is not None)
    assert process.exit_code == -9
    program = psutil.Process(process.pid)
    process.kill()
    until(lambda: has_ended(listener) and has_ended(program))
    assert process.is_lost
    assert not process.is_gone


def test_a_server_that_stops_its_keeper_is_ended(start: Start) -> None:
    """SIGSTOP for the parent is no way out."""
    process = start.program(["sh", "-c", "kill -STOP $PPID; echo stopped; exec sleep 100"])
    until(lambda: process.tail() == ["stopped"])
    process.kill()
    until(lambda: process.is_gone)


BEHIND = """
import os, signal, subprocess, sys
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("backend", os.getpid(), flush=True)
    signal.pause()
exec(open("listens.py").read())
"""


def test_a_stop_is_over_when_nothing_of_it_is_left(start: Start) -> None:
    """A server behind the one that listens, which goes on after SIGTERM, keeps it from having stopped."""
    (start.folder / "listens.py").write_text(LISTENS)
    process = start.program([sys.executable, "-c", BEHIND, str(start.port)])
    pid_of_listener(process)
    process.terminate()
    until(lambda: not process.is_serving)
    (left,) = process.what_is_left()
    assert not process.is_gone
    process.kill()
    until(lambda: process.is_gone, left)


def test_blocked_signals_are_not_inherited(start: Start) -> None:
    """A server gets SIGTERM, whatever its caller blocks."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    try:
        process = start.program(["sleep", "100"])
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.terminate()
    until(lambda: process.is_gone)
    assert process.exit_code == -signal.SIGTERM


def test_standard_input_stays_open(start: Start) -> None:
    """A server that waits for its standard input ("Press Enter to stop") waits as long as it runs."""
    code = "import sys\nprint('reads', flush=True)\nsys.stdin.read()\nprint('read', flush=True)"
    process = start.program([sys.executable, "-c", code])
    until(lambda: process.tail() == ["reads"])
    psutil.Process(process.pid).suspend()  # whoever is at the end of a file has read that at once
    psutil.Process(process.pid).resume()
    assert process.exit_code is None
    process.kill()
    assert process.tail() == ["reads"]


def test_a_server_starts_as_from_a_shell(start: Start) -> None:
    """It has no descriptors of ours, a group of its own, and ignores no signal that we do not."""
    code = """
import os, signal
print([int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")])
print(os.getpid() == os.getpgid(0) == os.getsid(0))
ignored = next(line for line in open("/proc/self/status") if line.startswith("SigIgn"))
print(ignored.split()[1])
"""
    process = start.program(
        [
            sys.executable,
            "-c",
            f"import os; os.execvp('{sys.executable}', ['python', '-S', '-E', '-c', {code!r}])",
        ]
    )
    until(lambda: process.is_gone)
    descriptors, own_session, ignored = process.tail()
    assert descriptors == "[0, 1, 2]"
    assert own_session == "True"
    ours = int(Path("/proc/self/status").read_text().partition("SigIgn:")[2].split()[0], 16)
    assert not int(ignored, 16) & ~ours  # both are of Python, which ignores two that a shell does not
    process = start.program(["grep", "SigIgn", "/proc/self/status"])
    until(lambda: process.is_gone)
    of_python = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
    assert not int(process.tail()[-1].split()[1], 16) & of_python


def test_exit_codes_are_those_of_the_program(start: Start) -> None:
    """Its own code, or the signal that ended it."""
    for command, code in (("exit 3", 3), ("kill -TERM $$", -signal.SIGTERM), ("exit 0", 0)):
        process = start.program(["sh", "-c", command])
        until(partial(attrgetter("is_gone"), process))
        assert process.exit_code == code


def test_a_server_starts_whatever_number_its_socket_has(start: Start) -> None:
    """Who has a thousand clients and starts a server gives it a descriptor that `select` cannot wait for."""
    assert allow_files(1200) >= 1200
    with contextlib.ExitStack() as opened:
        for _ in range(1030):
            opened.enter_context(open(os.devnull))
        process = start("itself")
        pid_of_listener(process)
    assert process.exit_code is None
    process.kill()
    assert process.is_gone


def _leave_an_old_connection(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as listening:
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listening.accept()
        accepted.close()  # first: so the port of this side is held
        client.close()


def test_no_port_is_given_that_old_connections_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not set SO_REUSEADDR can start: what keeps it out later is its own."""
    held, free = process_module.free_port(), process_module.free_port()
    _leave_an_old_connection(held)
    monkeypatch.setattr(process_module, "_PORTS", [held, free])
    assert {process_module.free_port() for _ in range(30)} == {free}


def test_only_old_connections_hold_the_port(start: Start) -> None:
    """That is told from somebody who listens there: a server without SO_REUSEADDR cannot start again."""
    _leave_an_old_connection(start.port)
    code = f"import socket; socket.socket().bind(('127.0.0.1', {start.port}))"
    process = start.program([sys.executable, "-c", code])
    until(lambda: process.exit_code is not None)
    assert process.exit_code == 1
    assert process.is_kept_out
    with socket.create_server(("127.0.0.1", start.port)):
        assert not process.is_kept_out


def test_output_is_kept_short(start: Start) -> None:
    """Only the end of a server's output is kept, and control characters are replaced."""
    code = "print('x' * 80 + '\\n', end=''); print(('y' * 99 + '\\n') * 60000); print('\\033[2Jend')"
    process = start.program([sys.executable, "-c", code])
    until(lambda: "end" in "\n".join(process.tail()))
    process.kill()
    assert process.printed > 5_000_000
    process.trim_output()
    assert (start.folder / "log.txt").stat().st_size < 100_000
    assert process.tail()[-1] == "\\x1b[2Jend"
    assert process.printed > 5_000_000


def test_the_end_of_output_without_end_is_read_once() -> None:
    """However fast it grows: what is read has a bound."""
    process = ServerProcess.__new__(ServerProcess)
    with open("/dev/zero", "rb") as endless:
        process._log = endless.fileno()
        assert len(process._tail_bytes()) == KEPT_OUTPUT


def test_unknown_program_is_named(tmp_path: Path) -> None:
    """A program that does not exist is an exception with its name, before anything is started."""
    with pytest.raises(CommandNotFound, match="no-such-program"):
        ServerProcess(["no-such-program"], tmp_path, {}, tmp_path / "log.txt")


def test_ports_are_below_those_of_outgoing_connections() -> None:
    """A server's port cannot be taken by an outgoing connection while the server is down."""
    assert 10240 <= free_port() < 32768


def test_output_is_read_once_as_it_comes(tmp_path: Path) -> None:
    """Also after its file was cut short; what was lost by that is counted."""
    log = tmp_path / "output.txt"
    process = ServerProcess.__new__(ServerProcess)
    log.touch()
    process._log, process._before, process._read = _opened(log), 0, 0
    process._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    log.write_bytes("é".encode()[:1])
    assert process.new_output() == ("", 0)
    log.write_bytes("é one\n".encode())
    assert process.new_output() == ("é one\n", 0)
    assert process.new_output() == ("", 0)
    with log.open("ab") as file:
        file.write(b"x" * (5 * 1024 * 1024) + b"last")
    process.trim_output()
    text, lost = process.new_output()
    assert text.endswith("last")
    assert lost + len(text) == 5 * 1024 * 1024 + 4
    log.unlink()
    assert process.new_output() == ("", 0)
    os.close(process._log)


def test_a_keeper_that_takes_its_time_is_reaped_later(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it has not ended when it is let go of: nothing is lost, and Python has no warning."""
    monkeypatch.setattr(process_module, "_KILL_SECONDS", 0.0)
    slow = start("itself")
    assert isinstance(slow._kept, Kept)
    keeper = psutil.Process(slow._kept._keeper.pid)
    slow.kill()
    start.started.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del slow
        gc.collect()
    keeper.wait(10)
    start("itself").kill()
    assert not keeper.is_running()

"""What isolated code sees of the machine, and what it can do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.judged import bubblewrap
from harness.judged.isolation import Isolation
from harness.judged.isolation_trial import NoIsolation, find_isolation
from harness.judged.process import ServerProcess
from harness.judged.targets import ROOT, CommandNotFound
from tests.extras import needs_isolation

APART = Isolation("bubblewrap", hides=tuple(str(ROOT / name) for name in ("lab", "harness", "solutions")))


@pytest.fixture(autouse=True)
def _is_there() -> None:
    """Bubblewrap, which CI has."""
    needs_isolation()


def ended(process: ServerProcess) -> None:
    """Wait until nothing of it is left, and let go of it."""
    deadline = time.monotonic() + 30
    while not process.is_gone:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()


def printed(tmp_path: Path, code: str, isolation: Isolation = APART) -> str:
    """What a program prints that runs in isolation, in a folder of its own."""
    (tmp_path / "log").mkdir(exist_ok=True)
    shown = replace(isolation, writes=(*isolation.writes, str(tmp_path / "log")))
    environment = {"PATH": os.environ["PATH"], "HOME": "/tmp"}
    log = tmp_path / "log" / "output.txt"
    process = ServerProcess([sys.executable, "-c", code], tmp_path / "log", environment, log, 0, shown)
    ended(process)
    return log.read_text()


def test_it_sees_neither_answers_nor_marks_nor_other_people(tmp_path: Path) -> None:
    """Of files: its own folder, Python, and the system. Of processes: its own."""
    (tmp_path / "marks").mkdir()
    code = f"""import glob, json, os
places = [{str(ROOT / "solutions")!r}, {str(tmp_path / "marks")!r}, "/root/.ssh", "/home", "/etc/shadow"]
print(json.dumps([[p for p in places if os.path.exists(p)], os.listdir({str(tmp_path)!r}),
    [p for p in os.listdir("/proc") if p.isdigit()], os.getppid()]))"""
    there, beside, processes, parent = json.loads(printed(tmp_path, code))
    assert there == []
    assert beside == ["log"]
    assert len(processes) == 2, "itself, and its keeper"
    assert parent == 1


@pytest.mark.parametrize("module", ["solutions.ex1_chat.pubsub", "lab.pubsub", "harness.zoo.animals"])
def test_nothing_of_the_kit_can_be_imported(tmp_path: Path, module: str) -> None:
    """Not from where it is installed either."""
    said = printed(tmp_path, f"import {module}")
    assert "ModuleNotFoundError" in said or "ImportError" in said


def test_what_it_sees_it_cannot_change(tmp_path: Path) -> None:
    """Nor can it make anything outside of its own folder and /tmp, or become more than it is."""
    code = f"""import os
for place in ("/", "/usr", "/etc", {sys.prefix!r}, "/proc/sys/kernel"):
    try:
        open(os.path.join(place, "new"), "w").close()
        print("wrote", place)
    except OSError:
        pass
open("/tmp/new", "w").close(); open("own", "w").close()
status = open("/proc/self/status").read()
print(status.partition("CapEff:")[2].split()[0], os.getuid() == 0)"""
    assert printed(tmp_path, code).split() == ["0" * 16, "False"]
    assert (tmp_path / "log" / "own").exists()


def test_its_keeper_cannot_be_reached(tmp_path: Path) -> None:
    """Neither killed, nor stopped, nor read, nor written to.

    (SIGTERM ends the program itself.)
    """
    code = """import os, signal
for number in (signal.SIGKILL, signal.SIGSTOP):
    try:
        os.kill(1, number)
    except OSError:
        pass
for name in ("mem", "environ", *(f"fd/{n}" for n in range(9))):
    try:
        open(f"/proc/1/{name}", "rb").read(1)
        print("reached", name)
    except OSError:
        pass
print("ended by itself")"""
    assert printed(tmp_path, code) == "ended by itself\n"


def test_all_of_it_ends(tmp_path: Path) -> None:
    """Also what has detached itself, and does not listen to signals."""
    (tmp_path / "log").mkdir()
    code = """import os, signal, sys, time
for n in range(3):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
print("ready", flush=True)
time.sleep(600)"""
    log = tmp_path / "log" / "output.txt"
    process = ServerProcess(
        [sys.executable, "-c", code], tmp_path / "log", {"PATH": os.environ["PATH"]}, log, 0, APART
    )
    deadline = time.monotonic() + 30
    while "ready" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(process.what_is_left()) == 4
    assert process.memory > 0
    process.kill()
    while not process.is_gone:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.what_is_left() == []


def test_a_network_of_its_own_has_loopback_alone() -> None:
    """Two of them can have the same port, and nobody outside is reached."""
    code = """import socket
from harness.judged import own_network
own_network.enter()
with socket.create_server(("127.0.0.1", 80)) as server:
    socket.create_connection(server.getsockname(), 5).close()
print(sorted(name for _, name in socket.if_nameindex()))
try:
    socket.create_connection(("192.0.2.1", 80), 2)
except OSError as error:
    print(error.errno)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    lines = done.stdout.splitlines()
    assert "lo" in lines[0], done.stderr
    assert lines[1] == "101", "the network is unreachable"


def test_a_program_that_it_does_not_see_is_told(tmp_path: Path) -> None:
    """With what to do; and it runs once its folder is shown."""
    (tmp_path / "tools").mkdir()
    tool = tmp_path / "tools" / "mine"
    tool.write_text("#!/bin/sh\necho hello\n")
    tool.chmod(0o755)
    log = tmp_path / "output.txt"
    with pytest.raises(CommandNotFound, match="--show"):
        ServerProcess([str(tool)], tmp_path / "tools", {"PATH": os.environ["PATH"]}, log, 0, APART)
    shown = replace(APART, shows=(str(tool.parent),))
    process = ServerProcess([str(tool)], tool.parent, {"PATH": os.environ["PATH"]}, log, 0, shown)
    ended(process)
    assert process.tail() == ["hello"]


def test_limits_hold(tmp_path: Path) -> None:
    """Of files, memory and what is written."""
    code = """import resource
for name in ("NOFILE", "FSIZE", "DATA", "CPU", "NPROC", "CORE"):
    print(resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[0])"""
    limits = [int(line) for line in printed(tmp_path, code).split()]
    assert limits[:4] == [4096, 1 << 30, 4 << 30, 600]
    assert 0 < limits[4] < 10_000
    assert limits[5] == 0


def test_its_output_stays_ours(tmp_path: Path) -> None:
    """It cannot put a link in its place, by which we would read or write a file of ours."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "data").mkdir()
    secret, log = tmp_path / "secret.txt", tmp_path / "log" / "output.txt"
    secret.write_text("a mark")
    code = f"""import os
print("hello", flush=True)
for place in ({str(log)!r}, {str(log.with_name("output-2.txt"))!r}):
    try:
        os.path.lexists(place) and os.unlink(place)
        os.symlink({str(secret)!r}, place)
    except OSError as error:
        print(error.errno)"""
    isolation = replace(APART, writes=(str(log.parent / "data"),))
    command = [sys.executable, "-c", code]
    process = ServerProcess(command, log.parent / "data", {"PATH": os.environ["PATH"]}, log, 0, isolation)
    ended(process)
    assert process.tail() == ["hello"]
    assert sorted(path.name for path in log.parent.iterdir()) == ["data", "output.txt"]
    assert not log.is_symlink()
    assert secret.read_text() == "a mark"
    log.unlink()
    log.symlink_to(secret)
    assert process.tail()[0] == "hello"
    with pytest.raises(OSError, match="symbolic links"):
        ServerProcess(command, log.parent / "data", {"PATH": os.environ["PATH"]}, log, 0, isolation)


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bubblewrap is required and not there, and where it is not."""
    monkeypatch.setattr(bubblewrap, "program", lambda: None)
    with pytest.raises(NoIsolation, match="apt install bubblewrap"):
        find_isolation("required")
    kind, problem = find_isolation("auto")
    assert kind in ("user", "none")
    assert problem is not None
    assert find_isolation("none") == ("none", None)

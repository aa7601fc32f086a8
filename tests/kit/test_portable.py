"""What only some systems have is asked for in one module, which says what is done where it is missing.

Of the server that is `lab/system.py`, of the harness `harness/posix`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator

import pytest

from harness.texts import texts
from tests.kit.pages import ROOT

AT_HOME = ("lab/system.py", "harness/posix/__init__.py")
"""The modules that may ask for all of it."""
NEVER_ELSEWHERE = {
    # What is called directly or simulated is so in forked processes; else `target.no_fork` is said.
    "harness/running/forks.py": "target.no_fork",
    "harness/worlds/sim/watchdog.py": "target.no_fork",
    "harness/contracts/node/channel.py": "target.no_fork",
    # The simulated host has for a server what the system has, where it has it.
    "harness/worlds/sim/host.py": "target.no_fork",
    "harness/worlds/sim/system.py": "target.no_fork",
    "harness/notebooks/apart.py": "notebook.no_fork",
    # Isolation is Linux's.
    "harness/judged/bubblewrap.py": "isolation.not_linux",
    "harness/judged/isolation.py": "isolation.not_linux",
    "harness/judged/own_network.py": "isolation.not_linux",
    # Programs of their own, which import nothing of ours.
    "harness/judged/keeper.py": "",  # below `Kept`, beside which there is `KeptOnWindows`
    "harness/judged/kept.py": "",
    "harness/grading/handouts/autograder.py": "",  # it runs on Gradescope's Linux
    "harness/zoo/plain.py": "",  # a server as students write one, in one file
}
"""Modules that run on some systems only, with the sentence that is said on others."""

MODULES = {"ctypes", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
ATTRIBUTES = {
    "os": {
        *("chown", "fchown", "lchown", "fork", "forkpty", "register_at_fork", "killpg", "setsid", "setpgid"),
        *("getpgid", "getpgrp", "getsid", "getuid", "geteuid", "getgid", "setuid", "setgid", "getgroups"),
        *("mkfifo", "openpty", "pidfd_open", "posix_spawn", "sched_getaffinity", "sched_setaffinity"),
        *("getloadavg", "nice", "statvfs", "sysconf", "uname", "wait", "WNOHANG", "waitid"),
    },
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP"),
        *("SIGUSR1", "SIGUSR2", "SIGURG", "SIGWINCH", "alarm", "pthread_sigmask", "setitimer", "sigwait"),
    },
    "socket": {"AF_UNIX", "AF_NETLINK"},
    "select": {"poll", "epoll", "kqueue"},
    "loop": {"add_signal_handler"},
}
KEYWORDS = {"preexec_fn", "pass_fds"}
"""Arguments for new processes that Windows refuses."""


def asked_for(source: str) -> Iterator[str]:
    """What a module asks for that some systems have not, each with its line."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                found = [each.name for each in node.names if each.name.partition(".")[0] in MODULES]
            case ast.ImportFrom(module=str(module)):
                ours = ATTRIBUTES.get(module, set())
                found = [module] if module in MODULES else [n.name for n in node.names if n.name in ours]
            case ast.Attribute(attr="add_signal_handler"):
                found = ["add_signal_handler"]
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                found = [f"{name}.{attribute}"] if attribute in ATTRIBUTES.get(name, ()) else []
            case ast.keyword(arg=str(arg)) if arg in KEYWORDS:
                found = [arg]
            case ast.Constant(value=str(text)) if text.startswith("/proc/") and " " not in text:
                found = [text]
            case _:
                found = []
        yield from (f"line {getattr(node, 'lineno', 0)}: {each}" for each in found)


def files() -> dict[str, str]:
    """The Python files that run on a student's machine, with their texts."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for folder in ("lab", "harness", "exercises", "solutions")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not {"node_modules", "__pycache__"} & set(path.parts) and not path.name.startswith("my_")
    }


def test_what_some_systems_lack_is_asked_for_in_one_module() -> None:
    """All others go by that one, or are known to run on some systems only."""
    allowed = {*AT_HOME, *NEVER_ELSEWHERE}
    found = {name: list(asked_for(text)) for name, text in files().items() if name not in allowed}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_the_exceptions_are_needed_and_say_something() -> None:
    """Each module in the list does ask for such things, and its sentence is in the texts."""
    known = files()
    for name, key in NEVER_ELSEWHERE.items():
        assert list(asked_for(known[name])), f"{name} needs no exception (any more)"
        assert not key or texts("fr").say(key) != texts("en").say(key)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("import fcntl", "fcntl"),
        ("def f():\n    from resource import getrlimit", "resource"),
        ("import os\nos.fork()", "os.fork"),
        ("from os import killpg", "killpg"),
        ("import signal\nsignal.SIGKILL", "signal.SIGKILL"),
        ("asyncio.get_running_loop().add_signal_handler(2, f)", "add_signal_handler"),
        ("import subprocess\nsubprocess.run([], preexec_fn=f)", "preexec_fn"),
        ("open('/proc/self/stat')", "/proc/self/stat"),
        ("open(f'/proc/{pid}/stat')", "/proc/"),
        ("socket.socket(socket.AF_UNIX)", "socket.AF_UNIX"),
    ],
)
def test_each_way_to_ask_is_noticed(source: str, wanted: str) -> None:
    """At the top of a module or within a function."""
    assert [each.partition(": ")[2] for each in asked_for(source)] == [wanted]


def test_what_every_system_has_is_not_noticed() -> None:
    """Signals that Windows has, too, and names that are asked for first."""
    source = "import os, signal\nsignal.SIGTERM, signal.SIGINT\nos.kill(1, 2)\nhasattr(os, 'fork')"
    assert list(asked_for(source)) == []


LACKING = f"""
import os, signal, sys
# These need some of it here, where it is.
import asyncio, ctypes, msgspec, multiprocessing, psutil, select, socket, subprocess, tempfile, uuid
for name in {sorted(MODULES - {"ctypes", "posix"})}:
    sys.modules[name] = None
for module, names in ((os, {sorted(ATTRIBUTES["os"])}), (signal, {sorted(ATTRIBUTES["signal"])})):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""


def test_where_all_of_it_is_missing_the_commands_say_so() -> None:
    """Every module that a command imports can be imported; a simulated world is refused in a sentence."""
    code = f"""{LACKING}
import harness.posix
harness.posix.LIBC = None
from harness.cli.main import main
import harness.check.worlds_asked, harness.running.worker, harness.running.fork_pool, harness.load.probe
import harness.zoo.animals, harness.submissions.copying, harness.grading.register, harness.doctor.examine
sys.argv = ["chatlab", "check", "1", "--world", "sim", "--reference", "--lang", "fr"]
main()
"""
    words = [sys.executable, "-P", "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert texts("fr").say("target.no_fork") in done.stderr
    assert (done.returncode, "Traceback" in done.stderr) == (64, False)


def test_each_thing_has_another_way() -> None:
    """Without any of it, the functions of both modules do what the rest of the system allows."""
    code = f"""{LACKING}
from pathlib import Path
from harness import posix
from lab import system
assert (posix.CAN_FORK, posix.KILL, posix.resource) == (False, signal.SIGTERM, None)
posix.LIBC = None
assert posix.before_start(print) == {{}}
posix.after_fork(print); posix.end_with_parent(); posix.fix_addresses(); posix.stay_on([0])
posix.limit_ourselves(1, 1)
assert posix.is_root() is False
assert posix.cores() == list(range(os.cpu_count()))
assert posix.room_in(Path(".")) == float("inf")
assert posix.with_high_number(7, 900) == 7
assert system.allow_files(10**9) == 10**9
with tempfile.TemporaryFile() as file:
    posix.lock_now(file)
process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
posix.end_group(process.pid)
assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == -15
process.returncode = -15

class Process:  # as Windows has them: that of this system needs SIGKILL
    done = []
    kill = lambda self: self.done.append("kill")
    wait = lambda self: self.done.append("wait")

posix.end_all_of(Process())
assert Process.done == ["kill", "wait"]

class Loop(asyncio.SelectorEventLoop):
    def add_signal_handler(self, *_):
        raise NotImplementedError

async def told():
    stop = asyncio.Event()
    system.when_told_to_stop(stop.set)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(stop.wait(), 10)

loop = Loop()
loop.run_until_complete(told())
loop.close()
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

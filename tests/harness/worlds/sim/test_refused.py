"""Calls that programs on simulated hosts are refused, and the harness is not."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading

import pytest

from harness.worlds.sim.simulator import Simulator
from tests.harness.worlds.sim.hosts import Code
from tests.harness.worlds.simulations import simulate


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("threading.Thread(target=print).start()", "thread"),
        ("threading.Timer(1, print).start()", "thread"),
        ("ThreadPoolExecutor().submit(print)", "thread"),
        ("socket.socket()", "socket"),
        ("socket.create_connection(('127.0.0.1', 9))", "socket"),
        ("urllib.request.urlopen('http://127.0.0.1:9/')", "socket"),
        ("subprocess.run(['true'])", "process"),
        ("os.system('true')", "process"),
        ("os.fork()", "process"),
        ("os.execv('/bin/true', ['true'])", "process"),
        ("os.execlp('true', 'true')", "process"),
        ("multiprocessing.get_context('fork').Process(target=print).start()", "process"),
        ("await asyncio.create_subprocess_exec('true')", "process"),
        ("await asyncio.create_subprocess_shell('true')", "process"),
        ("asyncio.get_running_loop().add_reader(0, print)", "socket"),
        ("await asyncio.start_unix_server(print, 'path')", "socket"),
        ("input()", "input"),
    ],
)
@pytest.mark.parametrize("guard", ["pass", "try_except"])
def test_what_is_refused(code: Code, line: str, what: str, guard: str) -> None:
    """A call that would break virtual time ends the host and names its line, whatever the program catches."""
    body = [line] if guard == "pass" else ["try:", f"    {line}", "except Exception:", "    pass"]
    imports = "import asyncio, multiprocessing, os, socket, subprocess, threading, urllib.request"
    text = [imports, "from concurrent.futures import ThreadPoolExecutor", "async def main():"]
    text += [f"    {each}" for each in [*body, "print('never')"]]
    host = code.run("\n".join([*text, "asyncio.run(main())", ""]))
    assert host.refused is not None
    assert host.refused.what == what
    number = 4 + (guard != "pass")
    assert host.refused.where == f"server.py, line {number}, in main: {line}"
    assert (host.exit_code, host.lines()) == (1, [])


@pytest.mark.parametrize(
    "wait",
    [
        "asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001), loop).result(0.05)",
        "threading.Event().wait(0.05)",
        "queue.Queue().get(timeout=0.05)",
        "taken.acquire()",
    ],
)
def test_threads_cannot_wait(code: Code, wait: str) -> None:
    """Work in a thread that waits for the loop or another thread is refused:
    both stand still while it runs.
    """
    text = f"""
        import asyncio, queue, threading
        async def main():
            loop, taken = asyncio.get_running_loop(), threading.Lock(); taken.acquire()
            def work():
                {wait}
            await asyncio.to_thread(work)
        asyncio.run(main())
    """
    host = code.run(text)
    assert host.refused is not None
    assert host.refused.where == f"server.py, line 6, in work: {wait}"


def test_the_harness_is_refused_nothing() -> None:
    """The harness's own code is refused nothing, not even while a host runs."""

    async def play(simulator: Simulator) -> None:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
        say_one()

    def say_one() -> None:
        done = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True)
        assert done.stdout.split() == [b"1"]

    simulate(play)

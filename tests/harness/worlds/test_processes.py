"""Both worlds: programs as processes, with exits, signals, files, standard files, environment and threads."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.harness.worlds.programs import Program

# --- exits --------------------------------------------------------------------------------------------


def test_exit_with_a_text(program: Program) -> None:
    """`sys.exit` with a text prints it, and the code is 1."""
    assert program("sys.exit('no more')") == (1, ["no more"])


def test_the_order_at_the_end(program: Program) -> None:
    """What was registered with `atexit` is called in reverse order, with its arguments."""
    text = """
        atexit.register(print, "first", "registered")
        @atexit.register
        def second():
            print("second registered")
        print("main")
    """
    assert program(text) == (0, ["main", "second registered", "first registered"])


def test_unregistering(program: Program) -> None:
    """A function that was unregistered from `atexit` is not called."""
    text = """
        def never():
            print("never")
        atexit.register(never)
        atexit.unregister(never)
    """
    assert program(text) == (0, [])


def test_os_exit(program: Program) -> None:
    """`os._exit` runs neither `finally` nor `atexit`."""
    text = """
        atexit.register(print, "at exit")
        async def main():
            try:
                os._exit(4)
            finally:
                print("finally")
        asyncio.run(main())
    """
    assert program(text) == (4, [])


# --- signals ------------------------------------------------------------------------------------------


WAITS = """
    async def main():
        try:
            asyncio.get_running_loop().call_soon(print, "ready")  # when nothing else is being done
            await asyncio.sleep(1000)
        finally:
            print("finally")
"""


def test_sigterm_ends_a_program(program: Program) -> None:
    """Without a handler, SIGTERM ends a program without any `finally`."""
    assert program(f"{WAITS}    asyncio.run(main())", signal.SIGTERM) == (-signal.SIGTERM, ["ready"])


def test_a_handler_may_exit(program: Program) -> None:
    """A handler of SIGTERM that calls `sys.exit` ends the program normally."""
    text = f"""{WAITS}
    def handler(number, frame):
        print("signal", int(number))
        sys.exit(5)
    signal.signal(signal.SIGTERM, handler)
    asyncio.run(main())
    """
    assert program(text, signal.SIGTERM) == (5, ["ready", "signal 15", "finally"])


def test_a_loop_has_handlers(program: Program) -> None:
    """A handler of the loop runs in it, with its arguments; and one that was removed does not run."""
    text = """
        async def main():
            loop, stop = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGINT, print, "never")
            removed = [loop.remove_signal_handler(signal.SIGINT) for _ in range(2)]
            loop.add_signal_handler(signal.SIGTERM, lambda *args: (print("args", args), stop.set()), 1, 2)
            print("ready")
            await stop.wait()
            print("stopped", removed)
        asyncio.run(main())
    """
    assert program(text, signal.SIGTERM) == (0, ["ready", "args (1, 2)", "stopped [True, False]"])


def test_handlers_can_be_asked_for(program: Program) -> None:
    """`signal.getsignal` gives the handler that was set, and `signal.signal` returns it."""
    text = """
        def handler(number, frame):
            print("called")
        print(signal.signal(signal.SIGTERM, handler) is signal.SIG_DFL)
        print(signal.getsignal(signal.SIGTERM) is handler)
        print(signal.signal(signal.SIGTERM, signal.SIG_IGN) is handler)
    """
    assert program(text) == (0, ["True"] * 3)


def test_signals_to_oneself(program: Program) -> None:
    """A program may send itself a signal; 0 only asks whether it lives."""
    text = """
        signal.signal(signal.SIGWINCH, lambda number, frame: print("called"))
        os.kill(os.getpid(), 0)
        async def main():
            signal.raise_signal(signal.SIGWINCH)
            await asyncio.sleep(0)
        asyncio.run(main())
    """
    assert program(text) == (0, ["called"])


# --- files and environment ----------------------------------------------------------------------------


FILES = """
    from pathlib import Path
    async def main():
        global one, two
        one = open(Path(os.environ["PLACE"]) / "one", "w")
        one.write("text")
        two = (Path(os.environ["PLACE"]) / "two").open("wb")
        two.write(b"text")
        asyncio.get_running_loop().call_soon(print, "ready")
        {end}
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("end", "number", "content"),
    [
        ("pass", 0, "text"),
        ("sys.exit(1)", 0, "text"),
        ("os._exit(0)", 0, ""),
        ("await asyncio.sleep(1000)", signal.SIGKILL, ""),
        ("one.flush(); two.flush(); await asyncio.sleep(1000)", signal.SIGKILL, "text"),
    ],
)
def test_files_that_were_left_open(
    program: Program, tmp_path: Path, end: str, number: int, content: str
) -> None:
    """What was written and not flushed is saved at a normal end, and lost by a sudden one."""
    program(FILES.format(end=end), number)
    assert [(tmp_path / name).read_text() for name in ("one", "two")] == [content] * 2


def test_standard_output(program: Program) -> None:
    """Standard output can be set up and written in bytes; standard error goes to the same place."""
    text = """
        sys.stdout.reconfigure(encoding="utf-8", line_buffering=True)
        print("text", flush=True)
        sys.stdout.buffer.write(b"bytes\\n")
        sys.stdout.buffer.flush()
        print("error", file=sys.stderr, flush=True)
        print(sys.stdout.encoding, sys.stdout.isatty(), sys.stdout.writable())
    """
    assert program(text) == (0, ["text", "bytes", "error", "utf-8 False True"])


def test_standard_input_is_empty(program: Program) -> None:
    """There is nothing to be read from standard input."""
    assert program("print([line for line in sys.stdin])") == (0, ["[]"])


def test_logging(program: Program) -> None:
    """Warnings are printed in the default format, or in the format that was set up."""
    text = """
        import logging
        logging.getLogger("a").info("not shown")
        logging.getLogger("a").warning("plain")
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        logging.getLogger("a").info("shown")
    """
    assert program(text) == (0, ["plain", "a: shown"])


def test_the_environment(program: Program) -> None:
    """`os.environ` can be read, changed and joined with another, and `os.getenv` agrees."""
    text = """
        os.environ["NEW"] = "1"
        print(os.getenv("NEW"), "NEW" in os.environ, os.environ.pop("NEW"), os.getenv("NEW", "none"))
        print((os.environ | {"A": "b"})["A"], type(os.environ.copy()).__name__)
    """
    assert program(text) == (0, ["1 True 1 none", "b dict"])


def test_the_clocks_of_the_loop_and_the_system_agree(program: Program) -> None:
    """`loop.time()` is `time.monotonic()`, so that times of one can be passed to the other."""
    text = """
        import time
        async def main():
            loop = asyncio.get_running_loop()
            print(abs(loop.time() - time.monotonic()) < 1.0)
        asyncio.run(main())
    """
    assert program(text) == (0, ["True"])


# --- threads ------------------------------------------------------------------------------------------


def test_the_main_thread(program: Program) -> None:
    """The main part and all coroutines run in the main thread."""
    text = """
        import threading
        def here():
            print(threading.current_thread() is threading.main_thread(), threading.current_thread().name)
        async def main():
            here()
        here()
        asyncio.run(main())
    """
    assert program(text) == (0, ["True MainThread"] * 2)


@pytest.mark.parametrize(
    ("kept", "use"),
    [
        ("threading.local()", "kept.value"),
        ("sqlite3.connect(':memory:')", "kept.execute('SELECT 1').fetchone()[0]"),
    ],
)
def test_what_belongs_to_a_thread(program: Program, kept: str, use: str) -> None:
    """What the main part keeps for its thread, such as a database connection, coroutines can use."""
    text = f"""
        import sqlite3, threading
        kept = {kept}
        if isinstance(kept, threading.local):
            kept.value = 1
        async def main():
            print({use})
        asyncio.run(main())
    """
    assert program(text) == (0, ["1"])


def test_another_thread(program: Program) -> None:
    """What is local to one thread is not seen by work in another thread."""
    text = """
        import sqlite3, threading
        async def main():
            database = sqlite3.connect(":memory:")
            try:
                await asyncio.to_thread(database.execute, "SELECT 2")
            except sqlite3.ProgrammingError:
                print("another thread")
        asyncio.run(main())
    """
    assert program(text) == (0, ["another thread"])

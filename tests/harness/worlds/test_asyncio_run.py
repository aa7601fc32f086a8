"""Both worlds: programs that run a loop, what they do at its end, and what they wait for then."""

from __future__ import annotations

import signal

from tests.harness.worlds.programs import Program


def test_run_returns_a_value(program: Program) -> None:
    """`asyncio.run` returns the result of its coroutine, however often it is called."""
    text = """
        async def main(number):
            await asyncio.sleep(0)
            return number
        print(asyncio.run(main(1)), asyncio.run(main(2)), __name__, os.path.basename(__file__), len(sys.argv))
    """
    assert program(text) == (0, ["1 2 __main__ program.py 1"])


def test_a_runner_keeps_its_loop(program: Program) -> None:
    """A Runner runs one coroutine after the other, and tasks of the first live on in the second."""
    text = """
        async def first():
            global task
            task = asyncio.create_task(asyncio.sleep(0.01, "slept"))
        async def second():
            return await task
        with asyncio.Runner() as runner:
            runner.run(first())
            print(runner.run(second()))
    """
    assert program(text) == (0, ["slept"])


def test_run_cancels_what_is_left(program: Program) -> None:
    """At the end of `asyncio.run`, other tasks are cancelled, and their `finally` runs to its end."""
    text = """
        async def other():
            try:
                await asyncio.sleep(1000)
            finally:
                await asyncio.sleep(0.01)
                print("finally")
        async def main():
            global task
            task = asyncio.create_task(other())
            await asyncio.sleep(0)
        asyncio.run(main())
        print(task.cancelled())
    """
    assert program(text) == (0, ["finally", "True"])


def test_run_does_not_nest(program: Program) -> None:
    """`asyncio.run` inside a coroutine is refused by asyncio."""
    text = """
        async def main():
            coroutine = asyncio.sleep(0)
            try:
                asyncio.run(coroutine)
            except RuntimeError as error:
                print(error)
            await coroutine
        asyncio.run(main())
    """
    assert program(text) == (0, ["asyncio.run() cannot be called from a running event loop"])


def test_exit_in_a_task(program: Program) -> None:
    """`sys.exit(3)` in a task ends the program with that code; other tasks run their `finally`."""
    text = """
        async def leave():
            await asyncio.sleep(0.01)
            sys.exit(3)
        async def main():
            task = asyncio.create_task(leave())
            try:
                await asyncio.sleep(1000)
            finally:
                print("finally")
        asyncio.run(main())
        print("never")
    """
    ended = program(text)
    assert (ended.code, ended.lines[0]) == (3, "finally")
    assert "never" not in ended.lines


def test_an_uncaught_exception(program: Program) -> None:
    """An exception that nobody catches is printed with its traceback, and the code is 1."""
    text = """
        async def main():
            raise ValueError("boom")
        asyncio.run(main())
    """
    ended = program(text)
    assert ended.code == 1
    assert ended.lines[0] == "Traceback (most recent call last):"
    assert ended.lines[-1] == "ValueError: boom"
    assert any('program.py", line 4, in main' in line for line in ended.lines)


def test_an_exception_of_a_task_is_printed(program: Program) -> None:
    """An exception of a task that is never awaited is printed, and the program goes on."""
    text = """
        async def fails():
            raise ValueError("boom")
        async def main():
            asyncio.create_task(fails())
            await asyncio.sleep(0.01)
            print("goes on")
        asyncio.run(main())
    """
    ended = program(text)
    assert ended.code == 0
    assert ended.lines[0] == "Task exception was never retrieved"
    assert ended.lines[-2:] == ["ValueError: boom", "goes on"]


def test_running_forever(program: Program) -> None:
    """`run_forever` ends by `stop`, and the loop can be run again to clean up."""
    text = """
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.add_signal_handler(signal.SIGTERM, loop.stop)
        loop.call_soon(print, "ready")
        loop.run_forever()
        print(loop.run_until_complete(asyncio.sleep(0.01, "tidied")), loop.is_running())
        loop.close()
        print(loop.is_closed())
    """
    assert program(text, signal.SIGTERM) == (0, ["ready", "tidied False", "True"])


def test_the_loop_before_it_runs(program: Program) -> None:
    """A program may get the loop, schedule something, and run the loop then, as was usual once."""
    text = """
        import warnings
        warnings.simplefilter("ignore")
        loop = asyncio.get_event_loop()
        loop.call_soon(print, "first")
        task = loop.create_task(asyncio.sleep(0.01, "result"))
        print(loop.run_until_complete(task))
        loop.close()
    """
    assert program(text) == (0, ["first", "result"])


def test_a_closed_loop_runs_no_callback(program: Program) -> None:
    """A callback in a loop that was closed before it ran is not called in the next loop."""
    text = """
        closed = asyncio.new_event_loop()
        closed.call_soon(print, "never")
        closed.call_later(0.01, print, "never")
        closed.close()
        async def main():
            await asyncio.sleep(0.05)
            print(asyncio.get_running_loop() is closed, closed.is_closed())
        asyncio.run(main())
    """
    assert program(text) == (0, ["False True"])


def test_generators_are_closed_at_the_end(program: Program) -> None:
    """An asynchronous generator that is suspended is closed at the end of `asyncio.run`."""
    text = """
        async def numbers():
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                print("closed")
        async def main():
            global kept
            kept = numbers()
            print(await anext(kept))
        asyncio.run(main())
        print("end")
    """
    assert program(text) == (0, ["1", "closed", "end"])


def test_run_waits_for_the_default_executor(program: Program) -> None:
    """Work that is never awaited is done before `asyncio.run` returns."""
    text = """
        async def main():
            asyncio.get_running_loop().run_in_executor(None, print, "work")
        asyncio.run(main())
        print("end")
    """
    assert program(text) == (0, ["work", "end"])


def test_the_end_waits_for_executors(program: Program) -> None:
    """Work in an executor that the program created is done before the program ends."""
    text = """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor(1)
        async def main():
            asyncio.get_running_loop().run_in_executor(pool, print, "work")
        asyncio.run(main())
    """
    assert program(text) == (0, ["work"])


def test_shutting_an_executor_down(program: Program) -> None:
    """`shutdown` returns when all submitted work is done, and the executor accepts no more."""
    text = """
        from concurrent.futures import ThreadPoolExecutor
        async def main():
            pool, done, loop = ThreadPoolExecutor(1), [], asyncio.get_running_loop()
            for number in range(5):
                loop.run_in_executor(pool, done.append, number)
            pool.shutdown(wait=True)
            print(done)
            try:
                loop.run_in_executor(pool, done.append, 6)
            except RuntimeError as error:
                print(error)
        asyncio.run(main())
    """
    assert program(text) == (0, ["[0, 1, 2, 3, 4]", "cannot schedule new futures after shutdown"])

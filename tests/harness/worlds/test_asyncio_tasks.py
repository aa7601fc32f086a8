"""Each loop: asyncio without a network: time, tasks, queues and executors."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from tests.harness.worlds.loops import Run
from tests.harness.worlds.simulations import LONG


def test_sleeping(run: Run) -> None:
    """Shorter sleeps end earlier, none ends too early, and the loop's time goes on meanwhile."""

    async def main() -> None:
        loop, order = asyncio.get_running_loop(), list[float]()
        began = loop.time()

        async def nap(seconds: float) -> None:
            await asyncio.sleep(seconds)
            assert loop.time() - began >= seconds - 0.001
            order.append(seconds)

        await asyncio.gather(*map(nap, (0.06, 0.0, 0.02, 0.04)))
        assert order == [0.0, 0.02, 0.04, 0.06]
        assert await asyncio.sleep(0, "result") == "result"

    run(main)


def test_callbacks(run: Run) -> None:
    """Callbacks run in the order in which they were given; cancelled ones do not run."""

    async def main() -> None:
        loop, order = asyncio.get_running_loop(), list[int]()
        for number in range(3):
            loop.call_soon(order.append, number)
        loop.call_soon_threadsafe(order.append, 3)
        for cancelled in (
            loop.call_soon(order.append, 9),
            loop.call_later(0, order.append, 9),
            loop.call_at(loop.time(), order.append, 9),
        ):
            cancelled.cancel()
            assert cancelled.cancelled()
        done = asyncio.Event()

        def last() -> None:
            order.append(5)
            done.set()

        later = loop.call_later(0.02, last)
        assert later.when() > loop.time()
        loop.call_at(loop.time() + 0.01, order.append, 4)
        assert order == []
        async with asyncio.timeout(LONG):
            await done.wait()
        assert order == [0, 1, 2, 3, 4, 5]

    run(main)


def test_timeouts(run: Run) -> None:
    """`asyncio.timeout` and `wait_for` cancel what takes too long, and nothing else."""

    async def main() -> None:
        async with asyncio.timeout(LONG):
            assert await asyncio.wait_for(asyncio.sleep(0, "in time"), LONG) == "in time"
        cancelled = []

        async def slow() -> None:
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                cancelled.append(True)
                raise

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(slow(), 0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01) as limit:
                await slow()
        assert limit.expired()
        assert cancelled == [True, True]

    run(main)


def test_waiting_for_the_first(run: Run) -> None:
    """`wait` returns as soon as the first is done, and `as_completed` gives them as they come."""

    async def main() -> None:
        naps = [asyncio.create_task(asyncio.sleep(seconds, seconds)) for seconds in (0.04, 0.001, 0.02)]
        done, pending = await asyncio.wait(naps, return_when=asyncio.FIRST_COMPLETED)
        assert ([task.result() for task in done], len(pending)) == ([0.001], 2)
        assert [await each for each in asyncio.as_completed(naps)] == [0.001, 0.02, 0.04]

    run(main)


# --- tasks --------------------------------------------------------------------------------------------


def test_gathering_with_an_exception(run: Run) -> None:
    """`gather` raises the first exception and lets the others go on, or returns it among the results."""

    async def main() -> None:
        async def fail() -> None:
            await asyncio.sleep(0.001)
            raise ValueError("boom")

        async def wait() -> str:
            await failed.wait()
            return "other"

        failed = asyncio.Event()
        other = asyncio.create_task(wait())
        with pytest.raises(ValueError, match="boom"):
            await asyncio.gather(other, fail())
        assert not other.done()
        failed.set()
        assert await other == "other"
        results = await asyncio.gather(fail(), asyncio.sleep(0, 1), return_exceptions=True)
        assert [repr(each) for each in results] == ["ValueError('boom')", "1"]

    run(main)


def test_cancellation(run: Run) -> None:
    """A cancelled task runs its `finally`, may take its time there, and is cancelled afterwards."""

    async def main() -> None:
        steps = []

        async def work() -> None:
            try:
                steps.append("waits")
                await asyncio.sleep(LONG)
            finally:
                await asyncio.sleep(0.001)
                steps.append("finally")

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (task.cancelled(), steps) == (True, ["waits", "finally"])
        never = asyncio.create_task(work())
        never.cancel()
        await asyncio.wait([never])
        assert steps == ["waits", "finally"], "who is cancelled before the first step does nothing"

    run(main)


def test_shields_and_groups(run: Run) -> None:
    """A shield keeps a task from being cancelled; a group cancels the others when one fails."""

    async def main() -> None:
        inner = asyncio.create_task(asyncio.sleep(0.02, "kept"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(inner), 0.001)
        assert await inner == "kept"

        async def fail() -> None:
            raise ValueError("boom")

        others = []

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                others.append(group.create_task(asyncio.sleep(LONG)))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup) as error:
            await together()
        assert others[0].cancelled()
        assert [repr(each) for each in error.value.exceptions] == ["ValueError('boom')"]

    run(main)


def test_what_tasks_know_of_themselves(run: Run) -> None:
    """A task knows its name and that it is the current one, and is among all tasks until it is done."""

    async def main() -> None:
        async def look() -> asyncio.Task[Any] | None:
            await asyncio.sleep(0)
            return asyncio.current_task()

        task = asyncio.create_task(look(), name="looks")
        assert task.get_name() == "looks"
        assert task in asyncio.all_tasks()
        assert await task is task
        assert task not in asyncio.all_tasks()
        assert asyncio.get_running_loop().is_running()

    run(main)


def test_abandoned_generators_are_closed(run: Run) -> None:
    """An asynchronous generator without references is closed by the loop."""

    async def main() -> None:
        closed = asyncio.Event()

        async def numbers() -> AsyncGenerator[int, None]:
            try:
                yield 1
                yield 2
            finally:
                await asyncio.sleep(0)
                closed.set()

        generator = numbers()
        assert await anext(generator) == 1
        assert not closed.is_set()
        del generator
        gc.collect()
        async with asyncio.timeout(LONG):
            await closed.wait()

    run(main)


def test_queues(run: Run) -> None:
    """A queue keeps the order, makes its producer wait when it is full, and knows when all is done."""

    async def main() -> None:
        queue: asyncio.Queue[int] = asyncio.Queue(2)
        got = []

        async def consume() -> None:
            while True:
                got.append(await queue.get())
                await asyncio.sleep(0)
                queue.task_done()

        consumer = asyncio.create_task(consume())
        for number in range(20):
            await queue.put(number)
            assert queue.qsize() <= 2
        await queue.join()
        assert got == list(range(20))
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()

    run(main)


def test_locks_are_fair(run: Run) -> None:
    """Waiting tasks get a lock in the order in which they asked for it."""

    async def main() -> None:
        lock, order = asyncio.Lock(), list[int]()

        async def take(number: int) -> None:
            async with lock:
                await asyncio.sleep(0)
                order.append(number)

        await asyncio.gather(*map(take, range(10)))
        assert order == list(range(10))
        assert not lock.locked()

    run(main)


# --- executors ----------------------------------------------------------------------------------------


def test_work_in_a_thread(run: Run) -> None:
    """`to_thread` returns a result or raises an exception, and passes the context on."""
    from contextvars import ContextVar

    variable: ContextVar[str] = ContextVar("variable")

    def work(number: int, *, by: int) -> tuple[float, str]:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        return number / by, variable.get()

    async def main() -> None:
        variable.set("value")
        assert await asyncio.to_thread(work, 6, by=2) == (3.0, "value")
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(work, 6, by=0)

    run(main)


def test_one_worker_keeps_the_order(run: Run) -> None:
    """An executor of one thread works in the order of submission, and the results come in that order."""

    async def main() -> None:
        loop, done, results = asyncio.get_running_loop(), list[int](), list[int]()

        def note(number: int, future: asyncio.Future[None]) -> None:
            results.append(number)

        with ThreadPoolExecutor(1) as pool:
            futures = [loop.run_in_executor(pool, done.append, number) for number in range(50)]
            for number, future in enumerate(futures):
                future.add_done_callback(partial(note, number))
            await asyncio.gather(*futures)
        assert done == results == list(range(50))

    run(main)


def test_work_is_not_done_at_once(run: Run) -> None:
    """The loop goes on while work is done, and the result comes in a later turn."""

    async def main() -> None:
        loop, turns = asyncio.get_running_loop(), 0
        future = loop.run_in_executor(None, sum, range(100))
        assert not future.done()
        while not future.done():
            await asyncio.sleep(0)
            turns += 1
        assert (future.result(), turns > 0) == (4950, True)

    run(main)


def test_work_that_is_cancelled_in_time_is_not_done(run: Run) -> None:
    """Work that is cancelled while it is queued is never done."""

    async def main() -> None:
        loop, done = asyncio.get_running_loop(), list[int]()
        with ThreadPoolExecutor(1) as pool:
            first = [loop.run_in_executor(pool, sorted, range(100_000, 0, -1)) for _ in range(20)]
            last = loop.run_in_executor(pool, done.append, 1)
            last.cancel()
            await asyncio.gather(*first)
            await loop.run_in_executor(pool, done.append, 2)
        assert done == [2]

    run(main)

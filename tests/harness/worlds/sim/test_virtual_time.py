"""Time on simulated hosts: clocks, sleeping, and waiting for what never comes."""

from __future__ import annotations

import asyncio
import datetime
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from harness.worlds.sim.host import Host
from harness.worlds.sim.simulator import UPTIME, Deadlock, Simulator
from harness.worlds.sim.world import NEW_YEAR
from tests.harness.worlds.sim.hosts import Code, ended, running, start
from tests.harness.worlds.simulations import simulate

HERE = Path(__file__).name

# --- clocks -------------------------------------------------------------------------------------------


def clocks() -> list[float]:
    """What all clocks show."""
    return [
        asyncio.get_running_loop().time(),
        time.monotonic(),
        time.perf_counter(),
        time.monotonic_ns() / 1e9,
        time.time(),
        time.time_ns() / 1e9,
        datetime.datetime.now(datetime.UTC).timestamp(),
        datetime.datetime.now().timestamp(),
        time.mktime(time.localtime()) + time.time() % 1,
        time.clock_gettime(time.CLOCK_REALTIME),
    ]


@pytest.mark.parametrize("seconds", [0.001, 1.25, 86_400.0])
def test_the_clocks_agree(seconds: float) -> None:
    """All clocks advance by the time slept, on the harness's host and on a server's."""
    passed: list[float] = []

    async def main() -> None:
        before = clocks()
        await asyncio.sleep(seconds)
        passed.extend(after - then for then, after in zip(before, clocks(), strict=True))
        time.sleep(seconds)  # noqa: ASYNC251 - this is what is tested
        passed.extend((after - then) / 2 for then, after in zip(before, clocks(), strict=True))

    async def play(simulator: Simulator) -> None:
        await ended(start(simulator, running(main)))

    simulate(play)
    assert len(passed) == 20
    assert passed == pytest.approx([seconds] * 20, abs=2e-6)


def test_the_system_s_own_clock() -> None:
    """`time.clock_gettime` agrees, too, for every clock."""

    async def play(simulator: Simulator) -> float:
        before = time.clock_gettime(time.CLOCK_MONOTONIC)
        await asyncio.sleep(100.0)
        return time.clock_gettime(time.CLOCK_MONOTONIC) - before

    assert simulate(play) == pytest.approx(100.0)


def test_the_day_of_the_start() -> None:
    """The time of day begins at the moment that the simulator was given."""

    async def play(simulator: Simulator) -> None:
        assert time.time() == NEW_YEAR
        assert datetime.datetime.now(datetime.UTC).isoformat() == "2026-01-01T00:00:00+00:00"
        assert asyncio.get_running_loop().time() == time.monotonic() == UPTIME

    simulate(play)


def test_time_passes_at_no_cost() -> None:
    """A day of virtual time does not take a real day, and code takes no virtual time."""
    real = time.monotonic()

    async def play(simulator: Simulator) -> None:
        for _ in range(24):
            await asyncio.sleep(3600)
        before = asyncio.get_running_loop().time()
        sum(range(100_000))
        assert asyncio.get_running_loop().time() == before == UPTIME + 86_400.0

    simulate(play)
    assert time.monotonic() - real < 60


# --- sleeping -----------------------------------------------------------------------------------------


SLEEPS = """
    import asyncio, time
    async def tick():
        while True:
            print(round(time.monotonic() - began, 3))
            await asyncio.sleep(1)
    async def main():
        global began
        began = time.monotonic()
        ticks = asyncio.create_task(tick())
        await asyncio.sleep(1.5)
        time.sleep(3)
        await asyncio.sleep(1)
    asyncio.run(main())
"""


def test_sleeping_blocks_one_host(code: Code) -> None:
    """`time.sleep` in a coroutine blocks everything on its host, nothing elsewhere, and is noted."""
    ticks: list[float] = []

    async def play(simulator: Simulator) -> Host:
        host = start(simulator, code.main(SLEEPS))
        while host.exit_code is None:
            ticks.append(round(asyncio.get_running_loop().time() - UPTIME, 3))
            await asyncio.sleep(0.5)
        return host

    host = simulate(play)
    assert [float(line) for line in host.lines()] == [0.0, 1.0, 4.5, 5.5]
    assert ticks == [number / 2 for number in range(len(ticks))]
    assert host.slept == {"server.py, line 12, in main: time.sleep(3)": 3.0}


def test_sleeping_in_the_main_part(code: Code) -> None:
    """`time.sleep` before `asyncio.run` takes its time, too."""
    host = code.run("import time\nbefore = time.time()\ntime.sleep(2)\nprint(time.time() - before)\n")
    assert host.lines() == ["2.0"]
    assert sum(host.slept.values()) == 2.0


IN_A_THREAD = """
    import asyncio, time
    from concurrent.futures import ThreadPoolExecutor
    async def main():
        loop, pool, began = asyncio.get_running_loop(), ThreadPoolExecutor(1), time.monotonic()
        work = [loop.run_in_executor(pool, time.sleep, 1.0) for _ in range(3)]
        await asyncio.sleep(0.5)
        print(round(time.monotonic() - began, 1))
        await asyncio.gather(*work)
        print(round(time.monotonic() - began, 1))
    asyncio.run(main())
"""


def test_sleeping_in_a_thread_blocks_nothing(code: Code) -> None:
    """`time.sleep` in an executor takes its time, and the loop goes on meanwhile."""
    assert code.run(IN_A_THREAD.replace("range(3)", "range(1)")).lines() == ["0.5", "1.0"]


def test_sleeping_keeps_a_worker_busy(code: Code) -> None:
    """One worker that sleeps three times takes three times as long."""
    assert code.run(IN_A_THREAD).lines() == ["0.5", "3.0"]


def test_sleeping_in_a_thread_is_no_mistake(code: Code) -> None:
    """`time.sleep` in an executor is not noted, since it is the right way to sleep."""
    assert code.run(IN_A_THREAD).slept == {}


# --- waiting for nothing ------------------------------------------------------------------------------


def test_a_deadlock_is_reported() -> None:
    """When all tasks wait for what never comes, an exception names each task's file and line."""

    async def waits_in_vain() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.Lock().acquire()
        await asyncio.get_running_loop().create_future()

    async def play(simulator: Simulator) -> None:
        start(simulator, running(main))
        await waits_in_vain()

    with pytest.raises(Deadlock) as error:
        simulate(play)
    lines = str(error.value).splitlines()
    assert "nothing is left to run" in lines[0]
    for host, place in (
        ("harness", "in waits_in_vain: await asyncio.Event().wait()"),
        ("program", "in main"),
    ):
        assert any(line.startswith(f"{host}: {HERE}, line ") and place in line for line in lines)


def test_one_host_that_waits_is_no_deadlock() -> None:
    """While another host has something to do, a host may wait; what it waits for can be asked."""

    async def main() -> None:
        lock = asyncio.Lock()
        async with lock:
            await lock.acquire()

    async def play(simulator: Simulator) -> list[str]:
        host = start(simulator, running(main))
        await asyncio.sleep(10.0)
        return host.waiting(("Lock.acquire",))

    (place,) = simulate(play)
    assert place.startswith(f"{HERE}, line ")
    assert place.endswith("in main: await lock.acquire()")


def test_a_busy_wait_does_not_stop_time() -> None:
    """`while …: await asyncio.sleep(0)` waits until something happens, on its own host and elsewhere."""

    async def main() -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            await asyncio.sleep(0)

    async def forever() -> None:
        while True:
            await asyncio.sleep(0)

    async def play(simulator: Simulator) -> None:
        host = start(simulator, running(main))
        other = start(simulator, lambda: asyncio.run(forever()))
        await asyncio.sleep(2.0)
        assert asyncio.get_running_loop().time() == UPTIME + 2.0
        assert (host.exit_code, other.exit_code) == (None, None)
        assert await ended(host) == 0
        other.kill()

    simulate(play)


def test_a_busy_wait_alone_ends_by_its_own_clock() -> None:
    """A busy wait for a point in time ends although nothing else is due before it."""

    async def play(simulator: Simulator) -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            await asyncio.sleep(0)

    simulate(play)


class Thing:
    """Something that can be let go of."""


def test_much_garbage_is_collected_soon() -> None:
    """As in any process: what a program has let go of must not count as its memory."""

    async def main(simulator: Simulator) -> bool:
        thing: Any = Thing()
        thing.itself = thing
        kept = weakref.ref(thing)
        del thing
        for _ in range(400_000):
            one: list[object] = []
            one.append(one)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return kept() is None

    assert simulate(main)

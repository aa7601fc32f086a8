"""What looks random on simulated hosts depends on the seed only."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from harness.worlds.sim.simulator import Simulator
from tests.harness.worlds.sim.hosts import Code, running, start
from tests.harness.worlds.simulations import Play, simulate

CHANCES = [
    "random.random()",
    "random.choice(range(10**9))",
    "random.SystemRandom().random()",
    "uuid.uuid4()",
    "uuid.uuid1()",
    "secrets.token_hex()",
    "os.urandom(8)",
    "os.getrandom(8)",
    "random.Random().random()",
    "(random.seed(), random.random())",
]


@pytest.mark.parametrize("chance", CHANCES)
def test_random_numbers_depend_on_the_seed(code: Code, chance: str) -> None:
    """The same seed gives the same numbers, another seed gives other numbers."""
    text = f"import os, random, secrets, uuid\nprint({chance})\nprint({chance})\n"
    first, again, other = [code.run(text, seed).lines() for seed in ("one", "one", "two")]
    assert first == again
    assert first != other or chance == "uuid.uuid1()", "its chance is the time and the place"
    assert first[0] != first[1]


def test_the_order_of_sets_is_the_same_in_each_run(code: Code) -> None:
    """Objects without a hash of their own have the same order in a set in each run."""
    text = """
        class Thing:
            def __init__(self, number):
                self.number = number
        kept = [bytearray(n) for n in range(hash("any") % 100)]
        print([thing.number for thing in {Thing(n) for n in range(50)}])
    """
    kept = [object() for _ in range(1000)]
    first = code.run(text).lines()
    kept += [object() for _ in range(777)]
    assert first == code.run(text).lines()


THREADS = """
    import asyncio, concurrent.futures, threading
    async def main():
        pool = {pool}
        for _ in range(40):
            print(await asyncio.get_running_loop().run_in_executor(pool, threading.get_ident))
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("pool", "at_most"),
    [("None", 32), ("concurrent.futures.ThreadPoolExecutor(3)", 3)],
)
def test_a_call_may_get_another_thread_than_the_call_before(code: Code, pool: str, at_most: int) -> None:
    """What is awaited in turn may run in different threads: a pool learns late which is idle."""
    run = code.run(THREADS.format(pool=pool)).lines()
    assert run == code.run(THREADS.format(pool=pool)).lines()
    assert 2 <= len(set(run)) <= at_most


def test_a_pool_of_one_thread_has_one_thread(code: Code) -> None:
    """Code may make a connection in one call and use it in the next."""
    run = code.run(THREADS.format(pool="concurrent.futures.ThreadPoolExecutor(1)")).lines()
    assert len(run) == 40
    assert len(set(run)) == 1


def test_the_same_seed_gives_the_same_run() -> None:
    """With the same seed, everything that happens between hosts happens at the same moments."""

    def play_of(seen: list[tuple[float, bytes]]) -> Play:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(100):
                await asyncio.to_thread(str, data)
                seen.append((time.time(), data))
                writer.write(data)
            writer.close()

        async def main() -> None:
            async with await asyncio.start_server(talk, "127.0.0.1", 8080) as server:
                await server.serve_forever()

        async def play(simulator: Simulator) -> None:
            host = start(simulator, running(main))
            await asyncio.sleep(1.0)
            for _ in range(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", 8080)
                writer.write(os.urandom(8))
                await reader.readexactly(8)
                writer.close()
            host.kill()

        return play

    runs: list[list[tuple[float, bytes]]] = [[], [], []]
    for seen, seed in zip(runs, ("one", "one", "two"), strict=True):
        simulate(play_of(seen), seed)
    assert len(runs[0]) == 5
    assert runs[0] == runs[1] != runs[2]

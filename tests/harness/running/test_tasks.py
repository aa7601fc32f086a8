from __future__ import annotations

import asyncio

import pytest

from harness.running.tasks import side_by_side


async def test_results_are_in_the_order_of_the_coroutines() -> None:
    """Whichever is done first."""

    async def after(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    assert await side_by_side(after(3), after(1), after(2)) == [3, 1, 2]
    assert await side_by_side() == []


@pytest.mark.parametrize("how", ["cancelled", "one fails"])
def test_no_task_is_left_and_clean_up_is_not_interrupted(how: str) -> None:
    """One that has nothing to clean up ends at once; the other's clean-up is not interrupted by that."""
    cleaned: list[str] = []

    async def long(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            cleaned.append(f"{name} is clean")

    async def short() -> None:
        if how == "one fails":
            raise LookupError
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().call_later(0.01, task.cancel)
        await side_by_side(side_by_side(long("a"), short()), side_by_side(long("b")))

    with pytest.raises(LookupError if how == "one fails" else asyncio.CancelledError):
        asyncio.run(main())
    assert sorted(cleaned) == ["a is clean", "b is clean"]

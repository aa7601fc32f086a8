"""What the contract forgives costs nothing, in both worlds, and similar deviations still fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from harness.judged import targets
from harness.judged.targets import Target
from harness.running.fork_pool import ForkPool, SimJob
from harness.running.play import play
from harness.running.run import Case, Run
from harness.scenarios.common import MODEST
from harness.verdict.outcome import Outcome
from harness.worlds.live import LiveWorld
from harness.zoo.single_file import changed
from tests.kit.conftest import Judge, assert_right, describe


class Variant(NamedTuple):
    """A change of the right server in one file, and its result: a note, or an anomaly in a step."""

    old: str
    new: str
    notes: tuple[str, ...] = ()
    step: str = ""
    anomaly: str = ""


LOOP = "        async for text in client:\n"
PARSED = "json.loads(text) if isinstance(text, str) else None"
GOOD = 'is_good = all(each in "_-." or unicodedata.category(each)[0] in "LMN" for each in name)'
NAMED = '    name = text_in(frame, "room")\n'
VARIANTS = {
    "binary_is_obeyed": Variant(PARSED, "json.loads(text)", ("lenient.binary",)),
    "binary_ends_the_connection_with_1003": Variant(
        LOOP,
        f"{LOOP}            if isinstance(text, bytes):\n                await client.close(1003)\n",
    ),
    "binary_ends_the_connection_with_1011": Variant(
        LOOP,
        f"{LOOP}            if isinstance(text, bytes):\n                await client.close(1011)\n",
        step="1.2",
        anomaly="dropped_connection",
    ),
    "binary_is_ignored": Variant(
        LOOP,
        f"{LOOP}            if isinstance(text, bytes):\n                continue\n",
        step="1.2",
        anomaly="unanswered_error",
    ),
    "names_are_words_of_python": Variant(
        GOOD, 'is_good = re.fullmatch(r"(?!\\.+$)[\\w.-]{1,64}", name)', ("lenient.marks",)
    ),
    "names_are_letters_and_numbers": Variant(GOOD, GOOD.replace("LMN", "LN"), ("lenient.marks",)),
    "names_are_ascii": Variant(
        GOOD, f"{GOOD} and name.isascii()", ("lenient.marks",), step="1.4", anomaly="refused"
    ),
    "names_are_normalised": Variant(
        NAMED,
        '    name = unicodedata.normalize("NFC", text_in(frame, "room"))\n',
        step="1.4",
        anomaly="room_leak",
    ),
    "names_lose_their_accents": Variant(
        NAMED,
        '    name = unicodedata.normalize("NFKD", text_in(frame, "room"))\n'
        '    name = "".join(each for each in name if not unicodedata.combining(each))\n',
        step="1.4",
        anomaly="room_leak",
    ),
    "times_are_in_seconds": Variant(
        "return round(time.time() * 1000)", "return int(time.time())", ("lenient.seconds",)
    ),
    "times_are_in_seconds_of_another_zone": Variant(
        "return round(time.time() * 1000)",
        "return time.time() + 3600",
        ("lenient.seconds",),
        step="1.4",
        anomaly="wrong_time",
    ),
}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Variant:
    """Each of them."""
    return VARIANTS[request.param]


def as_target(variant: Variant, folder: Path) -> Target:
    """The server, as a file."""
    path = folder / "server.py"
    path.write_text(changed("variant", [(variant.old, variant.new)]), encoding="utf-8")
    return targets.at_file(str(path))


def assert_judged(run: Run, variant: Variant) -> None:
    """Its step fails by its anomaly and no other step does, or all pass; its notes are in the report."""
    assert not run.defect, run.defect
    assert {note.key for note in run.notes} == set(variant.notes), describe(run)
    if not variant.step:
        assert_right(run)
        return
    found = {step.step: step for step in run.steps}[variant.step]
    assert found.outcome is Outcome.FAILED, describe(run)
    assert variant.anomaly in {anomaly.name for anomaly in found.anomalies}, describe(run)


@pytest.mark.live
@pytest.mark.xdist_group("live1")
async def test_leniency_in_the_live_world(variant: Variant, judge: Judge, tmp_path: Path) -> None:
    """On real sockets."""
    assert_judged(await judge(1, as_target(variant, tmp_path)), variant)


@pytest.mark.xdist_group("sim")
def test_leniency_in_the_simulated_world(variant: Variant, tmp_path: Path) -> None:
    """In virtual time."""

    async def simulated() -> Run:
        async with ForkPool(1) as pool:
            (run,) = await pool.play(SimJob(as_target(variant, tmp_path), [Case(1, "7", MODEST)]))
            return run

    assert_judged(asyncio.run(simulated()), variant)


@pytest.mark.live
@pytest.mark.xdist_group("live1")
async def test_the_clock_of_a_server_elsewhere(tmp_path: Path) -> None:
    """A server at a URL, with messages whose times are in another time zone: a note, each time."""
    variant = VARIANTS["times_are_in_seconds_of_another_zone"]
    world = LiveWorld(as_target(variant, tmp_path), 1, "1")
    try:
        await world.start_server()
        for exercise in (1, 3, 1):
            run = await play(exercise, targets.at_url(world.address), "7")
            assert not run.defect, run.defect
            assert_right(run)
            (note,) = [note for note in run.notes if note.key == "lenient.clock"]
            assert note.params == {"off": "+1 h"}
    finally:
        await world.close()

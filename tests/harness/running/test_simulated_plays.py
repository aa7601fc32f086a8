"""Exercises in the simulated world: right servers pass, broken ones fail, and a seed gives one history."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
from pathlib import Path
from random import Random

import msgspec
import pytest
from msgspec.structs import replace

from harness.contracts.result import Played
from harness.history.events import History, Received, Sent
from harness.judged import targets
from harness.judged.targets import Target
from harness.minimize import replay_file as replay
from harness.minimize import shrink
from harness.running.fork_pool import ContractJob, ForkPool, SimJob, packed
from harness.running.run import Case, Run
from harness.scenarios import script
from harness.scenarios.catalogue import SCENARIOS
from harness.scenarios.common import MODEST, SMALL
from harness.scenarios.script import NOBODY, Act, Script, is_playable
from harness.verdict.outcome import Outcome
from harness.verdict.steps import EXERCISES
from harness.zoo.animals import ANIMALS
from harness.zoo.single_file import JOURNAL, PLAIN
from tests.wrong_code.cases import servers as wrong_servers

pytestmark = pytest.mark.xdist_group("sim")


def play(*jobs: SimJob, same_addresses: bool = True) -> list[list[Run]]:
    """Play jobs in one pool, two at a time."""

    async def all_of_them() -> list[list[Run]]:
        async with ForkPool(2, same_addresses=same_addresses) as pool:
            return list(await asyncio.gather(*(pool.play(job) for job in jobs)))

    return asyncio.run(all_of_them())


def at_file(path: Path) -> Target:
    """A server in a Python file."""
    return targets.at_file(str(path))


def failed_steps(run: Run) -> dict[str, list[str]]:
    """The anomalies in each step that did not pass."""
    return {
        step.step: [anomaly.name for anomaly in step.anomalies] or [str(step.outcome)]
        for step in run.steps
        if step.outcome is not Outcome.PASSED
    }


def servers() -> dict[str, dict[int, Target]]:
    """Right servers for each exercise, and what takes their place."""
    return {
        "solutions": {number: targets.choose(number, of_solutions=True) for number in EXERCISES},
        "reference": dict.fromkeys(EXERCISES, targets.reference()),
        "single file": dict.fromkeys(EXERCISES, at_file(PLAIN)),
    }


@pytest.fixture(scope="module")
def right_runs() -> dict[tuple[str, int], list[Run]]:
    """A play of moderate size of each exercise by each right server, and some small ones."""
    keys, jobs = [], []
    for name, by_exercise in servers().items():
        for number, target in by_exercise.items():
            keys.append((name, number))
            cases = [Case(number, "1", MODEST), *(Case(number, str(seed), SMALL) for seed in range(5))]
            jobs.append(SimJob(target, cases))
    return dict(zip(keys, play(*jobs), strict=True))


@pytest.mark.parametrize("number", EXERCISES)
@pytest.mark.parametrize("name", ["solutions", "reference", "single file"])
def test_right_servers_pass(right_runs: dict[tuple[str, int], list[Run]], name: str, number: int) -> None:
    """A right server passes every step, in virtual time and with the course's intervals of 30 and 60 s."""
    for run in right_runs[name, number]:
        assert not run.defect
        assert failed_steps(run) == {}


def test_a_kill_finds_messages_in_flight_also_where_saving_takes_no_time(tmp_path: Path) -> None:
    """A store that writes and syncs in its coroutine has answered the whole burst when the kill comes."""
    in_a_thread = "await asyncio.get_running_loop().run_in_executor(DISK, function, *args)"
    assert JOURNAL.count(in_a_thread) == 1
    path = tmp_path / "synchronous.py"
    path.write_text(JOURNAL.replace(in_a_thread, "function(*args)"))
    cases = [Case(4, "0", MODEST), *(Case(4, str(seed), SMALL) for seed in range(9))]
    (runs,) = play(SimJob(at_file(path), cases))
    assert [failed_steps(run) for run in runs] == [{}] * len(cases)
    for run in runs:
        receipt = run.steps[1].receipt
        assert receipt is not None
        assert "0" not in receipt.params["unseen"].split(", ")


def test_presence_is_played_with_the_course_s_intervals(
    right_runs: dict[tuple[str, int], list[Run]],
) -> None:
    """More than three minutes pass while a client is watched for three timeouts of a minute."""
    assert right_runs["reference", 3][0].seconds > 180


@pytest.mark.parametrize("hours", [1, 24])
def test_an_hour_and_a_day_of_presence(hours: int) -> None:
    """A client that answers heartbeats is present all the time, and a silent one is gone for good."""
    acts = [Act(0.01, 1, "go_silent"), Act(0.02, 2, "say")]
    scene = Script(["alice", "bob", "carol"], [0, 1, 2], acts, intervals=hours * 120)
    ((run,),) = play(SimJob(targets.reference(), [Case(3, "1", script=scene)]))
    assert shrink.anomalies_of(run) == []
    assert run.seconds > hours * 3600


# --- broken servers -----------------------------------------------------------------------------------


RACES = (
    "set_changes_while_iterating",
    "one_of_two_connections_ends",
    "heartbeat_dies",
    "numbers_then_saves_then_sends_unlocked",
    "history_then_subscribe",
    "subscribe_then_history",
    "unlocked_lock",
    "retry_keeps_the_lock",
)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    """A file for each of these animals."""
    folder = tmp_path_factory.mktemp("broken")
    found = {}
    for name in RACES:
        path = folder / f"{name}.py"
        path.write_text(ANIMALS[name].source)
        found[name] = at_file(path)
    return found


@pytest.fixture(scope="module")
def broken_runs(broken: dict[str, Target]) -> dict[str, list[Run]]:
    """Two plays of each."""
    jobs = [
        SimJob(target, [Case(ANIMALS[name].exercise, str(seed)) for seed in range(2)])
        for name, target in broken.items()
    ]
    return dict(zip(broken, play(*jobs), strict=True))


@pytest.mark.parametrize("name", RACES)
def test_races_are_caught_by_every_seed(broken_runs: dict[str, list[Run]], name: str) -> None:
    """A defect that shows now and then in live runs shows with each of two seeds, by its own anomaly."""
    for run in broken_runs[name]:
        found = {anomaly for anomalies in failed_steps(run).values() for anomaly in anomalies}
        assert ANIMALS[name].anomaly in found, failed_steps(run)


ANY_TIME = 100.0
"""Seconds for the search of a small scene: here it is asked which one is found, and not how soon."""
SMALL_ONES = {
    "numbers_then_saves_then_sends_unlocked": "reorder",
    "history_then_subscribe": "replay_hole",
    "subscribe_then_history": "replay_overlap",
    "one_of_two_connections_ends": "premature_offline",
    "set_changes_while_iterating": "lost",
    "heartbeat_dies": "missing_heartbeat",
}


_LONG = "set_changes_while_iterating"
"""Half of the time of all, in -m thorough."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.thorough] if name == _LONG else []) for name in SMALL_ONES],
)
def shrunk(
    request: pytest.FixtureRequest, broken: dict[str, Target], broken_runs: dict[str, list[Run]]
) -> tuple[str, Run]:
    """Its name, and the smallest scene for it."""
    name: str = request.param

    async def search() -> Run | None:
        async with ForkPool(2) as pool:
            return await shrink.shrink(pool, broken[name], broken_runs[name][0], seconds=ANY_TIME)

    run = asyncio.run(search())
    assert run is not None
    return name, run


def test_the_search_for_a_small_scene_has_its_time(
    broken: dict[str, Target], broken_runs: dict[str, list[Run]]
) -> None:
    """When it is over, what was under way is dropped, and the pool plays on."""
    name = "history_then_subscribe"
    (run, *_), target = broken_runs[name], broken[name]

    async def search() -> tuple[Run | None, list[Run]]:
        async with ForkPool(2) as pool:
            small = await shrink.shrink(pool, target, run, seconds=0.1)
            return small, await pool.play(SimJob(target, [Case(2, "0")]))

    small, after = asyncio.run(search())
    assert small is None
    assert after[0].digest == run.digest


def test_a_failure_is_minimized(shrunk: tuple[str, Run]) -> None:
    """Two connections and three messages are enough for each of these, and the anomaly is the same."""
    name, run = shrunk
    assert run.case is not None
    assert run.case.script is not None
    assert SMALL_ONES[name] in shrink.anomalies_of(run)
    assert len(run.case.script.users) <= 2
    assert sum(act.what == "say" for act in run.case.script.acts) <= 3


def test_a_replay_file_gives_the_same_history(
    shrunk: tuple[str, Run], broken: dict[str, Target], tmp_path: Path
) -> None:
    """A file that is written and read back plays the same history, byte for byte, in another process."""
    name, run = shrunk
    replay.write(replay.of(run, broken[name], SMALL_ONES[name]), tmp_path / "replay.json")
    kept = replay.read(tmp_path / "replay.json")
    ((again,),) = play(SimJob(kept.target, [kept.case], lean=False))
    assert again.digest == kept.digest == run.digest
    assert replay.first_difference(kept.history, again.history) == (None, None)
    assert replay.changes(kept) == []


@pytest.mark.parametrize("exercise", EXERCISES)
def test_scenes_are_fair(exercise: int) -> None:
    """Whatever scene is drawn, a right server passes it."""
    cases = []
    for number in range(40):
        rng = Random(f"{exercise}/{number}")
        sizes = (rng.randint(1, 3), rng.randint(0, 5), rng.randint(0, 3))
        cases.append(Case(exercise, str(number), script=script.plan(rng, SCENARIOS[exercise].SCENES, *sizes)))
    half = len(cases) // 2
    runs = play(SimJob(targets.reference(), cases[:half]), SimJob(at_file(PLAIN), cases[half:]))
    wrong = [(run.case, shrink.anomalies_of(run)) for each in runs for run in each]
    assert [each for each in wrong if each[1]] == []


# --- one seed, one history ----------------------------------------------------------------------------


def digests(target: Target, exercise: int, part: int, **more: bool) -> list[str]:
    """The digests of six small plays, `part` of them in one process."""
    cases = [Case(exercise, str(seed), SMALL) for seed in range(6)]
    jobs = [SimJob(target, cases[at : at + part]) for at in range(0, len(cases), part)]
    return [run.digest for runs in play(*jobs, **more) for run in runs]


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_seed_gives_one_history(exercise: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same in each process: whatever its hash seed and memory addresses, and whatever was played in
    it before; also for a server that keeps its clients in sets.
    """
    found = []
    for secret, part, same_addresses in (("0", 6, True), ("1", 1, True), ("2", 3, False)):
        monkeypatch.setenv("PYTHONHASHSEED", secret)
        found.append(digests(at_file(PLAIN), exercise, part, same_addresses=same_addresses))
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 6


def interleaving(history: History) -> tuple[tuple[str, int, object], ...]:
    """Who sent and received which type of frame, in which order, without times and names."""
    return tuple(
        (type(event).__name__, event.conn, event.frame.get("type") if isinstance(event.frame, dict) else None)
        for event in history
        if isinstance(event, Sent | Received)
    )


def test_seeds_give_different_interleavings() -> None:
    """Twenty seeds of the same plan's size show twenty orders of events."""
    cases = [Case(2, str(seed), SMALL) for seed in range(20)]
    (runs,) = play(SimJob(targets.reference(), cases, lean=False))
    assert len({interleaving(run.history) for run in runs}) == 20


@pytest.mark.parametrize(
    ("act", "fits"),
    [
        (Act(0.0, 0, "say"), True),
        (Act(0.0, NOBODY, "kill"), True),
        (Act(0.0, 1, "say"), False),  # there is nobody else
        (Act(0.0, 0, "kill"), False),
        (Act(0.0, NOBODY, "say"), False),
        (Act(0.0, 0, "dance"), False),
    ],
)
def test_a_scene_that_cannot_be_played_is_an_error_of_its_file(act: Act, fits: bool) -> None:
    """Scenes come from files: their clients must exist, and do actions that exist."""
    assert is_playable(Script(["alice"], [0], [act])) is fits


LOCKED = "        async with self._locks[draft.room]:\n            if draft.id"
SAVED = """            await self._store.save([message])
            self._pubsub.publish(draft.room, message)
            return message
"""


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            [
                (
                    "        async with self._locks[room]:\n            if since",
                    "        if True:\n            if since",
                )
            ],
            id="joins_without_its_lock",
        ),
        pytest.param([(LOCKED, "        if True:\n            if draft.id")], id="accepts_without_its_lock"),
        pytest.param(
            [
                (
                    SAVED,
                    "            self._last[draft.room] = message.sequence\n"
                    + SAVED.replace("            ", "        "),
                ),
                (
                    "await self._store.last(draft.room) + 1,",
                    "max(await self._store.last(draft.room), self._last.get(draft.room, 0)) + 1,",
                ),
                ("        self._locks: ", "        self._last: dict[str, int] = {}\n        self._locks: "),
            ],
            id="saves_outside_of_its_lock",
        ),
    ],
)
def test_a_sequencer_with_a_race_is_caught_by_nearly_every_seed(
    tmp_path: Path, changes: list[tuple[str, str]]
) -> None:
    """For the model answer with its lock left out, or released too early,
    at least 19 of 20 small plays fail.
    """
    text = (targets.find_folder("solutions") / "ex2_ordering" / "sequencer.py").read_text()
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    (tmp_path / "ex2_ordering").mkdir()
    (tmp_path / "ex2_ordering" / "sequencer.py").write_text(text)
    target = targets.submission(tmp_path, 2, together=False)
    parts = play(*(SimJob(target, [Case(2, str(10 * k + n), SMALL) for n in range(10)]) for k in range(2)))
    assert sum(run.outcome is Outcome.FAILED for runs in parts for run in runs) >= 19


# --- what a server may do wrong -----------------------------------------------------------------------


ECHO = """
import asyncio, os
from websockets.asyncio.server import serve

async def handler(ws):
    await ws.send('{"type": "connected", "data": {"clientId": "c", "user": "u"}}')
    async for text in ws:
        PLACE

async def main():
    async with serve(handler, "127.0.0.1", int(os.environ["PORT"])):
        await asyncio.get_running_loop().create_future()

if __name__ == "__main__":
    asyncio.run(main())
"""


def play_with(tmp_path: Path, does: str) -> Run:
    """Exercise 1 with a server that does this with every frame."""
    path = tmp_path / "odd.py"
    path.write_text(ECHO.replace("PLACE", does))
    ((run,),) = play(SimJob(at_file(path), [Case(1, "1", SMALL)]))
    return run


@pytest.mark.parametrize(
    ("does", "lacking"),
    [
        ("import threading; threading.Thread(target=print).start()", "thread"),
        ("import socket; socket.socket()", "socket"),
        ("import subprocess; subprocess.run(['true'])", "process"),
        ("input()", "input"),
    ],
)
def test_what_is_not_simulated_is_inconclusive_and_named(tmp_path: Path, does: str, lacking: str) -> None:
    """What the simulated world lacks proves nothing about the server; the line that uses it is named."""
    run = play_with(tmp_path, does)
    assert run.outcome is Outcome.INCONCLUSIVE
    receipt = run.steps[1].receipt
    assert receipt is not None
    assert receipt.key == f"lacking_{lacking}"
    assert receipt.params["where"].startswith("odd.py, line 8, in handler")


def test_sleeping_is_noted_with_its_line(tmp_path: Path) -> None:
    """`time.sleep` stops everything in the server, and the report says where it is called."""
    run = play_with(tmp_path, "import time; time.sleep(0.2)")
    (note,) = [note for note in run.notes if note.key == "slept"]
    assert note.params["where"].startswith("odd.py, line 8, in handler")
    assert note.params["seconds"] >= 0.2
    assert run.causes == []


def test_sleeping_long_is_a_cause(tmp_path: Path) -> None:
    """A call that blocks the event loop for a second or more leads the report, with its first time."""
    run = play_with(tmp_path, "import time; time.sleep(1.5)")
    (cause,) = run.causes
    assert (cause.kind, cause.where) == ("blocks", "odd.py, line 8, in handler")
    assert cause.seconds >= 1.5
    assert cause.source.endswith("time.sleep(1.5)")
    assert cause.at is not None
    assert [note for note in run.notes if note.key == "slept"] == []


def test_an_endless_loop_is_found(tmp_path: Path) -> None:
    """Code that never returns ends the play, and the report says where it was."""
    run = play_with(tmp_path, "while True: pass")
    (hung,) = [a for step in run.steps for a in step.anomalies if a.name == "server_hung"]
    assert "odd.py, line 8, in handler" in hung.params["output"]


def test_an_endless_loop_is_found_by_processor_time(tmp_path: Path) -> None:
    """Processor time decides, and not the server's clock, which stands still."""
    run = play_with(tmp_path, "for _ in range(10**15): pass")
    assert "server_hung" in {anomaly.name for step in run.steps for anomaly in step.anomalies}


def test_sleeping_in_an_executor_is_not_noted(tmp_path: Path) -> None:
    """It blocks nothing there. A function that is not the server's is reported by where it was submitted."""
    run = play_with(tmp_path, "import asyncio, time; await asyncio.to_thread(time.sleep, 0.1)")
    assert [note for note in run.notes if note.key == "slept"] == []
    run = play_with(tmp_path, "import asyncio, os; await asyncio.to_thread(os.system, 'true')")
    receipt = run.steps[1].receipt
    assert receipt is not None
    assert receipt.params["where"].startswith("odd.py, line 8, in handler")


@pytest.mark.parametrize(
    "trait",
    [
        "assert os.path.exists('here.txt'); os.chdir(os.environ['DATA_DIR'])",
        "import sys; print('starts'); sys.stdout = open(os.environ['DATA_DIR'] + '/out.log', 'a')",
        "log = logging.getLogger('own'); assert not log.handlers; log.addHandler(logging.NullHandler())",
        "path = os.environ['DATA_DIR'] + '/x'; open(path, 'w').write('y'); assert open(path).read() == 'y'",
        "now = time.time()\nwhile time.time() < now + 0.01: pass",
        "assert time.ctime() == time.asctime() and time.ctime().endswith('2026') and time.process_time()",
        "os.write(1, b'hello'); os.write(2, b'hello')",
        "import sys; print('hello', file=sys.__stdout__, flush=True)",
        "import pickle\nclass Kept: pass\npickle.dumps(Kept())",
        "import calendar; assert calendar.OWN",
    ],
)
@pytest.mark.parametrize("as_module", [False, True], ids=["file", "module"])
def test_each_start_is_a_process_of_its_own(tmp_path: Path, trait: str, as_module: bool) -> None:
    """A server's changes of its process are gone when it is started again,
    and include all that a process can change.
    """
    text = PLAIN.read_text()
    end = text.index("import asyncio")
    (tmp_path / "own_server.py").write_text(f"{text[:end]}import logging, os, time\n{trait}\n{text[end:]}")
    (tmp_path / "here.txt").write_text("")
    (tmp_path / "calendar.py").write_text("OWN = True")
    target = at_file(tmp_path / "own_server.py")
    if as_module:
        target = targets.whole_server("python -m own_server")
    target = replace(target, cwd=str(tmp_path))
    ((run,),) = play(SimJob(target, [Case(4, "1", SMALL)]))
    assert run.outcome is Outcome.PASSED, run.output


def test_a_database_that_another_thread_holds_is_no_failure(tmp_path: Path) -> None:
    """A transaction in two parts locks the others out for a while: only threads can wait for it."""
    does = "import sqlite3; path = os.environ['DATA_DIR'] + '/db'; "
    does += "both = [sqlite3.connect(path, check_same_thread=False) for _ in range(2)]; "
    does += "both[0].execute('BEGIN IMMEDIATE'); await asyncio.to_thread(both[1].execute, 'BEGIN IMMEDIATE')"
    run = play_with(tmp_path, does)
    receipt = next(step.receipt for step in run.steps if step.outcome is Outcome.INCONCLUSIVE)
    assert receipt is not None
    assert receipt.key == "lacking_thread"


@pytest.mark.parametrize(("does", "code"), [("string_at(0)", -11), ("CDLL(None)._exit(3)", 3)])
def test_a_server_that_ends_python_itself_has_died(tmp_path: Path, does: str, code: int) -> None:
    """Who else would end it in the middle of the server's code? That is no error of the kit, and no doubt."""
    run = play_with(tmp_path, f"import ctypes; ctypes.{does}")
    (died,) = [each for step in run.steps for each in step.anomalies if each.name == "server_died"]
    assert died.params["code"] == code


def test_a_play_that_the_system_kills_is_not_the_server_s_fault(tmp_path: Path) -> None:
    """SIGKILL is what a machine without memory sends: then there is no verdict."""
    run = play_with(tmp_path, "import ctypes; getattr(ctypes.CDLL(None), 'raise')(9)")
    assert _why_open(run) == {("crashed", "SIGKILL")}


def _why_open(run: Run) -> set[tuple[str, str]]:
    """Why no step of a run has a verdict, and the signal that ended its process."""
    assert {step.outcome for step in run.steps} == {Outcome.INCONCLUSIVE}
    receipts = [step.receipt for step in run.steps]
    return {(each.key, str(each.params["signal"])) for each in receipts if each is not None}


@pytest.mark.parametrize("seconds", ["0.1", "3"])
def test_a_server_that_blocks_is_told_with_its_line(tmp_path: Path, seconds: str) -> None:
    """A short time is allowed; where nobody is served for seconds, again and again, the play ends."""
    path = tmp_path / "plain.py"
    text = wrong_servers()["server: blocks for 3 s at each message"]
    path.write_text(text.replace("time.sleep(3)", f"time.sleep({seconds})"))
    ((run,),) = play(SimJob(at_file(path), [Case(2, "1", SMALL)]))
    told = [each.params["output"] for step in run.steps for each in step.anomalies if "output" in each.params]
    line = text[: text.index("time.sleep(3)")].count("\n") + 1
    assert told == ([f"plain.py, line {line}, in accept: time.sleep(3)"] if seconds == "3" else [])


DISARMED = {
    "import os; os.closerange(0, 5000)": "os.close",
    "import builtins; builtins.len = None": "builtins",
    "import sys; sys.modules.clear()": "sys.modules",
}
"""What takes away, from the process that plays, what it would answer by; and how that is told."""


@pytest.mark.parametrize("does", DISARMED)
def test_code_that_disarms_its_process_is_no_fault_of_the_kit(tmp_path: Path, does: str) -> None:
    """It is a finding, or there is no verdict and it is told why."""
    if DISARMED[does] == "os.close":
        assert _why_open(play_with(tmp_path, does)) == {("changed_python", DISARMED[does])}
    text = Path(targets.ROOT / "solutions/ex4_persistence/store.py").read_text(encoding="utf-8")
    text = text.replace("        return self._ids", f"        {does}\n        return self._ids")
    (tmp_path / "store.py").write_text(text)

    async def called() -> Played:
        async with ForkPool(1) as pool:
            return await pool.call(ContractJob("store", str(tmp_path / "store.py")))

    played = asyncio.run(called())
    assert not played.defect
    assert played.found or (played.lacking, played.where) == ("crash", DISARMED[does])


STUCK = {
    "9 ** 9 ** 9": "server_hung",
    "import re; re.match('(a+)+$', 'a' * 40 + 'b')": "server_hung",
    "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN); sum(range(10 ** 12))": "server_hung",
    "[bytes(1000) for _ in iter(int, 1)]": "unbounded_memory",
    "loop = asyncio.get_running_loop(); more = lambda: [loop.call_soon(more) for _ in 'ab']; more()": (
        "unbounded_memory"
    ),
}
"""What is not to be waited for, also inside of C code, where Python runs no handlers; and how it is told."""


@pytest.fixture(scope="module")
def stuck_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Run]]:
    """Two plays of each: the first, and the same case again."""

    async def all_of_them() -> list[list[Run]]:
        async with ForkPool(2) as pool:
            return list(await asyncio.gather(*(twice(pool, does) for does in STUCK)))

    async def twice(pool: ForkPool, does: str) -> list[Run]:
        path = tmp_path_factory.mktemp("stuck") / "odd.py"
        path.write_text(ECHO.replace("PLACE", does))
        target = at_file(path)
        (run,) = await pool.play(SimJob(target, [Case(1, "1", SMALL)]))
        assert run.case is not None
        return [run, await pool.recall(target, run.case, run.digest)]

    return dict(zip(STUCK, asyncio.run(all_of_them()), strict=True))


@pytest.mark.parametrize("does", STUCK)
def test_code_that_never_returns_is_told_with_its_line(stuck_runs: dict[str, list[Run]], does: str) -> None:
    """The step in which it is fails; those after it were not reached. Played again, it is the same."""
    run, again = stuck_runs[does]
    assert not run.defect
    (found,) = [each for step in run.steps for each in step.anomalies if each.name == STUCK[does]]
    assert found.params["output"].startswith("odd.py, line ")
    assert again.history
    assert again.digest == run.digest
    written = replay.of(again, at_file(Path(__file__)), found.name)
    assert written.case.until is None, "a replay file is played again when the code is right"


def test_a_file_is_not_written_without_end(tmp_path: Path) -> None:
    """Our files are in memory: a write fails that makes one larger than any play needs, as on a full disk."""
    place = "__import__('pathlib').Path(__import__('os').environ['DATA_DIR'], 'big')"
    run = play_with(tmp_path, f"big = {place}.open('wb'); big.seek(2**28); big.write(b'x'); big.flush()")
    assert "File too large" in run.causes[0].what, run.causes


def test_what_is_sent_to_be_shown_is_small() -> None:
    """All events of a play come to the process that asked, but not the megabytes of chat in them."""
    case = Case(2, "1", MODEST)
    (((lean,),), ((shown,),)) = [
        play(SimJob(targets.reference(), [case], lean=each)) for each in (True, False)
    ]
    assert (lean.history, lean.digest) == ([], shown.digest)
    assert len(shown.history) > 2000
    assert len(msgspec.json.encode(shown)) < 5_000_000


@pytest.mark.parametrize(
    "does",
    [
        "import os; os.closerange(3, 100)",
        "import faulthandler, sys; faulthandler.disable(); sys.stderr = None",
    ],
)
def test_code_that_takes_what_the_kit_uses_is_no_fault_of_the_kit(tmp_path: Path, does: str) -> None:
    """Its store is judged, whatever it closes or switches off at its first save, over all restarts."""
    text = Path(targets.ROOT / "solutions/ex4_persistence/store.py").read_text(encoding="utf-8")
    path = tmp_path / "ex4_persistence" / "store.py"
    path.parent.mkdir()
    path.write_text(
        text.replace("        fields = ", f"        {does}\n        fields = ", 1), encoding="utf-8"
    )
    target = targets.submission(tmp_path, 4, together=False)
    ((run,),) = play(SimJob(target, [Case(4, "1", SMALL)]))
    assert not run.defect
    assert run.outcome in (Outcome.PASSED, Outcome.FAILED)


def test_a_forgotten_lock_is_named(tmp_path: Path) -> None:
    """A task that waits for a lock at the end of a failed play is reported, with its line."""
    run = play_with(tmp_path, "lock = asyncio.Lock(); await lock.acquire(); await lock.acquire()")
    (note,) = [note for note in run.notes if note.key == "waits_for_lock"]
    assert note.params["where"].startswith("odd.py, line 8, in handler")


def test_a_task_with_an_unseen_exception_is_named(tmp_path: Path) -> None:
    """A task whose exception nobody retrieves is reported, with the exception and its line."""
    run = play_with(tmp_path, "ws.kept = asyncio.create_task(handler(None))")
    (cause,) = run.causes
    assert cause.what.startswith("AttributeError: 'NoneType'")
    assert cause.where == "odd.py, line 6, in handler"
    assert cause.source


def test_an_exception_is_shown(tmp_path: Path) -> None:
    """What the server prints is kept, with the traceback of its exceptions."""
    run = play_with(tmp_path, "raise ValueError('oh dear')")
    assert any("oh dear" in line for line in run.output)
    assert any("odd.py" in line for line in run.output)


_SYNC = "    os.fsync(journal.fileno())\n"


@pytest.mark.parametrize(
    ("sync", "is_noted"),
    [
        (_SYNC, False),
        ("    os.fsync(journal)\n", False),
        ("    os.fdatasync(journal.fileno())\n", False),
        ("", True),
        ("    os.fsync(journal.fileno()) if message['sequence'] == 1 else None\n", True),
    ],
)
def test_what_was_not_synced_is_noted(tmp_path: Path, sync: str, is_noted: bool) -> None:
    """A power cut would lose it, and SIGKILL does not, so it costs nothing."""
    path = tmp_path / "journal.py"
    path.write_text(JOURNAL.replace(_SYNC, sync))
    ((run,),) = play(SimJob(at_file(path), [Case(4, "1", SMALL)]))
    assert run.outcome is Outcome.PASSED, failed_steps(run)
    notes = [note.params for step in run.steps for note in step.notes if note.key == "not_synced"]
    assert [note["file"] for note in notes] == ["journal"] * is_noted


def test_what_is_opened_to_be_synced_is_synced(tmp_path: Path) -> None:
    """O_DSYNC does with each write what fsync does."""
    path = tmp_path / "journal.py"
    opened = (
        "os.fdopen(os.open(DATA_DIR / 'journal', os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_DSYNC), 'a+b')"
    )
    text = JOURNAL.replace(_SYNC, "").replace('open(DATA_DIR / "journal", "a+b")', opened)
    assert opened in text
    path.write_text(text)
    ((run,),) = play(SimJob(at_file(path), [Case(4, "1", SMALL)]))
    assert run.outcome is Outcome.PASSED, failed_steps(run)
    assert [note for step in run.steps for note in step.notes if note.key == "not_synced"] == []


# --- processes ----------------------------------------------------------------------------------------


def test_sigterm_during_warm_up_is_not_lost() -> None:
    """SIGTERM in the middle of the first play, which catches its exception, is not forgotten."""
    code = """
import os, signal
from harness.running import forks

def simulate(*_):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        sum(range(1000))  # the handler runs somewhere here
    except SystemExit:
        pass

forks.simulate = simulate
forks.main()
"""
    job = packed(msgspec.json.encode([1, SimJob(targets.reference(), [Case(1, "1")])]))
    done = subprocess.run([sys.executable, "-c", code, "1"], input=job, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (143, b"", b"")


def test_sigterm_during_a_fork_is_not_lost() -> None:
    """Around a fork Python drops what a signal handler raises; the signal counts all the same."""
    code = """
import os, signal
from harness.running import forks
os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGTERM))
forks.main()
"""
    job = packed(msgspec.json.encode([1, SimJob(targets.reference(), [Case(1, "1")])]))
    done = subprocess.run([sys.executable, "-c", code, "1"], input=job, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (143, b"", b"")


@pytest.fixture
def stuck_forever(tmp_path: Path) -> Path:
    """A server that takes long, in its own folder."""
    path = tmp_path / "slow.py"
    path.write_text(ECHO.replace("PLACE", "while True: pass"))
    return path


def test_leaving_a_nursery_ends_its_processes(stuck_forever: Path) -> None:
    """An interrupt while plays are running leaves no process behind."""
    import psutil

    async def begin_and_leave() -> None:
        async with ForkPool(2) as pool:
            playing = asyncio.ensure_future(pool.play(SimJob(at_file(stuck_forever), [Case(1, "1")])))
            async with asyncio.timeout(60):
                while len(psutil.Process(pool.pid).children()) == 0:
                    await asyncio.sleep(0.01)
            playing.cancel()
            raise KeyboardInterrupt

    before = {process.pid for process in psutil.Process().children(recursive=True)}
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(begin_and_leave())
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert left == []


def test_the_commands_of_servers_that_can_be_simulated() -> None:
    """Python programs can, by file or module; others cannot."""
    assert targets.python_program((sys.executable, "-P", "-m", "lab", "--log-level", "info")) == [
        "-m",
        "lab",
        "--log-level",
        "info",
    ]
    assert targets.python_program(tuple(shlex.split("python3.12 -u server.py 8080"))) == ["server.py", "8080"]
    for other in ("node server.js", "python", "python -c print(1)", "./server"):
        assert targets.python_program(tuple(other.split())) is None

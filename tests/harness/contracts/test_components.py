"""Components that are called directly: right ones keep their contract, and each way to break it is found."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import msgspec
import psutil
import pytest

from harness.checkers.catalogue import CATALOGUE, INTERFACES
from harness.contracts.result import Played
from harness.contracts.running import (
    CONTRACTS,
    Subject,
    contract_of,
    play_contract,
    play_in_real_time,
    play_in_virtual_time,
)
from harness.history.events import Called
from harness.judged.environment import of_server
from harness.judged.targets import find_folder
from harness.reports.calls import lines_of
from harness.running.fork_pool import ContractJob, ForkPool
from harness.verdict.steps import BREAKABLE, COMPONENTS, EXERCISES
from harness.zoo.animals import ANIMALS
from lab.loader import INTERFACES as CLASSES

SOLUTIONS = {
    component: str(find_folder("solutions") / EXERCISES[number] / f"{component}.py")
    for number, component in COMPONENTS.items()
}
STUBS = {
    component: str(find_folder("exercises") / EXERCISES[number] / f"{component}.py")
    for number, component in COMPONENTS.items()
}
REFERENCE = {component: f"lab/{component}.py" for component in CONTRACTS}
ALIKE = Path(__file__).parents[2] / "components"
"""Right components in other styles: one folder for each component."""
RIGHT = sorted(ALIKE.glob("*/*.py"))
_IN_THREAD = "await asyncio.get_running_loop().run_in_executor(self._writer, self._append, lines.encode())"
"""How the model answer of exercise 4 writes."""
WRONG = [animal for animal in ANIMALS.values() if animal.component and animal.source]
"""That each is found by direct calls, `tests/kit/test_zoo.py` sees where it plays them."""

Directly = Callable[[str, str | Path], Played]


def played(component: str, where: str | Path, seed: str = "") -> Played:
    """The result of a contract, played in this process. The kit itself must not fail."""
    with tempfile.TemporaryDirectory() as folder:
        found = play_contract(component, str(where), Path(folder), seed)
    assert not found.defect, found.defect
    return found


@pytest.fixture(scope="module")
def pool() -> Iterator[tuple[asyncio.Runner, ForkPool]]:
    """Processes for all plays of a worker, and the loop that they are used in."""
    with asyncio.Runner() as runner:
        pool = ForkPool(1)
        runner.run(pool.__aenter__())
        yield runner, pool
        runner.run(pool.__aexit__(None, None, None))


@pytest.fixture
def directly(pool: tuple[asyncio.Runner, ForkPool]) -> Directly:
    """Plays a contract in a process of its own, as a check does; afterwards, that process has ended."""
    runner, processes = pool

    def call(component: str, where: str | Path) -> Played:
        found = runner.run(processes.call(ContractJob(component, str(where), of_server({}))))
        _, alive = psutil.wait_procs(psutil.Process(processes.pid).children(recursive=True), timeout=30)
        assert not alive
        return found

    return call


def changed(path: str | Path, was: str, now: str, folder: Path) -> str:
    """A copy of a component, with one part of it replaced."""
    text = Path(path).read_text(encoding="utf-8")
    assert was in text
    copy = folder / Path(path).name
    copy.write_text(text.replace(was, now), encoding="utf-8")
    return str(copy)


def breaches_in(found: Played) -> list[str]:
    """The breaches, in short."""
    return [f"{each.step} {each.name}/{each.variant} {each.params}" for each in found.found]


# --- right components ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", ["", "1", "2"])
@pytest.mark.parametrize("component", CONTRACTS)
def test_the_model_answers_keep_their_contracts(component: str, seed: str) -> None:
    """With every seed, and without notes."""
    found = played(component, SOLUTIONS[component], seed)
    assert breaches_in(found) == []
    assert found.notes == []
    assert found.lacking == ""
    assert found.plays > 40


@pytest.mark.parametrize("component", CONTRACTS)
def test_the_reference_components_keep_their_contracts(component: str) -> None:
    """The components of the reference server do, too."""
    found = played(component, find_folder("solutions").parent / REFERENCE[component])
    assert breaches_in(found) == []
    assert found.notes == []


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_right_code_in_another_style_keeps_its_contract(path: Path, directly: Directly) -> None:
    """Whatever data structures, locks, files or threads it uses."""
    found = directly(path.parent.name, str(path))
    assert found.defect == found.problem == found.lacking == ""
    assert breaches_in(found) == []


@pytest.mark.parametrize("component", CONTRACTS)
def test_right_code_keeps_its_contract_in_real_time(component: str, tmp_path: Path) -> None:
    """Where a component cannot be simulated, the same plan is played on an ordinary loop."""
    found = play_in_real_time(Subject(component, SOLUTIONS[component], tmp_path))
    assert found.defect == ""
    assert breaches_in(found) == []
    assert found.plays > 5


# --- wrong components ---------------------------------------------------------------------------------


def test_the_last_of_several_connections_says_when_its_user_was_seen(tmp_path: Path) -> None:
    """Where all fall silent at once, the order in which they are forgotten makes no difference."""
    reference = find_folder("solutions").parent / REFERENCE["presence"]
    ordered = "sorted(self._connections.items(), key=lambda each: each[1].seen)"
    path = changed(reference, ordered, "list(self._connections.items())", tmp_path)
    (breach,) = played("presence", path).found
    assert (breach.step, breach.name, breach.variant) == ("3.4", "wrong_last_seen", "earlier")


@pytest.mark.parametrize("component", CONTRACTS)
def test_a_stub_breaks_what_its_exercise_is_about(component: str) -> None:
    """No stub keeps its contract as it is handed out."""
    assert breaches_in(played(component, STUBS[component]))


def test_every_anomaly_of_a_contract_has_an_animal() -> None:
    """Each anomaly that only direct calls can show is shown by a component in the zoo."""
    owed = {name for name, kind in CATALOGUE.items() if kind.rule == INTERFACES}
    assert {animal.anomaly for animal in WRONG} == owed


def test_a_breach_is_shown_by_its_smallest_calls(tmp_path: Path) -> None:
    """Subscribed twice, published once: three calls, and what the member received."""
    once = "        if member not in members:\n            members"
    path = changed(SOLUTIONS["pubsub"], once, "        members", tmp_path)
    found = {each.step: each for each in played("pubsub", path).found}["1.4"]
    assert (found.name, found.variant, found.params["got"]) == ("wrong_delivery", "twice", 2)
    lines = [(line.depth, line.what) for line in lines_of(list(found.events))]
    room, who, frame = found.params["room"], found.params["who"], found.params["frame"]
    assert lines == [
        (0, f'subscribe("{room}", {who})'),
        (0, f'subscribe("{room}", {who})'),
        (0, f'publish("{room}", {frame})'),
        (1, f"{who}.send({frame})"),
        (1, f"{who}.send({frame})"),
    ]


# --- the same each time -------------------------------------------------------------------------------


@pytest.mark.parametrize("component", CONTRACTS)
def test_plans_grow(component: str) -> None:
    """The first plans are the smallest; a plan depends on its seed only, and can be written down."""
    contract = contract_of(component)
    small, large = contract.SIZES[0], contract.SIZES[-1]
    assert len(contract.plan(Random("1"), small).acts) < len(contract.plan(Random("1"), large).acts)
    assert contract.plan(Random("1"), large) == contract.plan(Random("1"), large)
    assert set(contract.STEPS.values()) <= set(BREAKABLE[component])


@pytest.mark.parametrize("component", CONTRACTS)
def test_the_same_code_has_the_same_result(component: str, tmp_path: Path, directly: Directly) -> None:
    """Also in another process with other hashes: the calls are the same, one by one."""
    here = directly(component, STUBS[component])
    code = (
        "import sys, msgspec; from pathlib import Path; from harness.contracts.running import play_contract;"
        f"found = play_contract({component!r}, {STUBS[component]!r}, Path({str(tmp_path)!r}));"
        "sys.stdout.buffer.write(msgspec.json.encode(found))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=True,
    )
    there = msgspec.json.decode(done.stdout, type=Played)
    assert there.found == here.found
    assert (there.plays, there.calls) == (here.plays, here.calls)


# --- what components do to their process --------------------------------------------------------------


def _pubsub_with(tmp_path: Path, line: str) -> str:
    """The model answer, with some code added at the beginning of `publish`."""
    loop = "        for member in self.members(room):"
    return changed(SOLUTIONS["pubsub"], loop, f"        {line}\n{loop}", tmp_path)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("while True: pass", "call_hangs"),
        ("9 ** 9 ** 9", "call_hangs"),
        ("[bytes(1000) for _ in iter(int, 1)]", "call_hangs"),
        ("[member.send(frame) for member in self.members(room) for _ in iter(int, 1)]", "call_hangs"),
        ("import time; time.sleep(1.5)", "call_blocks"),
        ("from time import sleep; [sleep(0.2) for _ in range(6)]", "call_blocks"),
        ("import os; os._exit(3)", "call_ends"),
        ("import sys; sys.exit()", "call_raised"),
        ("raise ValueError('no')", "call_raised"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "call_ends"),
    ],
)
def test_a_component_that_does_not_return(line: str, name: str, tmp_path: Path, directly: Directly) -> None:
    """It fails the step of the method that hung, and nothing else; its process has ended."""
    found = directly("pubsub", _pubsub_with(tmp_path, line))
    assert [(each.step, each.name) for each in found.found] == [("1.4", name)]
    assert min(found.plays, found.calls) > 0, "the play that it was stuck in counts, too"


_LIVES_ON = "(open({seen!r}, 'a').write(f'{{os.getpid()}} '), time.sleep(1000))"


@pytest.mark.parametrize(
    ("does", "breaches"),
    [
        ("os.fork()", set()),
        (f"os.fork() or {_LIVES_ON}", {"call_hangs/processes"}),
        (f"os.fork() or (os.closerange(3, 5000), {_LIVES_ON})", {"call_hangs/processes"}),
    ],
    ids=["goes on", "sleeps", "sleeps apart"],
)
def test_copies_of_its_process_neither_answer_nor_live_on(
    does: str, breaches: set[str], tmp_path: Path, directly: Directly
) -> None:
    """Whatever they do: the verdict is that of the first, unless too many live, and none is left."""
    seen = tmp_path / "seen"
    seen.touch()
    found = directly("pubsub", _pubsub_with(tmp_path, f"import os, time; {does.format(seen=str(seen))}"))
    assert found.defect == ""
    assert found.lacking in ("", "crash" if breaches else "")
    assert {f"{each.name}/{each.variant}" for each in found.found} <= breaches
    deadline = time.monotonic() + 30
    for pid in map(int, seen.read_text().split()):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, pid
            time.sleep(0.01)


def test_a_call_that_blocks_says_where_and_for_how_long(tmp_path: Path) -> None:
    """The smallest call that does so; in real time by the seconds that were asked for, on any machine."""
    sleeps = "import threading, time; threading.Thread; time.sleep(1.5)"
    where = "pubsub.py, line 34, in publish: import threading, time; threading.Thread; time.sleep(1.5)"
    path = _pubsub_with(tmp_path, sleeps)
    for play in (play_in_virtual_time, play_in_real_time):
        (found,) = play(Subject("pubsub", path, tmp_path)).found
        assert (found.step, found.name, found.duty) == ("1.4", "call_blocks", "PubSub.publish")
        assert (found.params["where"], found.params["seconds"]) == (where, 1.5)
        assert [event.what.partition("(")[0] for event in found.events] == ["publish"]


def test_short_pauses_are_noted(tmp_path: Path, directly: Directly) -> None:
    """They are no breach, but whoever waits meanwhile would like to know: where, and once."""
    found = directly("pubsub", _pubsub_with(tmp_path, "import time; time.sleep(0.5)"))
    assert found.found == []
    where = "pubsub.py, line 34, in publish: import time; time.sleep(0.5)"
    assert found.notes == [("sleeps", {"where": where})]


def test_pauses_of_our_own_are_no_ones(tmp_path: Path) -> None:
    """We let threads run after each write of a store: that is no `time.sleep` of the code that writes."""
    path = changed(SOLUTIONS["store"], _IN_THREAD, "self._append(lines.encode())", tmp_path)
    found = play_in_real_time(Subject("store", path, tmp_path))
    assert (found.found, found.notes) == ([], [])


@pytest.mark.parametrize("does", ["get_running_loop().stop()", "current_task().cancel()"])
def test_a_component_that_ends_what_it_runs_in(does: str, tmp_path: Path, directly: Directly) -> None:
    """That is the component's doing, and no fault of the kit."""
    line = f"import asyncio; asyncio.{does}"
    found = directly("pubsub", _pubsub_with(tmp_path, line))
    assert not found.defect
    assert ("1.4", "call_ends", "loop") in {(each.step, each.name, each.variant) for each in found.found}


@pytest.mark.parametrize("component", CONTRACTS)
def test_a_constructor_that_raises(component: str, tmp_path: Path, directly: Directly) -> None:
    """It is reported like any other call, with its line; the kit itself does not fail."""
    text = Path(SOLUTIONS[component]).read_text(encoding="utf-8")
    name = CLASSES[component].__name__
    path = tmp_path / f"{component}.py"
    changed = f"\n\ndef broken(self, *args):\n    raise RuntimeError('no')\n\n\n{name}.__init__ = broken\n"
    path.write_text(text + changed, encoding="utf-8")
    found = directly(component, str(path))
    assert found.defect == ""
    assert [each.name for each in found.found] == ["call_raised"]
    assert "in broken" in found.found[0].params["where"]


@pytest.mark.parametrize("method", ["newest", "last", "find"])
def test_a_question_that_is_never_answered(method: str, tmp_path: Path, directly: Directly) -> None:
    """It is found in virtual time, with its line, also where the contract waits for nothing else."""
    lines = Path(SOLUTIONS["store"]).read_text(encoding="utf-8").splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if f"async def {method}(" in line) + 2
    path = tmp_path / "store.py"
    path.write_text(
        "".join([*lines[:at], "        await asyncio.Event().wait()\n", *lines[at:]]), encoding="utf-8"
    )
    found = directly("store", path)
    assert (found.defect, found.lacking) == ("", "")
    ((name, where),) = [(each.name, each.params["where"]) for each in found.found]
    assert (name, where.partition(":")[0]) == ("call_hangs", f"store.py, line {at + 1}, in {method}")


def test_what_a_component_prints_is_kept_apart(tmp_path: Path, directly: Directly) -> None:
    """It does not mix with the text of the result."""
    line = "import os, sys; os.write(1, b'bytes'); print('hello'); sys.stdout.flush()"
    found = directly("pubsub", _pubsub_with(tmp_path, line))
    assert breaches_in(found) == []
    assert found.output[-1] == "byteshello"


@pytest.mark.parametrize("text", ["x = (", "import no_such_module", "from lab.pubsub import PubSub", "x = 1"])
def test_an_unusable_component_is_reported_once(text: str, tmp_path: Path, directly: Directly) -> None:
    """The server reports it when it is started: the contract adds nothing."""
    path = tmp_path / "pubsub.py"
    path.write_text(text, encoding="utf-8")
    found = directly("pubsub", str(path))
    assert found.problem
    assert found.found == []
    assert found.defect == ""


def test_threads_are_played_in_real_time(tmp_path: Path, directly: Directly) -> None:
    """A store with threads of its own is judged by all of its contract, too."""
    own = "await asyncio.wrap_future(self._writer.submit(self._append, lines.encode()))"
    found = directly("store", changed(SOLUTIONS["store"], _IN_THREAD, own, tmp_path))
    assert (found.lacking, breaches_in(found)) == ("", [])
    assert found.plays > 10
    path = changed(SOLUTIONS["store"], _IN_THREAD, own.removeprefix("await "), tmp_path)
    assert [each.step for each in directly("store", path).found][:1] == ["4.3"]


def test_a_save_that_never_returns_on_a_full_disk_is_noted(tmp_path: Path, directly: Directly) -> None:
    """A save may raise there, and must not return. If it does neither, that is noted and costs nothing."""
    save = f"        {_IN_THREAD}\n"
    hangs = f"        try:\n    {save}        except OSError:\n            await asyncio.Event().wait()\n"
    found = directly("store", changed(SOLUTIONS["store"], save, hangs, tmp_path))
    assert (breaches_in(found), [key for key, _ in found.notes]) == ([], ["save_hangs"])


@pytest.mark.parametrize("component", CONTRACTS)
def test_rare_actions_are_always_played(component: str) -> None:
    """Whatever the seed, each kind of action is played; what is always played is played to its end."""
    contract = contract_of(component)
    plans = [
        contract.plan(Random(f"/{size}/{n}"), size) for size in contract.SIZES for n in range(contract.PLAYS)
    ]
    kinds = {act.what for plan in [*plans, *contract.ALWAYS] for act in plan.acts}
    assert "another" in kinds
    assert {"full", "found", "skip", "long", "close"} <= kinds or component != "store"
    assert {"slow", "refuse", "restart", "ask", "join"} <= kinds or component != "sequencer"
    assert played(component, SOLUTIONS[component]).plays == len(plans) + len(contract.ALWAYS)


def test_a_variable_of_the_module_does_not_survive_a_restart(tmp_path: Path) -> None:
    """A counter in the module, or in the class, starts anew with the next instance, as in a new process."""
    text = Path(SOLUTIONS["sequencer"]).read_text(encoding="utf-8")
    last = "await self._store.last(draft.room) + 1"
    assert last in text
    path = tmp_path / "sequencer.py"
    path.write_text(
        text.replace(last, "_next(draft.room)")
        + "\n\n_numbers: dict[str, int] = {}\n\n\ndef _next(room: str) -> int:\n"
        "    _numbers[room] = _numbers.get(room, 0) + 1\n    return _numbers[room]\n",
        encoding="utf-8",
    )
    found = {each.step: each for each in played("sequencer", path).found}
    assert (found["2.2"].name, found["2.2"].variant) == ("wrong_number", "restart")


# --- how calls are shown ------------------------------------------------------------------------------


def test_a_call_that_ends_at_once_is_one_line() -> None:
    """What happens in between is shown between the call and its end."""
    calls = [
        Called(0.0, 1, "accept#1", 'store.last("red")'),
        Called(0.1, 1, "accept#1", 'store.last("red")', "0"),
        Called(0.2, 2, "accept#1", "store.save([#1])"),
        Called(0.3, 3, "accept#2", 'store.last("red")'),
        Called(0.4, 3, "accept#2", 'store.last("red")', "0"),
        Called(0.5, 2, "accept#1", "store.save([#1])", "done"),
    ]
    assert [(line.who, line.what) for line in lines_of(list(calls))] == [
        ("accept#1", 'store.last("red") → 0'),
        ("accept#1", "store.save([#1])"),
        ("accept#2", 'store.last("red") → 0'),
        ("accept#1", "store.save([#1]) → done"),
    ]


def test_what_a_nested_call_calls_is_one_level_deeper(tmp_path: Path) -> None:
    """A member that unsubscribes while it is sent a frame does so inside of its own `send`."""
    copied, itself = "for member in self.members(room):", "for member in self._rooms.get(room, {}):"
    path = changed(SOLUTIONS["pubsub"], copied, itself, tmp_path)
    found = next(each for each in played("pubsub", path).found if each.step == "1.4")
    depths = {line.what.partition("(")[0]: line.depth for line in lines_of(list(found.events))}
    (sender,) = {name for name in depths if name.endswith(".send")}
    (changes,) = {line.depth for line in lines_of(list(found.events))[-2:] if "subscribe" in line.what}
    assert (depths["publish"], depths[sender], changes) == (0, 1, 2)


# --- odd answers --------------------------------------------------------------------------------------

_ODD_ANSWERS = '''
import sys
import tempfile
from pathlib import Path
from harness.contracts import running
from lab.loader import INTERFACES
component, answer, path = sys.argv[1:]
text, cls = Path(answer).read_text(encoding="utf-8"), INTERFACES[component].__name__
contract = running.contract_of(component)
contract.SIZES, contract.PLAYS, running.MOST_TRIES = range(2, 8, 2), 4, 0
running.MORE_SECONDS = 0.05
odd_ones = """
def numbered(number):
    from lab.protocol import Message
    return Message("i", "room", "user", "content", number, 1)


class Worse(Exception):
    def __str__(self):
        raise ValueError
    __repr__ = __str__


def raises():
    raise Worse


"""
values = "None", "5", "'text'", "[None]", "{}", "object()", "float('nan')", "[[]]", "True"
hostile = "numbered([[]])", "[numbered([[]]), numbered(10**5000)]", "raises()"
for method in contract.STEPS:
    for odd in (*values, *hostile):
        if method != cls:
            kind = "async def" if f"async def {method}(" in text else "def"
            odd_method = f"{odd_ones}{kind} odd(self, *args):\\n    return {odd}\\n\\n\\n"
            changed = f"{text}\\n\\n{odd_method}{cls}.{method} = odd\\n"
            Path(path).write_text(changed, encoding="utf-8")
            found = running.play_contract(component, path, Path(path).parent)
            assert found.defect == "", (method, odd, found.defect)
'''


@pytest.mark.parametrize("component", CONTRACTS)
def test_any_answer_can_be_judged(component: str, tmp_path: Path) -> None:
    """Whatever a method returns, the kit itself does not fail."""
    words = [component, SOLUTIONS[component], str(tmp_path / f"{component}.py")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ODD_ANSWERS, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("given", ["[None]", "message", "None"])
def test_what_is_no_message_is_not_saved(given: str, tmp_path: Path) -> None:
    """The store that a sequencer is tested with raises, in the call that saved it."""
    path = changed(SOLUTIONS["sequencer"], "save([message])", f"save({given})", tmp_path)
    found = {each.step: each for each in played("sequencer", path).found}
    assert found["2.1"].name == "call_raised"
    assert "takes a list of messages" in found["2.1"].params["error"]

"""Components in TypeScript that are called directly: right ones keep their contract, wrong ones are found."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from msgspec import Struct

from harness.checkers.catalogue import CATALOGUE
from harness.contracts import node, running
from harness.contracts.result import Played
from harness.contracts.running import CONTRACTS, contract_of, play_contract
from harness.judged.targets import find_folder
from harness.typescript.build import SOLUTIONS
from harness.typescript.components import COMPONENTS
from harness.typescript.tools import PROJECT
from harness.verdict.steps import BREAKABLE
from tests.extras import needs_node

pytestmark = pytest.mark.xdist_group("node")  # on one worker, where all of it is compiled once


class Mutant(Struct, frozen=True):
    """A wrong component: the parts of the model answer that are replaced, and by what."""

    component: str
    name: str
    parts: list[tuple[str, str]]


MUTANTS = msgspec.toml.decode(
    Path(__file__).with_name("typescript_mutants.toml").read_bytes(), type=dict[str, list[Mutant]]
)["mutant"]
STUBS = find_folder("exercises") / "typescript" / "src"
ALIKE = Path(__file__).parents[2] / "components_typescript"
"""Right components in other styles: a folder for each component, in `helpers` what they import."""
RIGHT = sorted(ALIKE.glob("*/*.ts"))
FEW = {"pubsub": 6, "sequencer": 3, "presence": 4, "store": 1}
"""Plays of each size for these, so that all of them together take little time."""
LARGE = 5000
"""Bytes of a plan that is left out for the same reason."""
_OTHERS = {
    "process_exit": ("pubsub", "process.exit(3);"),
    "endless": ("pubsub", "for (;;) {}"),
    "heap": ("pubsub", "const all: number[][] = []; for (;;) all.push(new Array(100_000).fill(all.length));"),
    "kills_itself": ("pubsub", "process.kill(process.pid, 'SIGKILL');"),
    "throws_text": ("pubsub", "throw 'no error';"),
    "in_a_thread": ("sequencer", "await inAThread();"),
}
"""By name: a component, and what its first method begins with."""
_WITH_A_THREAD = """
import { Worker } from "node:worker_threads";

const code = 'require("worker_threads").parentPort.on("message", function () { this.postMessage(1); });';
const worker = new Worker(code, { eval: true });
const inAThread = () => new Promise((resolve) => worker.once("message", resolve).postMessage(1));
"""


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all mutants, the model answers and the stubs, compiled in one go."""
    tools = needs_node()
    folder = tmp_path_factory.mktemp("compiled")
    for name in ("package.json", "tsconfig.json"):
        shutil.copy(PROJECT / name, folder / name)
    (folder / "node_modules").symlink_to(tools.packages)
    for mutant in MUTANTS:
        _write(folder, _folder_of(mutant), mutant.component, _changed(mutant))
    for name, (component, begin) in _OTHERS.items():
        text = _model(component).replace(
            "member: types.Member): void {", f"member: types.Member): void {{ {begin}", 1
        )
        if name == "in_a_thread":
            text = _WITH_A_THREAD + text.replace("const { room, user", f"{begin} const {{ room, user", 1)
        _write(folder, name, component, text)
    for path in RIGHT:
        _write(folder, f"right-{path.stem}", path.parent.name, path.read_text(encoding="utf-8"))
        for helper in path.parent.glob("helpers/*.ts"):
            shutil.copy(helper, folder / "src" / f"right-{path.stem}" / helper.name)
    for component in CONTRACTS:
        _write(folder, f"model-{component}", component, _model(component))
        stub = (STUBS / COMPONENTS[component].file).read_text(encoding="utf-8")
        _write(folder, f"stub-{component}", component, stub)
    words = [*tools.compiler, "--project", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return folder / "dist"


def _model(component: str) -> str:
    return (SOLUTIONS / COMPONENTS[component].file).read_text(encoding="utf-8")


def _changed(mutant: Mutant) -> str:
    text = _model(mutant.component)
    for was, now in mutant.parts:
        assert was in text, f"{mutant.component}, {mutant.name}: the model answer has no {was!r}"
        text = text.replace(was, now)
    return text


def _folder_of(mutant: Mutant) -> str:
    return f"{mutant.component}-{mutant.name}"


def _write(folder: Path, name: str, component: str, text: str) -> None:
    place = folder / "src" / name
    place.mkdir(parents=True)
    shutil.copy(PROJECT / "src" / "types.ts", place / "types.ts")
    (place / COMPONENTS[component].file).write_text(text, encoding="utf-8")


def _played(compiled: Path, name: str, component: str, folder: Path, seed: str = "") -> Played:
    module = compiled / name / f"{COMPONENTS[component].module}.js"
    found = play_contract(component, str(module), folder, seed)
    assert not found.defect, found.defect
    return found


@pytest.mark.parametrize("component", CONTRACTS)
def test_model_answers_keep_their_contract(compiled: Path, component: str, tmp_path: Path) -> None:
    """A right component in TypeScript passes all plans, without a note."""
    played = _played(compiled, f"model-{component}", component, tmp_path)
    assert (played.found, played.notes, played.lacking, played.problem) == ([], [], "", "")
    assert played.plays >= 50


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_right_code_in_another_style_keeps_its_contract(
    compiled: Path, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever data structures, locks, files, streams or timers it uses; without a note."""
    component = path.parent.name
    contract = contract_of(component)
    small = [plan for plan in contract.ALWAYS if len(msgspec.json.encode(plan)) < LARGE]
    monkeypatch.setattr(contract, "ALWAYS", small)
    monkeypatch.setattr(contract, "PLAYS", FEW[component])
    played = _played(compiled, f"right-{path.stem}", component, tmp_path)
    assert (played.found, played.notes, played.lacking, played.problem) == ([], [], "", "")


def test_files_and_timers_are_as_in_node(tmp_path: Path) -> None:
    """What a component is given instead of Node's own modules returns, throws and tells the same."""
    here = Path(__file__).with_name("node_fidelity.mjs")
    words = ["node", "--no-warnings", str(here), str(tmp_path), f"{Path(node.__file__).parent.as_uri()}/"]
    needs_node()
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    of_node, ours = json.loads(done.stdout)
    assert [each for each in of_node if each not in ours] == []
    assert of_node == ours
    assert len(ours) > 60


@pytest.mark.parametrize("component", CONTRACTS)
def test_stubs_break_every_step(compiled: Path, component: str, tmp_path: Path) -> None:
    """A stub fails, and in steps of its own exercise only."""
    played = _played(compiled, f"stub-{component}", component, tmp_path)
    steps = {each.step for each in played.found}
    assert steps
    assert steps <= set(BREAKABLE[component])


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(each, id=_folder_of(each), marks=[] if number % 4 == 0 else pytest.mark.thorough)
        for number, each in enumerate(MUTANTS)
    ],
)
def test_mutants_are_found(
    compiled: Path, mutant: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way in which a model answer can be wrong breaks a step of its exercise; one of four at once."""
    monkeypatch.setattr(running, "MORE_SECONDS", 0.0)  # one breach is enough
    contract = contract_of(mutant.component)
    monkeypatch.setattr(contract, "PLAYS", contract.PLAYS // 3)
    (found, *_) = _played(compiled, _folder_of(mutant), mutant.component, tmp_path).found
    assert found.name in CATALOGUE
    assert found.step in BREAKABLE[mutant.component]


def test_ten_mutants_of_each_component() -> None:
    """There are at least ten of each, and no two of one name."""
    names = [_folder_of(each) for each in MUTANTS]
    assert len(set(names)) == len(names)
    for component in CONTRACTS:
        assert sum(each.component == component for each in MUTANTS) >= 10


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("process_exit", ("call_ends", "")),
        ("endless", ("call_hangs", "")),
        ("heap", ("call_hangs", "memory")),
        ("kills_itself", ("call_ends", "")),
        ("throws_text", ("call_raised", "")),
    ],
)
def test_what_ends_the_process_is_told(
    compiled: Path, name: str, found: tuple[str, str], tmp_path: Path
) -> None:
    """What ends the process, fills its memory, never returns or throws no Error is found, with its line."""
    (breach, *_) = _played(compiled, name, _OTHERS[name][0], tmp_path).found
    assert (breach.name, breach.variant) == found
    if name in ("process_exit", "endless", "kills_itself"):
        assert str(breach.params["where"]).startswith("pub-sub.ts, line ")


def test_what_reaches_beyond_the_process_is_left_open(compiled: Path, tmp_path: Path) -> None:
    """A thread of its own is not simulated: nothing is held against it, and the report says so."""
    played = _played(compiled, "in_a_thread", "sequencer", tmp_path)
    assert (played.lacking, played.where, played.found) == ("process", "node:worker_threads", [])


@pytest.mark.parametrize("component", ["sequencer", "store"])
def test_the_same_seed_gives_the_same_plays(
    compiled: Path, component: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong component breaks the same steps by the same calls each time, however fast the machine is."""
    for name, seconds in (("MORE_SECONDS", 100.0), ("MOST_SECONDS", 100.0)):
        monkeypatch.setattr(running, name, seconds)
    monkeypatch.setattr(contract_of(component), "PLAYS", 2)
    monkeypatch.setattr(contract_of(component), "ALWAYS", [])
    name = next(_folder_of(each) for each in MUTANTS if each.component == component)
    first, second = (_played(compiled, name, component, tmp_path, "7") for _ in range(2))
    assert first.found
    assert (first.plays, first.calls) == (second.plays, second.calls)
    assert [each.events for each in first.found] == [each.events for each in second.found]

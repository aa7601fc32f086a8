"""How long a check takes on wrong code, how much memory, and what it says first.

    python -m tests.wrong_code [--world live|sim] [--of animals|mutants|stubs] [--every N] [--jobs N]
                               [--most SECONDS] [--json FILE] [WORD ...]

Each case is played by `chatlab check` in a process and a folder of its own, as a student types it. The cases
are those of cases.toml, or the animals of the zoo, the mutants of the model answers (which need mutmut), or
the stubs; with words, only those whose names contain one of them, and of these each Nth.
Exit codes: 0 if no case exceeds the budgets below, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from harness.judged.targets import find_folder
from harness.verdict.steps import COMPONENTS, EXERCISES
from harness.zoo.animals import ANIMALS
from tests.wrong_code.cases import components, servers
from tests.wrong_code.measured import CHATLAB, play

SECONDS = {"live": 30.0, "sim": 10.0}
"""Seconds that an exercise may take, with its small scene."""
MEBIBYTES = 500
"""Memory that all processes of a check may have together."""
_VERDICTS = (0, 1, 2)


@dataclass
class Case:
    """What is judged: a name, the exercise, its files by their paths, and the options that name it."""

    name: str
    exercise: int
    files: dict[str, str]
    options: list[str]


@dataclass
class Measured:
    """What came of it. `says` is the title of the first finding."""

    name: str
    world: str
    exit: int | None
    seconds: float
    mebibytes: int
    outcome: str
    says: str


def cases() -> Iterator[Case]:
    """All wrong components, each in its exercise, and all wrong servers, in exercise 2."""
    of = {component: number for number, component in COMPONENTS.items()}
    for name, (component, text) in components().items():
        path = f"it/{EXERCISES[of[component]]}/{component}.py"
        yield Case(name, of[component], {path: text}, ["--submission", "it"])
    for name, text in servers().items():
        yield Case(name, 2, {"server.py": text}, ["--server", "python3 server.py"])


def animal_cases() -> Iterator[Case]:
    """The animals of the zoo, each in its exercise."""
    for animal in (each for each in ANIMALS.values() if not each.file):
        if animal.component:
            path = f"it/{EXERCISES[animal.exercise]}/{animal.component}.py"
            yield Case(animal.name, animal.exercise, {path: animal.source}, ["--submission", "it"])
        else:
            server = f"{sys.executable} -P -m harness.zoo {animal.name}"
            yield Case(animal.name, animal.exercise, {}, ["--server", server])


def stub_cases() -> Iterator[Case]:
    """The exercises as they are given out."""
    for number, component in COMPONENTS.items():
        path = f"{EXERCISES[number]}/{component}.py"
        text = (find_folder("exercises") / path).read_text(encoding="utf-8")
        yield Case(component, number, {f"it/{path}": text}, ["--submission", "it"])


def mutant_cases() -> Iterator[Case]:
    """Each small change of a model answer, and each that leaves a statement out."""
    from tests.mutation.components import mutants_of

    for number, component in COMPONENTS.items():
        path = f"{EXERCISES[number]}/{component}.py"
        for count, mutant in enumerate(mutants_of(f"solutions/{path}"), start=1):
            name = f"{component} {count}: {mutant.now or 'without ' + mutant.was}"
            yield Case(name[:50], number, {f"it/{path}": mutant.text}, ["--submission", "it"])


CASES = {"": cases, "animals": animal_cases, "mutants": mutant_cases, "stubs": stub_cases}


def measure(case: Case, world: str, most: float) -> Measured:
    """Check one case."""
    with tempfile.TemporaryDirectory(prefix="chatlab-wrong-") as folder:
        for path, text in case.files.items():
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).write_text(text, encoding="utf-8")
        words = ["check", str(case.exercise), *case.options, "--world", world, "--seed", "1"]
        played = play([*CHATLAB, *words, "--json", "verdict.json"], Path(folder), most)
        outcome, says = _verdict(Path(folder))
    memory = played.ours + played.judged
    return Measured(case.name, world, played.exit, played.seconds, memory, outcome, says)


def _verdict(folder: Path) -> tuple[str, str]:
    try:
        verdict = json.loads((folder / "verdict.json").read_bytes())
    except (OSError, ValueError):
        text = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").strip()
        return "-", text.splitlines()[-1][:150] if text else ""
    told = [f"{step['step']} {each['title']}" for step in verdict["steps"] for each in step["anomalies"]]
    return verdict["verdict"], told[0] if told else ""


def _is_over(each: Measured) -> bool:
    is_slow = each.seconds > SECONDS[each.world] or each.mebibytes > MEBIBYTES
    return is_slow or each.exit not in _VERDICTS


def main() -> int:
    """Measure, print a table, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", choices=SECONDS, action="append")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--most", type=float, default=120.0)
    parser.add_argument("--json")
    parser.add_argument("--of", choices=CASES, default="")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("words", nargs="*")
    asked = parser.parse_args()
    named = [
        each
        for each in CASES[asked.of]()
        if not asked.words or any(word in each.name for word in asked.words)
    ]
    chosen = named[:: asked.every]
    found: list[Measured] = []
    os.environ.pop("COLUMNS", None)
    for world in asked.world or list(SECONDS):
        with ThreadPoolExecutor(asked.jobs) as pool:
            for each in pool.map(partial(measure, world=world, most=asked.most), chosen):
                found.append(each)
                mark = "!" if _is_over(each) else " "
                print(
                    f"{mark}{each.world:4} {each.seconds:6.1f} s {each.mebibytes:5} MB  exit {each.exit!s:4} "
                    f"{each.outcome:12} {each.name:50} {each.says}",
                    flush=True,
                )
        seconds = sorted(each.seconds for each in found if each.world == world)
        if seconds:
            p90 = seconds[int(0.9 * (len(seconds) - 1))]
            print(f" {world}: median {seconds[len(seconds) // 2]} s, p90 {p90} s, worst {seconds[-1]} s")
    if asked.json:
        Path(asked.json).write_text(json.dumps([asdict(each) for each in found], indent=1), encoding="utf-8")
    return 1 if any(map(_is_over, found)) else 0


if __name__ == "__main__":
    sys.exit(main())

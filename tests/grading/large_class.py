"""A class as large as one likes, of code that is right, usually wrong, untouched and broken: to be measured.

    python -m tests.grading.large_class FOLDER [--right 120 --usual 50 --stubs 20 --raising 10] [--layouts]

With `--layouts`, each way of handing in and each dishonest submission is in it as well, and `expected.json`
beside the folder has the points of each. `chatlab grade FOLDER` grades it, and this compares:

    python -m tests.grading.large_class FOLDER --compare
"""

from __future__ import annotations

import json
import shutil
from itertools import cycle, islice
from pathlib import Path

import click

from harness.grading.kept_grades import kept_grades
from harness.grading.result import number
from harness.verdict.steps import COMPONENTS, EXERCISES
from harness.zoo.animals import ANIMALS
from tests.grading import dishonest
from tests.grading.classroom import ROOT
from tests.harness.submissions.test_layouts import EVERYTHING, write

RIGHT, STUB = 37, 2
_RAISES = "class {name}:\n    def __init__(self, *args):\n        raise RuntimeError('not done yet')\n"
_CLASSES = {1: "PubSub", 2: "Sequencer", 3: "PresenceManager", 4: "MessageStore"}


def _path(exercise: int) -> str:
    return f"{EXERCISES[exercise]}/{COMPONENTS[exercise]}.py"


def _right(count: int) -> dict[str, dict[str, bytes]]:
    """Right components as several people write them, in turns."""
    kinds = {
        n: [
            (ROOT / "solutions" / _path(n)).read_bytes(),
            *(path.read_bytes() for path in sorted((ROOT / "tests" / "components" / each).glob("*.py"))),
        ]
        for n, each in COMPONENTS.items()
    }
    turns = {n: list(islice(cycle(sources), count)) for n, sources in kinds.items()}
    return {f"right-{k:03}": {_path(n): turns[n][k] for n in COMPONENTS} for k in range(count)}


def _usual(count: int) -> dict[str, dict[str, bytes]]:
    """Model answers with one usual mistake each."""
    of = {component: n for n, component in COMPONENTS.items()}
    wrong = [animal for animal in ANIMALS.values() if animal.component and animal.source]
    answers = {_path(n): (ROOT / "solutions" / _path(n)).read_bytes() for n in COMPONENTS}
    return {
        f"usual-{k:03}-{animal.name}"[:60]: answers | {_path(of[animal.component]): animal.source.encode()}
        for k, animal in enumerate(islice(cycle(wrong[::3] + wrong[1::3] + wrong[2::3]), count))
    }


def _stubs(count: int) -> dict[str, dict[str, bytes]]:
    files = {_path(n): (ROOT / "exercises" / _path(n)).read_bytes() for n in COMPONENTS}
    return {f"stub-{k:03}": files for k in range(count)}


def _raising(count: int) -> dict[str, dict[str, bytes]]:
    files = {_path(n): _RAISES.format(name=_CLASSES[n]).encode() for n in COMPONENTS}
    return {f"raising-{k:03}": files for k in range(count)}


def make(folder: Path, right: int, usual: int, stubs: int, raising: int, *, with_layouts: bool) -> None:
    """Write the class, and what each must get: None stands for open, a text for less than all."""
    students = {**_right(right), **_usual(usual), **_stubs(stubs), **_raising(raising)}
    expected: dict[str, float | str | None] = {}
    for name, files in students.items():
        write(folder / name, files)
        expected[name] = {"right": RIGHT, "stub": STUB, "raising": 0}.get(name.partition("-")[0], "less")
    if with_layouts:
        for k, (name, files) in enumerate(EVERYTHING.items()):
            whose = f"layout{k:02}"
            for path, content in files.items():
                owned = path.replace("lovelaceada", whose).replace("Ada Lovelace", whose)
                owned = owned.replace("submission_7", f"{whose}").replace("ada", whose, 1)
                write(folder, {owned: content})
            expected[whose] = RIGHT
            print(f"{whose}: {name}")
        dishonest.make(folder)
        expected |= dict.fromkeys(dishonest.DISHONEST, 0) | {"honest": 8}
        expected |= {"links-to-the-answers": None, "links-to-a-neighbour": None}
    folder.with_name("expected.json").write_text(json.dumps(expected, indent=1))


def compare(folder: Path) -> list[str]:
    """What differs from what was expected."""
    expected = json.loads(folder.with_name("expected.json").read_text())
    found = {
        mark.name: None if mark.open_steps else number(mark.points)
        for mark in kept_grades(folder.with_name(f"{folder.name}-grades")).values()
    }
    differs = [f"{name}: nobody" for name in expected if name not in found]
    for name, points in found.items():
        wanted = expected.get(name, "nobody")
        if (points is None or points >= RIGHT) if wanted == "less" else points != wanted:
            differs.append(f"{name}: {points}, and not {wanted}")
    return differs


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--right", default=120)
@click.option("--usual", default=50)
@click.option("--stubs", default=20)
@click.option("--raising", default=10)
@click.option("--layouts", is_flag=True)
@click.option("--compare", "is_compared", is_flag=True)
def main(
    folder: Path, right: int, usual: int, stubs: int, raising: int, layouts: bool, is_compared: bool
) -> None:
    """Make a class, or compare its grades."""
    if is_compared:
        print("\n".join(compare(folder)) or "as expected")
        return
    shutil.rmtree(folder, ignore_errors=True)
    make(folder, right, usual, stubs, raising, with_layouts=layouts)


if __name__ == "__main__":
    main()

"""Mutants of our eight components, each of them judged as `chatlab check N --world sim` judges a student's.

    python -m tests.mutation.components [FILE]...

A mutant is one small change: an operator, a constant, an argument (mutmut makes these), or a statement that
is left out. A survivor that is no breach of `lab/interfaces.py` is in `survivors.toml`, with the reason.
Exit codes: 0 if all others are caught, else 1.
"""

from __future__ import annotations

import asyncio
import difflib
import itertools
import os
import re
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libcst as cst
from libcst import matchers
from msgspec import Struct
from mutmut.mutation.file_mutation import create_mutations, deep_replace

from harness.judged import targets
from harness.running.direct_calls import add_contract, called_directly
from harness.running.fork_pool import ForkPool, ForkPoolError, SimJob
from harness.running.run import Case
from harness.running.tasks import side_by_side
from harness.verdict.outcome import Outcome
from harness.verdict.steps import COMPONENTS, EXERCISES

ROOT = Path(__file__).parents[2]
FILES = [
    *(f"solutions/{EXERCISES[number]}/{component}.py" for number, component in COMPONENTS.items()),
    *(f"lab/{component}.py" for component in COMPONENTS.values()),
]
SURVIVORS = Path(__file__).with_name("survivors.toml")
_DEFINITION = re.compile(r"\s*(?:async )?def (\w+)")
SECONDS = 60.0
"""After so long a mutant that hangs past all limits counts as noticed."""


class Mutant(Struct, frozen=True):
    """A changed file: the function, the lines as they were, and the changed ones."""

    file: str
    inside: str
    was: str
    now: str
    text: str


class Survivors(Struct, frozen=True):
    """Changes of a file that no check notices, and why that is right.

    Of each: the function that it is in, and the lines before and after it.
    """

    file: str
    why: str
    changes: list[list[str]]


def mutants_of(file: str) -> Iterator[Mutant]:
    """All mutants of a file, each once."""
    text = (ROOT / file).read_text(encoding="utf-8")
    seen = {text}
    for changed in (*_small_changes(file, text), *_left_out(text)):
        if changed not in seen:
            seen.add(changed)
            yield Mutant(file, *_difference(text, changed), changed)


def _small_changes(file: str, text: str) -> Iterator[str]:
    module, mutations, *_ = create_mutations(file, text)
    for mutation in mutations:
        changed: Any = deep_replace(module, mutation.original_node, mutation.mutated_node)
        yield changed.code


def _left_out(text: str) -> Iterator[str]:
    """The text without one of the statements in its functions."""
    module = cst.parse_module(text)
    blocks = matchers.findall(module, matchers.FunctionDef(body=matchers.IndentedBlock()))
    inner = [block for function in blocks for block in matchers.findall(function, matchers.IndentedBlock())]
    found = {
        id(each): each
        for block in inner
        for each in block.body
        if isinstance(each, cst.SimpleStatementLine) and not _is_text(each)
    }
    for statement in found.values():
        nothing = statement.with_changes(body=[cst.Pass()])
        changed: Any = deep_replace(module, statement, nothing)
        yield changed.code


def _is_text(statement: cst.SimpleStatementLine) -> bool:
    first = statement.body[0]
    return isinstance(first, cst.Expr) and isinstance(first.value, cst.SimpleString)


def _difference(text: str, changed: str) -> tuple[str, str, str]:
    """The function that the change is in, and the lines before and after it."""
    lines = list(difflib.ndiff(text.splitlines(), changed.splitlines()))
    was = " / ".join(line[2:].strip() for line in lines if line.startswith("- "))
    now = " / ".join(line[2:].strip() for line in lines if line.startswith("+ "))
    before = itertools.takewhile(lambda line: line.startswith("  "), lines)
    functions = [found[1] for line in before if (found := _DEFINITION.match(line[2:]))]
    is_outside = not any(line[2:].startswith(" ") for line in lines if line[0] in "-+")
    return ("" if is_outside or not functions else functions[-1]), was, now


async def is_noticed(mutant: Mutant, pool: ForkPool, folder: Path) -> bool:
    """Whether the exercise does not pass with this component."""
    number = next(n for n, component in COMPONENTS.items() if mutant.file.endswith(f"/{component}.py"))
    path = folder / EXERCISES[number] / f"{COMPONENTS[number]}.py"
    path.parent.mkdir(parents=True)
    path.write_text(mutant.text, encoding="utf-8")
    target = targets.submission(folder, number, together=False)
    try:
        async with asyncio.timeout(SECONDS):
            contract = await called_directly(pool, number, target)
            assert contract is not None, "it is one component that is judged"
            assert not contract.defect, contract.defect
            if contract.found or contract.problem:
                return True
            (run,) = await pool.play(SimJob(target, [Case(number, "1")]))
    except (TimeoutError, ForkPoolError):
        return True
    add_contract(run, contract)
    return run.outcome is not Outcome.PASSED


async def survivors_of(mutants: list[Mutant]) -> list[Mutant]:
    """Those that no check notices. Prints its progress."""
    places, done, began = asyncio.Semaphore(os.cpu_count() or 1), 0, time.monotonic()
    async with ForkPool(os.cpu_count() or 1) as pool:

        async def one(mutant: Mutant) -> bool:
            nonlocal done
            async with places:
                with tempfile.TemporaryDirectory(prefix="chatlab-mutant-") as folder:
                    noticed = await is_noticed(mutant, pool, Path(folder))
            done += 1
            if sys.stderr.isatty() or done % 50 == 0:
                print(f"{done} of {len(mutants)}, {time.monotonic() - began:.0f} s", file=sys.stderr)
            return noticed

        noticed = await side_by_side(*map(one, mutants))
    return [mutant for mutant, caught in zip(mutants, noticed, strict=True) if not caught]


Key = tuple[str, str, str, str]
"""The file and the function of a change, and its lines before and after it."""


def reasons() -> dict[Key, str]:
    """The reasons why changes that no check notices are no breach, by file, function and lines."""
    with SURVIVORS.open("rb") as file:
        known = [Survivors(**each) for each in tomllib.load(file)["survivors"]]
    return {(each.file, inside, was, now): each.why for each in known for inside, was, now in each.changes}


def main(files: list[str]) -> int:
    """Judge all mutants, list those that survive, and return the exit code."""
    unknown = set(files) - set(FILES)
    if unknown:
        print(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(FILES)}", file=sys.stderr)
        return 64
    why, is_explained = reasons(), True
    for file in files or FILES:
        mutants = list(mutants_of(file))
        survivors = asyncio.run(survivors_of(mutants))
        print(f"{file}: {len(mutants)} mutants, {len(mutants) - len(survivors)} caught", flush=True)
        found = {(file, each.inside, each.was, each.now) for each in survivors}
        is_explained &= found <= why.keys()
        for key in sorted(found):
            _tell(*key, why.get(key, "NO REASON IS GIVEN"))
        for unneeded in sorted(key for key in why.keys() - found if key[0] == file):
            _tell(*unneeded, "NOT AMONG THEM ANY MORE: leave out its reason")
    return 0 if is_explained else 1


def _tell(file: str, inside: str, was: str, now: str, reason: str) -> None:
    where = f"{file}, {inside}" if inside else file
    print(f"  {where}\n    - {was}\n    + {now}\n      {reason}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

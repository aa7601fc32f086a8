"""How long a student waits for a verdict: from a save, in `chatlab watch`, and from `chatlab check`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.bench.plan import BenchError, Plan
from harness.bench.result import Cell, Part, Table, median, ratio
from harness.judged.handed_out import place_of, pristine
from harness.judged.targets import find_folder
from harness.reports.charts import percentile
from harness.texts import texts
from harness.verdict.steps import EXERCISES

CODE = ("wrong", "right")
"""What is saved: the stub, and the model answer."""
_PEER = ("check", "--world", "sim", "--small")
"""What plays about the same, in a process of its own."""
_PROGRAM = (sys.executable, "-P", "-m", "harness.cli.main")
_SAVES = 3
"""Saves of each kind in a round."""


def saves(plan: Plan) -> Part:
    """Save stubs and model answers in turns. Raises BenchError."""
    part = Part("save", "How long is it from a save to the verdict?")
    watched: dict[tuple[int, str], list[float]] = defaultdict(list)
    checked: dict[tuple[int, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="chatlab-bench-") as name:
        for number, exercise in plan.interleaved(list(EXERCISES)):
            plan.say(f"save: round {number} of {plan.rounds}, exercise {exercise}")
            home = Path(name, str(exercise))
            file = home / "exercises" / place_of(exercise)
            file.parent.mkdir(parents=True, exist_ok=True)
            with _watching(exercise, file, home) as process:
                for _ in range(_SAVES):
                    for code in CODE:
                        watched[exercise, code].append(_saved(process, exercise, code, file))
            for code in CODE:
                _write(exercise, code, file)
                checked[exercise, code].append(_check(exercise, home))
    rows: list[list[Cell]] = []
    for exercise in EXERCISES:
        for code in CODE:
            of = watched[exercise, code]
            p95, peer = percentile(of, 0.95), median(checked[exercise, code])
            rows.append([f"exercise {exercise}, {code}", median(of), p95, max(of), peer])
    columns = ["", "median", "p95", "worst", f"chatlab {' '.join(_PEER)}"]
    part.tables.append(Table("Seconds", columns, rows))
    all_of_them = [median(of) for of in watched.values()]
    peers = [median(checked[key]) for key in watched]
    share = ratio(all_of_them, peers)
    part.sentences.append(
        f"A save has its verdict in {share:.2f} times what a check takes that is started for it."
    )
    part.notes.append(
        "After the verdict on right code more is simulated, and then played live, until the next save."
    )
    return part


def _write(exercise: int, code: str, file: Path, number: int = 0) -> None:
    """Write the file at once, as editors do; each save is another one by a comment."""
    if code == "right":
        text = (find_folder("solutions") / place_of(exercise)).read_text(encoding="utf-8")
    else:
        (text,) = pristine(exercise).values()
    new = file.with_suffix(".new")
    new.write_text(f"{text}\n# {number}\n", encoding="utf-8")
    os.replace(new, file)


@contextmanager
def _watching(exercise: int, file: Path, home: Path) -> Iterator[subprocess.Popen[str]]:
    """A `chatlab watch` that has given its first verdict."""
    _write(exercise, "wrong", file)
    words = [*_PROGRAM, "watch", str(exercise), "--lang", "en", "--track", "python"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        words, cwd=home, stdout=subprocess.PIPE, encoding="utf-8", env=environment
    ) as process:
        try:
            _verdict(process)
            yield process
        finally:
            process.terminate()


def _saved(process: subprocess.Popen[str], exercise: int, code: str, file: Path) -> float:
    began = time.perf_counter()
    _write(exercise, code, file, time.monotonic_ns())
    _verdict(process)
    return time.perf_counter() - began


def _verdict(process: subprocess.Popen[str]) -> None:
    """Read to the first verdict on a save. Raises BenchError."""
    assert process.stdout is not None
    say = texts("en").say
    first = say("watch.judged", way=say("watch.by_quick"), seconds="?").partition("?")[0].strip()
    if not any(line.strip().startswith(first) for line in process.stdout):
        raise BenchError("chatlab watch has ended")


def _check(exercise: int, home: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [*_PROGRAM, _PEER[0], str(exercise), *_PEER[1:]], cwd=home, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode > 1:
        raise BenchError(f"chatlab check {exercise} has ended with {done.returncode}")
    return time.perf_counter() - began

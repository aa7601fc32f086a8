"""Random changes of the model answers: whatever they are, the kit itself must not fail, and not wait.

    python -m tests.wrong_code.fuzz [COUNT] [--seed N] [--first N]

Each is judged as `chatlab check N --world sim` judges it: by direct calls, by one play, and every tenth with
the search for a small scene. Prints kit faults, what took longer than the budget, and the ten slowest. Exit
codes: 0 if there is no kit fault and nothing is over the budget, else 1.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from harness.judged import targets
from harness.minimize.shrink import shrink
from harness.running.direct_calls import add_contract, called_directly
from harness.running.fork_pool import CrashError, ForkPool, ForkPoolError, SimJob
from harness.running.run import Case
from harness.running.tasks import side_by_side
from harness.verdict.steps import COMPONENTS, EXERCISES
from tests.wrong_code.cases import answer

SECONDS = 10.0
"""Seconds that one may take."""
_NASTY = (
    "while True: pass",
    "raise BaseException('x')",
    "raise KeyboardInterrupt",
    "raise SystemExit(0)",
    "raise GeneratorExit",
    "raise RecursionError",
    "raise MemoryError",
    "import os; os._exit(0)",
    "import os; os.abort()",
    "import os; os.kill(os.getpid(), 15)",
    "import ctypes; ctypes.string_at(0)",
    "import signal; signal.signal(signal.SIGALRM, signal.SIG_IGN); 9 ** 9 ** 9",
    "import signal; signal.setitimer(signal.ITIMER_REAL, 0)",
    "import sys; sys.setrecursionlimit(10**6); (f := lambda: f())()",
    "import threading; threading.Thread(target=print).start()",
    "import threading; threading.Lock().acquire(); l = threading.Lock(); l.acquire(); l.acquire()",
    "import gc; gc.disable()",
    "import sys; sys.modules.clear()",
    "import sys; sys.stdout = sys.stderr = None",
    "import builtins; builtins.len = None",
    "import time; time.sleep(3)",
    "import time; time.time = time.monotonic = lambda: 0",
    "import asyncio; asyncio.get_running_loop().stop()",
    "import asyncio; [t.cancel() for t in asyncio.all_tasks()]",
    "import asyncio; asyncio.get_event_loop().close()",
    "import logging; logging.disable(); logging.shutdown()",
    "import warnings; warnings.simplefilter('error')",
    "print('\\x1b[31m' + 'x' * 100_000)",
    "while True: print('x' * 1000)",
    "[bytes(1000) for _ in iter(int, 1)]",
    "sum(iter(int, 1))",
    "next(x for x in iter(int, 1) if x)",
    "import os; os.close(1); os.close(2)",
    "import os; os.closerange(3, 100)",
    "import os; os.chdir('/')",
    "import os; os.environ.clear()",
    "import sys; sys.settrace(lambda *a: 1 / 0)",
    "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
    "import faulthandler; faulthandler.disable()",
    "self.__dict__.clear()",
    "self.__class__ = object",
    "return",
    "return self",
    "return [None]",
    "return float('nan')",
    "return 10 ** 5000",
    "return '\\ud800'",
    "yield",
    "await asyncio.sleep(0)",
    "await asyncio.Event().wait()",
    "assert False",
    "del self",
    "x",
    "open('/dev/full', 'w').write('x' * 10**6)",
    "open('x' * 300)",
)
_SWAPS = (
    ("==", "!="),
    ("+ 1", "- 1"),
    (" in ", " not in "),
    ("await ", ""),
    ("async def", "def"),
    ("self.", ""),
    ("room", "member"),
    ("[", "("),
    ("0", "1"),
    ("not ", ""),
    ("return ", ""),
    ("True", "None"),
    (":", ""),
    ("since", "last"),
    ("list(", "iter("),
    (".append(", ".extend("),
    ("for ", "while "),
)


@dataclass
class Fuzzed:
    """What came of one: seconds, a fault of the kit if there was one, and the change."""

    number: int
    component: str
    change: str
    seconds: float = 0.0
    outcome: str = ""
    fault: str = ""


def changed(component: str, rng: Random) -> tuple[str, str]:
    """The changed source code of a model answer, and what was changed."""
    lines = answer(component).splitlines()
    body = [at for at, line in enumerate(lines) if line.startswith("        ") and '"""' not in line]
    told = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.choice(body)
        line, indent = lines[at], lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        match rng.randrange(6):
            case 0 | 1:
                nasty = rng.choice(_NASTY)
                lines[at] = f"{indent}{nasty}\n{line}"
                told.append(f"before line {at + 1}: {nasty}")
            case 2:
                lines[at] = f"{indent}pass"
                told.append(f"without line {at + 1}: {line.strip()}")
            case 3:
                other = rng.choice(body)
                lines[at], lines[other] = lines[other], lines[at]
                told.append(f"lines {at + 1} and {other + 1} swapped")
            case 4:
                lines[at] = f"{line}\n{line}"
                told.append(f"line {at + 1} twice: {line.strip()}")
            case _:
                old, new = rng.choice([each for each in _SWAPS if each[0] in line] or [(":", ":")])
                lines[at] = line.replace(old, new, 1)
                told.append(f"line {at + 1}: {lines[at].strip()}")
    return "\n".join(lines) + "\n", "; ".join(told)


async def judge(number: int, seed: int, pool: ForkPool) -> Fuzzed:
    """Judge one."""
    rng = Random(f"{seed}/{number}")
    exercise = rng.choice(list(COMPONENTS))
    component = COMPONENTS[exercise]
    text, change = changed(component, rng)
    found = Fuzzed(number, component, change)
    with tempfile.TemporaryDirectory(prefix="chatlab-fuzz-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / EXERCISES[exercise] / f"{component}.py"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        target = targets.submission(Path(folder), exercise, together=False)
        began = time.monotonic()
        try:
            contract = await called_directly(pool, exercise, target)
            (run,) = await pool.play(SimJob(target, [Case(exercise, "1")]))
            add_contract(run, contract)
            found.outcome, found.fault = str(run.outcome), run.defect
            if contract is not None and contract.lacking in ("time", "crash"):
                found.fault = f"the contract lacks {contract.lacking}"
            if number % 10 == 0:
                await shrink(pool, target, run)
        except CrashError as error:
            found.outcome = f"crash: {error}"
        except ForkPoolError as error:
            found.fault = str(error)
        except Exception as error:
            found.fault = repr(error)
        found.seconds = time.monotonic() - began
    return found


async def fuzz(numbers: range, seed: int) -> list[Fuzzed]:
    """Judge so many, as many at once as there are cores."""
    places, done = asyncio.Semaphore(os.cpu_count() or 1), 0

    async def one(number: int) -> Fuzzed:
        nonlocal done
        async with places, ForkPool(1) as pool:
            found = await judge(number, seed, pool)
        done += 1
        if found.fault or found.seconds > SECONDS:
            _tell(found)
        if done % 100 == 0:
            print(f"{done} of {len(numbers)}", flush=True)
        return found

    return await side_by_side(*map(one, numbers))


def _tell(found: Fuzzed) -> None:
    where = f"{found.number:5} {found.seconds:5.1f} s {found.component:9} {found.outcome:12}"
    print(f"{where} {found.change}\n      {found.fault[-400:]}", flush=True)


def main() -> int:
    """Judge, tell, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    found = asyncio.run(fuzz(range(asked.first, asked.first + asked.count), asked.seed))
    print("the slowest:")
    for each in sorted(found, key=lambda each: -each.seconds)[:10]:
        _tell(each)
    outcomes: dict[str, int] = {}
    for each in found:
        outcomes[each.outcome.split(":")[0]] = outcomes.get(each.outcome.split(":")[0], 0) + 1
    faults = [each for each in found if each.fault]
    slow = [each for each in found if each.seconds > SECONDS]
    print(f"{len(found)} changes, {outcomes}: {len(faults)} kit faults, {len(slow)} over {SECONDS:g} s")
    return 1 if faults or slow else 0


if __name__ == "__main__":
    sys.exit(main())

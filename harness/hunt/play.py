"""Plays a check with one server, once: each of its tests on a new server of that kind, until one fails."""

from __future__ import annotations

import asyncio
import builtins
import io
import traceback
from functools import partial
from typing import Any, NoReturn, Protocol

from msgspec import Struct
from msgspec.structs import replace

from harness.hunt.check_file import FAILED, AssertFailed, CheckFile, compiled
from harness.judged.environment import scratch
from harness.judged.targets import Target
from harness.posix import interrupted_after
from harness.pytest_support import clients
from harness.texts import Texts
from harness.verdict.outcome import Text
from harness.worlds.live import LiveWorld
from harness.worlds.served import ServedWorld
from harness.worlds.sim import modules
from harness.worlds.sim.simulator import Deadlock, Endless, Simulator
from harness.worlds.sim.world import NEW_YEAR, SimWorld
from harness.zoo.unnamed import target
from lab.legible import both_ends

LONGEST = 600.0
"""Seconds of simulated time after which a test counts as one that never ends."""
_LONGEST_LIVE = 30.0
BUSY_SECONDS = 5.0
"""Seconds of the processor that a simulated test may take: a play takes a tenth of one."""
_MOST_PRINTED = 2000
"""Characters that are kept of what a check prints in one play."""
_LONGEST_VALUE = 300
"""Characters of a value that are shown."""


class Failure(Struct):
    """Why a test failed, and at which line of the check; line 0 if it is not known."""

    test: str
    line: int
    source: str
    why: Text
    hangs: bool = False
    """Whether it never ended, which catches nobody."""
    is_of_check: bool = False
    """Whether an exception ended it that neither an `assert` nor a client raised."""


class Played(Struct):
    """What came of a play: no failure if every test passed."""

    server: str
    failure: Failure | None = None
    printed: str = ""


class _Once(Protocol):
    """Plays one test in a world, for so many seconds at the most."""

    async def __call__(self, world: ServedWorld, words: Texts, seconds: float) -> Failure | None:
        """What came of it."""


class _Late(BaseException):
    """A test has kept the processor for too long."""


class _NotSo(AssertionError):  # noqa: N818 - named for what it says
    """A client or the server could not do what a check asked for; the text is the reason."""


class _Failures(clients.Failures):
    """What went wrong, in a sentence: the check is the player's own, so the kit's checkers say nothing."""

    def fail(self, key: str = "", **params: str) -> NoReturn:
        """See clients.Failures."""
        table = "hunt" if key == "stopped" else "pytest"
        raise _NotSo(self.words.say(f"{table}.{key}", **params)) from None


def play(check: CheckFile, server: str, seed: str, world: str, words: Texts) -> Played:
    """Play all tests of a check with a server of the zoo, in the world "sim" or "live"."""
    printed = io.StringIO()
    for test in check.tests:
        once = partial(_once, check, test, printed)
        failure = (_simulated if world == "sim" else _live)(once, server, f"{seed}/{test}", words)
        if failure is not None:
            return Played(server, failure, printed.getvalue())
    return Played(server, None, printed.getvalue())


def _simulated(once: _Once, server: str, seed: str, words: Texts) -> Failure | None:
    simulator = Simulator(seed, NEW_YEAR)

    async def main() -> Failure | None:
        return await once(SimWorld(simulator, _target(server), 0, seed), words, LONGEST)

    with modules.restored(), interrupted_after(BUSY_SECONDS, _raise_late):
        try:
            return simulator.run(main())
        except (Deadlock, Endless, _Late):
            return Failure("", 0, "", _too_busy(), hangs=True)


def _live(once: _Once, server: str, seed: str, words: Texts) -> Failure | None:
    async def main() -> Failure | None:
        return await once(LiveWorld(_target(server), 0, seed), words, _LONGEST_LIVE)

    return asyncio.run(main())


def _target(server: str) -> Target:
    """A server in a folder where nothing of the player's is in its way."""
    found = target(server)
    return replace(found, cwd=scratch() or found.cwd)


def _raise_late() -> NoReturn:
    raise _Late


async def _once(
    check: CheckFile,
    test: str,
    printed: io.StringIO,
    world: ServedWorld,
    words: Texts,
    seconds: float,
) -> Failure | None:
    """Play one test in a world, and close that."""
    failures = _Failures(world, words)
    fixtures = {"chat_client": clients.client_maker(failures), "chat_server": clients.ChatServer(failures)}
    limit = asyncio.timeout(seconds)
    try:
        with failures.explained():
            await world.start_server()
        async with limit:
            namespace = _namespace(check, printed)
            await namespace[test](*(fixtures[name] for name in check.tests[test]))
    except (Exception, SystemExit, _Late) as error:
        why = _why(error, f"-{world.nonce}", seconds if limit.expired() else None)
        line = _line_of(error, check)
        source = check.source.splitlines()[line - 1].strip() if line else ""
        hangs = why.key.startswith("hangs")
        return Failure(test, line, source, why, hangs, is_of_check=why.key == "raised")
    except BaseException as error:
        if not hasattr(error, "pytrace"):  # pytest's own, such as that of `pytest.fail`
            raise
        return Failure(test, _line_of(error, check), "", Text("message", {"message": str(error)}))
    finally:
        await world.close()
    return None


def _too_busy() -> Text:
    return Text("hangs_busy", {"seconds": round(BUSY_SECONDS)})


def _namespace(check: CheckFile, printed: io.StringIO) -> dict[str, Any]:
    """What a check has defined, with asserts that tell what they compared; what it prints is kept."""

    def kept(*values: object, **more: Any) -> None:
        if printed.tell() < _MOST_PRINTED:
            builtins.print(*values, **{**more, "file": printed})

    namespace = {"__name__": "check", FAILED: AssertFailed, "print": kept}
    exec(compiled(check), namespace)
    return namespace


def _why(error: BaseException, nonce: str, expired: float | None) -> Text:
    """What there is to say about a failure."""
    if expired is not None:
        return Text("hangs", {"seconds": round(expired)})
    match error:
        case _Late():
            return _too_busy()
        case _NotSo():
            return Text("said", {"text": str(error).replace(nonce, "")})
        case AssertFailed(message=None, sides=(left, right)):
            return Text("compared", {"left": _shown(left, nonce), "right": _shown(right, nonce)})
        case AssertFailed(message=None):
            return Text("untrue", {})
        case AssertionError():
            return Text("message", {"message": _cut(str(error), nonce)})
    return Text("raised", {"error": _cut(f"{type(error).__name__}: {error}".rstrip(": "), nonce)})


def _shown(value: object, nonce: str) -> str:
    """A value, as Python writes it."""
    try:
        return _cut(repr(value), nonce)
    except Exception as error:
        return f"<{type(error).__name__}>"


def _cut(text: str, nonce: str) -> str:
    return both_ends(text.replace(nonce, ""), _LONGEST_VALUE)


def _line_of(error: BaseException | None, check: CheckFile) -> int:
    """The line of the check that an exception comes from, the innermost one; 0 if it comes from elsewhere."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = traceback.walk_tb(error.__traceback__)
        lines = [line for frame, line in frames if frame.f_code.co_filename == check.path]
        if lines:
            return lines[-1]
        error = error.__cause__ or error.__context__  # a time-out comes from what it has cancelled
    return 0

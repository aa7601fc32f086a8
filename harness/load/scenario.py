"""What a user of a load does, and scenarios of one's own: a class in a file that derives from `User`.

    from harness.load import User

    class Reader(User):
        def act(self):
            self.look_back()

`chatlab load --scenario reader.py` has users of this class, and judges them by the same checkers: these know
nothing of scenarios, only what was sent and received.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from math import inf
from pathlib import Path
from types import ModuleType

from harness.load.client import Chatter
from harness.load.profile import UserProfile
from lab.legible import one_line

_MODULE = "chatlab_scenario"
_LEAST_REST = 0.001
"""Seconds between two actions at least: else nobody else would have a turn."""


class BadScenario(Exception):  # noqa: N818 - named for what it says
    """What is wrong with a scenario: a key below `load.scenario`, and what that text is filled with."""

    def __init__(self, key: str, **params: object) -> None:
        super().__init__(key)
        self.key = f"scenario.{key}"
        self.params = params


class User:
    """One user. As it is, it chats as people do; a scenario overrides what its users do differently.

    Whatever it asks for is answered when a method returns, but for `say`: its message comes back later. If
    the connection is lost, a method raises `harness.load.client.Gone`, and the user reconnects before it acts
    again: no need to catch that.
    """

    def __init__(
        self,
        chatter: Chatter,
        profile: UserProfile,
        room: Callable[[int], str],
        come_back_after: Callable[[float], None],
    ) -> None:
        self.random = profile.rng
        """The user's own random numbers, which follow from the seed of the load."""
        self.name = chatter.user
        self.pace = profile.pace
        """`--pace`: how many times faster users live."""
        self.due: float | None = None
        """When the present action was due, on the clock of the load: what it times begins there."""
        self._chatter, self._profile = chatter, profile
        self._room, self._come_back_after = room, come_back_after

    # What a scenario overrides.

    def act(self) -> None:
        """Do the next thing: by default mostly talk, and now and then look back, wander or reconnect."""
        getattr(self, self._profile.action())()

    def rest(self) -> float:
        """Seconds until the next action; by default 5 to 15 on average, divided by `pace`."""
        return self._profile.rest()

    def words(self) -> str:
        """What it says next."""
        return self._profile.words()

    @classmethod
    def has_own_act(cls) -> bool:
        """Whether a scenario says what its users do: with `--rate`, that is done at the rate."""
        return cls.act is not User.act

    # What a scenario calls.

    @property
    def rooms(self) -> list[str]:
        """The rooms that it is in."""
        return list(self._chatter.rooms)

    def some_room(self) -> str:
        """One of the rooms that it is in, by chance; it joins the first if it is in none."""
        if not self._chatter.rooms:  # it lost its connection while it changed rooms
            self._chatter.join(self._room(0))
        return str(self.random.choice(self._chatter.rooms))

    def say(self, text: str, room: str | None = None) -> None:
        """Say something in a room that it is in, by default in any."""
        self._chatter.say(room or self.some_room(), text, self.due, self._profile.size)

    def talk(self) -> None:
        """Say the next words in one of its rooms."""
        self.say(self.words())

    def look_back(self, room: str | None = None) -> None:
        """Read a page of old history of a room, by default of one that it is in."""
        room = room or self.some_room()
        since = self.random.randint(0, self._chatter.newest(room))
        self._chatter.look_back(room, since, self.due)

    def join(self, number: int) -> str:
        """Join a room by its number, from 1 to `--rooms`; returns its name. Raises ValueError for another."""
        most = self._profile.popularity.count
        if not isinstance(number, int) or not 1 <= number <= most:
            raise ValueError(f"join takes a room's number from 1 to {most} (--rooms), and not {number!r}")
        room = self._room(number - 1)
        if room not in self._chatter.rooms:
            self._chatter.join(room)
        return room

    def leave(self, room: str) -> None:
        """Leave a room that it is in."""
        self._chatter.leave(room)

    def check(self, name: str, ok: object) -> bool:
        """Count whether something is as it should be; one that is not fails the load. Returns whether it is.

        Checks are counted by their name, which is best always the same.
        """
        return self._chatter.check(str(name), ok=bool(ok))

    def wander(self) -> None:
        """Leave a room, and join another, which is more often a popular one."""
        room = self.some_room()
        other = self._room(self._profile.popularity.choose(self.random))
        if other not in self._chatter.rooms:
            self._chatter.leave(room)
            self._chatter.join(other)

    def reconnect(self, away: float | None = None) -> None:
        """Lose the connection without a farewell, and come back after so many seconds."""
        self._chatter.reset()
        self._come_back_after(self._profile.away() if away is None else away)


# --- files --------------------------------------------------------------------------------------------


def read_scenario(path: Path) -> type[User]:
    """The class in a file that derives from User. Raises BadScenario."""
    module = _import(path)
    found = [
        each
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, User) and each.__module__ == _MODULE
    ]
    # Where some derive from others, the last ones are meant.
    bases = {base for each in found for base in each.__mro__[1:]}
    last = [each for each in found if each not in bases]
    if not last:
        raise BadScenario("none", file=path.name)
    if len(last) > 1:
        raise BadScenario("several", file=path.name, classes=", ".join(each.__name__ for each in last))
    return last[0]


def rest_of(user: User, path: Path) -> float:
    """How long a user rests, in seconds. Raises BadScenario if its class says something else."""
    seconds: object = user.rest()
    if not isinstance(seconds, int | float) or not 0 <= seconds < inf:
        raise BadScenario("rest", file=path.name, seconds=seconds)
    return max(seconds, _LEAST_REST)


def mistake_in(path: Path, error: BaseException) -> BadScenario | None:
    """What the file has raised, as a sentence with its line; None if it was not at work there."""
    lines = _lines(path, error)
    return _mistake(path, error, lines[-1]) if lines else None


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise BadScenario("no_python", file=path.name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    sys.path.append(str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        where = {"file": Path(error.filename or path).name, "line": error.lineno or 1}
        raise BadScenario("raises", **where, kind=type(error).__name__, what=error.msg) from error
    except (Exception, SystemExit) as error:
        lines = _lines(path, error)
        if not lines:
            raise BadScenario("unreadable", file=path.name, why=one_line(str(error))) from error
        raise _mistake(path, error, lines[-1]) from error
    return module


def _mistake(path: Path, error: BaseException, place: traceback.FrameSummary) -> BadScenario:
    what = one_line(str(error)) or "–"
    return BadScenario("raises", file=path.name, line=place.lineno, kind=type(error).__name__, what=what)


def _lines(path: Path, error: BaseException) -> list[traceback.FrameSummary]:
    """Where the file was at work, from the outermost call to the innermost."""
    frames, place = traceback.extract_tb(error.__traceback__), path.resolve()
    return [each for each in frames if Path(each.filename).resolve() == place]

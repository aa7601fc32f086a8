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
from pathlib import Path
from types import ModuleType

from harness.load.client import Chatter
from harness.load.profile import UserProfile
from lab.legible import one_line
from lab.loader import describe

_MODULE = "chatlab_scenario"


class BadScenario(Exception):  # noqa: N818 - named for what it says
    """What is wrong with a scenario: a key of the table `load.scenario`, and what it is filled with."""

    def __init__(self, key: str, **params: object) -> None:
        super().__init__(key)
        self.key = key
        self.params = params


class User:
    """One user. As it is, it chats as in life; a scenario overrides what its users do differently.

    Whatever it asks for is answered when a method returns, but for `say`: its message comes back later. If the
    connection is lost, a method raises `harness.load.client.Gone`, and the user reconnects before it acts
    again: there is no need to catch that.
    """

    def __init__(
        self,
        chatter: Chatter,
        profile: UserProfile,
        room: Callable[[int], str],
        pause: Callable[[float], object],
    ) -> None:
        self.random = profile.rng
        """The user's own random numbers, which follow from the seed of the load."""
        self.name = chatter.user
        self.due: float | None = None
        """When this action was due, on the clock of the load; None if it is at once."""
        self._chatter, self._profile = chatter, profile
        self._room, self._pause = room, pause

    # What a scenario overrides.

    def act(self) -> None:
        """Do the next thing: by default mostly talk, sometimes look back, wander, or lose the connection."""
        getattr(self, self._profile.action())()

    def rest(self) -> float:
        """Seconds from the start of an action to the next one, before `--pace` is applied."""
        return self._profile.rest()

    def words(self) -> str:
        """What it says next."""
        return self._profile.words()

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
        """Say something in a room that it is in, by default any."""
        self._chatter.say(room or self.some_room(), text)

    def talk(self) -> None:
        """Say the next words in one of its rooms."""
        self.say(self.words())

    def look_back(self, room: str | None = None) -> None:
        """Read a page of old history of a room, by default of one that it is in."""
        room = room or self.some_room()
        self._chatter.look_back(room, self.random.randint(0, self._chatter.newest(room)))

    def join(self, number: int) -> str:
        """Join a room by its number, from 1 to `--rooms`; returns its name."""
        room = self._room(number - 1)
        if room not in self._chatter.rooms:
            self._chatter.join(room)
        return room

    def leave(self, room: str) -> None:
        """Leave a room that it is in."""
        self._chatter.leave(room)

    def wander(self) -> None:
        """Leave a room, and join another one, a popular one rather than not."""
        room = self.some_room()
        number = self._profile.popularity.choose(self.random)
        if self._room(number) not in self._chatter.rooms:
            self._chatter.leave(room)
            self._chatter.join(self._room(number))

    def reconnect(self, away: float | None = None) -> None:
        """Lose the connection without a farewell, and come back after so many seconds."""
        self._chatter.reset()
        self._pause(self._profile.away() if away is None else away)
        self._chatter.come_back()


# --- files --------------------------------------------------------------------------------------------


def read_scenario(path: Path) -> type[User]:
    """The class in a file that derives from User, the last one if they build on each other.

    Raises BadScenario.
    """
    module = _import(path)
    found = [
        each
        for each in vars(module).values()
        if inspect.isclass(each) and issubclass(each, User) and each.__module__ == _MODULE
    ]
    last = [
        each for each in found if not any(other is not each and issubclass(other, each) for other in found)
    ]
    if not last:
        raise BadScenario("none", path=path)
    if len(last) > 1:
        raise BadScenario("several", path=path, classes=", ".join(each.__name__ for each in last))
    return last[0]


def _import(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(_MODULE, path)
    if spec is None or spec.loader is None:
        raise BadScenario("no_python", path=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    sys.path.append(str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError as error:
        if error.filename is None or Path(error.filename) != path:  # not this file, but one that it reads
            raise BadScenario("raises", error=told(error, path)) from error
        raise BadScenario("missing", path=path) from error
    except (Exception, SystemExit) as error:
        raise BadScenario("raises", error=told(error, path)) from error
    return module


def comes_from(error: BaseException, path: Path | None) -> bool:
    """Whether the scenario in this file was at work when something was raised."""
    return path is not None and bool(_lines(error, path))


def told(error: BaseException, path: Path) -> str:
    """An exception in one sentence, with the line of the scenario, and that line below."""
    lines = _lines(error, path)
    if isinstance(error, SyntaxError) or not lines:
        return describe(error, path)
    text = one_line(str(error)) or type(error).__name__
    return f"{path}, line {lines[-1].lineno}: {type(error).__name__}: {text}\n    {lines[-1].line}"


def _lines(error: BaseException, path: Path) -> list[traceback.FrameSummary]:
    """Where the file was at work, from the outermost call to the innermost."""
    place = path.resolve()
    return [
        each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).resolve() == place
    ]

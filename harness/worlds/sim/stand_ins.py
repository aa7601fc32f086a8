"""What stands in for the real thing in the simulated world, and what it lacks.

Code must not fail for what the simulation lacks: a stand-in refuses what the real thing has and it lacks,
which ends the run as *not simulated*, with name and line. What the real thing lacks, too, is an
AttributeError, as it would be elsewhere: programs may probe for it.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import NamedTuple, NoReturn

from harness.worlds.sim.machine import Machine
from harness.worlds.sim.source_locations import raised_where, roots_of

_ABSTRACT = ("asyncio/events.py", "asyncio/base_events.py")
"""Where asyncio declares methods for its loops to define, which ours may lack."""


class NotSimulated(NamedTuple):
    """The code has used what the simulated world does not have: `what` names it, `where` says the place."""

    what: str
    where: str
    name: str = ""
    """What it is called, where `what` is just a kind."""


@cache
def _names_of(real: type) -> frozenset[str]:
    """The attributes of a class, and what its `__init__` gives to its objects."""
    codes = [getattr(vars(each).get("__init__"), "__code__", None) for each in real.__mro__]
    return frozenset(dir(real)).union(*(code.co_names for code in codes if code is not None))


def lacks(real: type, called: str, name: str, host: Machine | None) -> NoReturn:
    """For `__getattr__`: refuse what `real` has, and raise AttributeError for all else."""
    if host is not None and host.is_server and host.is_alive and name in _names_of(real):
        host.refuse("call", name=f"{called}.{name}")
    raise AttributeError(f"{called!r} object has no attribute {name!r}")


def own_fault(error: BaseException) -> NotSimulated | None:
    """What the simulated world lacks, if an exception comes from that."""
    return next((fault for root in roots_of(error) if (fault := _own_fault(root)) is not None), None)


def _own_fault(error: BaseException) -> NotSimulated | None:
    if isinstance(error, NotImplementedError):
        filename, function = _raised_in(error)
        if filename.replace(os.sep, "/").endswith(_ABSTRACT):
            return NotSimulated("call", raised_where(error), f"{function}()")
    called = re.match(r"(\w+)\.\w+\(\)", str(error)) if isinstance(error, TypeError) else None
    if called is not None and called[1] in _CLASSES:
        return NotSimulated("call", raised_where(error), called[0])
    return None


_CLASSES = frozenset(
    {"HostLoop", "Transport", "Listener", "Handle", "TimerHandle", "_Socket", "_ThreadLock", "_Environment"}
    | {"_Sorted", "Stream", "_Raw"}
)
"""The stand-ins, as Python names them when they are called wrongly."""


def _raised_in(error: BaseException) -> tuple[str, str]:
    trace, found = error.__traceback__, ("", "")
    while trace is not None:
        found = (trace.tb_frame.f_code.co_filename, trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return found

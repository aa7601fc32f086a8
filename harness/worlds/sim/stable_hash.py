"""Hashes that are the same in every process, so that sets have the same order in every run.

An object without a `__hash__` of its own is hashed by its address, which is different in each process. So
the order of a set of clients would be different, too, and with it everything that follows. Here such classes
are given a hash that numbers their objects in the order in which they are first hashed.

Strings are hashed with a secret of the process: the simulation runs in processes with PYTHONHASHSEED=0
(`running/fork_pool.py`). What remains are sets of functions and of classes: these are always hashed by
address.
"""

from __future__ import annotations

import asyncio
import builtins
import itertools
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

_FIRST = 1_000_003
_HEAP = 1 << 9
"""The flag of classes that were made by a `class` statement: only these can be changed."""
_numbers = itertools.count(_FIRST)
_build_class, _address = builtins.__build_class__, builtins.id
_kept: dict[int, tuple[Any, int]] = {}
"""By address: what keeps an entry valid, and the number of an object that cannot carry it itself."""


def serial(thing: Any) -> int:
    """The number of an object: the next free one when it is first hashed.

    It is not kept in the object, where `vars()` would show it.
    """
    address = _address(thing)
    known = _kept.get(address)
    if known is not None:
        return known[1]
    number = next(_numbers)
    try:
        # When the object is freed, the entry goes: another object may get its address.
        keeper: Any = weakref.ref(thing, lambda _: _kept.pop(address, None))
    except TypeError:
        keeper = thing  # it would be freed unnoticed, so keep it
    _kept[address] = (keeper, number)
    return number


class _Numbered:
    """Objects of our own, which can carry their number."""

    _number = 0

    def __hash__(self) -> int:
        if not self._number:
            self._number = next(_numbers)
        return self._number


class SimTask(_Numbered, asyncio.Task[Any]):
    """A task that is hashed by its number, for sets of tasks."""


class SimFuture(_Numbered, asyncio.Future[Any]):
    """A future that is hashed by its number."""


SimTask.__name__, SimFuture.__name__ = "Task", "Future"  # the names in messages


def build_class(function: Callable[..., Any], name: str, *bases: Any, **options: Any) -> Any:
    """What a `class` statement calls, in the code of a simulated host."""
    made = _build_class(function, name, *bases, **options)
    if isinstance(made, type) and _has_no_hash(made):
        made.__hash__ = serial  # type: ignore[assignment, method-assign]
    return made


@contextmanager
def serial_hashes() -> Iterator[None]:
    """While this is active, objects of the libraries that servers put into sets are numbered, too."""
    global _numbers
    _numbers = itertools.count(_FIRST)
    _kept.clear()
    changed = _hashed_by_address(len(sys.modules))
    for kind in changed:
        kind.__hash__ = serial  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        for kind in changed:
            del kind.__hash__


@lru_cache(maxsize=1)
def _hashed_by_address(modules: int) -> list[type]:
    """The libraries' classes whose objects have no hash of their own, of so many modules imported."""
    return [each for each in _subclasses(object) if _is_hashed_by_address(each)]


def _is_hashed_by_address(kind: type) -> bool:
    module = kind.__module__
    if not isinstance(module, str):  # some libraries' classes have something else there
        return False
    ours = module.partition(".")[0] in ("asyncio", "websockets", "lab")
    if not ours or "__hash__" in vars(kind):
        return False
    return _has_no_hash(kind) and bool(kind.__flags__ & _HEAP)


def _has_no_hash(kind: type) -> bool:
    """Whether its objects are hashed and compared by their address."""
    own: tuple[object, object] = (kind.__hash__, kind.__eq__)
    return own == (object.__hash__, object.__eq__)


def _subclasses(kind: type) -> list[type]:
    seen: dict[type, None] = {}
    todo: list[type] = [kind]
    each: type
    while todo:
        for each in type.__subclasses__(todo.pop()):
            if each not in seen:
                seen[each] = None
                todo.append(each)
    return list(seen)

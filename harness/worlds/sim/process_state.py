"""What a program changes in the standard library is undone before it starts again.

To import the standard library anew for each start would take longer than the run. So its state is kept just
before the first start, and what differs later is restored: the attributes of modules, of their classes and of
the objects that they keep, what is in their lists and dicts, and some settings of the interpreter. That is
what may be set only once in a process (`multiprocessing.set_start_method`), and what would be wrapped again
and again (`json.JSONEncoder.default`).

What installed packages keep is left alone: only they know how its parts depend on one another. A program
that does not start again for that reason is recognized in `first_start.py`.
"""

from __future__ import annotations

import concurrent.futures.process
import contextlib
import decimal
import faulthandler
import gc
import locale
import logging.config
import logging.handlers
import mimetypes
import multiprocessing
import os
import socket
import sys
import tracemalloc
import warnings
from collections.abc import Mapping
from operator import is_
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from harness.worlds.sim.loggers import Loggers

# Programs change these, so they must be imported before their state is kept.
_IMPORTED = (
    concurrent.futures.process,
    decimal,
    logging.config,
    logging.handlers,
    mimetypes,
    multiprocessing,
)

_UNCHANGED = frozenset(
    {
        "_ast",
        "_ctypes",
        "_frozen_importlib",
        "_frozen_importlib_external",
        "_socket",
        "_ssl",
        "argparse",
        "array",
    }
    | {
        "ast",
        "bisect",
        "calendar",
        "collections",
        "ctypes",
        "difflib",
        "dis",
        "email",
        "encodings",
        "enum",
        "errno",
    }
    | {"importlib", "inspect", "ipaddress", "keyword", "numbers", "opcode", "operator", "posix", "posixpath"}
    | {"re", "sre_compile", "stat", "string", "struct", "sysconfig", "token", "tokenize", "tomllib", "typing"}
    | {"unittest", "zipfile", "zipimport"}
)
"""Packages that no program changes; some keep caches. To look at all of them would take as long again."""
_RUNNING = frozenset(
    {"_asyncio", "_thread", "_weakrefset", "abc", "asyncio.tasks", "functools", "gc", "io", "linecache"}
    | {"signal", "threading", "weakref"}
)
"""Modules whose lists and dicts belong to what is running now."""
_OURS_IN_SYS = frozenset({"argv", "modules", "stdin", "stdout", "stderr", "path_importer_cache"})
"""What `StdlibPatches` and `modules` set for each start."""
_HEAP = 1 << 9
"""The flag of classes that can be changed."""
_ABSENT = object()
_LOOKED_AT = sys.stdlib_module_names - _UNCHANGED

Plain = dict[Any, Any] | list[Any] | set[Any]


class ProcessState:
    """The standard library as it is now."""

    def __init__(self) -> None:
        self._loggers = Loggers()
        self._attributes: list[tuple[Any, Mapping[str, Any], dict[str, Any]]] = []
        self._containers: list[tuple[Plain, Plain]] = []
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] in _LOOKED_AT and isinstance(module, ModuleType):
                self._look_at(name, module)
        self._settings = [(get, set_it, get()) for get, set_it in _SETTINGS]

    def _look_at(self, name: str, module: ModuleType) -> None:
        self._keep(module)
        if name in _RUNNING:
            return
        package = name.partition(".")[0]
        for key, value in list(vars(module).items()):
            if isinstance(value, (dict, list, set)):
                if type(value) in (dict, list, set) and not (key.startswith("__") or key in _OURS_IN_SYS):
                    self._containers.append((value, type(value)(value)))
            elif isinstance(value, type):
                if value.__module__ == name and value.__flags__ & _HEAP:
                    self._keep(value)
            elif not isinstance(value, (ModuleType, FunctionType, BuiltinFunctionType)):
                own = getattr(type(value), "__module__", None)
                if isinstance(own, str) and own.partition(".")[0] == package and hasattr(value, "__dict__"):
                    self._keep(value)

    def _keep(self, thing: Any) -> None:
        now = vars(thing)
        self._attributes.append((thing, now, dict(now)))

    def restore(self) -> None:
        """Restore that state."""
        for thing, now, before in self._attributes:
            if not _same(now, before):
                _put_back(thing, before)
        for container, was in self._containers:
            if not _same(container, was):
                container.clear()
                container.extend(was) if isinstance(container, list) else container.update(was)
        for get, set_it, value in self._settings:
            if get() != value:
                set_it(value)
        getattr(warnings, "_filters_mutated", lambda: None)()  # which are cached
        self._loggers.restore()  # last: the root logger is an object of a module, too


def _same(now: Any, was: Any) -> bool:
    """Whether two collections of one kind hold the very same things, in the same order."""
    if len(now) != len(was):
        return False
    if isinstance(was, dict):
        return all(map(is_, now.values(), was.values())) and all(map(is_, now, was))
    return now == was if isinstance(was, set) else all(map(is_, now, was))


def _put_back(thing: Any, before: dict[str, Any]) -> None:
    """Restore an object's attributes."""
    now = dict(vars(thing))
    for name, value in before.items():
        if now.get(name, _ABSENT) is not value and not (thing is sys and name in _OURS_IN_SYS):
            with contextlib.suppress(AttributeError, TypeError):
                setattr(thing, name, value)
    for name in now.keys() - before.keys():
        # A module of a package is an attribute of it, and it stays imported.
        if not isinstance(now[name], ModuleType):
            with contextlib.suppress(AttributeError, TypeError):
                delattr(thing, name)


_STANDARD_ERROR = 2  # its descriptor: a server may have replaced `sys.stderr`


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


_SETTINGS: list[tuple[Any, Any]] = [
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.getswitchinterval, sys.setswitchinterval),
    (sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (gc.get_threshold, lambda threshold: gc.set_threshold(*threshold)),
    (gc.get_debug, gc.set_debug),
    (lambda: list(gc.callbacks), lambda callbacks: gc.callbacks.__setitem__(slice(None), callbacks)),
    (lambda: locale.setlocale(locale.LC_ALL), lambda name: locale.setlocale(locale.LC_ALL, name)),
    (_umask, os.umask),
    (socket.getdefaulttimeout, socket.setdefaulttimeout),
    (
        faulthandler.is_enabled,
        lambda on: faulthandler.enable(_STANDARD_ERROR) if on else faulthandler.disable(),
    ),
    (tracemalloc.is_tracing, lambda on: tracemalloc.start() if on else tracemalloc.stop()),
]
"""Settings of the interpreter and of the process: how each is asked for, and how it is set."""

"""Calls a function in a child of this process, and returns its result.

A scene is a function that somebody writes in a notebook, so it cannot be sent to another process; a fork has
it already. And a simulation replaces the clock of its whole process, which a notebook's own threads look at;
code that is tried out may also never return, and what it has changed must not stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import pickle
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from msgspec import Struct

T = TypeVar("T")

SECONDS = 20.0
"""Real seconds that a call may take."""
_CHUNK = 2**16
_OURS = str(Path(__file__).parent.parent)
_exit = os._exit  # the real one, also where a simulation was abandoned


class Sentence(Exception):  # noqa: N818 - named for what it is
    """Something that the reader has to know. A notebook shows the sentence, and nothing of our own code."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return str(self).splitlines()


class Failed(Sentence):
    """The function raised an exception; the text is what it was, and where outside of the kit."""


class Late(Exception):  # noqa: N818 - named for what it says
    """The function had to be ended, since it took too long."""


class _Outcome(Struct):
    """What a child sends: the result, or what it raised; and what it has printed."""

    result: object
    raised: Sentence | None
    printed: str


async def apart(function: Callable[[], T], seconds: float = SECONDS) -> T:
    """Call `function` in a child process, print what it prints, and return its result, which must be data.

    Whoever interrupts a cell cancels this, which ends the child. Raises Failed if it raises anything
    else than a sentence, and Late after so many seconds.
    """
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():  # only this thread is in the child, which uses nothing of the others
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _in_child(function, writer)
    os.close(writer)
    # Not here: a notebook that is interrupted goes on waiting for whatever it waits for.
    reading = asyncio.get_running_loop().run_in_executor(None, _read, reader, time.monotonic() + seconds)
    try:
        data = await reading
    finally:
        status = _ended(child)
    if not data:
        raise Failed(f"the process that played ended without a result (status {status})")
    outcome: _Outcome = pickle.loads(data)
    if outcome.printed:
        print(outcome.printed, end="")
    if outcome.raised is not None:
        raise outcome.raised
    return outcome.result  # type: ignore[return-value]


def _ended(child: int) -> int:
    """End a child, and return how it ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _in_child(function: Callable[[], object], writer: int) -> NoReturn:
    """Call the function, write what came of it, and end without any clean-up, which is the parent's."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C reaches all processes of a notebook
        printed = sys.stdout = io.StringIO()
        result, raised = None, None
        try:
            result = function()
        except Sentence as sentence:
            raised = sentence
        except Exception as error:
            raised = Failed(_told(error))
        data = pickle.dumps(_Outcome(result, raised, printed.getvalue()))
        while data:
            data = data[os.write(writer, data) :]
    finally:
        _exit(0)


def _told(error: Exception) -> str:
    """A traceback that leaves out our own frames."""
    found = traceback.TracebackException.from_exception(error)
    own = [frame for frame in found.stack if not frame.filename.startswith(_OURS)]
    found.stack[:] = own
    return "".join(found.format(chain=False)).rstrip()


def _read(reader: int, deadline: float) -> bytes:
    """All that comes from a pipe, until it ends."""
    found = bytearray()
    try:
        while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
            part = os.read(reader, _CHUNK)
            if not part:
                return bytes(found)
            found += part
        raise Late
    finally:
        os.close(reader)

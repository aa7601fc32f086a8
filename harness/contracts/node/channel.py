"""The Node process that runs a component, and the turns that we take with it: see `__init__.py`."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import json
import os
import signal
import subprocess
import tempfile
import time
import zlib
from collections import deque
from collections.abc import Callable
from os import read as _read  # the real ones, also on a simulated host
from os import urandom as _urandom
from os import write as _write
from pathlib import Path
from select import POLLIN
from select import poll as _poll
from typing import Any, NamedTuple

import msgspec
import psutil

from harness.contracts.node.begun import Begun
from harness.contracts.node.errors import Ended, error_of
from harness.contracts.node.values import Decoder, encoded
from harness.history.source_files import line_of
from harness.typescript.bounded import environment
from lab.interfaces import StoreError

_HERE = Path(__file__).parent
_HEAP = 192
"""Mebibytes that the component's objects may take in Node."""
BUSY_SECONDS = 2.0
"""Of processor time in one turn, after which it is an endless loop: a turn takes milliseconds."""
BLOCKED_SECONDS = 6.0
"""For which it may sleep in one turn, likewise."""
_LOOK_SECONDS = 0.1
_STUCK = "stuck "
_LOG = 20_000
"""Bytes of what it has printed that are looked at."""
_PIECE = 256 * 1024
_LARGEST = 64 * 1024 * 1024
"""Bytes of one message: the component's values have limits of their own."""
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Answer(NamedTuple):
    """A value as it came from Node; `array` is its number there, if it is one."""

    value: Any
    array: int | None = None


class Channel:
    """A Node process and what we know of it. `node` is the program, `folder` that of compiled components."""

    def __init__(self, node: str, folder: Path) -> None:
        self.cpu = 0.0
        """Seconds of processor time that it has taken."""
        self.ended: Ended | None = None
        self.on_unhandled: Callable[[BaseException], None] = lambda error: None
        """Called with each rejection that nobody handles: it ends a server."""
        self.on_blocked: Callable[[str, float], None] = lambda place, seconds: None
        """Called where it has kept the event loop from running, with the seconds."""
        self.on_wrote: Callable[[Path, int, int | None], None] = lambda path, start, size: None
        """Called after each write: so many bytes were appended; None: another change."""
        self.on_spent: Callable[[float, str], None] = lambda seconds, place: None
        """Called when a turn has waited busily for so many seconds."""
        self.on_synced: Callable[[int, int], None] = lambda inode, size: None
        """Called with an inode, and how many bytes of it are safe."""
        self.decode = Decoder(lambda number: self._stand_ins[number])
        self.is_reacting: Callable[[Any], bool] = lambda thing: bool(getattr(thing, "reactions", ()))
        """Whether a member calls the component when it is sent something."""
        self._stand_ins: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}  # of stand-ins, by the `id` of the object
        self._results: dict[int, Answer | BaseException] = {}
        self._futures: dict[int, asyncio.Future[Answer]] = {}
        self._callers: dict[int, contextvars.Context] = {}
        self._errors: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = self._depth = self._play = 0
        self._is_in_turn = False
        self._begin(node, folder)

    # --- the process ------------------------------------------------------------------------------

    def _begin(self, node: str, folder: Path) -> None:
        theirs, self._output = os.pipe()
        self._input, ours = os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process lives
        options = ["--no-warnings", "--experimental-vm-modules", f"--max-old-space-size={_HEAP}"]
        self._process = subprocess.Popen(
            [node, *options, str(_HERE / "host.mjs"), str(theirs), str(ours), str(folder)],
            stdin=subprocess.DEVNULL,
            env=environment(),
            stdout=self._log,
            stderr=self._log,
            pass_fds=(theirs, ours),
        )
        os.close(theirs)
        os.close(ours)
        self._lines: deque[bytes] = deque()
        self._rest: list[bytes] = []  # of a line that has not ended
        self._size = 0
        self._cores: set[int] = set()  # that we had before
        self._watched = psutil.Process(self._process.pid)
        self._share_a_core()
        self._poll = _poll()
        self._poll.register(self._input, POLLIN)
        self._word = _urandom(16).hex().encode()
        self._send({"word": self._word.decode()})

    def _share_a_core(self) -> None:
        """Run both of us on one processor core: one of us always waits for the other, and is woken faster.

        Not on a busy machine, where others may have that core.
        """
        with contextlib.suppress(AttributeError, OSError):  # Linux has it
            cores = sorted(os.sched_getaffinity(0))
            if os.getloadavg()[0] < len(cores):
                self._cores = set(cores)
                for pid in (0, self._process.pid):
                    os.sched_setaffinity(pid, {cores[os.getpid() % len(cores)]})

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """End it."""
        if self._cores:
            os.sched_setaffinity(0, self._cores)
        with contextlib.suppress(OSError):
            os.close(self._output)
        with contextlib.suppress(OSError):
            os.close(self._input)
        self._process.kill()
        self._process.wait()
        self._log.close()

    def printed(self) -> list[str]:
        """The lines that it has printed, the last ones."""
        return [line for line in self._end_of_log() if line.strip()][-12:]

    def _end_of_log(self) -> list[str]:
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), _LOG, max(size - _LOG, 0)).decode(errors="replace")
        return text.split("\n")

    # --- what contracts ask for ---------------------------------------------------------------------

    def play(self, seed: str, root: Path) -> None:
        """Begin a play: all that was made before is gone."""
        self.end_turn()
        self._stand_ins, self._numbers, self._results, self._futures = {}, {}, {}, {}
        self._callers, self._errors, self.decode = {}, [], Decoder(lambda number: self._stand_ins[number])
        self._play += 1
        self._turn({"op": "play", "seed": zlib.crc32(seed.encode()), "root": str(root)})

    def load(self, file: Path, component: str) -> int:
        """Evaluate the component's module anew; returns its number. Raises NodeError."""
        return int(self._ask({"op": "load", "file": str(file), "component": component}).value)

    def make(self, module: int, args: list[Any]) -> int:
        """A new instance of its class; returns its number. Raises what the constructor has thrown."""
        number = self._next()
        self._ask({"op": "make", "module": module, "args": args, "cwd": os.getcwd()}, number)
        return number

    def call(self, on: int, method: str, args: list[Any]) -> Answer:
        """Call a method that returns at once. Raises what it has thrown."""
        return self._ask({"op": "call", "on": on, "method": method, "args": args})

    async def call_later(self, on: int, method: str, args: list[Any]) -> Answer:
        """Call a method that returns a promise, and wait for it."""
        number = self._next()
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._futures[number] = future
        self._turn({"op": "call", "on": on, "method": method, "args": args, "isLater": True, "id": number})
        return await future

    def array(self, number: int, *, is_cleared: bool = False) -> list[Any]:
        """What an array that was returned holds now; with `is_cleared`, after it was made empty."""
        asked = {"op": "array", "array": number, "isCleared": is_cleared}
        return list(self._ask(asked).value)

    def stand_in(self, kind: str, thing: Any) -> dict[str, Any]:
        """What stands for an object of ours in a message."""
        number = self._numbers.get(id(thing))
        if number is None:
            number = self._numbers[id(thing)] = len(self._stand_ins) + 1
            self._stand_ins[number] = thing
        return {"$": "stand-in", "kind": kind, "id": number}

    # --- turns ------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._last += 1
        return self._last

    def _ask(self, message: dict[str, Any], number: int | None = None) -> Answer:
        """Take a turn, and return the result of what was asked for, as soon as it is there.

        What the component does later in that turn is not done yet when the caller looks at what it did.
        """
        number = number or self._next()
        self._turn({**message, "id": number}, until=number)
        while number not in self._results:
            if not self._is_in_turn:
                name = message.get("method", "the module")
                raise error_of({"name": "Error", "message": f"`{name}` never returns"}, "")
            self._take()
        result = self._results.pop(number)
        if isinstance(result, BaseException):
            raise result
        return result

    def _turn(self, message: dict[str, Any], until: int = 0) -> None:
        """Send a message, and do what comes back until Node is idle. Within a turn, only send it.

        The turn may be left before its end, once there is the result `until`; the next one ends it first.
        """
        if self._depth == 0:
            self.end_turn()
        number = message.get("id")
        if number is not None:
            self._callers[number] = contextvars.copy_context()
        self._send(message)
        if self._depth == 0:
            self._is_in_turn = True
            self.end_turn(until)

    def end_turn(self, until: int = 0) -> None:
        """Do what Node asks for until it is idle, or until there is the result `until`. Raises Ended."""
        self._depth += 1
        try:
            while self._is_in_turn and not (until and until in self._results):
                self._is_in_turn = self._take()
        finally:
            self._depth -= 1

    def _take(self) -> bool:
        """Do what the next message says; False if it says that Node is idle."""
        message = self._receive()
        match message["do"]:
            case "idle":
                self.cpu = message["cpu"]
                spent = message["spent"]
                if spent["milliseconds"]:
                    self.on_spent(spent["milliseconds"] / 1000, place_of(spent["where"]))
                return False
            case "result":
                self._result(message)
            case "tell":
                self._answer(message)
            case "call":
                self._send({"op": "return", **self._answer(message)})
            case "begin":
                self._begin_task(message)
            case "timer":
                self._set_timer(message)
            case "wrote":
                self.on_wrote(Path(message["path"]), message["start"], message["size"])
                self._send({"op": "return"})
            case "synced":
                self.on_synced(message["inode"], message["size"])
            case "blocked":
                self.on_blocked(place_of(message["where"]), message["milliseconds"] / 1000)
            case "unhandled":
                self.on_unhandled(self._error(message["error"]))
            case "lacking":
                raise self._has_ended(Ended("lacking", message["what"], ""))
            case "ended":
                raise self._has_ended(Ended("ended", message["by"], place_of(message["where"])))
        return True

    def _result(self, message: dict[str, Any]) -> None:
        number, got = message["id"], message.get("value")
        result: Answer | BaseException
        if "error" in message:
            result = self._error(message["error"])
        elif isinstance(got, dict) and got.get("$") == "array":
            result = Answer(got["items"], got["id"])
        else:
            result = Answer(got)
        future = self._futures.pop(number, None)
        if future is None:
            self._results[number] = result
        elif not future.done() and not future.get_loop().is_closed():
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    # --- what the component asks for ----------------------------------------------------------------

    def _context(self, message: dict[str, Any]) -> contextvars.Context:
        """That of the call on whose behalf something happens: the recorded calls name it."""
        return self._callers.get(message["caller"] or 0) or contextvars.copy_context()

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        thing = self._stand_ins[message["on"]]
        depth, context = self._depth, self._context(message).copy()
        try:
            return {"value": context.run(self._served, thing, message["method"], message["args"])}
        except Exception as error:
            return {"error": self._told(error)}
        finally:
            self._depth = depth

    def _served(self, thing: Any, method: str, args: list[Any]) -> Any:
        """Call a method of a stand-in for the component: its result, or a coroutine for it."""
        decode = self.decode
        match method:
            case "send":
                return thing.send(decode.frame(args[0]))
            case "publish":
                return thing.publish(decode.value(args[0]), decode.frame(args[1]))
            case "save":
                return thing.save(decode.messages(args[0]))
            case "members":
                return [self.stand_in("member", each) for each in thing.members(decode.value(args[0]))]
        return getattr(thing, method)(*(decode.value(each) for each in args))

    def _begin_task(self, message: dict[str, Any]) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # no loop runs between two plays
            return
        play, context = self._play, self._context(message).copy()
        # It begins at once, as in the component's own process: what it calls next comes after that.
        call = Begun(
            context, self._served, self._stand_ins[message["on"]], message["method"], message["args"]
        )

        async def serve() -> None:
            try:
                answer = {"value": self.encode(await call)}
            except Exception as error:
                answer = {"error": self._told(error)}
            if self.ended is None and self._play == play:
                self._turn({"op": "settle", "id": message["id"], **answer})

        task = loop.create_task(serve(), context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def encode(self, value: Any) -> Any:
        """A value for the component, which it may give back."""
        self.decode.keep(value)
        return encoded(value)

    def _set_timer(self, message: dict[str, Any]) -> None:
        play = self._play

        def fire() -> None:
            if self.ended is None and self._play == play:
                self._turn({"op": "timer", "id": message["id"]})

        with contextlib.suppress(RuntimeError):  # no loop runs between two plays
            asyncio.get_running_loop().call_later(message["milliseconds"] / 1000, fire)

    # --- errors -----------------------------------------------------------------------------------

    def _error(self, told: dict[str, Any]) -> BaseException:
        """The exception for an error of the component's; our own one if it was ours first."""
        if told.get("id") is not None:
            known: BaseException = self._errors[told["id"]]
            return known
        return error_of(told, place_of(told["where"]))

    def _told(self, error: Exception) -> dict[str, Any]:
        """An exception of ours, for the component."""
        self._errors.append(error)
        kind = "StoreError" if isinstance(error, StoreError) else type(error).__name__
        number = error.errno if isinstance(error, OSError) else None
        code = errno.errorcode.get(number or 0, "")
        return {
            "kind": kind,
            "message": f"{code}: {error.strerror}" if isinstance(error, OSError) and code else str(error),
            "code": code,
            "errno": -number if number else None,
            "id": len(self._errors) - 1,
        }

    # --- bytes ------------------------------------------------------------------------------------

    def _send(self, message: dict[str, Any]) -> None:
        if self.ended is not None:
            raise self.ended
        message["now"] = time.time() * 1000
        message["isAlone"] = not any(map(self.is_reacting, self._stand_ins.values()))
        data = memoryview(_encode(message) + b"\n")
        try:
            while data:
                data = data[_write(self._output, data) :]
        except BrokenPipeError:
            raise self._has_ended(self._died()) from None

    def _receive(self) -> dict[str, Any]:
        if self.ended is not None:
            raise self.ended
        while not self._lines:
            self._read_some()
        line = self._lines.popleft()
        if not line.startswith(self._word):  # the component has written it
            raise self._has_ended(Ended("ended", "a line of its own", ""))
        line = line[len(self._word) :]
        try:
            found: dict[str, Any] = _decode(line)
        except msgspec.DecodeError:  # half of a character
            found = json.loads(line)
        return found

    def _read_some(self) -> None:
        """Read what has come. Raises Ended if it has died, or does not answer any more."""
        if not self._poll.poll(_LOOK_SECONDS * 1000):
            self._wait_longer()
        data = _read(self._input, _PIECE)
        if not data:
            raise self._has_ended(self._died())
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self._rest, lines[0]])
            self._lines.extend(lines)
            self._rest, self._size = [rest], len(rest)
        else:
            self._rest.append(rest)
            self._size += len(rest)
        if self._size > _LARGEST:
            raise self._has_ended(Ended("memory", f"{self._size} bytes", ""))

    def _wait_longer(self) -> None:
        """Wait for a turn that takes long. Raises Ended if Node is to blame, and not the machine."""
        used, asleep = self._used(), 0.0
        while not self._poll.poll(_LOOK_SECONDS * 1000):
            with contextlib.suppress(psutil.Error):
                asleep += _LOOK_SECONDS * (self._watched.status() == psutil.STATUS_SLEEPING)
            if self._used() - used > BUSY_SECONDS or asleep > BLOCKED_SECONDS:
                raise self._has_ended(Ended("busy", "", self._stuck_where()))

    def _used(self) -> float:
        """Seconds of processor time that Node has taken."""
        with contextlib.suppress(psutil.Error):
            times = self._watched.cpu_times()
            return float(times.user + times.system)
        return 0.0

    def _stuck_where(self) -> str:
        """Where it is, as its own thread has written it down (`watch.mjs`)."""
        for line in reversed(self._end_of_log()):
            if line.startswith(_STUCK):
                with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
                    return place_of(_decode(line.removeprefix(_STUCK).encode()))
        return ""

    def _has_ended(self, ended: Ended) -> Ended:
        self.ended = ended
        self._process.kill()
        return ended

    def _died(self) -> Ended:
        """Why its process has ended by itself."""
        code = self._process.wait()
        if any("heap out of memory" in line for line in self._end_of_log()):
            return Ended("memory", f"{_HEAP} MiB", "")
        by = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return Ended("ended", by, "")


def place_of(where: dict[str, Any] | None) -> str:
    """A place with its line of code, as for Python: "sequencer.ts, line 12, in accept: …"."""
    if where is None:
        return ""
    place = f"{Path(where['file']).name}, line {where['line']}"
    name = where.get("name", "").rpartition(".")[2]
    place += f", in {name}" if name else ""
    source = line_of(where["file"], where["line"])
    return f"{place}: {source}" if source else place

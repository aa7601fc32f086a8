"""The simulated world as scenarios see it: a server's program on a simulated host, and clients on another."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

from msgspec.structs import replace

from harness.history.events import Began, Event
from harness.history.raised import Raised
from harness.judged import environment
from harness.judged.bounds import SIMULATED_EVENTS
from harness.judged.process import in_memory
from harness.judged.targets import CommandNotFound, Target, python_program
from harness.verdict.causes import LONG_BLOCK, Cause, in_order
from harness.verdict.outcome import Outcome, Text
from harness.worlds.connection import Connection
from harness.worlds.served import Process, ServedWorld
from harness.worlds.sim import modules
from harness.worlds.sim.first_start import FirstStart, starts_elsewhere
from harness.worlds.sim.host import ANOTHER, LOCKS, Host, without_observers
from harness.worlds.sim.hostloop import wake
from harness.worlds.sim.network import NARROW, Address, Transport
from harness.worlds.sim.simulator import UPTIME, Simulator
from harness.worlds.sim.source_locations import package_of, raised_where, roots_of
from harness.worlds.sim.stand_ins import NotSimulated
from harness.worlds.surroundings import POLL, PlayStopped
from harness.worlds.timeline import Timeline
from harness.worlds.torn import is_text, sizes
from lab.legible import legible
from lab.protocol import HEARTBEAT_INTERVAL, OFFLINE_TIMEOUT

NEW_YEAR = 1_767_225_600.0
"""The time of day at which every run begins: 2026-01-01, in seconds since the Unix epoch."""
LONGEST_INTERVAL = 0.5
"""The longest time in seconds between two checks of what is waited for, when nothing happens."""

_started: set[tuple[tuple[str, ...], str]] = set()
"""The programs that were started in this process, and in which folders."""
_OUR_PACKAGES = frozenset(name.partition(".")[0] for name in sys.modules)
"""What is imported already: no program is the first to set anything up there."""
_TICK = 1e-6
"""Seconds between two events that happen at the same moment: code takes no time here."""


class SimTimeline(Timeline):
    """A timeline on which no two events are at one time: code takes no time here."""

    _last = 0.0

    def _weight(self) -> int:
        """Nothing: the process that plays is watched from outside, and one seed is to be one history."""
        return 0

    def now(self) -> float:
        """Seconds since the run began: a little more at each call."""
        self._last = max(super().now(), self._last + _TICK)
        return self._last

    @property
    def just_now(self) -> float:
        """The same, for what must not move any other event: between the last one and the next."""
        return max(super().now(), self._last + _TICK / 2)


class SimWorld(ServedWorld):
    """A Python server on a simulated host. Create it inside `simulator.run`."""

    kind = "sim"
    heartbeat_interval = HEARTBEAT_INTERVAL
    offline_timeout = OFFLINE_TIMEOUT
    timeline: SimTimeline
    disk: str | None = None
    """The folder that data folders are made in."""

    def __init__(
        self, simulator: Simulator, target: Target, exercise: int, seed: str, beside: SimWorld | None = None
    ) -> None:
        self.simulator = simulator
        self._waiting: list[asyncio.Future[None]] = []
        self._will_wake = False
        self._interval = POLL
        self._hosts: list[Host] = beside._hosts if beside else []
        self._exercise, self._seed = exercise, seed
        self._blocks: dict[str, Cause] = beside._blocks if beside else {}  # by place
        # What the program that starts has found in its data folder.
        self._found: Path | None = beside.data if beside else None
        super().__init__(target, beside.timeline if beside else self._new_timeline(), beside)
        self.printing.cleaned = without_observers

    def _new_timeline(self) -> SimTimeline:
        timeline = SimTimeline(Random(f"{self._seed}/nonce").randbytes(3).hex())
        timeline.most_events = SIMULATED_EVENTS
        start = self.simulator.start
        timeline.record(Began(0.0, self._exercise, self._seed, timeline.nonce, self.kind, start))
        return timeline

    def _beside(self) -> SimWorld:
        second = SimWorld(self.simulator, self.target, self._exercise, self._seed, self)
        second.heartbeat_interval, second.offline_timeout = self.heartbeat_interval, self.offline_timeout
        return second

    # --- time -------------------------------------------------------------------------------------

    def record(self, event: Event) -> None:
        """Add an event to the history, and soon wake those who wait for something."""
        super().record(event)
        if self._waiting and not self._will_wake:
            self._will_wake = True
            asyncio.get_running_loop().call_later(POLL, self._wake)

    def _wake(self) -> None:
        self._will_wake, self._interval = False, POLL
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            wake(each)

    async def moment(self) -> float:
        """Wait until something has happened, or for a while that becomes longer and longer."""
        before, loop = self.now(), asyncio.get_running_loop()
        something = loop.create_future()
        self._waiting.append(something)
        self._interval = min(2 * self._interval, LONGEST_INTERVAL)
        timer = loop.call_later(self._interval, wake, something)
        try:
            await something
        finally:
            timer.cancel()
        return self.now() - before

    # --- the network ------------------------------------------------------------------------------

    def _disk(self) -> str | None:
        return self.disk or in_memory()

    def _free_port(self) -> int:
        return self.simulator.network.free_port()

    async def _socket(self, host: str, port: int, timeout: float, *, narrow: bool) -> Any:
        return Address(port, NARROW if narrow else None)

    def reset(self, connection: Connection) -> None:
        """A TCP reset."""
        transport = connection.transport
        assert isinstance(transport, Transport)
        transport.reset()

    # --- the server -------------------------------------------------------------------------------

    async def start_server(self) -> None:
        """Start the program on a copy of the data: the last one may still have the original files open.

        The copy has the name that the data had: a server may have stored where it is.
        """
        assert self._folder is not None
        if self._starts:
            before = self.data.rename(self._folder / f"before-{self._starts}")
            shutil.copytree(before, self.data, symlinks=True)
            self._found = before
        await super().start_server()

    async def starts_on(self, data: Path) -> bool:
        """Start the program on data that is there already; whether it does, or is refused."""
        assert self._folder is not None
        self._folder.rmdir()
        self._folder, self._data = data.parent, data.name
        try:
            await self.start_server()
        except PlayStopped:
            return self._process is not None and bool(self._process.refused)
        return True

    async def _wait_ready(self, process: Process | None) -> None:
        """See ServedWorld. A program that does not start *again* may be right: see `first_start.py`."""
        try:
            await super()._wait_ready(process)
        except PlayStopped:
            assert isinstance(process, SimProcess)
            again = process.is_again and not process.refused
            if again and starts_elsewhere(self._first_start(process)):
                process.host.refused = NotSimulated("restart", process.ended_where())
                self._event("not_simulated", **process.refused)
            raise

    def _first_start(self, process: SimProcess) -> FirstStart:
        """What is needed to start this program on the data that it found, in the same place."""
        shutil.rmtree(process.data)
        if self._found is None:
            process.data.mkdir()
        else:
            shutil.copytree(self._found, process.data, symlinks=True)
        now = self.simulator.start + self.simulator.now - UPTIME
        intervals = self.heartbeat_interval, self.offline_timeout
        return FirstStart(self.target, self._exercise, str(process.data), now, *intervals)

    def _launch(self) -> Process:
        assert self.target.command is not None
        program = python_program(self.target.command)
        if program is None or (program[0] != "-m" and not (Path(self.target.cwd) / program[0]).is_file()):
            raise CommandNotFound("program.missing", program=(program or self.target.command)[0])
        host = self.simulator.host("server")
        self._hosts.append(host)
        key = self.target.command, self.target.cwd
        process = SimProcess(host, self.data, key in _started)
        _started.add(key)
        host.on_print = self._hear
        host.on_block = lambda where, _: self._blocked(where, host.busy_until - self.simulator.now)
        host.synced = {size.inode: size.size for size in sizes(self.data).values()}

        def main() -> None:
            self.simulator.new_process()
            os.chdir(self.target.cwd)
            gone = modules.forget_own(program[1] if program[0] == "-m" else "")
            host.keep(gone)
            if program[0] == "-m":
                modules.run_module(program[1], program[2:])
            else:
                modules.run_file(Path(self.target.cwd) / program[0], program[1:])

        host.start(main, environment.of_server(self._settings(), self.target.passed))
        return process

    def _hear(self, text: str) -> None:
        self.printing.take(self.timeline.just_now, text)

    def _blocked(self, where: str, seconds: float) -> None:
        """The server's loop has not run for so many seconds, since it is there: a mistake, if it is long."""
        if seconds >= LONG_BLOCK:
            now = self.timeline.just_now
            known = self._blocks.get(where) or Cause("blocks", "", *_place_and_source(where), 0, now)
            longest = max(seconds, known.seconds)
            self._blocks[where] = replace(known, count=known.count + 1, seconds=longest)

    def causes(self) -> list[Cause]:
        """See ServedWorld; and what has kept the server's loop from running, and has ended its tasks."""
        printed = super().causes()
        ended = {where: error for host in self._hosts for where, error in host.unseen_errors().items()}
        tasks = [
            Cause("task", error, *_place_and_source(where), is_usual=Raised(error, []).is_usual)
            for where, error in ended.items()
        ]
        tasks = [cause for cause in tasks if all(cause.where != each.where for each in printed)]
        return in_order([*printed, *self._blocks.values(), *tasks])

    async def _kill(self, detail: dict[str, object]) -> None:
        """SIGKILL; before, record which messages a power failure would lose."""
        assert isinstance(self._process, SimProcess)
        synced = self._process.host.synced
        for path, size in sorted(self.stored().items()):
            if size.size > synced.get(size.inode, 0):
                with path.open("rb") as file:
                    file.seek(synced.get(size.inode, 0))
                    text = file.read()
                tags = re.findall(rf"{self.nonce}-\d+", text.decode()) if is_text(text) else []
                if tags:
                    self.note("unsynced", {"at": self.now(), "file": path.name, "tags": tags})
        await super()._kill(detail)

    def remarks(self, outcome: Outcome) -> list[Text]:
        """Short calls of `time.sleep`; after a failure, which tasks wait for locks."""
        found: dict[str, float] = {}
        for host in self._hosts:
            for where, seconds in host.slept.items():
                found[where] = found.get(where, 0.0) + seconds
        texts = [
            Text("slept", {"where": where, "seconds": round(each, 3)})
            for where, each in found.items()
            if where not in self._blocks
        ]
        texts = [*super().remarks(outcome), *texts]
        if outcome is Outcome.FAILED and isinstance(self._process, SimProcess):
            places = dict.fromkeys(self._process.host.waiting(LOCKS))
            texts += [Text("waits_for_lock", {"where": place}) for place in places]
        return texts


def _place_and_source(where: str) -> tuple[str, str]:
    place, _, source = where.partition(": ")
    return place, source


class SimProcess:
    """A simulated host as a run of a server's program, whose data lies in `data`.

    `is_again` says whether that program has been started in this Python process before.
    """

    def __init__(self, host: Host, data: Path, is_again: bool) -> None:
        self.host = host
        self.data = data
        self.is_again = is_again

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.host.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by that signal); None while it runs."""
        return self.host.exit_code

    @property
    def is_serving(self) -> bool:
        """Whether it runs: a host is a single process."""
        return self.exit_code is None

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self.exit_code is not None

    @property
    def is_kept_out(self) -> bool:
        """No: simulated connections end at once."""
        return False

    @property
    def is_lost(self) -> bool:
        """No."""
        return False

    @property
    def is_elsewhere(self) -> bool:
        """Never: only its own process listens on its host."""
        return False

    def what_is_left(self) -> list[str]:
        """Nothing."""
        return []

    @property
    def printed(self) -> int:
        """How many characters it has printed."""
        return self.host.printed

    @property
    def refused(self) -> Mapping[str, str]:
        """What it used that the simulated world does not have, and where."""
        refused = self.host.refused
        if refused is None and self._ended_in_a_package():
            refused = NotSimulated("restart", self.ended_where())
        return {"lacking": refused.what, "where": refused.where, "name": refused.name} if refused else {}

    def _ended_in_a_package(self) -> bool:
        """Whether it ended by an exception of a package that may keep state of an earlier start."""
        if not self.is_again or self.host.error is None:
            return False
        packages = {package_of(error) for error in roots_of(self.host.error)}
        return bool(packages - _OUR_PACKAGES - {""})

    def ended_where(self) -> str:
        """The place in its code that ended it, as far as there is one."""
        return raised_where(roots_of(self.host.error)[0]) if self.host.error is not None else ""

    def terminate(self) -> None:
        """Ask it to stop."""
        self.host.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self.host.kill()

    def hangs_where(self) -> list[str]:
        """End it, and return where it sleeps, or its tasks wait: first those that wait for one another."""
        sleeps = self.host.busy_until > self.host.simulator.now
        places = [self.host.last_slept] if sleeps and self.host.last_slept else []
        places = places or self.host.waiting(ANOTHER) or self.host.waiting()
        self.host.kill(signal.SIGABRT)
        return list(dict.fromkeys(places))[:4]

    def listens_on(self) -> list[tuple[str, int]]:
        """The hosts and ports that it listens on: every host is this machine."""
        return [("127.0.0.1", port) for port in self.host.simulator.network.ports_of(self.host)]

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines of what it printed."""
        folder = str(self.data.parent)
        found = [legible(line.replace(folder, "…")) for line in self.host.lines() if line.strip()]
        return found[-lines:]

"""One call of `chatlab load`: the server and Locust as processes, from their start to their end.

Locust patches the sockets and threads of its whole process, so it gets one of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import site
import sys
import tempfile
import time
from math import inf
from pathlib import Path

from msgspec.structs import replace

from harness.checkers import lifecycle
from harness.history.events import Server
from harness.history.index import HistoryIndex
from harness.judged.bounds import LOAD_END_SECONDS, load_settle_seconds
from harness.judged.listeners import can_listen
from harness.judged.machine_limits import few_files
from harness.judged.targets import ROOT, Target
from harness.load import partial
from harness.load.exchange import Exchange, Order
from harness.load.options import FOLDER, PARENT, Options
from harness.load.telemetry import with_defaults
from harness.posix import end_group
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.texts import texts
from harness.texts.console import echo
from harness.verdict.judge import limit_of_machine
from harness.verdict.outcome import EXIT_CODES, EXIT_DEFECT, Outcome
from harness.worlds.live import LiveWorld
from harness.worlds.surroundings import PlayStopped
from lab.command import EXIT_INTERRUPTED, EXIT_USAGE
from lab.system import when_told_to_stop

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
POLL = 0.1
NOBODY = ("nobody", "no_address")
"""Why a server at a URL is none: there is nothing to judge then."""
RECORD_SECONDS = 0.1
"""Seconds more for the start and the verdict, for each user: a thousand of them say and hear much."""
INTERVALS = {"HEARTBEAT_INTERVAL": "10", "OFFLINE_TIMEOUT": "30"}
"""Seconds that servers are told: about as in life, and yet several heartbeats in a minute."""


def locust_alone(folder: Path) -> dict[str, str]:
    """The environment for Locust, which is run in `folder`, an empty one: no settings but ours reach it.

    It takes settings from variables, and from files in the current folder and in the home folder. From the
    latter Python takes packages, too, and those stay.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOCUST_")}
    paths = [ROOT, *(Path(each).absolute() for each in kept.get("PYTHONPATH", "").split(os.pathsep) if each)]
    return with_defaults(kept) | {
        "HOME": str(folder),
        "USERPROFILE": str(folder),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONUNBUFFERED": "1",
        PARENT: str(os.getpid()),
        FOLDER: str(folder),
    }


class Launch:
    """Load on one server."""

    def __init__(self, target: Target, asked: Options) -> None:
        self.target = replace(target, env={**target.env, **INTERVALS})
        self.asked = asked
        self.texts = texts(asked.lang)
        self.interrupts = 0
        self.locust: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Start everything, wait for the verdict, end everything; returns the exit code."""
        when_told_to_stop(self._interrupt)
        port = self.asked.web_port
        if port is not None and not can_listen(port):
            echo(self.texts.say("load.port_taken", port=port), err=True)
            return EXIT_USAGE
        if self._lacks_files():
            echo(self.texts.say("load.files", users=self.asked.users), err=True)
            return EXIT_CODES[Outcome.INCONCLUSIVE]
        world = LiveWorld(self.target, 0, "load")
        with tempfile.TemporaryDirectory(prefix="chatlab-load-") as folder:
            self._exchange = Exchange(Path(folder))
            try:
                return await self._run(world, Path(folder))
            finally:
                self._kill_locust()
                if self.locust is not None:
                    await self.locust.wait()
                await world.close()

    async def _run(self, world: LiveWorld, folder: Path) -> int:
        if self.target.command is not None:
            echo(self.texts.say("load.starting"), err=True)
        ended = "worker_lost"  # unless something else has ended it first
        try:
            await world.start_server()
            if not self.interrupts:
                await self._start_locust(self._address(world), folder)
            latest = world.now() + self._most_seconds()
            while self.locust is not None and self.locust.returncode is None and world.now() < latest:
                world.check_server()
                await asyncio.sleep(POLL)
            if self.locust is not None and self.locust.returncode is None:
                self._kill_locust()
                await self.locust.wait()
                echo(self.texts.say("load.no_end"), err=True)
                ended = "flooded"
        except PlayStopped:
            ended = "server_ended"
            await self._stop_locust(world)
        ended = "interrupted" if self.interrupts else ended
        limit = limit_of_machine(HistoryIndex(world.history))
        if limit is not None:
            echo(Words(self.texts).text("doubt", limit), err=True)
        result = self._result(world, ended)
        if self.interrupts:
            echo(self.texts.say("ui.interrupted"), err=True)
            return EXIT_INTERRUPTED
        if limit is not None:
            return EXIT_CODES[Outcome.INCONCLUSIVE]
        return result

    def _result(self, world: LiveWorld, ended: str) -> int:
        """The exit code for what Locust has judged or, where it could not, for what is left of the test."""
        code = self.locust.returncode if self.locust is not None else None
        found = lifecycle.server(HistoryIndex(world.history), 0.0, inf)
        if code in (EXIT_DEFECT, EXIT_USAGE):
            return code
        if self._exchange.result.is_file():
            verdict = json.loads(self._exchange.result.read_text(encoding="utf-8"))["verdict"]
            return EXIT_CODES[Outcome.FAILED if found else Outcome(verdict)]
        journal = self._exchange.noted()
        if found and not journal:  # an old file must not be taken for the result
            partial.write_without(self.target.label, self.asked, found, self.texts)
        if self.target.url is not None and found and found[0].params.get("why") in NOBODY:
            echo(Words(self.texts).message(found[0]), err=True)
            return EXIT_USAGE
        if not journal:
            Terminal(self.texts).anomalies(found, "")
            if found:
                return EXIT_CODES[Outcome.FAILED]
            if code == 0 or self.interrupts:  # no test was started on the page, or none was begun
                return 0
            echo(self.texts.say("load.no_result", code=code), err=True)
            return EXIT_DEFECT
        return partial.tell(journal, ended, found, self.texts)

    def _most_seconds(self) -> float:
        """How long a load may take in all. On Locust's page, whoever started it ends it."""
        if self.asked.web_port is not None:
            return inf
        seconds = self.asked.seconds
        return seconds + load_settle_seconds(seconds) + LOAD_END_SECONDS + RECORD_SECONDS * self.asked.users

    def _lacks_files(self) -> bool:
        """Whether the system allows too few connections to one process: Locust or our server."""
        users, is_ours = self.asked.users, self.target.command is not None
        return few_files(users if is_ours else users // self.asked.processes)

    def _address(self, world: LiveWorld) -> str:
        if self.target.url is not None:
            return self.target.url
        started = [event for event in world.history if isinstance(event, Server) and event.what == "started"]
        return f"ws://127.0.0.1:{started[-1].detail['port']}/"

    # --- Locust -----------------------------------------------------------------------------------

    async def _start_locust(self, address: str, folder: Path) -> None:
        program = [sys.executable, "-P", "-m", "locust", "-f", str(LOCUSTFILE), "--skip-log-setup"]
        options = [*self.asked.for_locust(self.target.label), f"--host={address}"]
        if self.asked.web_port is not None:
            echo(self.texts.say("load.web", port=self.asked.web_port), err=True)
        self.locust = await asyncio.create_subprocess_exec(
            *program,
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            cwd=folder,
            env=locust_alone(folder),
            start_new_session=True,  # Ctrl-C reaches only us, and we stop Locust
        )

    def _interrupt(self) -> None:
        """The first Ctrl-C asks Locust to stop, which judges what was recorded; the second kills it."""
        self.interrupts += 1
        if self.locust is None or self.locust.returncode is not None:
            return
        if self.interrupts == 1:
            echo(self.texts.say("load.stopping"), err=True)
            self._exchange.order(Order("interrupted", []))
            self.locust.terminate()
        else:
            self._kill_locust()

    async def _stop_locust(self, world: LiveWorld) -> None:
        """Tell Locust what became of the server, have it judge what was recorded, and wait for that."""
        if self.locust is None or self.locust.returncode is not None:
            return
        shift = time.monotonic() - world.now()
        events = [event for event in world.history if isinstance(event, Server)]
        self._exchange.order(Order("server_ended", [replace(event, at=event.at + shift) for event in events]))
        self.locust.terminate()
        try:
            await asyncio.wait_for(self.locust.wait(), LOAD_END_SECONDS + RECORD_SECONDS * self.asked.users)
        except TimeoutError:
            self._kill_locust()
            await self.locust.wait()

    def _kill_locust(self) -> None:
        """Kill Locust and its child processes: they are one process group."""
        if self.locust is not None:
            end_group(self.locust.pid)

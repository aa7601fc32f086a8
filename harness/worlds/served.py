"""What the worlds have in common: a server program that is started, stopped, killed and copied.

A world says how a program is started (`_launch`), and how a connection to it is made and broken. All that
is done with it, and what is recorded when it does not serve, is the same whether it is a process or a
simulated one.
"""

from __future__ import annotations

import asyncio
import operator
import shutil
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

from harness.history import events as history
from harness.history.index import DYING_SECONDS
from harness.history.printed import Output
from harness.judged import machine_limits
from harness.judged.bounds import HURRIED_READY_SECONDS, MUCH_OUTPUT, REFERENCE_MEMORY, SERVER_MEMORY
from harness.judged.own_code import methods_of, own_code
from harness.judged.programs import windows_script
from harness.judged.targets import CommandNotFound, Target
from harness.verdict.causes import Cause, causes_in
from harness.verdict.outcome import Outcome, Text
from harness.worlds import dialling, greeting
from harness.worlds.base import World
from harness.worlds.client import Client
from harness.worlds.connection import Connection
from harness.worlds.library_errors import NotOpened
from harness.worlds.surroundings import BLOCKED, STOP_SECONDS, PlayStopped
from harness.worlds.timeline import Timeline
from harness.worlds.torn import Sizes, Watch, sizes

READY_SECONDS = 10.0
_READS = 32
"""Times that the rest of a server's output is read, when it has ended."""
WRITE_SECONDS = 1.0
"""Seconds within which a server stores what it received, if it ever does."""
GONE_SECONDS = 2.0
"""Seconds in which connections break once nobody holds their other end."""
HANG_TRIES = 4
"""New clients, with two seconds each, that may get no `connected` before the server counts as hanging."""
HOST = "127.0.0.1"
"""Where a server is told to listen."""
_HOSTS = {HOST, "0.0.0.0", "::"}
"""Where it may listen, so that clients reach it there."""
DIAL_SECONDS = 5.0
"""Seconds within which a connection is opened."""
_FINAL = (
    "nobody",
    "no_address",
    "redirect",
    "is_plain",
    "tls_fails",
    "certificate",
    "self_signed",
    "expired",
    "other_name",
)
"""What a server at a URL does not outgrow by starting."""
_WITH_OUTPUT = ("closes", "fails", "hangs_up", "returns", "silent")
"""Where the text shows what a server has printed."""
_PERHAPS_TLS = ("closes", "not_http", "plain_http", "tls_fails")
"""What a client meets that speaks TLS to a server without it, or the reverse."""
QUICK_INTERVAL = 0.5
"""Seconds between heartbeats, as servers are set where each check of a timeout would take long."""
QUICK_TIMEOUT = 1.5
"""Seconds, likewise: three intervals, so that a client may miss one answer on a loaded machine."""


class Process(Protocol):
    """A run of a server's program."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by that signal); None while it runs."""

    @property
    def is_serving(self) -> bool:
        """Whether it runs, or somebody listens on its port: a server may outlive its wrapper."""

    @property
    def is_gone(self) -> bool:
        """Whether no process of it is left, and nobody listens on its port."""

    @property
    def is_kept_out(self) -> bool:
        """Whether old connections hold its port, and it does not set SO_REUSEADDR."""

    @property
    def is_lost(self) -> bool:
        """Whether nobody can tell what is left of it, since it killed the process that watches over that."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another program runs it: no process of it is left, and somebody listens on its port."""

    def what_is_left(self) -> list[str]:
        """Its processes that still run, and whoever listens on its port: name and process id of each."""

    @property
    def printed(self) -> int:
        """About how many bytes it has printed."""

    @property
    def refused(self) -> Mapping[str, str]:
        """What it did that this world does not have, and where; empty if there is nothing."""

    def terminate(self) -> None:
        """Ask it to stop, and all that it started."""

    def kill(self) -> None:
        """End it and all that it started, at once; `is_gone` says whether it succeeded, or later does."""

    def hangs_where(self) -> list[str]:
        """End it, and return the places where it was, or what it printed last."""

    def listens_on(self) -> list[tuple[str, int]]:
        """The hosts and TCP ports that it listens on."""

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines of what it printed."""


class ServedWorld(World):
    """A world with a server in it."""

    heartbeat_interval: float
    offline_timeout: float

    def __init__(self, target: Target, timeline: Timeline, beside: ServedWorld | None = None) -> None:
        """`beside` is the world whose data this one gets a copy of."""
        super().__init__(timeline)
        self.target = target
        self.can_restart = target.command is not None
        self._folder = (
            Path(tempfile.mkdtemp(prefix="chatlab-", dir=self._disk())) if self.can_restart else None
        )
        self._data = "data"
        self._port = self._free_port() if self.can_restart else 0
        self._process: Process | None = None
        self._starts = 0
        self.not_its_own = 0.0
        """Seconds that were needed by what is not judged, which it has in addition to its own."""
        self.left = ""
        """What the server's command started and could not be ended when the world was closed."""
        self._reported: set[int] = set()
        self._started: Process | None = None
        self.printing = Output(timeline.aside, hidden=str(self._folder or ""), is_second=beside is not None)
        self.printing.is_reference = bool(target.uses)
        self._outputs: list[Output] = beside._outputs if beside else []  # of both worlds
        self._outputs.append(self.printing)
        if beside is not None:
            self.is_second = True
            assert self._folder is not None
            shutil.copytree(beside.data, self._folder / self._data, symlinks=True)

    @property
    def data(self) -> Path:
        """The server's data folder."""
        assert self._folder is not None, "a server at a URL has its data elsewhere"
        return self._folder / self._data

    def _disk(self) -> str | None:
        """Where to keep the data; None for where temporary files belong."""
        return None

    @abstractmethod
    def _free_port(self) -> int:
        """A free port."""

    @abstractmethod
    def _launch(self) -> Process:
        """Start the target's program. Raises CommandNotFound."""

    @abstractmethod
    async def _socket(self, host: str, port: int, timeout: float, *, narrow: bool) -> Any:
        """A socket that is connected to one of the host's addresses: see `connected_socket`."""

    # --- clients ----------------------------------------------------------------------------------

    @property
    def address(self) -> str:
        """Where clients connect to."""
        return self.target.url or f"ws://{HOST}:{self._port}/"

    async def dial(self, user: str, *, narrow: bool) -> Connection:
        """Open a WebSocket. Raises NotOpened."""
        return await self._dial(self.address, user, narrow, DIAL_SECONDS)

    async def _dial(self, address: str, user: str, narrow: bool, timeout: float) -> Connection:
        try:
            return await dialling.dial(address, user, timeout, partial(self._socket, narrow=narrow))
        except NotOpened as error:
            self._stop_if_lacking(error.__cause__)
            if error.why == "unreachable" and self.target.command is not None:
                self._lacks("loopback")
            raise

    # --- the server -------------------------------------------------------------------------------

    def _event(self, what: str, **detail: object) -> None:
        self.record(history.Server(self.now(), what, dict(detail), self.is_second))

    async def start_server(self) -> None:
        """Start the target's command, or see whether a server answers at its URL."""
        if self.target.command is None:
            await self._wait_ready(None)
            return
        self._process = self._begin()
        await self._wait_ready(self._process)

    def _begin(self) -> Process:
        self.check_disk(machine_limits.AT_START)
        if machine_limits.few_files():
            self._lacks("files")
        self._starts += 1
        try:
            self.data.mkdir(exist_ok=True)
            process = self._launch()
        except OSError as error:
            self._stop_if_lacking(error)
            raise
        except CommandNotFound as error:
            self._event("not_ready", why="command_not_found", problem=error.key, **error.params)
            raise PlayStopped from error
        self._started = process
        self._event("started", pid=process.pid, port=self._port)
        return process

    def check_disk(self, least: int) -> None:
        """Raise PlayStopped if the disk has no room for so many bytes of data."""
        folder = self._folder
        if folder is not None and folder.exists() and machine_limits.is_full(folder, least):
            self._lacks("disk")

    def _stop_if_lacking(self, error: BaseException | None) -> None:
        """Raise PlayStopped if an error shows a limit of this machine."""
        limit = machine_limits.limit_of(error)
        if limit:
            self._lacks(limit)

    def _lacks(self, limit: str) -> NoReturn:
        where = str(self._folder.parent) if self._folder is not None else ""
        self._event("limit", limit=limit, where=where)
        raise PlayStopped

    def _settings(self) -> dict[str, str]:
        """The environment variables that the program is given."""
        return {
            "HEARTBEAT_INTERVAL": f"{self.heartbeat_interval:g}",
            "OFFLINE_TIMEOUT": f"{self.offline_timeout:g}",
            **self.target.env,
            "HOST": HOST,
            "PORT": str(self._port),
            "DATA_DIR": str(self.data),
        }

    async def _wait_ready(self, process: Process | None) -> None:
        """Return when a client that connects is sent `connected`; else record what happened instead."""
        began = last = self.now()
        waited, most = 0.0, HURRIED_READY_SECONDS if self.is_hurried else READY_SECONDS
        while waited <= most:
            if process is not None and process.exit_code is not None:
                self._check_refused(process)
                self._reported.add(process.pid)
                self._event("not_ready", **self._why_exited(process))
                raise PlayStopped
            found = await self._look()
            if not found:
                self._event("ready", seconds=round(self.now() - began, 3))
                return
            await asyncio.sleep(0.01)
            waited += min(self.now() - last, 2.5)
            last = self.now()
            if process is None and found["why"] in _FINAL and waited > 1.0:
                break
        more = await self._why_not_ready(process, str(found["why"]))
        self._event("not_ready", **{"seconds": most, **found, **more})
        raise PlayStopped

    async def _look(self, seconds: float = greeting.SECONDS) -> dict[str, object]:
        """Why a new client is not greeted, and what shows it; empty if it is."""
        try:
            ws = await self._dial(self.address, self.name("probe"), narrow=False, timeout=seconds)
        except NotOpened as error:
            return {"why": error.why, **error.shown}
        try:
            return await greeting.look(ws)
        finally:
            await ws.close()

    def _why_exited(self, process: Process) -> dict[str, object]:
        """What is known of a program that ended before it listened: it may have left its server running."""
        found = self._how_it_ended(process)
        found["port"] = self._port
        if found["left"]:
            return found | {"why": "detached"}
        if process.is_kept_out:
            return found | {"why": "old_connections"}
        if script := windows_script(self.target.command or (), self.target.cwd):
            return found | {"why": "windows_script", "script": script}
        return found | {"why": "exited" if found["code"] else "ended"}

    def _how_it_ended(self, process: Process) -> dict[str, object]:
        """How a program ended by itself, what it printed last, and what it left if that is the server.

        What a program leaves behind that fails, such as its helpers, is not the server, unless it listens.
        """
        may_be_left = process.exit_code == 0 or process.is_serving
        left = ", ".join(process.what_is_left()) if may_be_left else ""
        return {"code": process.exit_code, "left": left, "output": process.tail()}

    async def _why_not_ready(self, process: Process | None, why: str) -> dict[str, object]:
        """What else can be found out of a server that does not become ready. If it hangs, this ends it."""
        output = process.tail() if process else []
        is_odd = why in _PERHAPS_TLS or (process is None and why == "silent")
        scheme = await self._other_scheme() if is_odd else ""
        found: dict[str, object] = {"why": scheme} if scheme else {}
        if process is None:
            return {**found, "url": self.address}
        if why == "nobody":
            return self._not_there(process)
        if why == "silent":
            self._reported.add(process.pid)
            output = process.hangs_where()
        return {**found, "output": output} if why in _WITH_OUTPUT else found

    def _not_there(self, process: Process) -> dict[str, object]:
        """Why there is no connection to a server that runs. If it listens nowhere, this ends it."""
        listens = process.listens_on()
        hosts = [host for host, port in listens if port == self._port]
        if _HOSTS & set(hosts):
            return {"why": "late"}  # since the last attempt to connect
        if hosts:
            names = [f"[{host}]" if ":" in host else host for host in hosts]
            return {"why": "wrong_host", "hosts": names, "host": HOST, "port": self._port}
        if listens:
            ports = sorted({port for _, port in listens})
            return {"why": "wrong_port", "ports": ports, "port": self._port}
        self._reported.add(process.pid)
        return {"why": "not_listening", "output": process.hangs_where()}

    async def _other_scheme(self) -> str:
        """`is_tls` if a server speaks TLS where it was expected not to, `is_plain` for the reverse."""
        return ""

    async def stop_server(self) -> None:
        """SIGTERM, and five seconds for it; then SIGKILL, which is recorded.

        Raises PlayStopped if that does not reach the server, since another program runs it.
        """
        assert self._process is not None
        process, self._process = self._process, None
        self._event("asked_to_stop")
        began = self.now()
        process.terminate()
        in_time = await self.until(lambda: not process.is_gone, STOP_SECONDS, may_hang=True)
        seconds = round(self.now() - began, 3)
        if not in_time and process.is_elsewhere:
            left = ", ".join(process.what_is_left())
            self._event("outlived", why="asked", left=left, port=self._port)
            self._keep_output(process)
            process.kill()
            raise PlayStopped
        more = {} if in_time else self._why_not_stopped(process)
        process.kill()  # or what it left behind
        self._event("stopped", in_time=in_time, code=process.exit_code, seconds=seconds, **more)
        await self._see_it_gone(process)

    def _why_not_stopped(self, process: Process) -> dict[str, object]:
        """What a program does five seconds after SIGTERM: it listens, runs, or has left others that run."""
        left = ", ".join(process.what_is_left()) if process.exit_code is not None else ""
        return {"listens": bool(process.listens_on()), "left": left}

    async def kill_server(self) -> None:
        """SIGKILL to all processes of it."""
        await self._kill({})

    async def kill_while_writing(self, watch: Watch, fraction: float) -> int:
        """SIGKILL at its next write; the end of that is torn off."""
        waited = 0.0
        while not watch.grown() and waited < WRITE_SECONDS:
            self.check_server()
            waited += await self.moment()
        await self._kill({"while_writing": True})
        torn = watch.tear(fraction)
        if torn:
            self._event("torn", files=", ".join(torn), bytes=sum(torn.values()))
        return sum(torn.values())

    async def _kill(self, detail: dict[str, object]) -> None:
        assert self._process is not None
        process, self._process = self._process, None
        process.kill()
        self.record(history.Server(self.now(), "killed", detail))
        await self._see_it_gone(process)

    async def _see_it_gone(self, process: Process) -> None:
        """Wait until the clients have noticed that the server is gone.

        Raises PlayStopped if it is not: what it still does would pass for what it does after a start.
        """
        self._keep_output(process)

        def connected() -> list[Client]:
            return [client for client in self._clients if client.is_open and not client.is_mute]

        def remaining() -> int:
            return len(connected()) + (not process.is_gone)

        if not await self.until(remaining, GONE_SECONDS, may_hang=True):
            still = {"left": ", ".join(process.what_is_left()), "port": self._port, "open": len(connected())}
            self._event("outlived", **still, **({"why": "keeper"} if process.is_lost else {}))
            raise PlayStopped
        for client in self._clients:
            if client.is_open:
                await client.dispose()

    def check_server(self) -> None:
        """Raise PlayStopped if the server's process ended by itself."""
        process = self._process
        if process is not None and self.has_outgrown(process) and process.pid not in self._reported:
            self._event("unbounded", mebibytes=self.most_memory // 2**20, output=self._hangs_where())
            raise PlayStopped
        if process is not None and process.exit_code is not None:
            self._check_refused(process)
            if process.pid not in self._reported:  # whose end was not recorded yet
                self._reported.add(process.pid)
                self._event("died", **self._how_it_ended(process))
            raise PlayStopped

    @property
    def most_memory(self) -> int:
        """Bytes that the server may take."""
        return REFERENCE_MEMORY if self.target.component else SERVER_MEMORY

    def has_outgrown(self, process: Process) -> bool:
        """Whether it takes more memory than a chat needs. (A simulated one is watched from outside.)"""
        return False

    async def check_end(self) -> None:
        """Raise PlayStopped if the server ends by itself within a moment.

        Called when its connections broke: the system closes them before it reports that a process ended.
        """
        process, waited = self._process, 0.0
        while process is not None and process.exit_code is None and waited < DYING_SECONDS:
            waited += await self.moment()
        self.check_server()

    def _check_refused(self, process: Process) -> None:
        """Raise PlayStopped if the program did what this world does not have."""
        if process.refused:
            if process.pid not in self._reported:
                self._reported.add(process.pid)
                self._event("not_simulated", **process.refused)
            raise PlayStopped

    async def check_alive(self) -> None:
        """See whether the server still accepts clients; if not, record where it hangs, and raise PlayStopped.

        Called when something did not come, so that a server that hangs does not count as losing messages.
        """
        process = self._process
        if process is None:
            return
        began = self.now() - self.pace.quiet
        for _ in range(HANG_TRIES):
            if not await self._look():
                return
            self.check_server()
        await self.check_end()
        output = self._hangs_where()
        pauses = self._pauses(began)
        if len(pauses) > 1:  # it goes on, one long call after the other: new clients only come last
            waited = self.now() - began
            self._end_blocked(sum(pauses), waited, max(pauses), output)
        self._event("hung", output=output)
        raise PlayStopped

    def _hangs_where(self) -> list[str]:
        """Where the server's program is, which ends it: its end is no news any more."""
        if self._process is None:
            return []
        self._reported.add(self._process.pid)
        return self._process.hangs_where()

    def _pauses(self, began: float) -> list[float]:
        """The times since then, in seconds, in which nothing came for so long that the server was blocked."""
        frames = [each.at for each in self.history if isinstance(each, history.Received) and each.at > began]
        times = [began, *frames, self.now()]
        return [pause for pause in map(operator.sub, times[1:], times) if pause > BLOCKED]

    def too_slow(self, seconds: float, came: int, due: int) -> None:
        """Record that so little came of what was due in this time, and raise PlayStopped."""
        self._event("slow", seconds=round(seconds, 1), came=came, due=due)
        raise PlayStopped

    def takes_too_long(self, seconds: float) -> None:
        """Record that all that is done here was not over after so many seconds."""
        self._event("slow", seconds=round(seconds, 1))

    async def check_blocked(self) -> None:
        """If the server does not even greet a new client, record where it is, and raise PlayStopped."""
        pace = self.pace
        if not await self._look(BLOCKED):
            pace.begin()
            return
        self._end_blocked(pace.blocked, pace.waited, pace.longest, self._hangs_where())

    def _end_blocked(self, blocked: float, waited: float, longest: float, output: list[str]) -> NoReturn:
        """Record for how many seconds it was blocked while something was due, and where; the play ends."""
        seconds = {"blocked": round(blocked, 1), "waited": round(waited, 1), "longest": round(longest, 1)}
        self._event("blocked", **seconds, output=output)
        raise PlayStopped

    def stored(self) -> Sizes:
        """The files in DATA_DIR."""
        return sizes(self.data)

    def watch_files(self) -> Watch:
        """Watch what is written in DATA_DIR from now on."""
        return Watch(self.data)

    def remarks(self, outcome: Outcome) -> list[Text]:
        """What this world has to say of the server besides the verdict, which has this outcome."""
        return list(self.target.remarks)

    def output(self) -> list[str]:
        """The last lines that the server printed, over all of its starts, each with its time."""
        if self._process is not None:
            self._keep_output(self._process)
        return self.printing.last_lines()

    def causes(self) -> list[Cause]:
        """What the judged code did or forgot by itself, the first one first."""
        if self._started is not None:
            self._hear_rest(self._started)
        seen = [each for output in self._outputs for each in output.seen.values()]
        built = self.target.build
        files = (built.own if built is not None else self.target.uses).values()
        return causes_in(seen, own_code(self.target), methods_of(self.target), files)

    def _hear_rest(self, process: Process) -> None:
        """Take all that a server has printed."""
        tries = _READS
        while self._hear_output(process) and tries:
            tries -= 1
        self.printing.flush(self.timeline.just_now)

    def _hear_output(self, process: Process) -> bool:
        """Take what the server has printed since the last time; whether there was anything."""
        return False

    def _keep_output(self, process: Process) -> None:
        self._hear_rest(process)
        if process.printed > MUCH_OUTPUT:
            self.note("printed_much", process.printed)

    async def close(self) -> None:
        """End all clients and processes, and remove the files; nothing is left behind."""
        try:
            await super().close()
        finally:
            if self._process is not None:
                self._process.kill()
                if not self._process.is_gone:
                    self.left = ", ".join(self._process.what_is_left())
                self._process = None
            if self._started is not None:
                self._hear_rest(self._started)
                self._started = None
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

"""`chatlab load`: starts the server if need be, has Locust make the load, and passes on its verdict.

Locust patches the sockets and threads of its whole process, so it gets one of its own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import random
import re
import signal
import sys
import tempfile
from contextlib import suppress
from math import inf
from pathlib import Path

import click

from harness import targets
from harness.checkers import lifecycle
from harness.client import PlayStopped
from harness.history import Server
from harness.load.report import EXIT_CODES, tell_anomaly
from harness.log import Log
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.targets import BadTarget, Target
from harness.texts import LANGUAGES, texts
from harness.verdict import Outcome
from harness.worlds.live import LiveWorld
from harness.worlds.process import free_port
from lab.command import EXIT_INTERRUPTED, EXIT_USAGE, Seconds

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
HEARTBEAT = ("--heartbeat-interval", "10", "--offline-timeout", "30")
"""What the reference server is told: as in life, and yet several heartbeats in a minute."""
EXIT_FAILED = 1
EXIT_DEFECT = 70
POLL = 0.1


class Duration(click.ParamType[float]):
    """A time such as 60s, 5m, 1h30m; without a unit, seconds."""

    name = "time"
    _PARTS = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$")

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds, or a usage error."""
        found = self._PARTS.match(str(value).strip().lower())
        hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
        total = 3600 * hours + 60 * minutes + seconds
        if total <= 0:
            self.fail(f"{str(value)!r} is no time above 0, such as 60s, 5m or 1h30m", param, ctx)
        return total


class NoLocust(click.ClickException):
    """Locust is not installed."""

    exit_code = EXIT_USAGE


@click.command()
@click.option("--users", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Users.")
@click.option(
    "--spawn-rate",
    type=Seconds(),
    help="Users that start each second.  [default: all in a fifth of the time]",
)
@click.option("--time", "length", type=Duration(), default="60s", show_default=True, help="How long.")
@click.option("--url", help="Load a server that runs already, such as ws://127.0.0.1:8080/.")
@click.option("--server", metavar="COMMAND", help='Start and load this server, such as "node server.js".')
@click.option(
    "--shape",
    type=click.Choice(["steady", "ramp", "storm"]),
    default="steady",
    show_default=True,
    help="ramp: five steps up. storm: in the middle all are cut off at once, and come back.",
)
@click.option("--rooms", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Rooms.")
@click.option(
    "--pace", type=Seconds(), default="1", show_default=True, help="Users live so many times faster."
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Load processes.")
@click.option("--lab-p99-ms", type=Seconds(), help="Fail if the 99th percentile of delivery is above.")
@click.option("--seed", type=click.IntRange(0), help="Have users with the habits of this seed.")
@click.option("--web", is_flag=True, help="Start and watch the load on Locust's web page.")
@click.option("--web-port", type=click.IntRange(1, 65535), default=8089, show_default=True, help="Its port.")
@click.option("--json", "json_file", metavar="FILE", help="Also write the verdict as JSON.")
@click.option(
    "--csv", metavar="PREFIX", help="Also have Locust write its tables, PREFIX_stats.csv and so on."
)
@click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    default="en",
    envvar="CHATLAB_LANG",
    show_envvar=True,
    show_default=True,
)
def load(
    users: int,
    spawn_rate: float | None,
    length: float,
    url: str | None,
    server: str | None,
    shape: str,
    rooms: int,
    pace: float,
    processes: int,
    lab_p99_ms: float | None,
    seed: int | None,
    web: bool,
    web_port: int,
    json_file: str | None,
    csv: str | None,
    lang: str,
) -> int:
    """Have hundreds of users chat at once, and judge what all of them saw.

    The load is made by Locust, on the reference server unless an option names another. Users talk every 5 to
    15 seconds in rooms by Zipf's law, come and go, lose their connection, and come back. At the end they fall
    silent, and what everybody received is judged by the same rules as in `chatlab check`. Exit code 1:
    something was lost, double, out of order or changed, or the p99 is above the objective; 2: the load
    processes were too slow to tell.
    """
    if url is not None and server is not None:
        raise click.UsageError("--url and --server exclude each other; give one of them")
    if importlib.util.find_spec("locust") is None:
        raise NoLocust(texts(lang).say("load.no_locust"))
    for option, file in (("--json", json_file), ("--csv", csv)):
        if file is not None and not Path(file).absolute().parent.is_dir():
            raise click.UsageError(f"{option} {file}: there is no such folder to write into")
    try:
        target = _target(url, server)
    except BadTarget as error:
        raise click.UsageError(str(error)) from error
    more = {
        "--users": users,
        "--spawn-rate": spawn_rate or max(5 * users / length, 1),
        "--run-time": f"{length:g}s",
        "--lab-shape": shape,
        "--lab-rooms": rooms,
        "--lab-pace": pace,
        "--lab-p99-ms": lab_p99_ms or 0,
        "--lab-seed": random.SystemRandom().randrange(10**6) if seed is None else seed,
        "--lab-lang": lang,
        "--lab-label": target.label,
    }
    words = [f"{name}={value}" for name, value in more.items()]
    words += [f"--csv={csv}"] if csv is not None else []
    words += ["--web-host=127.0.0.1", f"--web-port={web_port}"] if web else ["--headless", "--only-summary"]
    if processes > 1:
        port = free_port()
        words += [f"--processes={processes}", f"--master-bind-port={port}", f"--master-port={port}"]
        words += ["--master-bind-host=127.0.0.1"]
    return asyncio.run(_Load(target, words, lang, web_port if web else None, json_file).run())


def _target(url: str | None, server: str | None) -> Target:
    if url is not None:
        return targets.at_url(url)
    if server is not None:
        return targets.whole_server(server)
    reference = targets.reference()
    assert reference.command is not None, "the reference server is started by a command"
    return Target(reference.label, (*reference.command, *HEARTBEAT))


class _Load:
    """One call of `chatlab load`: the server and Locust as processes, from their start to their end."""

    def __init__(
        self, target: Target, words: list[str], lang: str, web_port: int | None, json_file: str | None
    ) -> None:
        self.target = target
        self.words = words
        self.texts = texts(lang)
        self.web_port = web_port
        self.json_file = json_file
        self.interrupts = 0
        self.locust: asyncio.subprocess.Process | None = None

    async def run(self) -> int:
        """Start everything, wait for the verdict, end everything; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # Windows
                loop.add_signal_handler(number, self._interrupt)
        world = LiveWorld(self.target, 0, "load")
        with tempfile.TemporaryDirectory(prefix="chatlab-load-") as folder:
            try:
                return await self._run(world, Path(folder) / "result.json")
            finally:
                self._kill_locust()
                if self.locust is not None:
                    await self.locust.wait()
                await world.close()

    async def _run(self, world: LiveWorld, result: Path) -> int:
        if self.target.command is not None:
            click.echo(self.texts.say("load.starting"), err=True)
        try:
            await world.start_server()
            if not self.interrupts:
                await self._start_locust(self._address(world), result)
            while self.locust is not None and self.locust.returncode is None:
                world.check_server()
                await asyncio.sleep(POLL)
        except PlayStopped:
            await self._stop_locust()
        ended = self._tell_of_server(world)
        if self.interrupts:
            click.echo(self.texts.say("ui.interrupted"), err=True)
            return EXIT_INTERRUPTED
        return EXIT_FAILED if ended else self._verdict(result)

    def _address(self, world: LiveWorld) -> str:
        if self.target.url is not None:
            return self.target.url
        started = [event for event in world.history if isinstance(event, Server) and event.what == "started"]
        return f"ws://127.0.0.1:{started[-1].detail['port']}/"

    def _tell_of_server(self, world: LiveWorld) -> bool:
        """Say what became of the server, if it did not start or ended by itself; returns whether it did."""
        found = lifecycle.server(Log(world.history), 0.0, inf)
        for anomaly in found:
            tell_anomaly(Terminal(self.texts), Words(self.texts), [anomaly])
        return bool(found)

    def _verdict(self, result: Path) -> int:
        """The exit code that goes with the result; also puts the result where it was asked for."""
        assert self.locust is not None, "it was started, or we were interrupted"
        code = self.locust.returncode
        if code == EXIT_DEFECT:
            return EXIT_DEFECT
        if not result.is_file():
            if self.web_port is not None and code == 0:
                return 0  # no test was started on the page
            click.echo(self.texts.say("load.no_result", code=code), err=True)
            return EXIT_DEFECT
        text = result.read_text(encoding="utf-8")
        if self.json_file is not None:
            Path(self.json_file).write_text(text, encoding="utf-8")
        return EXIT_CODES[Outcome(json.loads(text)["verdict"])]

    # --- Locust -----------------------------------------------------------------------------------

    async def _start_locust(self, address: str, result: Path) -> None:
        program = [sys.executable, "-P", "-m", "locust", "-f", str(LOCUSTFILE), "--skip-log-setup"]
        options = [*self.words, f"--host={address}", f"--lab-json={result}"]
        if self.web_port is not None:
            click.echo(self.texts.say("load.web", port=self.web_port), err=True)
        self.locust = await asyncio.create_subprocess_exec(
            *program,
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C is for us, who tell it to stop
        )

    def _interrupt(self) -> None:
        """The first Ctrl-C asks Locust to stop, which judges what there is; the second ends it."""
        self.interrupts += 1
        if self.locust is None or self.locust.returncode is not None:
            return
        if self.interrupts == 1:
            click.echo(self.texts.say("load.stopping"), err=True)
            self.locust.terminate()
        else:
            self._kill_locust()

    async def _stop_locust(self) -> None:
        """Have Locust judge what there is, and wait for that."""
        if self.locust is not None and self.locust.returncode is None:
            self.locust.terminate()
            await self.locust.wait()

    def _kill_locust(self) -> None:
        """End Locust and the processes that it made, at once: they are one group."""
        if self.locust is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.locust.pid, signal.SIGKILL)

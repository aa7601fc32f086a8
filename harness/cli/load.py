"""The options of `chatlab load`. Nothing here, nor in what it imports, imports Locust."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import re

import click
import msgspec

from harness.reports.outfile import OutFile
from harness.texts import LANGUAGES, texts
from harness.worlds import targets
from harness.worlds.targets import BadTarget, Target
from lab.command import EXIT_USAGE

HEARTBEAT, OFFLINE = "10", "30"
"""Seconds that servers are told: about as in life, and yet several heartbeats in a minute."""
POSITIVE = click.FloatRange(min=0, min_open=True)


class Duration(click.ParamType[int]):
    """A time such as 60s, 5m, 1h30m; without a unit, seconds."""

    name = "time"
    _PARTS = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$")

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
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
    type=POSITIVE,
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
    "--pace", type=POSITIVE, default="1", show_default=True, help="Users live so many times faster."
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Load processes.")
@click.option("--lab-p99-ms", type=POSITIVE, help="Fail if the 99th percentile of delivery is above.")
@click.option("--seed", type=click.IntRange(0), help="Have users with the habits of this seed.")
@click.option("--web", is_flag=True, help="Start and watch the load on Locust's web page.")
@click.option("--web-port", type=click.IntRange(1, 65535), default=8089, show_default=True, help="Its port.")
@click.option(
    "--json",
    "json_file",
    type=OutFile(),
    metavar="FILE",
    help="Also write the verdict as JSON.",
)
@click.option(
    "--csv",
    type=OutFile(),
    metavar="PREFIX",
    help="Also have Locust write its tables, PREFIX_stats.csv and so on.",
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
    length: int,
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
    try:
        target = _target(url, server)
    except BadTarget as error:
        raise click.UsageError(str(error)) from error
    if importlib.util.find_spec("locust") is None:
        raise NoLocust(texts(lang).say("load.no_locust"))
    more = {
        "--users": users,
        "--spawn-rate": spawn_rate or max(5 * users / length, 1),
        "--run-time": f"{length}s",
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
    # Imported late: `chatlab --help` and wrong usage need none of it.
    from harness.load.launch import Launch
    from harness.worlds.process import free_port

    if processes > 1:
        port = free_port()
        words += [f"--processes={processes}", f"--master-bind-port={port}", f"--master-port={port}"]
        words += ["--master-bind-host=127.0.0.1"]
    return asyncio.run(Launch(target, words, lang, web_port if web else None, json_file).run())


def _target(url: str | None, server: str | None) -> Target:
    if url is not None:
        return targets.at_url(url)
    if server is not None:
        target = targets.whole_server(server)
        env = {"HEARTBEAT_INTERVAL": HEARTBEAT, "OFFLINE_TIMEOUT": OFFLINE}
        return msgspec.structs.replace(target, env=env)
    reference = targets.reference()
    assert reference.command is not None, "the reference server is started by a command"
    intervals = ("--heartbeat-interval", HEARTBEAT, "--offline-timeout", OFFLINE)
    return msgspec.structs.replace(reference, command=(*reference.command, *intervals))

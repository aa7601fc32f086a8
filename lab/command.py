"""The command line of the server: `python -m lab` and `chatlab serve` are the same."""

from __future__ import annotations

import asyncio
import errno
import gc
import io
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from lab.hub import Components, Config
from lab.interfaces import StoreError
from lab.legible import legible
from lab.limits import Limits
from lab.loader import INTERFACES, ComponentError, blamed, describe, load, locate
from lab.logs import configure
from lab.protocol import HEARTBEAT_INTERVAL, OFFLINE_TIMEOUT, is_room_name
from lab.server import REJECTION_HEADROOM, ChatServer, run
from lab.system import allow_files, when_told_to_stop

F = TypeVar("F", bound=Callable[..., object])

log = logging.getLogger("lab.command")

EXIT_USAGE = 64
EXIT_INTERRUPTED = 130

_OWN_FILES = 50
"""Files that the server has open besides its connections, at the most."""
_COLLECT_AFTER = 10_000
"""New objects after which Python looks for cyclic garbage; its own default is 700."""
_SWITCH_SECONDS = 0.0005
"""How long a thread that has the interpreter may keep it while another wants it; the default is 0.005."""
_LEVELS = click.Choice(["debug", "info", "warning", "error"], case_sensitive=False)


class Seconds(click.ParamType[float]):
    """A duration: a decimal number of seconds above 0."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, or a usage error."""
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < 1e9:
            self.fail(f"{str(value)!r} is not a number of seconds above 0, such as 30 or 0.5", param, ctx)
        return seconds


def _room_names(context: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    """The names of rooms in a text with commas between them, or a usage error."""
    names = tuple(name for each in value.split(",") if (name := each.strip()))
    for name in names:
        if not is_room_name(name):
            raise click.BadParameter(f"{name!r} is not the name of a room, such as general or café")
    return names


def _option(name: str, help: str, show_default: bool = True, **more: Any) -> Callable[[F], F]:
    """An option that the environment variable of the same name sets too: PORT for `--port`."""
    variable = name.removeprefix("--").replace("-", "_").upper()
    more |= {"envvar": variable, "show_envvar": True}
    return click.option(name, show_default=show_default, help=help, **more)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@_option("--host", "Address to listen on.", default="127.0.0.1")
@_option("--port", "Port to listen on; 0 takes a free one.", default=8080, type=click.IntRange(0, 65535))
@_option("--data-dir", "Folder for the messages.", default="data", type=click.Path(path_type=Path))
@_option("--heartbeat-interval", "Time between heartbeats.", default=HEARTBEAT_INTERVAL, type=Seconds())
@_option(
    "--offline-timeout", "Silence after which a user is offline.", default=OFFLINE_TIMEOUT, type=Seconds()
)
@_option("--max-frame", "Bytes of a frame.", default=Limits.frame, type=click.IntRange(1024, Limits.frame))
@_option("--max-name", "Characters of a name.", default=Limits.name, type=click.IntRange(1, Limits.name))
@_option(
    "--max-rate",
    "Messages, joins and leaves a second of each connection; twice as many may come at once.",
    default=Limits.rate,
    type=click.FloatRange(1),
)
@_option("--max-rooms", "Rooms of each connection.", default=Limits.rooms, type=click.IntRange(1))
@_option("--max-connections", "Connections.", default=Limits.connections, type=click.IntRange(1))
@_option("--access-key", "Let in only those who connect with ?key= and this.", False, default="")
@_option(
    "--origin",
    "Let in scripts of this page only, such as https://chat.example.  [default: of all pages]",
    show_default=False,
    multiple=True,
    metavar="ORIGIN",
)
@_option(
    "--rooms",
    "Rooms that the page offers, such as general,questions; anybody may join others.  [default: none]",
    show_default=False,
    default="",
    metavar="NAMES",
    callback=_room_names,
)
@_option(
    "--health-port",
    "A second port, for /healthz and /metrics alone: no flood of the first reaches it.  [default: none]",
    show_default=False,
    default=0,
    type=click.IntRange(0, 65535),
)
@_option(
    "--backplane",
    "Share the rooms with other servers that name the same NATS servers, such as "
    "nats://10.0.0.1:4222,nats://10.0.0.2:4222. They keep the messages, and not --data-dir.  [default: none]",
    show_default=False,
    default="",
    metavar="URLS",
)
@_option("--log-level", "How much to log.", default="info", type=_LEVELS)
@click.option(
    "--use",
    multiple=True,
    metavar="COMPONENT=WHERE",
    help=f"Take a component ({', '.join(INTERFACES)}) from a file, such as sequencer=my/sequencer.py.",
)
def serve(
    host: str,
    port: int,
    data_dir: Path,
    heartbeat_interval: float,
    offline_timeout: float,
    max_frame: int,
    max_name: int,
    max_rate: float,
    max_rooms: int,
    max_connections: int,
    access_key: str,
    origin: tuple[str, ...],
    rooms: tuple[str, ...],
    health_port: int,
    backplane: str,
    log_level: str,
    use: tuple[str, ...],
) -> None:
    """Run the chat server until Ctrl-C or SIGTERM."""
    configure(log_level)
    if heartbeat_interval >= offline_timeout:
        click.echo(
            f"warning: with a heartbeat every {heartbeat_interval:g} s and an offline timeout of "
            f"{offline_timeout:g} s, users who are there will be shown as offline",
            err=True,
        )
    limits = Limits(max_frame, max_name, max_rate, max_rooms, _affordable(max_connections))
    if limits.connections < max_connections:
        log.info("%d connections at the most: the system allows no more files", limits.connections)
    config = Config(
        host=host,
        port=port,
        data_dir=data_dir,
        heartbeat_interval=heartbeat_interval,
        offline_timeout=offline_timeout,
        limits=limits,
        access_key=access_key,
        health_port=health_port,
        origins=origin,
        rooms=rooms,
    )
    try:
        components = load_components(use, backplane)
        asyncio.run(_until_told_to_stop(config, components, use))
    except (ComponentError, StoreError) as error:
        raise click.ClickException(str(error)) from error
    except (OSError, UnicodeError) as error:
        raise click.ClickException(_cannot_listen(config, error)) from error


def _affordable(wanted: int) -> int:
    """How many connections there can be, `wanted` at the most: the system bounds the open files."""
    others = REJECTION_HEADROOM + _OWN_FILES
    return max(allow_files(wanted + others) - others, 1)


def load_components(use: Sequence[str], backplane: str = "") -> Components:
    """The components that the `COMPONENT=WHERE` texts in `use` name, and the reference's for the others.

    With a backplane, these are the ones that go with it.

    Raises click.UsageError for a text that is not understood, and ComponentError for an unfit file.
    """
    components = _on_backplane(backplane) if backplane else Components()
    for each in use:
        name, equals, where = each.partition("=")
        if not equals or not where:
            raise click.UsageError(f"--use {each}: write COMPONENT=WHERE, such as store=my/store.py")
        if name not in INTERFACES:
            raise click.UsageError(f"--use {each}: the components are {', '.join(INTERFACES)}")
        setattr(components, name, load(name, where))
    return components


def _on_backplane(backplane: str) -> Components:
    try:
        from lab.cluster.node import components_of  # nobody else needs what it imports
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise click.UsageError("--backplane needs NATS: pip install 'chat-lab[cluster]'") from error
    return components_of(backplane)


async def _until_told_to_stop(config: Config, components: Components, use: Sequence[str]) -> None:
    """Run the server. What a component's constructor raises is told with the file that it comes from."""
    try:
        server = ChatServer(config, components)
    except StoreError:
        raise
    except Exception as error:
        if not use:
            raise ComponentError(str(error)) from error
        files = [locate(name, where) for name, _, where in (each.partition("=") for each in use)]
        raise ComponentError(describe(error, blamed(error, files))) from error
    _stay_responsive()
    stop = asyncio.Event()
    when_told_to_stop(stop.set)
    await run(server, stop)


def _stay_responsive() -> None:
    """Have Python hold up the event loop, and the store's thread, for less time than its defaults allow.

    *Garbage.* Nearly all of our objects are freed as soon as nothing refers to them; the collector is there
    for cycles. To find them it looks at all objects, and meanwhile nobody is served: 60 to 110 ms with a
    thousand connections. How often it does so follows from how many new objects it finds alive. The answer
    to one question for the presence of a full room has a thousand, and so a few clients that went on asking
    had everybody stopped three times a second.

    *Threads.* Only one thread at a time has the interpreter. The store's gives it back for each call into
    SQLite, and wants it again some fifteen times for one commit; a busy event loop gives it up after the
    switch interval. So each message waited for fifteen intervals.
    """
    gc.collect()
    gc.freeze()  # what was imported lives as long as we do, and need not be looked at again
    gc.set_threshold(_COLLECT_AFTER)
    sys.setswitchinterval(_SWITCH_SECONDS)


def _cannot_listen(config: Config, error: OSError | UnicodeError) -> str:
    options, place = "--port", f"{config.host}:{config.port}"
    if config.health_port:  # either of them may be the one
        options, place = "--port or --health-port", f"{place} and {config.health_port}"
    why = {
        errno.EADDRINUSE: f"another program does. Stop it, or choose another {options}.",
        errno.EACCES: f"ports below 1024 need more rights. Choose another {options}.",
    }
    other = f"{getattr(error, 'strerror', None) or error}. Check --host and {options}."
    told = why.get(getattr(error, "errno", None) or 0, other)
    context = click.get_current_context()
    named = ("host", "port", "health_port")
    told += "".join(_from_environment(context, each) for each in serve.params if each.name in named)
    return f"cannot listen on {place}: {told}"


def _from_environment(context: click.Context | None, param: click.Parameter | None) -> str:
    """What to do about an option's wrong value if it comes from the environment; else empty."""
    if context is None or param is None or param.name is None:
        return ""
    if context.get_parameter_source(param.name) is not ParameterSource.ENVIRONMENT:
        return ""
    variable = str(param.envvar)
    return f"\n{variable} in the environment is {os.environ[variable]!r}: unset it, or give {param.opts[0]}."


def run_command(command: click.Command, name: str) -> int:
    """Run a command with the arguments of this process, and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")  # the console may lack a character
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        hint = _from_environment(error.ctx, error.param) if isinstance(error, click.BadParameter) else ""
        print(f"{legible(shown.getvalue()).rstrip()}{hint}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, click.UsageError) else error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else 0

"""The locustfile: the users, and our options besides Locust's. `README.md` in this folder shows its use."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from locust import events
from locust.opentelemetry import setup_opentelemetry

from harness.load import shapes
from harness.load.conductor import Conductor
from harness.load.options import PARENT
from harness.load.person import Person
from harness.load.scenario import BadScenario, User, read_scenario
from harness.load.telemetry import Telemetry, endpoint
from harness.posix import after_fork, end_with_parent
from harness.texts import LANGUAGES, console
from lab.command import EXIT_USAGE

__all__ = ["Person"]


def add_options(parser: Any) -> None:
    """Our options; they are on Locust's web page, too."""
    parser.add_argument(
        "--lab-shape",
        choices=["steady", "ramp", "storm"],
        default="steady",
        help="steady; ramp: steps up; storm: in the middle all users are cut off at once",
    )
    add, seed = parser.add_argument, random.randrange(10**6)
    add("--lab-steps", type=int, default=5, help="how many steps a ramp has")
    add("--lab-rooms", type=int, default=10, help="how many rooms there are")
    add("--lab-pace", type=float, default=1.0, help="users live so many times faster than people")
    add(
        "--lab-rate",
        type=float,
        default=0.0,
        help="messages a second of all users, whatever comes (0: as people do)",
    )
    add(
        "--lab-churn",
        type=float,
        default=0.0,
        help="lost connections a second of all users (0: as people do)",
    )
    add("--lab-size", type=int, default=0, help="bytes of each message (0: a few words)")
    add("--lab-objective", default="", help="such as delivery.p99=250ms, errors=0; several with commas")
    add("--lab-p99-ms", type=float, default=0.0, help="the same as delivery.p99 in milliseconds")
    add("--lab-probe", choices=["on", "off"], default="on", help="measure beside the users, too")
    add("--lab-seed", type=int, default=seed, help="the seed of users' habits")
    add("--lab-lang", choices=LANGUAGES, default="en", help="language of the report")
    add("--lab-json", default="", help="also write the verdict as JSON into this file")
    add("--lab-html", default="", help="also write the result as an HTML page into this file")
    add("--lab-openmetrics", default="", help="also write the figures as OpenMetrics into this file")
    add("--lab-scenario", default="", help="a file with the class of the users: see harness/load/README.md")
    add("--lab-otel", action="store_true", help="send figures by OpenTelemetry")
    add("--lab-label", default="", help="what the report calls the server")


def set_up(environment: Any, **_: Any) -> None:
    """Once for each process, before any test."""
    console.prepare()
    # It logs a traceback when a socket that it writes to has been closed; how connections end is recorded.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    environment.conductor = conductor = Conductor(environment)
    options = environment.parsed_options
    if options.worker:
        options.json = (
            False  # with --processes, each worker would print tables of its own behind the master's
        )
    if options.lab_shape == "ramp":
        environment.shape_class = shapes.Ramp()
        environment.shape_class.runner = environment.runner
        if conductor.leads and options.headless:
            signal.signal(signal.SIGTERM, environment.shape_class.end)
    if options.lab_otel:
        start_telemetry(environment)
    environment.lab_scenario = User
    if options.lab_scenario:
        try:
            environment.lab_scenario = read_scenario(Path(options.lab_scenario))
        except BadScenario as bad:
            if conductor.leads:
                conductor.say(bad.key, **bad.params)
            sys.exit(EXIT_USAGE)
    told_by_master = options.worker and not options.processes
    if options.headless and not told_by_master and not conductor.check():
        sys.exit(EXIT_USAGE)


def start_telemetry(environment: Any) -> None:
    """Do what Locust's own `--otel` does, in each process by itself: its threads do not survive a fork."""
    before = len(events.init._handlers)
    setup_opentelemetry(__file__, None)
    for listener in events.init._handlers[before:]:  # we are called by this event, and these are too late
        listener(environment=environment, runner=environment.runner)
    telemetry = Telemetry(lambda why: environment.conductor.say("otel", endpoint=endpoint(), why=why))
    events.quit.add_listener(lambda **_: telemetry.finish())


# With `--processes`, Locust forks its workers, and lets go of them if it is killed: they would try to reach
# it for a minute.
after_fork(end_with_parent)
if os.environ.get(PARENT) == str(os.getppid()):  # without it, nobody is told what comes of this
    end_with_parent()
events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(set_up)

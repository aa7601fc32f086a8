"""The locustfile: the users, and our options besides Locust's. `README.md` in this folder shows its use."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
from functools import partial
from typing import Any

from locust import events

from harness.judged.process import end_with_parent
from harness.load import shapes
from harness.load.conductor import Conductor, is_address
from harness.load.options import PARENT
from harness.load.person import Person
from harness.texts import LANGUAGES, console
from lab.command import EXIT_USAGE

__all__ = ["Person"]


def add_options(parser: Any) -> None:
    """Our options; they are on Locust's web page, too."""
    parser.add_argument(
        "--lab-shape",
        choices=["steady", "ramp", "storm"],
        default="steady",
        help="steady; ramp: five steps up; storm: in the middle all users are cut off at once",
    )
    parser.add_argument("--lab-rooms", type=int, default=10, help="how many rooms there are")
    parser.add_argument(
        "--lab-pace", type=float, default=1.0, help="users live so many times faster than people"
    )
    parser.add_argument("--lab-p99-ms", type=float, default=0.0, help="fail if the p99 of delivery is above")
    parser.add_argument(
        "--lab-seed", type=int, default=random.randrange(10**6), help="the seed of users' habits"
    )
    parser.add_argument("--lab-lang", choices=LANGUAGES, default="en", help="language of the report")
    parser.add_argument("--lab-json", default="", help="also write the verdict as JSON into this file")
    parser.add_argument("--lab-label", default="", help="what the report calls the server")


def set_up(environment: Any, **_: Any) -> None:
    """Once for each process, before any test."""
    console.prepare()
    # It logs a traceback when a socket that it writes to has been closed; how connections end is recorded.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    if environment.parsed_options.lab_shape == "ramp":
        environment.shape_class = shapes.Ramp()
        environment.shape_class.runner = environment.runner
    environment.conductor = Conductor(environment)
    options = environment.parsed_options
    told_by_master = options.worker and not options.processes
    if options.headless and not told_by_master and not is_address(environment.host):
        if not options.worker:
            environment.conductor.say("no_address", host=environment.host or "")
        sys.exit(EXIT_USAGE)


# With `--processes`, Locust forks its workers, and lets go of them if it ends before they have reached it:
# they would try again for minutes.
os.register_at_fork(after_in_child=partial(end_with_parent, signal.SIGTERM))
if os.environ.get(PARENT) == str(os.getppid()):  # without it, nobody is told what comes of this
    end_with_parent(signal.SIGKILL)
events.init_command_line_parser.add_listener(add_options)
events.init.add_listener(set_up)

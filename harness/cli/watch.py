"""`chatlab watch`: judge an exercise each time it is saved."""

from __future__ import annotations

import asyncio

import click

from harness.cli import options
from harness.cli.target_options import TRACK_IS
from harness.cli.usage import told
from harness.judged.problems import BadTarget
from harness.texts import texts
from lab.command import EXIT_INTERRUPTED


@click.command()
@click.argument("number", type=options.EXERCISE, required=False)
@click.option("--track", help="The language of your files.", **TRACK_IS)
@options.language
@options.verbose
def watch(number: int | None, track: str, lang: str, verbose: bool) -> int:
    """Judge your exercise each time you save it, in about a second.

    Begins with exercise NUMBER, or the first that has not passed, and turns to whichever you save. First your
    class is called directly, and simulated; if nothing is found, it is judged live, as `chatlab check` does.
    """
    from harness.watch.session import Asked  # late: `chatlab --help` needs none of it
    from harness.watch.session import watch as watch_it

    try:
        return asyncio.run(watch_it(Asked(number, track, verbose), texts(lang)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED
    except BadTarget as error:
        raise told(error) from error

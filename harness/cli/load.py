"""`chatlab load`: how much load, and on which server.

Nothing here, nor in what it imports, imports Locust.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
from types import MappingProxyType

import click
from msgspec.structs import replace

from harness.cli import options
from harness.cli.load_compare import compare
from harness.cli.target_options import Named, names_server
from harness.cli.usage import asked_words, told, wrong_usage
from harness.judged.targets import BadTarget, Target, with_uses
from harness.load.objectives import NoObjective, objective, p99_of_delivery
from harness.load.options import MOST_OF_EACH, SIZES
from harness.texts import texts
from lab.command import EXIT_USAGE

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
            self.fail(asked_words().say("usage.no_time", given=repr(str(value))), param, ctx)
        return total


class ObjectiveText(click.ParamType[str]):
    """An objective such as delivery.p99=250ms."""

    name = "objective"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it is, or a usage error."""
        try:
            return objective(str(value)).text
        except NoObjective as error:
            self.fail(asked_words().say(f"load.{error.key}", given=str(value)), param, ctx)


class LoadCommand(click.Group):
    """`chatlab load`, which knows what other load testers call its options."""

    _CALLED = MappingProxyType(
        {"--duration": "--time", "--run-time": "--time", "--vus": "--users", "--host": "--url"}
    )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Suggest ours for one of theirs."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            ours = self._CALLED.get(error.option_name)
            if ours is None:
                raise
            raise wrong_usage("called", option=error.option_name, ours=ours) from error


class NoLocust(click.ClickException):
    """Locust, or what it needs for an option, is not installed."""

    exit_code = EXIT_USAGE


@click.group(cls=LoadCommand, invoke_without_command=True, subcommand_metavar="[compare A.json B.json]")
@click.option("--users", type=click.IntRange(1, 100_000), default=100, show_default=True, help="Users.")
@click.option(
    "--spawn-rate",
    type=POSITIVE,
    help="Users that start each second.  [default: all in a fifth of the time]",
)
@click.option("--time", "length", type=Duration(), default="60s", show_default=True, help="How long.")
@names_server("Load", "--url", "--server")
@click.option(
    "--use", "uses", multiple=True, metavar="COMPONENT=FILE", help="Your component in the reference server."
)
@click.option(
    "--shape",
    type=click.Choice(["steady", "ramp", "storm"]),
    default="steady",
    show_default=True,
    help="ramp: steps up. storm: in the middle all are cut off at once, and come back.",
)
@click.option("--rooms", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Rooms.")
@click.option(
    "--pace", type=POSITIVE, default="1", show_default=True, help="Users live so many times faster."
)
@click.option("--steps", type=click.IntRange(1, 1000), default=5, show_default=True, help="Steps of a ramp.")
@click.option(
    "--rate", type=POSITIVE, help="Messages a second, of all users together, whatever the answers are."
)
@click.option(
    "--churn", type=POSITIVE, help="Lost connections a second, of all users together; they come back."
)
@click.option("--size", type=click.IntRange(*SIZES), metavar="BYTES", help="Bytes of each message's content.")
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Have users of the class in this file, which derives from harness.load.User.",
)
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="Load processes.")
@click.option(
    "--objective",
    "objectives",
    type=ObjectiveText(),
    multiple=True,
    help="What must hold: delivery.p99=250ms, connect.p95=1s, warm_up.join.p99=2s, errors=0, rate>=50.",
)
@click.option("--lab-p99-ms", type=POSITIVE, help="Short for --objective delivery.p99=…ms.")
@click.option("--probe/--no-probe", default=True, show_default=True, help="Measure beside the users, too.")
@options.seed("Have users with the habits of this seed.")
@click.option("--web", is_flag=True, help="Start and watch the load on Locust's web page.")
@click.option("--web-port", type=click.IntRange(1, 65535), default=8089, show_default=True, help="Its port.")
@options.json_file()
@options.html_file("Also write the result as one HTML file with pictures.")
@click.option(
    "--openmetrics",
    "openmetrics_file",
    type=options.OutFile(),
    metavar="FILE",
    help="Also write the figures as OpenMetrics text.",
)
@click.option(
    "--csv",
    type=options.OutFile(),
    metavar="PREFIX",
    help="Also have Locust write its tables, PREFIX_stats.csv and so on.",
)
@click.option(
    "--otel",
    is_flag=True,
    help="Also send what is timed as OpenTelemetry metrics, to where the variables OTEL_… say.",
)
@options.language
def load(
    users: int,
    spawn_rate: float | None,
    length: int,
    named: Named,
    uses: tuple[str, ...],
    shape: str,
    rooms: int,
    pace: float,
    steps: int,
    rate: float | None,
    churn: float | None,
    size: int | None,
    processes: int,
    objectives: tuple[str, ...],
    lab_p99_ms: float | None,
    probe: bool,
    seed: int | None,
    web: bool,
    web_port: int,
    json_file: str | None,
    html_file: str | None,
    openmetrics_file: str | None,
    csv: str | None,
    otel: bool,
    scenario: str | None,
    lang: str,
) -> int:
    """Have hundreds of users chat at once, and judge what they saw.

    The load is made by Locust, on the reference server unless an option names another. Users talk every 5 to
    15 seconds in rooms by Zipf's law, come and go, lose their connection, and come back. At the end they fall
    silent, and what everybody received is judged by the same rules as in `chatlab check`. Exit code 1:
    something was lost, double, out of order or changed, or an objective is not kept; 2: the figures are the
    load's own slowness, as a probe beside it shows.
    """
    if click.get_current_context().invoked_subcommand:
        return 0
    most = MOST_OF_EACH * users
    if rate is not None and rate > most:
        asked_for = {
            "option": "--rate",
            "value": f"{rate:g}",
            "most": f"{most:g}",
            "each": f"{MOST_OF_EACH:g}",
        }
        raise click.UsageError(texts(lang).say("load.too_many", **asked_for))
    target = _target(named, uses)
    if importlib.util.find_spec("locust") is None:
        raise NoLocust(texts(lang).say("load.no_locust"))
    if otel and importlib.util.find_spec("opentelemetry") is None:
        raise NoLocust(texts(lang).say("load.no_otel"))
    # Imported late: `chatlab --help` and wrong usage need none of it.
    from harness.load.launch import Launch
    from harness.load.options import Options

    asked = Options(
        users=users,
        spawn_rate=spawn_rate,
        seconds=length,
        shape=shape,
        rooms=rooms,
        pace=pace,
        processes=processes,
        objectives=(*objectives, *((p99_of_delivery(lab_p99_ms),) if lab_p99_ms else ())),
        seed=seed,
        web_port=web_port if web else None,
        json_file=json_file,
        html_file=html_file,
        openmetrics_file=openmetrics_file,
        csv=csv,
        otel=otel,
        scenario=scenario,
        lang=lang,
        steps=steps,
        rate=rate,
        churn=churn,
        size=size,
        probe=probe,
    )
    return asyncio.run(Launch(target, asked).run())


load.add_command(compare)


def _target(named: Named, uses: tuple[str, ...]) -> Target:
    """What is put under load: the reference server, if nothing is named."""
    if uses and named.option:
        raise wrong_usage("exclusive", options=f"{named.option}, --use")
    if uses:
        try:
            return with_uses(uses)
        except BadTarget as error:
            raise told(error) from error
    return (named if named.option else replace(named, option="--reference", value=True)).targets([1])[1]

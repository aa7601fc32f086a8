"""`chatlab load compare`: two results beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.cli.usage import asked_words, wrong_usage
from harness.texts import texts
from harness.verdict.outcome import EXIT_CODES, Outcome

if TYPE_CHECKING:
    from harness.load.stored import Stored

RESULT = click.Path(exists=True, dir_okay=False, path_type=Path)


class Share(click.ParamType[float]):
    """A share such as 20%; without the sign, per cent as well."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share, 0.2 for 20%, or a usage error."""
        try:
            share = float(str(value).strip().removesuffix("%")) / 100
        except ValueError:
            share = -1.0
        if not 0 <= share < 1e6:
            self.fail(asked_words().say("usage.no_share", given=repr(str(value))), param, ctx)
        return share


@click.command()
@click.argument("a", type=RESULT, metavar="A.json")
@click.argument("b", type=RESULT, metavar="B.json")
@click.option(
    "--also",
    type=RESULT,
    multiple=True,
    metavar="FILE",
    help="Another run of what A.json is: a difference must be one beside each of them. Repeatable.",
)
@options.html_file("Also write the comparison as one HTML file.")
@click.option(
    "--fail-over",
    type=Share(),
    metavar="SHARE",
    help="Exit with 1 if something of B is worse beyond noise by more than this, such as 20%.",
)
@options.language
def compare(
    a: Path, b: Path, also: tuple[Path, ...], html_file: str | None, fail_over: float | None, lang: str
) -> int:
    """Show two results of `chatlab load --json` beside each other.

    What differs by more than two runs differ anyway is marked; the last lines say how that is decided. Exit
    code 0, or 1 with --fail-over if B is worse: by that much, or if it misses what A kept.
    """
    # Imported late: other commands need none of it.
    from harness.load import compare_report
    from harness.load.compare import compare as compared
    from harness.reports.outfile import write_out
    from harness.reports.terminal import Terminal

    words = texts(lang)
    one, other = _read(a), _read(b)
    found = compared(one, other, [_read(each) for each in also])
    names = a.name, b.name
    compare_report.tell(found, words, compare_report.both(one, other, names, words))
    if html_file is not None:
        write_out(html_file, compare_report.page(one, other, names, found, words), words)
    worse = "" if fail_over is None else compare_report.worse_than(found, fail_over, words)
    if worse:
        share = words.number(f"{100 * (fail_over or 0):g}")
        told = words.say("load_compare.fail_over", share=share, what=worse)
        Terminal(words).block(f" ✗ {told}", 0, "bold red")
        return EXIT_CODES[Outcome.FAILED]
    return 0


def _read(path: Path) -> Stored:
    from harness.load.stored import read

    try:
        return read(path.read_bytes())
    except OSError as error:
        raise wrong_usage("unreadable_load", path=path, why=error.strerror) from error
    except ValueError as error:
        raise wrong_usage("no_load", path=path, why=error) from error

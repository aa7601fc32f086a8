"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.cli.usage import asked_words
from harness.texts import LANGUAGES
from harness.verdict.steps import EXERCISES

F = TypeVar("F", bound=Callable[..., object])

EXERCISE = click.IntRange(min(EXERCISES), max(EXERCISES))
"""The type of an argument that is the number of an exercise."""
SOME_EXERCISES = f"[{' '.join(map(str, EXERCISES))}]"
"""How the help shows an argument of several such numbers."""

language = click.option(
    "--lang",
    type=click.Choice(LANGUAGES),
    default="en",
    envvar="CHATLAB_LANG",
    show_default=True,
    show_envvar=True,
    is_eager=True,  # what is wrong with other options is told in it
    help="Language of the report.",
)

verbose = click.option("--verbose", is_flag=True, help="Tell more.")


def seed(help: str, default: int | None = None) -> Callable[[F], F]:
    """`--seed`; without a default, it is None if it is not given."""
    return click.option(
        "--seed", type=click.IntRange(0), default=default, show_default=default is not None, help=help
    )


def jobs(help: str) -> Callable[[F], F]:
    """`--jobs`; None if it is not given."""
    return click.option("--jobs", type=click.IntRange(1, 64), help=help)


def together(help: str) -> Callable[[F], F]:
    """`--together`, for all components of a submission in one server."""
    return click.option("--together", is_flag=True, help=help)


def json_file(help: str = "Also write the verdict as JSON.", *, dash: bool = False) -> Callable[[F], F]:
    """`--json`; with `dash`, standard output is a file, too."""
    return click.option("--json", "json_file", type=OutFile(dash=dash), metavar="FILE", help=help)


def html_file(help: str) -> Callable[[F], F]:
    """`--html`."""
    return click.option("--html", "html_file", type=OutFile(), metavar="FILE", help=help)


class OutFile(click.Path):
    """The type of an option that names a file to write: in a folder that exists, and not itself a folder.

    Whether it can be written is known before anything is played. `-` is standard output and goes through as
    it is, if the option allows it.
    """

    def __init__(self, *, dash: bool = False) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=dash)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name as it was given; raises click.BadParameter."""
        if value == "-" and not self.allow_dash:
            self.fail(asked_words().say("usage.not_a_file"), param, ctx)
        if value != "-" and not Path(value).absolute().parent.is_dir():
            self.fail(asked_words().say("usage.no_place", path=value), param, ctx)
        return super().convert(value, param, ctx)

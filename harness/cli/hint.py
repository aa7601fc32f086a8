"""`chatlab hint NUMBER`: the hints for an exercise."""

from __future__ import annotations

import click

from harness.cli import options
from harness.cli.target_options import TRACK_IS
from harness.reports.dialect import Dialect
from harness.texts import texts
from harness.texts.console import echo


@click.command()
@click.argument("number", type=options.EXERCISE)
@click.option("--more", type=click.IntRange(1, 3), default=1, show_default=True, help="How many hints.")
@click.option("--track", help="The language of your files: names are shown as there.", **TRACK_IS)
@options.language
def hint(number: int, more: int, track: str, lang: str) -> None:
    """Show a hint for an exercise: the first of three."""
    dialect = Dialect(texts(lang), track)
    say = texts(lang).say
    echo(say("ui.hints", number=number, title=say(f"exercise.{number}")))
    hints = texts(lang).list(f"hints.{number}")
    for count, each in enumerate(hints[:more], start=1):
        echo(f"  {count}. {dialect.said(each)}")
    if more < len(hints):
        echo(say("ui.hint_more", exercise=number, next=more + 1, count=len(hints)))

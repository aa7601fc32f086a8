"""`chatlab status`: how far the exercises have come."""

from __future__ import annotations

import time

import click

from harness.check.progress import Progress, Reached, digest_of, home_of
from harness.cli import options
from harness.cli.target_options import TRACK_IS
from harness.cli.usage import told
from harness.judged.handed_out import pristine
from harness.judged.problems import BadTarget
from harness.judged.submissions import shown
from harness.judged.targets import own_file, own_folder
from harness.texts import Texts, texts
from harness.texts.console import echo
from harness.verdict.steps import EXERCISES


@click.command()
@click.option("--track", help="The language of your files.", **TRACK_IS)
@options.language
def status(track: str, lang: str) -> None:
    """Show how far each exercise has come, and what to do next.

    It is read from .chatlab/progress.json, beside the folder exercises.
    """
    words = texts(lang)
    try:
        folder = own_folder(track)
    except BadTarget as error:
        raise told(error) from error
    kept = Progress(
        home_of(folder), lambda path: echo(words.say("progress.set_aside", path=path), err=True)
    ).read()
    following, width = "", max(len(words.say(f"exercise.{number}")) for number in EXERCISES)
    for number in EXERCISES:
        file, reached = own_file(number, track), kept.of(number, track)
        now = digest_of(file)
        is_begun = now and file.read_text("utf-8", "replace") not in pristine(number, track).values()
        title = f"{words.say(f'exercise.{number}'):<{width}}"
        echo(f"{number}  {title}  {_line(reached, now, bool(is_begun), words)}")
        if not following and (reached is None or not reached.has_passed):
            following = words.say("progress.next", exercise=number, path=shown(file))
    echo("")
    echo(following or words.say("progress.all"))


def _line(reached: Reached | None, now: str, is_begun: bool, words: Texts) -> str:
    if not now:
        return words.say("progress.no_file")
    if reached is None:
        return words.say("progress.begun" if is_begun else "progress.not_begun")
    points = words.say("ui.score", points=reached.points, of=reached.of)
    if reached.has_passed:
        key = "passed" if reached.passed == now else "passed_before"
        return words.say(f"progress.{key}", when=_when(reached.passed_at, words), points=points)
    failed = ", ".join(step for step, outcome in reached.steps.items() if outcome == "failed")
    key = "judged_failed" if failed else "judged"
    line = words.say(f"progress.{key}", when=_when(reached.judged_at, words), points=points, steps=failed)
    return line if reached.judged == now else f"{line} {words.say('progress.changed')}"


def _when(at: float, words: Texts) -> str:
    return time.strftime(words.say("progress.time"), time.localtime(at))

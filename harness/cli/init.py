"""`chatlab init [FOLDER]`: the exercises, laid out for who has installed the kit."""

from __future__ import annotations

import os
from pathlib import Path

import click

from harness.cli import options
from harness.cli.usage import told
from harness.judged.tracks import PYTHON, TRACKS, VARIABLE
from harness.texts import LANGUAGES, texts
from harness.texts.console import echo
from harness.texts.problem import Problem


@click.command()
@click.argument("folder", default="chat-lab", type=click.Path(path_type=Path))
@click.option(
    "--track",
    type=click.Choice(TRACKS),
    default=PYTHON,
    envvar=VARIABLE,
    show_default=True,
    show_envvar=True,
    help="The language in which you write.",
)
@options.language
def init(folder: Path, track: str, lang: str) -> None:
    """Lay out the exercises in FOLDER  [default: chat-lab].

    You find the four files to fill in there, what to read, and the exact contract. Whatever is in FOLDER
    already stays as it is: to have the other track, too, give the same command with the other --track.
    """
    from harness.workspace.init import lay_out, next_commands

    words = texts(lang)
    try:
        done = lay_out(folder, track, words)
    except Problem as problem:
        raise told(problem) from problem
    key = "init.nothing" if not done.written else "init.some" if done.kept else "init.all"
    echo(words.say(key, n=done.written, kept=done.kept, path=folder))
    if done.lacking:
        echo(words.say("init.lacking", why=done.lacking))
    echo(words.say("init.next"))
    asked = ["--lang", lang] if lang != os.environ.get("CHATLAB_LANG", LANGUAGES[0]) else []
    commands = next_commands(folder, track, asked, words)
    for command, does in commands:
        echo(f"  {command}")
        if does:
            echo(f"      {does}")

"""The options that name the server which a command is about, and what they make of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from msgspec import Struct

from harness.cli.usage import told, wrong_usage
from harness.judged import targets
from harness.judged.targets import BadTarget, Target
from harness.judged.tracks import PYTHON, TRACKS, VARIABLE


class _Option(Struct, frozen=True):
    keyword: str
    """What `targets.choose` calls it."""
    help: str
    """It begins with what the command does to a server."""
    more: dict[str, Any]
    """What else click is told of it."""
    is_whole_server: bool = True


_OPTIONS = {
    "--exercises": _Option("", "{verb} your files in exercises/ (default).", {"is_flag": True}, False),
    "--solutions": _Option(
        "of_solutions", "{verb} the model answers in solutions/.", {"is_flag": True}, False
    ),
    "--reference": _Option("of_reference", "{verb} the reference server.", {"is_flag": True}),
    "--server": _Option("server", '{verb} any server, such as "node server.js".', {"metavar": "COMMAND"}),
    "--server-module": _Option(
        "server_module", "{verb} a whole server in a Python file.", {"metavar": "FILE.py"}
    ),
    "--url": _Option("url", "{verb} a server that runs already, such as ws://127.0.0.1:8080/.", {}),
    "--submission": _Option(
        "folder",
        "{verb} what somebody has handed in: a folder like exercises/, in either language.",
        {"type": click.Path(path_type=Path)},
        False,
    ),
}


_TRACK = "The language of your files, of the model answers, and of the reference."
TRACK_IS: dict[str, Any] = {
    "type": click.Choice(TRACKS),
    "default": targets.track_here,
    "envvar": VARIABLE,
    "show_default": "python, unless your files are all in TypeScript",
    "show_envvar": True,
}
"""What click is told of each option --track."""


class Named(Struct, frozen=True):
    """What the options named: the one that was given, and its value; "" if there is none."""

    option: str = ""
    value: str | Path | bool = False
    track: str = PYTHON

    @property
    def is_own(self) -> bool:
        """Whether that is the student's own files."""
        return self.option in ("", "--exercises")

    def targets(
        self, exercises: Iterable[int], *, together: bool = False, simulated: bool = False
    ) -> dict[int, Target]:
        """The server for each of these exercises; the student's own files in `exercises/` if none was named.

        Raises click.UsageError for one that is not there or, with `simulated`, cannot be simulated.
        """
        option = _OPTIONS[self.option or "--exercises"]
        if together and option.is_whole_server:
            raise wrong_usage("together", option=self.option)
        named: dict[str, Any] = {"track": self.track}
        if option.keyword:
            named[option.keyword] = self.value
        try:
            chosen = {number: targets.choose(number, together=together, **named) for number in exercises}
            for target in chosen.values() if simulated else ():
                targets.check_simulated(target)
        except BadTarget as error:
            raise told(error) from error
        return chosen


def names_server(
    verb: str, *names: str, is_needed: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options of these names, all of them if there is none, as one parameter `named`.

    They exclude each other; with `is_needed`, one must be given. `verb` is what the command does to a server.
    With them comes `--track`, the language of what is the course's own.
    """
    chosen = names or tuple(_OPTIONS)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_named(**values: Any) -> Any:
            track = values.pop("track")
            all_of_them = {name: values.pop(_parameter(name)) for name in chosen}
            given = {name: value for name, value in all_of_them.items() if value not in (None, False)}
            if is_needed and len(given) != 1:
                raise wrong_usage("one_server", options=", ".join(chosen))
            if len(given) > 1:
                raise wrong_usage("exclusive", options=", ".join(given))
            option, value = next(iter(given.items()), ("", False))
            return command(named=Named(option, value, track), **values)

        click.option("--track", help=_TRACK, **TRACK_IS)(with_named)
        for name in reversed(chosen):
            option = _OPTIONS[name]
            about = option.help.format(verb=verb)
            click.option(name, _parameter(name), help=about, **option.more)(with_named)
        return with_named

    return decorate


def _parameter(option: str) -> str:
    return f"named_{option.strip('-').replace('-', '_')}"

"""What is judged: a student's component in the reference server, a whole server, or one at a URL."""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote_plus, urlencode, urlsplit, urlunsplit

from msgspec import Struct, field
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from harness.texts.problem import Problem
from harness.verdict.steps import COMPONENTS, EXERCISES

ROOT = Path(__file__).resolve().parent.parent.parent
"""The folder that holds `exercises` and `solutions`, unless the current one does."""
_HARMLESS = ("-P", "-u", "-B", "-I", "-s", "-E")
"""Options of Python that change nothing about what a program does."""


class BadTarget(Problem):
    """The target cannot be judged; the text says what to do."""


class CommandNotFound(Exception):  # noqa: N818 - named for what it says
    """There is no such program; the text is its name."""


class Target(Struct, frozen=True):
    """How to reach the server that one exercise is judged on.

    `component` is the exercise's component where only that one is the student's: then only the steps
    that it can break carry points.
    """

    label: str
    command: tuple[str, ...] | None = None
    cwd: str = field(default_factory=lambda: str(Path.cwd()))
    url: str | None = None
    component: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    uses: dict[str, str] = field(default_factory=dict)
    """The files of the components that are the student's, by their names: these are called directly, too."""


def reference() -> Target:
    """The reference server with its own four components."""
    return Target("reference", _server_with([]))


def whole_server(command: str, cwd: Path | None = None, label: str | None = None) -> Target:
    """Any program that speaks the protocol. Raises BadTarget if `command` cannot be split into words."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise BadTarget("target.unreadable_command", command=repr(command), why=error) from error
    if not words:
        raise BadTarget("target.empty_command")
    return Target(label or command, words, str(cwd or Path.cwd()))


def at_file(file: str) -> Target:
    """A whole server in one Python file. Raises BadTarget if there is no such file."""
    path = Path(file)
    if not path.is_file() or path.suffix != ".py":
        raise BadTarget("target.no_python_file", path=file)
    return Target(file, (sys.executable, file))


def python_program(command: tuple[str, ...]) -> list[str] | None:
    """The module (after `-m`) or file that a command runs in Python, and its arguments; else None.

    Only such programs can be played in the simulated world.
    """
    if command[0] != sys.executable and not Path(command[0]).name.startswith("python"):
        return None
    words = list(command[1:])
    while words and words[0] in _HARMLESS:
        del words[0]
    if not words or (words[0] != "-m" and words[0].startswith("-")) or words == ["-m"]:
        return None
    return words


def check_simulated(target: Target) -> None:
    """Raise BadTarget if a target cannot be played in the simulated world."""
    if not hasattr(os, "fork"):
        raise BadTarget("target.no_fork")
    if target.command is None:
        raise BadTarget("target.url_simulated")
    if python_program(target.command) is None:
        raise BadTarget("target.not_python", command=repr(shlex.join(target.command)))


def at_url(url: str) -> Target:
    """A server that runs already. Raises BadTarget if `url` is not that of a WebSocket."""
    if not url.startswith(("ws://", "wss://")):
        raise BadTarget("target.no_websocket", url=repr(url))
    try:
        host = urlsplit(url).hostname
        if host:
            parse_uri(as_user(url, ""))
    except InvalidURI as error:
        raise BadTarget("target.no_address", url=repr(url), why=error.msg) from error
    except ValueError as error:
        raise BadTarget("target.no_address", url=repr(url), why=error) from error
    if not host:
        raise BadTarget("target.no_host", url=repr(url))
    return Target(url, url=url)


def submission(folder: Path, exercise: int, together: bool, label: str | None = None) -> Target:
    """A folder laid out like `exercises/`, or one whose `submission.toml` starts a whole server.

    Raises BadTarget if it is neither.
    """
    if not folder.is_dir():
        raise BadTarget("target.no_folder", path=folder)
    folder = _find_submission(folder)
    about = folder / "submission.toml"
    if about.is_file():
        try:
            run = tomllib.loads(about.read_text()).get("run")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadTarget("target.unreadable_file", path=about, why=error) from error
        if not isinstance(run, str):
            raise BadTarget("target.no_run", path=about)
        return whole_server(run, folder, label)
    numbers = sorted(EXERCISES) if together else [exercise]
    missing = [str(_file(folder, n)) for n in numbers if not _file(folder, n).is_file()]
    if missing:
        raise BadTarget("target.no_component", path=missing[0])
    uses = {COMPONENTS[n]: str(_file(folder, n).resolve()) for n in numbers}
    name = label or str(_file(folder, exercise))
    words = _server_with(f"{component}={path}" for component, path in uses.items())
    return Target(name, words, component=None if together else COMPONENTS[exercise], uses=uses)


def choose(
    exercise: int,
    *,
    of_reference: bool = False,
    server: str | None = None,
    server_module: str | None = None,
    url: str | None = None,
    folder: Path | None = None,
    of_solutions: bool = False,
    together: bool = False,
) -> Target:
    """The target that the options of a command name: without any, the student's own files in `exercises/`.

    Raises BadTarget if it cannot be judged.
    """
    if of_reference:
        return reference()
    if server is not None:
        return whole_server(server)
    if server_module is not None:
        return at_file(server_module)
    if url is not None:
        return at_url(url)
    if folder is not None:
        return submission(folder, exercise, together)
    name = "solutions" if of_solutions else "exercises"
    label = f"{name} together" if together else f"{name}/{EXERCISES[exercise]}"
    return submission(find_folder(name), exercise, together, label)


def as_user(address: str, user: str) -> str:
    """The address of a server with the name that a client asks for."""
    parts = urlsplit(without_user(address))
    query = "&".join(q for q in (parts.query, urlencode({"user": user}, quote_via=quote)) if q)
    return urlunsplit((parts.scheme, parts.netloc, parts.path or "/", query, ""))


def without_user(address: str) -> str:
    """The same address without any name; whatever else its query asks for stays as it is."""
    parts = urlsplit(address)
    pairs = [pair for pair in parts.query.split("&") if unquote_plus(pair.partition("=")[0]) != "user"]
    return urlunsplit(parts._replace(query="&".join(pairs)))


def find_folder(name: str) -> Path:
    """`exercises` or `solutions`: in the current folder, else where the kit is. Raises BadTarget."""
    for base in (Path.cwd(), ROOT):
        if (base / name / EXERCISES[1]).is_dir():
            return base / name
    raise BadTarget("target.not_here", name=name)


def _find_submission(folder: Path) -> Path:
    """The folder of the submission in one that was handed in: that one, or the only one below with the files.

    Some students hand in the whole kit, and some archives wrap everything in one more folder.
    """
    for pattern in ("", "*/", "*/*/"):
        found = {folder} if not pattern else {path for path in folder.glob(pattern) if path.is_dir()}
        homes = [path for path in found if _is_submission(path)]
        if homes:
            # The kit has model answers, too, and no student hands those in.
            own = [path for path in homes if path.name != "solutions"]
            return own[0] if len(own) == 1 else folder
    return folder


def _is_submission(folder: Path) -> bool:
    return (folder / "submission.toml").is_file() or any(_file(folder, n).is_file() for n in EXERCISES)


def _file(folder: Path, exercise: int) -> Path:
    return folder / EXERCISES[exercise] / f"{COMPONENTS[exercise]}.py"


def _server_with(uses: Iterable[str]) -> tuple[str, ...]:
    options = [word for use in uses for word in ("--use", use)]
    return (sys.executable, "-P", "-m", "lab", "--log-level", "warning", *options)

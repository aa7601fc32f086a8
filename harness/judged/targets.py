"""What is judged: a student's component in the reference server, a whole server, or one at a URL."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote, unquote_plus, urlencode, urlsplit, urlunsplit

from msgspec.structs import replace
from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from harness.judged import typescript
from harness.judged.commands import words_of
from harness.judged.found import Found, handed_in
from harness.judged.handed_out import place_of
from harness.judged.problems import BadTarget, CommandNotFound, Unclear
from harness.judged.programs import python_program
from harness.judged.submissions import check_there, component_in, has_components, shown
from harness.judged.target import Target
from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.posix import CAN_FORK
from harness.typescript.tools import is_clone
from harness.verdict.outcome import Text
from harness.verdict.steps import COMPONENTS, EXERCISES

__all__ = [  # what is judged, and why it cannot be
    "ROOT",
    "BadTarget",
    "CommandNotFound",
    "Target",
    "Unclear",
    "are_exercises_here",
    "as_user",
    "at_file",
    "at_url",
    "check_simulated",
    "choose",
    "find_folder",
    "home_here",
    "of_found",
    "own_file",
    "own_folder",
    "python_program",
    "reference",
    "submission",
    "track_here",
    "whole_server",
    "with_uses",
    "without_user",
]

ROOT = Path(__file__).resolve().parent.parent.parent
"""The folder that holds `exercises` and `solutions`, unless they are where the command is given."""


def reference(track: str = PYTHON) -> Target:
    """The reference server with its own four components; in TypeScript, the server with the model answers.

    Raises BadTarget if the packages of that one are not installed.
    """
    if track == TYPESCRIPT:
        return replace(typescript.server({}, "reference --track typescript"), uses={})
    return Target("reference", _server_with([]))


def whole_server(command: str, cwd: Path | None = None, label: str | None = None) -> Target:
    """Any program that speaks the protocol. Raises BadTarget if `command` is not the words of one."""
    return Target(label or command, words_of(command), str((cwd or Path.cwd()).absolute()))


def at_file(file: str) -> Target:
    """A whole server in one Python file. Raises BadTarget if there is no such file."""
    path = Path(file)
    if path.is_dir():
        raise BadTarget("target.folder_of_file", path=file)
    if path.is_file() and path.suffix != ".py":
        raise BadTarget("target.not_python_file", path=file)
    if not path.is_file():
        raise BadTarget("target.no_python_file", path=file)
    return Target(shown(path.absolute()), (sys.executable, file))


def check_simulated(target: Target) -> None:
    """Raise BadTarget if a target cannot be played in the simulated world."""
    if not CAN_FORK:
        raise BadTarget("target.no_fork")
    if target.command is None:
        raise BadTarget("target.url_simulated")
    if target.build is not None:
        raise BadTarget("target.typescript_simulated")
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


def submission(
    folder: Path, exercise: int, together: bool, label: str | None = None, *, is_partial: bool = False
) -> Target:
    """What was handed in as a folder; see `found.py`.

    With `is_partial`, it is all components that are there, and the reference's for the others. Raises
    BadTarget if it is none that can be judged.
    """
    return of_found(handed_in(folder, exercise, together, label, is_partial=is_partial), exercise, together)


def of_found(found: Found, exercise: int, together: bool, place: Path | None = None) -> Target:
    """The server of what was found; what is built for it is built below `place`. Raises BadTarget."""
    if found.command:
        return Target(found.label, found.command, found.folder, remarks=found.remarks)
    component = None if together else COMPONENTS[exercise]
    if found.track == TYPESCRIPT:
        target = typescript.server(found.uses, found.label, component, place)
    else:
        words = _server_with(f"{name}={path}" for name, path in found.uses.items())
        target = Target(found.label, words, component=component, uses=found.uses)
    return replace(target, remarks=found.remarks)


def with_uses(uses: Iterable[str]) -> Target:
    """The reference server with the components of texts COMPONENT=FILE. Raises BadTarget."""
    numbers = {name: number for number, name in COMPONENTS.items()}
    files: dict[int, Path] = {}
    for each in uses:
        name, _, path = each.partition("=")
        if name not in numbers or not path:
            raise BadTarget("target.not_a_use", given=each, components=", ".join(numbers))
        files[numbers[name]] = Path(path)
    check_there(files.values())
    paths = {number: str(path.resolve()) for number, path in files.items()}
    track = TYPESCRIPT if all(path.suffix == ".ts" for path in files.values()) else PYTHON
    label = ", ".join(shown(path) for path in files.values())
    return of_found(Found(label, "", paths, track), min(files), together=True)


def _with_components(files: dict[int, Path], exercise: int, together: bool, label: str | None) -> Target:
    """The reference server with one component of the student's, or with all."""
    label = label or ", ".join(shown(path) for path in files.values())
    paths = {number: str(path.resolve()) for number, path in files.items()}
    return of_found(Found(label, "", paths), exercise, together)


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
    is_partial: bool = False,
    track: str = PYTHON,
) -> Target:
    """The target that the options of a command name: without any, the student's own files in `exercises/`.

    A submission tells its track itself. Raises BadTarget if it cannot be judged.
    """
    if of_reference:
        return reference(track)
    if server is not None:
        return whole_server(server)
    if server_module is not None:
        return at_file(server_module)
    if url is not None:
        return at_url(url)
    if folder is not None:
        return submission(folder, exercise, together, is_partial=is_partial)
    if of_solutions and track == TYPESCRIPT:
        label = "solutions --track typescript" + (" --together" if together else "")
        folder = find_folder("solutions") / "typescript"
        return typescript.target(typescript.files_in(folder, exercise, together), exercise, together, label)
    if of_solutions:
        label = "solutions --together" if together else f"solutions/{EXERCISES[exercise]}"
        return submission(find_folder("solutions"), exercise, together, label)
    if track == TYPESCRIPT:
        return _own_typescript(exercise, together)
    return _own(exercise, together)


def _own_typescript(exercise: int, together: bool) -> Target:
    """The student's own files in TypeScript."""
    folder = own_folder(TYPESCRIPT)
    files = typescript.files_in(folder, exercise, together)
    return typescript.target(files, exercise, together, f"{shown(folder)} --together" if together else "")


def _own(exercise: int, together: bool) -> Target:
    """The student's own files; the report says so if they are only those of a clone that is elsewhere."""
    folder = own_folder(PYTHON)
    files = {number: component_in(folder, number) for number in (EXERCISES if together else (exercise,))}
    check_there(files.values())
    target = _with_components(files, exercise, together, f"{shown(folder)} --together" if together else None)
    if folder.parent in _here_and_above() or folder in _here_and_above():
        return target
    return replace(target, remarks=(Text("installed_copy", {"here": str(Path.cwd()), "path": str(folder)}),))


def own_file(exercise: int, track: str = PYTHON) -> Path:
    """The student's own file of an exercise, which need not be there. Raises BadTarget, as `own_folder`."""
    place = place_of(exercise, track)
    return own_folder(track) / (place.name if track == TYPESCRIPT else place)


def own_folder(track: str = PYTHON) -> Path:
    """The folder with the student's own files: `exercises` here or above, else that of a clone.

    In TypeScript it is the one with the components themselves, `src`. Raises BadTarget if there is none.
    """
    if track == TYPESCRIPT:
        bases = [base / place for base in _here_and_above() for place in ("src", "typescript/src")]
        home = next((each for each in bases if typescript.has_components(each)), None)
        return home or find_folder("exercises") / "typescript" / "src"
    return find_folder("exercises")


def are_exercises_here() -> bool:
    """Whether there are files of a student's own to be judged."""
    try:
        return own_folder(track_here()).is_dir()
    except BadTarget:
        return False


def home_here() -> Path:
    """The folder that has the exercises in which a command was given; the current one if there are none."""
    for base in _here_and_above():
        folder = base / "exercises"
        if has_components(folder) or typescript.has_components(folder / "typescript" / "src"):
            return base
    return Path.cwd()


def track_here() -> str:
    """The track of the student's own files: TypeScript if these are in no other language."""
    for base in _here_and_above():
        if has_components(base) or has_components(base / "exercises"):
            return PYTHON
        places = ("src", "typescript/src", "exercises/typescript/src")
        if any(typescript.has_components(base / place) for place in places):
            return TYPESCRIPT
    return PYTHON


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
    """`exercises` or `solutions`: in the current folder or above it, else where the kit is. Raises BadTarget.

    Of these, one may be `exercises` itself, by another name. Those of an installed kit are nobody's own.
    """
    kit = [ROOT] if name != "exercises" or is_clone() else []
    for base in (*_here_and_above(), *kit):
        if name == "exercises" and base.name != "solutions" and has_components(base):
            return base
        if any((base / name / slug).is_dir() for slug in EXERCISES.values()):
            return base / name
    if name == "exercises":
        raise BadTarget("target.no_exercises", here=Path.cwd())
    raise BadTarget("target.no_solutions")


def _here_and_above() -> Sequence[Path]:
    return (Path.cwd(), *Path.cwd().parents)


def _server_with(uses: Iterable[str]) -> tuple[str, ...]:
    options = [word for use in uses for word in ("--use", use)]
    return (sys.executable, "-P", "-m", "lab", "--log-level", "warning", *options)

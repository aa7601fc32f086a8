"""A target: how to reach the server that one exercise is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from harness.judged.isolation import Isolation
from harness.judged.programs import python_program
from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.typescript.components import COMPONENTS
from harness.verdict.outcome import Text

SERVER, CALLED = "server", "called"
"""Where a server lies in the folder of its build, and the modules of components that are called directly."""


class Built(Struct, frozen=True):
    """A server that was built in `folder` of a student's files, `own`; `is_refused` if there is none."""

    folder: str
    own: dict[str, str]
    """His files by their paths below `src`: the components, and the modules that they import."""
    is_refused: bool = False

    @property
    def server(self) -> str:
        """The folder of the server."""
        return str(Path(self.folder, SERVER))

    @property
    def called(self) -> str:
        """The folder of what is called directly."""
        return str(Path(self.folder, CALLED))

    def compiled(self, component: str) -> str:
        """The compiled module of a component."""
        return str(Path(self.called, f"{COMPONENTS[component].module}.js"))


class Target(Struct, frozen=True):
    """How to reach the server that one exercise is judged on. `cwd` and the paths in `uses` are absolute.

    `label` says which file, command or address it is, as whoever gave the command knows it. `component` is
    the exercise's component where only that one is the student's: then only the steps that it can break
    carry points.
    """

    label: str
    command: tuple[str, ...] | None = None
    cwd: str = field(default_factory=lambda: str(Path.cwd()))
    url: str | None = None
    component: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    passed: tuple[str, ...] | None = None
    """The names of our environment variables that its server may see; None for all. See `environment.py`."""
    uses: dict[str, str] = field(default_factory=dict)
    """The files of the components that are the student's, by their names: these are called directly, too."""
    build: Built | None = None
    """What was built of them, if they are in TypeScript."""
    remarks: tuple[Text, ...] = ()
    """What a report has to say of how it was found."""
    isolation: Isolation | None = None
    """How its code is kept from the rest of the machine; None if it is whoever calls who wrote it."""

    nodes: int = 0
    """So many chat nodes on a backplane are one server; 0 for a server that is a single process."""

    @property
    def track(self) -> str:
        """The language of its components, as far as it has any."""
        return TYPESCRIPT if self.build is not None else PYTHON

    @property
    def is_our_server(self) -> bool:
        """Whether the reference server runs it, with whatever components."""
        return is_our_server(self.command or ("",))


def is_our_server(command: Sequence[str]) -> bool:
    """Whether a command runs the reference server."""
    return (python_program(command) or [])[:2] == ["-m", "lab"]

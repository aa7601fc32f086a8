"""Makes an image as the Dockerfile says, in a folder, on a machine without containers.

Each step of a stage is done: COPY has the files that are sent to the builder, and no other; RUN runs. So a
service finds what the steps have left, and nothing of the repository or of the environment in which the tests
run. What stands for the base image is this machine's Python, as a fresh virtual environment in /usr/local,
its Node, and its HAProxy.

By default pip installs the project and nothing else, without a network, and what the project requires is
linked from the environment of the tests: exactly that, so what `pyproject.toml` does not name is missing in
the image, too. `from_index` has pip do all that the Dockerfile says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from tests.rehearsal.deployment import ROOT, Copy, Run, dockerfile, is_sent, with_arguments

PREFIX = Path("usr/local")
"""Where the image of Python has its programs."""
_BUILD_SECONDS = 180.0
_EDITABLE = "--editable"


class Failed(Exception):  # noqa: N818 - named for what it says
    """The rehearsal cannot go on; the text names the step or the service at fault, with its last lines."""


class Images:
    """The images in a folder, each of which is made when it is needed first."""

    def __init__(self, folder: Path, text: str | None = None, from_index: bool = False) -> None:
        self.folder = folder
        self.from_index = from_index
        self.stages = dockerfile(text)

    def made(self, target: str, arguments: Mapping[str, str] | None = None) -> Path:
        """The folder that stands for the root of an image. Raises Failed if a step fails."""
        stage = self.stages[target]
        arguments = {**stage.arguments, **(arguments or {})}
        root = self.folder / "-".join([target, *filter(None, arguments.values())])
        if root.exists():
            return root
        unfinished = root.with_name(f"{root.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        if stage.base in self.stages:
            duplicate(self.made(stage.base, arguments), unfinished)
        else:
            self._begin(stage.base, unfinished)
        for step in stage.steps:
            if isinstance(step, Copy):
                self._copy(step, unfinished)
            else:
                words = [with_arguments(word, arguments) for word in step.words]
                self._run(Run(words, step.workdir, step.environment), unfinished)
        move(unfinished, root)
        return root

    def tried(self, target: str, words: list[str], arguments: Mapping[str, str] | None = None) -> None:
        """Run a command in an image. Raises Failed if it fails."""
        stage, root = self.stages[target], self.made(target, arguments)
        environment = {**stage.environment, "PATH": programs(root)}
        _succeed(words, root / stage.workdir.lstrip("/"), environment)

    def _begin(self, base: str, root: Path) -> None:
        """What stands for the base image. Python is there as it is in the image: by itself."""
        root.mkdir(parents=True)
        if base.startswith("python:"):
            venv.EnvBuilder(symlinks=True, with_pip=self.from_index).create(root / PREFIX)

    def _copy(self, step: Copy, root: Path) -> None:
        target = root / step.target.lstrip("/")
        for source in step.sources:
            if step.stage:
                put(self.made(step.stage) / source.lstrip("/"), target)
            else:
                copy(source, target)

    def _run(self, step: Run, root: Path) -> None:
        workdir = root / step.workdir.lstrip("/")
        workdir.mkdir(parents=True, exist_ok=True)
        words = step.words
        environment = {**os.environ, **step.environment, "PATH": programs(root)}
        if words[0] == "install":  # whom it belongs to cannot be rehearsed
            (root / words[-1].lstrip("/")).mkdir(parents=True)
            return
        if words[0] == "npm":  # packages that were installed on this machine before need no network
            environment["npm_config_prefer_offline"] = "true"
        elif words[0] == "pip" and not self.from_index:
            words = _linked(words, workdir, root)
            environment["PYTHONPATH"] = _site(Path(sys.prefix)).as_posix()  # for pip and hatchling, this once
        _succeed(words, workdir, environment)


def _succeed(words: list[str], workdir: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        words,
        cwd=workdir,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Failed(f"`{' '.join(words)}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def programs(root: Path) -> str:
    """PATH in an image: its own programs, and this machine's without those of the repository."""
    others = os.environ.get("PATH", os.defpath).split(os.pathsep)
    own = Path(sys.prefix) / "bin"
    return os.pathsep.join([str(root / PREFIX / "bin"), *(each for each in others if Path(each) != own)])


# --- what pip does ------------------------------------------------------------------------------------


def _linked(words: list[str], workdir: Path, root: Path) -> list[str]:
    """Link what is required, and return what is left to do for pip: the project itself, by its own steps."""
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    project = words.index(_EDITABLE) + 1 if _EDITABLE in words else 0
    wanted = _of_project(workdir, words[project]) if project else [Requirement(words[-1])]
    for distribution in closure(wanted):
        link(distribution, root / PREFIX)
    if project:
        return ["python", "-m", *words[:2], *options, *words[2:]]
    return ["python", "-c", ""]


def _of_project(workdir: Path, what: str) -> list[Requirement]:
    """What `.` or `.[extra]` requires, by the `pyproject.toml` that was copied."""
    try:
        project = tomllib.loads((workdir / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except OSError as error:
        raise Failed(f"there is nothing to install: {error}") from error
    wanted = list(project["dependencies"])
    for extra in Requirement(f"project{what.removeprefix('.')}").extras:
        wanted += project["optional-dependencies"][extra]
    return [Requirement(each) for each in wanted]


def closure(wanted: Iterable[Requirement]) -> list[metadata.Distribution]:
    """All distributions that these requirements bring, from the environment of the tests."""
    found: dict[str, metadata.Distribution] = {}
    seen, waiting = set(), [(each, "") for each in wanted]
    while waiting:
        requirement, extra = waiting.pop()
        if (str(requirement), extra) in seen or (
            requirement.marker and not requirement.marker.evaluate({"extra": extra})
        ):
            continue
        seen.add((str(requirement), extra))
        try:
            distribution = metadata.distribution(requirement.name)
        except metadata.PackageNotFoundError as error:
            raise Failed(
                f"the image would have {requirement.name}, which the tests' environment has not"
            ) from error
        found[requirement.name] = distribution
        needs = [Requirement(each) for each in distribution.requires or []]
        waiting += [(each, more) for each in needs for more in ("", *requirement.extras)]
    return list(found.values())


def link(distribution: metadata.Distribution, prefix: Path) -> None:
    """Put the files of a distribution below a prefix. Scripts start with that prefix's Python."""
    site = _site(prefix)
    for file in distribution.files or []:
        source, target = Path(str(distribution.locate_file(file))), Path(os.path.normpath(site / file))
        if not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.parent == prefix / "bin" and source.read_bytes()[:2] == b"#!":
            lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
            target.write_text("".join([f"#!{prefix}/bin/python\n", *lines[1:]]), encoding="utf-8")
            target.chmod(0o755)
        elif not target.exists():
            _linked_file(str(source), str(target))


def _site(prefix: Path) -> Path:
    return next((prefix / "lib").glob("python3.*")) / "site-packages"


# --- files ----------------------------------------------------------------------------------------------


def duplicate(image: Path, root: Path) -> None:
    """A copy of an image at another place. Paths to it are in scripts, and in what pip leaves."""
    shutil.copytree(image, root, symlinks=True, copy_function=_linked_file)
    _tell_place(image, root)


def move(image: Path, root: Path) -> None:
    """Put an image at another place."""
    image.rename(root)
    _tell_place(image, root)


def _tell_place(before: Path, now: Path) -> None:
    prefix = now / PREFIX
    if not prefix.exists():
        return
    site = _site(prefix)
    for file in [*(prefix / "bin").iterdir(), *site.glob("*.pth")]:
        if file.is_symlink() or not file.is_file():
            continue
        content = file.read_bytes()
        if bytes(before) in content:
            mode = file.stat().st_mode
            file.unlink()  # it may be a hard link
            file.write_bytes(content.replace(bytes(before), bytes(now)))
            file.chmod(mode)


def _linked_file(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # no hard links between these places
        shutil.copy2(source, target)


def copy(source: str, target: Path) -> None:
    """COPY of the Dockerfile: a folder's content, or a file into a folder, without what is not sent."""

    def left_out(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(ROOT)
        return {name for name in names if not is_sent((inside / name).as_posix())}

    path = ROOT / source
    if not path.exists() or not is_sent(source):
        raise Failed(f"the Dockerfile copies {source}, which is not there or not sent to the builder")
    put(path, target, left_out)


def put(path: Path, target: Path, left_out: Callable[[str, list[str]], Iterable[str]] | None = None) -> None:
    """Put a folder's content, or a file, into a folder."""
    if path.is_dir():
        shutil.copytree(path, target, symlinks=True, ignore=left_out, dirs_exist_ok=True)
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)

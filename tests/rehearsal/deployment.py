"""The content of docker-compose.yml, the Dockerfile and .dockerignore, as data.

Only what these files use is supported; anything else raises Unknown, so that nothing is ignored.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
GRACE = 10.0
"""Seconds that a service has to stop in, unless the compose file says otherwise."""

PROGRAMS = ("npm", "pip", "python", "install")
"""What the Dockerfile may run while an image is built."""

Json = dict[str, Any]


class Unknown(Exception):  # noqa: N818 - named for what it says
    """One of the files uses something that the rehearsal does not know; the text says what."""


@dataclass
class Copy:
    """Files that a stage copies to a folder of the image: from the build context, or from another stage."""

    sources: list[str]
    target: str
    stage: str = ""


@dataclass
class Run:
    """A command that a stage runs while the image is built, and its folder."""

    words: list[str]
    workdir: str
    environment: dict[str, str]
    """What `ENV` has set by then."""


@dataclass
class Stage:
    """One stage of the Dockerfile: what it inherits from the stage before it, and the steps of its own."""

    base: str = ""
    """The stage or the image that it begins with."""
    arguments: dict[str, str] = field(default_factory=dict)
    """What `ARG` names, with its default."""
    workdir: str = "/"
    user: str = "root"
    environment: dict[str, str] = field(default_factory=dict)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    exposed: list[int] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    steps: list[Copy | Run] = field(default_factory=list)
    """What fills it after its base, in order."""

    @property
    def sources(self) -> list[str]:
        """All that it copies from the build context."""
        copies = [each for each in self.steps if isinstance(each, Copy) and not each.stage]
        return [source for each in copies for source in each.sources]


@dataclass
class Mount:
    """A folder of a service: a named volume, a folder of the host (`bind`), or one in memory (`tmpfs`)."""

    kind: str
    source: str
    target: str
    read_only: bool = False
    must_exist: bool = False


@dataclass
class Service:
    """What compose would start for one service, with everything that its image sets."""

    name: str
    target: str
    """The stage that its image is made of, and below it the arguments for that."""
    arguments: dict[str, str]
    stage: Stage
    profiles: list[str]
    words: list[str]
    """The program and its arguments."""
    environment: dict[str, str]
    mounts: list[Mount]
    published: list[tuple[str, str, int]]
    """Address and port on the host, and the port of the service."""
    ports: list[int]
    """All ports of the service, published or not."""
    needs: dict[str, str]
    """The services that it waits for, each with the condition."""
    copies: int
    grace: float
    """Seconds between SIGTERM and SIGKILL."""
    raw: Json
    """All that the compose file says of it."""


# --- docker-compose.yml ---------------------------------------------------------------------------


def services(settings: Mapping[str, str]) -> dict[str, Service]:
    """All services, by name, with the user's variables filled in."""
    tree = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    stages = dockerfile()
    found = {}
    for name, raw in tree["services"].items():
        service = fill_in(raw, settings)
        found[name] = _service(name, service, stages[service["build"]["target"]])
    return found


def fill_in(node: Any, settings: Mapping[str, str]) -> Any:
    """A tree in whose texts `${NAME}` and `${NAME:-default}` are replaced."""
    if isinstance(node, dict):
        return {key: fill_in(value, settings) for key, value in node.items()}
    if isinstance(node, list):
        return [fill_in(value, settings) for value in node]
    if not isinstance(node, str):
        return node

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            raise Unknown(f"`{node}`: of variables only ${{NAME}} and ${{NAME:-default}} are understood")
        return settings.get(match["name"]) or match["default"] or ""

    return re.sub(r"\$(?:\{(?P<name>\w+)(?::-(?P<default>[^{}]*))?\})?", value, node)


def _service(name: str, raw: Json, stage: Stage) -> Service:
    command, entrypoint = _words(raw.get("command")), _words(raw.get("entrypoint"))
    published = [_published(each) for each in raw.get("ports", [])]
    needs = raw.get("depends_on", {})
    if isinstance(needs, list):
        needs = {each: {"condition": "service_started"} for each in needs}
    return Service(
        name,
        raw["build"]["target"],
        raw["build"].get("args", {}),
        stage,
        raw.get("profiles", []),
        [*(entrypoint or stage.entrypoint), *(command or stage.command)],
        {**stage.environment, **{key: str(value) for key, value in raw.get("environment", {}).items()}},
        [*(Mount("tmpfs", "", each) for each in raw.get("tmpfs", [])), *map(_mount, raw.get("volumes", []))],
        published,
        sorted({each[2] for each in published} | {int(each) for each in raw.get("expose", [])}),
        {each: more["condition"] for each, more in needs.items()},
        raw.get("scale", 1),
        float(raw.get("stop_grace_period", f"{GRACE}s").removesuffix("s")),
        raw,
    )


def _words(command: str | list[str] | None) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else command or []


def _published(port: str) -> tuple[str, str, int]:
    address, host, inside = port.split(":")
    return address, host, int(inside)


def _mount(raw: str | Json) -> Mount:
    if isinstance(raw, str):
        source, target, *more = raw.split(":")
        return Mount("bind" if source.startswith(".") else "volume", source, target, more == ["ro"])
    must_exist = not raw.get("bind", {}).get("create_host_path", True)
    return Mount(raw["type"], raw["source"], raw["target"], raw.get("read_only", False), must_exist)


# --- Dockerfile -----------------------------------------------------------------------------------


def dockerfile(text: str | None = None) -> dict[str, Stage]:
    """The stages of the Dockerfile (or of a text in its place), by name."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8") if text is None else text
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    stages: dict[str, Stage] = {}
    stage = Stage()
    for line in text.replace("\\\n", "").splitlines():
        if not line.strip():
            continue
        keyword, rest = line.split(maxsplit=1)
        if keyword == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()  # type: ignore[union-attr]
            stage = stages[name] = deepcopy(stages[base]) if base in stages else Stage()
            stage.base, stage.steps = base, []
        else:
            _obey(stage, keyword, rest)
    return stages


def _obey(stage: Stage, keyword: str, rest: str) -> None:
    match keyword:
        case "WORKDIR":
            stage.workdir = rest
        case "USER":
            stage.user = rest
        case "ENV":
            stage.environment |= dict(word.split("=", 1) for word in shlex.split(rest))
        case "ARG":
            name, _, default = rest.partition("=")
            stage.arguments[name] = default.strip('"')
        case "COPY":
            *sources, target = rest.split()
            other = sources.pop(0).removeprefix("--from=") if sources[0].startswith("--from=") else ""
            stage.steps.append(Copy(sources, str(Path(stage.workdir, target)), other))
        case "RUN":
            words = shlex.split(re.sub(r"^--mount=type=cache,target=\S+ ", "", rest))
            if words[0] not in PROGRAMS:
                raise Unknown(f"the Dockerfile runs {words[0]}, which the rehearsal does not know")
            stage.steps.append(Run(words, stage.workdir, dict(stage.environment)))
        case "EXPOSE":
            stage.exposed += [int(each) for each in rest.split()]
        case "VOLUME":
            stage.volumes += rest.split()
        case "HEALTHCHECK":
            stage.health = json.loads(rest.partition(" CMD ")[2])
        case "ENTRYPOINT":
            stage.entrypoint, stage.command = json.loads(rest), []
        case "CMD":
            stage.command = json.loads(rest)
        case _:
            raise Unknown(f"the Dockerfile has a {keyword}, which the rehearsal does not know")


def with_arguments(word: str, arguments: Mapping[str, str]) -> str:
    """A word of RUN: `${NAME:+text}` is the text, unless the argument is empty, and `$NAME` its value."""

    def value(match: re.Match[str]) -> str:
        return with_arguments(match["then"], arguments) if arguments[match["name"]] else ""

    word = re.sub(r"\$\{(?P<name>\w+):\+(?P<then>[^{}]*)\}", value, word)
    return re.sub(r"\$(\w+)", lambda match: arguments[match[1]], word)


# --- .dockerignore --------------------------------------------------------------------------------


def is_sent(path: str) -> bool:
    """Whether a path of the repository is sent to the builder: the last pattern that matches decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        is_exception = pattern.startswith("!")
        if _fits(path, pattern.removeprefix("!")):
            sent = is_exception
    return sent


def _fits(path: str, pattern: str) -> bool:
    """Whether a pattern matches the path or a folder that it is in."""
    if re.search(r"[?\[\]\\]", pattern):
        raise Unknown(f".dockerignore has `{pattern}`, of which the rehearsal understands * and ** only")
    form = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
    return re.fullmatch(f"{form}(?:/.*)?", path) is not None

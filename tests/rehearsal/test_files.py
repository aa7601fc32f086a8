from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lab import protocol
from lab.command import serve
from lab.hub import Config
from tests.lab.helpers import serving
from tests.rehearsal.deployment import ROOT, Run, Unknown, dockerfile, fill_in, is_sent, services

SERVICES = services({})
SERVER = SERVICES["server"]
NODE = SERVICES["node-1"]
TYPESCRIPT = SERVICES["typescript"]
CLUSTER = ["balancer", "node-1", "node-2", "node-3", "nats-1", "nats-2", "nats-3", "hello-cluster"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_compose_file_is_valid() -> None:
    """docker-compose.yml is valid by the compose specification."""
    command = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    checked = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


# --- the images -----------------------------------------------------------------------------------


def test_everything_copied_exists_and_is_sent() -> None:
    """What the Dockerfile copies exists and is sent to the builder,
    and all packages of the kit are among it.
    """
    stages = dockerfile()
    for source in {source for stage in stages.values() for source in stage.sources}:
        assert (ROOT / source).exists(), source
        assert is_sent(source), source
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(packages) <= set(stages["kit"].sources)


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "data/messages.db",
        "exercises/typescript/dist/index.js",
        "exercises/typescript/node_modules",
        "exercises/typescript/node_modules/ws/package.json",
        "grades/grades.csv",
        "harness/checkers/__pycache__/order.pyc",
        "lab/__pycache__",
        "submissions/ada/pubsub.py",
        "tests/lab/helpers.py",
    ],
)
def test_nothing_else_is_sent(path: str) -> None:
    """Secrets, histories, data, caches, other people's work and the tests stay out of the image."""
    assert not is_sent(path)


def test_sources_are_sent() -> None:
    """A folder that is not ignored is sent with its content."""
    assert is_sent("harness/texts/en.toml")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_runs_as_root(name: str) -> None:
    """Each service runs as a user without rights, who can gain none and writes to its volumes and /tmp."""
    service = SERVICES[name]
    user = service.raw.get("user", service.stage.user)
    assert user.partition(":")[0] not in ("", "root", "0")
    assert service.raw["read_only"] is True
    assert service.raw["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service.raw["security_opt"]
    assert service.environment["HOME"] in service.raw["tmpfs"]


def test_extras_exist() -> None:
    """An image is built with an extra that the kit has."""
    extras = {service.raw["build"].get("args", {}).get("EXTRA") for service in SERVICES.values()}
    assert extras - {None} == {"cluster", "grading", "load", "notebooks"}
    assert extras - {None} <= set(PROJECT["project"]["optional-dependencies"])


# --- the server -----------------------------------------------------------------------------------


def test_one_port() -> None:
    """The server listens on the port that the image exposes, compose publishes and the kit has as default."""
    port = Config().port
    assert SERVER.stage.exposed == SERVER.ports == [port]
    assert SERVER.stage.environment["PORT"] == SERVER.environment["PORT"] == str(port)
    assert SERVER.stage.environment["HEALTH_PORT"] == SERVER.environment["HEALTH_PORT"] != str(port)
    assert SERVER.published == [("127.0.0.1", str(port), port)]


def test_messages_survive_the_container() -> None:
    """The folder of the messages is the image's volume, and a named volume of the compose file."""
    folder = SERVER.environment["DATA_DIR"]
    assert [folder] == SERVER.stage.volumes
    assert folder == SERVER.stage.environment["DATA_DIR"]
    assert [(each.kind, each.read_only) for each in SERVER.mounts if each.target == folder] == [
        ("volume", False)
    ]


def test_the_server_knows_its_variables() -> None:
    """Each of its own variables is one of `chatlab serve`, and the intervals are those of the contract."""
    understood = {str(each.envvar) for each in serve.params if each.envvar}
    own = set(SERVER.raw["environment"])
    by_default = {name for name in understood if name.startswith("MAX_")}
    assert own == understood - {"LOG_LEVEL", "ACCESS_KEY", "ORIGIN", "BACKPLANE"} - by_default
    assert set(NODE.raw["environment"]) == own | {"BACKPLANE"}
    assert float(SERVER.environment["HEARTBEAT_INTERVAL"]) == protocol.HEARTBEAT_INTERVAL
    assert float(SERVER.environment["OFFLINE_TIMEOUT"]) == protocol.OFFLINE_TIMEOUT


def test_the_page_offers_the_rooms_with_a_welcome() -> None:
    """The rooms that the page offers are those in which somebody said hello, in the same order."""
    for server, greeter in (("server", "hello"), ("node-1", "hello-cluster")):
        welcomes = [word.partition("=")[0] for word in SERVICES[greeter].words if "=" in word]
        assert ",".join(welcomes) == SERVICES[server].environment["ROOMS"]


def test_time_to_stop() -> None:
    """The server has the five seconds to stop that the protocol gives it, and receives the signal itself."""
    assert "for which it has 5 seconds" in (ROOT / "lab/PROTOCOL.md").read_text(encoding="utf-8")
    assert SERVER.grace == 5
    assert SERVER.words[0] == "python", "a shell in between would keep SIGTERM to itself"


async def _health(port: int) -> int:
    """The exit code of the image's health check, for a server on that port."""
    program, *arguments = SERVER.stage.health
    assert program == "python"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={**os.environ, "HEALTH_PORT": str(port)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


async def test_health_check(tmp_path: Path) -> None:
    """The health check finds a server that answers well, and not one that has ended or answers otherwise."""
    async with serving(tmp_path) as server:
        port = server.port
        assert await _health(port) == 0
    assert await _health(port) != 0

    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as other:
        assert await _health(other.sockets[0].getsockname()[1]) != 0


# --- the server in TypeScript ----------------------------------------------------------------------


def test_the_server_in_typescript_is_deployed_likewise() -> None:
    """Its variables are all that it reads, and it is confined, stopped and kept as the other one is."""
    source = (ROOT / "exercises/typescript/src/index.ts").read_text(encoding="utf-8")
    read = set(re.findall(r'\b(?:variable|milliseconds)\("(\w+)"', source))
    own = {**TYPESCRIPT.stage.environment, **TYPESCRIPT.raw["environment"]}
    assert set(own) == read | {"NODE_ENV", "HOME"}
    for name in ("HEARTBEAT_INTERVAL", "OFFLINE_TIMEOUT"):
        assert TYPESCRIPT.environment[name] == SERVER.environment[name]
    assert TYPESCRIPT.stage.exposed == TYPESCRIPT.ports == [int(TYPESCRIPT.environment["PORT"])]
    assert TYPESCRIPT.published == [("127.0.0.1", TYPESCRIPT.environment["PORT"], *TYPESCRIPT.ports)]
    assert TYPESCRIPT.stage.volumes == [TYPESCRIPT.environment["DATA_DIR"]]
    assert TYPESCRIPT.grace == SERVER.grace
    assert TYPESCRIPT.words[0] == "node", "a shell or npm in between would keep SIGTERM to itself"


def test_no_messages_are_shared() -> None:
    """The two servers write different files, so each has a volume of its own."""
    volumes = [
        mount.source
        for name in ("server", "typescript")
        for mount in SERVICES[name].mounts
        if mount.kind == "volume"
    ]
    assert len(volumes) == len(set(volumes)) == 2


def test_npm_installs_what_the_lock_file_names() -> None:
    """For the compiler by the same command as `make` does; then without it, and without all that it needs."""
    steps = [step for step in dockerfile()["typescript-build"].steps if isinstance(step, Run)]
    first, build, last = [" ".join(step.words) for step in steps]
    assert f"&& {first}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    assert build == "npm run build"
    assert last == first.replace("--include=dev", "--omit=dev") != first


# --- the deployment -------------------------------------------------------------------------------


def test_only_this_machine_is_served() -> None:
    """Unless the user chooses otherwise, each published port is on loopback;
    and only the chat's can be changed.
    """
    opened = services({"ADDRESS": "0.0.0.0"})
    for name, service in SERVICES.items():
        assert all(address == "127.0.0.1" for address, _, _ in service.published), name
        if name in ("server", "balancer"):
            assert [address for address, _, _ in opened[name].published] == ["0.0.0.0"]
        else:
            assert opened[name].published == service.published


def test_profiles() -> None:
    """`docker compose up` starts the server and its greeter; everything else is started on request."""
    asked_for = {name: service.profiles for name, service in SERVICES.items()}
    assert asked_for == {
        "server": [],
        "hello": [],
        "typescript": ["typescript"],
        **{name: ["cluster"] for name in CLUSTER},
        "load-master": ["load"],
        "load-worker": ["load"],
        "notebooks": ["notebooks"],
        "grade": ["grade"],
    }


def test_the_nodes_of_the_cluster_are_alike() -> None:
    """Each node of the chat is given the same; each one of NATS has a name and a volume of its own."""
    for node in ("node-2", "node-3"):
        assert SERVICES[node].raw == NODE.raw
    nats = [SERVICES[f"nats-{number}"] for number in (1, 2, 3)]
    for each in nats:
        assert each.words[-2:] == ["--name", each.name]
        assert [(mount.kind, mount.source, mount.target) for mount in each.mounts[1:]] == [
            ("volume", each.name, "/data")
        ]
        assert each.words[:-1] == nats[0].words[:-1]
        assert all(f"nats://{other.name}:6222" in each.words[-3] for other in nats)
    assert NODE.environment["BACKPLANE"] == ",".join(f"nats://{each.name}:4222" for each in nats)
    assert NODE.needs == {each.name: "service_healthy" for each in nats}
    conf = (ROOT / "lab/cluster/deploy/nats.conf").read_text(encoding="utf-8")
    assert "sync_interval: always" in conf


def test_the_balancer_knows_all_nodes() -> None:
    """Each node has a variable in the balancer's configuration, with the port on which it listens."""
    balancer = SERVICES["balancer"]
    used = set(
        re.findall(r"\$\{(\w+)\}", (ROOT / "lab/cluster/deploy/haproxy.cfg").read_text(encoding="utf-8"))
    )
    assert set(balancer.raw["environment"]) == used
    nodes = {value for name, value in balancer.environment.items() if name.startswith("NODE_")}
    assert nodes == {f"{name}:{NODE.environment['PORT']}" for name in balancer.needs}


def test_submissions_are_isolated() -> None:
    """Submissions have no network and limited resources, and cannot change those of others."""
    grade = SERVICES["grade"]
    assert grade.raw["network_mode"] == "none"
    assert {"mem_limit", "pids_limit"} <= set(grade.raw)
    assert {mount.target: mount.read_only for mount in grade.mounts if mount.kind == "bind"} == {
        "/submissions": True,
        "/grades": False,
    }


def test_each_variable_is_documented() -> None:
    """The head of the compose file lists each variable that a user may set."""
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    head = text.partition("\nname:")[0]
    used = set(re.findall(r"\$\{(\w+)", text))
    assert used, "there are variables"
    assert used <= set(re.findall(r"\w+", head))


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "1"),
        ("${A:-2}", "1"),
        ("${B:-2}", "2"),
        ("${EMPTY:-2}", "2"),
        ("x:${B}:${B:-}y", "x::y"),
        ("./${B:-a/b}-${A}", "./a/b-1"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    """The rehearsal reads variables as compose does."""
    assert fill_in({"k": [text, 3]}, {"A": "1", "EMPTY": ""}) == {"k": [filled, 3]}


@pytest.mark.parametrize("text", ["${A:?needed}", "${A-x}", "$A", "$$"])
def test_unknown_variables_are_refused(text: str) -> None:
    """The rehearsal ignores nothing that it does not understand."""
    with pytest.raises(Unknown, match="only"):
        fill_in(text, {})

from __future__ import annotations

import csv
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.extras import needs_module, needs_node, needs_program
from tests.rehearsal.deployment import ROOT
from tests.rehearsal.images import Images
from tests.rehearsal.rehearsal import Failed, Rehearsal, left_running

pytestmark = [pytest.mark.extra, pytest.mark.timeout(300)]

SHORT = {"HEARTBEAT_INTERVAL": "0.5", "OFFLINE_TIMEOUT": "1.5"}
TOKEN = "a-token-of-the-user"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to rehearse in; after the test nothing runs in it any more, however the test ended."""
    yield tmp_path
    assert left_running(tmp_path) == []


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images, each of which is made once."""
    return Images(tmp_path_factory.mktemp("images"))


def status(url: str, **headers: str) -> int | None:
    """The HTTP status of a page; None without an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None


def test_default(folder: Path, images: Images) -> None:
    """`docker compose up` gives a server that passes the check, with a welcome in each room that survives."""
    with Rehearsal(folder, images, settings=SHORT) as it:
        it.up()
        code, said = it.run("hello")
        assert code == 0, said
        rooms = [line.partition(" #1: ")[0] for line in said.splitlines()]
        assert len(set(rooms)) == len(rooms) >= 3
        check_passes(it.port("server"))
        assert it.down() == {"hello": [0], "server": [0]}

        it.up()
        assert it.run("hello") == (0, said), "what was said before the stop is there, and was not said again"
        assert it.down() == {"hello": [0], "server": [0]}


def check_passes(port: int) -> None:
    """The check passes for the server on a port, as far as it can judge one that it has not started."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "harness.cli.main",
            "check",
            "--url",
            f"ws://127.0.0.1:{port}/",
            "--json",
            "-",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode in (0, 2), done.stdout + done.stderr
    verdicts = [step["verdict"] for step in json.loads(done.stdout)["steps"]]
    assert verdicts.count("passed") > verdicts.count("inconclusive")


def test_typescript(folder: Path, images: Images) -> None:
    """The server in TypeScript passes the check, has the page, keeps its messages, and needs no compiler."""
    needs_node()
    needs_program("npm", hint="it comes with Node.js")
    with Rehearsal(folder, images, ("typescript",), settings=SHORT) as it:
        running = it.start("typescript")
        assert list(it.running) == ["typescript"], "it needs no other server"
        page = f"http://127.0.0.1:{it.port('typescript')}"
        it.until(lambda: it.is_healthy(running), "its health")
        with urllib.request.urlopen(f"{page}/", timeout=5) as answer:
            assert answer.read() == (ROOT / "lab/web/index.html").read_bytes()
        packages = running.workdir / "node_modules"
        assert [each.name for each in packages.iterdir() if each.name[0] != "."] == ["ws"]
        check_passes(it.port("typescript"))
        assert greeted(it.port("typescript")) == "general #1: Hello\n"
        assert it.down() == {"typescript": [0]}

        running = it.start("typescript")
        it.until(lambda: it.is_healthy(running), "its health")
        assert greeted(it.port("typescript")) == "general #1: Hello\n", "it was there, and was not said again"
        assert it.down() == {"typescript": [0]}


def greeted(port: int) -> str:
    """What is printed by a greeter that says hello."""
    words = [sys.executable, "-m", "harness.greeter", f"ws://127.0.0.1:{port}/", "general=Hello"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False).stdout


@pytest.mark.parametrize(
    ("forgotten", "symptom"),
    [
        ("COPY harness harness\n", "No module named 'chatlab_entry'"),
        ("COPY lab lab\n", "No module named lab"),
        (" constraints.txt", "constraints.txt"),
    ],
    ids=["harness", "lab", "constraints"],
)
def test_what_is_forgotten_is_missing(tmp_path: Path, forgotten: str, symptom: str) -> None:
    """A file that the Dockerfile does not copy is not in the image, whatever the tests' environment has."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert forgotten in text
    images = Images(tmp_path, text.replace(forgotten, "\n" if forgotten.endswith("\n") else "", 1))

    def try_all() -> None:
        images.tried("kit", ["python", "-m", "lab", "--help"])
        images.tried("kit", ["chatlab", "--help"])

    with pytest.raises(Failed, match=symptom):
        try_all()


def test_a_service_that_dies_is_reported(folder: Path, images: Images) -> None:
    """A service that ends before it is healthy is reported with its last lines, and no process is left."""
    with (
        pytest.raises(Failed, match=r"server ended (?s:.*)there is no file exercises/none\.py"),
        Rehearsal(folder, images, settings={"USE": "--use store=exercises/none.py"}) as it,
    ):
        it.up()


def test_no_process_is_left_by_a_failure(folder: Path, images: Images) -> None:
    """If a test fails during a rehearsal, what it had started ends all the same."""

    def fail() -> None:
        with Rehearsal(folder, images) as it:
            it.up()
            assert left_running(folder) != []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert left_running(folder) == []


def test_cluster(folder: Path, images: Images) -> None:
    """All nodes have the same rooms, behind the balancer; nothing is lost with a node of each kind."""
    needs_module("nats", "cluster")
    needs_program("haproxy", hint="install it by your system's package manager")
    with Rehearsal(folder, images, ("cluster",), settings=SHORT) as it:
        code, said = it.run("hello-cluster")
        assert code == 0, said
        profile = {name for name, service in it.services.items() if "cluster" in service.profiles}
        assert set(it.running) == profile, "no more, and no less"
        port = it.port("balancer")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            assert f'content="{it.services["node-1"].environment["ROOMS"]}"' in answer.read().decode()

        for victim in ("node-1", "nats-1"):
            it.kill(victim)
        it.until(lambda: greeted(port) == "general #2: Hello\n", "a message through those who are left")
        assert greeted(port) == "general #2: Hello\n", "its id is known, whoever has died"
        codes = it.down()
        assert codes["node-2"] == codes["node-3"] == [0]
        assert codes["nats-2"] == codes["nats-3"] == [0]


def test_load(folder: Path, images: Images) -> None:
    """Both workers connect to the master; what its page starts reaches the server, ends, and is judged."""
    needs_module("locust", "load")
    with Rehearsal(folder, images, ("load",)) as it:
        it.up()
        page = f"http://127.0.0.1:{it.port('load-master')}"
        ready = ["ready"] * it.services["load-worker"].copies
        it.until(lambda: [each["state"] for each in figures(page).get("workers", [])] == ready, "two workers")
        form = urlencode({"user_count": 10, "spawn_rate": 10, "run_time": "3s"}).encode()
        with urllib.request.urlopen(f"{page}/swarm", form, timeout=10) as answer:
            assert json.load(answer)["success"] is True
        it.until(lambda: figures(page).get("state") == "stopped", "the end of the load")
        rows = {row["name"]: row for row in figures(page)["stats"]}
        assert rows["join"]["num_requests"] >= 10
        assert rows["Aggregated"]["num_failures"] == 0
        it.until(lambda: "10 users, 2 processes" in it.running["load-master"].tail(), "the verdict")
        codes = it.down()
        assert codes.pop("load-master") in ([0], [2]), "2 is inconclusive, on a machine with much to do"
        assert codes == {"load-worker": [0, 0], "hello": [0], "server": [0]}


def figures(page: str) -> dict[str, Any]:
    """The figures on Locust's page; empty as long as it does not answer."""
    try:
        with urllib.request.urlopen(f"{page}/stats/requests", timeout=5) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}


@pytest.mark.parametrize("settings", [{"JUPYTER_TOKEN": TOKEN}, {}], ids=["token", "no-token"])
def test_notebooks(folder: Path, images: Images, settings: dict[str, str]) -> None:
    """Jupyter accepts only requests with the token; if the user sets none, it generates one."""
    needs_module("jupyterlab", "notebooks")
    with Rehearsal(folder, images, settings=settings) as it:
        # In the image Jupyter is not root, as it requires; here it may be.
        (folder / "jupyter_server_config.json").write_text('{"ServerApp": {"allow_root": true}}')
        it.environment["JUPYTER_CONFIG_PATH"] = str(folder)
        running = it.start("notebooks")
        page = f"http://127.0.0.1:{it.port('notebooks')}/api"
        it.until(lambda: status(page) == 200, "Jupyter")
        assert status(f"{page}/contents") == 403
        token = settings.get("JUPYTER_TOKEN") or running.tail().rpartition("token=")[2].split()[0]
        assert len(token) > 10
        assert status(f"{page}/contents", Authorization=f"token {token}") == 200
        assert list(it.running) == ["notebooks"], "they need no server"
        assert it.down() == {"notebooks": [0]}


def test_grade(folder: Path, images: Images) -> None:
    """`docker compose run grade` gives each submission a mark, a report and a log, and changes none."""
    submissions, grades = folder / "class", folder / "marks"
    grades.mkdir()
    for name, source in {
        "ada": (ROOT / "solutions/ex1_chat/pubsub.py").read_text(),
        "bob": "x = 1\n",
    }.items():
        (submissions / name / "ex1_chat").mkdir(parents=True)
        (submissions / name / "ex1_chat/pubsub.py").write_text(source)
    handed_in = contents(submissions)

    with Rehearsal(folder, images, settings={"SUBMISSIONS": str(submissions), "GRADES": str(grades)}) as it:
        code, said = it.run("grade")
        assert code == 0, said
        assert list(it.running) == ["grade"], "it needs no server"

    with (grades / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
        points = {row["submission"]: int(row["ex1"]) for row in csv.DictReader(file)}
    assert points["ada"] > points["bob"] == 0
    assert set(contents(grades)) == {
        "grades.csv",
        ".grades.csv.sha256",
        "class.html",
        "ada.json",
        "ada.log",
        "bob.json",
        "bob.log",
        "bob.ex1.html",
    }
    assert contents(submissions) == handed_in


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_missing_folders_are_reported(folder: Path, images: Images) -> None:
    """A missing folder for grading is reported, and not created under another user's name."""
    with (
        pytest.raises(Failed, match=r"there is no folder .*/none, which is to be /submissions"),
        Rehearsal(folder, images, settings={"SUBMISSIONS": str(folder / "none")}) as it,
    ):
        it.run("grade")

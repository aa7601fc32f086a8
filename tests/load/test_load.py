"""`chatlab load` as it is used: real Locust, a real server, and a few users at a high pace."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

import harness.load
from tests.extras import needs_module
from tests.kit.pages import ROOT

LOAD = [sys.executable, "-P", "-m", "harness.cli.main", "load"]
THOROUGH = pytest.mark.thorough
"""What takes time, and shows little more than the others."""
FEW = ["--users", "25", "--time", "5s", "--pace", "10", "--seed", "1"]
CARELESS = Path(__file__).parent.parent / "servers" / "careless_pubsub.py"


def load(*options: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command, for a minute and a half at most."""
    return subprocess.run(
        [*LOAD, *options],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        cwd=cwd,
        env={**os.environ, **env},
    )


def verdict(done: subprocess.CompletedProcess[str], report: Path) -> dict[str, Any]:
    """The verdict that the command wrote, which must agree with its exit code."""
    assert report.is_file(), done.stdout + done.stderr
    value: dict[str, Any] = json.loads(report.read_text())
    assert done.returncode == {"passed": 0, "failed": 1, "inconclusive": 2}[value["verdict"]]
    assert "Traceback" not in done.stdout + done.stderr
    return value


def agrees_with_locust(value: dict[str, Any], prefix: Path) -> None:
    """Check that Locust's tables count what ours does, and that its failures are our findings."""

    def table(name: str) -> list[dict[str, str]]:
        text = prefix.with_name(f"{prefix.name}_{name}.csv").read_text()
        return list(csv.DictReader(text.splitlines()))

    timed = [value["times_ms"], value["warm_up_times_ms"]]
    for row in table("stats"):
        if row["Type"] == "WS":
            count = sum(each.get(row["Name"], {"count": 0})["count"] for each in timed)
            assert int(row["Request Count"]) == count, row["Name"]
    found = sum(int(row["Occurrences"]) for row in table("failures") if row["Name"] == "finding")
    assert found == len(value["anomalies"])


@pytest.mark.extra
@pytest.mark.xdist_group("load")
@pytest.mark.parametrize(
    ("shape", "processes"),
    [
        *(("steady", "1"), ("storm", "1"), ("ramp", "2")),
        *(pytest.param(*each, marks=THOROUGH) for each in (("steady", "2"), ("storm", "2"), ("ramp", "1"))),
    ],
)
def test_reference_passes(processes: str, shape: str, tmp_path: Path) -> None:
    """The reference server passes whatever the shape of the load;
    a machine that is too slow may be reported.
    """
    needs_module("locust", "load")
    report = tmp_path / "load.json"
    done = load(*FEW, "--shape", shape, "--processes", processes, "--json", str(report))
    value = verdict(done, report)
    assert value["verdict"] in ("passed", "inconclusive"), done.stdout
    assert value["anomalies"] == []
    if value["verdict"] == "inconclusive":
        pytest.skip("this machine was too slow: there may have been no time to come, or to talk")
    assert value["users"] == 25
    assert value["deliveries"] > value["messages"] > 0
    assert value["times_ms"]["delivery"]["count"] > 0
    if shape == "storm":
        assert value["cuts"] >= 20


@pytest.mark.extra
@pytest.mark.xdist_group("load")
@pytest.mark.parametrize("processes", [pytest.param("1", marks=THOROUGH), "2"])
def test_server_that_drops_deliveries_is_found(processes: str, tmp_path: Path) -> None:
    """One dropped delivery in thirty is found, also if the records of two processes have to be combined."""
    needs_module("locust", "load")
    report = tmp_path / "load.json"
    command = f"{shlex.quote(sys.executable)} -m lab --use pubsub={shlex.quote(str(CARELESS))}"
    options = [*FEW, "--server", command, "--processes", processes, "--json", str(report)]
    done = load(*options, "--csv", str(tmp_path / "theirs"), DROP_ONE_IN="30")
    value = verdict(done, report)
    agrees_with_locust(value, tmp_path / "theirs")
    assert "lost" in {anomaly["name"] for anomaly in value["anomalies"]}, done.stdout
    assert value["verdict"] == "failed" or value["reasons"], "only a slow machine may leave that open"
    assert "A message was lost" in done.stdout


@pytest.mark.extra
@pytest.mark.xdist_group("load")
def test_a_slow_component_keeps_no_objective(tmp_path: Path) -> None:
    """The example of the README: nothing is lost, and what takes 20 ms is not delivered in 15."""
    needs_module("locust", "load")
    page = (ROOT / "harness" / "load" / "README.md").read_text()
    (line,) = re.findall(r"^chatlab load (.*slow_pubsub\.py)$", page, re.MULTILINE)
    report = tmp_path / "load.json"
    value = verdict(load(*shlex.split(line), "--json", str(report), *FEW[2:4], cwd=ROOT), report)
    assert value["anomalies"] == []
    (missed,) = value["objectives"]
    assert missed["outcome"] in ("failed", "inconclusive"), "a machine that is too slow may be reported"
    assert missed["value"] is None or missed["value"] > 20
    assert missed["value"] is not None or missed["outcome"] == "inconclusive"


@pytest.mark.extra
@pytest.mark.xdist_group("load")
def test_settings_for_locust_change_nothing(tmp_path: Path) -> None:
    """Neither its files, here and at home, nor its variables: each alone would change or end the load."""
    needs_module("locust", "load")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".locust.conf").write_text("tags = smoke\nrun-time = 1s\n")
    (tmp_path / "locust.conf").write_text("master = true\nexpect-workers = 2\n")
    (tmp_path / "pyproject.toml").write_text('[tool.locust]\ntags = ["smoke"]\ncsv = "mine"\n')
    options = ["--json", "load.json", "--csv", "ours"]
    variables = {"LOCUST_TAGS": "smoke", "LOCUST_MODE_WORKER": "true", "LOCUST_LOGLEVEL": "odd"}
    done = load(*FEW, *options, cwd=tmp_path, HOME=str(home), **variables)
    value = verdict(done, tmp_path / "load.json")
    assert (value["users"], value["anomalies"]) == (25, [])
    assert value["verdict"] in ("passed", "inconclusive"), done.stdout
    agrees_with_locust(value, tmp_path / "ours")
    assert not list(tmp_path.glob("mine*"))


@pytest.mark.extra
@pytest.mark.xdist_group("load")
def test_broken_objective_fails(tmp_path: Path) -> None:
    """A p99 that no server can reach fails, with the figures, in the chosen language."""
    needs_module("locust", "load")
    report = tmp_path / "load.json"
    few = [*FEW, "--size", "200", "--objective", "errors=0"]
    done = load(*few, "--lab-p99-ms", "0.001", "--lang", "fr", "--json", str(report))
    value = verdict(done, report)
    assert value["objectives"][0]["outcome"] == "passed"
    if value["verdict"] == "failed":
        assert "delivery.p99=0.001ms\N{NO-BREAK SPACE}: non tenu" in done.stdout
    else:
        assert value["reasons"], "only a slow machine may leave that open"


@pytest.mark.extra
@pytest.mark.xdist_group("load")
def test_no_server_at_the_url_is_explained() -> None:
    """Without a server it ends within seconds, and names the address."""
    needs_module("locust", "load")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"ws://127.0.0.1:{sock.getsockname()[1]}/"
        done = load(*FEW, "--url", address)
    assert done.returncode == 64
    assert done.stderr.strip() == f"Nobody answers at {address}."
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.extra
@pytest.mark.xdist_group("load")
@pytest.mark.parametrize("processes", ["1", "2"])
def test_interrupted_load_prints_its_results_so_far(processes: str, tmp_path: Path) -> None:
    """Ctrl-C in the middle tells and writes what was done so far, and leaves no process and no file."""
    needs_module("locust", "load")
    folder, report = tmp_path / "folder", tmp_path / "load.json"
    folder.mkdir()
    process = subprocess.Popen(
        [
            *LOAD,
            "--users",
            "10",
            "--time",
            "5m",
            "--pace",
            "20",
            "--spawn-rate",
            "10",
            "--processes",
            processes,
            "--json",
            str(report),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
        # A shell starts what runs in the background with Ctrl-C ignored, and tests may run there.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stderr is not None
        progress = next((line for line in process.stderr if " messages/s" in line), None)
        assert progress is not None, "it ended before it printed any progress"
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output + errors
    assert "per second" in output
    assert "Traceback" not in output + errors
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    deadline = time.monotonic() + 5
    while list(folder.iterdir()):
        assert time.monotonic() < deadline, list(folder.iterdir())
    value = json.loads(report.read_text())
    assert (value["ended"], value["users"], value["anomalies"]) == ("interrupted", 10, [])
    assert value["warm_up_probe_ms"]["connect"]["count"] > 0


@pytest.mark.extra
@pytest.mark.xdist_group("load")
@pytest.mark.parametrize(("whom", "shape"), [("server", "steady"), ("server", "ramp"), ("leader", "steady")])
def test_what_is_killed_is_told(whom: str, shape: str, tmp_path: Path) -> None:
    """The result is written if the server is killed, and by us if Locust's leading process is."""
    needs_module("locust", "load")
    report = tmp_path / "load.json"
    options = ["--users", "10", "--time", "5m", "--pace", "20", "--spawn-rate", "10", "--json", str(report)]
    options += ["--shape", shape]
    process = subprocess.Popen([*LOAD, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert any(" messages/s" in line for line in process.stderr), "it ended before"
        family = psutil.Process(process.pid).children(recursive=True)
        module = {"server": "lab", "leader": "locust"}[whom]
        for each in family:
            if ("-m", module) in pairwise(each.cmdline()):
                each.kill()
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    value = json.loads(report.read_text())
    if whom == "server":
        assert (process.returncode, value["ended"], value["verdict"]) == (1, "server_ended", "failed")
        assert [each["name"] for each in value["anomalies"]] == ["server_died"]
        assert "SIGKILL" in output
    else:
        assert (process.returncode, value["ended"], value["verdict"]) == (2, "worker_lost", "inconclusive")
    assert value["messages"] > 0
    assert len(value["timeline"]) > 2
    assert "Traceback" not in output + errors
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []


@pytest.mark.extra
@pytest.mark.xdist_group("load")
def test_locustfile_works_by_itself(tmp_path: Path) -> None:
    """Locust alone runs the file, with our options under names of their own, and exits by the verdict.

    What it prints as JSON is JSON, and its failures are ours.
    """
    needs_module("locust", "load")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    env = {**os.environ, "PORT": str(port), "DATA_DIR": str(tmp_path)}
    server = subprocess.Popen(
        [sys.executable, "-m", "lab"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        assert "listening" in server.stdout.readline()
        file = Path(harness.load.__file__).with_name("locustfile.py")
        options = ["--headless", "-u", "10", "-r", "10", "-t", "4s", "--lab-pace", "10", "--lab-rooms", "2"]
        options += ["--json", "--lab-objective", "rate>=10000"]
        done = subprocess.run(
            [sys.executable, "-m", "locust", "-f", str(file), "--host", f"ws://127.0.0.1:{port}", *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        server.terminate()
        server.communicate(timeout=10)
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "delivery to each receiver" in done.stderr
    failures = {each["name"]: each["num_failures"] for each in json.loads(done.stdout)}
    assert failures["connect"] == 0
    assert failures["objective" if done.returncode == 1 else "echo"] == (done.returncode == 1)


@pytest.mark.extra
@pytest.mark.xdist_group("load")
@pytest.mark.parametrize("processes", [[], ["--processes", "2"]])
def test_locustfile_needs_an_address(processes: list[str]) -> None:
    """Locust alone says what is wrong with an address or an option, and it and its workers end at once."""
    needs_module("locust", "load")
    file = Path(harness.load.__file__).with_name("locustfile.py")
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--host", "http://127.0.0.1/"]
    command += ["--lab-pace", "0"]
    done = subprocess.run([*command, *processes], capture_output=True, text=True, timeout=45, check=False)
    assert done.returncode == 64
    assert "is not a WebSocket address" in done.stderr
    assert "--lab-pace 0.0 is not between" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--time", "6q"], "is no time above 0"),
        (["--time", "0s"], "is no time above 0"),
        (["--users", "0"], "0 is not in the range"),
        (["--url", "http://127.0.0.1/"], "ws://"),
        (["--url", "ws://127.0.0.1:port/"], "Port"),
        (["--url", "ws://127.0.0.1/", "--server", "x"], "exclude each other"),
        (["--server", ""], "the command is empty"),
        (["--json", "/no/such/folder/x.json"], "no such folder"),
        (["--objective", "speed=1"], "is no objective"),
        (["--use", "pubsb=x.py"], "the components are"),
        (["--use", "pubsub=x.py", "--url", "ws://127.0.0.1/"], "exclude each other"),
        (["--size", "10"], "10 is not in the range"),
        (
            ["--rate", "100000", "--users", "5"],
            "--rate 100000 is more than 250: at the most 50 a second for each user",
        ),
    ],
)
def test_wrong_usage_is_a_sentence(options: list[str], words: str) -> None:
    """Wrong usage exits with 64 and says in a sentence what is wrong, without a traceback."""
    done = load(*options)
    assert done.returncode == 64
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.extra
def test_a_taken_port_is_explained() -> None:
    """Where another program listens, Locust's page cannot be; nothing is started."""
    needs_module("locust", "load")
    with socket.create_server(("127.0.0.1", 0)) as sock:
        done = load("--web", "--web-port", str(sock.getsockname()[1]))
    assert done.returncode == 64
    assert "is taken" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("missing", "option", "told"),
    [
        ("locust", "--users=2", "pip install 'chat-lab[load]'"),
        ("opentelemetry", "--otel", "'chat-lab[otel]'"),
    ],
)
def test_what_is_not_installed_is_explained(missing: str, option: str, told: str) -> None:
    """Without Locust, or what an option needs, the command says how to install it, and exits with 64."""
    program = (
        "import importlib.util, sys\n"
        "from harness.cli.main import cli\n"
        "from lab.command import run_command\n"
        f"importlib.util.find_spec = lambda name: None if name == {missing!r} else 'there'\n"
        f"sys.argv = ['chatlab', 'load', {option!r}]\n"
        "sys.exit(run_command(cli, 'chatlab'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 64
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_command_does_not_import_locust() -> None:
    """Importing the command, and what it starts, leaves sockets and threads as they are."""
    program = (
        "import sys, harness.cli.main, harness.load.launch, harness.load.users\n"
        "assert not {'locust', 'gevent'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)

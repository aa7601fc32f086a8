"""NATS nodes become one cluster, which ends with us; and what is said where there is none."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.cluster import nats_node
from harness.cluster.nats import Nats
from harness.cluster.nats_node import Ports
from harness.cluster.problems import NatsFailed

pytestmark = pytest.mark.live

STARTER = """
import asyncio, sys, time
from pathlib import Path
from harness.cluster.nats import Nats
nats = Nats(Path(sys.argv[1]), Path(sys.argv[1]))
asyncio.run(nats.start())
print(*(node.pid for node in nats.running), flush=True)
time.sleep(60)
"""


async def test_three_nodes_become_one_cluster(tmp_path: Path) -> None:
    """Each knows the two others and that one leads; a frozen node is not healthy, and then it is again."""
    nats = Nats(tmp_path / "data", tmp_path)
    try:
        await nats.start()
        found = [await node.ask("jsz") for node in nats.running]
        assert {each["meta_cluster"]["cluster_size"] for each in found} == {3}
        assert len({each["meta_cluster"]["leader"] for each in found}) == 1
        assert await nats.newest_stream() is None
        node = nats.running[0]
        node.stop_at_once()
        assert not await node.is_healthy()
        node.go_on()
        await nats.until_healthy()
        nats.check()
    finally:
        nats.kill()
    assert nats.running == []


async def test_other_ports_are_chosen_if_one_is_taken(tmp_path: Path) -> None:
    """Between our look at a port and the node's, another program may have taken it."""
    first, second = (Nats(tmp_path / name, tmp_path) for name in ("first", "second"))
    try:
        await first.start()
        taken = first.nodes["nats1"].ports.client
        ports = second.nodes["nats1"].ports
        second.nodes["nats1"].ports = Ports(taken, ports.route, ports.monitor)
        await second.start()
        assert second.nodes["nats1"].ports.client != taken
        assert all([await node.is_healthy() for node in second.running])
    finally:
        first.kill()
        second.kill()


async def test_a_node_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    """With what it logged: else a cluster would be judged for what its engine does."""
    nats = Nats(tmp_path / "data", tmp_path)
    try:
        await nats.start()
        psutil.Process(nats.nodes["nats1"].pid).kill()
        with pytest.raises(NatsFailed, match="nats1 has ended"):
            await nats.until_healthy()
    finally:
        nats.kill()


def test_it_ends_with_us(tmp_path: Path) -> None:
    """Also when we are killed."""
    command = [sys.executable, "-c", STARTER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ours:
        assert ours.stdout is not None
        nodes = [psutil.Process(int(pid)) for pid in ours.stdout.readline().split()]
        assert len(nodes) == 3
        ours.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10.0
    while any(_runs(node) for node in nodes) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_runs(node) for node in nodes)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("command", [["cluster"], ["check", "--cluster", "2"], ["zoo", "--cluster", "2"]])
def test_without_nats_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """And that is wrong usage. Any other program of that name is not looked for."""

    def none(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(nats_node, "files", none)
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 2  # which `run_command` makes 64
    assert "pip install 'chat-lab[cluster]'" in done.output

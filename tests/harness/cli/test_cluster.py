"""`chatlab cluster`, and the option `--cluster`: what they take, and what they say."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
from click.testing import CliRunner

from harness.check import worlds_asked
from harness.check.options import Options
from harness.cli.main import cli
from harness.judged.process import free_port
from harness.texts import texts
from harness.verdict.steps import CLUSTER, EXERCISES


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """What `chatlab check` asks for; nothing is played."""
    mock = Mock(return_value=0)
    monkeypatch.setattr(worlds_asked, "check", mock)
    return mock


@pytest.mark.parametrize(
    ("words", "numbers"),
    [([], [*EXERCISES, CLUSTER]), (["3"], [3]), (["5"], [CLUSTER]), (["5", "1"], [1, CLUSTER])],
)
def test_a_cluster_is_played_in_all_that_was_named(
    asked: Mock, monkeypatch: pytest.MonkeyPatch, words: list[str], numbers: list[int]
) -> None:
    """Without a number, what only a cluster can suffer is played, too. The reference is judged by default."""
    monkeypatch.setattr(sys, "argv", ["chatlab", "check", "--cluster", "3", *words])
    done = CliRunner().invoke(cli, ["check", "--cluster", "3", *words])
    assert done.exit_code == 0, done.output
    options = asked.call_args.args[0]
    assert isinstance(options, Options)
    assert list(options.chosen) == numbers
    assert {(each.label, each.nodes) for each in options.chosen.values()} == {("reference", 3)}
    assert options.simulated == ""


def test_any_server_may_be_a_node(asked: Mock) -> None:
    """One that shares its rooms by BACKPLANE, in whatever language."""
    done = CliRunner().invoke(cli, ["check", "--cluster", "2", "--server", f"{sys.executable} mine.py"])
    assert done.exit_code == 0, done.output
    assert {each.nodes for each in asked.call_args.args[0].chosen.values()} == {2}


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--cluster", "2", "--world", "sim"], "cluster_live"),
        (["--cluster", "2", "--exercises"], "cluster_of"),
        (["--cluster", "2", "--solutions"], "cluster_of"),
        (["--cluster", "2", "--url", "ws://127.0.0.1:1/"], "cluster_of"),
        (["--cluster", "2", "--reference", "--track", "typescript"], "cluster_of"),
        (["5"], "cluster_number"),
    ],
)
@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_is_no_cluster_is_wrong_usage(asked: Mock, words: list[str], key: str, language: str) -> None:
    """One sentence says why, in the language asked for."""
    done = CliRunner().invoke(cli, ["check", *words, "--lang", language])
    assert done.exit_code == 2
    assert texts(language).say(f"usage.{key}", number=CLUSTER) in done.output
    assert not asked.called


def test_only_animals_that_live_in_a_cluster_are_played_there() -> None:
    """Another one that is named is refused, since its defect would not be in it."""
    done = CliRunner().invoke(cli, ["zoo", "--cluster", "2", "published_before_saved"])
    assert done.exit_code == 2
    assert "lives in no cluster" in done.output


@pytest.mark.live
def test_a_port_that_is_taken_is_told() -> None:
    """Before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(cli, ["cluster", "--port", str(port)])
    assert done.exit_code == 2
    assert f"node1 cannot listen on port {port}" in done.output


@pytest.mark.live
def has_ended(process: psutil.Process) -> bool:
    """Whether it runs no more, even if nobody has asked yet how it ended."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C reaches a whole console there")
def test_it_runs_until_ctrl_c_and_leaves_nothing(tmp_path: Path) -> None:
    """The addresses are printed; a second call would find the messages in the folder that was named."""
    port = free_port()
    command = [sys.executable, "-P", "-m", "harness.cli.main", "cluster", "--port", str(port)]
    command += ["--data-dir", str(tmp_path / "kept")]
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as ours:
        assert ours.stdout is not None
        said: list[str] = []
        while not (said and "Ctrl-C" in said[-1]):
            said.append(ours.stdout.readline())
            assert said[-1], said
        below = psutil.Process(ours.pid).children(recursive=True)
        ours.send_signal(signal.SIGINT)
        said += ours.stdout.readlines()
        assert ours.wait(30.0) == 0
    addresses = re.findall(r"ws://127\.0\.0\.1:(\d+)/", "".join(said))
    assert [int(each) for each in addresses][:1] == [port]
    assert len(addresses) == 2
    deadline = time.monotonic() + 30
    while not all(map(has_ended, below)):
        assert time.monotonic() < deadline, below
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["nats1", "nats2", "nats3"]

"""`chatlab check --world` and `chatlab replay`, as they look at a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import AsyncMock

import psutil
import pytest

from harness.check import simulated_runs as simulated
from harness.check.options import Options
from harness.check.worlds_asked import check
from harness.judged.targets import at_file
from harness.zoo.animals import ANIMALS
from harness.zoo.single_file import PLAIN

pytestmark = pytest.mark.xdist_group("sim")

CHATLAB = (sys.executable, "-P", "-m", "harness.cli.main")


def chatlab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder, without a terminal."""
    return subprocess.run(
        [*CHATLAB, *arguments], cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A server that delivers messages out of order."""
    path = tmp_path / "broken.py"
    path.write_text(ANIMALS["numbers_then_saves_then_sends_unlocked"].source)
    return path


@pytest.fixture
def twice(tmp_path: Path) -> Path:
    """A server that sends each message twice: that shows in the first scenes that are tried."""
    path, tells = tmp_path / "broken.py", '    tell(room, encode("message", message))\n'
    text = PLAIN.read_text()
    assert text.count(tells) == 1
    path.write_text(text.replace(tells, 2 * tells))
    return path


def test_right_answers_pass(tmp_path: Path) -> None:
    """All four exercises pass, in simulated seconds; the seed is printed."""
    done = chatlab(tmp_path, "check", "--solutions", "--world", "sim", "--seed", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 of 18 steps passed" in done.stdout
    assert "simulated s" in done.stdout
    assert "seed 7" in done.stdout
    assert not (tmp_path / ".chatlab").exists()


def test_many_runs_are_summed_up(tmp_path: Path) -> None:
    """Only the first is shown, and the summary says what the runs prove."""
    done = chatlab(tmp_path, "check", "1", "--reference", "--world", "sim", "--runs", "25")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Run 1 of 25" in done.stdout
    assert "Run 2 of 25" not in done.stdout
    assert "25 of 25 runs passed" in done.stdout
    assert "11.3 %" in done.stdout  # 1 - 0.05 ** (1 / 25)


def test_a_failure_is_minimized_saved_and_replayed(twice: Path) -> None:
    """The smallest scene is shown, its file is named, and `chatlab replay` gives the same history; after the
    server was corrected it says what has changed, and that nothing is wrong any more.
    """
    folder = twice.parent
    done = chatlab(folder, "check", "2", "--server-module", twice.name, "--world", "sim", "--seed", "5")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "The smallest scenario found" in done.stdout
    (path,) = (folder / ".chatlab/replays").iterdir()
    assert f"chatlab replay .chatlab/replays/{path.name}" in done.stdout
    assert str(folder) not in path.read_text(), "a replay file can be given to others"

    again = chatlab(folder, "replay", f".chatlab/replays/{path.name}")
    assert again.returncode == 1, again.stdout + again.stderr
    assert "The same history, byte for byte" in again.stdout

    twice.write_text(PLAIN.read_text())
    mended = chatlab(folder, "replay", f".chatlab/replays/{path.name}")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert "the run went differently" in mended.stdout
    assert "broken.py" in mended.stdout
    assert "This scenario no longer fails" in mended.stdout


def test_with_json_standard_output_has_nothing_else(broken: Path) -> None:
    """With `--json -`, the report with its world is all of the output, whatever was found."""
    done = chatlab(
        broken.parent, "check", "1", "--server-module", broken.name, "--world", "sim", "--json", "-"
    )
    report = json.loads(done.stdout)
    assert report["world"] == "sim"
    assert report["target"] == "broken.py"


def test_with_json_no_warning_is_printed(
    twice: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither that a replay file cannot be written, nor that a failure does not occur again."""
    monkeypatch.chdir(twice.parent)
    Path(".chatlab").write_text("a file where the folder should be")
    options = Options(
        chosen={2: at_file(twice.name)},
        seed=1,
        world="sim",
        runs=1,
        jobs=1,
        small=True,
        skip_slow=False,
        lang="en",
        verbose=False,
        json_file="-",
        html_file=None,
        command="chatlab check",
        folder="exercises",
    )
    assert check(options) == 1
    assert json.loads(capsys.readouterr().out)["world"] == "sim"

    monkeypatch.setattr(simulated, "shrink", AsyncMock(return_value=None))
    monkeypatch.setattr(simulated, "anomalies_of", lambda run: set())
    assert check(options) == 1
    assert json.loads(capsys.readouterr().out)["world"] == "sim"


@pytest.mark.live
def test_both_worlds_are_compared(tmp_path: Path) -> None:
    """A single file that does not know the harness plays in both worlds, and they agree on each step."""
    done = chatlab(
        tmp_path, "check", "1", "4", "--server-module", str(PLAIN), "--world", "both", "--json", "both.json"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Both worlds give the same result for all 10 steps" in done.stdout
    assert [each["world"] for each in json.loads((tmp_path / "both.json").read_text())["worlds"]] == [
        "live",
        "sim",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--url", "ws://127.0.0.1:1/"), "--url"),
        (("--server", "node server.js"), "--server-module"),
        (("--server-module", "nowhere.py"), "there is no Python file nowhere.py"),
        (("--server-module", "nowhere.py", "--reference"), "exclude each other"),
    ],
)
def test_what_cannot_be_simulated_is_wrong_usage(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    """One sentence says why, and what to do."""
    done = chatlab(tmp_path, "check", "1", "--world", "sim", *arguments)
    assert done.returncode == 64
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("content", [None, "{}", "nonsense", '{"format": 99}'])
def test_a_file_that_is_no_replay_is_wrong_usage(tmp_path: Path, content: str | None) -> None:
    """So is a file that does not exist."""
    if content is not None:
        (tmp_path / "file.json").write_text(content)
    done = chatlab(tmp_path, "replay", "file.json")
    assert done.returncode == 64
    assert "file.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_cannot_start_is_reported_without_our_lines(tmp_path: Path) -> None:
    """The lines that the simulation adds to a traceback do not help its author."""
    (tmp_path / "bad.py").write_text("def (:\n")
    done = chatlab(tmp_path, "check", "1", "--world", "sim", "--server-module", "bad.py")
    assert done.returncode == 1
    assert "SyntaxError" in done.stdout
    assert "modules.py" not in done.stdout


@pytest.mark.parametrize(
    ("world", "number"), [("sim", signal.SIGINT), ("sim", signal.SIGTERM), ("live", signal.SIGINT)]
)
def test_interrupted_it_leaves_nothing_behind(tmp_path: Path, world: str, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM in the middle of many runs: exit code 130, and no process is left."""
    process = subprocess.Popen(
        [*CHATLAB, "check", "2", "--reference", "--world", world, "--runs", "1000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background
    )
    family = psutil.Process(process.pid)
    while len(children := family.children(recursive=True)) < 2 and process.poll() is None:
        os.sched_yield()
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert b"Interrupted, so this is no verdict." in output
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []

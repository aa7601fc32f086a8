from __future__ import annotations

import asyncio
import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.history.events import Stalled
from lab.loader import load
from tests.extras import needs_module

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
NAMES = ("ex1_chat", "ex2_ordering", "ex3_presence", "ex4_persistence", "load")
COMPONENTS = {
    "defects/pubsub.py": "pubsub",
    "defects/blocking_pubsub.py": "pubsub",
    "defects/sequencer.py": "sequencer",
    "defects/presence.py": "presence",
    "defects/store.py": "store",
    "slow_disk.py": "store",
}
MOST_BYTES = 150_000
"""What a stored notebook may have, so that it opens at once and its changes can be read."""


def stored(name: str) -> Any:
    """A notebook in its stored form."""
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the notebooks' runner to its end."""
    command = [sys.executable, str(FOLDER / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)


def test_every_notebook_has_both_halves() -> None:
    """Each walkthrough is a pair of files, and there are no others."""
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)
    assert all((FOLDER / f"{name}.py").is_file() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_small_and_independent_of_the_machine(name: str) -> None:
    """What is stored is small, and has no paths, addresses, clock times or parts that differ between runs."""
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert not re.search(r"/tmp/|/home/|/root/|127\.0\.0\.1|\.venv|execution\": ?\{|20\d\d-\d\d-\d\d", text)
    outputs = json.dumps([cell.get("outputs") for cell in stored(name)["cells"]])
    assert not re.search(r"-[0-9a-f]{6}\b", outputs), "a run's nonce"


@pytest.mark.parametrize("name", NAMES)
def test_notebook_was_run_without_an_error(name: str) -> None:
    """Each cell was run, in order, and none shows an error or anything on stderr."""
    cells = [cell for cell in stored(name)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert all(output["output_type"] != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)


@pytest.mark.parametrize("name", NAMES)
def test_reader_predicts_before_each_play(name: str) -> None:
    """Before each of the two plays there is a question, directly above the cell that plays."""
    cells = stored(name)["cells"]
    for word in ("right = await", "wrong = await"):
        place = next(n for n, cell in enumerate(cells) if word in "".join(cell["source"]))
        assert "**Predict" in "".join(cells[place - 1]["source"])


@pytest.mark.parametrize(("stalls", "plays"), [(0, 1), (2, 3), (9, 5)])
def test_a_scene_is_played_again_if_the_machine_was_held_up(stalls: int, plays: int) -> None:
    """What it shows would be the machine's doing; but it is not played for ever."""
    perform, played = runpy.run_path(str(FOLDER / "stage.py"))["perform"], []

    async def play(scene: object, target: object) -> list[object]:
        played.append(scene)
        return [Stalled(1.0, 0.5)] if len(played) <= stalls else []

    perform.__globals__["_play"] = play
    assert len(asyncio.run(perform(None))) == (plays <= stalls)
    assert len(played) == plays


@pytest.mark.parametrize("file", COMPONENTS)
def test_defect_is_a_component(file: str) -> None:
    """Each file can be plugged in, so its defect is the only thing that is wrong with it."""
    load(COMPONENTS[file], FOLDER / file)


def test_all_components_are_used() -> None:
    """No file with a defect is unused."""
    found = {path.relative_to(FOLDER).as_posix() for path in FOLDER.glob("defects/*.py")}
    assert found == set(COMPONENTS) - {"slow_disk.py"}
    used = "".join((FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in NAMES)
    assert all(file in used for file in COMPONENTS)


def test_link_targets_exist() -> None:
    """The files that the notebooks and their README link to exist."""
    texts = [(FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in NAMES]
    texts.append((FOLDER / "README.md").read_text(encoding="utf-8"))
    links = [link for text in texts for link in re.findall(r"\]\(([^)#]+)\)", text)]
    assert links
    assert all((FOLDER / link).exists() for link in links), links


def test_runner_says_what_to_install(tmp_path: Path) -> None:
    """Without Jupyter, the runner says so in one sentence, and ends with 64."""
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text(
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'jupytext' else find(name, *more)\n"
    )
    result = run(env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert result.returncode == 64
    assert "pip install 'chat-lab[notebooks]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.extra
def test_wrong_usage_is_reported() -> None:
    """A notebook that does not exist ends the runner with 64, and no traceback."""
    needs_module("jupytext", "notebooks")
    result = run("ex9_magic")
    assert result.returncode == 64
    assert "ex9_magic" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.extra
@pytest.mark.xdist_group("notebooks")
def test_interrupted_runner_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a play ends the kernel and its server, and removes the files; no traceback."""
    for module in ("jupytext", "nbclient", "ipykernel"):
        needs_module(module, "notebooks")
    kept = (FOLDER / "ex3_presence.ipynb").read_bytes()
    command = [sys.executable, str(FOLDER / "run.py"), "ex3_presence"]
    with subprocess.Popen(
        command,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in a shell's background
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*/chatlab-*")):  # a server's folder: a play is running
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert b"Traceback" not in output
    assert psutil.wait_procs(family, timeout=10)[1] == []
    assert list(tmp_path.iterdir()) == []
    assert (FOLDER / "ex3_presence.ipynb").read_bytes() == kept


@pytest.mark.extra
@pytest.mark.parametrize("name", NAMES)
def test_pair_is_in_sync(name: str) -> None:
    """The two halves of a pair have the same cells."""
    needs_module("jupytext", "notebooks")
    source = runpy.run_path(str(FOLDER / "run.py"))["from_source"](name)
    kept = stored(name)["cells"]
    assert [cell.id for cell in source.cells] == [cell["id"] for cell in kept]
    assert [cell.source for cell in source.cells] == ["".join(cell["source"]) for cell in kept]
    assert [cell.metadata for cell in source.cells] == [cell["metadata"] for cell in kept]


@pytest.mark.extra
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("notebooks")
@pytest.mark.parametrize("name", NAMES)
def test_notebook_shows_what_is_stored(name: str, tmp_path: Path) -> None:
    """Run again, each notebook shows the same bytes (except for measurements), and leaves no file behind."""
    for module in ("jupytext", "nbclient", "ipykernel"):
        needs_module(module, "notebooks")
    before = sorted(FOLDER.rglob("*.ipynb*"))
    result = run(name, "--check", env={**os.environ, "TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stdout + result.stderr
    assert sorted(FOLDER.rglob("*.ipynb*")) == before
    assert list(tmp_path.iterdir()) == []

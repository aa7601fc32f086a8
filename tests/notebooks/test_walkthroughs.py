from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.notebooks.pictures import without_pictures
from harness.notebooks.sources import file_name, from_source, in_language
from harness.texts import LANGUAGES
from lab.loader import load
from tests.extras import needs_module

FOLDER = Path(__file__).parent.parent.parent / "notebooks"
NAMES = ("ex1_chat", "ex2_ordering", "ex3_presence", "ex4_persistence", "find_the_bug", "two_clocks", "load")
FILES = [file_name(name, language) for name, language in product(NAMES, LANGUAGES)]
COMPONENTS = {
    "defects/pubsub.py": "pubsub",
    "defects/blocking_pubsub.py": "pubsub",
    "defects/busy_pubsub.py": "pubsub",
    "defects/sequencer.py": "sequencer",
    "defects/presence.py": "presence",
    "defects/store.py": "store",
    "defects/unnamed.py": "store",
    "slow_disk.py": "store",
}
MOST_BYTES = 200_000
"""What a stored notebook may have, so that it opens at once."""
QUICK = ("ex2_ordering.ipynb", "ex4_persistence.fr.ipynb")
"""Two that the tests run again, of different languages; `make notebooks` runs all of them."""


def stored(file: str) -> Any:
    """A notebook in its stored form."""
    return json.loads((FOLDER / file).read_text(encoding="utf-8"))


def code_of(file: str) -> list[Any]:
    """The cells of code of a stored notebook."""
    return [cell for cell in stored(file)["cells"] if cell["cell_type"] == "code"]


def run(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the notebooks' runner to its end."""
    command = [sys.executable, str(FOLDER / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)


def test_every_notebook_is_there_in_each_language() -> None:
    """Each source has a notebook in each language, and there are no others."""
    assert sorted(path.name for path in FOLDER.glob("*.ipynb")) == sorted(FILES)
    assert all((FOLDER / f"{name}.py").is_file() for name in NAMES)


@pytest.mark.parametrize("file", FILES)
def test_notebook_is_small_and_independent_of_the_machine(file: str) -> None:
    """What is stored is small, and has no paths, addresses, clock times or parts that differ between runs."""
    text = (FOLDER / file).read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    text = without_pictures(text)
    assert "base64" not in text
    assert not re.search(r"/tmp/|/home/|/root/|127\.0\.0\.1|\.venv|execution\": ?\{|20\d\d-\d\d-\d\d", text)
    outputs = json.dumps([cell.get("outputs") for cell in json.loads(text)["cells"]])
    assert not re.search(r"-[0-9a-f]{6}\b", outputs), "a run's nonce"


@pytest.mark.parametrize("file", FILES)
def test_notebook_was_run_without_an_error(file: str) -> None:
    """Each cell was run, in order, but for the reader's own; none shows an error or anything on stderr."""
    cells = code_of(file)
    own = [cell for cell in cells if "own" in cell["metadata"].get("tags", [])]
    assert all(cell["outputs"] == [] for cell in own)
    ran = [cell["execution_count"] for cell in cells if cell not in own]
    assert ran == list(range(1, len(ran) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert outputs
    assert all(output["output_type"] != "error" for output in outputs)
    assert all(output.get("name") != "stderr" for output in outputs)


@pytest.mark.parametrize("file", FILES)
def test_drawings_are_seen_without_trust_and_without_scripts(file: str) -> None:
    """Each drawing is a PNG with a description, outside of any script; no output is SVG."""
    outputs = [output["data"] for cell in code_of(file) for output in cell["outputs"] if "data" in output]
    assert all("image/svg+xml" not in data for data in outputs)
    html = "".join("".join(data.get("text/html", "")) for data in outputs)
    images = re.findall(r"<img [^>]*>", re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL))
    assert images
    for image in images:
        assert re.search(r' src="data:image/png;base64,[^"]+" alt="[^"]{20,}" width="\d', image), image[:80]
    assert "<svg" not in re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)


@pytest.mark.parametrize("file", FILES)
def test_reader_predicts_before_what_happened_is_shown(file: str) -> None:
    """Each question stands above the cell that answers it, folded; one of its options is right."""
    asked: dict[str, list[str]] = {}
    answered = set()
    for cell in code_of(file):
        html = "".join("".join(output.get("data", {}).get("text/html", "")) for output in cell["outputs"])
        for name, option in re.findall(r'<input type="radio" name="([^"]+)" value="([^"]+)"', html):
            asked.setdefault(name, []).append(option)
        for name, was in re.findall(r'<i data-asked="([^"]+)" data-was="([^"]+)"', html):
            assert html.startswith('<details class="chatlab-fold"'), "folded"
            assert was in asked[name]
            answered.add(name)
    assert answered == set(asked) != set()


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
    """The files that the notebooks link to exist, and those of a notebook are in its language."""
    for file in FILES:
        texts = ["".join(cell["source"]) for cell in stored(file)["cells"] if cell["cell_type"] == "markdown"]
        links = [link for text in texts for link in re.findall(r"\]\(([^)#]+)\)", text)]
        assert links
        assert all((FOLDER / link).exists() for link in links), links
        pages = [link for link in links if link.endswith(".md")]
        assert all(link.endswith(".fr.md") == file.endswith(".fr.ipynb") for link in pages)


@pytest.mark.parametrize("name", NAMES)
def test_code_is_the_same_in_each_language(name: str) -> None:
    """But for what it says; and everything that is read is there in each language."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    cells = source.split("\n# %%")
    for cell in cells:
        if not cell.startswith(" [markdown]"):
            assert len(in_language(cell, "en").splitlines()) == len(in_language(cell, "fr").splitlines())
    heads = [found[0] for cell in cells if (found := re.findall(r'\[markdown\] lang="(\w+)"', cell))]
    assert heads == list(LANGUAGES) * (len(heads) // 2)
    assert "\n# %% [markdown]\n" not in source


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
    kept = (FOLDER / "load.ipynb").read_bytes()
    command = [sys.executable, str(FOLDER / "run.py"), "load"]
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
    assert (FOLDER / "load.ipynb").read_bytes() == kept


@pytest.mark.extra
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_made_from_its_source(name: str, language: str) -> None:
    """The cells of the stored notebook are those of the source, in that language."""
    needs_module("jupytext", "notebooks")
    source, kept = from_source(FOLDER / f"{name}.py", language), stored(file_name(name, language))["cells"]
    assert [cell.id for cell in source.cells] == [cell["id"] for cell in kept]
    assert [cell.source for cell in source.cells] == ["".join(cell["source"]) for cell in kept]
    assert [cell.metadata for cell in source.cells] == [cell["metadata"] for cell in kept]


@pytest.mark.extra
@pytest.mark.timeout(300)
@pytest.mark.xdist_group("notebooks")
@pytest.mark.parametrize("file", QUICK)
def test_notebook_shows_what_is_stored(file: str, tmp_path: Path) -> None:
    """Run again from another folder, it shows the same (but for measurements), and leaves no file behind."""
    for module in ("jupytext", "nbclient", "ipykernel"):
        needs_module(module, "notebooks")
    name, language = file.partition(".")[0], "fr" if ".fr." in file else "en"
    before = sorted(FOLDER.rglob("*.ipynb*"))
    result = run(
        name, "--check", "--lang", language, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert sorted(FOLDER.rglob("*.ipynb*")) == before
    assert list(tmp_path.iterdir()) == []

"""The command and the pytest plugin, in a project that has a `harness` or a `lab` of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
COMMAND = ["-P", "-c", "from chatlab_entry import main; main()"]
PYTEST = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:locust"]


def python(
    folder: Path, *arguments: str, path: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder; `path` comes first on PYTHONPATH."""
    before = os.environ.get("PYTHONPATH")
    found = {"PYTHONPATH": os.pathsep.join(each for each in (path, before) if each)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": "", **found, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, with packages of these names, tests of them, and settings of pytest."""
    for name in ("harness", "lab"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"OWN = {name!r}\n")
    (tmp_path / "conftest.py").touch()  # so pytest puts the folder on the path
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_own.py").write_text(
        "import harness, lab\n\ndef test_own():\n    assert (harness.OWN, lab.OWN) == ('harness', 'lab')\n"
    )
    return tmp_path


@pytest.mark.parametrize("how", [[], ["-P"]], ids=["python -m pytest", "pytest"])
def test_a_project_with_packages_of_its_own_is_tested(project: Path, how: list[str]) -> None:
    """pytest runs as if the kit was not installed, whether its packages are on the path from the start."""
    done = python(project, *how, *PYTEST, "-q")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "1 passed" in done.stdout


def test_an_option_is_told_what_hides_the_kit(project: Path) -> None:
    """One of ours is refused in one sentence, with the file, from the command line and from the settings."""
    done = python(project, *PYTEST, "--lab-solutions")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    said = done.stderr.strip().splitlines()
    assert len(said) == 1
    assert f"{project}/harness/__init__.py hides its package `harness`" in said[0]
    done = python(project, "-P", *PYTEST, PYTEST_ADDOPTS="--lab-seed=3")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "hides its package `harness`" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_the_plugin_can_be_switched_off(tmp_path: Path) -> None:
    """By its name, `chatlab`: pytest then does not know its options, and says so itself."""
    done = python(tmp_path, *PYTEST, "-p", "no:chatlab", "--lab-solutions")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --lab-solutions" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_of_the_project_is_not_ours(project: Path) -> None:
    """Its conftest.py may have one of the same name."""
    (project / "conftest.py").write_text(
        "def pytest_addoption(parser):\n    parser.addoption('--lab-seed')\n\n"
        "def pytest_report_header(config):\n    return 'their seed: ' + config.getoption('--lab-seed')\n"
    )
    done = python(project, *PYTEST, "--lab-seed=x")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "their seed: x" in done.stdout


def test_a_fixture_is_told_what_hides_the_kit(project: Path) -> None:
    """The test that asks for one has an error of one sentence; those beside it run."""
    with (project / "test_own.py").open("a") as file:
        file.write("\ndef test_chat(chat_client):\n    pass\n")
    done = python(project, "-P", *PYTEST)
    assert done.returncode == 1
    assert "1 passed, 1 error" in done.stdout
    assert f"{project}/harness/__init__.py hides its package `harness`" in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize("own", ["harness/__init__.py", "harness.py", "lab/__init__.py", "lab.py"])
def test_the_command_is_told_what_hides_the_kit(tmp_path: Path, own: str) -> None:
    """In one sentence, as wrong usage: a package or a module of that name, found by PYTHONPATH."""
    (tmp_path / own).parent.mkdir(exist_ok=True)
    (tmp_path / own).touch()
    done = python(tmp_path, *COMMAND, path=".")
    assert (done.returncode, done.stdout) == (64, "")
    name = own.partition("/")[0].removesuffix(".py")
    assert f"{own} hides its package `{name}`. Rename yours, or keep " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_works_beside_such_packages(project: Path) -> None:
    """Where they are not on the path, nothing is in the way: not for the server that it starts, either."""
    done = python(project, *COMMAND, "doctor", "--reference")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_folder_that_is_no_package_hides_nothing(tmp_path: Path) -> None:
    """Python prefers a package to a folder of that name without `__init__.py`, wherever it is."""
    (tmp_path / "lab").mkdir()
    done = python(tmp_path, *COMMAND, "--version", path=".")
    assert (done.returncode, done.stderr) == (0, "")


def test_entry_points_have_names_of_their_own() -> None:
    """Each is a module of the top level, in a wheel and in an editable installation, that says `chatlab`."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    (folder,) = wheel["sources"]
    assert wheel["dev-mode-dirs"] == [".", folder]
    scripts = PROJECT["project"]["scripts"]
    plugins = PROJECT["project"]["entry-points"]["pytest11"]
    for entry in (*scripts.values(), *plugins.values()):
        module = entry.partition(":")[0]
        assert module.startswith("chatlab_")
        assert (ROOT / folder / f"{module}.py").is_file()
    assert not (ROOT / folder / "__init__.py").exists()  # it would be one of the top level, too

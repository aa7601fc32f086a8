"""Node and the installed packages are found, or a sentence says what is missing and what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.typescript import bounded
from harness.typescript.tools import PROJECT, NotReady, find_tools
from tests.extras import needs_node

LOCK = {"packages": {"": {}, "node_modules/ws": {"version": "8.1.0"}, "node_modules/a": {"version": "1.0.0"}}}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def node(folder: Path, version: str) -> Path:
    """A program that says that it is Node."""
    path = folder / "node"
    path.write_text(f"#!/bin/sh\necho '{version}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def project(folder: Path, *installed: str) -> Path:
    """A project that needs two packages, and where these are installed."""
    packages = {"node_modules/ws": {"version": "8.1.0"}, "node_modules/a": {"version": "1.0.0"}}
    lock = json.dumps({"packages": {"": {}, **packages}})
    for name in ("package-lock.json", "node_modules/.package-lock.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(lock, encoding="utf-8")
    for name in installed:
        (folder / "node_modules" / name).mkdir()
        (folder / "node_modules" / name / "package.json").write_text("{}", encoding="utf-8")
    return folder


def refused(folder: Path) -> str:
    """Why there are no tools for a project."""
    with pytest.raises(NotReady) as found:
        find_tools(folder)
    return str(found.value)


def test_all_is_there() -> None:
    """In the project of the exercises, with a compiler that can be started."""
    tools = needs_node()
    assert tools.project == PROJECT
    assert Path(tools.compiler[0]).is_file()
    assert Path(tools.linter[1]).is_file()


def test_no_node(path: Path, tmp_path: Path) -> None:
    """It has to be installed."""
    assert refused(tmp_path) == (
        "There is no program `node`. Install Node.js 20 or newer, and open a new terminal."
    )


def test_an_old_node(path: Path, tmp_path: Path) -> None:
    """Its place and version are told, since there may be several."""
    there = node(path, "v18.19.1")
    assert refused(tmp_path).startswith(f"{there} is Node.js v18.19.1, and version 20 or newer is needed.")


def test_a_program_that_only_has_its_name(path: Path, tmp_path: Path) -> None:
    """It says no version of Node's."""
    there = node(path, "hello")
    assert refused(tmp_path).startswith(f"{there} does not tell its version")


def test_packages_that_are_not_installed(path: Path, tmp_path: Path) -> None:
    """Not at all, some of them, or older ones than the lock file names."""
    node(path, "v22.1.0")
    folder = tmp_path / "node_modules"
    assert refused(tmp_path).startswith(f"There is no folder {folder}.")
    there = project(tmp_path, "ws", "typescript")
    assert refused(there).startswith(f"In {folder}, the package oxlint is missing.")
    lock = tmp_path / "package-lock.json"
    lock.write_text(lock.read_text().replace("8.1.0", "8.2.0"), encoding="utf-8")
    assert "the package ws has version 8.1.0, and package-lock.json names 8.2.0" in refused(there)
    lock.write_text(lock.read_text().replace("node_modules/a", "node_modules/b"), encoding="utf-8")
    assert f"In {folder}, the package b is missing." in refused(there)


def test_the_installed_versions_are_enough(path: Path, tmp_path: Path) -> None:
    """A package of another system need not be there."""
    there = node(path, "v24.0.0")
    lock = project(tmp_path, "ws", "typescript", "oxlint") / "package-lock.json"
    text = lock.read_text().replace('"": {}', '"": {}, "node_modules/x": {"version": "1", "optional": true}')
    lock.write_text(text, encoding="utf-8")
    assert find_tools(tmp_path).node == str(there)


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """And what it has started; what it printed is kept."""
    shell = shutil.which("sh") or ""
    done = bounded.run([shell, "-c", "echo begun; sleep 60 & wait"], tmp_path, 0.3)
    assert (done.code, done.output) == (None, "begun\n")


def test_settings_of_node_s_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user may have set options that no program here understands."""
    monkeypatch.setenv("NODE_OPTIONS", "--nonsense")
    monkeypatch.setenv("CHATLAB_X", "1")
    assert "NODE_OPTIONS" not in bounded.environment()
    assert bounded.environment()["CHATLAB_X"] == "1"

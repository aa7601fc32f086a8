"""`make check-typescript` installs what npm has, once, and `make check` asks for none of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.typescript.tools import OLDEST, PROJECT
from tests.extras import needs_program
from tests.kit.pages import ROOT

INSTALLED = "node_modules/.package-lock.json"


class Kit:
    """A folder with the Makefile, as a newcomer has it, and programs that only say that they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder / "kit", folder / "programs"
        self.make = needs_program("make", hint="install it")
        for name in (
            "Makefile",
            "pyproject.toml",
            "constraints.txt",
            "exercises/typescript/package-lock.json",
        ):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        self._program(self.folder / ".venv/bin/chatlab", 'echo "chatlab $@"')
        (self.folder / ".venv/ready").touch()
        self.programs.mkdir()
        for name in ("sh", "echo", "touch", "mkdir"):
            (self.programs / name).symlink_to(needs_program(name, hint="any system has it"))

    def has(self, node: str = "", npm: str = "") -> None:
        """Install Node and npm of these versions."""
        if node:
            is_old = int(node.split(".")[0].removeprefix("v")) < OLDEST
            self._program(
                self.programs / "node", f'[ "$1" = --version ] && echo {node} || exit {int(is_old)}'
            )
        if npm:
            done = f"mkdir -p node_modules; touch {INSTALLED}; echo npm $@"
            self._program(self.programs / "npm", f'[ "$1" = --version ] && echo {npm} || {{ {done}; }}')

    def _program(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run make."""
        return subprocess.run(
            [self.make, *arguments],
            cwd=self.folder,
            env={"PATH": str(self.programs), "LC_ALL": "C"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    """One for each test."""
    return Kit(tmp_path)


@pytest.mark.parametrize("option", ["-j1", "-j4"])
def test_it_installs_judges_and_says_what_is_next(kit: Kit, option: str) -> None:
    """In this order; the second time, and with a lock file that is not newer, npm is not asked."""
    kit.has(node="v20.1.0", npm="10.1.0")
    first = kit.run(option, "check-typescript")
    assert first.returncode == 0, first.stderr
    (install, *rest) = [line for line in first.stdout.splitlines() if line.startswith(("npm ", "chatlab "))]
    assert install.startswith("npm ci ")
    assert {"--no-audit", "--no-fund", "--ignore-scripts"} <= set(install.split())
    assert rest == ["chatlab check --solutions --track typescript"]
    said = first.stdout.partition(rest[0])[2]
    named = re.findall(r"exercises/\S+", said)
    assert named
    assert all((ROOT / name).is_file() for name in named)

    second = kit.run(option, "check-typescript")
    assert second.returncode == 0, second.stderr
    assert "npm" not in second.stdout
    assert rest[0] in second.stdout

    installed = (kit.folder / "exercises/typescript" / INSTALLED).stat().st_mtime
    os.utime(kit.folder / "exercises/typescript/package-lock.json", (installed + 5, installed + 5))
    assert "npm ci" in kit.run(option, "check-typescript").stdout


@pytest.mark.parametrize(
    ("node", "npm", "here"),
    [
        ("", "", "node is missing and npm missing"),
        ("v18.19.0", "9.2.0", "node is v18.19.0 and npm 9.2.0"),
        ("v22.0.0", "", "node is v22.0.0 and npm missing"),
    ],
)
def test_what_is_missing_is_told_in_a_sentence(kit: Kit, node: str, npm: str, here: str) -> None:
    """And what to do; nothing is judged."""
    kit.has(node=node, npm=npm)
    done = kit.run("check-typescript")
    assert done.returncode != 0
    told, *more = done.stderr.splitlines()
    assert told == f"Install Node.js {OLDEST} or newer, with npm, and open a new terminal: here {here}."
    assert all(line.startswith("make: ***") for line in more)
    assert "chatlab" not in done.stdout


def test_python_needs_neither(kit: Kit) -> None:
    """`make check` judges in Python, also for somebody who has chosen TypeScript for other commands."""
    done = kit.run("check")
    assert done.returncode == 0, done.stderr
    assert "chatlab check --solutions --track python" in done.stdout
    for target in ("check", "test"):
        planned = kit.run("--dry-run", target)
        assert planned.returncode == 0
        assert "npm" not in planned.stdout


def test_one_oldest_version() -> None:
    """The Makefile, package.json and the command ask for the same."""
    package = json.loads((PROJECT / "package.json").read_bytes())
    assert package["engines"] == {"node": f">={OLDEST}"}
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"process.versions.node) >= {OLDEST} ?" in text
    assert f"Install Node.js {OLDEST} or newer" in text
    assert f"Node.js {OLDEST} or later" in (ROOT / "README.md").read_text(encoding="utf-8")

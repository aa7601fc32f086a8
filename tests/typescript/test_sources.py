"""What is handed out in TypeScript, and its model answers, pass the compiler and the linter."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.typescript.build import SOLUTIONS
from harness.typescript.tools import PROJECT, Tools

PACKAGE: dict[str, Any] = json.loads((PROJECT / "package.json").read_bytes())
LEFT_OUT = ("node_modules", "dist", ".chatlab")


def project(folder: Path, tools: Tools, answers: Path | None = None) -> Path:
    """A copy of the project, with these answers in the place of the stubs."""
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT))
    (folder / "node_modules").symlink_to(tools.packages.resolve())
    if answers is not None:
        shutil.copytree(answers, folder / "src", dirs_exist_ok=True)
    return folder


def run(script: str, folder: Path, tools: Tools) -> tuple[int, str]:
    """The exit code and the output of a script of package.json: `npm run`, without npm."""
    program, *arguments = shlex.split(PACKAGE["scripts"][script])
    words = [*{"tsc": tools.compiler, "oxlint": tools.linter}[program], *arguments]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("answers", [None, SOLUTIONS], ids=["stubs", "answers"])
@pytest.mark.parametrize("script", ["build", "lint"])
def test_sources_are_clean(script: str, answers: Path | None, tools: Tools, tmp_path: Path) -> None:
    """Neither the compiler nor the linter finds anything."""
    code, output = run(script, project(tmp_path / "project", tools, answers), tools)
    assert code == 0, output


BAD = {
    "build": ("export const first: string = [1][0];", "TS2322"),
    "lint": ("export const late = (): void => { Promise.resolve(1); };", "no-floating-promises"),
}


@pytest.mark.parametrize("name", ["build", "lint"])
def test_what_is_not_clean_is_noticed(name: str, tools: Tools, tmp_path: Path) -> None:
    """A type that is not right; a promise that nobody waits for, which takes types to see."""
    folder = project(tmp_path / "project", tools)
    text, said = BAD[name]
    (folder / "src" / "more.ts").write_text(f"{text}\n", encoding="utf-8")
    code, output = run(name, folder, tools)
    assert code != 0
    assert said in output


def test_the_compiler_is_strict() -> None:
    """And the linter is asked to look at types, and to let nothing pass."""
    options = json.loads((PROJECT / "tsconfig.json").read_bytes())["compilerOptions"]
    assert options["strict"] is True
    assert {"--type-aware", "--deny-warnings"} <= set(shlex.split(PACKAGE["scripts"]["lint"]))

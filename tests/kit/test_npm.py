"""What npm installs: the lock files hold checksums and no addresses, and agree with what they lock."""

from __future__ import annotations

import json
import subprocess
from itertools import chain
from typing import Any

import pytest

from tests.extras import needs_program
from tests.kit.pages import ROOT

PROJECTS = ("exercises/typescript", "tests/servers/javascript")
KINDS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")


def load(project: str, name: str) -> dict[str, Any]:
    """A JSON file of a project."""
    return dict(json.loads((ROOT / project / name).read_bytes()))


def fits(version: str, wanted: str) -> bool:
    """Whether a version is one that is wanted: just this one, or `^` and the oldest, as npm reads it."""
    oldest = [int(part) for part in wanted.removeprefix("^").split(".")]
    found = [int(part) for part in version.split(".")]
    if not wanted.startswith("^"):
        return found == oldest
    assert oldest[0] > 0, "below 1.0.0 it would mean something else"
    return found[0] == oldest[0] and found >= oldest


@pytest.mark.parametrize(
    ("version", "wanted", "is_right"),
    [
        ("8.23.0", "^8.23.0", True),
        ("8.24.1", "^8.23.4", True),
        ("8.22.9", "^8.23.0", False),
        ("9.0.0", "^8.23.0", False),
        ("8.23.0", "8.23.0", True),
        ("8.23.1", "8.23.0", False),
    ],
)
def test_versions_are_compared(version: str, wanted: str, is_right: bool) -> None:
    """As npm does."""
    assert fits(version, wanted) is is_right


@pytest.mark.parametrize("project", PROJECTS)
def test_the_lock_file_agrees_with_its_package(project: str) -> None:
    """Otherwise `npm ci` refuses both: it was not written anew after a change."""
    package, lock = load(project, "package.json"), load(project, "package-lock.json")
    root = lock["packages"][""]
    assert lock["lockfileVersion"] == 3
    assert lock["name"] == root["name"] == package["name"]
    assert {kind: root.get(kind) for kind in (*KINDS, "engines")} == {
        kind: package.get(kind) for kind in (*KINDS, "engines")
    }
    wanted = chain.from_iterable(package.get(kind, {}).items() for kind in KINDS)
    for name, version in wanted:
        assert fits(lock["packages"][f"node_modules/{name}"]["version"], version), name


@pytest.mark.parametrize("project", PROJECTS)
def test_the_lock_file_holds_checksums_and_no_addresses(project: str) -> None:
    """So npm asks the registry of whoever installs, and takes only what we had."""
    packages = load(project, "package-lock.json")["packages"]
    for place, each in packages.items():
        assert "resolved" not in each, place
        if place:
            assert place.startswith("node_modules/")
            assert each["integrity"].startswith("sha512-"), place
            assert "hasInstallScript" not in each, "it would not run, by --ignore-scripts"
            needed = {**each.get("dependencies", {}), **each.get("optionalDependencies", {})}
            assert {f"node_modules/{name}" for name in needed} <= set(packages)
    settings = (ROOT / project / ".npmrc").read_text(encoding="utf-8").split()
    assert settings == ["omit-lockfile-registry-resolved=true"]


def test_all_files_of_the_track_are_installed_with_the_kit() -> None:
    """A wheel has all that is in its packages, unless git ignores it, as it does what npm and tsc make."""
    git = needs_program("git", hint="the kit comes by it")
    exercises = [path for path in (ROOT / "exercises/typescript").iterdir() if path.is_file()]
    folders = ("exercises/typescript/src", "solutions/typescript", "harness")
    modules = [
        path for folder in folders for end in ("ts", "mjs") for path in (ROOT / folder).rglob(f"*.{end}")
    ]
    made = ["exercises/typescript/node_modules", "exercises/typescript/dist/index.js"]
    wanted = [str(path.relative_to(ROOT)) for path in (*exercises, *modules)]
    assert {"harness/contracts/node/host.mjs", "harness/typescript/not_built.mjs"} <= set(wanted)
    done = subprocess.run(
        [git, "check-ignore", "--no-index", "--stdin"],
        cwd=ROOT,
        input="\n".join([*wanted, *made]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 128:
        pytest.skip(f"this is no repository: {done.stderr.strip()}")
    assert done.stdout.split() == made


def test_lock_files_are_all_known() -> None:
    """A new one is held to the same."""
    found = {
        str(path.parent.relative_to(ROOT))
        for folder in ("exercises", "harness", "tests")
        for path in (ROOT / folder).rglob("package-lock.json")
        if "node_modules" not in path.parts
    }
    assert found == set(PROJECTS)

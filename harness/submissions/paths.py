"""Takes the folders of this machine out of what is told: they help nobody else, and are nobody else's."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.history.as_json import from_json, to_json
from harness.judged.targets import ROOT
from harness.running.run import Run
from harness.submissions.staging import Staged


def without_paths(told: str, staged: Staged, place: Path) -> str:
    """A text in which paths are those that the submission's author knows."""
    return _replaced(told.encode(errors="surrogateescape"), staged, place).decode(errors="replace")


def run_without_paths(run: Run, staged: Staged, place: Path) -> Run:
    """A run, likewise."""
    return from_json(_replaced(to_json(run), staged, place), Run)


def _replaced(data: bytes, staged: Staged, place: Path) -> bytes:
    names = {
        f"{staged.folder.parent}/": "",
        **{f"{kit}/": "" for kit in place.glob("*") if (kit / "solutions").is_dir()},
        f"{place}": "…",
        f"{sys.prefix}/": "python/",
        f"{sys.base_prefix}/": "python/",
        f"{ROOT}/": "",
        f"{Path.home()}/": "~/",
    }
    for path, name in names.items():
        if path.strip("/"):
            data = data.replace(path.encode(), name.encode())
    return data

"""Promises that nobody waits for are found in the student's files, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.typescript.build import Build
from harness.typescript.floating import floating_in
from harness.typescript.problems import NotBuilt
from harness.typescript.tools import Tools
from harness.verdict.causes import Floating
from tests.extras import needs_node
from tests.harness.typescript.kits import SEQUENCER, Kit

MINE = """
export async function all(tasks: (() => Promise<void>)[]): Promise<void> {
  tasks.forEach(async (task) => {
    await task();
  });
}
"""


def test_floating_promises_are_found(tmp_path: Path) -> None:
    """A call without `await`, and an asynchronous callback; not what waits, or says that it does not."""
    kit = Kit(tmp_path, needs_node())
    text = SEQUENCER.replace("await this.store.save([message]);", '"é"; this.store.save([message]);')
    text = text.replace("this.pubsub.subscribe(", "void this.store.save([]); this.pubsub.subscribe(")
    built = kit.build("sequencer", f'import "./mine.js";\n{text}', mine=MINE)
    assert built.problem == ""
    (tmp_path / ".gitignore").write_text("out\n", encoding="utf-8")
    assert floating_in(built, kit.tools) == [
        Floating(str(kit.mine / "sequencer.ts"), 11, 14, '"é"; this.store.save([message]);'),
        Floating(str(kit.mine / "mine.ts"), 2, 30, "tasks.forEach(async (task) => {"),
    ]
    assert floating_in(built, kit.tools, seconds=0.0) == []


@pytest.mark.parametrize("printed", ["", "no JSON", "{}", '{"diagnostics": [{}]}', "[" * 5000])
def test_trouble_of_the_linter_is_no_finding(tmp_path: Path, printed: str) -> None:
    """Whatever it prints, or if it cannot be started."""
    (tmp_path / "node").write_text(f"#!/bin/sh\nprintf '%s' '{printed}'\n", encoding="utf-8")
    (tmp_path / "node").chmod(0o755)
    built = Build(tmp_path, None, {"store.ts": tmp_path / "store.ts"})
    assert floating_in(built, Tools(str(tmp_path / "node"))) == []
    assert floating_in(built, Tools(str(tmp_path / "nowhere"))) == []
    assert floating_in(Build(tmp_path, NotBuilt("typescript.no_file")), Tools("node")) == []

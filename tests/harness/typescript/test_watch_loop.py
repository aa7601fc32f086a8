"""A thread of ours tells where a server in Node blocks its event loop, and changes nothing else about it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from harness.history.printed import Output
from harness.history.raised import Blocked, blocked_in
from harness.typescript.tools import ROOT
from tests.extras import needs_node
from tests.harness.typescript.kits import PUBSUB, Kit, write

WATCH = (ROOT / "harness" / "typescript" / "watch_loop.mjs").as_uri()


def started(folder: Path, text: str, *, after: int = 200) -> subprocess.Popen[str]:
    """A program in Node that is watched: it is told of after so many milliseconds."""
    words = [needs_node().node, "--import", f"{WATCH}?after={after}", str(write(folder / "a.mjs", text))]
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def blocks(printed: str) -> list[Blocked]:
    """The calls that were told of."""
    output = Output(lambda event: None)
    output.take(0.0, printed)
    output.flush(1.0)
    return [found for each in output.seen.values() if (found := blocked_in(each.lines))]


@pytest.mark.parametrize(
    ("call", "function"),
    [
        ("busy() { while (!isOver()); }", "Store.busy"),
        ("busy() { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600); }", "Store.busy"),
        ("async busy() { while (!isOver()) await null; }", "Store.busy"),
        ('busy() { execSync("sleep 0.6"); }', "Store.busy"),
    ],
)
def test_a_call_that_blocks_is_told_with_its_place(tmp_path: Path, call: str, function: str) -> None:
    """Whether it computes, waits, or lets microtasks run only; the process ends as it would without us."""
    text = f"""
        import {{ execSync }} from "node:child_process";
        const begin = process.cpuUsage();
        const isOver = () => process.cpuUsage(begin).user > 600_000; // a busy machine takes longer
        class Store {{ {call} }}
        setTimeout(async () => {{ await new Store().busy(); process.exitCode = 3; }}, 150);
    """
    process = started(tmp_path, text)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 3
    found = blocks(errors)
    assert found, errors
    assert {frame.line for each in found for frame in each.frames if frame.function == function} == {4}
    assert str(tmp_path / "a.mjs") in [frame.file for frame in found[0].frames]
    assert all(line.startswith(("[chatlab]", "    at ")) for line in errors.splitlines())
    assert 0.2 <= found[0].seconds < 20


def test_the_place_is_that_of_the_source(tmp_path: Path) -> None:
    """As the source map names it: the student's own file."""
    kit = Kit(tmp_path, needs_node())
    text = "ServerFrame): void { for (const end = Date.now() + 800; Date.now() < end; );"
    built = kit.build("pubsub", PUBSUB.replace("ServerFrame): void {", text))
    assert built.problem == ""
    words = [kit.tools.node, "--import", f"{WATCH}?after=200", "dist/index.js"]
    done = subprocess.run(words, cwd=built.folder, capture_output=True, text=True, timeout=30, check=False)
    (place,) = {
        (frame.file, frame.line, frame.function) for each in blocks(done.stderr) for frame in each.frames[-1:]
    }
    assert place == (str(kit.mine / "pubsub.ts"), 6, "PubSub.publish")


def test_nothing_is_told_of_a_server_that_turns(tmp_path: Path) -> None:
    """Short calls do not count, nor do an exception, or `process.exit`; and the process is not kept alive."""
    process = started(tmp_path, "for (const end = Date.now() + 50; Date.now() < end; );")
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    process = started(tmp_path, "setTimeout(() => process.exit(7), 1);")
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 7


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system stops no process")
def test_a_process_that_was_stopped_is_not_blamed(tmp_path: Path) -> None:
    """The thread that watches was stopped, too: what it did not see is no block."""
    text = """
        process.stdin.once("data", () => process.exit(0));
        console.log("ready");
    """
    process = started(tmp_path, text, after=300)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired):  # it is stopped for longer than what counts as a block
        process.wait(0.6)
    os.kill(process.pid, signal.SIGCONT)
    assert process.communicate("x", timeout=30) == ("", "")

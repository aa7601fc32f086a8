"""A component in Node runs in the process of its host: what it does to that hides none of its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.contracts.result import ENDED, Played
from harness.contracts.running import play_contract
from harness.running.direct_calls import add_contract
from harness.running.fork_pool import ContractJob, CrashError, ForkPool
from harness.running.run import Run
from harness.verdict.outcome import Outcome, StepResult
from tests.extras import needs_node

RIGHT = """
export class PubSub {
  #rooms = new Map();
  subscribe(room, member) {
    if (!this.#rooms.has(room)) this.#rooms.set(room, new Set());
    this.#rooms.get(room).add(member);
  }
  unsubscribe(room, member) {
    this.#rooms.get(room)?.delete(member);
    if (this.#rooms.get(room)?.size === 0) this.#rooms.delete(room);
  }
  publish(room, frame) {
    for (const member of this.members(room)) member.send(frame);
  }
  members(room) {
    return [...(this.#rooms.get(room) ?? [])];
  }
  rooms() {
    return [...this.#rooms.keys()];
  }
}
"""
WRONG = RIGHT.replace("of this.members(room)", "of this.#rooms.get(room) ?? []")
"""Who joins while a frame is sent gets it, too: only direct calls show that."""
TRY = "const attempt = (action) => { try { action(); } catch {} };\n"
FORGED = {
    "answers of its own": """
        const fs = process.getBuiltinModule?.("fs") ?? (await import("node:fs")).default;
        for (let number = 3; number < 40; number++) {
          attempt(() => {
            if (fs.readlinkSync(`/proc/self/fd/${number}`).startsWith("pipe:")) {
              fs.writeSync(number, '{"do":"idle","cpu":0,"spent":[]}\\n');
            }
          });
        }
    """,
    "answers rewritten": """
        const real = JSON.stringify;
        attempt(() => { JSON.stringify = (value) => real(value.do === "tell" ? { do: "idle" } : value); });
        attempt(() => { globalThis.JSON = { stringify: () => '{"do":"idle"}', parse: JSON.parse }; });
        attempt(() => { Object.prototype.toJSON = function () { return { do: "idle" }; }; });
    """,
    "calls that are not told": """
        attempt(() => { Array.prototype.map = function () { return []; }; });
        attempt(() => { Object.defineProperty(Map.prototype, "get", { value: () => undefined }); });
        attempt(() => { Promise.prototype.then = function () { return this; }; });
        attempt(() => { Buffer.from = () => { throw new Error(); }; });
    """,
    "a descriptor looked up": """
        if (process.argv.length > 2 || process.binding) throw new Error("found");
    """,
}


def played(folder: Path, text: str) -> Played:
    """What direct calls of a room list show."""
    needs_node()
    module = folder / "pub-sub.js"
    module.write_text(text, encoding="utf-8")
    found = play_contract("pubsub", str(module), folder)
    assert not found.defect, found.defect
    return found


@pytest.mark.parametrize("how", FORGED)
def test_a_mistake_is_found_nevertheless(how: str, tmp_path: Path) -> None:
    """The same one, or that the component has ended the process."""
    found = played(tmp_path, TRY + FORGED[how] + WRONG)
    assert {each.step for each in found.found} & {"1.3", "1.4"}
    assert not found.lacking


def test_a_right_one_may_add_methods(tmp_path: Path) -> None:
    """As it may in a server; errors and subclasses of what is built in work, too."""
    before = """
        Array.prototype.newest = function () { return this.at(-1); };
        class Rooms extends Map { toString() { return "rooms"; } }
        class Refused extends Error {
          constructor() { super("no"); this.name = "Refused"; this.toString = () => ""; }
        }
        if ([1, 2].newest() !== 2 || String(new Rooms()) !== "rooms") throw 1;
        if (new Refused().name !== "Refused") throw 2;
    """
    found = played(tmp_path, before + RIGHT)
    assert (found.found, found.problem, found.lacking) == ([], "", "")


async def test_who_ends_what_judges_is_left_to_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of a component in Node runs there. Of one in Python, the play in the server is what counts."""

    async def crash(*_: object) -> bytes:
        raise CrashError("SIGKILL")

    monkeypatch.setattr(ForkPool, "_ask", crash)
    in_node = await ForkPool(1).call(ContractJob("pubsub", "/x/pub-sub.js"))
    in_python = await ForkPool(1).call(ContractJob("pubsub", "/x/pubsub.py"))
    assert (in_node.lacking, in_python.lacking) == (ENDED, "crash")
    for contract, points in (
        (in_node, {"1.1": 1, "1.3": 0, "1.4": 0}),
        (in_python, {"1.1": 1, "1.3": 2, "1.4": 4}),
    ):
        steps = [
            StepResult(step, Outcome.PASSED, of, of, None)
            for step, of in (("1.1", 1), ("1.3", 2), ("1.4", 4))
        ]
        run = Run(1, "1", "live", "x", 0.1, steps, [], [], 0.0, [])
        add_contract(run, contract)
        assert {each.step: each.points for each in run.steps} == points

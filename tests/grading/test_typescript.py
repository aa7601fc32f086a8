"""A class with submissions in TypeScript: made-up plays, and one real grading with those who try tricks."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from harness.grading.copies import near_copies
from harness.grading.suspicious import same_files, suspicious_words
from harness.judged import typescript
from harness.judged.problems import Unclear
from harness.judged.target import Built, Target
from harness.submissions.fingerprints import hash_of_kit
from harness.typescript.tokens import tokens_in
from harness.verdict.outcome import Outcome
from tests.extras import needs_isolation, needs_module, needs_node
from tests.grading.classroom import ROOT, submission_of
from tests.grading.dishonest import graded
from tests.grading.dishonest_typescript import make
from tests.grading.test_whole_class import Class, course
from tests.harness.submissions.test_layouts import RULES, SOURCES, laid_out, write
from tests.harness.submissions.test_typescript_layouts import ANSWERS, NAMES, STUBS, project, scripts

__all__ = ["course"]  # a fixture


@pytest.fixture
def mixed(course: Class, monkeypatch: pytest.MonkeyPatch) -> Class:
    """Ada and bob work in TypeScript, and eve in Python; nothing is built, and no Node is needed."""

    def server(uses: dict[str, str], label: str, component: str | None, place: Path) -> Target:
        assert place.is_dir()
        return Target(
            label, ("node", "index.js"), component=component, uses=uses, build=Built(str(place), {})
        )

    monkeypatch.setattr(typescript, "server", server)
    monkeypatch.setattr(typescript, "packages", lambda: "/node_modules")
    monkeypatch.setattr(typescript, "version", lambda: "20")
    monkeypatch.setattr(typescript, "check_ready", lambda: None)
    shutil.rmtree(course.folder)
    write(course.folder, project("ada/") | scripts("bob/") | laid_out("eve/"))
    return course


def test_both_languages_are_judged_side_by_side(mixed: Class) -> None:
    """Who has a grade keeps it until the code of the exercise changes, or a module that it may import."""
    assert mixed.grade().exit_code == 0
    assert len(mixed.played) == 12
    assert {row["points"] for row in mixed.rows().values()} == {"37"}
    assert mixed.grade().exit_code == 0
    assert mixed.played == []
    write(
        mixed.folder,
        {"bob/sequencer.ts": ANSWERS[2] + b"// faster\n", "ada/dist/hub.js": b"", "ada/x.md": b""},
    )
    mixed.grade()
    assert mixed.played == ["bob 2"]
    write(mixed.folder, {"ada/src/queue.ts": b"export const x = 1;"})
    mixed.grade("--exercises", 1)
    assert mixed.played == ["ada 1"]


def test_the_same_file_and_what_a_component_has_no_use_for_are_told(mixed: Class) -> None:
    """In TypeScript, too; each in the words of its language."""
    mine = ANSWERS[1] + b'\nimport "node:child_process";\n/x/.exec("x");\n'
    write(mixed.folder, {f"{name}/{NAMES[1]}": mine for name in ("bob", "cyd")})
    mixed.grade("--exercises", 1)
    assert "the same file as that of cyd" in mixed.rows()["bob"]["attention"]
    assert "Its code mentions child_process. Look at it." in mixed.rows()["cyd"]["attention"]
    assert suspicious_words({"pubsub": "exec('x')"}) == ["exec("]
    assert (
        list(same_files({"ada": {NAMES[2]: STUBS[2].decode()}, "bob": {NAMES[2]: STUBS[2].decode()}})) == []
    )


def test_a_file_may_be_named_for_an_exercise(mixed: Class) -> None:
    """Where nobody can guess, and where both languages were tried."""
    write(mixed.folder, scripts("cyd/src/") | laid_out("cyd/"))
    said = mixed.grade("--exercises", 1, "--only", "cyd", "--list")
    assert (said.exit_code, "were both changed" in " ".join(said.output.split())) == (2, True)
    assert mixed.grade("--exercises", 1, "--only", "cyd").exit_code == 2
    assert mixed.grade("--exercises", 1, "--only", "cyd", "--map", f"cyd:1=src/{NAMES[1]}").exit_code == 0
    assert mixed.played == ["cyd 1"]
    write(mixed.folder, {"cyd/submission.toml": b'track = "python"'})
    assert mixed.grade("--exercises", 2, "--only", "cyd").exit_code == 0


def test_without_node_nobody_loses_a_mark(mixed: Class, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was judged stays, what was not is open; those in Python are judged."""
    mixed.grade("--exercises", 1)

    def lacks(*_: object) -> None:
        raise Unclear("typescript.no_node", oldest=20)

    monkeypatch.setattr(typescript, "server", lacks)
    monkeypatch.setattr(typescript, "check_ready", lacks)
    monkeypatch.setattr(typescript, "version", lambda: "")
    said = mixed.grade("--exercises", "1,2")
    assert (said.exit_code, mixed.played) == (2, ["eve 2"])
    rows = mixed.rows()
    assert (rows["ada"]["ex1"], rows["ada"]["verdict"], rows["eve"]["points"]) == ("8", "inconclusive", "18")
    assert "There is no program `node`" in rows["bob"]["problem"]


def test_one_submission_is_no_class(mixed: Class) -> None:
    """Whether it is the project, or its files."""
    for folder in ("ada", "bob"):
        mixed.folder = mixed.folder.parent / "class" / folder
        assert mixed.grade().exit_code == 64
        mixed.folder = mixed.folder.parent


# --- near copies ------------------------------------------------------------------------------------

INDEPENDENT = {
    "sequencer.ts": """
import { randomUUID } from "node:crypto";
import { MAX_PAGE, NEWEST } from "./types.js";
import type { Draft, History, Member, Message, MessageStore, PubSub } from "./types.js";

class Lock {
  private waiting: (() => void)[] = [];
  private busy = false;
  async enter(): Promise<void> {
    if (!this.busy) { this.busy = true; return; }
    await new Promise<void>((go) => this.waiting.push(go));
  }
  leave(): void {
    const next = this.waiting.shift();
    if (next) next(); else this.busy = false;
  }
}

export class Sequencer {
  private locks: Record<string, Lock> = {};
  constructor(private store: MessageStore, private pubsub: PubSub) {}

  private lockOf(room: string): Lock {
    if (!(`r${room}` in this.locks)) this.locks[`r${room}`] = new Lock();
    return this.locks[`r${room}`]!;
  }

  async accept(draft: Draft): Promise<Message> {
    const lock = this.lockOf(draft.room);
    await lock.enter();
    try {
      if (draft.id) {
        const old = await this.store.find(draft.room, draft.user, draft.id);
        if (old) return old;
      }
      const last = await this.store.last(draft.room);
      const made: Message = Object.assign({}, draft, {
        id: draft.id || randomUUID(), sequence: last + 1, timestamp: new Date().getTime(),
      });
      await this.store.save([made]);
      this.pubsub.publish(draft.room, { type: "message", data: made });
      return made;
    } finally { lock.leave(); }
  }

  async attach(room: string, member: Member, since: number | undefined): Promise<void> {
    const lock = this.lockOf(room);
    await lock.enter();
    try {
      if (since === undefined) {
        const newest = await this.store.newest(room, NEWEST);
        const last = await this.store.last(room);
        member.send({ type: "history", data: { room, messages: newest, last, more: false } });
      } else {
        let position = since, more = true;
        do {
          const page = await this.history(room, position, MAX_PAGE);
          member.send({ type: "history", data: page });
          more = page.more;
          if (page.messages.length) position = page.messages[page.messages.length - 1]!.sequence;
        } while (more);
      }
      this.pubsub.subscribe(room, member);
    } finally { lock.leave(); }
  }

  async history(room: string, since: number, limit: number): Promise<History> {
    const messages = await this.store.page(room, since, limit);
    const last = await this.store.last(room);
    const newest = messages.at(-1)?.sequence ?? last;
    return { room, messages, last, more: newest < last };
  }
}
""",
}
_KEPT = re.compile(r"[A-Z]\w*|string|number|readonly|undefined|types?")


def disguised(source: str) -> str:
    """The same code with other local and private names, without comments, in another layout."""
    names: dict[str, str] = {}
    parts, before = [], ""
    local = set(re.findall(r"\b(?:const|let) (\w+)", source)) | set(re.findall(r"#\w+", source))
    for token in tokens_in(source):
        text = f"'{token.text}'" if token.kind == "string" else token.text
        if token.kind == "comment":
            continue
        if text in local and before != "." * (text[0] != "#"):
            text = names.setdefault(text, f"{'#' * (text[0] == '#')}x{len(names)}")
        parts.append(text)
        before = token.text
    return "\n".join(parts)


def test_copies_in_disguise_are_found(tmp_path: Path) -> None:
    """Of a classmate's, and of the model answer; independent code is none; and nothing between languages."""
    needs_module("rapidfuzz", "grading")
    mine = INDEPENDENT["sequencer.ts"]
    found = near_copies(
        {
            "ann": {"sequencer.ts": mine},
            "ben": {"sequencer.ts": disguised(mine)},
            "cho": {name: disguised(ANSWERS[n].decode()) for n, name in NAMES.items() if n > 1},
            "dan": {"sequencer.ts": STUBS[2].decode(), "sequencer": SOURCES[2].decode()},
        }
    )
    pairs = {(pair.component, pair.one, pair.other) for pair in found.pairs}
    assert {each for each in pairs if each[1] != "dan"} == {
        ("sequencer.ts", "ann", "ben"),
        *((name, "cho", "model") for n, name in NAMES.items() if n > 1),
    }
    assert {each[:2] for each in pairs if each[1] == "dan"} == {("sequencer", "dan")}


# --- what is isolated --------------------------------------------------------------------------------


def test_no_answer_to_an_exercise_is_shown_to_its_component(tmp_path: Path) -> None:
    """Neither to its server nor where it is called directly: what was built for others has it."""
    needs_node()
    write(tmp_path / "ada", project("", STUBS))
    given = submission_of(tmp_path / "ada", tmp_path / "place", RULES)
    shown: list[list[Path]] = []
    for exercise in (1, 2):
        target = given.target(exercise)
        assert isinstance(target, Target)
        assert target.build is not None
        assert target.isolation is not None
        assert not target.build.is_refused
        assert target.build.folder.startswith(str(given.staged.built)), "which is removed with the copy"
        places = [each for each in target.isolation.shows if not each.endswith("node_modules")]
        shown += [[path for place in places for path in Path(place).rglob("*") if path.is_file()]]
        shown[-1] += [path for path in Path(target.build.called).rglob("*") if path.is_file()]
        assert not any(Path(place).is_relative_to(ROOT) for place in places)
    for exercise, files in zip((1, 2), shown, strict=True):
        answers = [path for path in files if path.stem.partition(".")[0] == NAMES[exercise][:-3]]
        telling = "new Map" if exercise == 1 else "#inTurn"
        assert answers
        assert not any(telling in path.read_text(encoding="utf-8") for path in answers)
    (called,) = (
        Path(each.build.called) for each in [given.target(2)] if isinstance(each, Target) and each.build
    )
    assert not (called / "pub-sub.js").exists()


@pytest.mark.live
def test_nobody_is_paid_for_a_trick(tmp_path: Path) -> None:
    """With bubblewrap: each has no points, the honest one beside them has all, and the kit is as it was."""
    needs_isolation()
    needs_node()
    make(tmp_path / "class", ["ts-searches-the-answer", "ts-edits-what-it-finds"])
    before = hash_of_kit()
    grades = graded(tmp_path, 0)
    assert {name: mark.points for name, mark in grades.items() if mark.points} == {"ts-honest": 8}
    assert grades["ts-honest"].verdict is Outcome.PASSED
    assert {mark.isolation for mark in grades.values()} == {"bubblewrap"}
    logs = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "class-grades").glob("*.log"))
    assert "found nothing" in logs
    assert "EDITED" not in logs
    assert hash_of_kit() == before

"""Near copies are found in disguise, and independent code is not taken for a copy."""

from __future__ import annotations

import importlib.util
import time
from itertools import combinations

import pytest

from harness.grading import copies
from harness.grading.copies import NearCopies, Pair, near_copies, sentences
from harness.grading.source_tokens import runs_of
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import COMPONENTS
from tests.extras import needs_module
from tests.grading.classroom import ROOT
from tests.grading.disguises import disguised

FROM_EACH_OTHER = {("batches", "small_reads")}
"""Of our own samples, the one that was made from another one."""

USUAL_ROOMS = {
    "ann": """
class PubSub:
    def __init__(self):
        self.rooms_dict = {}
    def subscribe(self, room, member):
        if room not in self.rooms_dict:
            self.rooms_dict[room] = []
        if member not in self.rooms_dict[room]:
            self.rooms_dict[room].append(member)
    def unsubscribe(self, room, member):
        if room in self.rooms_dict:
            if member in self.rooms_dict[room]:
                self.rooms_dict[room].remove(member)
            if len(self.rooms_dict[room]) == 0:
                del self.rooms_dict[room]
    def publish(self, room, frame):
        if room in self.rooms_dict:
            for member in list(self.rooms_dict[room]):
                member.send(frame)
    def members(self, room):
        if room in self.rooms_dict:
            return list(self.rooms_dict[room])
        return []
    def rooms(self):
        return list(self.rooms_dict.keys())
""",
    "ben": """
class PubSub:
    def __init__(self) -> None:
        self._rooms: dict[str, list] = {}
    def subscribe(self, room, member):
        if room not in self._rooms:
            self._rooms[room] = [member]
        elif member not in self._rooms[room]:
            self._rooms[room].append(member)
    def unsubscribe(self, room, member):
        if room not in self._rooms:
            return
        if member in self._rooms[room]:
            self._rooms[room].remove(member)
        if not self._rooms[room]:
            del self._rooms[room]
    def publish(self, room, frame):
        for member in self.members(room):
            member.send(frame)
    def members(self, room):
        return list(self._rooms.get(room, []))
    def rooms(self):
        return list(self._rooms.keys())
""",
    "cho": """
class PubSub:
    def __init__(self):
        self.rooms_members = {}
    def subscribe(self, room, member):
        if room not in self.rooms_members:
            self.rooms_members[room] = set()
        self.rooms_members[room].add(member)
    def unsubscribe(self, room, member):
        if room in self.rooms_members:
            self.rooms_members[room].discard(member)
            if not self.rooms_members[room]:
                del self.rooms_members[room]
    def publish(self, room, frame):
        for member in self.members(room):
            member.send(frame)
    def members(self, room):
        return list(self.rooms_members.get(room, []))
    def rooms(self):
        return [r for r, m in self.rooms_members.items() if m]
""",
}
"""The first exercise as most people write it, which leaves little room for differences."""


@pytest.fixture(autouse=True)
def _needs_the_library() -> None:
    needs_module("rapidfuzz", "grading")


def answer(component: str) -> str:
    """The model answer's source."""
    (path,) = (ROOT / "solutions").glob(f"*/{component}.py")
    return path.read_text(encoding="utf-8")


def samples(component: str) -> dict[str, str]:
    """Right components by several authors."""
    paths = sorted((ROOT / "tests/components" / component).glob("*.py"))
    found = {path.stem: path.read_text(encoding="utf-8") for path in paths}
    return found | (USUAL_ROOMS if component == "pubsub" else {})


def compared(component: str, sources: dict[str, str]) -> list[Pair]:
    """The near copies among these sources of one component, and of the answers."""
    return near_copies({who: {component: source} for who, source in sources.items()}).pairs


@pytest.mark.parametrize("component", COMPONENTS.values())
@pytest.mark.parametrize("limit", [copies.SIMILAR, 0.55])
def test_independent_components_are_not_named(
    component: str, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not against each other, nor against the model answer and the reference; with room to spare."""
    monkeypatch.setattr(copies, "SIMILAR", limit)
    found = {(pair.one, pair.other) for pair in compared(component, samples(component))}
    assert found == (FROM_EACH_OTHER if component == "sequencer" else set())


@pytest.mark.parametrize("component", COMPONENTS.values())
def test_a_renamed_and_reordered_model_answer_is_named_as_exact(component: str) -> None:
    """New names, another order, no comments and no hints: it is still the model answer."""
    for seed in range(3):
        (pair,) = compared(component, {"ann": disguised(answer(component), seed)})
        assert (pair.one, pair.other, pair.is_given) == ("ann", "model", True)
        assert pair.is_exact
        assert pair.lines
        assert pair.other_lines


@pytest.mark.parametrize("component", ["sequencer", "presence", "store"])
@pytest.mark.parametrize("added", [1, 2])
def test_copies_with_added_statements_are_named(component: str, added: int) -> None:
    """Each sample against its disguise with statements added to each function: similar, not exact."""
    for name, source in samples(component).items():
        (pair,) = compared(component, {name: source, "zoe": disguised(source, 3, added)})
        assert {pair.one, pair.other} == {name, "zoe"}
        assert 0.75 < pair.similarity < 1


def test_the_reference_is_named() -> None:
    """Who hands in the reference's component is told apart from who hands in the model answer."""
    source = (ROOT / "lab/presence.py").read_text(encoding="utf-8")
    (pair,) = compared("presence", {"ann": disguised(source)})
    assert (pair.other, pair.is_exact) == ("reference", True)


@pytest.mark.parametrize("component", COMPONENTS.values())
def test_the_stub_does_not_count(component: str) -> None:
    """Who hands in what was handed out has nothing in common with others who did the same."""
    (path,) = (ROOT / "exercises").glob(f"*/{component}.py")
    stub = path.read_text(encoding="utf-8")
    assert compared(component, {"ann": stub, "ben": disguised(stub)}) == []


def test_short_ones_count_only_beside_long_ones() -> None:
    """Two equal room lists may be chance; of two whose stores are alike, too, they are told."""
    rooms, store = USUAL_ROOMS["cho"], samples("store")["sqlite_threads"]
    assert compared("pubsub", {"ann": rooms, "ben": disguised(rooms)}) == []
    both = {"ann": {"pubsub": rooms, "store": store}, "ben": {"pubsub": disguised(rooms), "store": store}}
    assert [(pair.component, pair.is_short) for pair in near_copies(both).pairs] == [
        ("store", False),
        ("pubsub", True),
    ]


def test_two_copies_of_one_answer_are_not_named_as_each_others() -> None:
    """Each is named beside the model answer, once."""
    source = answer("store")
    found = compared(
        "store", {who: disguised(source, seed) for seed, who in enumerate(("ann", "ben", "cho"))}
    )
    assert [(pair.one, pair.other) for pair in found] == [
        ("ann", "model"),
        ("ben", "model"),
        ("cho", "model"),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\0",
        "def f(:\n",
        "class A:\n  x = (((\n",
        "'''never closed",
        "\udcff = 1",
        "def\n",
        "import\nfrom\nfrom x import\nimport a as\n",
        "(" * 5000,
        "def f(self):\n" * 300,
        "".join(f"def f{n}(): return {n} + {n}\n" for n in range(4000)),
        "if 1:\n  x\n y\n",
    ],
)
def test_what_is_no_python_is_read_as_far_as_it_goes(source: str) -> None:
    """Whatever was handed in, the others are compared, within a second or two."""
    started = time.process_time()  # which other programs hardly lengthen
    store = samples("store")["sqlite_threads"]
    found = compared("store", {"ann": source, "ben": store, "cho": store, "dan": source})
    assert ("ben", "cho") in {(pair.one, pair.other) for pair in found}
    assert time.process_time() - started < 10


def test_lines_are_those_of_the_files() -> None:
    """The stretches that are named hold the common code, and nothing else."""
    store = samples("store")["sqlite_threads"]
    ours = store.splitlines()
    (pair,) = compared("store", {"ann": store, "ben": "# before\n" * 100 + store})
    assert pair.is_exact
    assert pair.other_lines == [(first + 100, last + 100) for first, last in pair.lines]
    assert all(ours[first - 1].strip() and ours[last - 1].strip() for first, last in pair.lines)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_told(language: str) -> None:
    """Both are named, with their lines; what is asked for is to look, and nobody is accused."""
    said = texts(language)
    pair = Pair("store", "ann", "ben", False, 0.872, 300, [(3, 9), (12, 12)], [(4, 10)])
    told = " ".join(sentences(pair, said, {"ben": "Ben\u202e"}))
    for words in ("87", "store", "ann", "Ben\\u202e", "3–9, 12", "4–10"):
        assert words in told
    short = Pair("pubsub", "ann", "model", True, 1.0, 100, [(1, 9)], [(1, 9)])
    assert sentences(short, said)[-1] == said.say("copies.short")
    for word in ("cheat", "plagia", "trich", "fraud"):
        assert word not in " ".join(sentences(short, said)).lower() + told.lower()


def test_without_the_library_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is told, instead of an empty list that would look like no copies."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert near_copies({"ann": {"store": "x = 1"}}) == NearCopies(is_possible=False)
    assert "chat-lab[grading]" in texts("en").say("copies.not_installed")


def test_names_and_layout_are_neutral() -> None:
    """One function written in two ways gives the same tokens; another one does not."""
    one = (
        "import json as j\n\nclass A:\n    def f(self, a: int) -> str:\n        '''Doc.'''\n"
        "        x: str = j.dumps(\n            (a + 1),\n        )\n        return x\n"
    )
    other = (
        "import json\n\nclass B:\n  def g(this, room):\n    # Why.\n"
        "    y = json.dumps(room + 1)\n    return (y)\n"
    )
    first, second = ([run.tokens for run in runs_of(each)][-1] for each in (one, other))
    assert first == second
    assert runs_of(one.replace("dumps", "loads"))[-1].tokens != first
    assert [
        run.tokens[0] for run in runs_of("def f(x):\n    match x:\n        case y:\n            pass\n")
    ] == ["n"]


def test_a_class_of_sixty_takes_seconds() -> None:
    """Most pairs are told apart without a slow comparison: two hundred took 8 s, sixty take one or two."""
    exercises = {component: list(samples(component).values()) for component in COMPONENTS.values()}
    sources = {
        f"s{number:03}": {
            component: disguised(found[number % len(found)], number, number % 3)
            for component, found in exercises.items()
        }
        for number in range(60)
    }
    started = time.process_time()
    found = near_copies(sources).pairs
    assert time.process_time() - started < 20
    pairs = {(pair.one, pair.other) for pair in found}
    assert pairs < set(combinations(sorted(sources), 2))

"""Hand-ins in TypeScript, in every form: each is found, or somebody has to look. Nothing is built."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from harness.judged import typescript
from harness.judged.found import Found
from harness.judged.problems import BadTarget, Unclear
from harness.submissions.fingerprints import still_holds
from harness.submissions.listing import hand_ins_of
from harness.submissions.staging import stage
from harness.submissions.submission import Submission
from harness.texts import texts
from harness.typescript.components import COMPONENTS
from tests.grading.classroom import ROOT
from tests.harness.submissions.test_layouts import HANDOUTS as PYTHON_HANDOUTS
from tests.harness.submissions.test_layouts import RULES, Files, laid_out, only_submission, write, zipped

NAMES = dict(enumerate((each.file for each in COMPONENTS.values()), start=1))
ANSWERS = {n: (ROOT / "solutions" / "typescript" / name).read_bytes() for n, name in NAMES.items()}
STUBS = {n: (ROOT / "exercises" / "typescript" / "src" / name).read_bytes() for n, name in NAMES.items()}
TRACK = {"ada/submission.toml": b'track = "typescript"\n'}
PYTHON_STUBS = {name: PYTHON_HANDOUTS[n] for n, name in enumerate(laid_out("ada/exercises/"), start=1)}


def scripts(prefix: str = "", sources: dict[int, bytes] = ANSWERS) -> Files:
    """All four in one folder."""
    return {f"{prefix}{NAMES[n]}": source for n, source in sources.items()}


def project(prefix: str, sources: dict[int, bytes] = ANSWERS) -> Files:
    """The whole project of the exercises, as it is handed out."""
    folder = ROOT / "exercises" / "typescript"
    names = ["package.json", "tsconfig.json", *(f"src/{path.name}" for path in folder.glob("src/*.ts"))]
    return {f"{prefix}{name}": (folder / name).read_bytes() for name in names} | scripts(
        f"{prefix}src/", sources
    )


BUILT = {
    f"ada/dist/{name[:-3]}.{end}": b"export class PubSub {}"
    for name in NAMES.values()
    for end in ("js", "d.ts")
}
LAYOUTS: dict[str, Files] = {
    "the project": project("ada/"),
    "the project, built": project("ada/") | BUILT | {"ada/node_modules/x/pub-sub.ts": b"class PubSub {}"},
    "a repository": scripts("ada/src/")
    | {"ada/.git/config": b"", "ada/README.md": b"", "ada/src/util.ts": b""},
    "one folder": scripts("ada/"),
    "loose files": scripts("ada_"),
    "a zip": {"ada.zip": zipped(project("x/typescript/"))},
    "other names": {f"ada/{n}_final.ts": source for n, source in ANSWERS.items()},
    "a browser's numbers": {f"ada/{name[:-3]} (1).ts": ANSWERS[n] for n, name in NAMES.items()},
    "a hidden end": {f"ada/{name}.txt": ANSWERS[n] for n, name in NAMES.items()},
    "capitals": {f"ada/{name.title()}": ANSWERS[n] for n, name in NAMES.items()},
    "Moodle's files": scripts("Ada Lovelace_12_assignsubmission_file_"),
    "Canvas's files": {f"lovelaceada_12_34{n}_{name[:-3]}-2.ts": ANSWERS[n] for n, name in NAMES.items()},
    "two equal copies": scripts("ada/src/") | scripts("ada/copy/"),
    "an older one beside": scripts("ada/src/") | {"ada/old/store.ts": ANSWERS[4] + b"// older"},
    "stubs beside": scripts("ada/mine/") | scripts("ada/handout/", STUBS),
    "the whole kit": project("ada/exercises/typescript/")
    | PYTHON_STUBS
    | scripts("ada/solutions/typescript/")
    | {"ada/lab/pubsub.py": b"x", "ada/tests/wrong_code/store.ts": b"export class MessageStore {}"},
    "with both, and its track": scripts("ada/src/") | laid_out("ada/") | TRACK,
}
"""Each is one submission with four right answers in TypeScript."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_four_are_found(layout: str, tmp_path: Path) -> None:
    """The file that is judged is the one that was handed in, for each exercise."""
    write(tmp_path / "class", LAYOUTS[layout])
    given = only_submission(tmp_path)
    for exercise, source in ANSWERS.items():
        found = given.found(exercise)
        assert isinstance(found, Found), found
        assert (found.track, Path(found.files[exercise]).read_bytes()) == ("typescript", source)
        assert list(given.sources([exercise])) == [NAMES[exercise]]


BOTH = "were both changed, and one of them is to be judged"
UNCLEAR: dict[str, tuple[Files, str]] = {
    "both languages": (scripts("ada/src/") | laid_out("ada/"), BOTH),
    "two versions": (
        {"ada/a/pub-sub.ts": ANSWERS[1], "ada/b/pub-sub.ts": ANSWERS[1] + b"// mine"},
        "ada/a/pub-sub.ts, ada/b/pub-sub.ts",
    ),
    "only what was compiled": (BUILT, "there is no pub-sub.ts, but only ada/dist/pub-sub.js"),
    "compiled, elsewhere": (
        {"ada/a.js": b"export class PubSub {}", **scripts("ada/", {2: ANSWERS[2]})},
        "but only ada/a.js, which was compiled",
    ),
    "another class": (
        scripts("ada/", {2: ANSWERS[2]}) | {"ada/rooms.ts": b"export class Rooms {}"},
        "rooms.ts",
    ),
    "a strange track": ({"ada/submission.toml": b'track = "java"'}, "which is no track of the course"),
    "a misspelled track": (
        {"ada/submission.toml": b'track = "typscript"'},
        'did you mean track = "typescript"?',
    ),
    "a short track": ({"ada/submission.toml": b'track = "ts"'}, 'did you mean track = "typescript"?'),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_nobody_can_guess_is_open(case: str, tmp_path: Path) -> None:
    """Never a silent zero; in both languages there is a sentence that says what to do."""
    files, words = UNCLEAR[case]
    write(tmp_path / "class", files)
    problem = only_submission(tmp_path).found(1)
    assert isinstance(problem, Unclear), problem
    assert words in str(problem).replace(f"{tmp_path}/job/", "")
    assert "{" not in problem.said_in(texts("fr"))


def test_what_is_missing_was_not_handed_in(tmp_path: Path) -> None:
    """Where all that is there is accounted for, modules of the student's own and tests, too."""
    helpers = {
        "ada/src/queue.ts": b"export const x = 1;",
        "ada/src/store.test.ts": b"",
        "ada/x.config.js": b"",
    }
    sequencer = b'import { x } from "./queue.js";\n' + ANSWERS[2]
    write(tmp_path / "class", {"ada/src/sequencer.ts": sequencer, **helpers})
    given = only_submission(tmp_path)
    problem = given.found(1)
    assert isinstance(problem, BadTarget)
    assert not isinstance(problem, Unclear)
    assert "there is no pub-sub.ts in " in str(problem)
    assert isinstance(given.found(2), Found)


def test_the_changed_one_counts_in_each_exercise(tmp_path: Path) -> None:
    """The whole kit with one exercise in each language; what is untouched is of either, and not told."""
    files = project("ada/exercises/typescript/", {**STUBS, 2: ANSWERS[2]}) | PYTHON_STUBS
    write(tmp_path / "class", {**files, "ada/exercises/ex1_chat/pubsub.py": laid_out()["ex1_chat/pubsub.py"]})
    given = only_submission(tmp_path)
    tracks = {n: found.track for n in NAMES if isinstance(found := given.found(n), Found)}
    assert (tracks[1], tracks[2]) == ("python", "typescript")
    given.rules = replace(RULES, together=True)
    mixed = Submission(given.staged, given.rules, given.place, []).found(1)
    assert "others in TypeScript" in str(mixed)


def test_stubs_that_nobody_has_changed_are_found(tmp_path: Path) -> None:
    """In the language of the only ones that are there; of both, those in Python."""
    write(tmp_path / "class", project("ada/", STUBS))
    found = only_submission(tmp_path).found(3)
    assert isinstance(found, Found)
    assert found.track == "typescript"
    shutil.rmtree(tmp_path / "job")
    write(tmp_path / "class", PYTHON_STUBS)
    found = only_submission(tmp_path).found(3)
    assert isinstance(found, Found)
    assert found.track == "python"


def test_a_person_may_name_the_file(tmp_path: Path) -> None:
    """It stays where it is, with the modules beside it; and it says the language."""
    write(
        tmp_path / "class", scripts("ada/src/") | laid_out("ada/") | {"ada/b/mine.ts": ANSWERS[1] + b"// b"}
    )
    (hand_in,) = hand_ins_of(tmp_path / "class").hand_ins
    (tmp_path / "job").mkdir()
    mapped = {1: "b/mine.ts", 2: "ex2_ordering/sequencer.py"}
    given = Submission(stage(hand_in, tmp_path / "job", 0, mapped), RULES, tmp_path / "kits", [])
    found = given.found(1)
    assert isinstance(found, Found)
    assert found.files[1].endswith("/ada/b/mine.ts")
    found = given.found(2)
    assert isinstance(found, Found)
    assert found.track == "python"


def test_a_class_is_listed_by_its_students(tmp_path: Path) -> None:
    """By the names of files in either language; and the four files of one are no class."""
    write(
        tmp_path / "class", {"bob_pub-sub.ts": b"", "bob_store.ts": b"", "cyd.ts": b"", "eve_pubsub.py": b""}
    )
    listing = hand_ins_of(tmp_path / "class")
    assert [each.name for each in listing.hand_ins] == ["bob", "cyd", "eve"]


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    """The copy does not have it; where nothing is copied, that is told."""
    (tmp_path / "class" / "ada").mkdir(parents=True)
    (tmp_path / "class" / "ada" / "pub-sub.ts").symlink_to(ROOT / "solutions" / "typescript" / "pub-sub.ts")
    problem = only_submission(tmp_path).found(1)
    assert isinstance(problem, Unclear)
    assert "had to be left out" in str(problem)


def test_a_verdict_rests_on_his_modules_the_kit_and_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on other components; and where there is no Node any more, it still holds."""
    monkeypatch.setattr(typescript, "version", lambda: "20")
    write(tmp_path / "class", project("ada/"))
    given = only_submission(tmp_path)
    before = given.fingerprint(1)
    assert before.endswith("-node20")
    write(given.staged.folder, {"src/store.ts": b"export class MessageStore {}"})
    assert given.fingerprint(1) == before
    write(given.staged.folder, {"src/queue.ts": b"export const x = 1;"})
    changed = given.fingerprint(1)
    assert changed != before
    monkeypatch.setattr(typescript, "version", lambda: "22")
    assert not still_holds(changed, given.fingerprint(1))
    monkeypatch.setattr(typescript, "version", lambda: "")
    assert still_holds(changed, given.fingerprint(1))
    assert not still_holds(before, given.fingerprint(1))

"""Honest hand-ins in every form that portals and people give them: each is found, or somebody has to look."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.judged.problems import BadTarget, Unclear
from harness.judged.targets import Target
from harness.submissions.fingerprints import Rules
from harness.submissions.listing import hand_ins_of
from harness.submissions.paths import without_paths
from harness.submissions.staging import stage
from harness.submissions.submission import Submission
from harness.verdict.steps import COMPONENTS, EXERCISES
from tests.grading.classroom import ROOT

SOURCES = {
    number: (ROOT / "solutions" / slug / f"{COMPONENTS[number]}.py").read_bytes()
    for number, slug in EXERCISES.items()
}
HANDOUTS = {
    number: (ROOT / "exercises" / slug / f"{COMPONENTS[number]}.py").read_bytes()
    for number, slug in EXERCISES.items()
}
RULES = Rules(1, 1, False, 300.0)
Files = dict[str, bytes]


def laid_out(prefix: str = "") -> Files:
    """All four, as the handouts lie."""
    return {f"{prefix}{EXERCISES[n]}/{COMPONENTS[n]}.py": source for n, source in SOURCES.items()}


def zipped(files: Files) -> bytes:
    """An archive of these."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return data.getvalue()


def tarred(files: Files, mode: str = "w:gz") -> bytes:
    """The same by tar."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def backslashes(files: Files) -> Files:
    """Names as some programs on Windows write them."""
    return {name.replace("/", "\\"): content for name, content in files.items()}


EVERYTHING: dict[str, Files] = {
    "a folder": laid_out("ada/"),
    "a zip": {"ada.zip": zipped(laid_out())},
    "a zip with a folder": {"ada.zip": zipped(laid_out("project/final/"))},
    "a zip in a folder": {"ada/work.zip": zipped(laid_out())},
    "a zip in a zip": {"ada.zip": zipped({"inner.zip": zipped(laid_out("x/"))})},
    "a tar.gz": {"ada.tar.gz": tarred(laid_out())},
    "a tgz in a folder": {"ada/all.tgz": tarred(laid_out("a/b/"))},
    "a tar.bz2": {"ada.tar.bz2": tarred(laid_out(), "w:bz2")},
    "backslashes": {"ada.zip": zipped(backslashes(laid_out("project/")))},
    "a zip of macOS": {"ada.zip": zipped(laid_out("p/") | {"__MACOSX/p/._pubsub.py": b"\0"})},
    "short folders": {f"ada/ex{n}/{COMPONENTS[n]}.py": SOURCES[n] for n in SOURCES},
    "deep": laid_out("ada/one/two/three/"),
    "one folder": {f"ada/{COMPONENTS[n]}.py": SOURCES[n] for n in SOURCES},
    "loose files": {f"ada_{COMPONENTS[n]}.py": SOURCES[n] for n in SOURCES},
    "a browser's numbers": {f"ada/{COMPONENTS[n]} (1).py": SOURCES[n] for n in SOURCES},
    "other names": {f"ada/{n}_final.py": SOURCES[n] for n in SOURCES},
    "an underscore": {
        **laid_out("ada/"),
        "ada/ex1_chat/pub_sub.py": SOURCES[1],
        "ada/ex1_chat/pubsub.py": b"",
    },
    "capitals": {f"ada/Ex{n}/{COMPONENTS[n].title()}.PY": SOURCES[n] for n in SOURCES},
    "a hidden end": {f"ada/{COMPONENTS[n]}.py.txt": SOURCES[n] for n in SOURCES},
    "two equal copies": laid_out("ada/work/") | laid_out("ada/copy/"),
    "a folder and its zip": laid_out("ada/") | {"ada.zip": zipped(laid_out())},
    "handouts beside": {
        **{f"ada/mine/{COMPONENTS[n]}.py": SOURCES[n] for n in SOURCES},
        **{f"ada/handout/{COMPONENTS[n]}.py": HANDOUTS[n] for n in SOURCES},
    },
    "the whole kit": laid_out("ada/exercises/") | laid_out("ada/solutions/") | {"ada/lab/pubsub.py": b"x"},
    "a clone": laid_out("ada/") | {"ada/.git/config": b"", "ada/venv/x/pubsub.py": b"class PubSub: 1"},
    "Moodle's folder": laid_out("Ada Lovelace_12_assignsubmission_file_/"),
    "Moodle's zip": {"Ada Lovelace_12_assignsubmission_file_all.zip": zipped(laid_out())},
    "Moodle's files": {
        f"Ada Lovelace_12_assignsubmission_file_{COMPONENTS[n]}.py": SOURCES[n] for n in SOURCES
    },
    "Canvas's files": {f"lovelaceada_12_34{n}_{COMPONENTS[n]}-2.py": SOURCES[n] for n in SOURCES},
    "Canvas's late zip": {"lovelaceada_LATE_12_345_work.zip": zipped(laid_out())},
    "Gradescope's": laid_out("submission_7/"),
}  # fmt: skip
"""Each is one submission with four right answers."""


def write(folder: Path, files: Files) -> None:
    """Write files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def only_submission(tmp_path: Path) -> Submission:
    """The one submission of a class."""
    (hand_in,) = hand_ins_of(tmp_path / "class").hand_ins
    (tmp_path / "job").mkdir()
    return Submission(stage(hand_in, tmp_path / "job", 0, {}), RULES, tmp_path / "kits", [])


@pytest.mark.parametrize("layout", EVERYTHING)
def test_all_four_are_found(layout: str, tmp_path: Path) -> None:
    """The file that is judged is the one that was handed in, for each exercise."""
    write(tmp_path / "class", EVERYTHING[layout])
    given = only_submission(tmp_path)
    for exercise, source in SOURCES.items():
        target = given.target(exercise)
        assert isinstance(target, Target), target
        assert Path(target.uses[COMPONENTS[exercise]]).read_bytes() == source
        label = without_paths(target.label, given.staged, given.place)
        assert not label.startswith("/"), label


def _link(folder: Path) -> None:
    (folder / "ada").mkdir(parents=True)
    (folder / "ada" / "pubsub.py").symlink_to(ROOT / "solutions" / EXERCISES[1] / "pubsub.py")


ODD: dict[str, tuple[Files | Callable[[Path], None], str]] = {
    "two candidates": (
        {"ada/a/x.py": SOURCES[1], "ada/b/y.py": SOURCES[1] + b"\n# mine"},
        "x.py, ada/b/y.py",
    ),
    "a notebook": ({"ada/answers.ipynb": b"{}"}, "answers.ipynb"),
    "another class": ({"ada/rooms.py": b"class Rooms: pass"}, "rooms.py"),
    "an archive that cannot be unpacked": ({"ada/work.rar": b"Rar!"}, "there is only an archive"),
    "a damaged zip": ({"ada.zip": b"PK\x03\x04 nothing"}, "had to be left out"),
    "a link to the answers": (_link, "had to be left out"),
}
"""What cannot be judged before a person has looked: files, and words of the sentence that says so."""


@pytest.mark.parametrize("case", ODD)
def test_what_nobody_can_guess_is_open(case: str, tmp_path: Path) -> None:
    """Never a silent zero."""
    made, words = ODD[case]
    (tmp_path / "class").mkdir()
    if callable(made):
        made(tmp_path / "class")
    else:
        write(tmp_path / "class", made)
    problem = only_submission(tmp_path).target(1)
    assert isinstance(problem, Unclear), problem
    assert words in str(problem).replace(f"{tmp_path}/job/", "")


def test_nothing_is_no_points(tmp_path: Path) -> None:
    """Where all that is there is accounted for, what is missing was not handed in."""
    write(tmp_path / "class", {"ada/ex1_chat/pubsub.py": SOURCES[1], "ada/README.md": b"hello"})
    given = only_submission(tmp_path)
    assert isinstance(given.target(1), Target)
    problem = given.target(2)
    assert isinstance(problem, BadTarget)
    assert not isinstance(problem, Unclear)


def test_a_class_is_listed_by_its_students(tmp_path: Path) -> None:
    """What systems leave is nobody, a folder that begins with a dot is somebody, two namesakes are two."""
    folder = tmp_path / "class"
    write(
        folder,
        {
            "__MACOSX/x.py": b"",
            ".DS_Store": b"",
            "worksheet.csv": b"",
            ".ada/pubsub.py": b"",
            "bob_pubsub.py": b"",
            "bob_sequencer.py": b"",
            "Zoé Martin_1_assignsubmission_file_/pubsub.py": b"",
            "Zoé Martin_2_assignsubmission_file_pubsub.py": b"",
            "Émile_3_assignsubmission_onlinetext_/onlinetext.html": b"",
        },
    )
    (folder / "link").symlink_to("/")
    os.mkdir(os.fsencode(folder) + b"/\xe9mile")
    listing = hand_ins_of(folder)
    assert [each.name for each in listing.hand_ins] == [
        ".ada",
        "Zoé Martin_1",
        "Zoé Martin_2",
        "bob",
        "Émile",
        "\\xe9mile",
    ]
    assert [each.author.identifier for each in listing.hand_ins][1:3] == ["1", "2"]
    assert [each.params["name"] for each in listing.others] == ["link", "worksheet.csv"]


def test_gradescope_says_who_it_was(tmp_path: Path) -> None:
    """By its metadata, in the folder of its export; a name is no path."""
    export = tmp_path / "class" / "assignment_9_export"
    write(export, laid_out("submission_7/"))
    (export / "submission_metadata.yml").write_text(
        "---\nsubmission_7:\n  :submitters:\n  - :name: Ada ../Lovelace\n    :sid: '007'\n"
        "    :email: ada@example.org\n  :created_at: 2026-11-01 10:00:00.000000000 Z\n  :score: 0.0\n"
    )
    (hand_in,) = hand_ins_of(tmp_path / "class").hand_ins
    assert hand_in.name == "Ada .._Lovelace"
    assert (hand_in.author.identifier, hand_in.author.email) == ("007", "ada@example.org")
    assert hand_in.author.handed_in.startswith("2026-11-01")

"""What was handed in is found in folders as students, portals and archives leave them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from msgspec import Struct

from harness.judged import targets
from harness.judged.targets import BadTarget, Unclear, submission
from harness.texts import texts
from harness.verdict.steps import COMPONENTS, EXERCISES

FOUR = tuple(f"{slug}/{COMPONENTS[number]}.py" for number, slug in EXERCISES.items())
RUN = 'run = "python server.py"\n'


def below(folder: str, files: tuple[str, ...] = FOUR) -> tuple[str, ...]:
    """These files in a folder."""
    return tuple(f"{folder}/{file}" for file in files)


class Layout(Struct, frozen=True):
    """Files (one whose name ends in .toml starts a server) and links; what is found for exercise 1.

    That is the label, or words of the sentence that says why there is nothing to judge. `unclear` says that a
    person has to look.
    """

    files: tuple[str, ...]
    found: str
    links: tuple[tuple[str, str], ...] = ()
    unclear: bool = False


LAYOUTS = {
    "as documented": Layout(FOUR, "ada/ex1_chat/pubsub.py"),
    "one exercise": Layout(FOUR[:1], "ada/ex1_chat/pubsub.py"),
    "the whole kit": Layout(
        (*below("exercises"), *below("solutions"), "lab/pubsub.py"), "ada/exercises/ex1_chat/pubsub.py"
    ),
    "an archive's folders": Layout(
        below("chat-lab-main/chat-lab-main/exercises"),
        "ada/chat-lab-main/chat-lab-main/exercises/ex1_chat/pubsub.py",
    ),
    "called solutions": Layout(below("solutions"), "ada/solutions/ex1_chat/pubsub.py"),
    "the kit's solutions alone": Layout((*below("solutions"), "lab/pubsub.py"), "there is no ada/ex1_chat"),
    "a copy beside": Layout(
        (*below("exercises"), *below("exercises copy")),
        "are ada/exercises/ex1_chat/pubsub.py, ada/exercises copy/ex1_chat/pubsub.py",
        unclear=True,
    ),
    "a portal's numbers": Layout(
        ("ex1_chat/pubsub (1).py", *FOUR[1:]), "but ada/ex1_chat/pubsub (1).py", unclear=True
    ),
    "other capitals": Layout(("ex1_chat/PubSub.py",), "ada/ex1_chat/PubSub.py"),
    "all in one folder": Layout(("pubsub.py", "sequencer.py"), "ada/pubsub.py"),
    "short names": Layout(("ex1/pubsub.py", "ex2/sequencer.py"), "ada/ex1/pubsub.py"),
    "one short name": Layout(("Ex1_Chat/pubsub.py", *FOUR[1:]), "ada/Ex1_Chat/pubsub.py"),
    "in another exercise": Layout(("ex2_ordering/pubsub.py",), "ada/ex2_ordering/pubsub.py"),
    "twice": Layout(("a/pubsub.py", "b/pubsub.py"), "are ada/a/pubsub.py, ada/b/pubsub.py", unclear=True),
    "a virtual environment": Layout((*FOUR, *below(".venv/lib/exercises")), "ada/ex1_chat/pubsub.py"),
    "only in what tools installed": Layout(below("node_modules/exercises"), "there is no ada/ex1_chat"),
    "only in what a check wrote": Layout(below(".chatlab/exercises"), "there is no ada/ex1_chat"),
    "the kit's own component": Layout(("lab/pubsub.py",), "there is no ada/ex1_chat/pubsub.py"),
    "the kit without exercises": Layout(
        ("lab/pubsub.py", "notebooks/defects/pubsub.py", *below("solutions")), "there is no ada/ex1_chat"
    ),
    "an archive's shadow": Layout(("__MACOSX/pubsub.py", "._pubsub.py"), "there is no ada/ex1_chat"),
    "nothing": Layout((), "there is no ada/ex1_chat/pubsub.py"),
    "a whole server": Layout(("submission.toml",), "ada: python server.py"),
    "a whole server below": Layout(("app/submission.toml",), "ada/app: python server.py"),
    "a folder for submission.toml": Layout(("submission.toml/x",), "ada/submission.toml is no file"),
    "a dangling submission.toml": Layout((), "is a link to gone, which", (("submission.toml", "gone"),)),
    "a name in capitals": Layout(("Submission.toml",), "but ada/Submission.toml", unclear=True),
    "a hidden end": Layout(("submission.toml.txt",), "but ada/submission.toml.txt", unclear=True),
    "not unpacked": Layout(("handed in.zip",), "there is only an archive, ada/handed in.zip", unclear=True),
    "a link to itself": Layout(FOUR, "ada/ex1_chat/pubsub.py", (("again", "."),)),
    "a link to all": Layout((), "there is no ada/ex1_chat/pubsub.py", (("all", "/"), ("up", ".."))),
    "a link within": Layout(below("mine"), "ada/exercises/ex1_chat/pubsub.py", (("exercises", "mine"),)),
    "a link to another's": Layout(
        (), "a link that leads out of the folder, to ", (("pubsub.py", "../bob.py"),), unclear=True
    ),
    "another's folder": Layout((), "leads out of the folder", (("ex1_chat", "../bob"),), unclear=True),
    "a dangling link": Layout((), "is a link to gone.py, which", (("ex1_chat/pubsub.py", "gone.py"),)),
    "a folder for a file": Layout(("ex1_chat/pubsub.py/x.py",), "ada/ex1_chat/pubsub.py is no file"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The class's folder is the current one."""
    (tmp_path / "bob").mkdir()
    for file in ("bob.py", "bob/pubsub.py"):
        (tmp_path / file).write_text("")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_is_found_or_told(name: str) -> None:
    """The label tells which file is judged; else a sentence, in each language, tells what to do."""
    layout = LAYOUTS[name]
    ada = Path("ada")
    for file in layout.files:
        (ada / file).parent.mkdir(parents=True, exist_ok=True)
        (ada / file).write_text(RUN if "toml" in file else "")
    for link, leads in layout.links:
        (ada / link).parent.mkdir(parents=True, exist_ok=True)
        (ada / link).symlink_to(leads)
    ada.mkdir(exist_ok=True)
    if " " in layout.found.partition(": ")[0]:  # no path, but a sentence
        with pytest.raises(Unclear if layout.unclear else BadTarget) as caught:
            submission(ada, 1, together=False)
        assert layout.found in str(caught.value)
        assert isinstance(caught.value, Unclear) == layout.unclear
        assert "{" not in caught.value.said_in(texts("fr"))
        return
    target = submission(ada, 1, together=False)
    assert target.label == layout.found
    assert os.path.isabs(target.cwd)
    assert all(os.path.isabs(path) and os.path.isfile(path) for path in target.uses.values())


def test_pipes_and_large_files_are_not_read() -> None:
    """What is no file, and what is too large for one that somebody wrote, is told."""
    for name in ("pipe", "large"):
        Path(name, "ex1_chat").mkdir(parents=True)
    os.mkfifo("pipe/ex1_chat/pubsub.py")
    with open("large/ex1_chat/pubsub.py", "wb") as file:
        file.truncate(20 * 1024**3)
    with pytest.raises(BadTarget, match=r"pipe/ex1_chat/pubsub\.py is no file"):
        submission(Path("pipe"), 1, together=False)
    with pytest.raises(BadTarget, match="too large"):
        submission(Path("large"), 1, together=False)


def test_what_may_not_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handed in, or the student's own."""
    for folder in ("ada", "exercises"):
        Path(folder, "ex1_chat").mkdir(parents=True)
        Path(folder, FOUR[0]).write_text("")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(BadTarget, match=r"ada/ex1_chat/pubsub\.py cannot be read: Permission denied"):
        submission(Path("ada"), 1, together=False)
    with pytest.raises(BadTarget, match=r"exercises/ex1_chat/pubsub\.py cannot be read: Permission denied"):
        targets.choose(1)


def test_what_is_no_folder_is_told() -> None:
    """A file, and a folder that is not there."""
    Path("ada.zip").write_text("")
    with pytest.raises(BadTarget, match=r"ada\.zip is a file; name the folder"):
        submission(Path("ada.zip"), 1, together=False)
    with pytest.raises(BadTarget, match="there is no folder bob2"):
        submission(Path("bob2"), 1, together=False)


# --- the student's own ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inside", "label"),
    [
        (".", "exercises/ex1_chat/pubsub.py"),
        ("exercises", "ex1_chat/pubsub.py"),
        ("exercises/ex1_chat", "pubsub.py"),
        ("exercises/ex2_ordering", "ROOT/exercises/ex1_chat/pubsub.py"),
        ("exercises/ex1_chat/deep/down", "ROOT/exercises/ex1_chat/pubsub.py"),
        ("elsewhere/ex3_presence", "ROOT/elsewhere/ex1_chat/pubsub.py"),
    ],
)
def test_own_files_are_found_from_inside(
    inside: str, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the folder and those below it, whatever its name; the label is the path as seen from there."""
    for folder in ("exercises", "elsewhere"):
        for file in FOUR:
            Path(folder, file).parent.mkdir(parents=True, exist_ok=True)
            Path(folder, file).write_text("")
    Path(inside).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(inside)
    target = targets.choose(1)
    assert target.label == label.replace("ROOT", str(tmp_path))
    assert target.remarks == ()


def test_copies_of_the_installation_are_told(tmp_path: Path) -> None:
    """Where there are no files of the student's own, the stubs are judged, and the report says which."""
    target = targets.choose(1)
    assert target.label == str(targets.ROOT / "exercises/ex1_chat/pubsub.py")
    (remark,) = target.remarks
    assert remark.key == "installed_copy"
    assert remark.params == {"here": str(tmp_path), "path": str(targets.ROOT / "exercises")}


def test_a_server_in_a_python_file() -> None:
    """Each way of not being one has its sentence; one that is has the path as its label."""
    Path("server.py").write_text("")
    Path("server.js").write_text("")
    Path("folder.py").mkdir()
    os.mkfifo("pipe.py")
    target = targets.at_file(str(Path("server.py").absolute()))
    assert (target.label, target.command) == (
        "server.py",
        (sys.executable, str(Path("server.py").absolute())),
    )
    for name, words in (
        ("no.py", "there is no Python file no.py"),
        ("server.js", "server.js is no Python file"),
        ("folder.py", "folder.py is a folder"),
        ("pipe.py", "there is no Python file pipe.py"),
    ):
        with pytest.raises(BadTarget, match=words):
            targets.at_file(name)

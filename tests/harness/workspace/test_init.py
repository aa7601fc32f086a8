"""`chatlab init` lays out all that a student needs who has no clone, and touches nothing that is there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli
from harness.judged.handed_out import pristine
from harness.judged.targets import choose, own_file, own_folder, track_here
from harness.judged.tracks import PYTHON, TRACKS, TYPESCRIPT
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import EXERCISES
from harness.workspace import init
from harness.workspace.exercises import exercises, workspace

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command is given in an empty folder, and the environment asks for nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHATLAB_LANG", raising=False)
    monkeypatch.delenv("CHATLAB_TRACK", raising=False)


def chatlab(*words: str) -> Result:
    """Give a command."""
    return CliRunner().invoke(cli, words)


def all_files(folder: Path) -> dict[str, bytes]:
    """What is in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("track", TRACKS)
def test_the_stubs_of_the_track_are_laid_out(track: str) -> None:
    """These four as they were handed out, those of the other track not, and nothing that a tool has made."""
    assert chatlab("init", "--track", track).exit_code == 0
    there = all_files(Path("chat-lab"))
    (other,) = set(TRACKS) - {track}
    for number in EXERCISES:
        for place, text in pristine(number, track).items():
            assert there[f"exercises/{place.as_posix()}"].decode() == text
        assert not any(f"exercises/{place.as_posix()}" in there for place in pristine(number, other))
    assert {"README.md", ".gitignore", "lab/PROTOCOL.md", "lab/interfaces.py"} <= set(there)
    assert ("exercises/typescript/package-lock.json" in there) == (track == TYPESCRIPT)
    assert not any(re.search(r"node_modules|__pycache__|/dist/|/my_|solutions", name) for name in there)


@pytest.mark.parametrize("track", TRACKS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_link_leads_to_a_file_that_was_laid_out(track: str, language: str) -> None:
    """In all pages, to a file or folder there; and a link into a page to one of its headings."""
    chatlab("init", "here", "--track", track, "--lang", language)
    pages = list(Path("here").rglob("*.md"))
    assert len(pages) == 14
    for page in pages:
        for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
            there = page.parent / target if target else page
            assert there.exists(), f"{page}: {target}"
            if anchor:
                assert anchor[1:] in _anchors(there), f"{page}: {target}{anchor}"


def _anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_to_do_next_is_said(language: str) -> None:
    """Three commands, which exist, in the language asked for; the handout named is in it, and there."""
    said = chatlab("init", "my lab", "--lang", language).output
    commands = re.findall(r"^  (\S.*)$", said, re.MULTILINE)
    asked = ["--lang", "fr"] if language == "fr" else []
    assert [shlex.split(each) for each in commands] == [
        ["cd", "my lab"],
        ["chatlab", "watch", "1", *asked],
        ["chatlab", "hint", "1", *asked],
    ]
    page = "README.fr.md" if language == "fr" else "README.md"
    (handout,) = re.findall(r"\S+README\S*md", said)
    assert handout == f"exercises/ex1_chat/{page}"
    assert Path("my lab", handout).is_file()
    first = Path("my lab", "README.md").read_text(encoding="utf-8")
    assert f"(exercises/{page})" in first
    assert not re.search(r"@\w+@", first)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_commands_of_its_page_exist(language: str) -> None:
    """Each can be given as it stands there."""
    chatlab("init", "--lang", language)
    page = Path("chat-lab", "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^chatlab ([^\n#]+)", page, re.MULTILINE)
    assert len(commands) > 5
    for command in commands:
        name, *words = shlex.split(command)
        with cli.commands[name].make_context(name, words) as context:
            assert isinstance(context, click.Context)


def test_nothing_is_overwritten() -> None:
    """What is there stays, to the byte; what is lacking is added; and how many of each is said."""
    chatlab("init")
    stub = Path("chat-lab/exercises/ex1_chat/pubsub.py")
    stub.write_text("mine")
    Path("chat-lab/README.md").unlink()
    Path("chat-lab/README.md").symlink_to("nowhere")
    Path("chat-lab/lab/PROTOCOL.md").unlink()
    said = chatlab("init", "chat-lab").output
    assert said.startswith("1 new files are in chat-lab; 20 were there already, and stay as they were.")
    assert stub.read_text() == "mine"
    assert Path("chat-lab/README.md").is_symlink()
    assert not Path("chat-lab/nowhere").exists()
    assert Path("chat-lab/lab/PROTOCOL.md").is_file()
    before = all_files(Path("chat-lab"))
    assert chatlab("init").output.startswith("All 21 files are in chat-lab already; nothing was changed.")
    assert all_files(Path("chat-lab")) == before


def test_the_other_track_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder itself, without a `cd`; then a command has to say which track it is about."""
    chatlab("init")
    monkeypatch.chdir("chat-lab")
    said = chatlab("init", ".", "--track", "typescript").output
    assert re.findall(r"^  (\S.*)$", said, re.MULTILINE) == [
        "npm ci --prefix exercises/typescript",
        "chatlab watch 1 --track typescript",
        "chatlab hint 1 --track typescript",
    ]
    assert Path("exercises/typescript/src/pub-sub.ts").is_file()


def test_exercises_within_exercises_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else nobody would know which of them are judged; and a file is no folder."""
    chatlab("init")
    Path("file").write_text("")
    for place, folder in (("chat-lab", "chat-lab"), ("chat-lab/exercises", "."), (".", "chat-lab/lab")):
        with monkeypatch.context() as there:
            there.chdir(place)
            refused = chatlab("init", folder)
        assert refused.exit_code != 0
        assert "there are exercises already in" in refused.output
    refused = chatlab("init", "file")
    assert "file is a file; name a folder" in refused.output


def test_what_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and a file is there whole or not at all."""

    def full(content: bytes, target: Path) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.workspace.bundle._written", full)
    refused = chatlab("init")
    assert refused.exit_code != 0
    assert "chat-lab cannot be written: No space left on device." in refused.output


def test_a_missing_node_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are laid out nevertheless; and so if npm is missing beside Node."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    said = chatlab("init", "--track", "typescript")
    assert said.exit_code == 0
    assert "One thing is missing for TypeScript. There is no program `node`." in said.output
    monkeypatch.setattr("harness.typescript.tools._usable_node", lambda: ("node", "v24.0.0"))
    assert "There is no program `npm`" in init._lacking(TYPESCRIPT, texts("en"))
    assert init._lacking(PYTHON, texts("en")) == ""


# --- what is judged then ----------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [".", "exercises", "exercises/ex2_ordering", "lab"])
def test_the_folder_is_judged_from_anywhere_in_it(inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files in it, and the first line of a report says so."""
    chatlab("init")
    home = Path("chat-lab/exercises").absolute()
    monkeypatch.chdir(Path("chat-lab", inside))
    assert own_folder() == home
    assert own_file(2) == home / "ex2_ordering" / "sequencer.py"
    said = chatlab("check", "2", "--world", "sim", "--small") if inside == "lab" else None
    assert said is None or said.output.startswith(f"Judging the exercises in {home}\n")


def test_the_only_track_there_is_needs_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """TypeScript where there is nothing in Python; Python where there is both, or nothing."""
    assert track_here() == PYTHON
    chatlab("init", "--track", "typescript")
    monkeypatch.chdir("chat-lab/exercises")
    assert track_here() == TYPESCRIPT
    assert own_folder(TYPESCRIPT) == Path("typescript/src").absolute()
    assert own_file(1, TYPESCRIPT) == Path("typescript/src/pub-sub.ts").absolute()
    assert "publish" in chatlab("hint", "1").output
    chatlab("init", "..", "--track", "python")
    assert track_here() == PYTHON
    assert choose(1).label == "ex1_chat/pubsub.py"


def test_a_kit_has_the_same_exercises() -> None:
    """There is one way to lay them out: a kit that is handed out has both tracks of the same files."""
    both = exercises().files
    for track in TRACKS:
        own = {name: text for name, text in workspace(track, texts("en")).files.items() if name in both}
        assert own == {name: both[name] for name in own}
        assert len(own) > 10

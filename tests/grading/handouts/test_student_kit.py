"""A class gets a kit that works, and that has no answers in it."""

from __future__ import annotations

import ast
import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.grading.handouts import project, student_kit
from harness.grading.handouts.kit import COMMANDS_LEFT_OUT, without_commands
from harness.grading.handouts.wheels import students_project
from harness.judged.targets import ROOT
from harness.texts import LANGUAGES, texts
from harness.typescript.components import COMPONENTS as MODULES
from harness.typescript.stand_ins import PLACE, text_of_stand_in
from harness.verdict.steps import COMPONENTS, EXERCISES
from tests.extras import needs_node

KEPT = {
    *("init", "watch", "check", "hint", "quiz", "status", "reset", "replay"),
    *("serve", "cluster", "backup", "doctor", "load"),
}
"""The commands that students have."""


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kit, exported."""
    folder = tmp_path_factory.mktemp("exported") / "kit"
    ended = CliRunner().invoke(cli, ["export", "student-kit", str(folder)])
    assert ended.exit_code == 0, ended.output
    return folder


def chatlab(kit: Path, *arguments: str) -> tuple[int, str]:
    """Run a command of the exported kit, in its folder; returns its exit code and what it printed."""
    places = os.pathsep.join(map(str, (kit, kit / "harness" / "entry_points")))
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import chatlab_entry; chatlab_entry.main()", *arguments],
        cwd=kit,
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def modules(kit: Path) -> dict[str, Path]:
    """The modules of lab and harness in a kit, by their dotted names."""
    found = {}
    for path in (each for package in ("lab", "harness") for each in (kit / package).rglob("*.py")):
        parts = path.relative_to(kit).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def not_there(known: dict[str, Path]) -> list[str]:
    """What modules import of lab and harness that is not there: anywhere in them, late and for hints, too."""
    found = []
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            wanted = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                below = [f"{node.module}.{each.name}" for each in node.names]
                packages = [node.module for each in below if each not in known and not _defines(known, each)]
                wanted = [each for each in below if each in known] + packages
            ours = [each for each in wanted if each.partition(".")[0] in ("lab", "harness")]
            found += [f"{name}: {each}" for each in ours if each not in known]
    return found


def _defines(known: dict[str, Path], dotted: str) -> bool:
    """Whether a name is an attribute of a module that is there."""
    return dotted.rpartition(".")[0] in known


def test_nothing_that_is_imported_was_left_out(kit: Path) -> None:
    """Each import in any module there, at its top or within a function, finds its module; and this test
    notices one that does not.
    """
    known = modules(kit)
    assert len(known) > 100
    assert not_there(known) == []
    without = {name: path for name, path in known.items() if name != "harness.worlds.live"}
    assert "harness.running.play: harness.worlds.live" in not_there(without)


def test_there_are_no_answers(kit: Path) -> None:
    """No file has the text of a model answer or of the reference's component; and nothing is for teachers."""
    whole = "\n".join(path.read_text(encoding="utf-8") for path in kit.rglob("*") if path.is_file())
    for number, component in COMPONENTS.items():
        for answer in (
            ROOT / "solutions" / EXERCISES[number] / f"{component}.py",
            ROOT / f"lab/{component}.py",
        ):
            lines = {line.strip() for line in answer.read_text(encoding="utf-8").splitlines()}
            telling = [line for line in lines if len(line) > 40 and "self._" in line]
            assert not telling or not all(line in whole for line in telling), answer
        stub = f"exercises/{EXERCISES[number]}/{component}.py"
        assert (kit / stub).read_bytes() == (ROOT / stub).read_bytes()
    for left_out in ("solutions", "notebooks", "tests", ".ci", ".git", "harness/zoo", "harness/bench"):
        assert not (kit / left_out).exists()
    assert not (kit / "harness" / "grading").exists()


def test_the_reference_is_packed_and_the_same(kit: Path) -> None:
    """Each of its components is, unpacked, what it was; with --with-reference it can be read."""
    shown = student_kit.student_kit(texts(), with_reference=True, with_notebooks=True)
    for component in COMPONENTS.values():
        source = (ROOT / f"lab/{component}.py").read_bytes()
        packed = ast.parse((kit / f"lab/{component}.py").read_text(encoding="utf-8"))
        (text,) = [node.value.value for node in packed.body if isinstance(node, ast.Assign)]  # type: ignore[attr-defined]
        assert zlib.decompress(base64.b64decode(text)) == source
        assert shown.files[f"lab/{component}.py"] == source
    assert "notebooks/ex2_ordering.ipynb" in shown.files


def test_the_server_in_typescript_is_there_with_packed_answers(kit: Path) -> None:
    """The project as it is, and nothing that npm or the compiler has made; what stands in is the answer."""
    for path in (ROOT / "exercises" / "typescript" / "src").glob("*.ts"):
        assert (kit / path.relative_to(ROOT)).read_bytes() == path.read_bytes()
    for name in (".npmrc", ".oxlintrc.json", "package-lock.json", "tsconfig.json"):
        assert (kit / "exercises" / "typescript" / name).is_file()
    made = {path.name for path in kit.rglob("*") if path.is_dir()}
    assert made.isdisjoint({"node_modules", "dist"})
    shown = student_kit.student_kit(texts(), with_reference=True, with_notebooks=False)
    for component in MODULES.values():
        answer = ROOT / "solutions" / "typescript" / component.file
        place = kit / PLACE.relative_to(ROOT)
        assert text_of_stand_in(component.file, kit / "solutions", place) == answer.read_text()
        assert shown.files[f"{PLACE.relative_to(ROOT).as_posix()}/{component.file}"] == answer.read_bytes()


@pytest.mark.live
def test_typescript_is_judged_there(kit: Path, tmp_path: Path) -> None:
    """A student's component beside the packed ones; which file has changed is known there, too."""
    tools = needs_node()
    there = shutil.copytree(kit, tmp_path / "kit")
    (there / "exercises" / "typescript" / "node_modules").symlink_to(tools.packages.resolve())
    shutil.copy(ROOT / "solutions/typescript/pub-sub.ts", there / "exercises/typescript/src/pub-sub.ts")
    code, said = chatlab(there, "check", "1", "--submission", "exercises")
    assert (code, "[exercises/typescript/src/pub-sub.ts" in said) == (0, True), said


def test_commands_that_were_left_out_are_unknown(kit: Path) -> None:
    """The help lists the others; one that was left out is wrong usage, and no traceback."""
    code, said = chatlab(kit, "--help")
    assert code == 0
    assert set(re.findall(r"^  (\w+) ", said.partition("Do the exercises:")[2], re.MULTILINE)) == KEPT
    assert set(cli.commands) - KEPT == set(COMMANDS_LEFT_OUT), "a new command is kept or left out"
    code, said = chatlab(kit, COMMANDS_LEFT_OUT[-1])
    assert (code, "No such command" in said, "Traceback" in said) == (64, True, False)


def test_a_command_is_taken_out_of_the_list() -> None:
    """Its import and its name, and a section with nothing else; the rest of the module stays as it is."""
    parts = "PARTS = {'a': (zoo, click), 'b': (zoo,)}\nprint(1)\n"
    source = f"import click\nfrom harness.cli.zoo import zoo\n\n{parts}"
    left = "import click\n\nPARTS = {\n    'a': (click,),\n}\nprint(1)\n"
    assert without_commands(source, ("zoo",)) == left


def test_a_stub_fails_there_and_an_answer_passes(kit: Path, tmp_path: Path) -> None:
    """In the simulated world: the stub's first finding, and then the model answer's pass."""
    there = shutil.copytree(kit, tmp_path / "kit")
    code, said = chatlab(there, "check", "1", "--world", "sim", "--small")
    assert (code, "was not sent" in said) == (1, True), said
    shutil.copy(ROOT / "solutions/ex1_chat/pubsub.py", there / "exercises/ex1_chat/pubsub.py")
    code, said = chatlab(there, "check", "1", "--world", "sim", "--small")
    assert (code, "8 of 8 points" in said) == (0, True), said
    code, said = chatlab(there, "hint", "1")
    assert (code, "1." in said) == (0, True)


@pytest.mark.extra
def test_it_judges_live(kit: Path, tmp_path: Path) -> None:
    """Real servers, made of the packed components, answer the doctor and pass with a model answer."""
    there = shutil.copytree(kit, tmp_path / "kit")
    shutil.copy(ROOT / "solutions/ex1_chat/pubsub.py", there / "exercises/ex1_chat/pubsub.py")
    for command in (["check", "1"], ["doctor", "--reference"]):
        code, said = chatlab(there, *command)
        assert code == 0, said


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_page_is_right(kit: Path, language: str) -> None:
    """Each link names a file that is there, and each command is one that students have."""
    page = student_kit.page(language)
    for target in re.findall(r"\]\(([^)#:]+)\)", page):
        assert (kit / target).exists(), target
    commands = re.findall(r"^chatlab ([^\n#]+)", page, re.MULTILINE)
    assert len(commands) > 4
    for command in commands:
        name, *words = shlex.split(command)
        assert name in KEPT
        with cli.commands[name].make_context(name, words) as context:
            assert isinstance(context, click.Context)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_makefile_is_filled_in(language: str) -> None:
    """`make check` installs, judges, and says what comes next, in that language."""
    made = student_kit.student_kit(texts(language), with_reference=False, with_notebooks=False).files[
        "Makefile"
    ]
    text = made.decode()
    assert not re.search(r"@[a-z]+@", text)
    assert f"CHATLAB_LANG ?= {language}" in text
    assert texts(language).say("handout.make_works") in text


def test_it_can_be_installed(kit: Path) -> None:
    """Its pyproject.toml has the requirements of the kit, and the extras that students want, for all of its
    own packages.
    """
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    made = tomllib.loads((kit / "pyproject.toml").read_text(encoding="utf-8"))
    theirs = made["project"]
    for key in ("name", "version", "dependencies", "requires-python", "scripts", "entry-points"):
        assert theirs[key] == ours[key]
    assert {"pytest", "load", "cluster", "notebooks"} == set(theirs["optional-dependencies"])
    wheel = made["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert all((kit / each).is_dir() for each in (*wheel["packages"], *wheel["dev-mode-dirs"]))
    assert (kit / "constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()
    assert (kit / "LICENSE").is_file()


def test_an_installed_kit_knows_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a clone, its metadata says so; and the versions are those that are installed."""
    cloned = project.project()
    monkeypatch.setattr(project, "is_clone", lambda: False)
    installed = project.project()

    def names(needs: list[str]) -> set[str]:
        return set(map(project._name_in, needs))

    assert names(installed.needs) == names(cloned.needs)
    assert {extra: names(needs) for extra, needs in installed.extras.items()} == {
        extra: names(needs) for extra, needs in cloned.extras.items()
    }
    pinned = dict(line.split("==") for line in project.constraints().splitlines())
    assert names(cloned.needs) <= set(pinned)
    assert "markdown-it-py" in pinned, "what a requirement needs, too"


def test_changed_exercises_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has solved an exercise in the clone is warned; files that are never handed out do not count."""
    monkeypatch.setattr(student_kit, "ROOT", tmp_path)
    assert student_kit.changed_exercises() == []
    (tmp_path / "exercises/ex1_chat").mkdir(parents=True)
    stub = tmp_path / "exercises/ex1_chat/pubsub.py"
    stub.write_text("stub")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "stub"]):
        subprocess.run([*git, *words], check=True)
    assert student_kit.changed_exercises() == []
    stub.write_text("answer")
    (stub.parent / "my_pubsub.py").write_text("")
    (stub.parent / "notes.txt").write_text("")
    assert student_kit.changed_exercises() == ["exercises/ex1_chat/notes.txt", "exercises/ex1_chat/pubsub.py"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_wrong_is_wrong_usage(tmp_path: Path, language: str) -> None:
    """A folder that is taken, a hidden step that there is not: exit code 64, and a sentence."""
    (tmp_path / "mine").write_text("")
    for words, key in (
        (["student-kit", str(tmp_path)], "handout.not_empty"),
        (["gradescope", str(tmp_path / "new"), "--hidden", "9.9"], "handout.no_step"),
    ):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "harness.cli.main", "export", *words, "--lang", language],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
        )
        said = texts(language).say(key).partition("{")[0].strip()
        assert (done.returncode, "Traceback" in done.stderr) == (64, False)
        assert said in done.stderr, done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]


def test_the_hunt_stays_with_the_zoo() -> None:
    """It needs servers that are right, which are not handed out: no page sends anybody there."""
    kit = student_kit.student_kit(texts("fr"), with_reference=True, with_notebooks=False)
    for handed_out in (kit, students_project()):
        assert not any("hunt" in name for name in handed_out.files)
        for name, data in handed_out.files.items():
            if name.endswith(".md") or name == "harness/cli/main.py":
                assert b"hunt" not in data, name
    overview = kit.files["exercises/README.fr.md"].decode()
    assert "\n## Rendre votre travail\n" in overview
    assert "\n## Ce que signifie un verdict\n" in overview

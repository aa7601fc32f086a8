"""A wheel in an empty environment is all that a student needs: no command reads anything of a clone."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

from harness.grading.handouts.wheels import build
from harness.judged.targets import ROOT
from harness.verdict.steps import COMPONENTS, EXERCISES
from tests.extras import needs_node
from tests.rehearsal.installed import Installed, install

pytestmark = [pytest.mark.extra, pytest.mark.xdist_group("installed")]

SIM = ("--world", "sim", "--small")
OF_A_STUDENT: list[tuple[str, tuple[str, ...], int, str]] = [
    ("", ("--version",), 0, "+students"),
    ("", ("check", "1"), 64, "there are no exercises in HOME or above; lay them out by `chatlab init`"),
    ("", ("init",), 0, "  cd chat-lab\n  chatlab watch 1\n"),
    ("chat-lab", ("check", "3", *SIM), 1, "Judging the exercises in HOME/chat-lab/exercises\n"),
    ("chat-lab/exercises/ex2_ordering", ("hint", "2"), 0, "Hints for exercise 2"),
    ("chat-lab/lab", ("status",), 0, "3  Presence          0 of 10 points, judged"),
    ("chat-lab/exercises", ("reset", "3"), 0, "nothing was changed"),
    ("elsewhere", ("quiz", "2", "--lang", "fr", "--lint"), 0, "10 questions"),
    ("chat-lab/lab", ("check", "--solutions", "1"), 64, "installed without the model answers; --reference"),
    ("elsewhere", ("doctor", "--reference"), 0, "`join`"),
    ("elsewhere", ("check", "--reference", "2", *SIM), 0, "4 of 4 steps passed"),
    ("elsewhere", ("init", "in french", "--lang", "fr"), 0, "cd 'in french'"),
    ("elsewhere/in french", ("check", "3", *SIM, "--lang", "fr"), 1, "Évaluation des exercices de HOME"),
]
"""What a student types: the folder below home, the words after `chatlab`, the exit code, and what is said."""
OF_A_TEACHER: list[tuple[str, tuple[str, ...], int, str]] = [
    ("here", ("check", "--solutions", "1", *SIM), 0, "8 of 8 points"),
    ("here", ("zoo", "--list"), 0, "[step 1.1, no_start]"),
    ("here", ("zoo", "publish_loops_over_the_live_list"), 0, "wrong_delivery"),
    ("here", ("export", "student-kit", "kit"), 0, "files are in kit"),
    ("there", ("init", "mine"), 0, "chatlab watch 1"),
    ("there/mine", ("solution", "1", "--peek"), 0, "class PubSub"),
    ("there/mine", ("hunt", "1"), 0, "hunt/level1.py"),
    ("there/mine/hunt", ("hunt",), 0, "Next: chatlab hunt 1"),
]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The one with the model answers, and the one for students, built without a network."""
    # What somebody has tried out in the clone, as students and git leave it.
    folder = tmp_path_factory.mktemp("dist")
    mine = ROOT / "exercises" / "ex1_chat" / "my_wheel_test.py"
    mine.write_text("")
    try:
        with_answers, without = build(folder)
    finally:
        mine.unlink()
    return with_answers, without


@pytest.fixture(scope="module")
def student(wheels: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Who has installed the one without answers."""
    return install(wheels[1], tmp_path_factory.mktemp("student"))


def names(wheel: Path) -> list[str]:
    """The files in a wheel."""
    with ZipFile(wheel) as packed:
        return packed.namelist()


def test_the_wheels_hold_what_they_should(wheels: tuple[Path, Path]) -> None:
    """Exercises, handouts, the project in TypeScript; the answers in one only; no caches, nothing tried."""
    for wheel in wheels:
        there = set(names(wheel))
        for number, component in COMPONENTS.items():
            place = f"exercises/{EXERCISES[number]}"
            assert {f"{place}/{component}.py", f"{place}/README.md", f"{place}/README.fr.md"} <= there
        assert {"exercises/typescript/package-lock.json", "exercises/typescript/.npmrc"} <= there
        assert {"lab/PROTOCOL.md", "lab/web/index.html", "harness/texts/fr.toml"} <= there
        wrong = r"node_modules|__pycache__|\.pyc$|/my_|/dist/|\.venv|check\.svg|^tests/|^notebooks/"
        assert [each for each in there if re.search(wrong, each)] == []
    with_answers, without = wheels
    assert (with_answers.name, without.name) == tuple(
        f"chat_lab-{version}-py3-none-any.whl" for version in ("0.1.0", "0.1.0+students")
    )
    assert "solutions/ex1_chat/pubsub.py" in names(with_answers)
    assert not any(each.startswith(("solutions/", "harness/grading/")) for each in names(without))
    with ZipFile(without) as packed:
        whole = "".join(packed.read(each).decode() for each in packed.namelist() if "/zoo/" not in each)
    for number, component in COMPONENTS.items():
        answer = (ROOT / "solutions" / EXERCISES[number] / f"{component}.py").read_text(encoding="utf-8")
        longest = max(re.findall(r"^ +(\S.*self\._.*)$", answer, re.MULTILINE), key=len)
        assert longest not in whole


def test_what_a_student_types(student: Installed) -> None:
    """Each command finds what it reads, in whatever folder it is given."""
    _play(student, OF_A_STUDENT)


def test_what_a_teacher_types(wheels: tuple[Path, Path], tmp_path: Path) -> None:
    """The other wheel has the model answers, the zoo, and what is handed out."""
    _play(install(wheels[0], tmp_path), OF_A_TEACHER)


def _play(installed: Installed, commands: list[tuple[str, tuple[str, ...], int, str]]) -> None:
    for folder, words, code, wanted in commands:
        found, said = installed.run(folder, *words)
        assert found == code, f"chatlab {' '.join(words)}\n{said}"
        assert wanted.replace("HOME", str(installed.home)) in said, f"chatlab {' '.join(words)}\n{said}"
        assert "Traceback" not in said
        assert str(ROOT) not in said, "nothing of the clone is read"


def test_the_server_runs(student: Installed) -> None:
    """With a component of the student's own, until it is told to stop."""
    student.run("served", "init")
    folder = student.home / "served" / "chat-lab"
    words = ["serve", "--port", "0", "--use", "pubsub=exercises/ex1_chat/pubsub.py"]
    with subprocess.Popen(
        [str(student.command), *words], cwd=folder, env=student.environment, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            assert server.stdout.readline().startswith("listening on ws://127.0.0.1:")
        finally:
            server.send_signal(signal.SIGTERM)
    assert server.returncode == 0


def test_typescript_is_judged_beside_the_exercises(student: Installed) -> None:
    """First it is said what npm should do, and where; then a model answer passes, from below the folder."""
    tools = needs_node()
    student.run("ts", "init", ".", "--track", "typescript")
    project = student.home / "ts" / "exercises" / "typescript"
    code, said = student.run("ts", "check", "1")
    assert (code, f"Run `npm ci` once in {project}; in a clone" in said) == (64, True), said
    code, said = student.run("no exercises", "check", "--reference", "1", "--track", "typescript")
    assert (code, "`chatlab init --track typescript`" in said) == (64, True), said
    (project / "node_modules").symlink_to(tools.packages.resolve())
    shutil.copy(ROOT / "solutions/typescript/pub-sub.ts", project / "src" / "pub-sub.ts")
    code, said = student.run("ts/exercises/ex1_chat", "check", "1")
    assert (code, "8 of 8 points" in said) == (0, True), said
    assert said.startswith(f"Judging the exercises in {project / 'src'}\n")

"""Submissions that try for points without an answer, or to harm: each is written for one exercise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from harness.grading.kept_grades import kept_grades
from harness.grading.result import Grade
from harness.verdict.steps import COMPONENTS, EXERCISES
from tests.grading.classroom import ROOT

Author = Callable[[Path], None]

_STUB = (ROOT / "exercises" / "ex1_chat" / "pubsub.py").read_text(encoding="utf-8")


def _pubsub(before: str, after: str = "") -> Author:
    """The handout of the first exercise, with code before and after its class."""

    def write(folder: Path) -> None:
        (folder / EXERCISES[1]).mkdir(parents=True)
        (folder / EXERCISES[1] / "pubsub.py").write_text(f"{before}\n{_STUB}\n{after}\n", encoding="utf-8")

    return write


def _with_helper(helper: str, code: str) -> Author:
    def write(folder: Path) -> None:
        _pubsub("", code)(folder)
        (folder / EXERCISES[1] / "helper.py").write_text(helper, encoding="utf-8")

    return write


def _link(to: Callable[[Path], Path]) -> Author:
    def write(folder: Path) -> None:
        (folder / EXERCISES[1]).mkdir(parents=True)
        (folder / EXERCISES[1] / "pubsub.py").symlink_to(to(folder))

    return write


def _server(run: str) -> Author:
    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "submission.toml").write_text(f"run = {run!r}\n")

    return write


_FILES = f"""
import glob, os, sys
def _all(name):
    places = [{str(ROOT)!r}, *sys.path, os.getcwd(), os.path.dirname(os.path.dirname(__file__)), "/", "/root"]
    for place in places:
        for depth in ("", "*/", "*/*/", "*/*/*/"):
            yield from glob.glob(os.path.join(place, depth, name))
"""
_EXEC = """
import types
for _path in _all("{name}"):
    _source = open(_path).read()
    if "class PubSub" in _source and "pass\\n" not in _source and "handout" not in _source:
        _module = types.ModuleType("found")
        sys.modules["found"] = _module
        exec(_source, _module.__dict__)
        class PubSub(_module.PubSub):
            subscribe = _module.PubSub.subscribe
        break
else:
    raise RuntimeError("found nothing")
"""
_FORGE = """
import os, sys
_own = os.getpid()
def _forge():
    pid = os.getppid()
    for _ in range(6):
        for number in range(40):
            try:
                if "pipe" in os.readlink(f"/proc/{pid}/fd/{number}"):
                    with open(f"/proc/{pid}/fd/{number}", "wb") as file:
                        file.write(b'{"exercise": 1, "forged": true}')
            except OSError:
                pass
        try:
            pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
_forge()
"""
_EDIT_MARKS = """
import glob, json, os
for _place in ("/*/", "/*/*/", "/*/*/*/", "/*/*/*/*/", os.getcwd() + "/", os.getcwd() + "/../"):
    for _path in glob.glob(_place + "*-grades/*.json"):
        try:
            _text = open(_path).read().replace('"failed"', '"passed"').replace('"points": 0', '"points": 9')
            open(_path, "w").write(_text)
        except OSError:
            pass
"""
_EDIT_KIT = f"""
try:
    with open({str(ROOT / "harness" / "grading" / "kit_was_edited.py")!r}, "w") as _file:
        _file.write("# edited")
except OSError:
    pass
"""
_KILL = """
import os, signal
def _kill():
    pid, chain = os.getpid(), []
    while pid > 1 and len(chain) < 12:
        try:
            pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
        chain.append(pid)
    for pid in chain:
        try:
            words = open(f"/proc/{pid}/cmdline").read()
        except OSError:
            continue
        if "harness" in words or "chatlab" in words:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
_kill()
"""
_NO_MORE = "raise RuntimeError('that was all')"
"""So that nothing more is waited for."""
_TO_SOLUTIONS = "from solutions.ex1_chat import pubsub as right\n"
_NEW = """
import importlib
PubSub.__new__ = lambda cls: importlib.import_module("lab.pubsub").PubSub()
"""
_MODULES = """
import sys
_right = sys.modules["lab.pubsub"].PubSub
for _name in ("subscribe", "unsubscribe", "publish", "members", "rooms", "__init__"):
    setattr(PubSub, _name, getattr(_right, _name))
"""
_HELPER = """
class PubSub(helper.right.PubSub):
    pass
"""

DISHONEST: dict[str, Author] = {
    "runs-the-reference": _server("python -m lab"),
    "runs-it-by-a-shell": _server("sh -c 'exec python -m lab'"),
    "imports-the-answers": _with_helper(_TO_SOLUTIONS, "import helper\n" + _HELPER),
    "new-returns-reference": _pubsub("", _NEW),
    "takes-from-sys-modules": _pubsub("", _MODULES),
    "runs-the-answers-file": _pubsub(_FILES, _EXEC.format(name="solutions/ex1_chat/pubsub.py")),
    "runs-the-reference-file": _pubsub(_FILES, _EXEC.format(name="lab/pubsub.py")),
    "runs-a-neighbours-file": _pubsub(_FILES, _EXEC.format(name="honest/ex1_chat/pubsub.py")),
    "links-to-the-answers": _link(lambda folder: ROOT / "solutions" / "ex1_chat" / "pubsub.py"),
    "links-to-a-neighbour": _link(lambda folder: Path("../../honest/ex1_chat/pubsub.py")),
    "forges-a-verdict": _pubsub(_FORGE, _NO_MORE),
    "edits-marks": _pubsub(_EDIT_MARKS, _NO_MORE),
    "edits-the-kit": _pubsub(_EDIT_KIT, _NO_MORE),
    "kills-who-judges": _pubsub(_KILL, _NO_MORE),
}
"""By what they do. None has more than the handout's own points to earn."""


def graded(place: Path, code: int) -> dict[str, Grade]:
    """The grades of exercise 1 for the class in a folder, by the names of its submissions.

    It is graded in isolation, and ends with this exit code.
    """
    words = (sys.executable, "-P", "-m", "harness.cli.main", "grade", "class", "--exercises", "1")
    done = subprocess.run(
        [*words, "--isolation", "required"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return {grade.name: grade for grade in kept_grades(place / "class-grades").values()}


def make(folder: Path, names: list[str] | None = None) -> Path:
    """Write these (or all) into a class, beside one honest and right submission."""
    folder.mkdir(exist_ok=True)
    if not (folder / "honest").exists():
        shutil.copytree(ROOT / "solutions" / EXERCISES[1], folder / "honest" / EXERCISES[1])
    for name in names or DISHONEST:
        DISHONEST[name](folder / name)
    return folder


if __name__ == "__main__":
    make(Path(sys.argv[1]), sys.argv[2:] or None)
    print(os.listdir(sys.argv[1]), COMPONENTS[1])

"""What a user types to have something judged, and what must come out: situations as data.

The servers here print where they are and end, so that a play takes no time and shows that they were started.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import Struct

SAYS = "started in $(basename $(pwd))"
SCRIPT = f'#!/bin/sh\necho "{SAYS}"\nexit 3\n'
PYTHON = "import os\nprint('started in', os.path.basename(os.getcwd()))\nraise SystemExit(3)\n"
BROKEN = "raise OSError('mine was imported')\n"
STARTED = ("exited with code 3", "started in ada")


class Situation(Struct, frozen=True):
    """Files, the folder in which a command is typed, its exit code, and words that must come out.

    A file whose name ends in .sh may be executed.
    """

    command: str
    code: int
    words: tuple[str, ...]
    files: dict[str, str | bytes]
    inside: str = "."


def whole(toml: str | bytes, /, **more: str | bytes) -> dict[str, str | bytes]:
    """A whole server that was handed in; in the names of its files, two underscores are a dot."""
    files = {"submission.toml": toml, **{name.replace("__", "."): each for name, each in more.items()}}
    return {f"handed-in/ada/{name}": content for name, content in files.items()}


RUN_SH = 'run = "./run.sh"\n'
CHECK = "chatlab check 1 --submission handed-in/ada"
SITUATIONS = {
    "a relative program": Situation(
        CHECK, 1, (*STARTED, "[handed-in/ada: ./run.sh, "), whole(RUN_SH, run__sh=SCRIPT)
    ),
    "from inside": Situation(
        "chatlab check 1 --submission .",
        1,
        (*STARTED, "[.: ./run.sh, "),
        whole(RUN_SH, run__sh=SCRIPT),
        "handed-in/ada",
    ),
    "from beside": Situation(
        "chatlab check 1 --submission ../ada",
        1,
        STARTED,
        {**whole(RUN_SH, run__sh=SCRIPT), "handed-in/bob/x": ""},
        "handed-in/bob",
    ),
    "a class": Situation(
        "chatlab grade handed-in --exercises 1",
        0,
        ("ada: failed, 0 of 10 points", *STARTED),
        whole(RUN_SH, run__sh=SCRIPT),
    ),
    "under pytest": Situation(
        "pytest -p no:cacheprovider -p no:locust --lab-submission=handed-in/ada -k 1.1",
        1,
        STARTED,
        whole(RUN_SH, run__sh=SCRIPT),
    ),
    "a byte order mark": Situation(
        CHECK, 1, STARTED, whole(b"\xef\xbb\xbf" + RUN_SH.encode(), run__sh=SCRIPT)
    ),
    "a list, and more": Situation(
        CHECK,
        1,
        (*STARTED, " s]\n  handed-in/ada/submission.toml also has `build`"),
        whole('build = "make"\nrun = ["./run.sh"]', run__sh=SCRIPT),
    ),
    "in latin-1": Situation(CHECK, 64, ("line 1 was saved in another encoding",), whole(b'run = "./\xe9"')),
    "in latin-1, of a class": Situation(
        "chatlab grade handed-in --exercises 1",
        0,
        ("Nothing to judge, so no points: ada/submission.toml is not UTF-8",),
        whole(b'run = "./\xe9"'),
    ),
    "for a shell": Situation(
        CHECK,
        64,
        ("only a shell understands `cd`", "write sh -c 'cd app && ./run'"),
        whole('run = "cd app && ./run"'),
    ),
    "for a shell, in French": Situation(
        f"{CHECK} --lang fr", 64, ("seul un shell comprend `cd`",), whole('run = "cd app && ./run"')
    ),
    "Windows line ends": Situation(
        CHECK,
        1,
        ("./run.sh has the line ends of Windows",),
        whole(RUN_SH, run__sh=SCRIPT.replace("\n", "\r\n")),
    ),
    "Windows line ends below": Situation(
        CHECK,
        1,
        ("exited with code", "Its script ./run.sh has the line ends of"),
        whole(RUN_SH, run__sh=b"#!/bin/sh \nexec python3 server.py\r\n"),
    ),
    "not executable": Situation(CHECK, 1, ("`chmod +x ./run`",), whole('run = "./run"', run="echo")),
    "not executable, in French": Situation(
        f"{CHECK} --lang fr",
        1,
        ("ne peut pas être exécuté", "`chmod +x ./run`"),
        whole('run = "./run"', run="echo"),
    ),
    "no #!": Situation(CHECK, 1, ("./run.sh does not say what runs it",), whole(RUN_SH, run__sh="exit 3\n")),
    "a program that is not there": Situation(
        "chatlab check 1 --server ./server", 1, ("There is no file ./server.",), {"x": ""}
    ),
    "a server that is not there": Situation(
        "chatlab check 1 --world sim --server 'python server.py'",
        1,
        ("There is no file server.py.",),
        {"x": ""},
    ),
    "doctor": Situation(
        "chatlab doctor --server ./server",
        1,
        ("There is no file ./server; there is `server.py`.",),
        {"server.py": ""},
    ),
    "a module": Situation(
        "chatlab check 1 --server-module ../ada/server.py",
        1,
        ("exited with code 3", "started in bob"),
        {"ada/server.py": PYTHON, "bob/x": ""},
        "bob",
    ),
    "own files from inside": Situation(
        "chatlab check 1",
        1,
        ("mine was imported", "[pubsub.py, "),
        {"exercises/ex1_chat/pubsub.py": BROKEN},
        "exercises/ex1_chat",
    ),
    "own files by another name": Situation(
        "chatlab check 1",
        1,
        ("mine was imported", "[ex1_chat/pubsub.py, "),
        {"work/ex1_chat/pubsub.py": BROKEN},
        "work",
    ),
    "a folder of another name": Situation(
        CHECK,
        1,
        ("mine was imported", "[handed-in/ada/EX 1/pubsub.py, "),
        {"handed-in/ada/EX 1/pubsub.py": BROKEN},
    ),
    "two of them": Situation(
        CHECK,
        64,
        ("there are handed-in/ada/a/pubsub.py, handed-in/ada/b/pubsub.py",),
        {"handed-in/ada/a/pubsub.py": "", "handed-in/ada/b/pubsub.py": ""},
    ),
    "two of them in a class": Situation(
        "chatlab grade handed-in --exercises 1",
        2,
        (
            "ada: inconclusive, 0 of 8 points, ",
            " s, No verdict yet, since somebody has to look at what was handed in",
        ),
        {"handed-in/ada/a/pubsub.py": "", "handed-in/ada/b/pubsub.py": "", "handed-in/__MACOSX/x": ""},
    ),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_typed_comes_out(name: str, tmp_path: Path) -> None:
    """The exit code and the words, in what is printed and in the files that are written; and no traceback."""
    situation = SITUATIONS[name]
    for file, content in situation.files.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if file.endswith(".sh"):
            path.chmod(0o755)
    folder = tmp_path / situation.inside
    written = typed(situation.command, folder, situation.code)
    for path in folder.glob("handed-in-grades/*.*"):
        written += path.read_text()
    assert "Traceback" not in written
    for words in situation.words:
        assert words in written, written


def typed(command: str, folder: Path, code: int) -> str:
    """What is printed when a command is typed in a folder."""
    program, _, rest = command.partition(" ")
    module = {"chatlab": "harness.cli.main", "pytest": "pytest"}[program]
    done = subprocess.run(
        f"{sys.executable} -P -m {module} {rest}",
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr

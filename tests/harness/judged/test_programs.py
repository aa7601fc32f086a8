"""What a command starts, and the sentence for each way in which it cannot be started."""

from __future__ import annotations

import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import Struct

from harness.judged.problems import CommandNotFound
from harness.judged.programs import not_started, program_of, windows_script
from harness.texts import texts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="files of Unix")


def elf(machine: int, loader: bytes = b"") -> bytes:
    """The beginning of a program for Linux on this processor, with the loader that it asks for."""
    head = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 120, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    interpreter = (
        struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(loader), len(loader), 1) if loader else bytes(56)
    )
    return head + interpreter + loader


HOST = {"x86_64": 62, "aarch64": 183}.get(platform.machine(), 0)
OTHER = 183 if HOST == 62 else 62


class Case(Struct, frozen=True):
    """A file, the command, and words of the sentence that says why it does not start; "" if it does."""

    content: bytes
    words: str
    command: str = "./run.sh"
    mode: int = 0o755


CASES = {
    "a script": Case(b"#!/bin/sh\nexit 0\n", ""),
    "in the folder, without ./": Case(b"#!/bin/sh\nexit 0\n", "", "run.sh"),
    "in a folder below": Case(b"#!/bin/sh\nexit 0\n", "", "bin/run.sh"),
    "a space after #!": Case(b"#! /bin/sh -e\nexit 0\n", ""),
    "env with an option": Case(b"#!/usr/bin/env -S sh -e\nexit 0\n", ""),
    "in PATH": Case(b"", "", "sh"),
    "not in PATH": Case(b"", "There is no program `nodee`.", "nodee"),
    "not there": Case(b"", "There is no file ./server.", "./server"),
    "misspelled": Case(b"", "There is no file ./Run.sh; there is `run.sh`.", "./Run.sh"),
    "no such folder": Case(b"", "There is no file ./target/release/server.", "./target/release/server"),
    "a file for a folder": Case(b"x", "There is no file ./run.sh/server.", "./run.sh/server"),
    "a folder": Case(b"", "./bin is a folder", "./bin"),
    "a pipe": Case(b"", "./pipe is a pipe or a device", "./pipe"),
    "a dangling link": Case(b"", "./dangling is a link to nowhere, which is not there", "./dangling"),
    "links in a circle": Case(b"", "The system does not start ./circle", "./circle"),
    "not executable": Case(b"#!/bin/sh\n", "`chmod +x ./run.sh`; or write `sh ./run.sh`", mode=0o644),
    "Python, not executable": Case(
        b"#!/usr/bin/env python3\n", "or write `python3 ./run.sh`", mode=0o644
    ),
    "a binary, not executable": Case(elf(HOST), "`chmod +x bin/server`.", "bin/server", mode=0o644),
    "Windows line ends": Case(b"#!/bin/sh\r\nexit 0\r\n", "./run.sh has the line ends of Windows"),
    "Windows line ends after env": Case(b"#!/usr/bin/env sh\r\n", "./run.sh has the line ends of Windows"),
    "line ends of an old Mac": Case(b"#!/bin/sh\rexit 0\r", "./run.sh has the line ends of Windows"),
    "a byte order mark": Case(b"\xef\xbb\xbf#!/bin/sh\nexit 0\n", "begins with a byte order mark"),
    "UTF-16": Case("#!/bin/sh\nexit 0\n".encode("utf-16"), "saved as UTF-16"),
    "empty": Case(b"", "./run.sh is empty"),
    "no #!": Case(b"exit 0\n", "Begin it with `#!/usr/bin/env sh`, or write `sh ./run.sh`"),
    "Python, no #!": Case(b"pass\n", "or write `python3 bin/server.py`", "bin/server.py"),
    "no interpreter": Case(b"#!/opt/node/bin/node\n", "to be run by `/opt/node/bin/node`"),
    "no interpreter for env": Case(b"#!/usr/bin/env nodee\n", "to be run by `nodee`"),
    "no path to the interpreter": Case(b"#!python3\n", "to be run by `python3`"),
    "for another processor": Case(elf(OTHER), "./run.sh was built for Linux"),
    "for Windows": Case(b"MZ\x90\0", "./run.sh was built for Windows"),
    "for macOS": Case(b"\xcf\xfa\xed\xfe\x07\0\0\x01", "./run.sh was built for macOS"),
    "of another distribution": Case(
        elf(HOST, b"/lib/ld-of-elsewhere.so.1\0"), "the system library loader `/lib/ld-of-elsewhere.so.1`"
    ),
    "an archive of Java": Case(b"PK\x03\x04\x14\0", "`java -jar ./run.sh`"),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with what is no file."""
    (tmp_path / "bin").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    return tmp_path


def why_not(command: list[str], cwd: Path) -> CommandNotFound | None:
    """Why the system cannot start a command; None if it can."""
    try:
        program = program_of(command, cwd, os.environ["PATH"])
    except CommandNotFound as problem:
        return problem
    assert os.path.isabs(program)
    try:
        subprocess.run([program, *command[1:]], cwd=cwd, stdin=subprocess.DEVNULL, timeout=20, check=True)
    except OSError as error:
        return not_started(command, program, error)
    return None


@pytest.mark.parametrize("name", CASES)
def test_what_does_not_start_says_why(name: str, folder: Path) -> None:
    """Each way has a sentence of its own, in each language; what can be started is."""
    case = CASES[name]
    files = [folder / "run.sh", *(folder / "bin" / each for each in ("run.sh", "server", "server.py"))]
    for file in files:
        file.write_bytes(case.content)
        file.chmod(case.mode)
    problem = why_not([case.command], folder)
    assert (problem is None) == (case.words == ""), problem
    if problem is not None:
        assert case.words in str(problem)
        assert problem.said_in(texts("fr")) != str(problem)
        assert "{" not in problem.said_in(texts("fr"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems split the line")
def test_env_takes_several_words_for_one(folder: Path) -> None:
    """A first line that works elsewhere is told with what to write instead."""
    (folder / "run.sh").write_text("#!/usr/bin/env node --no-warnings\n")
    (folder / "run.sh").chmod(0o755)
    assert "`#!/usr/bin/env -S node --no-warnings`" in str(why_not(["./run.sh"], folder))


def test_the_folder_may_be_relative(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is absolute all the same, and so is one in a relative place of PATH; links stay links."""
    for file in (folder / "run.sh", folder / "bin" / "tool"):
        file.write_text("#!/bin/sh\n")
        file.chmod(0o755)
    (folder / "bin" / "link").symlink_to("tool")
    monkeypatch.chdir(folder.parent)
    assert program_of(["./run.sh"], folder.name, None) == str(folder / "run.sh")
    assert program_of(["tool"], folder.name, "bin") == str(folder / "bin" / "tool")
    assert program_of(["link"], folder.name, "bin") == str(folder / "bin" / "link")


def test_a_place_where_nothing_may_be_executed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As /tmp is on some machines: the file's permissions are not the reason."""
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(CommandNotFound, match="mounted with `noexec`"):
        program_of(["./run.sh"], folder, None)


def test_a_program_may_have_another_name_here(folder: Path) -> None:
    """As Python has on Debian and on Windows."""
    (folder / "bin" / "python3").write_text("#!/bin/sh\n")
    (folder / "bin" / "python3").chmod(0o755)
    for name in ("python", "py", "python.exe"):
        with pytest.raises(CommandNotFound, match="there is `python3`"):
            program_of([name, "server.py"], folder, "bin")


def test_windows_line_ends_in_a_script_are_noticed(folder: Path) -> None:
    """In what a shell runs, whichever word of the command it is; Python does not mind them."""
    (folder / "run.sh").write_bytes(b"#!/bin/sh \nexec python3 server.py\r\n")
    (folder / "right.sh").write_bytes(b"#!/bin/sh\nexit 0\n")
    (folder / "server.py").write_bytes(b"#!/usr/bin/env python3\r\npass\r\n")
    assert windows_script(["./run.sh"], folder) == "./run.sh"
    assert windows_script(["sh", "run.sh"], folder) == "run.sh"
    for command in (["./right.sh"], ["python3", "server.py"], ["./pipe"], ["x" * 5000], ["sh", "-c", "\r\n"]):
        assert windows_script(command, folder) is None

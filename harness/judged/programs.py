"""The program that a command starts; and each way in which it cannot be started, as a sentence of its own."""

from __future__ import annotations

import difflib
import errno
import os
import platform
import shutil
import stat
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from harness.judged.problems import CommandNotFound

_HARMLESS = ("-P", "-u", "-B", "-I", "-s", "-E")
"""Options of Python that change nothing about what a program does."""
_HEAD = 4096
"""Bytes of a program that are looked at."""
_MARK = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which some editors write before the first character."""
_MACHINES = {3: "x86", 40: "ARM", 62: "x86-64", 183: "ARM64", 243: "RISC-V"}
"""Processors, by their numbers in ELF, the format of Linux."""
_HOSTS = {"amd64": "x86-64", "x86_64": "x86-64", "aarch64": "ARM64", "arm64": "ARM64", "riscv64": "RISC-V"}
_MACH_O = tuple(bytes.fromhex(magic) for magic in ("feedface", "feedfacf", "cefaedfe", "cffaedfe"))
_SAME = (("python3", "python", "py"), ("node", "nodejs"))
"""Names that one program has on different systems."""
_SHELLS = ("sh", "bash", "dash", "zsh")
_BY_SUFFIX = {".py": "python3", ".js": "node", ".mjs": "node", ".rb": "ruby", ".php": "php", ".sh": "sh"}


def program_of(command: Sequence[str], cwd: str | Path, path: str | None) -> str:
    """The absolute path of the program that a command starts in a folder; `path` is its variable PATH.

    A name without a slash is looked for in PATH, then in the folder. Links are left as they are: the Python
    of a virtual environment is one. Raises CommandNotFound for what cannot be started; what only the system
    can tell, `not_started` explains.
    """
    name, here = command[0], Path(cwd).absolute()
    places = os.pathsep.join(str(here / place) for place in (path or os.defpath).split(os.pathsep))
    is_bare = not os.path.dirname(name)
    found = shutil.which(name, path=places) if is_bare else None
    if found is None:
        if is_bare and not os.path.lexists(here / name):
            raise _unknown(name, places)
        found = _executable(name, here)
    if sys.platform != "win32":
        _check_script(found, name, places)
    return found


def not_started(command: Sequence[str], program: str, error: OSError) -> CommandNotFound:
    """Why the system did not start the program of a command, as a problem to raise."""
    name, head = command[0], _head_of(program)
    if error.errno == errno.ENOENT and (loader := _loader(head)):
        return CommandNotFound("program.no_loader", program=name, loader=loader)
    if error.errno not in (errno.ENOEXEC, getattr(errno, "EBADARCH", 86)):
        return CommandNotFound("program.refused", program=name, reason=error.strerror)
    if not head:
        return CommandNotFound("program.empty", program=name)
    if head.startswith(_MARK):
        return CommandNotFound("program.byte_order_mark", program=name)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return CommandNotFound("program.utf16", program=name)
    built = _built_for(head)
    if built and built != _host():
        return CommandNotFound("program.built_for_another", program=name, built=built, host=_host())
    if built or b"\0" in head:
        return CommandNotFound("program.unknown_format", program=name)
    return CommandNotFound("program.no_hashbang", program=name, interpreter=_interpreter(head, name) or "sh")


def python_program(command: Sequence[str]) -> list[str] | None:
    """The module (after `-m`) or file that a command runs in Python, and its arguments; else None.

    Only such programs can be played in the simulated world.
    """
    if command[0] != sys.executable and not Path(command[0]).name.startswith("python"):
        return None
    words = list(command[1:])
    while words and words[0] in _HARMLESS:
        del words[0]
    if not words or (words[0] != "-m" and words[0].startswith("-")) or words == ["-m"]:
        return None
    return words


def windows_script(command: Sequence[str], cwd: str | Path) -> str | None:
    """The first word of a command that is a shell's script whose lines end as on Windows: a shell takes their
    last character for a part of the last word.
    """
    for word in command:
        head = _head_of(str(Path(cwd) / word))
        if b"\r\n" in head and b"\0" not in head and _interpreter(head, word) in _SHELLS:
            return word
    return None


# --- a file -----------------------------------------------------------------------------------------


def _executable(name: str, here: Path) -> str:
    """The file of this name in a folder, if it may be executed. Raises CommandNotFound."""
    path = str(here / name)
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise _not_there(name, Path(path), error) from error
    if stat.S_ISDIR(mode):
        raise CommandNotFound("program.folder", program=name)
    if not stat.S_ISREG(mode):
        raise CommandNotFound("program.no_file", program=name)
    if sys.platform != "win32" and not os.access(path, os.X_OK):
        interpreter = _interpreter(_head_of(path), name)
        if mode & 0o111:
            raise CommandNotFound("program.not_allowed", program=name)
        if interpreter is None:
            raise CommandNotFound("program.not_executable", program=name)
        raise CommandNotFound("program.script_not_executable", program=name, interpreter=interpreter)
    return path


def _unknown(name: str, places: str) -> CommandNotFound:
    """A name that is not in PATH; if the same program is there by another one, that is told."""
    alike = next((names for names in _SAME if name.lower().removesuffix(".exe") in names), ())
    others = [other for other in alike if other != name and shutil.which(other, path=places)]
    if others:
        return CommandNotFound("program.other_name", program=name, other=others[0])
    return CommandNotFound("program.unknown", program=name)


def _not_there(name: str, path: Path, error: OSError) -> CommandNotFound:
    if os.path.islink(path) and error.errno == errno.ENOENT:
        return CommandNotFound("program.dangling", program=name, leads=os.readlink(path))
    if error.errno not in (errno.ENOENT, errno.ENOTDIR):
        return CommandNotFound("program.refused", program=name, reason=error.strerror)
    near = _near(path)
    if near:
        return CommandNotFound("program.near", program=name, near=near)
    return CommandNotFound("program.missing", program=name)


def _near(path: Path) -> str | None:
    """The file beside a place where there is none whose name is most like it."""
    try:
        there = sorted(name for name in os.listdir(path.parent) if os.path.isfile(path.parent / name))
    except OSError:
        return None
    by_case = {each.casefold(): each for each in there}
    close = difflib.get_close_matches(path.name.casefold(), list(by_case), n=1, cutoff=0.7)
    return by_case[close[0]] if close else None


def _head_of(path: str) -> bytes:
    """The first bytes of a file; none of what is no file or cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with open(path, "rb") as file:
            return file.read(_HEAD)
    except (OSError, ValueError):
        return b""


# --- scripts ----------------------------------------------------------------------------------------


class _FirstLine(Struct, frozen=True):
    """The first line of a script: `#!`, an interpreter, and one argument."""

    interpreter: str
    argument: str
    ends_as_on_windows: bool


def _first_line(head: bytes) -> _FirstLine | None:
    if not head.startswith(b"#!"):
        return None
    line = head[2:].partition(b"\n")[0].decode("utf-8", "replace")
    interpreter, _, argument = line.partition("\r")[0].strip().partition(" ")
    return _FirstLine(interpreter, argument.strip(), "\r" in line)


def _interpreter(head: bytes, name: str) -> str | None:
    """What runs a script, by its first line or else its name; None if it is no script."""
    line = _first_line(head)
    if line is None or not line.interpreter:
        return _BY_SUFFIX.get(Path(name).suffix.lower())
    words = [line.interpreter, *line.argument.split()]
    if Path(words[0]).name == "env":
        words = [word for word in words[1:] if not word.startswith("-") and "=" not in word] or words
    return Path(words[0]).name


def _check_script(path: str, name: str, places: str) -> None:
    """Raise CommandNotFound for a script whose first line names nothing that can run it."""
    line = _first_line(_head_of(path))
    if line is None or not line.interpreter:
        return
    if line.ends_as_on_windows:
        raise CommandNotFound("program.windows_line_ends", program=name)
    if not os.path.isfile(line.interpreter):
        raise CommandNotFound("program.no_interpreter", program=name, interpreter=line.interpreter)
    if Path(line.interpreter).name != "env":
        return
    wanted = line.argument
    if wanted.startswith("-") or not wanted:
        return
    if " " in wanted and sys.platform == "linux":  # which hands it on as one word
        raise CommandNotFound("program.env_of_one_word", program=name, argument=wanted)
    if shutil.which(wanted, path=places) is None:
        raise CommandNotFound("program.no_interpreter", program=name, interpreter=wanted)


# --- binaries ---------------------------------------------------------------------------------------


def _host() -> str:
    machine = platform.machine().lower()
    return f"{platform.system().replace('Darwin', 'macOS')} {_HOSTS.get(machine, machine)}"


def _built_for(head: bytes) -> str | None:
    """The system and processor that a binary was built for; None if it is none."""
    if head.startswith(b"\x7fELF") and len(head) >= 20:
        number = int.from_bytes(head[18:20], "big" if head[5] == 2 else "little")
        return f"Linux {_MACHINES.get(number, number)}"
    if head.startswith(_MACH_O):
        return "macOS"
    return "Windows" if head.startswith(b"MZ") else None


def _loader(head: bytes) -> str | None:
    """The program that loads an ELF binary's libraries, which differs between distributions."""
    if not head.startswith(b"\x7fELF\x02\x01") or len(head) < 64:
        return None
    (start,), (size, count) = struct.unpack_from("<Q", head, 32), struct.unpack_from("<HH", head, 54)
    for place in range(start, start + size * count, size):
        if place + 56 <= len(head) and struct.unpack_from("<I", head, place)[0] == 3:  # PT_INTERP
            offset, length = struct.unpack_from("<Q16xQ", head, place + 8)
            return head[offset : offset + length].rstrip(b"\0").decode(errors="replace")
    return None

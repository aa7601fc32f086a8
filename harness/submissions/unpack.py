"""Copies what was handed in to a folder of ours: nothing of it leads out, and all of it has bounds.

What was handed in is only read. Archives are unpacked, also those in archives. Links that stay inside are
followed; others, devices and pipes are left out, and that is told. Left out in silence is what nobody has
written: what tools have installed, and what systems leave beside files.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from harness.judged.bounds import MIB
from harness.judged.submission_toml import NAME
from harness.judged.submissions import INSTALLED, OF_ARCHIVES
from harness.submissions.portals import OTHER_SUFFIXES, is_archive, without_suffix
from harness.verdict.outcome import Text
from lab.legible import one_line, text_of

MOST_BYTES = 1024 * MIB
"""Bytes of one submission, unpacked."""
MOST_FILES = 100_000
_DEEPEST_FOLDER = 100
DEEPEST = 3
"""Archives in one another."""
_LONGEST_NAME = 120
"""Bytes of one name: longer ones are cut."""
_CHUNK = MIB
_LITTER = {".ds_store", "thumbs.db", "desktop.ini", ".gitignore", ".gitattributes"}
_CORRUPT = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What the libraries raise for archives that are damaged, encrypted, or of a kind that they do not know."""


class TooMuch(Exception):  # noqa: N818 - named for what it says
    """It has too many bytes or files; the text says which."""


def is_litter(name: str) -> bool:
    """Whether a name is one that systems and tools leave beside what people have written."""
    return name.lower() in _LITTER or name.startswith("._") or name in OF_ARCHIVES


class Unpacking:
    """The copy of one submission in a folder."""

    def __init__(self, folder: Path, *, deepest: int = DEEPEST, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self._deepest, self._most_bytes = deepest, most_bytes
        self.left_out: list[Text] = []
        """What was left out, and why."""
        self._bytes = 0
        self._files = 0
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, source: Path, name: str, *, is_alone: bool = False) -> None:
        """Copy a folder, or a file as `name`, or unpack an archive. Raises TooMuch, OSError.

        What an archive holds that `is_alone` lies in the folder itself, else in one of its name.
        """
        if is_alone and is_archive(name):
            self._archive(source, self.folder, 0)
        elif source.is_dir():
            keeps_libraries = any(NAME in files for _, _, files in os.walk(source))
            self._folder(source, self.folder, source.resolve(), keeps_libraries, ())
        else:
            self._file(source, self.folder / _safe(name), 0)

    # --- folders ----------------------------------------------------------------------------------

    def _folder(
        self, source: Path, target: Path, top: Path, keeps_libraries: bool, above: tuple[str, ...]
    ) -> None:
        """Copy what is in a folder of those below `top`; `above` are the real paths that it lies in."""
        real = os.path.realpath(source)
        if real in above or len(above) > _DEEPEST_FOLDER:
            return  # a link in a circle, or nothing that somebody has made by hand
        self._count()
        target.mkdir(exist_ok=True)
        for entry in sorted(os.scandir(source), key=lambda each: each.name):
            path, skipped = Path(entry.path), INSTALLED - {"node_modules"} if keeps_libraries else INSTALLED
            if is_litter(entry.name) or entry.name in skipped:
                continue
            if entry.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(top):
                self._leave("link", path.relative_to(source))
            elif entry.is_dir():
                self._folder(path, target / _safe(entry.name), top, keeps_libraries, (*above, real))
            elif entry.is_file():
                self._file(path, target / _safe(entry.name), 0)
            else:
                self._leave("kind", path.relative_to(source))

    def _file(self, source: Path, target: Path, depth: int) -> None:
        """Copy a file, or unpack it beside where it would lie."""
        if is_archive(source.name):
            self._archive(source, target.with_name(_safe(without_suffix(target.name))), depth)
            return
        if source.name.lower().endswith(OTHER_SUFFIXES):
            self._leave("archive", source.name)
        with source.open("rb") as file:
            self._write(file, target, source.stat().st_mode)

    def _write(self, file: IO[bytes], target: Path, mode: int) -> None:
        """Write a file of ours, as far as the bounds allow: the bytes count that come, not those promised."""
        self._count()
        if not target.resolve().is_relative_to(self.folder.resolve()):
            raise OSError(errno.EPERM, "leads out")  # no name should; this is the last gate
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            return  # an archive with a file and a folder of one name
        with target.open("wb") as copy:
            while data := file.read(_CHUNK):
                self._bytes += len(data)
                if self._bytes > self._most_bytes:
                    raise TooMuch(f"{self._most_bytes // MIB:,} MiB")
                copy.write(data)
        target.chmod(0o755 if mode & 0o111 else 0o644)

    def _count(self) -> None:
        """Count a file or a folder. Raises TooMuch."""
        self._files += 1
        if self._files > MOST_FILES:
            raise TooMuch(f"{MOST_FILES:,}")

    def _leave(self, key: str, name: object, **more: str) -> None:
        self.left_out.append(Text(key, {"name": one_line(str(name)), **more}))

    # --- archives ---------------------------------------------------------------------------------

    def _archive(self, source: Path, target: Path, depth: int) -> None:
        try:
            if zipfile.is_zipfile(source):
                members = _of_zip(source)
            elif tarfile.is_tarfile(source):
                members = _of_tar(source)
            else:
                self._leave("corrupt", source.name, why="")
                return
            self._members(source.name, members, target, depth)
        except _CORRUPT as error:
            self._leave("corrupt", source.name, why=str(error))

    def _members(
        self, archive: str, members: Iterator[tuple[str, int, IO[bytes] | None]], target: Path, depth: int
    ) -> None:
        for name, mode, file in members:
            parts = name.replace("\\", "/").split("/")
            if any(is_litter(part) or part in INSTALLED - {"node_modules"} for part in parts):
                continue
            if ".." in parts or name.startswith(("/", "\\")) or ":" in parts[0]:
                self._leave("outside", f"{archive}: {name}")
            elif file is None:
                self._leave("kind", f"{archive}: {name}")
            else:
                place = target.joinpath(*(_safe(part) for part in parts if part not in ("", ".")))
                with file:
                    self._write(file, place, mode)
                if is_archive(place.name) and depth + 1 < self._deepest:
                    self._archive(place, place.with_name(_safe(without_suffix(place.name))), depth + 1)
                    place.unlink()
                elif is_archive(place.name):
                    self._leave("deep", place.name)


def _of_zip(source: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    """The files of an archive: name, mode, and what is in it; None for what is no file."""
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.is_dir() or info.filename.endswith("\\"):
                continue
            is_file = not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG)
            yield info.filename, mode, archive.open(info) if is_file else None


def _of_tar(source: Path) -> Iterator[tuple[str, int, IO[bytes] | None]]:
    with tarfile.open(source) as archive:
        for info in archive:
            if not info.isdir():
                yield info.name, info.mode, archive.extractfile(info) if info.isreg() else None


def _safe(name: str) -> str:
    """A name for a file of ours: text in one line, not too long."""
    name = one_line(text_of(name.encode(errors="surrogateescape"))).replace("\0", "").replace("/", "_")
    name = name if name.strip(". ") else "_"  # "..zip" without its suffix would be the folder above
    name = encodable(name)
    for suffix in (".py", ".ts"):
        if name.lower().endswith((suffix, f"{suffix}.txt")):  # else it is not taken for a program
            name = name[: name.lower().rindex(suffix)] + suffix
    while len(name.encode()) > _LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        name = f"{stem[:-1]}{dot}{suffix}" if dot and stem and len(suffix) < 10 else name[:-1]
    return name


def encodable(name: str) -> str:
    """A name that this system can give to a file: some have ASCII names alone."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return name.encode("ascii", "backslashreplace").decode().replace("\\", "_")
    return name


def remove(folder: Path) -> None:
    """Remove a copy, whatever its code has made of it."""
    for place, folders, _ in os.walk(folder):
        for name in folders:  # some may not be entered
            path = os.path.join(place, name)
            with suppress(OSError):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)

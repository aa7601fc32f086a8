"""What is written at once: a folder, an archive, or a file; and nothing that is there already is touched."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from msgspec import Struct, field

from harness.texts.problem import Problem

_MODE, _MODE_OF_PROGRAMS = 0o644, 0o755


class Bundle(Struct):
    """Files by their paths, with / between folders; and which of them are programs."""

    files: dict[str, bytes] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)

    def add(self, path: str, content: str | bytes, *, is_program: bool = False) -> None:
        """Add a file, or replace it."""
        self.files[path] = content.encode() if isinstance(content, str) else content
        if is_program:
            self.programs.add(path)

    def add_all(self, other: Bundle, below: str) -> None:
        """Add all files of another one, in the folder `below`."""
        for path, content in other.files.items():
            self.add(f"{below}/{path}", content, is_program=path in other.programs)


def template(package: str, path: str, **values: object) -> str:
    """The text of a file in `templates` of a package, with a value for each @name@ that is given."""
    text = resources.files(package).joinpath("templates", path).read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


def write_folder(bundle: Bundle, folder: Path) -> None:
    """Write it as a folder, which must be new or empty. All of it is there in the end, or nothing.

    Raises Problem.
    """
    with _problems_of(folder):
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()) or _has_anything(folder):
            raise Problem("handout.not_empty", path=folder)
        place = folder.absolute()
        place.parent.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
        try:
            for path, content in bundle.files.items():
                target = half / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
                target.chmod(_mode(bundle, path))
            half.chmod(_MODE_OF_PROGRAMS)
            if place.exists():
                place.rmdir()  # it is empty; Windows renames to no name that is taken
            half.rename(place)
        finally:
            shutil.rmtree(half, ignore_errors=True)


def write_missing(bundle: Bundle, folder: Path) -> list[str]:
    """Write the files that a folder lacks, each whole or not at all; returns the paths of these.

    Whatever is there stays as it is. Raises Problem.
    """
    written = []
    with _problems_of(folder):
        for path, content in bundle.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if _written(content, target):
                target.chmod(_mode(bundle, path))
                written.append(path)
    return written


def _written(content: bytes, target: Path) -> bool:
    """Write a new file; False if its name is taken, also by a link that leads nowhere."""
    try:
        file = target.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(content)
    except BaseException:
        target.unlink()
        raise
    return True


def write_archive(bundle: Bundle, file: Path) -> None:
    """Write it as a zip archive, with the files at its top, as portals want them. Raises Problem."""
    with (
        _problems_of(file),
        _new_file(file) as half,
        zipfile.ZipFile(half, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for path, content in bundle.files.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))  # the same kit gives the same archive
            entry.external_attr = _mode(bundle, path) << 16
            packed.writestr(entry, content, zipfile.ZIP_DEFLATED)


def write_file(text: str, file: Path) -> None:
    """Write one new file, and the folders above it. Raises Problem."""
    with _problems_of(file), _new_file(file) as half:
        half.write_text(text, encoding="utf-8")


def _has_anything(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _mode(bundle: Bundle, path: str) -> int:
    return _MODE_OF_PROGRAMS if path in bundle.programs else _MODE


@contextmanager
def _new_file(file: Path) -> Iterator[Path]:
    """A file to write, which gets its name when all of it is there. Raises Problem if the name is taken."""
    if os.path.lexists(file):
        raise Problem("handout.file_exists", path=file)
    file.absolute().parent.mkdir(parents=True, exist_ok=True)
    half = file.absolute().with_name(f".{file.name}.part")
    try:
        yield half
        half.rename(file)
    finally:
        half.unlink(missing_ok=True)


@contextmanager
def _problems_of(path: Path) -> Iterator[None]:
    """Tell what the system refuses as a Problem."""
    try:
        yield
    except OSError as error:
        raise Problem("handout.not_written", path=path, why=error.strerror or error) from error

"""Finds what was handed in, in folders as students, portals and archives leave them.

A submission is a folder with a `submission.toml`, or one that is laid out like `exercises/`. It may lie in
other folders, and its files in folders of other names, as long as it is clear which file is meant. Links are
followed as long as they stay within the folder.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from harness.judged.candidates import Candidates
from harness.judged.problems import BadTarget, Unclear
from harness.judged.submission_toml import NAME, Settings
from harness.judged.submission_toml import read as read_toml
from harness.verdict.outcome import Text
from harness.verdict.steps import COMPONENTS, EXERCISES

_HANDOUTS = Path(__file__).resolve().parents[2] / "exercises"
INSTALLED = frozenset({".git", ".chatlab", "node_modules", "__pycache__", ".venv", "venv"})
"""Folders of tools, which hold nothing that a student has written."""
OF_ARCHIVES = frozenset({"__MACOSX"})
"""Folders that archives have beside what was packed."""
_NOT_THEIRS = INSTALLED | OF_ARCHIVES
_OURS = {"lab", "harness", "solutions", "notebooks", "tests"}
"""Folders of the kit in which there are files of the same names as students'."""
_DEPTH = 8
"""How many folders down a submission may lie in what was handed in."""
_FOLDERS = 2000
"""Folders that are looked into at most."""
_LARGEST = 10 * 1024 * 1024
"""Bytes of the largest file that is taken for a component."""
_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".xz")


class Submission:
    """The submission in a folder that was handed in. Raises BadTarget if there is none, or several."""

    def __init__(self, handed_in: Path) -> None:
        if os.path.isfile(handed_in):
            raise BadTarget("target.is_file", path=handed_in)
        if not os.path.isdir(handed_in):
            raise BadTarget("target.no_folder", path=handed_in)
        self._handed_in = handed_in.absolute()
        self.folder = self._home()
        self.remarks: list[Text] = []
        """What is to be told of where something was found."""

    def settings(self) -> Settings | None:
        """What its `submission.toml` says, if it has one. Raises BadTarget."""
        path = self.folder / NAME
        if not os.path.lexists(path):
            return None
        self._check(path)
        return read_toml(path, shown(path))

    def component(self, exercise: int) -> Path:
        """The file of an exercise. Raises BadTarget if there is none, or if it is not clear which it is."""
        path, component = component_in(self.folder, exercise), COMPONENTS[exercise]
        if not os.path.lexists(path):
            path = self._elsewhere(path, component)
        elif os.path.isfile(path) and not self._candidates.has_answer(path, component):
            better = [each for each in self._candidates.of(component) if each != path]
            if len(better) > 1:
                raise Unclear("target.several", path=shown(self.folder), there=_listed([path, *better]))
            path = self._taken(better[0], path) if better else path
        self._check(path)
        return path

    # --- where it is ------------------------------------------------------------------------------

    @cached_property
    def _folders(self) -> list[Path]:
        """The folder, and those below it: those that are nearer first."""
        return list(_folders_below(self._handed_in))

    def _home(self) -> Path:
        """The folder of the submission: this one, or the nearest below it; this one also if there is none."""
        if is_submission(self._handed_in):
            return self._handed_in
        depth = 0
        found: list[Path] = []
        for folder in self._folders:
            below = len(folder.relative_to(self._handed_in).parts)
            if below > depth and found:
                break
            depth = below
            found += [folder] if is_submission(folder) else []
        # The kit has model answers, too, and no student hands those in.
        homes = [each for each in found if each.name != "solutions"] or [
            each for each in found if not os.path.isdir(each.parent / "lab")
        ]
        if len(homes) > 1 and any(os.path.lexists(each / NAME) for each in homes):
            raise Unclear("target.several", path=shown(self._handed_in), there=_listed(homes))
        # Of several with components, these are looked for one by one: they may be the same.
        return homes[0] if len(homes) == 1 else self._handed_in

    def _files(self) -> Iterator[Path]:
        """The files of the submission that are not the kit's."""
        for folder in self._folders:
            inside = folder.relative_to(self._handed_in).parts
            if folder.is_relative_to(self.folder) and not _OURS & set(inside):
                yield from (each for each in _entries(folder) if os.path.isfile(each))

    @cached_property
    def _candidates(self) -> Candidates:
        return Candidates(list(self._files()), _HANDOUTS)

    def _elsewhere(self, wanted: Path, component: str) -> Path:
        """The file of a component that is not where it belongs, if it is clear which one that is."""
        files, found = self._candidates.files, self._candidates.of(component)
        if len(found) > 1:
            raise Unclear("target.several", path=shown(self.folder), there=_listed(found))
        if found:
            return self._taken(found[0], wanted)
        near = [each for each in files if re.match(rf"{wanted.stem}[\W_].*py(\.txt)?$", each.name, re.I)]
        if near:
            raise Unclear("target.near_component", path=shown(wanted), near=_listed(near))
        if not any(is_submission(each) for each in self._folders):
            self._check_names(files)
        unknown = self._candidates.not_accounted_for()
        if unknown:
            raise Unclear("target.not_found_among", path=shown(wanted), there=_listed(unknown))
        raise BadTarget("target.no_component", path=shown(wanted))

    def _taken(self, found: Path, wanted: Path) -> Path:
        """A file that is taken for the one that is wanted; that is told, unless it has its name."""
        if found.name != wanted.name or os.path.lexists(wanted):
            self.remarks.append(Text("found_by_class", {"path": shown(found), "wanted": wanted.name}))
        return found

    def _check_names(self, files: list[Path]) -> None:
        """Raise Unclear where nothing is there but an archive, or what was meant to be `submission.toml`."""
        near = [each for each in files if each.name.casefold().startswith(NAME)]
        if near:
            raise Unclear("target.near_toml", near=_listed(near))
        packed = [each for each in files if each.suffix.lower() in _ARCHIVES]
        if packed:
            raise Unclear("target.archive", path=_listed(packed))

    def _check(self, path: Path) -> None:
        """Raise BadTarget for what is no file of the submission's own."""
        check_readable(path)
        if _leads_out(path, self._handed_in):
            raise Unclear("target.leads_out", path=shown(path), leads=os.path.realpath(path))


def check_readable(path: Path) -> None:
    """Raise BadTarget for what is no file that somebody wrote, or cannot be read."""
    try:
        about = os.stat(path)
    except OSError as error:
        if os.path.islink(path):
            raise BadTarget("target.dangling", path=shown(path), leads=os.readlink(path)) from error
        raise BadTarget("target.unreadable_file", path=shown(path), why=error.strerror) from error
    if not stat.S_ISREG(about.st_mode):
        raise BadTarget("target.not_a_file", path=shown(path))
    if not os.access(path, os.R_OK):
        raise BadTarget("target.unreadable_file", path=shown(path), why=os.strerror(errno.EACCES))
    if about.st_size > _LARGEST:
        raise BadTarget("target.too_large", path=shown(path))


def is_submission(folder: Path) -> bool:
    """Whether a folder has a `submission.toml`, or the file of an exercise where it belongs."""
    return os.path.isfile(folder / NAME) or has_components(folder)


def has_components(folder: Path) -> bool:
    """Whether a folder has the file of any exercise where it belongs."""
    return any(os.path.isfile(component_in(folder, number)) for number in EXERCISES)


def component_in(folder: Path, exercise: int) -> Path:
    """Where the file of an exercise belongs."""
    return folder / EXERCISES[exercise] / f"{COMPONENTS[exercise]}.py"


def shown(path: Path) -> str:
    """A path as whoever gave the command knows it: from the current folder, if it is below that."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _listed(paths: list[Path]) -> str:
    return ", ".join(shown(each) for each in paths[:5]) + (", …" if len(paths) > 5 else "")


def _folders_below(top: Path) -> Iterator[Path]:
    """A folder and those below it, level by level, each once; not those of tools, nor hidden ones."""
    seen: set[str] = set()
    level = [top]
    for _ in range(_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            real = os.path.realpath(folder)
            if real in seen or len(seen) >= _FOLDERS or _leads_out(folder, top):
                continue
            seen.add(real)
            yield folder
            below += [
                each for each in _entries(folder) if each.name not in _NOT_THEIRS and os.path.isdir(each)
            ]
        level = below


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, without hidden files; nothing if it cannot be read."""
    try:
        return sorted(each for each in folder.iterdir() if each.name[0] != ".")
    except OSError:
        return []


def _leads_out(path: Path, top: Path) -> bool:
    """Whether a path leads out of a folder by way of a link."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(top))

"""Finds what was handed in, in folders as students, portals and archives leave them.

A submission is a folder with a `submission.toml`, or one that is laid out like `exercises/`. It may lie in
other folders, and its files in folders of other names, as long as it is clear which file is meant. Links are
followed as long as they stay within the folder.

Each exercise is in one of the two languages of the course: `submission.toml` may say in which, by `track`.
Else it is the one whose file was changed, and where none was, the one of the rest.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from harness.judged.candidates import LANGUAGES, Candidates, is_built
from harness.judged.problems import BadTarget, Unclear
from harness.judged.submission_toml import NAME, Settings
from harness.judged.submission_toml import read as read_toml
from harness.judged.tracks import PYTHON, TRACKS, TYPESCRIPT
from harness.verdict.outcome import Text
from harness.verdict.steps import COMPONENTS, EXERCISES

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
_NOT_THERE, _AS_HANDED_OUT, _CHANGED, _ANSWERED = range(4)
"""What became of an exercise in a track; the last one says that its class is in the file."""


class Submission:
    """The submission in a folder that was handed in. Raises BadTarget if there is none, or several.

    `named` are the files, below the folder, that somebody has named for exercises.
    """

    def __init__(self, handed_in: Path, named: Mapping[int, Path] | None = None) -> None:
        if os.path.isfile(handed_in):
            raise BadTarget("target.is_file", path=handed_in)
        if not os.path.isdir(handed_in):
            raise BadTarget("target.no_folder", path=handed_in)
        self._handed_in = handed_in.absolute()
        self._named = named or {}
        self.folder = self._home()
        self.remarks: list[Text] = []
        """What is to be told of where something was found."""

    @cached_property
    def settings(self) -> Settings | None:
        """What its `submission.toml` says, if it has one. Raises BadTarget."""
        path = self.folder / NAME
        if not os.path.lexists(path):
            return None
        self._check(path)
        return read_toml(path, shown(path))

    def track(self, exercise: int) -> str:
        """The track in which an exercise was done. Raises Unclear if it was done in both."""
        if exercise in self._named:
            is_typescript = LANGUAGES[TYPESCRIPT].is_source(self._named[exercise].name)
            return TYPESCRIPT if is_typescript else PYTHON
        if self.settings is not None and self.settings.track:
            return self.settings.track
        found = {track: self._state(track, exercise) for track in TRACKS}
        most = max(state for state, _ in found.values())
        best = [track for track, (state, _) in found.items() if state == most]
        if len(best) == 1 and most > _AS_HANDED_OUT:
            return best[0]
        if most == _ANSWERED:
            python, typescript = (_listed(found[track][1]) for track in (PYTHON, TYPESCRIPT))
            raise Unclear("target.both_tracks", python=python, typescript=typescript)
        return self._usual_track

    def component(self, exercise: int) -> Path:
        """The file of an exercise. Raises BadTarget if there is none, or if it is not clear which it is."""
        if self.track(exercise) == TYPESCRIPT:
            path = self._named.get(exercise) or self._typescript(COMPONENTS[exercise])
        else:
            path = self._python(exercise)
        self._check(path)
        return path

    def _python(self, exercise: int) -> Path:
        path, component = component_in(self.folder, exercise), COMPONENTS[exercise]
        language = LANGUAGES[PYTHON]
        if not os.path.lexists(path):
            return self._elsewhere(path, component)
        if os.path.isfile(path) and not self._candidates.has_answer(path, component, language):
            better = [each for each in self._candidates.of(component, language) if each != path]
            if len(better) > 1:
                raise Unclear("target.several", path=shown(self.folder), there=_listed([path, *better]))
            return self._taken(better[0], path) if better else path
        return path

    def _typescript(self, component: str) -> Path:
        """The file of a component in TypeScript, wherever it is."""
        language = LANGUAGES[TYPESCRIPT]
        found, wanted = self._scripts.of(component, language), language.file_of(component)
        if len(found) > 1:  # where the exercises have it comes first
            usual = [each for each in found if each.name == wanted and each.parent.name == "src"]
            found = usual if len(usual) == 1 else found
        if len(found) > 1:
            raise Unclear("target.several", path=shown(self._handed_in), there=_listed(found))
        if found:
            return self._taken(found[0], self.folder / wanted, is_anywhere=True)
        compiled = self._scripts.compiled(component)
        if compiled:
            raise Unclear("target.only_compiled", name=wanted, there=_listed(compiled))
        unknown = self._scripts.not_accounted_for()
        if unknown:
            raise Unclear("target.not_found_among", path=wanted, there=_listed(unknown))
        raise BadTarget("target.no_typescript", name=wanted, path=shown(self._handed_in))

    # --- which language it is in ------------------------------------------------------------------

    def _state(self, track: str, exercise: int) -> tuple[int, list[Path]]:
        """What became of an exercise in a track, and the files that say so."""
        component, language = COMPONENTS[exercise], LANGUAGES[track]
        candidates = self._scripts if track == TYPESCRIPT else self._candidates
        found = candidates.of(component, language)
        own = component_in(self.folder, exercise)
        if track == PYTHON and own not in found and os.path.lexists(own):
            found = [own, *found]
        for state, is_so in ((_ANSWERED, candidates.has_answer), (_CHANGED, candidates.is_changed)):
            if paths := [path for path in found if is_so(path, component, language)]:
                return state, paths
        return (_AS_HANDED_OUT if found else _NOT_THERE), found

    @cached_property
    def _usual_track(self) -> str:
        """The track of an exercise for which nothing was done: that of the others, if they are in one."""
        states = {track: max(self._state(track, number)[0] for number in EXERCISES) for track in TRACKS}
        if states[PYTHON] != states[TYPESCRIPT]:
            return max(states, key=lambda track: states[track])
        is_compiled = any(self._scripts.compiled(each) for each in COMPONENTS.values())
        return TYPESCRIPT if states[PYTHON] == _NOT_THERE and is_compiled else PYTHON

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
        """Those of the submission that may be in Python."""
        files = list(self._files())
        return Candidates([each for each in files if not is_built(each, self._handed_in)])

    @cached_property
    def _scripts(self) -> Candidates:
        """Those that may be in TypeScript, which may lie beside those in Python."""
        files = [
            each
            for folder in self._folders
            if not self._is_kits(folder)
            for each in _entries(folder)
            if os.path.isfile(each)
        ]
        built = [each for each in files if is_built(each, self._handed_in)]
        return Candidates([each for each in files if each not in set(built)], built)

    def _is_kits(self, folder: Path) -> bool:
        """Whether a folder is one of the kit's with TypeScript that no student writes."""
        place = folder
        while place.is_relative_to(self._handed_in):
            is_below = place != self._handed_in
            if (
                place.name in (_OURS - {"lab"} if is_below else {"solutions"})
                and (place.parent / "lab").is_dir()
            ):
                return True
            place = place.parent
        return False

    def _elsewhere(self, wanted: Path, component: str) -> Path:
        """The file of a component that is not where it belongs, if it is clear which one that is."""
        files = self._candidates.files
        found = self._candidates.of(component, LANGUAGES[PYTHON])
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

    def _taken(self, found: Path, wanted: Path, *, is_anywhere: bool = False) -> Path:
        """A file that is taken for the one that is wanted; that is told, unless it has its name."""
        if found.name != wanted.name or (os.path.lexists(wanted) and not is_anywhere):
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


def check_there(paths: Iterable[Path]) -> None:
    """Raise BadTarget for the first that is not there, is no file that somebody wrote, or cannot be read."""
    for path in paths:
        if not os.path.lexists(path):
            raise BadTarget("target.no_component", path=shown(path))
        check_readable(path)


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


def looks_like_one(folder: Path) -> bool:
    """Whether a folder is one person's, and not that of a class: in TypeScript, too."""
    places = [folder / place for place in (".", "src", "typescript/src", "exercises/typescript/src")]
    names = LANGUAGES[TYPESCRIPT].names.values()
    return is_submission(folder) or any(os.path.isfile(place / name) for place in places for name in names)


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

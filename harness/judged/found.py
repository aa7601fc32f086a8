"""What was handed in for an exercise, before a server is made of it: that may take a compiler."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from harness.judged.candidates import LANGUAGES
from harness.judged.problems import BadTarget, Unclear
from harness.judged.submissions import Submission, shown
from harness.judged.target import is_our_server
from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.verdict.outcome import Text
from harness.verdict.steps import COMPONENTS, EXERCISES


class Found(Struct, frozen=True):
    """Components, or the command of a whole server. All paths are absolute."""

    label: str
    folder: str
    files: dict[int, str] = {}
    """The file of each exercise that is judged."""
    track: str = PYTHON
    command: tuple[str, ...] = ()
    remarks: tuple[Text, ...] = ()

    @property
    def uses(self) -> dict[str, str]:
        """The files of the components, by their names."""
        return {COMPONENTS[number]: path for number, path in self.files.items()}

    @property
    def sources(self) -> dict[str, str]:
        """The same, with names that differ from language to language: "pubsub" and "pub-sub.ts"."""
        files = LANGUAGES[self.track].file_of
        return {files(name) if self.track != PYTHON else name: path for name, path in self.uses.items()}


def handed_in(
    folder: Path,
    exercise: int,
    together: bool,
    label: str | None = None,
    *,
    is_partial: bool = False,
    named: Mapping[int, Path] | None = None,
) -> Found:
    """What was handed in as a folder: laid out like `exercises/`, in TypeScript, or with a `submission.toml`.

    With `is_partial`, it is all components that are there. `named` are the files that somebody has named for
    exercises. Raises BadTarget if it is none of these.
    """
    found = Submission(folder, named)
    settings = found.settings
    if settings is not None and settings.words:
        name = label or f"{shown(found.folder)}: {settings.command}"
        if is_our_server(settings.words):
            raise BadTarget("target.runs_reference", command=settings.command)
        return Found(name, str(found.folder), command=settings.words, remarks=settings.remarks)
    if is_partial:
        files = _those_there(found)
    else:
        files = {number: found.component(number) for number in (EXERCISES if together else (exercise,))}
    tracks = {number: found.track(number) for number in files}
    if len(set(tracks.values())) > 1:
        python, typescript = (_in_track(track, files, tracks) for track in (PYTHON, TYPESCRIPT))
        raise Unclear("target.mixed_tracks", python=python, typescript=typescript)
    paths = {number: str(path.resolve()) for number, path in files.items()}
    name = label or ", ".join(shown(path) for path in files.values())
    remarks = (*(settings.remarks if settings else ()), *found.remarks)
    return Found(name, str(found.folder), paths, next(iter(tracks.values())), remarks=remarks)


def _those_there(found: Submission) -> dict[int, Path]:
    """The components that were handed in. Raises BadTarget if there is none, or if one is not clear."""
    files: dict[int, Path] = {}
    missing: BadTarget | None = None
    for number in EXERCISES:
        try:
            files[number] = found.component(number)
        except Unclear:
            raise
        except BadTarget as error:
            missing = missing or error
    if missing is not None and not files:
        raise missing
    return files


def _in_track(track: str, files: Mapping[int, Path], tracks: Mapping[int, str]) -> str:
    """The files in a track, for a sentence."""
    return ", ".join(shown(path) for number, path in files.items() if tracks[number] == track)

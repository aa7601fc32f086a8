"""Which of several files is the one of a component: by its name, or by the class that is in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from harness.judged.handed_out import place_of, pristine
from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.typescript.components import COMPONENTS as MODULES
from harness.verdict.steps import COMPONENTS
from lab.loader import INTERFACES

_LARGEST = 1024 * 1024
"""Bytes of a file that is looked into."""
_MOST = 2000
"""Files that are looked into."""
_CODE = (
    *(".py", ".txt", ".ipynb", ".js", ".mjs", ".ts", ".go", ".java", ".kt", ".rs", ".rb", ".php", ".c"),
    *(".cpp", ".cs", ".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".xz"),
)
"""Ends of names that may be those of an answer."""
_TESTS = re.compile(
    r"(test_.*|.*_test|conftest|__init__|setup)\.py|.*\.(test|spec|config)\.[cm]?[jt]s|.*\.d\.[cm]?ts"
)
_EXERCISES = Path(__file__).resolve().parents[2] / "exercises"
_KITS_MODULES = frozenset(path.stem for path in (_EXERCISES / "typescript" / "src").glob("*.ts"))
"""The modules of the kit's server in TypeScript, which lie beside the components there."""
_COMPILED = (".js", ".mjs", ".cjs")
_BUILT = "dist"
"""The folder into which TypeScript is compiled: nobody has written the scripts in it."""


class Language(Struct, frozen=True):
    """How files of a track's language are recognised."""

    track: str
    suffix: str
    classes: re.Pattern[bytes]
    imports: re.Pattern[bytes]
    """Finds the names of the modules that a file imports, in some text."""
    handouts: dict[str, str]
    """What was handed out for each component: the text of its file."""
    names: dict[str, str]
    """The names of these files."""

    def is_source(self, name: str) -> bool:
        """Whether a file of this name is in this language."""
        return name.endswith(self.suffix) and not name.endswith(".d.ts")

    def file_of(self, component: str) -> str:
        """The name of a component's file."""
        return self.names[component]


def _handed_out(track: str) -> tuple[dict[str, str], dict[str, str]]:
    """For each component, the text of its file as it was handed out, and the file's name."""
    places = {component: place_of(number, track) for number, component in COMPONENTS.items()}
    texts = {
        component: pristine(number, track)[places[component]] for number, component in COMPONENTS.items()
    }
    return texts, {component: place.name for component, place in places.items()}


LANGUAGES = {
    each.track: each
    for each in (
        Language(
            PYTHON,
            ".py",
            re.compile(rb"^class[ \t]+(\w+)", re.MULTILINE),
            re.compile(rb"^[ \t]*(?:from|import)[ \t]+([\w., \t]+)", re.MULTILINE),
            *_handed_out(PYTHON),
        ),
        Language(
            TYPESCRIPT,
            ".ts",
            re.compile(
                rb"^[ \t]*(?:export[ \t]+)?(?:default[ \t]+)?(?:abstract[ \t]+)?class[ \t]+(\w+)",
                re.MULTILINE,
            ),
            re.compile(rb"""["'`]\.{1,2}/([^"'`\n]+)["'`]"""),
            *_handed_out(TYPESCRIPT),
        ),
    )
}
"""By their tracks."""


class Candidates:
    """The files of a submission, and what is in them; `built` are those that a compiler has made."""

    def __init__(self, files: Sequence[Path], built: Sequence[Path] = ()) -> None:
        self.files = list(files)
        known = (*(each.suffix for each in LANGUAGES.values()), *_COMPILED)
        self._sources = {path: _source(path) for path in self.files[:_MOST] if path.name.endswith(known)}
        self._built = {path: _source(path) for path in built[:_MOST] if path.name.endswith(_COMPILED)}

    def of(self, component: str, language: Language) -> list[Path]:
        """The files that may be the one of a component: the only one if that is clear.

        Files with its class, else those of its name. Of files that are the same, only one counts, and what
        was handed out and never changed counts only if there is nothing else.
        """
        name, wanted = INTERFACES[component].__name__.encode(), language.file_of(component)
        sources = {path: source for path, source in self._sources.items() if language.is_source(path.name)}
        by_name = [path for path in sources if path.name.casefold() == wanted]
        by_class = [path for path, source in sources.items() if name in language.classes.findall(source)]
        found = _different(by_class or by_name, sources)
        changed = [path for path in found if self.has_answer(path, component, language)]
        found = changed or found
        named = [path for path in found if path.name == wanted]
        return named if len(named) == 1 else found

    def compiled(self, component: str) -> list[Path]:
        """JavaScript that was compiled from the file of a component, or is it."""
        name, module = INTERFACES[component].__name__.encode(), MODULES[component].module
        classes = LANGUAGES[TYPESCRIPT].classes
        scripts = {
            path: source
            for path, source in {**self._sources, **self._built}.items()
            if path.name.endswith(_COMPILED)
        }
        named = [path for path in scripts if path.stem == module]
        return named or [path for path, source in scripts.items() if name in classes.findall(source)]

    def not_accounted_for(self) -> list[Path]:
        """Files that may be an answer, and nobody can tell to what: no component's, and no helper of one."""
        imported = self._imported()
        return [
            path
            for path in self.files
            if path.name.lower().endswith(_CODE)
            and not _TESTS.fullmatch(path.name)
            and path.stem.casefold() not in COMPONENTS.values()
            and path.stem.encode() not in imported
            and not (path.stem in _KITS_MODULES and path.name.endswith((".ts", *_COMPILED)))
            and not self._has_class(path)
        ]

    def _imported(self) -> set[bytes]:
        """The names of the modules that any file imports, without their folders."""
        found: set[bytes] = set()
        for path, source in self._sources.items():
            if path.name.endswith(".py"):
                for names in LANGUAGES[PYTHON].imports.findall(source):
                    parts = re.split(rb",|\bimport\b|\bas\b", names)
                    found.update(name.strip(b". \t").rpartition(b".")[2] for name in parts)
            else:
                names = LANGUAGES[TYPESCRIPT].imports.findall(source)
                found.update(re.sub(rb"\.[cm]?[jt]s$", b"", name.rpartition(b"/")[2]) for name in names)
        return found

    def _has_class(self, path: Path) -> bool:
        """Whether a file has the class of any component."""
        wanted = {each.__name__.encode() for each in INTERFACES.values()}
        source = self._sources.get(path, b"")
        language = LANGUAGES[PYTHON if path.name.endswith(".py") else TYPESCRIPT]
        return not wanted.isdisjoint(language.classes.findall(source))

    def is_changed(self, path: Path, component: str, language: Language) -> bool:
        """Whether a file is something else than what was handed out for a component."""
        return _plain(self._sources.get(path, b"")) != _plain(language.handouts[component].encode())

    def has_answer(self, path: Path, component: str, language: Language) -> bool:
        """Whether a file is something else than what was handed out, and not without the class."""
        found = language.classes.findall(self._sources.get(path, b""))
        return self.is_changed(path, component, language) and INTERFACES[component].__name__.encode() in found


def is_built(path: Path, top: Path) -> bool:
    """Whether a file below a folder is one that a compiler has made of TypeScript."""
    name = path.name.removesuffix(".map")
    return _BUILT in path.relative_to(top).parts[:-1] and name.endswith((*_COMPILED, ".ts"))


def _source(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            return b""
        return path.read_bytes()
    except OSError:
        return b""


def _plain(source: bytes) -> bytes:
    """A source without what editors of different systems change."""
    return source.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").strip()


def _different(paths: list[Path], sources: dict[Path, bytes]) -> list[Path]:
    """One of each that are the same; files without a source are all different."""
    found: dict[bytes, Path] = {}
    for path in paths:
        source = _plain(sources.get(path, b""))
        found.setdefault(source or str(path).encode(), path)
    return list(found.values())

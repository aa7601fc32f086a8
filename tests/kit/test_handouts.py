"""The handouts of the exercises agree with the kit: steps, titles, points, commands and files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from harness.cli.main import cli
from harness.hunt.check_file import FIXTURES
from harness.hunt.levels import LEVELS
from harness.judged.targets import ROOT
from harness.pytest_support.clients import ChatClient, ChatServer
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import BREAKABLE, COMPONENTS, EXERCISES, points_for, steps_of
from harness.zoo.right import RIGHT
from lab.loader import INTERFACES
from tests.kit.pages import translated

NAMES = {language: translated("README.md", language) for language in LANGUAGES}
HANDOUTS = [(number, language) for number in EXERCISES for language in LANGUAGES]
OVERVIEW = ROOT / "exercises"
TRACKS = {"en": ("In Python", "In TypeScript"), "fr": ("En Python", "En TypeScript")}
"""The headings above what is said of one language only."""
TYPESCRIPT = {1: "pub-sub", 2: "sequencer", 3: "presence", 4: "store"}
"""The files that students write, in exercises/typescript/src."""
HUNT = OVERVIEW / "hunt"
MADE = re.compile(r"hunt/level\d\.py")
"""Files that a command makes for the reader."""
PAGES = [folder / name for folder in (OVERVIEW, HUNT) for name in NAMES.values()] + [
    OVERVIEW / EXERCISES[number] / NAMES[language] for number, language in HANDOUTS
]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#]+)")
_STEP = re.compile(r"^\| *(\d\.\d) *\| *(.+?) *\| *(\d+|–) *\|$", re.MULTILINE)
_EXERCISE = re.compile(r"^\| *\[(\d)\. (.+?)\]\((.+?)\) *\| *`(.+?)` *\|.*\| *(\d+) *\|$", re.MULTILINE)
_PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)*(?:\.(?:py|md|toml)|/)(?![\w./-])")


def path_of(number: int, language: str) -> Path:
    """The path of a handout."""
    return OVERVIEW / EXERCISES[number] / NAMES[language]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, *kinds: str) -> list[str]:
    """The blocks of code of these kinds."""
    found = _FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for kind, text in found if kind in kinds]


def section_of(page: Path, heading: str) -> str:
    """What stands below a heading of the third level, up to the next heading."""
    _, found, rest = prose(page).partition(f"\n### {heading}\n")
    assert found, f"{page} has no section {heading}"
    return re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0]


def commands(page: Path) -> list[list[str]]:
    """Each `chatlab …` command of a page, in its text, its blocks and the comments there, as words."""
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    spans = _SPAN.findall(prose(page)) + [span for line in lines for span in _SPAN.findall(line)]
    found = []
    for text in lines + spans:
        if text.startswith("chatlab "):
            words = shlex.split(text, comments=True)
            found.append(words[1:-1] if words[-1] == "&" else words[1:])
    return found


def parse(words: list[str]) -> click.Context:
    """How the command line reads a command, which is not run. Raises click.UsageError."""
    with click.Context(cli, info_name="chatlab") as context:
        command = cli.get_command(context, words[0])
        if command is None:
            raise click.UsageError(f"there is no command {words[0]}")
        return command.make_context(words[0], words[1:], parent=context)


def title_of(step: str, language: str) -> str:
    """The title of a step in the report."""
    return texts(language).say(f"step.{step.replace('.', '-')}")


def test_commands_that_are_wrong_do_not_parse() -> None:
    """The check of the commands is not blind: it refuses options and exercises that do not exist."""
    for wrong in (["check", "7"], ["check", "--no-such"], ["hint"], ["chekc", "1"]):
        with pytest.raises(click.UsageError):
            parse(wrong)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(OVERVIEW)))
def test_every_command_parses(page: Path) -> None:
    """Whatever a page asks the reader to type is a command, with options that it has."""
    found = commands(page)
    assert found, "a page without a single command helps nobody to begin"
    for words in found:
        context = parse(words)
        for use in context.params.get("use", ()):
            assert use.partition("=")[0] in INTERFACES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(OVERVIEW)))
def test_every_file_exists(page: Path) -> None:
    """Files and folders that a page names or links to exist, relative to the kit's folder or the page."""
    in_code = _SPAN.findall(prose(page)) + blocks(page, "sh", "text")
    links = [link for link in _LINK.findall(prose(page)) if "://" not in link]
    named = [name for text in in_code for name in _PATH.findall(re.sub(r"\S+://\S+|(?<!\S)/\S+", "", text))]
    assert named
    for name in named:
        exists = (ROOT / name).exists() or (page.parent / name).exists()
        assert exists or MADE.fullmatch(name), name
    for link in links:
        assert (page.parent / link).is_file(), link


@pytest.mark.parametrize(("number", "language"), HANDOUTS)
def test_the_steps_are_those_of_the_harness(number: int, language: str) -> None:
    """The table of steps has exactly the harness's steps, with their titles and points."""
    component = COMPONENTS[number]
    worth = {step: points_for(step, component) for step in steps_of(number)}
    expected = [
        (step, title_of(step, language), str(points) if step in BREAKABLE[component] else "–")
        for step, points in worth.items()
    ]
    page = path_of(number, language)
    assert _STEP.findall(prose(page)) == expected
    total = {"en": "{} points in all", "fr": "{} points en tout"}[language]
    assert total.format(sum(worth.values())) in prose(page)


@pytest.mark.parametrize(("number", "language"), HANDOUTS)
def test_the_title_is_that_of_the_exercise(number: int, language: str) -> None:
    """The heading of a handout is the title in the report on its exercise."""
    say = texts(language).say
    title = say("ui.exercise", number=number, title=say(f"exercise.{number}"))
    assert path_of(number, language).read_text(encoding="utf-8").splitlines()[0] == f"# {title}"


@pytest.mark.parametrize(("number", "language"), HANDOUTS)
def test_a_handout_names_what_is_to_be_written(number: int, language: str) -> None:
    """The file and every method of the component are in the handout."""
    text = prose(path_of(number, language))
    component = COMPONENTS[number]
    assert f"`exercises/{EXERCISES[number]}/{component}.py`" in text
    for method in vars(INTERFACES[component]):
        if not method.startswith("_"):
            assert f"`{method}" in text, method


@pytest.mark.parametrize(("number", "language"), HANDOUTS)
def test_a_handout_says_how_to_write_it_in_typescript(number: int, language: str) -> None:
    """The file and the command are in the section on TypeScript, with the signatures of types.ts."""
    page = path_of(number, language)
    _, typescript = TRACKS[language]
    assert f"`exercises/typescript/src/{TYPESCRIPT[number]}.ts`" in section_of(page, typescript)
    assert ["check", str(number), "--track", "typescript"] in [words[:4] for words in commands(page)]
    types = (OVERVIEW / "typescript/src/types.ts").read_text(encoding="utf-8")
    shown = next(block for block in blocks(page, "ts") if block.startswith("export class"))
    name = shown.split()[2]
    interface = types.partition(f"\nexport interface {name} {{\n")[2].partition("\n}\n")[0]
    owed = re.findall(r"^  (\w+\(.*;)$", interface, re.MULTILINE)
    signatures = re.findall(r"^  (?!constructor)(\w+\(.*;)$", shown, re.MULTILINE)
    assert signatures == owed
    assert len(owed) >= 3


@pytest.mark.parametrize("track", [0, 1], ids=["python", "typescript"])
@pytest.mark.parametrize("folder", ["", *EXERCISES.values()])
def test_the_pitfalls_of_a_language_are_the_same_in_each_translation(track: int, folder: str) -> None:
    """As many of them, in the same order: each names the same code, which is not translated."""
    named = {}
    for language, name in NAMES.items():
        section = section_of(OVERVIEW / folder / name, TRACKS[language][track])
        pitfalls = re.findall(r"^- (\*\*.+?)(?=^- |^\n)", f"{section}\n\n", re.MULTILINE | re.DOTALL)
        assert len(pitfalls) >= 4
        named[language] = [sorted(set(_SPAN.findall(pitfall))) for pitfall in pitfalls]
    assert all(each == named["en"] for each in named.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_overview_lists_the_exercises(language: str) -> None:
    """The page about all four gives the title, handout, file and points of each."""
    say = texts(language).say
    expected = [
        (
            str(number),
            say(f"exercise.{number}"),
            f"{EXERCISES[number]}/{NAMES[language]}",
            f"{EXERCISES[number]}/{COMPONENTS[number]}.py",
            str(sum(points_for(step, COMPONENTS[number]) for step in steps_of(number))),
        )
        for number in EXERCISES
    ]
    assert _EXERCISE.findall(prose(OVERVIEW / NAMES[language])) == expected


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_overview_explains_every_verdict(language: str) -> None:
    """Each outcome that a report can show is explained under its name in the language of the page."""
    text = prose(OVERVIEW / NAMES[language])
    for outcome in ("passed", "failed", "inconclusive", "skipped"):
        assert f"**{texts(language).say(f'outcome.{outcome}')}**" in text


def test_all_languages_have_the_same_structure() -> None:
    """A handout and its translation have as many sections, commands, questions and table rows."""
    for folder in (OVERVIEW, HUNT, *(OVERVIEW / slug for slug in EXERCISES.values())):
        english = folder / NAMES["en"]
        for language in LANGUAGES[1:]:
            page = folder / NAMES[language]
            for pattern in (r"^#+ ", r"^\|", r"^\d\. ", r"^```"):
                assert counted(pattern, page) == counted(pattern, english), (page, pattern)
            plain = [[word for word in words if word not in ("--lang", language)] for words in commands(page)]
            original = [
                [word for word in words if word not in ("--lang", "fr")] for words in commands(english)
            ]
            assert plain == original, page


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_handout_of_the_hunt_lists_its_levels(language: str) -> None:
    """Each with its title, and what a check may ask for; as many correct servers as there are."""
    say, text = texts(language).say, prose(HUNT / NAMES[language])
    rows = re.findall(r"^\| (\d) \| (.+?) \|", text, re.MULTILINE)
    assert rows == [(str(number), say(f"hunt.level_{number}.title")) for number in LEVELS]
    for name in FIXTURES:
        assert f"`{name}`" in text
    for kind in (ChatClient, ChatServer):
        for method in (name for name in vars(kind) if not name.startswith("_") and name != "vanish"):
            assert re.search(rf"\w+\.{method}\(", text), method
    assert {"en": "five correct servers", "fr": "cinq serveurs corrects"}[language] in text
    assert (len(LEVELS), len(RIGHT)) == (5, 5)


def counted(pattern: str, page: Path) -> int:
    """How many lines of a page match."""
    return len(re.findall(pattern, page.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(OVERVIEW)))
def test_a_page_links_to_its_translations(page: Path) -> None:
    """Near its top there is a link to the same page in each other language."""
    top = page.read_text(encoding="utf-8")[:400]
    for name in set(NAMES.values()) - {page.name}:
        assert f"]({name})" in top

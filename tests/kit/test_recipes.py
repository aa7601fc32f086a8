"""The recipes of CONTRIBUTING.md name files that exist, and a forgotten place is noticed.

A check that is a function of a table is also called with one more entry, for which every place is missing: so
it is known to notice them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import click
import pytest

from harness.cli.main import cli
from harness.contracts.running import CONTRACTS, contract_of
from harness.history.faults import FAULTS, FaultKind, Way
from harness.scenarios.catalogue import SCENARIOS
from harness.texts import LANGUAGES, texts
from harness.verdict.steps import (
    BREAKABLE,
    COMPONENTS,
    EXERCISES,
    POINTS,
    STEP_OF_FRAME,
    points_for,
    steps_of,
)
from harness.worlds.sim.observed import _ASKED_OF
from harness.zoo import animals, servers
from lab.hub import Components
from lab.loader import INTERFACES
from tests.kit.excerpts import EXCERPTS
from tests.kit.pages import PAGES, ROOT, blocks, read, translated
from tests.kit.test_verdicts import STUB_FAILS_BY

OF_THE_SERVER = {"serve": "lab.command", "backup": "lab.backup"}
"""Commands that belong to the server, and their modules."""
VALUES = {
    "slug": list(EXERCISES.values()),
    "component": list(COMPONENTS.values()),
    "language": list(LANGUAGES),
    "command": [name for name in cli.commands if name not in OF_THE_SERVER],
}
"""What stands for a name in angle brackets."""


FOLDERS = ("exercises", "harness", "lab", "notebooks", "solutions", "tests")


def missing_files(paths: Iterable[str]) -> list[str]:
    """Those of the paths, from the kit's folder, that do not exist."""
    return [path for path in paths if not (ROOT / path).exists()]


# --- the pages ---------------------------------------------------------------------------------------


def recipes() -> dict[str, str]:
    """The recipes by their titles."""
    _, _, text = read("CONTRIBUTING.md").partition("\n## Recipes\n")
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def named_in(text: str) -> list[str]:
    """The paths that a text names, with each value of a name in angle brackets."""
    spans = re.findall(r"`([\w.<>-]+(?:/[\w.<>-]+)+/?|\w+\.(?:md|toml))`", text)
    return [path for span in spans for path in _filled(span)]


def _filled(path: str) -> list[str]:
    """A path with all values for its names; an exercise's folder has its own component only."""
    if {"<slug>", "<component>"} <= set(re.findall(r"<\w+>", path)):
        pairs = [(EXERCISES[n], COMPONENTS[n]) for n in EXERCISES]
        return [path.replace("<slug>", slug).replace("<component>", name) for slug, name in pairs]
    if "README.<language>.md" in path:
        page = path.replace("README.<language>.md", "README.md")
        return [translated(each, language) for language in LANGUAGES for each in _filled(page)]
    for name, values in VALUES.items():
        if f"<{name}>" in path:
            return [each for value in values for each in _filled(path.replace(f"<{name}>", value))]
    return [path]


@pytest.mark.parametrize("title", recipes())
def test_what_a_recipe_names_exists(title: str) -> None:
    """Every path, and for a name in angle brackets each exercise, component, language or command."""
    text = recipes()[title]
    found = [path for path in named_in(text) if path != "README.<language>.md"]
    assert len(found) > 2
    assert "<" not in "".join(found)
    assert missing_files(found) == []
    assert "\nFails otherwise: " in text


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "harness/DECISIONS.md"])
def test_what_a_page_for_contributors_names_exists(page: str) -> None:
    """Every path in it, outside of the recipes, too."""
    text = read(page)
    assert missing_files(path for path in named_in(text) if path.split("/")[0] in FOLDERS) == []


def test_a_missing_path_is_noticed() -> None:
    """Of any name in angle brackets, too."""
    assert missing_files(named_in("`harness/checkers/anomalies.py`")) == ["harness/checkers/anomalies.py"]
    assert len(missing_files(named_in("`harness/<slug>/<component>.py`"))) == len(EXERCISES)


FIRST = re.compile(r"^\| *((?:`[\w./]+`(?:, )?)+) *\|(.*)$", re.MULTILINE)
MODULE = re.compile(r"`([\w./]+\.py)`")


def gone(text: str) -> list[str]:
    """The modules that the map of harness/README.md names and that do not exist."""
    found: list[str] = []
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        heading = re.search(r"^\| module of `(.+)/` \|", section, re.MULTILINE)
        for names, rest in FIRST.findall(section):
            spans = re.findall(r"`(.+?)`", names)
            folder = spans[0] if spans[0].endswith("/") else f"{heading[1]}/" if heading else ""
            modules = MODULE.findall(rest if spans[0].endswith("/") else names + rest)
            folders = [span for span in spans if span.endswith("/")]
            found += [folder + each for each in modules if "/" not in each]
            found += [*(each for each in modules if "/" in each), *folders]
    return missing_files(f"harness/{name}" for name in found)


def unnamed(text: str) -> list[str]:
    """The folders of harness, and the modules beside them, that its map does not name."""
    names = {span for row, _ in FIRST.findall(text) for span in re.findall(r"`(.+?)`", row)}
    paths = [path for path in (ROOT / "harness").rglob("*") if "__pycache__" not in path.parts]
    folders = {f"{path.parent.relative_to(ROOT / 'harness')}/" for path in paths if path.suffix == ".py"}
    beside = {path.name for path in (ROOT / "harness").glob("*.py")} - {"__init__.py"}
    return sorted((folders | beside) - names - {"./", "bench/servers/"})


def test_the_map_of_the_harness_is_complete() -> None:
    """Every folder has its row, and every row names what exists."""
    text = read("harness/README.md")
    assert unnamed(text) == []
    assert gone(text) == []


@pytest.mark.parametrize("folder", ["worlds/sim", "contracts", "zoo"])
def test_a_table_of_modules_is_complete(folder: str) -> None:
    """A folder whose modules have a table of their own has each of them there."""
    _, _, text = read("harness/README.md").partition(f"\n| module of `{folder}/` |")
    named = set(MODULE.findall("\n".join(line.split("|")[1] for line in rows(text))))
    there = {path.name for path in (ROOT / "harness" / folder).glob("*.py")}
    assert named == there - {"__init__.py", "__main__.py"}


def rows(text: str) -> list[str]:
    """The rows of the table at the beginning of a text, below its head."""
    lines = text.splitlines()[2:]
    return lines[: next((n for n, line in enumerate(lines) if not line.startswith("|")), len(lines))]


def test_a_missing_module_or_row_is_noticed() -> None:
    """By the map of the harness."""
    text = read("harness/README.md")
    assert gone(text.replace("`shrink.py`", "`shrinking.py`")) == ["harness/minimize/shrinking.py"]
    assert gone(text.replace("| `network.py`", "| `weather.py`")) == ["harness/worlds/sim/weather.py"]
    assert unnamed(text.replace("| `verdict/` |", "| verdict |")) == ["verdict/"]


@pytest.mark.parametrize("page", ["harness/load/README.md", "notebooks/README.md"])
def test_a_table_of_files_names_existing_files(page: str) -> None:
    """In the page's own folder, or from the kit's."""
    _, _, text = read(page).partition("\n| file | what |\n" if "load" in page else "\n| what | is in |\n")
    names = [name for row in rows(f"\n{text}") for name in re.findall(r"`([\w./]+)`", row)]
    folders = (ROOT, (ROOT / page).parent, ROOT / "harness/reports")
    assert names
    for name in names:
        assert any((folder / name).exists() for folder in folders), name


def test_the_section_what_happens_where_is_true() -> None:
    """Each name in that section of the page about the harness is defined in the file named after it."""
    _, _, rest = read("harness/README.md").partition("\n## Where it happens\n")
    section, checked = rest.partition("\n## ")[0], 0
    for line in section.splitlines():
        spans = re.findall(r"`(.+?)`", line)
        for place, file in enumerate(spans):
            path = ROOT / (file if file.startswith("lab/") else f"harness/{file}")
            if file.endswith(".py"):
                names = [
                    span for span in spans[:place] if not span.startswith("--") and not span.endswith("/")
                ]
                assert path.is_file(), file
                assert names == [] or names[-1].endswith(".py") or names[-1] in defined(path), (
                    names[-1],
                    file,
                )
                checked += 1
    assert checked > 15


def defined(path: Path) -> set[str]:
    """The functions and classes of a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


# --- faults ------------------------------------------------------------------------------------------


def missing_of_faults(faults: Mapping[str, FaultKind]) -> list[str]:
    """What is missing for each fault: texts, a row in the page about the harness, a client that has it."""
    found = []
    page = read("harness/README.md")
    suffered = names_used([*(ROOT / "harness/scenarios").glob("*.py"), ROOT / "harness/worlds/client.py"])
    for name, kind in faults.items():
        owed = [f"event.fault_{name}"]
        owed += [f"diagram.{name}"] if kind.drawn else []
        owed += [f"how.{name}"] if kind.drawn and not kind.heals else []
        owed += [f"shows.{name}"] if kind.inbound is not Way.FLOWS or kind.outbound is not Way.FLOWS else []
        found += [f"{n}: {key}" for n in LANGUAGES for key in owed if not texts(n).has(key)]
        if f"\n| `{name}` | " not in page:
            found.append(f"harness/README.md: {name}")
        if name.upper() not in suffered:
            found.append(f"nobody suffers {name}")
    return found


def names_used(paths: Iterable[Path]) -> set[str]:
    """The names that the code in these files uses; an import alone is no use."""
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]
    found = {node.id for node in nodes if isinstance(node, ast.Name)}
    return found | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_every_fault_has_texts_and_is_used() -> None:
    """In each language: as an event, in a diagram, and what it shows; and some client has it."""
    assert missing_of_faults(FAULTS) == []


def test_a_fault_without_its_places_is_noticed() -> None:
    """Each of them."""
    assert missing_of_faults({"wobble": FaultKind(Way.HELD, Way.FLOWS)}) == [
        *(
            f"{n}: {key}"
            for n in LANGUAGES
            for key in ("event.fault_wobble", "diagram.wobble", "how.wobble", "shows.wobble")
        ),
        "harness/README.md: wobble",
        "nobody suffers wobble",
    ]


def test_every_text_and_row_of_a_fault_has_its_fault() -> None:
    """What the texts and the page call a fault exists."""
    keys = texts("en").keys()
    assert {key.removeprefix("event.fault_") for key in keys if key.startswith("event.fault_")} == set(FAULTS)
    _, _, section = read("harness/README.md").partition("\n## What each fault does not show\n")
    of_clients, _, of_servers = section.partition("\nWhat the server suffers")
    listed = [
        set(re.findall(r"`(\w+)`", row.split("|")[1])) for row in of_clients.splitlines() if "| `" in row
    ]
    assert set().union(*listed) == set(FAULTS)
    shown = {key.removeprefix("shows.") for key in keys if key.startswith("shows.")} - set(FAULTS)
    assert all(f"`{name}`" in of_servers for name in shown)


# --- steps and exercises -----------------------------------------------------------------------------


def steps_in(source: str) -> set[str]:
    """The steps that a scenario's source names."""
    constants = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {each for each in constants if isinstance(each, str) and re.fullmatch(r"\d\.\d", each)}


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_scenario_plays_and_checks_the_steps_of_its_exercise(exercise: int) -> None:
    """All of them and no others; each step that a component can break is one that its contract can fail."""
    slug, component = EXERCISES[exercise], COMPONENTS[exercise]
    source = (ROOT / f"harness/scenarios/{slug}.py").read_text()
    assert steps_in(source) == set(steps_of(exercise))
    last = steps_of(exercise)[-1]
    assert steps_in(source.replace(f'"{last}"', '"left out"')) == set(steps_of(exercise)) - {last}
    assert set(contract_of(component).STEPS.values()) <= set(BREAKABLE[component]) <= set(steps_of(exercise))


def test_frames_belong_to_steps() -> None:
    """A malformed frame fails a step that exists."""
    assert set(STEP_OF_FRAME.values()) <= set(POINTS)


NUMBERS = {18: "eighteen"}


def test_the_calls_that_are_recorded_are_known_for_each_exercise() -> None:
    """A simulated play with calls asks which ones belong to its exercise."""
    assert set(_ASKED_OF) == set(EXERCISES)
    assert all(COMPONENTS[number] in components for number, components in _ASKED_OF.items())


def test_the_page_for_instructors_counts_steps_and_points() -> None:
    """As many tests as there are steps; the points of components, and those of a whole server."""
    page = read("harness/grading/README.md")
    of_components = sum(points_for(step, COMPONENTS[n]) for n in EXERCISES for step in steps_of(n))
    assert f"# {NUMBERS[len(POINTS)]} tests, one for each step" in page
    assert f"the steps that it can break: {of_components} points in all." in page
    assert f"judged on every step, {sum(POINTS.values())} points:" in page
    for language in LANGUAGES:
        assert f" {sum(POINTS.values())} points\n" in read(translated("exercises/README.md", language))


def missing_of_exercises(exercises: Mapping[int, tuple[str, str]]) -> list[str]:
    """What is missing for each exercise, given by slug and component."""
    found = []
    for number, (slug, component) in exercises.items():
        found += missing_files(
            [
                f"harness/scenarios/{slug}.py",
                f"harness/contracts/{component}.py",
                f"harness/zoo/{slug}.py",
                f"lab/{component}.py",
                f"exercises/{slug}/{component}.py",
                *(translated(f"exercises/{slug}/README.md", language) for language in LANGUAGES),
                *(f"harness/quiz/questions/{slug}.{language}.toml" for language in LANGUAGES),
                f"solutions/{slug}/{component}.py",
                f"notebooks/{slug}.py",
                f"notebooks/{slug}.ipynb",
            ]
        )
        tables = {
            "SCENARIOS": getattr(SCENARIOS.get(number), "__name__", "") == f"harness.scenarios.{slug}",
            "CONTRACTS": component in CONTRACTS,
            "INTERFACES": component in INTERFACES,
            "Components": hasattr(Components(), component),
            "STUB_FAILS_BY": number in STUB_FAILS_BY,
            "EXCERPTS": any(each.page.startswith(f"exercises/{slug}/") for each in EXCERPTS),
            "notebooks/run.py": f'"{slug}"' in (ROOT / "notebooks/run.py").read_text(),
            "notebooks/README.md": f"| [{slug}]({slug}.ipynb) |" in read("notebooks/README.md"),
            "README.md": f"[{slug}](exercises/{slug}/README.md)" in read("README.md"),
            **{f"hints, {n}": len(texts(n).list(f"hints.{number}")) == 3 for n in LANGUAGES},
        }
        found += [name for name, is_there in tables.items() if not is_there]
    return found


def test_every_exercise_has_its_places() -> None:
    """Files, entries in the tables, hints."""
    assert missing_of_exercises({n: (EXERCISES[n], COMPONENTS[n]) for n in EXERCISES}) == []
    assert list(SCENARIOS) == list(EXERCISES)
    assert set(CONTRACTS) == set(INTERFACES) == set(COMPONENTS.values())


def test_an_exercise_without_its_places_is_noticed() -> None:
    """Each of them: nine files, the translations of each handout and quiz, and the tables."""
    found = missing_of_exercises({9: ("ex9_calls", "caller")})
    assert len(found) == 8 + 2 * len(LANGUAGES) + 9 + len(LANGUAGES)


# --- animals, commands, languages --------------------------------------------------------------------


def not_imported(sources: Mapping[str, str]) -> list[str]:
    """Those of these modules, each with its source,
    that create animals and are imported by no list of them.
    """
    lists = [Path(str(each.__file__)) for each in (animals, servers)]
    nodes = [node for path in lists for node in ast.parse(path.read_text()).body]
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    makes = re.compile(r"^(@animal\(|( {4})?keep\()", re.MULTILINE)
    return [name for name, source in sources.items() if makes.search(source) and name not in imported]


def test_every_module_with_animals_is_imported() -> None:
    """Otherwise they would be in no list, and nobody would notice."""
    sources = {path.stem: path.read_text() for path in (ROOT / "harness/zoo").glob("*.py")}
    assert not_imported({name: source for name, source in sources.items() if name != "animal"}) == []
    assert not_imported({"ex9_calls": sources["ex1_chat"]}) == ["ex9_calls"]
    assert not_imported({"components2": sources["components"]}) == ["components2"]
    assert not_imported({"single_file2": sources["single_file"]}) == ["single_file2"]


def missing_of_commands(commands: Mapping[str, click.Command]) -> list[str]:
    """What is missing for each command: a help text, a module of its own, a block of a page that uses it."""
    shown = "".join(block[2] for page in PAGES for block in blocks(read(page)) if block[1] == "sh")
    found = []
    for name, command in commands.items():
        module = getattr(command.callback, "__module__", "")
        if module != OF_THE_SERVER.get(name, f"harness.cli.{name}"):
            found.append(f"{name}: is in {module}")
        if not command.help or not command.get_short_help_str():
            found.append(f"{name}: no help")
        if not re.search(rf"^chatlab {name}\b", shown, re.MULTILINE):
            found.append(f"{name}: no page shows it")
    return found


def test_every_command_has_its_places() -> None:
    """Those of the server are in `lab`."""
    assert missing_of_commands(cli.commands) == []


def test_a_command_without_its_places_is_noticed() -> None:
    """Each of them."""
    found = missing_of_commands({"dance": click.Command("dance", callback=lambda: None)})
    assert found == [f"dance: is in {__name__}", "dance: no help", "dance: no page shows it"]


def missing_of_languages(languages: Iterable[str]) -> list[str]:
    """What is missing for each language, apart from what is compared text by text."""
    found = []
    for language in languages:
        pages = ["exercises/README.md", *(f"exercises/{slug}/README.md" for slug in EXERCISES.values())]
        found += missing_files(
            [
                f"harness/texts/{language}.toml",
                *(translated(page, language) for page in pages),
                *(f"harness/quiz/questions/{slug}.{language}.toml" for slug in EXERCISES.values()),
            ]
        )
        for words in ("texts.js", "lessonwords.js", "lessons.js"):
            if not re.search(rf"^ +{language}: \{{$", (ROOT / "lab/web" / words).read_text(), re.MULTILINE):
                found.append(f"lab/web/{words}: {language}")
        if f'"{language}"' not in read("harness/entry_points/chatlab_pytest.py"):
            found.append(f"--lab-lang: {language}")
    return found


def test_every_language_has_its_places() -> None:
    """Texts, handouts, the chat page, the option under pytest."""
    assert missing_of_languages(LANGUAGES) == []
    texts_of = {path.stem for path in (ROOT / "harness/texts").glob("*.toml")}
    assert texts_of == set(LANGUAGES)


def test_a_language_without_its_places_is_noticed() -> None:
    """Each of them."""
    assert len(missing_of_languages(["la"])) == 1 + 1 + 2 * len(EXERCISES) + 3 + 1

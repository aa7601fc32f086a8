"""A component that the server cannot use is reported in the language of the report."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.checkers.catalogue import Anomaly
from harness.reports.unusable import with_problem
from harness.reports.words import Words
from harness.texts import texts
from lab.loader import ComponentError, load

METHODS = """
    def subscribe(self, room, member): ...
    def unsubscribe(self, room, member): ...
    def members(self, room): ...
    def rooms(self): ...
"""
MISTAKES = {
    "own_line": "import json\nfrom lab.pubsub import PubSub\n",
    "own": "import importlib\nPubSub = importlib.import_module('lab.pubsub').PubSub\n",
    "no_class": "x = 1\n",
    "class_near": "class Pubsub: ...\n",
    "class_others": "class Rooms: ...\nclass Other: ...\n",
    "missing": f"class PubSub:{METHODS}",
    "not_async": f"class PubSub:{METHODS}    async def publish(self, room, frame): ...\n",
    "signature": f"class PubSub:{METHODS}    def publish(self, frame): ...\n",
    "raised": "x = 1\n1 / 0\n",
}
"""A file for each text of the table `component`, but for that of a file which is not there."""
SYNTAX_ERROR = "import os\n\nclass PubSub\n    pass\n"


@pytest.fixture(autouse=True)
def _modules() -> Iterator[None]:
    """A component's imports and changes of the path are undone after its test."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path


def complaint(path: Path) -> str:
    """What the server prints about a file with an unusable component."""
    with pytest.raises(ComponentError) as refused:
        load("pubsub", path)
    return str(refused.value)


def failed_start(*lines: str) -> Anomaly:
    """A server that printed these lines and ended before it listened."""
    return Anomaly("no_start", {"code": 1, "output": "\n".join(lines)}, [], "exited")


def marked(lines: list[str]) -> str:
    """Lines as a report shows what a program has printed, of which the first one follows something."""
    return "\n| ".join(lines)


def test_every_text_has_its_mistake() -> None:
    """No text of the table is unused."""
    keys = list(texts("en").keys())
    texts_of_mistakes = {key.removeprefix("component.") for key in keys if key.startswith("component.")}
    assert texts_of_mistakes == {*MISTAKES, "no_file"}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_the_server_says_is_recognised(name: str, tmp_path: Path) -> None:
    """Its English sentence is that of the texts, word for word, and the French one has the same names."""
    path = tmp_path / "mine.py"
    path.write_text(MISTAKES[name], encoding="utf-8")
    sentence = complaint(path)
    found = with_problem(failed_start("INFO something else", f"Error: {sentence}"))
    assert (found.variant, found.params["problem"]) == ("component", f"component.{name}")
    assert marked(sentence.splitlines()) in Words(texts("en")).message(found)
    french = Words(texts("fr")).message(found)
    assert "inutilisable" in french
    assert str(path) in french
    assert sentence not in french


def test_a_file_that_is_not_there_is_recognised(tmp_path: Path) -> None:
    """With the option that names it."""
    found = with_problem(failed_start(f"Error: {complaint(tmp_path / 'no.py')}"))
    assert found.params["problem"] == "component.no_file"
    assert found.params["use"] == f"pubsub={tmp_path / 'no.py'}"


def test_a_syntax_error_keeps_its_lines(tmp_path: Path) -> None:
    """The message is Python's; the line and the caret below it stay where they were."""
    path = tmp_path / "mine.py"
    path.write_text(SYNTAX_ERROR, encoding="utf-8")
    sentence = complaint(path)
    said = Words(texts("fr")).message(failed_start(*f"Error: {sentence}".splitlines()))
    assert said.splitlines()[2:] == [f"| {line}" for line in sentence.splitlines()[1:]]
    assert f"{path}, ligne 3\u00a0: SyntaxError: " in said


@pytest.mark.parametrize(
    "lines",
    [
        ["Error: Cannot find module 'ws'"],
        ["Traceback (most recent call last):", "ValueError: mine.py, line 3: no"],
        ["Error: listen EADDRINUSE: address already in use 127.0.0.1:8080", "    at Server.setup"],
        [],
    ],
)
def test_what_other_servers_print_is_left_alone(lines: list[str]) -> None:
    """Their last lines are shown as they are, each with a mark, with the usual advice."""
    anomaly = failed_start(*lines)
    assert with_problem(anomaly) is anomaly
    assert marked(["", *lines]) in Words(texts("fr")).message(anomaly)


def test_other_findings_are_left_alone() -> None:
    """A server that died later is not one that did not start."""
    died = Anomaly("server_died", {"code": 1, "output": "Error: x.py, line 3: ValueError: no"})
    assert with_problem(died) is died

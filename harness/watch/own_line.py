"""The line of the student's own file that a finding of direct calls is about.

A finding names the method that owes something, and its last call may be one that this method has made. So we
look for that call in the method, or else take the line where the method begins.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from msgspec import Struct

from harness.checkers.catalogue import Anomaly
from harness.history.events import Called
from harness.judged.tracks import PYTHON, called

_METHOD = r"^\s*(?:(?:public|private|protected|async|override|readonly)\s+)*{name}\s*(?:=\s*(?:async\s*)?)?\("


class OwnLine(Struct, frozen=True):
    """A line of a file, in a method."""

    file: str
    line: int
    function: str
    source: str
    is_call: bool
    """Whether it is a call that the finding ends with, and not just where its method begins."""

    @property
    def place(self) -> str:
        """As causes name it: "sequencer.py, line 12, in accept"."""
        return f"{self.file}, line {self.line}, in {self.function}"


def own_line(anomaly: Anomaly, file: Path, track: str) -> OwnLine | None:
    """The line; None if the finding is about no method, or if the file does not have it."""
    duty = str(anomaly.params.get("duty", "")).rpartition(".")[2]
    if not anomaly.is_of_a_contract or not duty:
        return None
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    method = called(duty, track)
    find = _in_python if track == PYTHON else _in_typescript
    found = find(text, method, called(_last_call(anomaly), track))
    if found is None:
        return None
    number, is_call = found
    return OwnLine(file.name, number, method, text.splitlines()[number - 1].strip(), is_call)


def _last_call(anomaly: Anomaly) -> str:
    """The name of the last call in the evidence, "publish" of `pubsub.publish(…)`."""
    calls = [event.what for event in anomaly.evidence if isinstance(event, Called)]
    return calls[-1].partition("(")[0].rpartition(".")[2] if calls else ""


def _in_python(text: str, method: str, call: str) -> tuple[int, bool] | None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = next((each for each in functions if each.name == method), None)
    if found is None:
        return None
    calls = [
        node.lineno
        for node in ast.walk(found)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == call
    ]
    return (calls[0], True) if len(calls) == 1 else (found.lineno, False)


def _in_typescript(text: str, method: str, call: str) -> tuple[int, bool] | None:
    """The same, where the syntax is not read: the only such call in the file counts, too."""
    lines = text.splitlines()
    begin = re.compile(_METHOD.format(name=re.escape(method)))
    first = next((number for number, line in enumerate(lines, 1) if begin.match(line)), None)
    if first is None:
        return None
    calls = [number for number, line in enumerate(lines, 1) if call and f".{call}(" in line]
    return (calls[0], True) if len(calls) == 1 and calls[0] > first else (first, False)

"""Whatever a server, a submission or a file's name holds: no output obeys it, and none fails for it.

The places that a text can come from, as a table, each in a run; and the outputs, as another one.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.checkers.catalogue import Anomaly
from harness.doctor.examine import Answer, Examination, Question
from harness.doctor.show import show
from harness.grading.result import Part
from harness.grading.table import cell
from harness.history.as_json import from_json, to_json
from harness.history.events import Closed, Event, GaveUp, Opened, Printed, Received, Server
from harness.load import compare_report
from harness.load import report as load_report
from harness.load.as_json import as_json
from harness.load.compare import compare
from harness.load.judging import Findings, Load, Result
from harness.load.outputs import Files, write
from harness.load.stored import read
from harness.reports.jsonreport import report
from harness.reports.outfile import write_out
from harness.reports.page import page
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.reports.words import Words
from harness.running.run import Run
from harness.texts import texts
from harness.texts.problem import Problem
from harness.verdict.causes import Cause
from harness.verdict.outcome import Outcome, StepResult, Text
from tests.harness.reports.runs import story_of

HOSTILE = "x\x1b[2J\x9b31m\x07\x7f\r\n  ✓ 9.9 \u202e\u200b\u2028[/red]:smile:<b>&\ufffe\U000e0041"
"""What steers a terminal, what nobody sees, a line that looks like ours, and what means something to rich, to
HTML and to XML."""
OBEYED = set("\x1b\x9b\x07\x7f\r\u202e\u200b\u2028\ufffe\U000e0041")
NOT_UTF_8 = "\udce9mile"


@dataclass
class Hostile:
    """A run and an anomaly with a hostile text in one place."""

    run: Run
    found: Anomaly
    text: str


def _heard(frame: Any, text: str | None = None) -> Event:
    return Received(1.0, "bob", 1, frame, 10, text)


def _error(**data: Any) -> Event:
    return _heard({"type": "error", "data": {"code": "bad_request", "message": "no", **data}})


def _message(**data: Any) -> Event:
    right = {"id": "i", "room": "red", "user": "ada", "content": "c", "sequence": 1, "timestamp": 1}
    return _heard({"type": "message", "data": right | data})


def _presence(user: Any, status: Any = "online") -> Event:
    return _heard({"type": "presence", "data": {"room": "red", "users": [{"user": user, "status": status}]}})


EVENTS: dict[str, Callable[[str], Event]] = {
    "an error's code": lambda text: _error(code=text),
    "an error's message": lambda text: _error(message=text),
    "a user": lambda text: _message(user=text),
    "a room": lambda text: _message(room=text),
    "a content": lambda text: _message(content=text),
    "a sequence": lambda text: _message(sequence=text),
    "a type": lambda text: _heard({"type": text, "data": {}}),
    "a key": lambda text: _heard({"type": "odd", text: text}),
    "a key in data": lambda text: _message(**{text: text}),
    "a user in a list": lambda text: _presence(text),
    "a status in a list": lambda text: _presence("ada", text),
    "a number in a page": lambda text: _heard(
        {"type": "history", "data": {"room": text, "messages": [{"sequence": text}]}}
    ),
    "a frame that is not JSON": lambda text: _heard(None, text),
    "the reason of a close": lambda text: Closed(1.0, "bob", 1, "server", 1000, text),
    "the name that the server gave": lambda text: Opened(1.0, "bob", 1, text, "bob", 1.0, 2.0),
    "what was waited for": lambda text: GaveUp(1.0, "bob", 1, text, 3.0, "red"),
    "what the server printed": lambda text: Printed(1.0, text),
    "what became of the server": lambda text: Server(1.0, "died", {"code": text}),
}
"""Events, each with a hostile text in one place."""
PARAMS = ("who", "room", "user", "field", "first", "why", "output", "got", "content", "status")
"""Parameters of a sentence that come from outside."""


def _of_event(make: Callable[[str], Event]) -> Callable[[str], Hostile]:
    def hostile(text: str) -> Hostile:
        params = {"who": "bob", "room": "red", "field": "data.user", "problem": "problem.string"}
        return _run(Anomaly("malformed_frame", params, [make(text)]), text)

    return hostile


def _run(found: Anomaly, text: str, output: str = "", target: str = "ada", defect: str = "") -> Hostile:
    story, _ = story_of(4)
    failed = StepResult("2.1", Outcome.FAILED, 0, 2, None, anomalies=[found])
    others = [
        StepResult("2.2", Outcome.PASSED, 2, 2, Text("said", {"messages": text, "rooms": text})),
        StepResult("2.3", Outcome.INCONCLUSIVE, 0, 2, Text("slow_machine", {"seconds": text})),
    ]
    history = [*story.events, *found.evidence]
    notes = [Text("extra_field", {"name": text, "field": text})]
    return Hostile(
        Run(2, "7", "live", target, 1.5, [failed, *others], notes, [output], 0.0, history, defect),
        found,
        text,
    )


def _with_causes(hostile: Hostile, text: str) -> Hostile:
    hostile.run.causes = [
        Cause(kind, text, text, text, error=text) for kind in ("raised", "unusable", "none")
    ]
    return hostile


def _plain(params: dict[str, Any] | None = None) -> Anomaly:
    right = {"who": "alice", "room": "red", "first": 2, "then": 1, "count": 1}
    return Anomaly("reorder", right | (params or {}), [_message()])


def _of_param(name: str) -> Callable[[str], Hostile]:
    return lambda text: _run(_plain({name: text}), text)


PLACES: dict[str, Callable[[str], Hostile]] = {
    **{name: _of_event(make) for name, make in EVENTS.items()},
    **{f"the parameter {name}": _of_param(name) for name in PARAMS},
    "the server's output": lambda text: _run(_plain(), text, output=text),
    "what the code did": lambda text: _with_causes(_run(_plain(), text), text),
    "a file's name": lambda text: _run(_plain(), text, target=text),
    "an exception of a component": lambda text: _run(_plain(), text, defect=f"ValueError: {text}"),
}


# --- the outputs ------------------------------------------------------------------------------------


def _summary(hostile: Hostile) -> Summary:
    return Summary(7, "live", hostile.run.target, 2.0, [[hostile.run]])


def _terminal(hostile: Hostile) -> str:
    out = StringIO()
    _report(Terminal(texts("fr"), verbose=True, out=out), hostile)
    return out.getvalue()


def _coloured(hostile: Hostile) -> str:
    """On a terminal; without colours, which are escape sequences, too."""
    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, soft_wrap=True)
    terminal = Terminal(texts("en"), verbose=True, console=console)
    _report(terminal, hostile)
    return out.getvalue()


def _report(terminal: Terminal, hostile: Hostile) -> None:
    terminal.run(hostile.run)
    terminal.table(hostile.run)
    terminal.output([hostile.text])
    terminal.anomalies([hostile.found], "")
    terminal.summary(_summary(hostile), hints=True)


def _doctor(hostile: Hostile) -> str:
    out = StringIO()
    got = [each for each in hostile.found.evidence if isinstance(each, Received)]
    answers = [Answer(Question("join", {}), got, got, dropped=True)]
    examined = Examination(answers, [], [hostile.found], hostile.run.history, "", hostile.run.output, None)
    show(examined, Terminal(texts("en"), out=out), f"chatlab check --server {hostile.text}")
    return out.getvalue()


def _result(hostile: Hostile) -> Result:
    load = Load(hostile.text, "steady", 1, 1, 5.0)
    reasons = [Text("server", {"why": hostile.text})]
    return Result(load, Outcome.FAILED, Findings([hostile.found]), reasons, 1, 1, 1, 1.0, {}, 0.0, [], 1)


def _load(hostile: Hostile, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    load_report.tell(_result(hostile), "en", "")
    return capsys.readouterr().out


def _load_pages(hostile: Hostile, folder: Path) -> dict[str, str]:
    """A load as a page and as OpenMetrics, and the page of its comparison with itself: by its JSON."""
    files = Files([str(folder / "a.json")], str(folder / "a.html"), str(folder / "a.prom"))
    write(as_json(_result(hostile), Words(texts("en"))), files, texts("en"))
    stored = read((folder / "a.json").read_bytes())
    compared = compare_report.page(stored, stored, (hostile.text, "b"), compare(stored, stored), texts("fr"))
    return {
        "the page of a load": (folder / "a.html").read_text(),
        "OpenMetrics": (folder / "a.prom").read_text(),
        "the page of a comparison": compared,
    }


def _log_of_grade(hostile: Hostile) -> str:
    from harness.grading.grade import _part

    part: Part = _part(_summary(hostile), texts("en"))
    return part.log


def _sentence(hostile: Hostile, capsys: pytest.CaptureFixture[str]) -> str:
    """Wrong usage, as the command says it."""
    from harness.texts.console import echo

    echo(Problem("target.no_folder", path=Path(hostile.text)).said_in(texts("en")), err=True)
    return capsys.readouterr().err


@pytest.mark.parametrize("place", PLACES)
def test_no_output_obeys_what_it_shows(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In each output, the text of each place has escapes, and begins no line that looks like one of ours."""
    hostile = PLACES[place](HOSTILE)
    outputs = {
        "a terminal": _terminal(hostile),
        "a terminal with colours": _coloured(hostile),
        "the doctor": _doctor(hostile),
        "a load": _load(hostile, capsys),
        **_load_pages(hostile, tmp_path),
        "the log of a grade": _log_of_grade(hostile),
        "a sentence": _sentence(hostile, capsys),
        "a page": page([_summary(hostile)], texts("en"), f"chatlab check {hostile.text}"),
        "a table": cell(hostile.text),
    }
    for name, shown in outputs.items():
        assert not OBEYED & set(shown), name
        assert "page" not in name or "<b>&" not in shown
        if "page" not in name and place != "an exception of a component":
            assert not any(line.startswith("  ✓ 9.9") for line in shown.splitlines()), name
    assert any("\\x1b" in shown for shown in outputs.values())


def test_output_of_a_program_is_marked() -> None:
    """Each line of it, however it is indented, and however it is wrapped: none looks like one of a report."""
    line = "  ✓ 2.1  Fast messages from several clients are all accepted             2 of 2 " + "word " * 40
    hostile = _run(Anomaly("server_died", {"code": 1, "output": f"{line}\n{line}"}, []), "x", output=line)
    shown = [each for each in _terminal(hostile).splitlines() if "word word" in each]
    assert len(shown) > 6
    assert all(each.lstrip().startswith("| ") for each in shown)


@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_is_no_text_stops_nothing(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bytes that are not UTF-8 are shown, kept in JSON, and handed to another process."""
    hostile = PLACES[place](NOT_UTF_8)
    for shown in (_terminal(hostile), _coloured(hostile), _doctor(hostile), _load(hostile, capsys)):
        shown.encode()
    page([_summary(hostile)], texts("en"), NOT_UTF_8).encode()
    _load_pages(hostile, tmp_path)
    said = json.dumps(report(_summary(hostile), texts("en")), ensure_ascii=False)
    assert write_out(tmp_path / "report.json", said, texts("en"))
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["verdict"] == "failed"
    assert from_json(to_json(hostile.run), Run) == hostile.run


@pytest.mark.parametrize("place", PLACES)
def test_the_pictures_of_a_page_are_xml(place: str) -> None:
    """Each picture can be taken out of the page and stands as XML 1.0."""
    shown = page([_summary(PLACES[place](HOSTILE))], texts("en"), "")
    for piece in shown.split("<svg ")[1:]:
        ET.fromstring(f"<svg {piece.partition('</svg>')[0]}</svg>")

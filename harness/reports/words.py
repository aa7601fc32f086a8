"""Findings and events as text, in the student's language; all reports share it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from harness.checkers.catalogue import INTERFACES, Anomaly
from harness.checkers.delivery import excerpt
from harness.history import events as history
from harness.history.events import Event
from harness.history.frames import decode
from harness.history.raised import essence
from harness.judged.tracks import PYTHON, TYPESCRIPT
from harness.reports.calls import Line, lines_of
from harness.reports.dialect import Dialect
from harness.reports.unusable import problem_in, with_problem
from harness.running.run import Run
from harness.texts import Texts
from harness.verdict.causes import Cause
from harness.verdict.outcome import Text
from lab.legible import both_ends, one_line
from lab.protocol import SYSTEM

ENDED = ("reset", "eof")
"""How a connection may end without a closing frame."""
_UNSETTLED = 13
"""The exit code of Node when an `await` outside of all functions never ended."""
_PORT_TAKEN = re.compile(r"EADDRINUSE|address already in use|\[Errno (48|98|10048)\]", re.IGNORECASE)
_AWAITED = ("sequencer.", "store.")
"""Prefixes of calls that are awaited."""
_NAMING = "sequencer."
"""The prefix of calls that have a number of their own, such as `accept#2`."""
_CALL = 200
"""Characters of a call, or of its result, that are shown."""
_LONGEST_ERROR = 200
"""Characters of an exception that are shown."""
_LONGEST = 1000
"""Characters of a frame that are shown: its names may be of any length."""
_OF_SEVERAL_LINES = ("output",)
"""Parameters whose lines are shown as lines."""
_SINCE = ("joined", "after")
"""What can be said of a `since`, or of its absence."""
_NOTHING = "–"
"""How findings of direct calls write that a list of numbers or names is empty."""
_PLACE = re.compile(r", line (?P<line>\d+)(?:, in (?P<function>[\w.<>#$]+))?(?P<colon>: )?")
"""A line of code as causes name it: after a file's name, and often before what stands there."""
_RULES_IN_WORDS = ("start", "frames", "limits")


class Words:
    """Text in one language, in which all names are without the run's nonce."""

    def __init__(
        self, texts: Texts, nonce: str = "", component: str | None = None, track: str = PYTHON
    ) -> None:
        self.texts = texts
        self._component = component
        self._track = track
        self._dialect = Dialect(texts, track)
        self._suffix = f"-{nonce}" if nonce else ""

    @classmethod
    def of(cls, run: Run, texts: Texts) -> Words:
        """The words for a report of a run."""
        return cls(texts, run.nonce, run.component, run.track)

    def without_nonce(self, text: str) -> str:
        """A text in which all names are without the run's nonce."""
        return text.replace(self._suffix, "") if self._suffix else text

    def clean(self, value: Any) -> Any:
        """A name or text without the run's nonce; what it holds cannot begin a new line of a report."""
        if isinstance(value, str):
            return one_line(self.without_nonce(value))
        if isinstance(value, list):
            return ", ".join(str(self.clean(each)) for each in value)
        return value

    def params(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters of a text; names of bad frames, expectations and problems become words."""
        is_of_loader = str(params.get("problem")).startswith(("component.", "typescript."))
        # With the line, and a caret below.
        as_lines = (*_OF_SEVERAL_LINES, "error", "errors") if is_of_loader else _OF_SEVERAL_LINES
        said = {key: value if key in as_lines else self.clean(value) for key, value in params.items()}
        if isinstance(said.get("what"), str):
            said["what"] = ", ".join(self._known("bad", each) for each in said["what"].split(", "))
        if isinstance(said.get("where"), str):
            said["where"] = self._place(said["where"])
        if isinstance(said.get("expected"), str):
            said["expected"] = self._known("expected", said["expected"])
        if isinstance(said.get("how"), str):
            said["how"] = self._known("how", said["how"])
        if isinstance(said.get("gone"), str):
            said["gone"] = self._known("gone", said["gone"])
        if isinstance(said.get("after"), str):
            said["after"] = self._known("after", said["after"])
        for numbers in ("got", "owed"):
            if said.get(numbers) == _NOTHING:
                said[numbers] = self.texts.say("ui.nothing")
        if said.get("output") == "":
            said["output"] = self.texts.say("ui.output_elsewhere" if "url" in said else "ui.no_output")
        if "since" in said:
            said |= self._since(said["since"])
        if isinstance(said.get("violation"), str):
            said |= self._violation(said["violation"], str(said.get("more", "")))
        if isinstance(said.get("problem"), str):
            said["problem"] = self.texts.say(said["problem"], **said)
        return said

    def _place(self, where: str) -> str:
        """A line of code in the language of the report."""

        def told(found: re.Match[str]) -> str:
            named = found.groupdict()
            place = self.texts.say(f"place.{'function' if named['function'] else 'line'}", **named)
            return place + (self.texts.say("ui.colon") if named["colon"] else "")

        return _PLACE.sub(told, where)

    def _violation(self, name: str, more: str) -> dict[str, str]:
        """What a server sent that broke the WebSocket protocol, and what to do about it."""
        return {
            "violation": self.texts.say(f"violation.{name}", more=more),
            "remedy": self.texts.say(f"remedy.{name}"),
        }

    def _since(self, since: int | None) -> dict[str, str]:
        """What a join was sent with, and what a request for history asked for: many have no `since`."""
        key = "without" if since is None else "with"
        return {f"{what}_since": self.texts.say(f"since.{what}_{key}", since=since) for what in _SINCE}

    def _known(self, table: str, key: str) -> str:
        return self.texts.say(f"{table}.{key}") if self.texts.has(f"{table}.{key}") else key

    def text(self, table: str, text: Text) -> str:
        """A receipt, doubt or note."""
        key = self._dialect.key(f"{table}.{text.key}")
        return self._dialect.said(self.texts.say(key, **self.params(text.params)))

    def step(self, step: str) -> str:
        """The title of a step."""
        return self.texts.say(f"step.{step.replace('.', '-')}")

    def first_cause(self, cause: Cause) -> str:
        """What the judged code did by itself, where, how often, and when first."""
        times = "direct" if cause.at is None else "once" if cause.count == 1 else "several"
        times = "first" if cause.kind == "unawaited" and cause.at is not None else times
        often = self.texts.say(f"first.{times}", count=cause.count, at=f"{cause.time:.3f}")
        said = self.texts.say(
            self._dialect.key(f"first.{cause.kind}{_variant_of(cause)}"),
            what=excerpt(self.clean(cause.what), width=_LONGEST_ERROR),
            where=self._place(self.clean(cause.where)),
            error=excerpt(self.clean(cause.error), width=_LONGEST_ERROR),
            seconds=f"{cause.seconds:.1f}",
            often=often,
        )
        return self._dialect.said(said)

    # --- anomalies --------------------------------------------------------------------------------

    def title(self, anomaly: Anomaly) -> str:
        """What went wrong, in a few words."""
        key, at_url = f"anomaly.{anomaly.name}.title", f"title_at_url.{anomaly.name}"
        is_at_url = "url" in anomaly.params and self.texts.has(at_url)
        return self._dialect.said(self.texts.say(at_url if is_at_url else key))

    def message(self, anomaly: Anomaly) -> str:
        """What happened: who saw what."""
        anomaly = with_problem(anomaly)
        said = self.texts.say(self._variant(anomaly, "says"), **self.params(anomaly.params))
        return self._dialect.said(said)

    def cause(self, anomaly: Anomaly) -> str:
        """The likely cause; if one component is judged, the cause in that one."""
        anomaly = with_problem(anomaly)
        if anomaly.variant == "exited" and not str(anomaly.params.get("output", "")).strip():
            anomaly = replace(anomaly, variant="exited_unsaid")
        key = f"anomaly.{anomaly.name}.cause"
        for own in (f"{key}_{anomaly.variant}_for_{self._component}", f"{key}_for_{self._component}"):
            if self._component and self.texts.has(own):
                said = self.texts.say(self._dialect.key(own), **self.params(anomaly.params))
                return self._dialect.said(said)
        said = self.texts.say(self._variant(anomaly, "cause"), **self.params(anomaly.params))
        return self._dialect.said(said)

    def _variant(self, anomaly: Anomaly, what: str) -> str:
        key = f"anomaly.{anomaly.name}.{what}"
        variant = anomaly.variant
        while variant and not self.texts.has(f"{key}_{variant}"):
            variant = variant.rpartition("_")[0]  # `left_closed` is told as `left`, where it has no own text
        if not variant and anomaly.params.get("where") == "" and self.texts.has(f"{key}_nowhere"):
            variant = "nowhere"
        return self._dialect.key(f"{key}_{variant}" if variant else key)

    def rule(self, anomaly: Anomaly) -> str:
        """The reference to the broken rule."""
        rule = anomaly.rule
        if rule == INTERFACES:
            said = self.texts.say("ui.rule_interfaces", duty=anomaly.params.get("duty", ""))
            return self._dialect.said(said)
        if rule in _RULES_IN_WORDS:
            return self.texts.say(f"ui.rule_{rule}")
        return self.texts.say("ui.rule", rule=rule)

    def course(self, anomaly: Anomaly) -> str:
        """The section of the course."""
        return self.texts.say("ui.course", section=self.texts.say(f"section.{anomaly.kind.section}"))

    def look(self, anomaly: Anomaly) -> str:
        """What to read about it."""
        return self.rule(anomaly) + self.texts.say("ui.semicolon") + self.course(anomaly)

    def calls(self, anomaly: Anomaly) -> list[Line]:
        """The calls that show a breach of a contract."""
        found = lines_of(anomaly.evidence)
        return [replace(each, what=self._dialect.said(each.what)) for each in found]

    def explained(self, anomaly: Anomaly) -> list[str]:
        """What the codes and errors of a finding mean, a sentence for each."""
        keys: list[str] = []
        for event in anomaly.evidence:
            match event:
                case history.Closed(by="server", code=1006, reason=reason) if reason in ENDED:
                    keys.append(reason)
                case history.Closed(by="server", code=code):
                    keys.append(str(code))
                case history.GaveUp(wanted=wanted):
                    keys.append(wanted.split(" ")[-1])
        if anomaly.variant != "old_connections" and _PORT_TAKEN.search(str(anomaly.params.get("output", ""))):
            keys.append("port_taken")
        if anomaly.params.get("code") == _UNSETTLED and self._is_of_node(anomaly):
            keys.append("unsettled")
        return [self.texts.say(f"help.{key}") for key in dict.fromkeys(keys) if self.texts.has(f"help.{key}")]

    def _is_of_node(self, anomaly: Anomaly) -> bool:
        """Whether a server that ended is certainly one in Node."""
        return self._track == TYPESCRIPT or "top-level await" in str(anomaly.params.get("output", ""))

    # --- events -----------------------------------------------------------------------------------

    def event(self, event: Event) -> tuple[float, str, str]:
        """When, who, and what."""
        say = self.texts.say
        who = str(getattr(event, "client", "")) or say("event.server")
        match event:
            case history.Received(frame=frame, text=text):
                what = say("event.received", what=self.frame(frame, text))
            case history.Sent(frame=frame, text=text, bad=bad):
                said = self.frame(frame, text) + self._id_in(frame)
                what = say("event.sent_bad" if bad else "event.sent", what=said)
            case history.Closed(by="server", code=code, reason=reason):
                how = say(f"ended.{reason}") if reason in ENDED else reason
                more = say("ui.colon") + how if how else ""
                what = say("event.closed_server", code=code, reason=more)
            case history.Closed(by="kit", code=code, reason=reason):
                name, _, more = reason.partition(" ")
                what = say("event.closed_kit", code=code, reason=self._violation(name, more)["violation"])
            case history.Closed():
                what = say("event.closed_client")
            case history.Opened(user=user):
                what = say("event.opened", user=self.clean(user))
            case history.Joined(room=room):
                what = say("event.joined", room=self.clean(room))
            case history.Left(room=room):
                what = say("event.left", room=self.clean(room))
            case history.GaveUp(seconds=seconds, wanted=wanted):
                what = say("event.gave_up", seconds=seconds, wanted=wanted.split(" ")[0])
            case history.Fault(fault=fault):
                what = say(f"event.fault_{fault}")
            case history.Server(what=kind, detail=detail, second=is_second):
                what = say(f"event.server_{kind}", **{"code": "?", **detail})
                who = say("event.copy") if is_second else who
            case history.Printed(second=is_second):
                who = say("event.copy") if is_second else who
                what = self._printed(event)
            case history.Called(who=caller):
                who, what = caller or who, self._dialect.said(self._call(event))
            case _:
                what = type(event).__name__
        return event.at, one_line(who), one_line(what)

    def _printed(self, event: history.Printed) -> str:
        """A line that the server printed; of a traceback or a warning, what it says, and where it begins."""
        if event.more:
            return self.texts.say("event.printed_more", count=event.more)
        lines = essence(event.text.splitlines())
        if problem := problem_in(event.text):  # the reference server says why it cannot use a component
            key, params = problem
            lines = self.texts.say(key, **params).splitlines()[:1]
            return self.texts.say("event.printed", what=both_ends(self.clean(lines[0]), _CALL))
        said = [self._place(excerpt(self.clean(each), width=_CALL)) for each in lines]
        return self.texts.say("event.printed", what="   ".join(said))

    def _call(self, event: history.Called) -> str:
        """The begin or end of a call; the end is not shown of a call that returns None at once."""
        what = both_ends(self.clean(event.what), _CALL)
        if event.result is None:
            return f"{what} …" if what.startswith(_AWAITED) else what
        if what.startswith(_NAMING):
            what = f"{what.partition('(')[0]}(…)"  # the arguments are shown at its begin
        return f"{what} → {both_ends(self.clean(event.result), _CALL)}"

    def _id_in(self, frame: Any) -> str:
        """The `id` of a sent message, which identifies retries."""
        data = frame.get("data") if isinstance(frame, dict) else None
        id = data.get("id") if isinstance(data, dict) else None
        return f" id={excerpt(self.clean(id), width=12)}" if isinstance(id, str) else ""

    def frame(self, frame: Any, text: str | None) -> str:
        """A frame in one short line."""
        line = one_line(self._frame(frame, text))
        return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"

    def _frame(self, frame: Any, text: str | None) -> str:
        if not isinstance(frame, dict):
            return both_ends(self.clean(text or str(frame)), 200)
        kind, data = frame.get("type"), frame.get("data")
        data = data if isinstance(data, dict) else {}
        room = self.clean(data.get("room") or frame.get("room") or "")
        match kind:
            case "message" if isinstance(data.get("content"), str):
                is_numbered = "sequence" in data and data.get("user") != SYSTEM
                number = f" #{data['sequence']}" if is_numbered else ""
                said = self._quoted(excerpt(self.clean(data["content"])))
                user = f" {self.clean(data['user'])}:" if "user" in data else ""
                return f"message{number} {room}{user} {said}"
            case "message":
                return both_ends(self.clean(json.dumps(frame, ensure_ascii=False)), 200)
            case "history" if isinstance(data.get("messages"), list):
                numbers = [m.get("sequence") for m in data["messages"] if isinstance(m, dict)]
                return f"history {room} [{self._span(numbers)}]"
            case "presence" if isinstance(data.get("users"), list):
                users = [u for u in data["users"] if isinstance(u, dict)]
                shown = ", ".join(f"{self.clean(u.get('user'))} {u.get('status')}" for u in users[:12])
                whole = " full" if data.get("full") is True else ""
                return f"presence{whole} {room} [{shown}{', …' if len(users) > 12 else ''}]"
            case "error":
                said = self._quoted(both_ends(self.clean(str(data.get("message", "")))))
                return f"error {data.get('code', '')} {said}"
        apart = ("type", "data", "room")
        fields = {key: each for key, each in frame.items() if key not in apart and each is not None}
        more = " ".join(f"{key}={_written(value)}" for key, value in fields.items())
        return " ".join(part for part in (str(kind), str(room), more) if part)

    def _quoted(self, text: str) -> str:
        return self.texts.say("event.quoted", text=text)

    def _span(self, numbers: list[Any]) -> str:
        """The first and the last of the numbers in a frame."""
        if not numbers:
            return self.texts.say("event.no_messages")
        return f"{numbers[0]} … {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"


def _variant_of(cause: Cause) -> str:
    """Which text of its kind a cause has."""
    if cause.kind == "unusable":
        error = cause.error
        return "_none" if "NoneType" in error else "_undefined" if "undefined" in error else ""
    return "_nowhere" if cause.kind in ("unhandled", "raised") and not cause.where else ""


def _written(value: Any) -> str:
    """The value of a field; what is a string, but looks like another value of JSON, has quotes."""
    shown = excerpt(str(value))
    if isinstance(value, str):
        with suppress(ValueError):
            decode(value)
            return f'"{shown}"'
    return shown

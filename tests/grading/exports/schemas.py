"""What the published schemas ask for, written down anew and only as far as our reports go.

CTRF: https://github.com/ctrf-io/ctrf, `schema/ctrf.schema.json`. JUnit: `JUnit.xsd` of windyroad/JUnit-Schema
(Apache Ant), and `junit-10.xsd` of jenkinsci/xunit-plugin, which allows all of it.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as Xml

_TEXT, _WHOLE = {"type": "string"}, {"type": "integer"}
_NAMED = {"type": "string", "minLength": 1}
_STATUSES = ["passed", "failed", "skipped", "pending", "other"]


def _object(required: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": required | others,
        "additionalProperties": False,
    }


_TEST = _object(
    {"name": _NAMED, "status": {"enum": _STATUSES}, "duration": _WHOLE},
    suite={"type": "array", "minItems": 1, "items": _TEXT},
    message=_TEXT,
    trace=_TEXT,
    rawStatus=_TEXT,
    extra={"type": "object"},
)
_SUMMARY = _object(
    dict.fromkeys(("tests", *_STATUSES, "start", "stop"), _WHOLE), suites=_WHOLE, extra={"type": "object"}
)
_RESULTS = _object(
    {
        "tool": _object({"name": _NAMED}, version=_TEXT),
        "summary": _SUMMARY,
        "tests": {"type": "array", "items": _TEST},
    }
)
CTRF = _object(
    {
        "reportFormat": {"const": "CTRF"},
        "specVersion": {"type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$"},
        "results": _RESULTS,
    },
    generatedBy=_TEXT,
)

_SUITE = {
    *("id", "package", "name", "timestamp", "hostname"),
    *("tests", "failures", "errors", "skipped", "time"),
}


def check_junit(root: Xml.Element) -> None:
    """Fail if an element or an attribute is not where Ant's schema has it."""
    assert (root.tag, root.attrib) == ("testsuites", {})
    for number, suite in enumerate(root):
        assert (suite.tag, set(suite.attrib), suite.get("id")) == ("testsuite", _SUITE, str(number))
        assert suite.get("name")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.get("timestamp", ""))
        tags = [each.tag for each in suite]
        cases = ["testcase"] * tags.count("testcase")
        assert tags == ["properties", *cases, "system-out", "system-err"]
        for each in suite[0]:
            assert (each.tag, set(each.attrib)) == ("property", {"name", "value"})
        for case in suite.iter("testcase"):
            assert set(case.attrib) == {"name", "classname", "time"}
            assert [each.tag in ("failure", "error", "skipped") for each in case] in ([], [True])
            for each in case:
                assert set(each.attrib) == ({"message"} if each.tag == "skipped" else {"message", "type"})

"""The marks of a class as JUnit's XML: a suite for each submission, a test case for each step.

It is valid by the schema of Apache Ant and by that of Jenkins. These allow no properties in a test case, so
the points are properties of the suite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

from harness.grading.exports.dated import Dated
from harness.grading.exports.marks import Entry, entries, reasons, title_of, without_places
from harness.grading.result import Grade, number
from harness.texts import Texts
from harness.verdict.outcome import Outcome
from lab.legible import one_line

_ELEMENTS = {Outcome.FAILED: "failure", Outcome.INCONCLUSIVE: "error", Outcome.SKIPPED: "skipped"}


def report(grades: Sequence[Dated], said: Texts) -> bytes:
    """The XML of a class."""
    root = Xml.Element("testsuites")
    for place, each in enumerate(grades):
        suite = _suite(each, place)
        _properties(suite, each.grade)
        for entry in entries(each.grade):
            _case(suite, each.grade, entry, said)
        remarks = (without_places(remark, each.grade.name) for remark in each.grade.remarks)
        Xml.SubElement(suite, "system-out").text = "\n".join(map(one_line, remarks))
        Xml.SubElement(suite, "system-err")
        root.append(suite)
    Xml.indent(root)
    xml: bytes = Xml.tostring(root, "utf-8", xml_declaration=True)
    return xml + b"\n"


def _suite(dated: Dated, place: int) -> Xml.Element:
    grade = dated.grade
    counts = Counter(entry.mark.verdict for entry in entries(grade))
    began = datetime.fromtimestamp(int(dated.began), UTC)
    return Xml.Element(
        "testsuite",
        id=str(place),
        package="chat-lab",
        name=one_line(grade.name),
        timestamp=began.replace(tzinfo=None).isoformat(),
        hostname="localhost",
        tests=str(counts.total()),
        failures=str(counts[Outcome.FAILED]),
        errors=str(counts[Outcome.INCONCLUSIVE]),
        skipped=str(counts[Outcome.SKIPPED]),
        time=f"{grade.seconds:.1f}",
    )


def _properties(suite: Xml.Element, grade: Grade) -> None:
    told: dict[str, object] = {
        "verdict": grade.verdict,
        "points": number(grade.points),
        "of": number(grade.of),
    }
    if grade.penalty:
        told |= {"penalty": number(grade.penalty), "late days": grade.late_days}
    for entry in entries(grade):
        mark = entry.mark
        told[f"points {one_line(mark.step)}"] = f"{number(mark.points)} of {number(mark.of)}"
    properties = Xml.SubElement(suite, "properties")
    for name, value in told.items():
        Xml.SubElement(properties, "property", name=f"chat-lab {name}", value=str(value))


def _case(suite: Xml.Element, grade: Grade, entry: Entry, said: Texts) -> None:
    mark = entry.mark
    name = one_line(f"{mark.step} {title_of(mark, said)}".strip())
    case = Xml.SubElement(suite, "testcase", classname=one_line(grade.name), name=name)
    case.set("time", f"{entry.seconds:.1f}")
    if mark.verdict in _ELEMENTS:
        why = [one_line(each) for each in reasons(grade, entry, said)]
        found = Xml.SubElement(case, _ELEMENTS[mark.verdict], message=why[0] if why else "")
        if mark.verdict is not Outcome.SKIPPED:  # for which Ant allows no type
            found.set("type", one_line(mark.anomalies[0]) if mark.anomalies else str(mark.verdict))
        found.text = "\n".join(why)

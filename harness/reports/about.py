"""What a page is about, written into it: so a check that passes knows whether the page is out of date."""

from __future__ import annotations

import json
import re
from html import unescape

from harness.reports.markup import safe
from harness.reports.summary import Summary
from harness.running.run import Run
from harness.verdict.outcome import Outcome

_META = re.compile(r'<meta name="failed" content="([^"]*)">')


def subject(run: Run) -> str:
    """What was judged by what, in a line."""
    return f"{run.exercise} {run.target}"


def failed_in(summaries: list[Summary]) -> str:
    """What has failed, as an element of a page's head."""
    runs = [run for summary in summaries for run in summary.every_run]
    failed = sorted({subject(run) for run in runs if run.outcome is Outcome.FAILED})
    return f'<meta name="failed" content="{safe(json.dumps(failed))}">'


def failed_on(page: str) -> set[str]:
    """What had failed when a page was written; nothing if it does not say."""
    found = _META.search(page)
    return set(json.loads(unescape(found[1]))) if found else set()

"""The files that `chatlab load` was asked for, all made from the one result."""

from __future__ import annotations

from harness.load.openmetrics import openmetrics
from harness.load.options import Options
from harness.load.page import page
from harness.load.stored import read
from harness.reports.outfile import write_out
from harness.texts import Texts


def write_outputs(text: str, asked: Options, texts: Texts) -> None:
    """Write the result, given as JSON text, in all the forms that were asked for."""
    if asked.json_file is not None:
        write_out(asked.json_file, text, texts)
    stored = read(text)
    if asked.html_file is not None:
        write_out(asked.html_file, page(stored, texts), texts)
    if asked.openmetrics_file is not None:
        write_out(asked.openmetrics_file, openmetrics(stored), texts)

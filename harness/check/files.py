"""The files that a check writes: the verdict as JSON and as a page, and failures to be played again."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

from harness.check.options import Options
from harness.judged.targets import Target
from harness.minimize import replay_file as replay
from harness.reports.about import failed_on, subject
from harness.reports.jsonreport import report
from harness.reports.outfile import write_out
from harness.reports.summary import Summary
from harness.reports.terminal import Terminal
from harness.running.run import Run
from harness.verdict.outcome import Outcome, overall
from harness.verdict.steps import EXERCISES

OURS = Path(".chatlab")
"""The folder for what nobody has asked for by name: neither git nor a grading looks into it."""
REPLAYS = OURS / "replays"
"""The folder that replay files are written to."""
LAST_PAGE = OURS / "report.html"
"""Where a failure is written as a page, unless --html says another place."""


def write_json(summaries: list[Summary], options: Options, terminal: Terminal) -> None:
    """Write the JSON that was asked for, of one world or of both."""
    if options.json_file is None:
        return
    reports = [report(summary, terminal.texts) for summary in summaries]
    whole = reports[0] if len(reports) == 1 else {"worlds": reports}
    # On a console that lacks a character, another one would be printed, which may be no JSON.
    is_console = options.quiet and not (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(whole, indent=2, ensure_ascii=is_console) + "\n"
    if options.quiet:
        sys.stdout.write(text)
    else:
        write_out(options.json_file, text, terminal.texts)


def write_page(summaries: list[Summary], options: Options, terminal: Terminal) -> None:
    """Write the page that was asked for; after a failure, write one also if none was, and name it."""
    if not options.is_worth_a_page(overall([summary.outcome for summary in summaries])):
        if not options.small:  # a pass that shows less than most
            _remove_page(summaries)
        return
    from harness.reports.page import page  # late: a check that passes needs none of it

    path, words = Path(options.html_file or LAST_PAGE), terminal.texts
    if options.html_file is None:
        with suppress(OSError):  # writing tells why it fails
            make_ours()
    if write_out(path, page(summaries, words, options.command), words):
        terminal.link("ui.page", path)


def _remove_page(summaries: list[Summary]) -> None:
    """Remove the page of an earlier failure, if all that failed there has passed now."""
    runs = [run for summary in summaries for run in summary.every_run]
    open_ones = {subject(run) for run in runs if run.outcome is not Outcome.PASSED}
    passed = {subject(run) for run in runs} - open_ones
    with suppress(OSError, ValueError):
        failed = failed_on(LAST_PAGE.read_text(encoding="utf-8", errors="replace"))
        if failed and failed <= passed:
            LAST_PAGE.unlink()


def make_ours() -> None:
    """Make our folder, which says itself that git has to ignore it. Raises OSError."""
    OURS.mkdir(exist_ok=True)
    ignored = OURS / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")


def write_replay(run: Run, target: Target, anomaly: str, seed: str, terminal: Terminal) -> str:
    """Write a failure down to be played again, and name the file; returns its path, "" if that went wrong.

    `seed` is that of the run in which it was found first; this one may be a smaller one.
    """
    say = terminal.texts.say
    path = REPLAYS / f"{EXERCISES[run.exercise]}-{anomaly}-{seed}.json"
    try:
        make_ours()
        replay.write(replay.of(run, target, anomaly), path)
    except OSError as error:
        terminal.line(say("ui.no_replay", path=path, why=error.strerror), "yellow")
        return ""
    terminal.line(f"  {say('ui.replay', path=path)}")
    terminal.line()
    return str(path)

"""Shows the doctor's results in a terminal."""

from __future__ import annotations

from harness.doctor.examine import Answer, Examination
from harness.history.events import Received
from harness.reports.terminal import Terminal
from harness.reports.words import Words

SHOWN = 20
"""Frames that are shown of an answer; it has some."""


def show(found: Examination, terminal: Terminal, command: str) -> None:
    """Print all answers, the spellings, and what is wrong; `command` is what judges the same server."""
    say = terminal.texts.say
    words = Words(terminal.texts, found.nonce)
    for answer in found.answers:
        _answer(answer, terminal, words)
    if found.answers:
        terminal.line()
        terminal.line(say("doctor.spellings"), "bold")
        for note in [words.text("note", note) for note in found.spellings] or [say("doctor.as_agreed")]:
            terminal.block(note, 2)
    if found.trouble:
        terminal.line()
        terminal.line(say("doctor.trouble"), "bold red")
        terminal.anomalies(found.trouble, found.nonce, history=found.history)
    if found.output and found.answers and not found.is_right:
        terminal.line()
        terminal.output(found.output)
    terminal.line()
    if found.limit is not None:
        terminal.block(words.text("doubt", found.limit), 2)
        return
    follows = "next_right" if found.is_right else "next_wrong" if found.answers else "next_none"
    terminal.line(say(f"doctor.{follows}", command=command))


def _answer(answer: Answer, terminal: Terminal, words: Words) -> None:
    say, question = terminal.texts.say, answer.question
    mark, style = ("✓", "green") if answer.is_right else ("✗", "bold red")
    terminal.line(f"  {mark} {say(f'doctor.{question.key}')}", style)
    for who, owed, got in (("asker", question.owed, answer.got), ("other", question.others, answer.others)):
        if got or owed:
            told = [_frame(event, words) for event in got[:SHOWN]]
            told += [say("doctor.more", count=len(got) - SHOWN)] * (len(got) > SHOWN)
            heard = "; ".join(told) or say("doctor.nothing")
            terminal.block(f"{say(f'doctor.{who}')} {heard}", 6, "dim")
        missing = [kind for kind in owed if kind not in answer.kinds(got)]
        if missing:
            terminal.block(say("doctor.owed", kinds=", ".join(f"`{kind}`" for kind in missing)), 6)
    if answer.dropped:
        terminal.block(say("doctor.dropped"), 6)


def _frame(event: Received, words: Words) -> str:
    return words.frame(event.frame, event.text)

"""A command as its words. No shell runs it, so what only a shell understands is refused."""

from __future__ import annotations

import re
import shlex

from harness.judged.problems import BadTarget

_QUOTED = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|\\[^\w.]""", re.DOTALL)
"""What is quoted in a command, or escaped as it should be."""
_LOST = re.compile(r"\\.")
_SHELL = re.compile(
    r"""^\s*[A-Za-z_]\w*=\S*     # a variable before the command
    | ^\s*(?:cd|exec|export|source|set|ulimit|\.)(?=\s)
    | && | \|\| | \$[\w{(]\w* | `
    | (?<!\S)(?: [|&;]+(?=\s|$) | \d?[<>]\S* | ~/ )
    | ;(?=\s|$) | &\s*$
    """,
    re.VERBOSE,
)
"""What only a shell understands, outside of quotes."""


def words_of(command: str) -> tuple[str, ...]:
    """The words of a command. Raises BadTarget if it cannot be split, or is meant for a shell."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise BadTarget("target.unreadable_command", command=repr(command), why=error) from error
    if not words:
        raise BadTarget("target.empty_command")
    bare = _QUOTED.sub("_", command)
    if _LOST.search(bare):
        raise BadTarget("target.lost_backslash", command=command, read=shlex.join(words))
    if found := _SHELL.search(bare):
        by_shell = shlex.join(["sh", "-c", command])
        raise BadTarget("target.no_shell", command=command, part=found.group().strip(), by_shell=by_shell)
    return words

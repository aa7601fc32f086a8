"""Notebooks made from their sources, which are Python files with cells: one source for all languages.

    # %% [markdown] lang="en"       a cell of one language alone
    # %%                            a cell of all languages
    await say(alice, red, "one")
    # fr: await say(alice, red, "un")

A comment that begins with `fr: ` is the French version of the line above it; several such comments are that
of as many lines. So the code stands once, and what is said in it can be read in each language.
"""

from __future__ import annotations

import io
import tokenize
from pathlib import Path
from typing import Any

from harness.texts import LANGUAGES

Notebook = Any
"""An `nbformat` notebook; the extra may be missing, so its type is not named here."""

LANGUAGE_INFO = {"name": "python"}
"""What a notebook says of its programming language: the same on every machine."""
_SAID = (tokenize.STRING, tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)


class BadTranslation(ValueError):  # noqa: N818 - named for what it says
    """The version of a line in another language does something else; the text has both."""


def file_name(name: str, language: str) -> str:
    """The file of a notebook: `ex1_chat.ipynb`, `ex1_chat.fr.ipynb`."""
    return f"{name}.ipynb" if language == LANGUAGES[0] else f"{name}.{language}.ipynb"


def from_source(source: Path, language: str) -> Notebook:
    """The notebook that a source describes, without outputs; its cells are named by their position."""
    import jupytext

    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": dict(LANGUAGE_INFO),
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("lang", language) == language]
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
        if cell.cell_type == "code":
            cell.source = in_language(cell.source, language)
    return notebook


def in_language(code: str, language: str) -> str:
    """The code of a cell in one language. Raises BadTranslation."""
    found: list[str] = []
    others: dict[str, list[str]] = {}
    for line in [*code.splitlines(), ""]:
        indent = line[: len(line) - len(line.lstrip())]
        other = next((each for each in LANGUAGES if line.strip().startswith(f"# {each}: ")), None)
        if other is not None:
            others.setdefault(other, []).append(indent + line.strip().removeprefix(f"# {other}: "))
            continue
        for name, lines in others.items():
            above = found[-len(lines) :]
            for one, translated in zip(above, lines, strict=True):
                if _without_words(one) != _without_words(translated):
                    raise BadTranslation(f"{one.strip()}  ≠  {translated.strip()}")
            if name == language:
                found[-len(lines) :] = lines
        others.clear()
        found.append(line)
    return "\n".join(found[:-1])


def _without_words(line: str) -> list[str]:
    """The tokens of a line of code, without what its strings and comments say."""
    tokens = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(line.strip()).readline):
            tokens.append("…" if token.type == tokenize.STRING else token.string)
            if token.type in _SAID and token.type != tokenize.STRING:
                tokens.pop()
    except tokenize.TokenError:
        pass  # a line of several that belong together
    return tokens

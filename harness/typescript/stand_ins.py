"""The model answers, which stand in for components that are not judged.

In a kit that is handed out they are packed, as the components of the reference are: nobody reads an answer
by accident.
"""

from __future__ import annotations

import base64
import textwrap
import zlib
from pathlib import Path

PLACE = Path(__file__).parent / "packed"
"""Where a kit has them that has no `solutions`."""
_SUFFIX = ".packed"


def text_of_stand_in(file: str, solutions: Path, place: Path = PLACE) -> str:
    """The text of a component's file, such as `store.ts`. Raises OSError if this kit has it nowhere."""
    for path in (solutions / file, place / file):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    return zlib.decompress(base64.b64decode((place / f"{file}{_SUFFIX}").read_bytes())).decode()


def for_a_kit(text: str, file: str, *, is_readable: bool) -> tuple[str, str]:
    """The name and the text of a stand-in for a kit that is handed out."""
    if is_readable:
        return file, text
    packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")
    return f"{file}{_SUFFIX}", "\n".join(textwrap.wrap(packed, 100)) + "\n"

"""Packs a component of the reference, which is an answer to an exercise, so that nobody reads it by accident.

It works as before, in any version of Python. This is no secret: whoever wants to unpack it can. But who
opens the file to see what an argument means is not shown the answer.
"""

from __future__ import annotations

import base64
import textwrap
import zlib

_PACKED = '''"""The kit's own `{name}`, packed, since it is an answer to exercise {exercise}.

What it must do is in `interfaces.py`; so nothing is missing here for reading the rest of the server.
"""

import base64
import zlib

_SOURCE = """
{packed}
"""
exec(compile(zlib.decompress(base64.b64decode(_SOURCE)), __file__, "exec", dont_inherit=True))
'''


def sealed(source: str, name: str, exercise: int) -> str:
    """A module that does the same as `source`, and does not show how."""
    packed = base64.b64encode(zlib.compress(source.encode(), 9)).decode("ascii")
    lines = "\n".join(textwrap.wrap(packed, 100))
    return _PACKED.format(name=name, exercise=exercise, packed=lines)

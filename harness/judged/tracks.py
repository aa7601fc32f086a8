"""The two languages in which the course is taught: a student chooses one of these tracks."""

from __future__ import annotations

PYTHON, TYPESCRIPT = "python", "typescript"
TRACKS = (PYTHON, TYPESCRIPT)
VARIABLE = "CHATLAB_TRACK"
"""The environment variable that names the track where no option does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rehearsal.images import Images

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(300)]

PROGRAMS = {
    "": "chatlab",
    "grading": "chatlab",
    "load": "locust",
    "notebooks": "jupyter",
    "cluster": "nats-server",
}


@pytest.mark.parametrize("extra", PROGRAMS)
def test_pip_finds_what_the_image_needs(tmp_path: Path, extra: str) -> None:
    """With all that pip does by the Dockerfile, from the index, the program of each extra starts."""
    images = Images(tmp_path, from_index=True)
    images.made("kit", {"EXTRA": extra})
    images.tried("kit", [PROGRAMS[extra], "--version"], {"EXTRA": extra})

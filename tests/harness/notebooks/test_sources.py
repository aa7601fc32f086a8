from __future__ import annotations

import pytest

from harness.notebooks.sources import BadTranslation, file_name, in_language

CODE = """\
room = world.name("red")  # a room
# fr: room = world.name("rouge")  # une salle
async def scene():
    await say(alice, "one")
    # fr: await say(alice, "un")
    await settle()
chart(
    "title",
)
# fr: chart(
# fr:     "titre",
# fr: )"""


def test_each_language_has_its_lines() -> None:
    """A French comment replaces the line above it, several replace as many; in English they are gone."""
    assert in_language(CODE, "fr") == (
        'room = world.name("rouge")  # une salle\nasync def scene():\n    await say(alice, "un")\n'
        '    await settle()\nchart(\n    "titre",\n)'
    )
    assert in_language(CODE, "en") == (
        'room = world.name("red")  # a room\nasync def scene():\n    await say(alice, "one")\n'
        '    await settle()\nchart(\n    "title",\n)'
    )


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_line_that_does_something_else_is_refused(language: str) -> None:
    """Only what strings and comments say may differ."""
    with pytest.raises(BadTranslation, match="say"):
        in_language('say("one")\n# fr: say("un", 2)', language)
    assert in_language('say(f"{x} one")\n# fr: say(f"{x} un")', language)


def test_file_of_each_language() -> None:
    """English has no mark."""
    assert [file_name("load", language) for language in ("en", "fr")] == ["load.ipynb", "load.fr.ipynb"]

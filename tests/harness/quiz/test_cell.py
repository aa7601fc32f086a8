"""Questions in a notebook: plain HTML that works without scripts, the same each time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.quiz import markdown
from harness.quiz.cell import show
from harness.quiz.ours import quiz


def test_each_answer_opens_and_tells_whether_it_is_right() -> None:
    """One for each choice, closed at first; the explanation stands at the right one."""
    html = show("ordering")._repr_html_()
    questions = quiz(2, "en").questions
    assert html.count("<details>") == sum(len(each.choices(0)) if each.is_choice else 1 for each in questions)
    assert html.count("✓ Right.") == sum(len(each.answers) for each in questions if each.is_choice)
    assert "open" not in re.findall(r"<details[^>]*>", html)
    assert "<script" not in html
    assert "style=" not in html
    assert "<code>chatlab quiz 2</code>" in html


def test_it_is_the_same_each_time() -> None:
    """A stored output changes with the questions only."""
    assert show(3, "fr")._repr_html_() == show("ex3_presence", "fr")._repr_html_()
    assert "chatlab quiz 3 --lang fr" in show("presence", "fr")._repr_html_()


def test_some_of_them_can_be_chosen() -> None:
    """Those of a step; none is an error, and so is an exercise that there is not."""
    html = show(3, only="3.3")._repr_html_()
    assert html.count("Tina") == 2
    assert "Vera" not in html
    for wrong in ({"of": 3, "only": "9.9"}, {"of": "yoga"}):
        with pytest.raises(ValueError, match="there is no"):
            show(**wrong)


def test_as_text_there_are_no_answers() -> None:
    """Where there is no HTML, the questions and what to choose from are printed."""
    said = repr(show(4, only="4.4-numbers"))
    assert "1. A room has the messages 1 to 7." in said
    assert "8" not in said


def test_a_file_becomes_no_html(tmp_path: Path) -> None:
    """Whatever a quiz has in its texts is shown as it is written."""
    path = tmp_path / "q.toml"
    path.write_text(
        '[[questions]]\ntype = "MultipleChoice"\nprompt.prompt = "<script>x</script> `<b>`"\n'
        'answer.answer = "<img src=x onerror=y>"\nprompt.distractors = ["[x](javascript:y)", "</details>"]\n'
        'context = """\n```\n<script>\n```\n"""\n'
    )
    html = show(path)._repr_html_()
    allowed = {"div", "ol", "li", "p", "code", "pre", "details", "summary", "blockquote"}
    assert set(re.findall(r"<(\w+)", html)) == allowed
    assert "<code>&lt;b&gt;</code>" in html


def test_the_markdown_of_questions() -> None:
    """Paragraphs are filled, items and code keep their lines; emphasis is for HTML only."""
    text = "One **two**\n`a*b*c` *three*.\n\n- x\n- y [z](https://example.org)\n\n"
    text += "```python\nif a:\n    b\n```\nEnd\u00a0!"
    assert markdown.lines(text, 40, "1. ", "   ") == [
        "1. One two `a*b*c` three.",
        "   - x",
        "   - y z (https://example.org)",
        "",
        "     if a:",
        "         b",
        "",
        "   End\u00a0!",
    ]
    assert markdown.html(text) == (
        "<p>One <strong>two</strong> <code>a*b*c</code> <em>three</em>.</p><ul><li>x</li>"
        '<li>y <a href="https://example.org">z</a></li></ul>'
        "<pre><code>if a:\n    b</code></pre><p>End\u00a0!</p>"
    )
    assert markdown.lines("", 40, "1. ") == ["1. "]
    assert markdown.lines("```\nx", 40, "1. ", "   ") == ["1.", "     x"]

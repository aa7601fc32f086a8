"""What a notebook's cell shows as HTML: a question, what happened, and a diagram that can be stepped through.

All of it can be read where no scripts run, as on GitHub or in a notebook that is not trusted yet: what
happened is folded by `<details>`, so that nobody sees it too early, and a diagram is a picture. Where scripts
run, what was chosen is compared with what happened, and the picture is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from harness.reports.svg import Drawing
from harness.texts import Texts

_BOX = "border:1px solid #888;border-radius:4px;padding:.4em .8em;margin:.4em 0"
_COMPARE = """\
<script>
for (const fold of document.querySelectorAll("details.chatlab-fold")) fold.ontoggle = () => {
  for (const told of fold.querySelectorAll("[data-asked]")) {
    const chosen = document.querySelector(`input[name="${told.dataset.asked}"]:checked`);
    const verdict = chosen && (chosen.value === told.dataset.was ? told.dataset.yes : told.dataset.no);
    told.textContent = chosen ? `${told.dataset.said}${chosen.value} (${verdict}).` : told.dataset.nothing;
  }
};
</script>"""
_LATER = """\
<script>
for (const place of document.querySelectorAll("div.{name}")) place.innerHTML = {html};
{script}
</script>"""
_UNSAFE = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


class Shown:
    """Something that a cell shows: HTML, and a text where that cannot be shown."""

    def __init__(self, html: str, text: str) -> None:
        self._html = html
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        """The HTML, as notebooks ask for it."""
        return self._html


class Question:
    """A question with its options; `name` is unique in a notebook."""

    def __init__(self, name: str, text: str, options: Sequence[str]) -> None:
        self.name = name
        self.text = text
        self.options = options

    def shown(self) -> Shown:
        """The question, with a button for each option."""
        options = "\n".join(
            f'<label style="margin-right:1.2em"><input type="radio" name="{escape(self.name)}"'
            f' value="{escape(each)}"> {escape(each)}</label>'
            for each in self.options
        )
        html = f'<div style="{_BOX};max-width:48em"><b>{escape(self.text)}</b><br>\n{options}\n</div>'
        return Shown(html, f"{self.text} {' / '.join(self.options)}")


def with_fallback(picture: Drawing, html: str, script: str) -> Shown:
    """The picture, which is replaced by `html`, and `script` is run, where scripts run.

    What is not in the page until then cannot be made a mess of where tags are taken out.
    """
    name = f"later-{picture.name}"
    quoted = json.dumps(html, ensure_ascii=False).translate(_UNSAFE)
    later = _LATER.replace("{name}", name).replace("{html}", quoted).replace("{script}", script)
    return Shown(f'<div class="{name}">{picture._repr_html_()}</div>\n{later}', repr(picture))


def folded(shown: Sequence[Drawing | Shown], answers: Sequence[tuple[Question, str]], said: Texts) -> Shown:
    """Below a line that opens them: for each question what came of it, and what is to be seen."""
    rows = "\n".join(_answer(question, was, said) for question, was in answers)
    pictures = "\n".join(f'<div style="overflow-x:auto">{each._repr_html_()}</div>' for each in shown)
    html = (
        f'<details class="chatlab-fold" style="{_BOX}"><summary style="cursor:pointer"><b>'
        f"{escape(said.say('notebook.open'))}</b></summary>\n{rows}\n{pictures}\n</details>\n{_COMPARE}"
    )
    told = [f"{question.text} {said.say('notebook.it_was', what=was)}" for question, was in answers]
    return Shown(html, "\n".join([*told, *map(repr, shown)]))


def _answer(question: Question, was: str, said: Texts) -> str:
    """What came of a question, with a place for what was predicted."""
    words = {
        "asked": question.name,
        "was": was,
        "said": said.say("notebook.you_said"),
        "yes": said.say("notebook.yes"),
        "no": said.say("notebook.no"),
        "nothing": said.say("notebook.no_prediction"),
    }
    data = " ".join(f'data-{key}="{escape(value)}"' for key, value in words.items())
    happened = escape(said.say("notebook.it_was", what=was))
    return f"<p>{escape(question.text)} <b>{happened}</b> <i {data}></i></p>"

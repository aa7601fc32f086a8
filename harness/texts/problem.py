"""Exceptions whose sentence stands in `harness/texts`, so that it can be said in any of its languages."""

from __future__ import annotations

from harness.texts import Texts, texts


class Problem(Exception):  # noqa: N818 - its subclasses are named for what they say
    """Something that whoever gave a command has to know. As a string, it is the English sentence.

    A parameter may be a problem itself.
    """

    def __init__(self, key: str, **params: object) -> None:
        super().__init__(texts("en").say(key, **params))
        self.key = key
        self.params = params

    def said_in(self, words: Texts) -> str:
        """The sentence in another language."""
        inner = {key: each.said_in(words) for key, each in self.params.items() if isinstance(each, Problem)}
        return words.say(self.key, **{**self.params, **inner})

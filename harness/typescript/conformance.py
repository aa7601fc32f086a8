"""Lets the compiler say whether a class keeps its interface, method by method.

The server's own code would say so, too, but in errors about the server. So one more file is compiled, in
which each line asks for one thing; an error there is about the student's class.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from msgspec import Struct

from harness.typescript.components import COMPONENTS, TYPES, methods_owed
from harness.typescript.tokens import classes_in

MODULE = "owed-by-components"
"""The name of the file, without its ending; no component imports it."""
_MISSING = ("TS2339", "TS2551")
"""Errors that say that a class has no such method; the second one knows a similar name."""


class Asked(Struct, frozen=True):
    """What a line of the file asks for: a class, how it is made, or one of its methods."""

    component: str
    method: str = ""
    owed: str = ""
    is_constructor: bool = False


def questions(components: Iterable[str], types: str) -> tuple[str, dict[int, Asked]]:
    """The text of the file for these components, and what each line of it asks for."""
    lines = [f'import type * as owed from "./{TYPES}.js";']
    asked: dict[int, Asked] = {}

    def ask(line: str, about: Asked) -> None:
        lines.append(line)
        asked[len(lines)] = about

    for name in components:
        component = COMPONENTS[name]
        ask(f'import {{ {component.name} }} from "./{component.module}.js";', Asked(name))
        for argument, kind in component.arguments:
            of = kind if kind.islower() else f"owed.{kind}"
            lines.append(f"declare const {name}_{argument}: {of};")
        arguments = ", ".join(f"{name}_{argument}" for argument, _ in component.arguments)
        made = Asked(name, owed=component.constructor, is_constructor=True)
        ask(f"const {name} = new {component.name}({arguments});", made)
        for method, owed in methods_owed(types, component.name).items():
            line = f'export const {name}_{method}: owed.{component.name}["{method}"] = {name}.{method};'
            ask(line, Asked(name, method, owed))
    return "\n".join([*lines, ""]), asked


def answer(asked: Asked, path: str, text: str, told: str, code: str) -> tuple[str, dict[str, object]]:
    """The sentence for an error in a line of the file: a key of the texts, and what it is filled with.

    `text` is the component's own file, `told` what the compiler says, and `code` the error's number.
    """
    name = COMPONENTS[asked.component].name
    params: dict[str, object] = {"path": path, "name": name}
    if asked.is_constructor:
        return "typescript.constructor", params | {"owed": asked.owed, "told": told}
    if asked.method:
        params |= {"method": f"{name}.{asked.method}", "owed": asked.owed}
        if code in _MISSING:
            return "typescript.missing", params
        return "typescript.signature", params | {"told": told}
    classes = classes_in(text)
    if (name, "") in classes:
        return "typescript.not_exported", params
    if (name, "default") in classes:
        return "typescript.default", params
    names = [each for each, _ in classes]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return "typescript.class_near", params | {"near": near[0]}
    if names:
        return "typescript.class_others", params | {"others": ", ".join(f"`{each}`" for each in names[:5])}
    return "typescript.no_class", params

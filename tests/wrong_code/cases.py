"""Wrong code as data: components and whole servers that a check must not wait for.

Of each kind there is something that people write by accident. Nothing here is subtle: what is asked is how
soon the verdict comes, what it says first, and whether the check itself survives. `cases.toml` has them.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from harness.judged.targets import ROOT
from harness.verdict.steps import COMPONENTS, EXERCISES
from harness.zoo.single_file import PLAIN

_CASES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("cases.toml").read_text(encoding="utf-8"))


def answer(component: str) -> str:
    """The source code of a model answer."""
    number = next(each for each, name in COMPONENTS.items() if name == component)
    return (ROOT / "solutions" / EXERCISES[number] / f"{component}.py").read_text(encoding="utf-8")


def changed(text: str, changes: list[dict[str, str]], name: str) -> str:
    """A text with other words in some places."""
    for change in changes:
        assert change["was"] in text, f"{name}: {change['was']!r} is not there (any more)"
        text = text.replace(change["was"], change["now"])
    return text


def components() -> dict[str, tuple[str, str]]:
    """By a name, the component and its source code. The stubs are among them."""
    found = {}
    for case in _CASES["components"]:
        component = case["component"]
        name = f"{component}: {case['what']}"
        found[name] = component, changed(answer(component), case["changes"], name)
    for number, component in COMPONENTS.items():
        stub = ROOT / "exercises" / EXERCISES[number] / f"{component}.py"
        found[f"{component}: the stub"] = component, stub.read_text(encoding="utf-8")
    return found


def servers() -> dict[str, str]:
    """By a name, the source code of a server."""
    found = {f"server: {each['what']}": each["text"] for each in _CASES["servers"]}
    return found | {"server: blocks for 3 s at each message": _blocking()}


def _blocking() -> str:
    """The right server in one file, but for a call that blocks."""
    text = PLAIN.read_text(encoding="utf-8")
    at = text.index(":\n", text.index("async def accept(")) + 2
    return f"{text[:at]}    time.sleep(3)\n{text[at:]}"

"""What is wrong with an animal: in words, and as the code that makes the difference."""

from __future__ import annotations

import inspect
import textwrap

from harness.zoo.animal import Animal
from harness.zoo.typescript import difference


def described(animal: Animal) -> str:
    """What is wrong with it, which anomaly must catch that, and at which steps."""
    about = f"{animal.name}   [step {' or '.join(animal.steps)}, {animal.anomaly}]"
    if animal.why:
        about += f"\n    In the {animal.worlds[0]} world only, since {animal.why}."
    return about + "\n" + textwrap.indent(textwrap.fill(animal.says, 100), "    ")


def source_of(animal: Animal) -> str:
    """The text of a server in one file; else the difference, as a patch or the function which makes it."""
    if animal.file:
        return difference(animal).rstrip()
    if animal.source:
        return animal.source.rstrip()

    assert animal.defect is not None, "it is a difference on the reference server, or a file"
    return inspect.getsource(animal.defect).rstrip() + "\n"

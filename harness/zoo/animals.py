"""All animals of the zoo, by their names, in the order of the steps that they belong to."""

from harness.zoo import (  # noqa: F401
    components,
    ex1_chat,
    ex2_ordering,
    ex3_presence,
    ex4_persistence,
    single_file,
    typescript,
)
from harness.zoo.animal import Animal, made

ANIMALS: dict[str, Animal] = dict(sorted(made().items(), key=lambda each: (each[1].steps, each[0])))

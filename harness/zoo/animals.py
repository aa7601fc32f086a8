"""All animals of the zoo, by their names, in the order of the steps that they belong to."""

from harness.zoo import components, servers, typescript  # noqa: F401
from harness.zoo.animal import Animal, made

ANIMALS: dict[str, Animal] = dict(sorted(made().items(), key=lambda each: (each[1].steps, each[0])))

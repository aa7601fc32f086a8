"""All animals of the zoo, by their names."""

from harness.zoo import ex1_chat, ex2_ordering, ex3_presence, ex4_persistence, single_file  # noqa: F401
from harness.zoo.animal import Animal, made

ANIMALS: dict[str, Animal] = made()

"""The animals that are whole servers in Python, by their names: no model answer is needed to make them."""

from harness.zoo import ex1_chat, ex2_ordering, ex3_presence, ex4_persistence, single_file  # noqa: F401
from harness.zoo.animal import Animal, made

SERVERS: dict[str, Animal] = {name: each for name, each in made().items() if each.start and not each.file}

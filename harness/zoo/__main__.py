"""`python -m harness.zoo NAME` starts an animal as a server, configured by environment variables.

For NAME, a correct server of `right.py` may stand, too, and a token of `unnamed.py` for either.
"""

import sys

from harness.zoo.animals import ANIMALS
from harness.zoo.right import RIGHT
from harness.zoo.unnamed import named
from lab.command import EXIT_USAGE

if __name__ == "__main__":
    names = {*ANIMALS, *RIGHT}
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    name = name if name in names else named(name, names) or ""
    if not name:
        print("write python -m harness.zoo NAME; `chatlab zoo --list` has the names", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    start = RIGHT[name] if name in RIGHT else ANIMALS[name].start
    if start is None:
        print(f"{name} is a component; `chatlab zoo {name}` plays it", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    start()

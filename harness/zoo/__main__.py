"""`python -m harness.zoo NAME` starts an animal as a server, configured by environment variables.

For NAME, a correct server of `right.py` may stand, too, and a token of `unnamed.py` for either.
"""

import sys

from harness.zoo.right import RIGHT
from harness.zoo.servers import SERVERS
from harness.zoo.unnamed import named
from lab.command import EXIT_USAGE


def _is_component(name: str) -> bool:
    from harness.zoo.animals import ANIMALS  # late: few need these

    return name in ANIMALS


if __name__ == "__main__":
    start = {**{name: animal.start for name, animal in SERVERS.items()}, **RIGHT}
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    found = start.get(name) or start.get(named(name, start) or "")
    if found is None:
        if _is_component(name):
            print(f"{name} is a component; `chatlab zoo {name}` plays it", file=sys.stderr)
        else:
            print("write python -m harness.zoo NAME; `chatlab zoo --list` has the names", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    found()

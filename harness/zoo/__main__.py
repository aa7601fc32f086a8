"""`python -m harness.zoo NAME` starts an animal as a server, configured by environment variables."""

import sys

from harness.zoo.animals import ANIMALS
from harness.zoo.single_file import run_journal
from lab.command import EXIT_USAGE

if __name__ == "__main__":
    if sys.argv[1:] == ["journal"]:  # a correct server, and not an animal
        run_journal()
        sys.exit()
    if len(sys.argv) != 2 or sys.argv[1] not in ANIMALS:
        print("write python -m harness.zoo NAME; `chatlab zoo --list` has the names", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    start = ANIMALS[sys.argv[1]].start
    if start is None:
        print(f"{sys.argv[1]} is a component; `chatlab zoo {sys.argv[1]}` plays it", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    start()

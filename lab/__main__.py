"""`python -m lab` runs the reference server."""

import sys

from lab.command import run_command, serve

if __name__ == "__main__":
    sys.exit(run_command(serve, "python -m lab"))

"""Load: hundreds of Locust users at once, whose merged history is judged like any other.

Only `locustfile.py`, `conductor.py`, `workers.py`, `person.py` and `shapes.py` import Locust, which patches
the sockets and threads of its whole process. All other modules work without it.
"""

from harness.load.scenario import User

__all__ = ["User"]

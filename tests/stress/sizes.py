"""How much is played: defaults that take under a minute, and the environment variables that ask for more.

CHATLAB_STRESS_SEED     the seed of all random numbers (1)
CHATLAB_ROOM_PLAYS      plays of the model of rooms (80)
CHATLAB_FUZZ_FRAMES     messages of the fuzzer of frames (60000)
CHATLAB_FUZZ_STREAMS    connections of the fuzzer of bytes (10000)
CHATLAB_FUZZ_FIRST      the number of the batch or stream to begin with, to repeat what failed (0)
CHATLAB_SOAK_SECONDS    how long the soak takes (45)
CHATLAB_KILLS           how often the server is killed in a soak of kills alone (5)
"""

from __future__ import annotations

import os


def _number(name: str, usual: int) -> int:
    return int(os.environ.get(f"CHATLAB_{name}", usual))


SEED = _number("STRESS_SEED", 1)
ROOM_PLAYS = _number("ROOM_PLAYS", 80)
FUZZ_FRAMES = _number("FUZZ_FRAMES", 60_000)
FUZZ_STREAMS = _number("FUZZ_STREAMS", 10_000)
FUZZ_FIRST = _number("FUZZ_FIRST", 0)
SOAK_SECONDS = _number("SOAK_SECONDS", 45)
KILLS = _number("KILLS", 5)

"""What judged code may take: memory, bytes, events, processes and seconds, in all commands and both worlds.

Code that is judged may be wrong in any way, and may mean harm. Each bound stands far above what right code
takes, and far below what hurts this machine or the patience of whoever waits. Bytes count as well as events;
and since neither tells what they become here (a frame of a mebibyte may be 350,000 lists), our own memory is
looked at, too. The last bound is a process: what plays or is played is ended from outside.
"""

from __future__ import annotations

MIB = 1024 * 1024

# --- what a server sends ------------------------------------------------------------------------------

MAX_EVENTS = 60_000
"""Events, and messages in pages of history, after which a server counts as flooding: a run has 10,000."""
SIMULATED_EVENTS = 30_000
"""The same in a simulated play: the largest has 4,000."""
FEW_EVENTS = 6_000
"""The same in a small one, which has 2,000 at the most."""
MORE_EVENTS = 100
"""More of them for each heartbeat interval that it lasts."""
MAX_DELIVERIES = 20_000_000
"""Deliveries that a process of a load keeps (240 MB): with more its history is incomplete, and not judged."""
MAX_BYTES = 500 * MIB
"""Bytes of frames, likewise: a run has a hundred mebibytes."""
MAX_VALUES = 3_000_000
"""Values in frames, likewise: a run has a hundred thousand. A mebibyte may be 350,000 empty lists."""
BYTES_PER_MESSAGE = 16 * 1024
"""By which a process of a load may take more memory for each message that its users have said.

Others hear what they say, too, and it hears what users of other processes say.
"""
OWN_MEMORY = 200 * MIB
"""Bytes by which our process may grow because of what it was sent: a run takes a third of that."""
WEIGH_EVERY = 2 * MIB
"""Bytes that are heard, each frame counted as `FRAME_BYTES` more, between two looks at our memory."""
FRAME_BYTES = 2048
"""About what the shortest frame takes here."""
LARGEST_FRAME = 8 * MIB
"""Bytes: frames up to this are read although the protocol allows less, so that they can be reported.

A page of a hundred of the longest messages, which nobody has cut, has six.
"""

MAX_CONTROLS = 5_000
"""Pings, pongs and close frames on one connection: answering them keeps us from all else."""

# --- what it takes of the machine ---------------------------------------------------------------------

REFERENCE_MEMORY = 400 * MIB
"""Bytes that the reference server may take, with whatever component: mostly it takes a tenth."""
SERVER_MEMORY = 2048 * MIB
"""Bytes that another server may take, with all that it starts: we do not know its language."""
MUCH_OUTPUT = 16 * MIB
"""Bytes of output above which a server prints too much, which is noted."""
PLAY_MEMORY = 200 * MIB
"""Bytes that a simulated play may take in addition: the largest takes half of that."""
CONTRACT_MEMORY = 150 * MIB
"""Bytes that the direct calls of a component may take."""
PROCESSES = 24
"""Processes that simulated code, or a component that is called directly, may have beside its own."""
LARGEST_FILE = 100 * MIB
"""Bytes that a simulated play may write into one file; the largest writes a fifth."""
WRITTEN = 600 * MIB
"""Bytes that the process of some simulated plays may write, into whatever files: they lie in memory."""

# --- how long it is waited for, in seconds ------------------------------------------------------------

MOST_VAIN = 12.0
"""Of waits in vain, after which a play ends: one of six, one of three, and some short ones."""
LONGEST_WAIT = 20.0
"""For one thing in a live play, however much comes meanwhile: a replay of a whole history takes one."""
PLAY_SECONDS = 45.0
"""For an exercise in the live world, apart from the server's own timeouts."""
CERTAIN_SECONDS = 14.0
"""The same once a failure is certain."""
HURRIED_SECONDS = 9.0
"""The same where an earlier exercise of the same server was stopped, and it did nothing but start.

Then this is all, whatever its own timeouts are.
"""
HURRIED_READY_SECONDS = 5.0
"""For its start, and for one thing that is waited for, likewise."""
LONGEST_TIMEOUT = 60.0
"""The longest timeout of a server that is waited for: the protocol's own."""
DOCTOR_SECONDS = 30.0
"""For all that the doctor asks."""
BUSY_SECONDS = 2.0
"""Of processor time in one turn of a simulation, after which it counts as an endless loop."""
BLOCKED_SECONDS = 8.0
"""In one turn of a simulation for which it sleeps, likewise: it waits for something outside of it."""
STILL_SECONDS = 20.0
"""In which a simulation takes no turn, whoever's it is: the judged code keeps our own from going on."""
CONTRACT_BUSY_SECONDS = 1.5
"""Of processor time in one direct call, after which it counts as an endless loop: it takes milliseconds."""
CONTRACT_SECONDS = 60.0
"""After which the direct calls of a component are ended: they take less than one, and have limits within."""
CONTRACT_PROCESSOR_SECONDS = 15.0
"""Of processor time, likewise."""
_LOAD_SETTLE, _LONGEST_SETTLE = 20.0, 120.0
LOAD_END_SECONDS = 25.0
"""For the verdict on a load, and the end of its processes, beyond what settling may take."""


def load_settle_seconds(lasted: float) -> float:
    """For what is under way at the end of a load: as long as it has lasted, within bounds."""
    return min(max(_LOAD_SETTLE, lasted), _LONGEST_SETTLE)

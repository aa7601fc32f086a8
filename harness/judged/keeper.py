"""Keeps the processes of one server together: their parent, which the harness starts as a program of its own.

    python -I -S keeper.py DESCRIPTOR LIMITS PROGRAM ARGUMENT…

A server may be started by a wrapper, detach itself, or leave processes behind. On Linux, all of them are
descendants of this process all the same: it adopts those whose own parent ends (PR_SET_CHILD_SUBREAPER). So
what it is the parent of is what is left of the server, and it ends when nothing is left. This also holds if
the harness is killed: then the other end of the socket DESCRIPTOR closes, and it kills all that is left.

To that socket it writes a line for each thing that happens: `started PID`, after which it waits for a byte;
`runs PID` or, if the program could not be run, `failed ERRNO`; `ended CODE`. Each byte that it reads there
afterwards is the number of a signal for all processes; after SIGKILL, it kills until none is left.

LIMITS is what the program may take, such as `NOFILE=4096,user=61300`: limits of `resource`, and the user that
it runs as; `-` stands for none.

It imports nothing of the kit, and little of Python: each start of a server waits for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
AGAIN = 0.02
"""Seconds after which what could not be killed, or was started meanwhile, is killed again."""


def main() -> None:
    """Start the program, and stay until all of its processes have ended."""
    harness, limits, program = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    os.set_inheritable(harness, False)
    close_to_others()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # programs inherit what our caller blocks
    adopt_orphans()
    leave_no_core_files()
    woken, wakes = os.pipe()
    for end in (woken, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    child = start(program, harness, limits)
    leave_to_the_server()
    # `select.select` takes no descriptor above 1,023, and the harness may have thousands.
    poll = select.poll()
    for descriptor in (woken, harness):
        poll.register(descriptor, select.POLLIN)
    is_ending = False
    while reap(child, harness):
        if is_ending:
            send(child, signal.SIGKILL)
        ready = [descriptor for descriptor, _ in poll.poll(1000 * AGAIN if is_ending else None)]
        if woken in ready and set(os.read(woken, 4096)) - {signal.SIGCHLD}:
            is_ending = True  # we are asked to end
        if harness in ready:
            asked = os.read(harness, 64) or bytes([signal.SIGKILL])
            is_ending |= signal.SIGKILL in asked
            for signal_number in asked:
                send(child, signal_number)
            if is_ending:
                poll.unregister(harness)  # nothing more is asked of us


def start(program: list[str], harness: int, limits: str) -> int:
    """Run the program in a session of its own, so that a signal to its group reaches it and no other."""
    failure, fails = os.pipe()
    told, tells = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        tell(harness, f"failed {error.errno}")
        sys.exit(1)
    if child == 0:
        try:
            os.close(tells)
            os.read(told, 1)  # the harness knows of it first, even if all that it does is to kill us
            os.setsid()
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and programs inherit that
                signal.signal(number, signal.SIG_DFL)
            limit(limits)
            os.execv(program[0], program)
        except OSError as error:
            os.write(fails, str(error.errno).encode())
        finally:
            os._exit(127)
    tell(harness, f"started {child}")
    with contextlib.suppress(OSError):
        os.read(harness, 1)  # the harness has looked at it: afterwards it may end at once
    for end in (fails, told, tells):
        os.close(end)
    errno = os.read(failure, 16)
    tell(harness, f"failed {errno.decode()}" if errno else f"runs {child}")
    os.close(failure)
    return child


def limit(limits: str) -> None:
    """Let this process, and all that it starts, take no more than that."""
    import resource

    for name, _, value in (each.partition("=") for each in limits.split(",") if "=" in each):
        if name == "user":
            os.setgroups([])
            os.setgid(int(value))
            os.setuid(int(value))
            continue
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:  # not every system has all of them
            _, most = resource.getrlimit(kind)
            bound = int(value) if most == resource.RLIM_INFINITY else min(int(value), most)
            resource.setrlimit(kind, (bound, bound))


def reap(child: int, harness: int) -> bool:
    """Take note of all processes that have ended; whether any is left."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            if pid == child:
                tell(harness, f"ended {os.waitstatus_to_exitcode(status)}")
    return False


def tell(harness: int, line: str) -> None:
    """Write a line to the harness, if it is there."""
    with contextlib.suppress(OSError):
        os.write(harness, f"{line}\n".encode())


def send(child: int, number: int) -> None:
    """Send a signal to the program's group, and to all processes that have left it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, number)
    for pid in descendants():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpgid(pid) != child:
                os.kill(pid, number)


def descendants() -> list[int]:
    """The processes below this one, from the table of processes that Linux shows in /proc."""
    children: dict[int, list[int]] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if name.isdigit():
                with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
                    children.setdefault(parent, []).append(int(name))
    found = list(children.get(os.getpid(), []))
    for pid in found:
        found += children.get(pid, [])
    return found


def adopt_orphans() -> None:
    """Become the parent of all descendants whose own parent ends. Only Linux has that."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def close_to_others(*, is_closed: bool = True) -> None:
    """Let no other process of our user read our memory, or open our files by way of /proc; or let them."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0 if is_closed else 1)


def leave_no_core_files() -> None:
    """A server that is aborted, to see where it hangs, writes no image of its memory."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def leave_to_the_server() -> None:
    """Let go of standard input and output: their other ends see when the server has ended."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.close(nothing)


if __name__ == "__main__":
    main()

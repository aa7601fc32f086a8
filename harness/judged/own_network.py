"""A network of our own: a loopback interface that only this process and those that it starts have.

So the server of a submission talks to nobody but the harness that judges it, and two of them can have the
same port. What Linux offers for it are network namespaces, which anybody may make who makes a namespace of
users first (see network_namespaces(7) and user_namespaces(7)).
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_REQUEST = struct.Struct("16sH14x")
"""What asks for the flags of an interface: its name, and the flags."""


def enter() -> None:
    """Leave the machine's network for a new one. Call it before there is any thread. Raises OSError."""
    if sys.platform != "linux":
        raise OSError("only Linux has network namespaces")
    import fcntl  # Windows has none, and imports this module nevertheless

    user, group = os.getuid(), os.getgid()
    try:
        _unshare(_CLONE_NEWNET)  # as root; then nothing else changes
    except PermissionError:
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        name, flags = _REQUEST.unpack(fcntl.ioctl(sock, _SIOCGIFFLAGS, _REQUEST.pack(b"lo", 0)))
        fcntl.ioctl(sock, _SIOCSIFFLAGS, _REQUEST.pack(name, flags | _IFF_UP))


def _unshare(flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""Who listens is seen without a connection, and quickly."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from harness.judged import listeners
from harness.judged.listeners import is_listened_on

HOSTS = ("127.0.0.1", "0.0.0.0", "::1", "::")


@pytest.fixture(params=HOSTS)
def listening(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """A socket that listens on one kind of address."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        sock = socket.create_server((request.param, 0), family=family)
    except OSError:
        pytest.skip("this machine has no such address")
    with closing(sock):
        yield sock


@pytest.fixture(params=["the kernel is asked", "its tables are read"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways in which it is seen."""
    if request.param == "its tables are read":

        def refuse(port: int) -> bool:
            raise OSError(port)

        monkeypatch.setattr(listeners, "asked", refuse)


@pytest.mark.usefixtures("way")
def test_a_listener_is_seen_while_it_listens(listening: socket.socket) -> None:
    """On any address; who listens is not disturbed, and who only has a connection does not listen."""
    port = listening.getsockname()[1]
    assert is_listened_on(port)
    host = "::1" if listening.family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_connection((host, port)) as client:
        accepted, address = listening.accept()
        assert address[1] == client.getsockname()[1]  # the first one: nobody else has connected
        listening.close()
        assert not is_listened_on(port)
        accepted.close()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux")
def test_linux_answers() -> None:
    """So that the event loop does not stand still for milliseconds at each look."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert listeners.asked(port)
    assert not listeners.asked(port)

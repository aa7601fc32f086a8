"""All chat nodes of a cluster as one server: what worlds and their verdicts ask of a process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from harness.cluster.launcher import Cluster
from harness.judged.process import ServerProcess

T = TypeVar("T")


class ClusterProcess:
    """One run of a cluster. Asked to stop, its chat nodes stop; killed, NATS ends with them.

    It has ended when one of its chat nodes has that nobody killed alone.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        cluster.launch()
        self._all = [node.process for node in cluster.running if node.process is not None]

    @property
    def _running(self) -> list[ServerProcess]:
        """Those of the chat nodes that nobody killed alone, also when they have ended."""
        return [node.process for node in self._cluster.running if node.process is not None]

    @property
    def nodes(self) -> list[tuple[str, ServerProcess]]:
        """Each chat node that was not killed alone, with its name."""
        return [(node.name, node.process) for node in self._cluster.running if node.process is not None]

    @property
    def pid(self) -> int:
        """The process id of the first node when it began, which stands for all."""
        return self._all[0].pid

    @property
    def exit_code(self) -> int | None:
        """How the first chat node ended that has ended; None while all run."""
        codes = (process.exit_code for process in self._running)
        return next((code for code in codes if code is not None), None)

    @property
    def memory(self) -> int:
        """Bytes of memory of the chat node that takes most."""
        return max((process.memory for process in self._running), default=0)

    @property
    def is_serving(self) -> bool:
        """Whether any chat node serves."""
        return any(process.is_serving for process in self._running)

    @property
    def is_gone(self) -> bool:
        """Whether nothing is left of any chat node."""
        return all(process.is_gone for process in self._running)

    @property
    def is_kept_out(self) -> bool:
        """Whether old connections hold the port of a chat node that ended because of it."""
        return any(process.is_kept_out for process in self._running)

    @property
    def is_lost(self) -> bool:
        """Whether nobody can tell what is left of a chat node."""
        return any(process.is_lost for process in self._running)

    @property
    def is_elsewhere(self) -> bool:
        """Whether another program runs a chat node."""
        return any(process.is_elsewhere for process in self._running)

    @property
    def refused(self) -> Mapping[str, str]:
        """Empty: there is nothing that a real process may not do."""
        return {}

    @property
    def printed(self) -> int:
        """About how many bytes the chat node has printed that printed most."""
        return max((process.printed for process in self._running), default=0)

    def what_is_left(self) -> list[str]:
        """What still runs, or listens, of the chat nodes."""
        return list(dict.fromkeys(_of_all(process.what_is_left() for process in self._running)))

    def terminate(self) -> None:
        """Ask all chat nodes to stop. What they have stored is with NATS, which goes on until `kill`."""
        for process in self._running:
            process.terminate()

    def kill(self) -> None:
        """End all chat nodes and all NATS nodes at the same moment."""
        self._cluster.kill()

    def hangs_where(self) -> list[str]:
        """End the chat nodes, and return where the first one was."""
        found = [process.hangs_where() for process in self._running]
        return found[0] if found else []

    def listens_on(self) -> list[tuple[str, int]]:
        """The hosts and TCP ports that the chat nodes listen on."""
        return sorted(_of_all(process.listens_on() for process in self._running))

    def tail(self, lines: int = 12) -> list[str]:
        """The last lines that the chat nodes printed; those that have ended tell theirs alone."""
        ended = [process for process in self._running if process.exit_code is not None]
        return list(_of_all(process.tail(lines) for process in ended or self._running))[-lines:]

    def trim_output(self) -> None:
        """Cut the output files short if they have grown large."""
        for process in self._running:
            process.trim_output()


def _of_all(found: Iterable[list[T]]) -> Iterable[T]:
    return (each for one in found for each in one)

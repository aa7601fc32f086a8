"""A component's class in Node, evaluated again for each play, as `contracts.component` does in Python."""

from __future__ import annotations

from pathlib import Path

from harness.contracts.node.channel import Channel
from harness.contracts.node.classes import CLASSES
from harness.contracts.node.errors import NodeError
from harness.history.calls import raised
from lab.loader import INTERFACES, ComponentError


class NodeComponent:
    """The class of component `name` in a compiled module. Raises ComponentError if it has none."""

    def __init__(self, channel: Channel, name: str, where: str) -> None:
        self.channel = channel
        self._name, self._file = name, Path(where)
        try:
            self.fresh()
        except NodeError as error:
            place = f"{error.place.partition(': ')[0]}: " if error.place else ""
            raise ComponentError(f"{place}{raised(error)}") from error

    def fresh(self) -> type:
        """The class as in a new process."""
        kind = INTERFACES[self._name].__name__
        module = self.channel.load(self._file, kind)
        members = {"channel": self.channel, "module": module, "__slots__": ()}
        return type(kind, (CLASSES[self._name],), members)

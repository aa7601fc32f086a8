"""The four components in TypeScript: their modules and classes, and what `types.ts` owes for each."""

from __future__ import annotations

import re

from msgspec import Struct


class Component(Struct, frozen=True):
    """A component: its module is a file in `src`, its class has the name of the interface that it keeps.

    `arguments` are those of its constructor, by name and type.
    """

    module: str
    name: str
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.module}.ts"

    @property
    def constructor(self) -> str:
        """How it is made: "new Sequencer(store: MessageStore, pubsub: PubSub)"."""
        return f"new {self.name}({', '.join(': '.join(each) for each in self.arguments)})"


COMPONENTS = {
    "pubsub": Component("pub-sub", "PubSub"),
    "sequencer": Component("sequencer", "Sequencer", (("store", "MessageStore"), ("pubsub", "PubSub"))),
    "presence": Component(
        "presence", "PresenceManager", (("heartbeatInterval", "number"), ("offlineTimeout", "number"))
    ),
    "store": Component("store", "MessageStore", (("dataDir", "string"),)),
}
"""By the names that they have in Python."""

TYPES = "types"
"""The module that components may import."""


def methods_owed(types: str, interface: str) -> dict[str, str]:
    """The methods of an interface in the text of `types.ts`: "accept" is "accept(draft: Draft): …"."""
    found = re.search(rf"^export interface {interface} \{{\n(.*?)^\}}", types, re.MULTILINE | re.DOTALL)
    methods = re.findall(r"^  (\w+)(\([^;]*);", found[1] if found else "", re.MULTILINE)
    return {name: f"{name}{' '.join(rest.split())}" for name, rest in methods}

"""What a server does to `logging` is undone before it starts again: in a new process nothing is set up."""

from __future__ import annotations

import logging
from typing import Any

_KEPT = ("level", "handlers", "filters", "propagate", "disabled", "parent")


class Loggers:
    """All loggers as they are now."""

    def __init__(self) -> None:
        self._table: dict[str, Any] = dict(logging.root.manager.loggerDict)
        known = [each for each in self._table.values() if isinstance(each, logging.Logger)]
        self._state = [(each, _state(each)) for each in (logging.root, *known)]
        self._last_resort = logging.lastResort
        manager: Any = logging.root.manager
        self._manager = {name: value for name, value in vars(manager).items() if name != "loggerDict"}

    def restore(self) -> None:
        """Restore that state; loggers that came later are forgotten."""
        table: dict[str, Any] = logging.root.manager.loggerDict
        table.clear()
        table.update(self._table)
        for logger, state in self._state:
            vars(logger).update({name: _copied(value) for name, value in state.items()})
            logger._cache.clear()  # type: ignore[attr-defined]  # of the levels that are enabled
        logging.lastResort = self._last_resort
        vars(logging.root.manager).update(self._manager)


def _state(logger: logging.Logger) -> dict[str, Any]:
    return {name: _copied(getattr(logger, name)) for name in _KEPT}


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value

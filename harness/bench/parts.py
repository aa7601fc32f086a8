"""What can be measured, and by what."""

from __future__ import annotations

from importlib import import_module

from harness.bench.plan import Plan
from harness.bench.result import Part

PARTS = {
    "fan-out": "fanout.fan_out",
    "store": "stores.stores",
    "history": "histories.histories",
    "growth": "growth.growth",
    "join": "joins.joins",
    "storm": "storms.storms",
    "slow-reader": "slow.slow_reader",
    "start": "starts.starts",
    "save": "saves.saves",
    "client": "clients.clients",
    "nodes": "nodes.nodes",
}
"""The parts in their order, and the functions that measure them, which are imported late."""


def measure(name: str, plan: Plan) -> Part:
    """Measure one part. Raises BenchError."""
    module, _, function = PARTS[name].partition(".")
    measured: Part = getattr(import_module(f"harness.bench.{module}"), function)(plan)
    return measured

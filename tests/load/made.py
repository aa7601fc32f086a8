"""Results of loads as they are stored, made up: for pages, comparisons and exports."""

from __future__ import annotations

from math import sin
from typing import Any


def times(p50: float, count: int = 20_000) -> dict[str, float]:
    """Percentiles of a distribution with a tail, in milliseconds."""
    return {"count": count, "p50": p50, "p95": 2.5 * p50, "p99": 5 * p50, "p99_9": 12 * p50, "p100": 40 * p50}


def steady(p50: float = 2.0, **more: Any) -> dict[str, Any]:
    """A load of 300 users for a minute, which passed."""
    timeline = [
        {
            "at": float(at),
            "users": min(25 * at, 300),
            "messages": 30,
            "deliveries": 1500 + round(100 * sin(at)),
            "errors": 0,
            "p50_ms": p50 * (1 + 0.05 * sin(3 * at)) if at > 1 else None,
            "p99_ms": p50 * 5 * (1 + 0.1 * sin(5 * at)) if at > 1 else None,
            "probe_p99_ms": p50 * 1.5 if at % 2 else None,
            "lag_p99_ms": 1.2,
            "cpu": 0.42,
        }
        for at in range(60)
    ]
    histogram = [[0, 0.2 * p50], [50, p50], [90, 2 * p50], [95, 2.5 * p50], [99, 5 * p50], [99.9, 12 * p50]]
    return {
        "verdict": "passed",
        "ended": "time",
        "target": "the reference server",
        "version": "0.1.0",
        "seed": 7,
        "shape": "steady",
        "users": 300,
        "processes": 1,
        "seconds": 60.2,
        "warm_up_seconds": 12.0,
        "messages": 1800,
        "deliveries": 90_000,
        "messages_per_second": 30.0,
        "deliveries_per_second": 1500.0,
        "rooms": 10,
        "connections": 340,
        "cuts": 40,
        "lag_p99_ms": 1.2,
        "errors": 0,
        "times_ms": {
            "delivery": times(p50, 90_000),
            "echo": times(0.8 * p50, 1800),
            "connect": times(3.0, 340),
        },
        "probe_ms": {"delivery": {"count": 600, "p50": p50, "p95": 2 * p50, "p99": 3 * p50, "p100": 9 * p50}},
        "timeline": timeline,
        "steps": [],
        "histogram": {"delivery": histogram},
        "objectives": [],
        "reasons": [],
        "anomalies": [],
        "settings": {"rooms": 10, "pace": 1.0},
        **more,
    }


def broken_ramp(**more: Any) -> dict[str, Any]:
    """A ramp to 800 users that breaks a server at 640: deliveries get late there, and errors come."""
    steps, timeline = [], []
    for number, users in enumerate((160, 320, 480, 640, 800)):
        slow = 2.0 * (1, 1.2, 2, 130, 600)[number]
        failed = number > 2
        steps.append(
            {
                "users": users,
                "from": 20.0 * number,
                "to": 20.0 * (number + 1),
                "messages_per_second": users / 10,
                "deliveries_per_second": users * 5.0 / (3 if failed else 1),
                "errors": 3 * number if failed else 0,
                "delivery": times(slow),
                "connect": times(3.0 * (number + 1), 160),
                "probe": {"delivery": {"p50": slow, "p95": 2 * slow, "p99": 3 * slow}},
                "verdict": "failed" if failed else "passed",
                "why": f"delivery.p99=250ms: {5 * slow:.0f} ms" if failed else None,
            }
        )
        timeline += [
            {
                "at": 20.0 * number + at,
                "users": round(users - 160 * max(0, 1 - at / 4)),
                "messages": users // 10,
                "deliveries": round(users * 5 / (3 if failed else 1)),
                "errors": at % 3 if failed else 0,
                "p50_ms": slow * (1 + 0.1 * sin(at)),
                "p99_ms": 5 * slow * (1 + 0.2 * sin(2 * at)),
                "probe_p99_ms": 3 * slow if at % 2 else None,
                "lag_p99_ms": 2.0 + number,
                "cpu": 0.1 * (number + 1),
            }
            for at in range(20)
        ]
    missed = {
        "text": "delivery.p99=250ms",
        "value": 1300.0,
        "outcome": "failed",
        "why": "1300 ms; the limit is 250 ms",
    }
    kept = {"text": "errors=0", "value": 0, "outcome": "passed", "why": None}
    lost = {
        "name": "lost",
        "rule": "O",
        "title": "A message was lost",
        "message": "`user1.7` never received number 41 of `room1`.\nIt was there.",
        "cause": "It is only given to those who ask: `pubsub.publish` leaves <b>somebody</b> out.",
    }
    return steady(20.0) | {
        "verdict": "failed",
        "shape": "ramp",
        "users": 800,
        "seconds": 100.4,
        "errors": 38,
        "steps": steps,
        "timeline": timeline,
        "objectives": [missed, kept],
        "reasons": ["The 99th percentile of delivery is 1300.0 ms; the limit is 250 ms."],
        "anomalies": [lost],
        **more,
    }

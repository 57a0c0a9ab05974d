"""Figures as Prometheus reads them (its text format 0.0.4), by prometheus-client.

Theory of operation: the numbers of ``stats`` and ``health`` become gauges, ``sansip_…``; figures of modules
carry their labels. There is one set of counters: a scrape reads the same numbers as ``sansip ctl stats``.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["FigureError", "exposition"]


class FigureError(Exception):
    """The server cannot show figures."""


def exposition(stats: dict[str, Any], health: dict[str, Any]) -> tuple[str, bytes]:
    """Return the content type and the page. Raises ``FigureError`` without prometheus-client."""
    try:
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
    except ModuleNotFoundError:
        raise FigureError("figures need prometheus-client; pip install 'sansip[http]'") from None
    registry = CollectorRegistry(auto_describe=False)
    for name, value in _flat(stats):
        Gauge(f"sansip_{name}", f"{name} of `sansip ctl stats`", registry=registry).set(value)
    up = Gauge("sansip_part_up", "1 while a part is well", ["part"], registry=registry)
    up.labels("server").set(health["status"] == "ok")
    for name, part in health["parts"].items():
        up.labels(name).set(bool(part["ok"]))
    return CONTENT_TYPE_LATEST, generate_latest(registry)


def _flat(stats: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: dict[str, float] = {}
    for key, value in stats.items():
        name = re.sub(r"\W+", "_", f"{prefix}{key}").strip("_")
        if isinstance(value, dict):
            found |= _flat(value, f"{name}_")
        elif isinstance(value, int | float):
            found[name] = value
    return list(found.items())

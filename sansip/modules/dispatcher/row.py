"""A destination as commands return it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sansip.modules.dispatcher.member import Member

__all__ = ["Row", "row_of"]


@dataclass(slots=True)
class Row:
    """A destination in `dispatcher.list`; seconds, None for an unknown value."""

    group: str
    uri: str
    state: str
    why: str
    weight: int
    priority: int
    calls: int
    max_calls: int
    requests: int
    failed: int
    latency: float | None
    p95: float | None


def row_of(one: Member, calls: int, now: float) -> Row:
    """Return ``one`` as `dispatcher.list` shows it; ``calls``: how many it has."""
    health, destination = one.health, one.destination
    return Row(
        destination.group,
        destination.uri,
        health.state(now),
        health.why,
        destination.weight,
        destination.priority,
        calls,
        destination.max_calls,
        one.requests,
        one.failed,
        None if health.latency is None else round(health.latency, 6),
        None if health.p95 is None else round(health.p95, 6),
    )

"""Relayed requests that wait for their final response, by source and by callee.

Theory of operation: a phone that says nothing holds each request for 32 seconds, one that rings holds it for
minutes, and a sender of many requests can hold many. So the proxy counts these requests by source and by
user. It counts only requests that wait: a busy exchange whose requests are answered is not hindered. The
tables are no larger than the number of requests that wait.
"""

from __future__ import annotations

__all__ = ["Pending"]


class Pending:
    """How many wait: ``sources`` by address, ``callees`` by address-of-record."""

    __slots__ = ("callees", "sources")

    def __init__(self) -> None:
        self.sources: dict[str, int] = {}
        self.callees: dict[str, int] = {}

    def add(self, source: str, callee: str) -> None:
        """Count one request; ``callee`` "" where none of our users is asked for."""
        sources, callees = self.sources, self.callees
        sources[source] = sources.get(source, 0) + 1
        if callee:
            callees[callee] = callees.get(callee, 0) + 1

    @property
    def total(self) -> int:
        """How many wait in this process."""
        return sum(self.sources.values())

    def remove(self, source: str, callee: str) -> None:
        """Count one less, with the same arguments."""
        _less(self.sources, source)
        if callee:
            _less(self.callees, callee)


def _less(table: dict[str, int], key: str) -> None:
    left = table[key] - 1
    if left:
        table[key] = left
    else:
        del table[key]

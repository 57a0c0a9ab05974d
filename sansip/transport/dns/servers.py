"""The name servers: in which order to ask them.

Theory of operation: the first one, or the next in turn, is asked first. One
that kept silent goes to the end for a while, so that a dead first server costs
one query its time and not all of them.
"""

from __future__ import annotations

__all__ = ["NameServers"]

# Seconds for which a silent server is asked last.
SHUNNED = 30.0
# Servers that are used; more would make a dead name wait for ever.
MOST = 4


class NameServers:
    """The configured servers and how they are doing."""

    __slots__ = ("_rotate", "_servers", "_silent", "_turn")

    def __init__(self, servers: list[tuple[str, int]], rotate: bool) -> None:
        self._servers = list(dict.fromkeys(servers))[:MOST]
        self._rotate = rotate
        self._turn = 0
        # Server -> until when it is asked last.
        self._silent: dict[tuple[str, int], float] = {}

    def order(self, now: float) -> list[tuple[str, int]]:
        """Return the servers for one query, best first."""
        servers = self._servers
        if self._rotate and servers:
            start = self._turn % len(servers)
            self._turn += 1
            servers = servers[start:] + servers[:start]
        return sorted(servers, key=lambda server: self._silent.get(server, 0.0) > now)

    def silent(self, server: tuple[str, int], now: float) -> None:
        """Note that ``server`` did not answer in time."""
        self._silent[server] = now + SHUNNED

    def answered(self, server: tuple[str, int]) -> None:
        """Note that ``server`` answered."""
        self._silent.pop(server, None)

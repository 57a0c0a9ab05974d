"""The numbers of listeners, from one reload to the next.

Theory of operation: the stack knows a listener by its number, and flows and bindings hold it. So a
listener that stays keeps its number, whatever the order in the file; a new listener gets a number that
was never used. Port 0 means the port that the system chose when it was read first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeAlias

from sansip.config import ListenerConfig
from sansip.transport.transports import DATAGRAMS

__all__ = ["Numbering"]

# Transport, address, port as written, whether it accepts; and how many equal listeners came before it.
_Key: TypeAlias = tuple[tuple[str, str, int, bool], int]


class Numbering:
    """The numbers of listeners: ``wanted`` as they were written, ``bound`` as they were opened."""

    def __init__(self, wanted: Sequence[ListenerConfig], bound: Sequence[ListenerConfig]) -> None:
        self._next = 0
        self._known: dict[_Key, ListenerConfig] = {}
        self.take(wanted, bound)

    def take(self, wanted: Sequence[ListenerConfig], bound: Sequence[ListenerConfig]) -> None:
        """Take these as the present listeners."""
        self._known = dict(zip(_keys(wanted), bound, strict=True))
        self._next = max([self._next, *(one.id + 1 for one in bound)])

    def number(
        self, wanted: Sequence[ListenerConfig], lasting: Iterable[ListenerConfig] = ()
    ) -> list[ListenerConfig]:
        """Return ``wanted``, numbered from 0, with their numbers and ports.

        ``lasting`` are listeners that are being given up; one of them that is wanted again keeps its number.
        """
        there = {(one.transport, one.host, one.port): one for one in lasting}
        numbers: dict[int, int] = {}
        numbered = []
        following = self._next
        for key, one in zip(_keys(wanted), wanted, strict=True):
            before = self._known.get(key)
            if before is None and one.transport in DATAGRAMS:
                before = there.get((one.transport, one.host, one.port))
            if before is None:
                number, port, following = following, one.port, following + 1
            else:
                number, port = before.id, before.port
            numbers[one.id] = number
            shares = None if one.shares is None else numbers[one.shares]
            numbered.append(replace(one, id=number, port=port, shares=shares))
        return numbered


def _keys(configs: Iterable[ListenerConfig]) -> list[_Key]:
    seen: Counter[tuple[str, str, int, bool]] = Counter()
    keys = []
    for one in configs:
        key = (one.transport, one.host, one.port, one.accepts)
        keys.append((key, seen[key]))
        seen[key] += 1
    return keys

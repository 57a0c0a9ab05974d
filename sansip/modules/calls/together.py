"""Counts of calls that several nodes limit together, in the Redis that they share.

Theory of operation: for each key there is one value with the number of calls of each node, and until when
that number holds. A node writes only its own number, which it counts anew from its calls each time, so no
number drifts; compare and swap lets exactly as many calls in as there is room for. A node that dies writes
nothing any more, and its number ends after ``lease`` seconds. Where Redis cannot be asked, each node counts
for itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sansip.rows import Table

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.calls.call import Call
    from sansip.modules.calls.counts import Counts

__all__ = ["HELD", "Held", "Together"]

# Nodes in one value: more are not known to one another.
_NODES: Final = 256


@dataclass(slots=True)
class Held:
    """The calls of a key: ``nodes`` is JSON, for each node its number and the Unix time of its end."""

    key: str
    nodes: str


HELD = Table("calls_held", Held, key=("key",))


class Together:
    """The counts of all nodes. ``node`` is the name of this one; ``counts`` are its own."""

    def __init__(self, core: Core, node: str, counts: Counts, lease: float) -> None:
        self._core = core
        self._node = node
        self._counts = counts
        self.lease = lease
        self._values = core.shared(HELD)
        # Keys that other nodes know our number of, and those whose number is being told.
        self._told: dict[str, int] = {}
        self._telling: set[str] = set()
        self.trouble = ""

    async def admits(self, call: Call, key: str, most: int) -> bool:
        """Whether ``call``, which is counted here for ``key``, is one of ``most`` on all nodes."""
        allowed = True

        def changed(held: Held | None) -> Held | None:
            nonlocal allowed
            now = self._core.unix(self._core.ua.now)
            others = self._others(held, now)
            mine = self._counts.of(key)
            allowed = mine + sum(number for number, _ in others.values()) <= most
            if not allowed:
                # The number without this call.
                mine -= 1
            return self._with_ours(key, others, mine, now)

        try:
            await self._values.change((key,), changed, ttl=2 * self.lease)
        except Exception as error:
            self.trouble = f"calls of other nodes are not counted: {error}"
            return True
        self.trouble = ""
        self._told[key] = self._counts.of(key)
        if call.over:
            self.changed(key, self._core.ua.now)
        return allowed

    def _others(self, held: Held | None, now: float) -> dict[str, tuple[int, float]]:
        nodes = {} if held is None else json.loads(held.nodes)
        return {
            name: (number, until)
            for name, (number, until) in nodes.items()
            if name != self._node and until > now and number > 0
        }

    def _with_ours(
        self, key: str, others: dict[str, tuple[int, float]], mine: int, now: float
    ) -> Held | None:
        nodes: dict[str, tuple[int, float]] = dict(list(others.items())[:_NODES])
        if mine > 0:
            nodes[self._node] = (mine, round(now + self.lease, 3))
        return Held(key, json.dumps(nodes)) if nodes else None

    def changed(self, key: str, now: float) -> None:
        """Fewer calls count here for ``key``: tell the others."""
        if key in self._told and key not in self._telling:
            self._telling.add(key)
            self._core.run(self._tell(key), now)

    def renew(self, now: float) -> None:
        """Tell the others again that our numbers hold, also those that Redis has lost."""
        for key in list(self._told):
            self.changed(key, now)

    def restored(self, key: str) -> None:
        """This node has calls of ``key`` from before its restart."""
        self._told.setdefault(key, 0)

    async def _tell(self, key: str) -> None:
        def changed(held: Held | None) -> Held | None:
            now = self._core.unix(self._core.ua.now)
            return self._with_ours(key, self._others(held, now), self._counts.of(key), now)

        try:
            while True:
                number = self._counts.of(key)
                await self._values.change((key,), changed, ttl=2 * self.lease)
                if number == self._counts.of(key):
                    break
            self.trouble = ""
            if not number:
                self._told.pop(key, None)
        except Exception as error:
            # The next renewal tells it.
            self.trouble = f"calls of other nodes are not counted: {error}"
        finally:
            self._telling.discard(key)

    async def total(self, key: str) -> int:
        """Return how many calls of all nodes count for ``key``."""
        held = await self._values.get(key)
        now = self._core.unix(self._core.ua.now)
        return self._counts.of(key) + sum(number for number, _ in self._others(held, now).values())

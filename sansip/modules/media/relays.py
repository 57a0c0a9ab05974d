"""The relays in their sets, and which one a call gets.

Theory of operation: rendezvous hashing with weights. Each relay has a score for each call; the highest gets
it. If a relay goes, only its own calls move, evenly to all others, and nodes that know the same relays choose
alike without asking each other.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from sansip.modules.media.relay import Relay

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.media.settings import MediaSettings

__all__ = ["Relays", "score"]


def score(uri: str, weight: int, key: str) -> float:
    """Return how much the relay ``uri`` is for the call ``key``; more is better."""
    digest = hashlib.blake2b(f"{uri} {key}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    # In (0, 1): never 0, whose logarithm there is not.
    part = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -weight / math.log(part) if part < 1 else math.inf


class Relays:
    """All relays, by their uri. ``only``: the one that there is; None where there are others, or none."""

    __slots__ = ("_relays", "only")

    def __init__(self) -> None:
        self._relays: dict[str, Relay] = {}
        self.only: Relay | None = None

    def __iter__(self) -> Iterator[Relay]:
        return iter(self._relays.values())

    def __len__(self) -> int:
        return len(self._relays)

    def get(self, uri: str) -> Relay | None:
        return self._relays.get(uri)

    def take(
        self, core: Core, settings: MediaSettings, told: Callable[[Relay, float], None], now: float
    ) -> None:
        """Have the relays of ``settings``: those that stay keep their state."""
        before, self._relays = self._relays, {}
        for one in settings.relays:
            relay = before.pop(one.uri, None)
            if relay is None:
                relay = Relay(core, one, settings, told, self._has_other)
                relay.begin(now)
            else:
                relay.take(one, settings)
            self._relays[one.uri] = relay
        self.only = next(iter(self._relays.values())) if len(self._relays) == 1 else None
        for relay in before.values():
            relay.end(now)

    def _has_other(self, relay: Relay) -> bool:
        """Whether another relay of its set may take its calls."""
        return any(
            one.usable() for one in self if one is not relay and one.settings.set == relay.settings.set
        )

    def order(self, set_: str, key: str, now: float) -> list[Relay]:
        """Return the relays of ``set_`` that may get the call ``key``, the best first."""
        found = [one for one in self if one.settings.set == set_ and one.takes_calls(now)]
        if len(found) < 2:
            return found
        found.sort(key=lambda one: score(one.uri, one.settings.weight, key), reverse=True)
        # One that answers late now would cost this call its time-out: it comes last.
        found.sort(key=lambda one: one.is_suspect(now))
        return found

"""The measured calls of gateways, known to all workers of one server.

Theory of operation: the figures of a gateway are sums, and so those of all workers are the sum of what each
measured. Each says its own, once a second at the most, and takes what the others say. What a worker that
dies had measured goes with it.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import TYPE_CHECKING, Any, Final

from sansip.modules.lcr.quality import Quality

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.lcr.gateways import Outlet

__all__ = ["Measured"]

_KEY: Final = "quality "
# Seconds between two words about one gateway.
_PAUSE: Final = 1.0


class Measured:
    """Tells the other processes of the module at ``core`` what it measured. ``tells``: there are some."""

    __slots__ = ("_core", "_others", "_told", "tells")

    def __init__(self, core: Core) -> None:
        self._core = core
        self.tells = core.seat is not None
        # Gateway -> worker -> what it measured.
        self._others: dict[str, dict[str, Quality]] = {}
        # Gateway -> when it was told.
        self._told: dict[str, float] = {}

    def share(self, outlet: Outlet, now: float) -> None:
        """Say what was measured at a gateway, if the last word is old enough."""
        seat, name = self._core.seat, outlet.gateway.name
        if seat is not None and now - self._told.get(name, -_PAUSE) >= _PAUSE:
            self._told[name] = now
            self._core.announce(f"{_KEY}{seat.digit} {name}", astuple(outlet.quality), own=True)

    def heard(self, key: str, word: Any) -> bool:
        """Take what another process says; return whether it was about that."""
        if not key.startswith(_KEY):
            return False
        digit, _, name = key.removeprefix(_KEY).partition(" ")
        if word is None:
            self._others.get(name, {}).pop(digit, None)
        else:
            self._others.setdefault(name, {})[digit] = Quality(*word)
        return True

    def of(self, outlet: Outlet, now: float, life: float) -> Quality:
        """Return what all workers measured at a gateway; calls count half after ``life`` seconds."""
        others = self._others.get(outlet.gateway.name)
        return outlet.quality if not others else outlet.quality.plus(others.values(), now, life)

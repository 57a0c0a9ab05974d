"""The gateways as they are now: of the configuration, with the operator's word, health and quality."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sansip.modules.failover.health import Admin
from sansip.modules.failover.server import Server
from sansip.modules.lcr.quality import Quality
from sansip.modules.lcr.settings import Gateway
from sansip.rows import Table

__all__ = ["WORDS", "Gateways", "Outlet", "Word"]


@dataclass(slots=True)
class Word:
    """A row: the operator's word on a gateway: ``active``, ``draining`` or ``disabled``."""

    gateway: str
    state: str


WORDS = Table("lcr_gateways", Word, key=("gateway",))


@dataclass(slots=True, eq=False)
class Outlet(Server):
    """One gateway. ``gateway``: of the configuration, replaced whole."""

    gateway: Gateway = field(kw_only=True)
    quality: Quality = field(default_factory=Quality)

    @property
    def key(self) -> str:
        """The key that its calls count for (``Calls.count``)."""
        return f"lcr {self.gateway.name}"


class Gateways:
    """All gateways, by name. A gateway whose URI stays is the same object after a reload."""

    __slots__ = ("_outlets", "_words")

    def __init__(self) -> None:
        self._outlets: dict[str, Outlet] = {}
        self._words: dict[str, Admin] = {}

    def take(self, gateways: Iterable[Gateway]) -> None:
        """Take the gateways of a configuration."""
        known, self._outlets = self._outlets, {}
        for one in gateways:
            outlet = known.get(one.name)
            if outlet is None or outlet.gateway.uri != one.uri:
                outlet = Outlet(one.parsed, gateway=one)
            outlet.gateway = one
            outlet.health.admin = self._words.get(one.name, "active")
            self._outlets[one.name] = outlet

    def say(self, name: str, state: Admin) -> None:
        """Take the operator's word, also on a gateway that is not there yet."""
        if state == "active":
            self._words.pop(name, None)
        else:
            self._words[name] = state
        if name in self._outlets:
            self._outlets[name].health.admin = state

    def get(self, name: str) -> Outlet | None:
        """Return a gateway, or None."""
        return self._outlets.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._outlets

    def __iter__(self) -> Iterator[Outlet]:
        return iter(self._outlets.values())

    def __len__(self) -> int:
        return len(self._outlets)

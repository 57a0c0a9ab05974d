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
    """One gateway.

    Attributes:
        gateway: of the configuration, replaced whole.
        key: that its calls count for (``Calls.count``).
    """

    gateway: Gateway = field(kw_only=True)
    quality: Quality = field(default_factory=Quality)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        # Its slots make this another class than the one that ``super()`` would look up.
        Server.__post_init__(self)
        self.key = f"lcr {self.gateway.name}"


class Gateways:
    """All gateways. A gateway whose URI stays is the same object after a reload. ``outlets``: by name."""

    __slots__ = ("_words", "outlets")

    def __init__(self) -> None:
        self.outlets: dict[str, Outlet] = {}
        self._words: dict[str, Admin] = {}

    def take(self, gateways: Iterable[Gateway]) -> None:
        """Take the gateways of a configuration."""
        known, self.outlets = self.outlets, {}
        for one in gateways:
            outlet = known.get(one.name)
            if outlet is None or outlet.gateway.uri != one.uri:
                outlet = Outlet(one.parsed, gateway=one)
            outlet.gateway = one
            outlet.health.admin = self._words.get(one.name, "active")
            self.outlets[one.name] = outlet

    def say(self, name: str, state: Admin) -> None:
        """Take the operator's word, also on a gateway that is not there yet."""
        if state == "active":
            self._words.pop(name, None)
        else:
            self._words[name] = state
        if name in self.outlets:
            self.outlets[name].health.admin = state

    def get(self, name: str) -> Outlet | None:
        """Return a gateway, or None."""
        return self.outlets.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self.outlets

    def __iter__(self) -> Iterator[Outlet]:
        return iter(self.outlets.values())

    def __len__(self) -> int:
        return len(self.outlets)

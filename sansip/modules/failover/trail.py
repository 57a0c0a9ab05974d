"""Which destination a request went to, and why: for `dispatcher.explain`.

Theory of operation: the last thousand requests are kept, by Call-ID; an older one is forgotten. Of a call
that passes as octets there is what makes its decision: most are never asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

__all__ = ["Decision", "Step", "Trail"]

_KEPT: Final = 1_000


@dataclass(slots=True)
class Step:
    """One destination: tried, with its answer, or passed over, with the reason."""

    uri: str
    outcome: str


@dataclass(slots=True)
class Decision:
    """The decisions for one request; ``key`` is the text that the algorithm used."""

    call_id: str
    method: str
    group: str
    algorithm: str
    key: str
    tried: list[Step] = field(default_factory=list)
    passed_over: list[Step] = field(default_factory=list)


class Decided(Protocol):
    """What makes its decision once somebody asks."""

    def decision(self) -> Decision:
        """Return it."""


class Trail:
    """The last decisions."""

    __slots__ = ("_decisions",)

    def __init__(self) -> None:
        self._decisions: dict[str, Decision | Decided] = {}

    def add(self, decision: Decision) -> None:
        """Keep a decision; that of an earlier request with its Call-ID goes."""
        self.add_later(decision.call_id, decision)

    def add_later(self, call_id: str, decision: Decision | Decided) -> None:
        """Do what ``add`` does with what ``decision`` makes, once somebody asks."""
        decisions = self._decisions
        decisions.pop(call_id, None)
        decisions[call_id] = decision
        if len(decisions) > _KEPT:
            del decisions[next(iter(decisions))]

    def of(self, call_id: str) -> Decision | None:
        """Return the decisions for ``call_id``."""
        found = self._decisions.get(call_id)
        return found if found is None or isinstance(found, Decision) else found.decision()

    def __len__(self) -> int:
        return len(self._decisions)

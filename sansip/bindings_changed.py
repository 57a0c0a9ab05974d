"""The event of the registrar: made at each REGISTER, so it has a file that is compiled.

Theory of operation: as the actions (``sansip.actions``), it is written out.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BindingsChanged"]


@dataclass(slots=True, init=False)
class BindingsChanged:
    """The bindings of an address-of-record changed.

    ``reason`` is "registered", "expired", "removed" by an administrator, "silent" where
    keepalives had no answer, or "lost" with its connection.
    """

    aor: str
    count: int
    reason: str

    def __init__(self, aor: str, count: int, reason: str) -> None:
        self.aor = aor
        self.count = count
        self.reason = reason

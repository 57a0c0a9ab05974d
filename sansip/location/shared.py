"""One live location for several nodes: the questions to it, and the mirror kept here.

Theory of operation: the bindings of an address-of-record are one record in a
store that all nodes use, under a version that no two writes share. To change it
is to compare and swap: a write names the version that was planned from, and
where another node was quicker it is refused with the record that stands, so that
the caller plans again. No update is ever lost, and a repeated write (its answer
got lost on the way) is known by its own version.

This node mirrors in memory the records that passed through it. A refresh plans from the mirror and needs one
trip. While the store is gone, this node still finds the users in its mirror.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from sansip.limits import DEFAULT, Limits

from .binding import Binding
from .memory import MemoryLocation, Record

__all__ = [
    "NO_VERSION",
    "ConnectionFlow",
    "NodeFlow",
    "SharedLocation",
    "SharedRead",
    "SharedRecord",
    "SharedWrite",
]

# The version of an address-of-record without a record.
NO_VERSION = ""


class NodeFlow(NamedTuple):
    """The flow of a binding, as other nodes know it (``Binding.flow``).

    Attributes:
        node: name of the node that the phone registered at.
        life: which life of that node: connections do not outlive it.
        transport: as in ``Flow``.
        listener: number of the listener there.
        conn: number of the connection there, 0 for datagrams.
        token: user part of a Route value with which that node sends over the
            flow (RFC 5626 5.3), "" where it has none to give.
        direct: whether the Contact is the address that the REGISTER came from, so
            that any node may try it.
    """

    node: str
    life: str
    transport: str
    listener: int
    conn: int
    token: str
    direct: bool


class ConnectionFlow(NamedTuple):
    """The flow of a binding over a connection, as the workers of one server know it (``Binding.flow``)."""

    conn: int
    transport: str
    listener: int
    address: tuple[str, int]


def _is_own_connection(flow: Hashable) -> bool:
    return flow is not None and not isinstance(flow, int | NodeFlow | ConnectionFlow)


@dataclass(slots=True)
class SharedRecord:
    """The present record: ``bindings`` best first, flows as ``NodeFlow`` or None."""

    version: str
    bindings: Record


@dataclass(slots=True)
class SharedRead:
    """The question for the present record of ``aor``; the answer is a ``SharedRecord``.

    ``known``: the version that the mirror has, "" for none. If the store has the same, it may answer None.
    """

    aor: str
    known: str = NO_VERSION


@dataclass(slots=True)
class SharedWrite:
    """The question to write ``bindings`` for ``aor``, if ``expected`` is the present version.

    ``version`` is 16 characters that no other write has. The answer is None once it is written, as durably as
    the store was told, or the ``SharedRecord`` that the store has instead.
    """

    aor: str
    expected: str
    version: str
    bindings: Record


class SharedLocation(MemoryLocation):
    """The mirror: the records that this node wrote or read last, with their versions.

    Expired bindings go from here by themselves. ``limits.aors`` bounds it; a record that does not fit is not
    mirrored, which costs a trip and no truth.
    """

    __slots__ = ("_versions", "found")

    def __init__(self, limits: Limits = DEFAULT) -> None:
        super().__init__(limits, _is_own_connection)
        self._versions: dict[str, str] = {}
        # While a request is taken: its address-of-record, and the bindings that the store has just told.
        self.found: tuple[str, list[Binding]] | None = None

    def version(self, aor: str) -> str:
        """Return the version of ``aor`` as it was last seen, ``NO_VERSION`` for none."""
        return self._versions.get(aor, NO_VERSION)

    def question(self, aor: str) -> SharedRead:
        """Return the question for the present record of ``aor``."""
        # Flows that are objects may have ended since: their names are to be read again.
        plain = isinstance(self._records.get(aor), bytes)
        return SharedRead(aor, self._versions.get(aor, NO_VERSION) if plain else NO_VERSION)

    def mirror(self, aor: str, record: SharedRecord, now: float) -> Record:
        """Hold the present record of ``aor``; return its live bindings."""
        bindings = tuple(one for one in record.bindings if one.expires_at > now)
        held = self.standing(aor)
        if held or bindings:
            if not held and len(self._records) >= self._limits.aors:
                return bindings
            self._replace(aor, held, bindings)
        if bindings:
            self._versions[aor] = record.version
        return bindings

    def _replace(self, aor: str, before: Record, after: Record, *, scheduled: bool = True) -> None:
        super()._replace(aor, before, after, scheduled=scheduled)
        if not after:
            # A record that is not held has no version: the answer to the next write has the present one.
            self._versions.pop(aor, None)

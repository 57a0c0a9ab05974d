"""A SEND on its way from one connection to another, and the transactions that carry it on (RFC 4976 6.4.1).

Theory of operation: octets wait in ``held`` only until the target takes them; ``position`` is that of the
first octet which has not left. A chunk that came may leave as several, each a transaction (``Sent``) with a
range of its own: what comes is passed on before its end is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sansip.msrp import ByteRange, Head

if TYPE_CHECKING:
    from sansip.modules.msrp.parts import Hop

__all__ = ["Chunk", "Sent"]


@dataclass(slots=True, eq=False)
class Chunk:
    """One SEND request.

    Attributes:
        source: where it comes from.
        asked: as it came.
        head: as it leaves, with its paths shifted.
        position: of the first octet that has not left, from 1 on.
        total: of the whole message, None where it is not known.
        held: octets that have come and not left.
        end: the flag of its end-line, "" while it has not come.
        target: where it goes.
        transaction: of the request on the wire that its octets go into, "" where there is none.
        begun: where that request began.
        failed: the rest is thrown away.
    """

    source: Hop
    asked: Head
    head: Head
    position: int
    total: int | None
    target: Hop
    held: bytearray = field(default_factory=bytearray)
    end: str = ""
    transaction: str = ""
    begun: int = 0
    failed: bool = False

    def request(self, transaction: str, end: int | None) -> Head:
        """Return the head of a request for the octets from ``position`` to ``end`` (None: not known)."""
        said = ("Byte-Range", str(ByteRange(self.position, end, self.total)))
        fields = [said if name.lower() == "byte-range" else (name, value) for name, value in self.head.fields]
        if said not in fields:
            # RFC 4975 7.1: Content-Type stays the last one.
            fields.insert(len(fields) - 1 if self.head.has_body else len(fields), said)
        head = self.head
        return Head(transaction, head.method, 0, "", head.to_path, head.from_path, fields, head.has_body)


@dataclass(slots=True)
class Sent:
    """A transaction that waits for the response of the next hop.

    ``chunk``, ``start`` and ``end`` for a SEND; ``back`` and ``request`` for others: who asked, and what.
    """

    deadline: float
    chunk: Chunk | None = None
    start: int = 0
    end: int = 0
    back: Hop | None = None
    request: Head | None = None

    @property
    def octets(self) -> int:
        """About how much it holds: a path and header fields as long as a stranger made them."""
        head = self.request if self.chunk is None else self.chunk.asked
        if head is None:
            return 0
        paths = sum(len(uri.text) for uri in (*head.to_path, *head.from_path))
        return paths + sum(len(name) + len(value) for name, value in head.fields)

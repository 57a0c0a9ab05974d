"""CSeq numbers that a next hop sees, and the offset that authentication on the way adds to them.

Theory of operation: a request sent again with credentials must have a new CSeq (RFC 3261 22.2), or the next
server takes it for one that it has already, merged or retransmitted (8.2.2.2). The sender does not know of
it. So from then on the proxy adds an offset to the CSeq number of each request of the dialog, and the
responses go back with the sender's own number. The proxy writes the offset into our Record-Route value, with
a keyed hash that also tells the two directions of a dialog apart. So this node after a restart, or another
node with the same secret, goes on with it. A challenge within the dialog makes the offset larger: this
addition is held here, for a bounded number of dialogs.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError

if TYPE_CHECKING:
    from sansip.entropy import Entropy
    from sansip.wire import Request

__all__ = ["Shifts"]

# RFC 3261 8.1.1.5: a sequence number is less than this.
_END = 1 << 31
# Steps of one dialog that are remembered; the oldest is forgotten.
_STEPS = 16


class Shifts:
    """The offsets added to CSeq, by dialog (``steps``). ``secret`` keys the marks; ``most`` are kept."""

    __slots__ = ("_secret", "most", "steps")

    def __init__(self, secret: Entropy, most: int) -> None:
        self._secret = secret
        self.most = most
        # (Call-ID, From tag; "" outside of a dialog) -> [(from this number on, added)]
        self.steps: dict[tuple[str, str], list[tuple[int, int]]] = {}

    def mark(self, request: Request, shift: int) -> str:
        """Return the parameter of Record-Route that says ``shift``, for the dialog that ``request`` makes."""
        return f";c={shift}-{self._proof(request, shift)}"

    def read(self, value: str | None, request: Request) -> int:
        """Return what ``mark`` wrote, if ``request`` goes the same way as the one that it was written for."""
        digits, _, proof = (value or "").partition("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 6):
            return 0
        expected = self._proof(request, int(digits))
        matches = hmac.compare_digest(proof.encode("utf-8", "surrogateescape"), expected.encode())
        return int(digits) if matches else 0

    def _proof(self, request: Request, shift: int) -> str:
        return self._secret.keyed_hash(f"cseq {shift} {request.call_id} {request.from_tag}")

    def of(self, request: Request, marked: int, number: int | None = None) -> int:
        """Return what is added to ``number`` (that of ``request`` by default); ``marked``: see ``read``."""
        added = marked
        if self.steps:
            asked = request.cseq.number if number is None else number
            for begin, shift in self.steps.get(_key(request), ()):
                if begin <= asked:
                    added = shift
        return added

    def note(self, request: Request, shift: int) -> bool:
        """From ``request`` on ``shift`` is added; return False where the number would be too large."""
        number = request.cseq.number
        if number + shift >= _END:
            return False
        self._put(_key(request), number, shift)
        return True

    def raise_after(self, call_id: str, tag: str, seen: int) -> None:
        """One more is added to what the sender ``tag`` sends next: the number behind ``seen`` is taken.

        ``seen``: its last one as the next hop saw it; 0: it has sent none.
        """
        key = (call_id, tag)
        steps = self.steps.get(key)
        shift = steps[-1][1] if steps else 0
        self._put(key, seen - shift + 1 if seen else 0, shift + 1)

    def forget(self, call_id: str, tag: str) -> None:
        """The dialog is over."""
        self.steps.pop((call_id, tag), None)

    def _put(self, key: tuple[str, str], number: int, shift: int) -> None:
        steps = [step for step in self.steps.pop(key, ()) if step[0] != number]
        if len(self.steps) >= self.most:
            del self.steps[next(iter(self.steps))]
        self.steps[key] = [*steps, (number, shift)][-_STEPS:]

    def apply(self, copy: Request, marked: int, shift: int) -> None:
        """Write the numbers that the next hop is to see into ``copy``."""
        cseq = copy.cseq
        copy.set_line("cseq", f"CSeq: {cseq.number + shift} {cseq.method}")
        if copy.has("rack"):
            # RFC 3262 7.2: the number of the INVITE is repeated in there.
            try:
                rack = copy.typed("rack")
            except RemoteProtocolError:
                return
            number = rack.cseq + self.of(copy, marked, rack.cseq)
            copy.set("RAck", f"{rack.rseq} {number} {rack.method}")


def _key(request: Request) -> tuple[str, str]:
    return request.call_id, (request.from_tag or "") if request.to_tag is not None else ""

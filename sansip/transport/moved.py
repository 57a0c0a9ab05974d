"""Phones whose NAT gave them another port, while a dialog of theirs goes on.

Theory of operation: a flow token names the address that a phone behind a NAT had
when the dialog began (``transport.flow_token``), and route sets never change (RFC 3261
12.2). But a router restarts, or forgets a silent phone, and the next packet comes
from another port. The REGISTER that says so is authenticated like any other, so
what it replaces is remembered: requests for the old address go to the new one. An
address at which somebody else turns up is forgotten, for NATs use ports again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from sansip.transport.flow import Flow

__all__ = ["Moved"]

# A listener of ours, and the peer's address.
_Key: TypeAlias = tuple[int, str, int]
# Moves of one phone that are followed: a router does not restart more often in a call.
_FOLLOWED = 16


class Moved:
    """At most ``most`` moves, the oldest of which is forgotten first."""

    __slots__ = ("_most", "_moves")

    def __init__(self, most: int) -> None:
        self._most = most
        self._moves: dict[_Key, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._moves)

    def note(self, listener: int, old: tuple[str, int] | None, new: tuple[str, int]) -> None:
        """Note that a phone is at ``new``, and that it was at ``old`` before; None: nobody knows."""
        moves = self._moves
        if moves:
            moves.pop((listener, *new), None)
        if old is None or old == new:
            return
        moves.pop((listener, *old), None)
        if len(moves) >= self._most:
            del moves[next(iter(moves))]
        moves[listener, *old] = new

    def seen(self, flow: Flow) -> None:
        """Note that somebody sends from ``flow``, and is where it says."""
        if self._moves:
            self._moves.pop((flow.listener, flow.host, flow.port), None)

    def address(self, flow: Flow) -> tuple[str, int]:
        """Return where the phone is that was at ``flow``."""
        address = (flow.host, flow.port)
        for _ in range(_FOLLOWED):
            after = self._moves.get((flow.listener, *address))
            if after is None:
                break
            address = after
        return address

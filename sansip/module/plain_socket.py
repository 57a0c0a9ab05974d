"""UDP sockets of modules that keep their questions themselves: ``core.socket(remote)``.

Theory of operation: all that the peer says goes to ``received``, and ``lost`` hears when nothing comes any
more. How many answers are waited for stands in ``Sockets``: a runtime reads a socket at once while somebody
waits, and when it looks at everything else where nobody does (``Sockets.patient``).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from sansip.actions import SendDatagram
from sansip.module.peer import DATAGRAM, PeerBusy, address_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.actions import Address
    from sansip.module.peer import Owner
    from sansip.module.sockets import Sockets

__all__ = ["PlainSocket"]

_MOST: Final[int] = DATAGRAM


class PlainSocket:
    """A UDP socket that talks to one peer.

    ``received(data, now)`` gets all that it says; ``lost(reason, now)``: nothing comes any more for what was
    sent. ``failed(where, error)`` hears of an exception of ``received``.
    """

    __slots__ = ("_failed", "_lost", "_number", "_received", "heard", "owner", "remote", "sockets")

    def __init__(
        self,
        sockets: Sockets,
        remote: Address,
        received: Callable[[bytes, float], None],
        lost: Callable[[str, float], None],
        failed: Callable[[str, BaseException], None],
    ) -> None:
        self.remote: Address = address_of(remote)
        self.sockets = sockets
        # It ends with its module; None: with the stack.
        self.owner: Owner | None = None
        # When it said something last.
        self.heard: float = -inf
        self._received = received
        self._lost = lost
        self._failed = failed
        self._number = 0

    def __str__(self) -> str:
        host, port = self.remote[:2]
        return f"{'[' + host + ']' if ':' in host else host}:{port}"

    def send(self, data: bytes, now: float) -> None:
        """Send one datagram. Raises ``PeerFailed`` if it is too large, or no socket is available."""
        if len(data) > _MOST:
            raise PeerBusy(f"{len(data)} octets are more than a datagram holds")
        sockets = self.sockets
        if not self._number:
            self._number = sockets.open(self)
        sockets.out.append(SendDatagram(self._number, data, self.remote, self._number))

    def close(self, now: float) -> None:
        """Close the socket. It is opened anew when something is sent."""
        number, self._number = self._number, 0
        if number:
            self.sockets.close(number)
            self._lost("closed", now)

    def take(self, data: bytes, now: float) -> None:
        """A datagram of the peer came; the socket takes no datagrams of other hosts."""
        self.heard = now
        try:
            self._received(data, now)
        except Exception as error:
            self._failed("received", error)

    def lose(self, reason: str, now: float) -> None:
        """The peer does not listen there, or there is no way; the next datagram gets another socket."""
        self._lost(reason, now)
        self.close(now)

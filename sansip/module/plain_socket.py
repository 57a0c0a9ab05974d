"""UDP sockets of modules that match questions and answers themselves: ``core.socket(remote, ...)``.

Theory of operation: every datagram of the peer goes to ``received``; ``lost`` is called when no answer to
earlier datagrams will come any more. The module counts in ``Sockets.questions`` the answers that it waits
for, and in ``Sockets.patient`` those of them that hold up no call. While there are others, the runtime reads
the socket at once; else it may do so in its next turn.
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

    ``received(data, now)`` gets each of its datagrams; ``lost(reason, now)``: no answer to earlier datagrams
    will come. ``failed(where, error)`` gets the exceptions of ``received``.
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
        # When its latest datagram came.
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

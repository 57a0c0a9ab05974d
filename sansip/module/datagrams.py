"""UDP sockets of modules: ``core.datagrams(remote)``.

Theory of operation: a question and its answer have the same key, which the module reads from each datagram. A
question goes again after its time, as often as it says; a datagram that answers none goes to ``received``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.actions import SendDatagram
from sansip.errors import LocalProtocolError
from sansip.module.peer import DATAGRAM, Exchange, Peer, PeerBusy, PeerFailed, Received, Remote, Table

__all__ = ["Datagrams"]


class Datagrams(Peer):
    """A UDP socket that talks to one peer.

    ``key(data)`` returns the key of a datagram: a question and its answer have the same. ``received(data,
    now)`` gets datagrams that answer no question.
    """

    __slots__ = ("_key", "_number", "_waiting")

    def __init__(
        self,
        sockets: Table,
        remote: Remote,
        key: Callable[[bytes], Any] | None,
        received: Received | None,
    ) -> None:
        super().__init__(sockets, remote, received)
        self._key = key
        self._number = 0
        self._waiting: dict[Any, Exchange] = {}

    def send(self, data: bytes, now: float) -> None:
        """Send one datagram. Raises ``PeerFailed`` if it is too large, or no socket is available."""
        if len(data) > DATAGRAM:
            raise PeerBusy(f"{len(data)} octets are more than a datagram holds")
        if not self._number:
            self._number = self.sockets.open(self)
        self.sockets.out.append(SendDatagram(self._number, data, self.remote, self._number))

    def ask(self, data: bytes, within: float = 0.5, attempts: int = 3, key: Any = None) -> Exchange:
        """Return an awaitable for the answer. It is sent again every ``within`` seconds, ``attempts`` times.

        ``key``: that of ``data``, where the caller knows it.
        Awaiting raises ``PeerFailed`` if no answer comes, and if the network says at once that the peer is
        not there.
        """
        if self._key is None:
            raise LocalProtocolError("to ask, datagrams need key=: what an answer is known by")
        return Exchange(self, data, self._key(data) if key is None else key, within, attempts)

    def close(self, now: float) -> None:
        """Close the socket; questions that wait fail. It is opened anew when something is sent."""
        number, self._number = self._number, 0
        if number:
            self.sockets.close(number)
        for exchange in list(self._waiting.values()):
            exchange.end(PeerFailed(f"{self}: closed"), now)

    def expect(self, key: Any, exchange: Exchange, now: float) -> None:
        if key in self._waiting:
            raise PeerFailed(f"{self} is being asked the same already")
        if self._rests_until:
            self._admit(exchange, now)
        self._waiting[key] = exchange

    def forget(self, key: Any, exchange: Exchange) -> None:
        super().forget(key, exchange)
        if self._waiting.get(key) is exchange:
            del self._waiting[key]

    def take(self, data: bytes, now: float) -> None:
        """A datagram of the peer came; the socket takes no datagrams of other hosts."""
        self._rests_until = 0.0
        self.heard = now
        exchange = None
        if self._key is not None:
            try:
                exchange = self._waiting.get(self._key(data))
            except Exception:
                # Whatever it is, it answers nothing.
                exchange = None
        if exchange is not None:
            exchange.end(data, now)
        elif self.received is not None:
            self.received(data, now)

    def lose(self, reason: str, now: float) -> None:
        """The peer does not listen there, or there is no way; the next datagram gets another socket."""
        self.silent(now)
        for exchange in list(self._waiting.values()):
            exchange.end(PeerFailed(f"{self}: {reason}"), now)
        self.close(now)

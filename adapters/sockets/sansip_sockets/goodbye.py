"""How connections end: by a goodbye, by a failure, or at once.

Theory of operation: a lingering connection has said goodbye (our FIN is sent), and reads on until the peer
has said goodbye too, for ``LINGER`` seconds at most. If a socket is closed with unread octets, the kernel
sends a reset, which can overtake the answer that was just written. A pump is never stopped from outside:
shutting the socket down wakes it, it sees the state, and whichever pump of a connection ends last closes the
socket.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.transport.transports import SCTP
from sansip_sockets import sctp
from sansip_sockets.connection import CLOSING, DEAD, LINGERING, OPEN, Connection

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["LINGER", "Goodbyes"]

# Seconds to wait for the peer's goodbye after ours.
LINGER = 2.0


class Goodbyes:
    """Ends connections: of ``table``, by number, which the stack knows, and of ``open_``, all with a socket.

    ``unpark`` has a connection read again, so that its pump sees the end.
    """

    __slots__ = ("_hub", "_open", "_table", "_unpark")

    def __init__(
        self,
        hub: Host,
        table: dict[int, Connection],
        open_: set[Connection],
        unpark: Callable[[Connection], None],
    ) -> None:
        self._hub = hub
        self._table = table
        self._open = open_
        self._unpark = unpark

    def say(self, connection: Connection) -> None:
        """Send our FIN, and linger if there is something to wait for."""
        if not connection.heard:
            # This side closes before the peer said a word: there is no answer to protect, and
            # a crowd of such connections must not hold descriptors.
            self.kill(connection)
            return
        connection.state = LINGERING
        self._unpark(connection)
        _shut_down(connection.sock, socket.SHUT_WR)
        hub = self._hub
        connection.timer = hub.driver.timers.start(hub.clock(), LINGER, self, connection)

    def timer_fired(self, connection: Connection, now: float) -> None:
        """The peer did not say goodbye in time."""
        self.kill(connection)

    def kill(self, connection: Connection) -> None:
        """End both directions; the pumps wake and see that it is over."""
        connection.state = DEAD
        self._unpark(connection)
        if connection.transport == SCTP:
            sctp.abort(connection.sock)
        else:
            _shut_down(connection.sock, socket.SHUT_RDWR)

    def lost(self, connection: Connection, reason: str) -> None:
        """The connection has failed: kill it and tell the stack, which fails over."""
        hub = self._hub
        if self._table.pop(connection.conn, None) is not None:
            hub.later(hub.driver.connection_closed, connection.conn, reason)
        connection.out.clear()
        connection.queued = 0
        self.kill(connection)

    def ended(self, connection: Connection, reason: str) -> None:
        """Reading is over: tell the stack, unless it knows."""
        if self._table.pop(connection.conn, None) is not None:
            hub = self._hub
            hub.later(hub.driver.connection_closed, connection.conn, reason)
        if connection.state == OPEN and connection.writing:
            connection.state = CLOSING
        elif connection.state != CLOSING:
            connection.state = DEAD

    def is_last(self, connection: Connection) -> bool:
        """One pump of ``connection`` ends; return whether it was the last."""
        connection.pumps -= 1
        # One that is parked has no pump, and is read again.
        return connection.pumps == 0 and not connection.parked

    def forget(self, connection: Connection) -> None:
        """Close the socket: no pump uses it any more."""
        if connection.timer is not None:
            connection.timer.cancel()
        connection.sock.close()
        self._open.discard(connection)


def _shut_down(sock: socket.socket, how: int) -> None:
    try:
        sock.shutdown(how)
    except OSError:
        pass  # not connected any more, or not yet

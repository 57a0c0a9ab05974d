"""The pumps of streams: connect, accept, read.

Theory of operation: each connection has one pump that reads it from beginning to end. ``writing`` writes, and
``goodbye`` ends what is to end; whichever pump of a connection ends last closes the socket.

When the peer's end of input comes first, the stack is told at once, and answers
that were written before still go out: a peer that half-closes gets them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.actions import Connect, Disconnect, Reading
from sansip.driver import OpenConnection
from sansip.transport.transports import SCTP, TCP
from sansip_sockets import sctp
from sansip_sockets.accepting import Accepting
from sansip_sockets.bind import BoundListener
from sansip_sockets.connection import CLOSING, CONNECTING, DEAD, GIVEN, OPEN, Connection
from sansip_sockets.goodbye import Goodbyes
from sansip_sockets.inlet import Inlet
from sansip_sockets.opening import begin_connect, tune
from sansip_sockets.waits import PAUSE, READ, WRITE, Pump
from sansip_sockets.writing import Writing

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["Streams"]

# Octets taken by one read: a dozen messages, after which all other peers get a turn. With 64
# KiB ten peers that send as fast as they can made the others wait a quarter of a second.
READ_SIZE = 4_096


class Streams:
    """All stream sockets of a hub."""

    __slots__ = ("_goodbyes", "_heirs", "_hub", "_open", "_table", "accepting", "writing")

    def __init__(self, hub: Host) -> None:
        self._hub = hub
        # Connections the stack knows, by number.
        self._table: dict[int, Connection] = {}
        # Connections whose socket is open: those above, and those that say goodbye.
        self._open: set[Connection] = set()
        self.accepting = Accepting(hub, self._accepted)
        # The function that takes over the socket of a connection that was given away, once its pump
        # has let go.
        self._heirs: dict[Connection, Callable[[], None]] = {}
        self._goodbyes = Goodbyes(hub, self._table, self._open, self._unpark)
        self.writing = Writing(hub, self._table, self._goodbyes)

    def __len__(self) -> int:
        """Return how many sockets are open."""
        return len(self._open)

    @property
    def flushed(self) -> bool:
        """Whether the kernel has taken everything."""
        return not any(connection.writing for connection in self._open)

    def close(self) -> None:
        """Close all sockets at once."""
        for connection in self._open:
            connection.sock.close()
        for connection in self._heirs:
            connection.sock.close()
        self.accepting.close()
        self._open.clear()
        self._table.clear()

    # --- actions

    def connect(self, action: Connect) -> None:
        """Begin to open a connection; the outcome is told to the stack."""
        hub = self._hub
        try:
            # Name servers are asked from any address.
            listener = None if action.listener < 0 else hub.listeners[action.listener]
            if action.transport not in (TCP, SCTP, "dns") and action.transport not in hub.driver.filters:
                raise ValueError(f"transport {action.transport} is not available here")
            sock = begin_connect(action, listener)
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or repr(error)
            hub.later(hub.driver.connection_closed, action.conn, reason)
            return
        connection = Connection(action.conn, sock, listener, action.transport, CONNECTING)
        self._table[action.conn] = connection
        self._open.add(connection)
        hub.spawn(self._pump(connection, action.address, action.name))

    def disconnect(self, action: Disconnect) -> None:
        """Say goodbye once all is written; the stack hears that the connection is closed."""
        connection = self._table.pop(action.conn, None)
        hub = self._hub
        if connection is None:
            if hub.elsewhere is not None:
                hub.elsewhere(action)
            return
        hub.later(hub.driver.connection_closed, action.conn, action.reason)
        if connection.state == CONNECTING:
            self._goodbyes.kill(connection)
            return
        connection.state = CLOSING
        if connection.out and not connection.writing:
            self.writing.write_out(connection)
            if connection.out and connection.state == CLOSING:
                self.writing.start(connection)
        if not connection.out:
            self._goodbyes.say(connection)

    def read(self, action: Reading) -> None:
        """Read a connection no more, or again."""
        connection = self._table.get(action.conn)
        if connection is not None and connection.transport != SCTP:
            connection.paused = not action.wanted
            if action.wanted:
                self._unpark(connection)

    def _unpark(self, connection: Connection) -> None:
        connection.paused = False
        if connection.parked:
            connection.parked = False
            connection.pumps += 1
            self._hub.spawn(self._pump(connection, None))

    def give(self, conn: int, heir: Callable[[socket.socket], None]) -> None:
        """Give ``heir`` the socket of ``conn``, which was read just now, as soon as no pump watches it."""
        connection = self._table.pop(conn)
        if connection.out and not connection.writing:
            # The end of the TLS handshake, which was queued in this very batch.
            self.writing.write_out(connection)
        if connection.out or connection.state != OPEN:
            # The peer has just begun, and does not read.
            connection.out.clear()
            self._goodbyes.kill(connection)
            return
        self._open.discard(connection)
        connection.state = GIVEN
        self._heirs[connection] = partial(heir, connection.sock)

    # --- pumps

    def _accepted(self, listener: BoundListener, peer: socket.socket, address: Any) -> None:
        hub = self._hub
        peer.setblocking(False)
        tune(peer, listener.transport)
        conn = hub.driver.stack.new_connection()
        connection = Connection(conn, peer, listener, listener.transport, OPEN)
        self._table[conn] = connection
        self._open.add(connection)
        info = OpenConnection(listener.id, listener.transport, peer.getsockname(), address, True)
        now = hub.clock()
        try:
            hub.perform(hub.driver.connection_opened(conn, info, now), now)
        except BaseException:
            self._goodbyes.lost(connection, "internal error")
            self._open.discard(connection)
            raise
        hub.spawn(self._pump(connection, None))

    def _pump(self, connection: Connection, connect_to: Any, name: str = "") -> Pump:
        """The life of one connection, from its socket to the end of it."""
        hub = self._hub
        sock = connection.sock
        reason = "internal error"
        inlet: Inlet | None = None
        try:
            if connect_to is not None:
                ready = yield (WRITE, sock, hub.driver.limits.connect_time)
                # The pump that writes what the kernel does not take at once has the watch from here on.
                yield (PAUSE, sock, 0.0)
                reason = self._connected(connection, connect_to, name, ready)
            if connection.state != DEAD:
                recv: Callable[[int], bytes] = sock.recv
                size = READ_SIZE
                if connection.transport == SCTP:
                    inlet = Inlet(hub, sock, partial(self._goodbyes.lost, connection))
                    recv, size = inlet.read, sctp.READ_SIZE
                # SCTP delimits messages itself.
                boundary = inlet is not None
                driver, clock, perform = hub.driver, hub.clock, hub.perform
                wait = (READ, sock, None)
                while True:
                    if not connection.paused:
                        yield wait
                    if connection.state == DEAD:
                        break
                    if connection.paused:
                        # The kernel's buffer fills, and the peer waits. ``_unpark`` starts another pump.
                        connection.parked = True
                        connection.pumps -= 1
                        return
                    try:
                        data = recv(size)
                    except BlockingIOError:
                        continue
                    except OSError as error:
                        reason = error.strerror or repr(error)
                        # The octets that wait cannot be written any more, either.
                        connection.out.clear()
                        connection.state = DEAD
                        break
                    if not data:
                        reason = "closed by the peer"
                        break
                    if connection.state == OPEN:
                        connection.heard = True
                        now = clock()
                        perform(driver.data_received(connection.conn, data, now, boundary=boundary), now)
                        if connection.state == GIVEN:
                            break
        except Exception as error:
            reason = "internal error"
            self._goodbyes.kill(connection)
            hub.report(f"connection {connection.conn} ({connection.transport})", error)
        if inlet is not None:
            inlet.close()
        if connection.state == GIVEN:
            yield (PAUSE, sock, 0.0)
            self._heirs.pop(connection)()
            return
        self._goodbyes.ended(connection, reason)
        if self._goodbyes.is_last(connection):
            yield (PAUSE, sock, 0.0)
            self._goodbyes.forget(connection)

    # --- steps

    def _connected(self, connection: Connection, address: Any, name: str, ready: bool) -> str:
        """Take the outcome of a connect; return the reason when it failed."""
        hub = self._hub
        if connection.state == DEAD:
            return "closed"
        reason = ""
        if not ready:
            reason = f"not established in {hub.driver.limits.connect_time} s (limits.connect_time)"
        else:
            failure = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failure:
                reason = os.strerror(failure)
        if reason:
            self._goodbyes.lost(connection, reason)
            return reason
        connection.state = OPEN
        if connection.out:
            self.writing.dirty.append(connection)
        info = OpenConnection(
            -1 if connection.listener is None else connection.listener.id,
            connection.transport,
            connection.sock.getsockname(),
            address,
            False,
            name,
        )
        now = hub.clock()
        hub.perform(hub.driver.connection_opened(connection.conn, info, now), now)
        return ""

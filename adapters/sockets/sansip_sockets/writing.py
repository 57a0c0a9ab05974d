"""What is written to connections.

Theory of operation: writes are tried at once, all of a batch in one system call; only what the kernel does
not take waits, in a bounded queue, and a pump lives as long as the queue does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sansip.actions import SendData
from sansip.transport.transports import SCTP
from sansip_sockets import sctp
from sansip_sockets.connection import CLOSING, CONNECTING, DEAD, OPEN, Connection
from sansip_sockets.goodbye import Goodbyes
from sansip_sockets.waits import PAUSE, WRITE, Pump

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["Writing"]

# Octets that wait to be written from which on the stack is told that the peer is slow.
FULL = 65_536


class Writing:
    """Writes to the connections of ``table``; ``goodbyes`` ends those that fail."""

    __slots__ = ("_goodbyes", "_hub", "_table", "dirty")

    def __init__(self, hub: Host, table: dict[int, Connection], goodbyes: Goodbyes) -> None:
        self._hub = hub
        self._table = table
        self._goodbyes = goodbyes
        # Connections written to in the batch being performed.
        self.dirty: list[Connection] = []

    def write(self, action: SendData) -> None:
        """Queue octets until the end of the batch; report them failed when it is too late."""
        connection = self._table.get(action.conn)
        if connection is None:
            hub = self._hub
            if hub.elsewhere is not None and hub.elsewhere(action):
                return
            if action.owner:
                hub.later(hub.driver.send_failed, action.owner, "the connection is closed")
            return
        if not connection.out:
            self.dirty.append(connection)
        connection.out.append(action.data)
        connection.queued += len(action.data)
        if connection.writing or connection.state == CONNECTING:
            self._check_backlog(connection)

    def flush(self) -> None:
        """Write what the batch queued."""
        dirty, self.dirty = self.dirty, []
        for connection in dirty:
            if connection.out and not connection.writing and connection.state in (OPEN, CLOSING):
                try:
                    self.write_out(connection)
                except Exception as error:
                    # The data is not octets: a bug above us, which ends this connection only.
                    self._goodbyes.lost(connection, "internal error")
                    self._hub.report(f"write to connection {connection.conn}", error)
                if connection.out and connection.state != DEAD:
                    self.start(connection)
                    self._check_backlog(connection)

    def _pump(self, connection: Connection) -> Pump:
        """Write what waits, as long as something does."""
        hub = self._hub
        sock = connection.sock
        wait = (WRITE, sock, hub.driver.limits.message_time)
        while connection.out and connection.state != DEAD:
            ready = yield wait
            try:
                if not ready:
                    # The kernel took no octet in this time.
                    self._goodbyes.lost(connection, "the peer does not read (limits.message_time)")
                elif connection.state != DEAD:
                    self.write_out(connection)
            except Exception as error:
                self._goodbyes.lost(connection, "internal error")
                hub.report(f"connection {connection.conn} ({connection.transport})", error)
        connection.writing = False
        if connection.state == CLOSING:
            self._goodbyes.say(connection)
            hub.settle(hub.clock())
        if self._goodbyes.is_last(connection):
            yield (PAUSE, sock, 0.0)
            self._goodbyes.forget(connection)

    def _check_backlog(self, connection: Connection) -> None:
        if connection.queued > FULL and not connection.full:
            connection.full = True
            hub = self._hub
            hub.later(hub.driver.connection_writable, connection.conn, False)
        if connection.queued > self._hub.driver.limits.connection_backlog:
            self._goodbyes.lost(connection, "too much waits to be sent (limits.connection_backlog)")

    def write_out(self, connection: Connection) -> None:
        """Write as much as the kernel takes."""
        out = connection.out
        if connection.transport == SCTP:
            self._write_messages(connection)
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._goodbyes.lost(connection, error.strerror or repr(error))
            return
        if sent == len(data):
            out.clear()
        else:
            connection.out = [data[sent:]]
        connection.queued = len(data) - sent
        if connection.full and not connection.queued:
            connection.full = False
            hub = self._hub
            hub.later(hub.driver.connection_writable, connection.conn, True)

    def _write_messages(self, connection: Connection) -> None:
        """Write as many messages as the kernel takes, each by itself."""
        out = connection.out
        try:
            sent = sctp.send_all(connection.sock, out)
        except OSError as error:
            self._goodbyes.lost(connection, error.strerror or repr(error))
            return
        connection.queued -= sum(map(len, out[:sent]))
        del out[:sent]

    def start(self, connection: Connection) -> None:
        """Have a pump write what the kernel did not take."""
        connection.writing = True
        connection.pumps += 1
        self._hub.spawn(self._pump(connection))

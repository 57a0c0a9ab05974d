"""The pumps of streams: connect, read, write.

Theory of operation: each connection has one pump that reads it from beginning
to end. Writes are tried at once, all of a batch in one system call; only what
the kernel does not take waits, in a bounded queue, and a second pump lives as
long as the queue does. A pump is never stopped from outside: shutting the
socket down wakes it, it sees the state, and whichever pump of a connection ends
last closes the socket.

    CONNECTING ─▶ OPEN ─▶ CLOSING (queue being flushed) ─▶ LINGERING ─▶ DEAD

A lingering connection has said goodbye (our FIN is sent), and reads on until the peer has said
goodbye too, for ``LINGER`` seconds at most. If a socket is closed with unread octets, the kernel
sends a reset, which can overtake the answer that was just written.

When the peer's end of input comes first, the stack is told at once, and answers
that were written before still go out: a peer that half-closes gets them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from sansip.actions import Connect, Disconnect, Reading, SendData
from sansip.clock import Timer
from sansip.driver import OpenConnection
from sansip.transport.transports import SCTP, TCP
from sansip_sockets import sctp
from sansip_sockets.accepting import Accepting
from sansip_sockets.bind import BoundListener
from sansip_sockets.inlet import Inlet
from sansip_sockets.opening import begin_connect, tune
from sansip_sockets.waits import PAUSE, READ, WRITE, Pump

if TYPE_CHECKING:
    from sansip_sockets.host import Host

__all__ = ["Connection", "Streams"]

CONNECTING, OPEN, CLOSING, LINGERING, DEAD, GIVEN = range(6)

# Octets taken by one read: a dozen messages, after which all other peers get a turn. With 64
# KiB ten peers that send as fast as they can made the others wait a quarter of a second.
READ_SIZE = 4_096
# Octets that wait to be written from which on the stack is told that the peer is slow.
FULL = 65_536
# Seconds to wait for the peer's goodbye after ours.
LINGER = 2.0


class Connection:
    """One socket. ``out`` holds what is not written yet, ``queued`` its octets."""

    __slots__ = ("conn", "full", "heard", "listener", "out", "parked", "paused", "pumps", "queued", "sock",
                 "state", "timer", "transport", "writing")  # fmt: skip

    def __init__(
        self, conn: int, sock: socket.socket, listener: BoundListener | None, transport: str, state: int
    ) -> None:
        self.conn = conn
        self.sock = sock
        self.listener = listener
        self.transport = transport
        self.state = state
        self.out: list[bytes] = []
        self.queued = 0
        # Pumps that use the socket; a writing pump is among them while `writing`.
        self.pumps = 1
        self.writing = False
        # Whether the stack was told that much waits to be written.
        self.full = False
        # Whether nothing is to be read, and whether the reading pump has ended because of that.
        self.paused = self.parked = False
        # Whether something was read: then a goodbye must linger.
        self.heard = False
        self.timer: Timer | None = None


class Streams:
    """All stream sockets of a hub."""

    __slots__ = ("_heirs", "_hub", "_open", "_table", "accepting", "dirty")

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
        # Connections written to in the batch being performed.
        self.dirty: list[Connection] = []

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
                    self._write_out(connection)
                except Exception as error:
                    # The data is not octets: a bug above us, which ends this connection only.
                    self._lost(connection, "internal error")
                    self._hub.report(f"write to connection {connection.conn}", error)
                if connection.out and connection.state != DEAD:
                    self._start_writing(connection)
                    self._check_backlog(connection)

    def connect(self, action: Connect) -> None:
        """Begin to open a connection; the outcome is told to the stack."""
        hub = self._hub
        try:
            # Name servers are asked from any address.
            listener = None if action.listener < 0 else hub.listeners[action.listener]
            if action.transport not in (TCP, SCTP, "dns", *hub.driver.filters):
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
            self._kill(connection)
            return
        connection.state = CLOSING
        if connection.out and not connection.writing:
            self._write_out(connection)
            if connection.out and connection.state == CLOSING:
                self._start_writing(connection)
        if not connection.out:
            self._say_goodbye(connection)

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
            self._write_out(connection)
        if connection.out or connection.state != OPEN:
            # The peer has just begun, and does not read.
            connection.out.clear()
            self._kill(connection)
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
            self._lost(connection, "internal error")
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
                reason = self._connected(connection, connect_to, name, ready)
            if connection.state != DEAD:
                recv: Callable[[int], bytes] = sock.recv
                size = READ_SIZE
                received = hub.driver.data_received
                if connection.transport == SCTP:
                    inlet = Inlet(hub, sock, partial(self._lost, connection))
                    recv, size = inlet.read, sctp.READ_SIZE
                    received = partial(received, boundary=True)
                clock = hub.clock
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
                        hub.perform(received(connection.conn, data, now), now)
                        if connection.state == GIVEN:
                            break
        except Exception as error:
            reason = "internal error"
            self._kill(connection)
            hub.report(f"connection {connection.conn} ({connection.transport})", error)
        if inlet is not None:
            inlet.close()
        if connection.state == GIVEN:
            yield (PAUSE, sock, 0.0)
            self._heirs.pop(connection)()
            return
        self._ended(connection, reason)
        if self._is_last(connection):
            yield (PAUSE, sock, 0.0)
            self._forget(connection)

    def _write(self, connection: Connection) -> Pump:
        """Write what waits, as long as something does."""
        hub = self._hub
        sock = connection.sock
        wait = (WRITE, sock, hub.driver.limits.message_time)
        while connection.out and connection.state != DEAD:
            ready = yield wait
            try:
                if not ready:
                    # The kernel took no octet in this time.
                    self._lost(connection, "the peer does not read (limits.message_time)")
                elif connection.state != DEAD:
                    self._write_out(connection)
            except Exception as error:
                self._lost(connection, "internal error")
                hub.report(f"connection {connection.conn} ({connection.transport})", error)
        connection.writing = False
        if connection.state == CLOSING:
            self._say_goodbye(connection)
            hub.settle(hub.clock())
        if self._is_last(connection):
            yield (PAUSE, sock, 0.0)
            self._forget(connection)

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
            self._lost(connection, reason)
            return reason
        connection.state = OPEN
        if connection.out:
            self.dirty.append(connection)
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

    def _check_backlog(self, connection: Connection) -> None:
        if connection.queued > FULL and not connection.full:
            connection.full = True
            hub = self._hub
            hub.later(hub.driver.connection_writable, connection.conn, False)
        if connection.queued > self._hub.driver.limits.connection_backlog:
            self._lost(connection, "too much waits to be sent (limits.connection_backlog)")

    def _write_out(self, connection: Connection) -> None:
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
            self._lost(connection, error.strerror or repr(error))
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
            self._lost(connection, error.strerror or repr(error))
            return
        connection.queued -= sum(map(len, out[:sent]))
        del out[:sent]

    def _start_writing(self, connection: Connection) -> None:
        connection.writing = True
        connection.pumps += 1
        self._hub.spawn(self._write(connection))

    def _say_goodbye(self, connection: Connection) -> None:
        """Send our FIN, and linger if there is something to wait for."""
        if not connection.heard:
            # This side closes before the peer said a word: there is no answer to protect, and
            # a crowd of such connections must not hold descriptors.
            self._kill(connection)
            return
        connection.state = LINGERING
        self._unpark(connection)
        _shut_down(connection.sock, socket.SHUT_WR)
        hub = self._hub
        connection.timer = hub.driver.timers.start(hub.clock(), LINGER, self, connection)

    def timer_fired(self, connection: Connection, now: float) -> None:
        """The peer did not say goodbye in time."""
        self._kill(connection)

    def _kill(self, connection: Connection) -> None:
        """End both directions; the pumps wake and see that it is over."""
        connection.state = DEAD
        self._unpark(connection)
        if connection.transport == SCTP:
            sctp.abort(connection.sock)
        else:
            _shut_down(connection.sock, socket.SHUT_RDWR)

    def _lost(self, connection: Connection, reason: str) -> None:
        """The connection has failed: kill it and tell the stack, which fails over."""
        hub = self._hub
        if self._table.pop(connection.conn, None) is not None:
            hub.later(hub.driver.connection_closed, connection.conn, reason)
        connection.out.clear()
        connection.queued = 0
        self._kill(connection)

    def _ended(self, connection: Connection, reason: str) -> None:
        """Reading is over: tell the stack, unless it knows."""
        if self._table.pop(connection.conn, None) is not None:
            hub = self._hub
            hub.later(hub.driver.connection_closed, connection.conn, reason)
        if connection.state == OPEN and connection.writing:
            connection.state = CLOSING
        elif connection.state != CLOSING:
            connection.state = DEAD

    def _is_last(self, connection: Connection) -> bool:
        connection.pumps -= 1
        # One that is parked has no pump, and is read again.
        return connection.pumps == 0 and not connection.parked

    def _forget(self, connection: Connection) -> None:
        if connection.timer is not None:
            connection.timer.cancel()
        connection.sock.close()
        self._open.discard(connection)


def _shut_down(sock: socket.socket, how: int) -> None:
    try:
        sock.shutdown(how)
    except OSError:
        pass  # not connected any more, or not yet

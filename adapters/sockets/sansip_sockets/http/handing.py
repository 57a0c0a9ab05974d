"""HTTP connections that another process answers: a worker accepts them, its parent has the answers.

Theory of operation: a connection that came to a port of SIP turns out to be HTTP in the worker that accepted
it. Its descriptor goes to the parent, with the octets that were read, by a socket that the two had before the
worker was forked. The state of TLS cannot go along. So the worker keeps a connection of TLS, gives the parent
one end of a pair of sockets, and carries plain octets between the two: one pump reads the client, and the
other one alone writes to it, so that records leave in the order in which TLS made them.
"""

from __future__ import annotations

import marshal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from sansip_sockets.goodbye import LINGER
from sansip_sockets.http.line import Gone, Line
from sansip_sockets.waits import READ, WRITE, Bell, Pump, wake

if TYPE_CHECKING:
    from sansip.driver import HandOver
    from sansip_sockets.hub import Hub
    from sansip_sockets.tls_filter import Tls

__all__ = ["Handing", "handed"]

# Octets of one message: those that were read of a connection, and its source.
_MESSAGE = 262_144
# Octets that are read at once: one record of TLS.
_READ_SIZE = 16_384
# Records of TLS itself that wait for the client to read: it has asked for new keys, again and again. → closed
_MADE = 64
# Connections taken for one wake-up, so that others get their turn.
_TAKEN = 16


class Handing:
    """A worker's end: hands connections to the parent by ``writer``. For ``Hub.on_foreign``."""

    __slots__ = ("_hub", "_writer")

    def __init__(self, hub: Hub, writer: socket.socket) -> None:
        self._hub = hub
        self._writer = writer

    def __call__(self, given: HandOver, sock: socket.socket) -> None:
        """Give the parent ``sock``, or a way to it through TLS."""
        # The only filter that such a connection can have is TLS.
        tls = cast("Tls | None", given.filters[0] if given.filters else None)
        source = str(given.info.remote[0])
        if tls is None:
            self._send(source, False, given.data, sock)
            sock.close()
            return
        ours, theirs = socket.socketpair()
        if self._send(source, True, given.data, theirs):
            ours.setblocking(False)
            relay = _Relay(self._hub, sock, tls, ours)
            self._hub.spawn(relay.up())
            self._hub.spawn(relay.down())
        else:
            ours.close()
            sock.close()
        theirs.close()

    def _send(self, source: str, secure: bool, data: bytes, sock: socket.socket) -> bool:
        message = marshal.dumps((source, secure, data))
        try:
            socket.send_fds(self._writer, [message], [sock.fileno()])
        except OSError as error:
            # The parent has too many to take already, or is gone: the client asks again.
            self._hub.report("a connection for HTTP", error)
            return False
        return True


def handed(hub: Hub, reader: socket.socket, take: Callable[[socket.socket, str, bool, bytes], None]) -> Pump:
    """The parent's end. ``take``: gets socket and source, whether it is secure, what was read."""
    while True:
        yield (READ, reader, None)
        for _ in range(_TAKEN):
            try:
                message, descriptors, _, _ = socket.recv_fds(reader, _MESSAGE, 1)
            except BlockingIOError:
                break
            if not message:
                return
            # unix(7): what does not fit into the table of descriptors is closed, and the message comes alone.
            if descriptors:
                sock = socket.socket(fileno=descriptors[0])
                sock.setblocking(False)
                try:
                    take(sock, *marshal.loads(message))
                except Exception as error:
                    sock.close()
                    hub.report("a connection for HTTP", error)


class _Relay:
    """Plain octets between a client of TLS and the parent, which ends it: its limits hold for the client."""

    __slots__ = ("_bell", "_hub", "_line", "_made", "_over", "_parent", "_pumps", "_sock", "_tls", "_until")

    def __init__(self, hub: Hub, sock: socket.socket, tls: Tls, parent: socket.socket) -> None:
        self._hub = hub
        self._sock = sock
        self._tls = tls
        self._parent = parent
        self._line = Line(hub, sock, None, hub.driver.limits)
        # Records that TLS made while octets came in, to be written before any later one.
        self._made: list[bytes] = []
        self._bell = Bell(hub.inbox)
        # Rung when the parent has ended it, and until when the client may say goodbye then.
        self._over = Bell(hub.inbox)
        self._until: float | None = None
        self._pumps = 2

    def up(self) -> Pump:
        """Read the client."""
        try:
            while True:
                left = None if self._until is None else self._until - self._hub.clock()
                if left is not None and left <= 0:
                    break
                if not (yield (READ, self._sock, left, self._over)):
                    continue
                try:
                    data = self._sock.recv(_READ_SIZE)
                except BlockingIOError:
                    continue
                if not data:
                    break
                if left is not None:
                    # RFC 9112 9.6: to close with octets unread resets the connection.
                    continue
                output = self._tls.received(data, self._hub.clock())
                if output.down:
                    self._made += output.down
                    self._bell.ring()
                for part in output.up:
                    yield from self._to_parent(part)
                if output.closing is not None or len(self._made) > _MADE:
                    break
        except OSError:
            pass  # one of both is gone
        finally:
            self._ended()

    def _to_parent(self, data: bytes) -> Pump:
        view = memoryview(data)
        while view:
            try:
                view = view[self._parent.send(view) :]
            except BlockingIOError:
                # The parent reads no more than a request; the client waits as long as the parent has it.
                yield (WRITE, self._parent, None)

    def down(self) -> Pump:
        """Write to the client: what the parent says, and what TLS itself has to."""
        lingers = False
        try:
            while True:
                # What TLS made goes first.
                while self._made:
                    yield from self._line.write(self._made.pop(0))
                ready = yield (READ, self._parent, None, self._bell)
                if not ready:
                    continue
                try:
                    data = self._parent.recv(_READ_SIZE)
                except BlockingIOError:
                    continue
                while self._made:
                    yield from self._line.write(self._made.pop(0))
                now = self._hub.clock()
                output = self._tls.send(data, now) if data else self._tls.close("", now)
                for record in output.down:
                    yield from self._line.write(record)
                if not data or output.closing is not None:
                    self._sock.shutdown(socket.SHUT_WR)
                    self._until = self._hub.clock() + LINGER
                    self._over.ring()
                    lingers = True
                    break
        except (Gone, OSError):
            pass  # one of both is gone, or does not read
        finally:
            self._ended(lingers)

    def _ended(self, lingers: bool = False) -> None:
        """One direction is over: so is the other one, unless it ``lingers``; the last closes the sockets."""
        self._pumps -= 1
        for sock in (self._sock, self._parent):
            if not self._pumps:
                sock.close()
            elif not lingers:
                wake(sock)

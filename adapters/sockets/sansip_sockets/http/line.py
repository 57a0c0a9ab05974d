"""The octets of one HTTP connection, through TLS if there is some.

Theory of operation: these are generators that yield waits, for the pump of the connection. Each wait has an
end: a peer that does not go on until then loses its connection (``Gone``).
"""

from __future__ import annotations

import socket
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from sansip.limits import Limits
from sansip.transport.filter import Output
from sansip_sockets.goodbye import LINGER
from sansip_sockets.http.conversation import Conversation, HttpFault, HttpRequest
from sansip_sockets.tls_filter import Tls
from sansip_sockets.waits import PAUSE, READ, WRITE, Bell, Wait

if TYPE_CHECKING:
    from sansip_sockets.hub import Hub

__all__ = ["TURN", "Gone", "Line"]

# Octets of one read: a body in chunks of one octet costs 10 ms for so many, and then others get their turn.
READ_SIZE = 4_096
# Octets written between two waits.
CHUNK = 65_536
# Seconds between two parts of the work for one connection, so that calls go on.
TURN = 0.0005
# Octets that a refused client may still send, within ``LINGER`` seconds; they are thrown away.
LINGER_SIZE = 4_194_304


class Gone(Exception):
    """The peer does not go on: closed, silent, or too slow."""


class Line:
    """One connection. ``idle``: no octet of the next request has come."""

    __slots__ = ("_hub", "_limits", "_tls", "idle", "sock")

    def __init__(self, hub: Hub, sock: socket.socket, tls: Tls | None, limits: Limits) -> None:
        self._hub = hub
        self.sock = sock
        self._tls = tls
        self._limits = limits
        self.idle = False

    def request(self, conversation: Conversation) -> Generator[Wait, bool, HttpRequest | None]:
        """Read until a request is whole; None at an orderly end. Raises ``HttpFault`` and ``Gone``."""
        limits = self._limits
        clock = self._hub.clock
        # From here on its first octet may take ``http_idle_time``, and all of it ``http_time`` after that.
        deadline = None if not conversation.begun else clock() + limits.http_time
        if self._tls is not None and not self._tls.ready:
            deadline = clock() + limits.http_time
        if deadline is not None:
            # Pipelined: others first.
            yield (PAUSE, self.sock, TURN)
        while (request := conversation.next_request()) is None:
            if ready := conversation.expected():
                yield from self.write(ready)
            self.idle = deadline is None
            patience = limits.http_idle_time if deadline is None else deadline - clock()
            if patience <= 0 or not (yield (READ, self.sock, patience)):
                if conversation.begun:
                    raise HttpFault(
                        408, f"a request took more than {limits.http_time:g} s (limits.http_time)"
                    )
                raise Gone
            for data in (yield from self.read()):
                if not data:
                    if conversation.begun:
                        raise Gone
                    return None
                if deadline is None:
                    deadline = clock() + limits.http_time
                conversation.received(data)
        self.idle = False
        return request

    def attend(
        self, conversation: Conversation, seconds: float, bell: Bell | None = None
    ) -> Generator[Wait, bool, None]:
        """Wait for ``bell``, or so long; raise ``Gone`` as soon as the client has closed.

        What the client pipelines meanwhile is kept, up to the size of one request; then nothing more is read.
        """
        limits = self._limits
        full = conversation.waiting >= limits.http_head_size + limits.http_body_size
        kind = PAUSE if full else READ
        wait: Wait = (kind, self.sock, seconds) if bell is None else (kind, self.sock, seconds, bell)
        if (yield wait):
            for data in (yield from self.read()):
                if not data:
                    raise Gone
                conversation.received(data)

    def read(self) -> Generator[Wait, bool, Sequence[bytes]]:
        """Return what came, decrypted; ``b""`` in it is the end."""
        try:
            data = self.sock.recv(READ_SIZE)
        except BlockingIOError:
            return ()
        if self._tls is None or not data:
            return (data,)
        output = self._tls.received(data, self._hub.clock())
        yield from self._perform(output)
        return output.up

    def write(self, data: bytes) -> Generator[Wait, bool, None]:
        """Write all of ``data``. Raises ``Gone`` if the peer does not read it in ``http_idle_time``."""
        deadline = self._hub.clock() + self._limits.http_idle_time
        for start in range(0, len(data), CHUNK):
            part = data[start : start + CHUNK]
            if self._tls is None:
                yield from self._write(part, deadline)
            else:
                yield from self._perform(self._tls.send(part, self._hub.clock()), deadline)

    def _perform(self, output: Output, deadline: float | None = None) -> Generator[Wait, bool, None]:
        if deadline is None:
            deadline = self._hub.clock() + self._limits.http_idle_time
        for data in output.down:
            yield from self._write(data, deadline)
        if output.closing is not None:
            raise Gone

    def _write(self, data: bytes, deadline: float) -> Generator[Wait, bool, None]:
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view) :]
            except BlockingIOError:
                left = deadline - self._hub.clock()
                if left <= 0 or not (yield (WRITE, self.sock, left)):
                    raise Gone from None

    def linger(self) -> Generator[Wait, bool, None]:
        """Say goodbye and wait for the peer's goodbye; throw away what the peer still sends.

        RFC 9112 9.6: to close with octets unread resets the connection, and the client loses the answer.
        """
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return
        deadline, left = self._hub.clock() + LINGER, LINGER_SIZE
        while left > 0:
            patience = deadline - self._hub.clock()
            if patience <= 0 or not (yield (READ, self.sock, patience)):
                return
            try:
                data = self.sock.recv(CHUNK)
            except BlockingIOError:
                continue
            if not data:
                return
            left -= len(data)

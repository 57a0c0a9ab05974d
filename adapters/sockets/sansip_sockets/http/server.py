"""HTTP listeners on every runtime: one pump for each, and one for each connection.

Theory of operation: as at the control socket, a connection's pump reads one request, has ``answer`` make
the response in the stack's thread, part by part, and writes it.
TLS is the filter that SIP has. A client is bounded by how many connections it may have, by the
time that a request may take from its first octet to its last, and by how long it may be silent; the
operator's traffic never waits for SIP's limits, nor SIP for it.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sansip.limits import Limits
from sansip.transport.filter import OpenConnection, Output
from sansip.transport.transports import TLS
from sansip_sockets.bind import bind
from sansip_sockets.http.conversation import Conversation, HttpFault, HttpRequest, HttpResponse
from sansip_sockets.tls import Tls, TlsContexts
from sansip_sockets.waits import PAUSE, READ, WRITE, Pump, Wait

if TYPE_CHECKING:
    from sansip_sockets.bind import BoundListener
    from sansip_sockets.hub import Hub

__all__ = ["Answer", "HttpListener", "HttpServer"]

# From a request to its response; None: not yet, ask again soon.
Answer: TypeAlias = Callable[[HttpRequest], Iterator[HttpResponse | None]]

# Octets of one read.
READ_SIZE = 65_536
# Seconds between two looks for a response that is not there yet.
POLL = 0.005
# Seconds between two parts of the work for one answer, so that calls go on.
TURN = 0.0005
# Octets written between two waits.
CHUNK = 65_536


@dataclass(slots=True)
class HttpListener:
    """Where HTTP is listened to. ``transport``: "http" or "https"."""

    transport: str
    host: str
    port: int
    id: int = 0
    shares: int | None = None


class _Gone(Exception):
    """The peer does not go on: closed, silent, or too slow."""


class HttpServer:
    """Opens the sockets now, serves them from ``start`` to ``close``. Raises ``BindError``."""

    def __init__(
        self, listeners: Sequence[HttpListener], limits: Limits, tls: TlsContexts | None = None
    ) -> None:
        self._limits = limits
        self._tls = tls
        self.listeners: list[BoundListener] = []
        try:
            for one in listeners:
                self.listeners.append(bind(one))
        except BaseException:
            self.close()
            raise
        self._sessions: set[socket.socket] = set()
        self._by_source: Counter[str] = Counter()

    def start(self, hub: Hub, answer: Answer) -> None:
        """Serve from ``hub``'s runtime; ``answer`` is called in its thread."""
        for listener in self.listeners:
            hub.spawn(self._accept(hub, listener, answer))
        # Some runtimes spawn in their next turn.
        hub.inbox.wake()

    def close(self) -> None:
        """Close all sockets. The runtime has let go of the pumps before."""
        for sock in getattr(self, "_sessions", ()):
            sock.close()
        for listener in self.listeners:
            listener.sock.close()

    # --- pumps

    def _accept(self, hub: Hub, listener: BoundListener, answer: Answer) -> Pump:
        while True:
            yield (READ, listener.sock, None)
            try:
                peer, address = listener.sock.accept()
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    hub.report(f"accept on {listener}", error)
                    yield (PAUSE, listener.sock, 0.1)
                continue
            source = str(address[0])
            limits = self._limits
            if (
                len(self._sessions) >= limits.http_connections
                or self._by_source[source] >= limits.http_connections_per_source
            ):
                peer.close()
                continue
            peer.setblocking(False)
            self._sessions.add(peer)
            self._by_source[source] += 1
            hub.spawn(self._session(hub, listener, peer, address, answer))

    def _session(
        self, hub: Hub, listener: BoundListener, sock: socket.socket, address: tuple[str, int], answer: Answer
    ) -> Pump:
        source = str(address[0])
        try:
            secure = listener.transport == "https"
            tls = None
            if secure:
                assert self._tls is not None
                info = OpenConnection(-1, TLS, listener.address, address, incoming=True)
                tls = Tls(self._tls, info)
            line = _Line(hub, sock, tls, self._limits)
            conversation = Conversation(self._limits)
            while not conversation.over:
                try:
                    request = yield from line.request(conversation)
                    if request is None:
                        return
                    request.remote, request.secure = source, secure
                    response = yield from self._response(hub, sock, request, answer)
                except HttpFault as fault:
                    response = fault.response()
                yield from line.write(conversation.respond(response))
                if response.closes:
                    return
        except (_Gone, OSError):
            pass  # the peer has gone, or is too slow
        except Exception as error:
            hub.report("http", error)
        finally:
            self._sessions.discard(sock)
            self._by_source[source] -= 1
            if not self._by_source[source]:
                del self._by_source[source]
            sock.close()

    @staticmethod
    def _response(
        hub: Hub, sock: socket.socket, request: HttpRequest, answer: Answer
    ) -> Generator[Wait, bool, HttpResponse]:
        try:
            for part in answer(request):
                if part is not None:
                    return part
                yield (PAUSE, sock, POLL)
        except HttpFault:
            raise
        except Exception as error:
            hub.report(f"http {request.method} {request.path}", error)
        return HttpResponse(500, b"the server failed; its log says how\n", closes=True)


class _Line:
    """The octets of one connection, through TLS where there is some."""

    __slots__ = ("_hub", "_limits", "_sock", "_tls")

    def __init__(self, hub: Hub, sock: socket.socket, tls: Tls | None, limits: Limits) -> None:
        self._hub = hub
        self._sock = sock
        self._tls = tls
        self._limits = limits

    def request(self, conversation: Conversation) -> Generator[Wait, bool, HttpRequest | None]:
        """Read until a request is whole; None at an orderly end. Raises ``HttpFault`` and ``_Gone``."""
        limits = self._limits
        clock = self._hub.clock
        # From here on its first octet may take ``http_idle_time``, and all of it ``http_time`` after that.
        deadline = None if not conversation.begun else clock() + limits.http_time
        if self._tls is not None and not self._tls.ready:
            deadline = clock() + limits.http_time
        while (request := conversation.next_request()) is None:
            if ready := conversation.expected():
                yield from self.write(ready)
            patience = limits.http_idle_time if deadline is None else deadline - clock()
            if patience <= 0 or not (yield (READ, self._sock, patience)):
                if conversation.begun:
                    raise HttpFault(
                        408, f"a request took more than {limits.http_time:g} s (limits.http_time)"
                    )
                raise _Gone
            for data in (yield from self._read()):
                if not data:
                    if conversation.begun:
                        raise _Gone
                    return None
                if deadline is None:
                    deadline = clock() + limits.http_time
                conversation.received(data)
        return request

    def _read(self) -> Generator[Wait, bool, Sequence[bytes]]:
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return ()
        if self._tls is None or not data:
            return (data,)
        output = self._tls.received(data, self._hub.clock())
        yield from self._perform(output)
        return output.up

    def write(self, data: bytes) -> Generator[Wait, bool, None]:
        """Write all of ``data``. Raises ``_Gone`` where the peer does not read."""
        for start in range(0, len(data), CHUNK):
            part = data[start : start + CHUNK]
            if self._tls is None:
                yield from self._write(part)
            else:
                yield from self._perform(self._tls.send(part, self._hub.clock()))

    def _perform(self, output: Output) -> Generator[Wait, bool, None]:
        for data in output.down:
            yield from self._write(data)
        if output.closing is not None:
            raise _Gone

    def _write(self, data: bytes) -> Generator[Wait, bool, None]:
        view = memoryview(data)
        while view:
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                if not (yield (WRITE, self._sock, self._limits.http_idle_time)):
                    raise _Gone from None

"""HTTP listeners on every runtime: one pump for each, and one for each connection.

Theory of operation: a connection's pump reads one request, calls ``answer``, which makes the response part
by part in the stack's thread, and writes it. An answer that waits for a store or a module sleeps until the
result is there: a bell wakes the pump. A client that closes ends the work, and so does a deadline. TLS is
the filter that SIP has. Three limits bound a client: the number of its connections, the time of a request
from its first octet to its last, and the time that the client may be silent. The operator's traffic never
waits for SIP's limits, and SIP never waits for that traffic.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from sansip.driver import HandOver
from sansip.limits import Limits
from sansip.sources import SourceRates, source_of
from sansip.transport.filter import OpenConnection
from sansip.transport.transports import TLS
from sansip_sockets.bind import bind
from sansip_sockets.http.conversation import Conversation, HttpFault, HttpRequest, HttpResponse, Upgrade
from sansip_sockets.http.handing import handed
from sansip_sockets.http.line import TURN, Gone, Line
from sansip_sockets.http.messages import Messages
from sansip_sockets.pending import Late, Pending
from sansip_sockets.tls import TlsContexts
from sansip_sockets.tls_filter import Tls
from sansip_sockets.waits import PAUSE, READ, Bell, Pump, Wait, wake

if TYPE_CHECKING:
    from sansip_sockets.bind import BoundListener
    from sansip_sockets.hub import Hub

__all__ = ["Answer", "HttpListener", "HttpServer", "Work"]

# The work for one response, which it returns. It yields None where others may go on, and a result that it
# waits for; ``Late`` is thrown into it when that does not come in time.
Work: TypeAlias = Generator[Pending[Any] | None, None, HttpResponse | Upgrade]
Answer: TypeAlias = Callable[[HttpRequest], Work]

# Connections accepted for one wake-up, so that others get their turn.
ACCEPTS = 16


@dataclass(slots=True)
class HttpListener:
    """An address where the server listens for HTTP. ``transport``: "http" or "https"."""

    transport: str
    host: str
    port: int
    id: int = 0
    shares: int | None = None


def is_this_machine(source: str) -> bool:
    """Whether only a program of this machine can have the address ``source``."""
    return source.startswith("127.") or source == "0:0:0:0::/64"


def _bounds(limits: Limits) -> tuple[int, int, int]:
    return limits.http_rate, limits.http_burst, limits.sources


def _as_source(limits: Limits) -> Limits:
    """Return ``limits`` whose rate of a source is that of HTTP requests."""
    return replace(limits, source_rate=limits.http_rate, source_burst=limits.http_burst)


class HttpServer:
    """Opens the sockets now, serves them from ``start`` to ``close``. Raises ``BindError``."""

    def __init__(
        self, listeners: Sequence[HttpListener], limits: Limits, tls: TlsContexts | None = None
    ) -> None:
        self.limits = limits
        self._tls = tls
        self.listeners: list[BoundListener] = []
        try:
            for one in listeners:
                self.listeners.append(bind(one))
        except BaseException:
            self.close()
            raise
        # In the order in which they asked last.
        self._lines: dict[Line, None] = {}
        self._by_source: Counter[str] = Counter()
        self._bounds = _bounds(limits)
        self._rates = SourceRates(_as_source(limits))
        # Where the connections come from that workers accepted (``handing``).
        self.handed: socket.socket | None = None

    def start(self, hub: Hub, answer: Answer) -> None:
        """Serve from ``hub``'s runtime; ``answer`` is called in its thread."""
        for listener in self.listeners:
            hub.spawn(self._accept(hub, listener, answer))
        hub.on_foreign = partial(self._adopt, hub, answer)
        if self.handed is not None:
            hub.spawn(handed(hub, self.handed, partial(self._take, hub, answer)))
        # Some runtimes spawn in their next turn.
        hub.inbox.wake()

    def close(self) -> None:
        """Close all sockets. The runtime has let go of the pumps before."""
        for line in getattr(self, "_lines", ()):
            line.sock.close()
        for listener in self.listeners:
            listener.sock.close()

    def _adopt(self, hub: Hub, answer: Answer, given: HandOver, sock: socket.socket) -> None:
        """Serve a connection that came to a listener of SIP."""
        source = str(given.info.remote[0])
        if not self._has_room(source_of(source)):
            sock.close()
            return
        # The only filter that such a connection can have is TLS.
        tls = cast(Tls, given.filters[0]) if given.filters else None
        hub.spawn(self._session(hub, sock, source, tls, answer, given.data))

    def _take(
        self, hub: Hub, answer: Answer, sock: socket.socket, source: str, secure: bool, data: bytes
    ) -> None:
        """Serve a connection that came to a worker; if ``secure``, its octets pass through TLS there."""
        if not self._has_room(source_of(source)):
            sock.close()
            return
        hub.spawn(self._session(hub, sock, source, None, answer, data, secure))

    # --- pumps

    def _accept(self, hub: Hub, listener: BoundListener, answer: Answer) -> Pump:
        wait: Wait = (READ, listener.sock, None)
        while True:
            yield wait
            for _ in range(ACCEPTS):
                try:
                    peer, address = listener.sock.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    hub.report(f"accept on {listener}", error)
                    yield (PAUSE, listener.sock, 0.1)
                    break
                if not self._has_room(source_of(str(address[0]))):
                    peer.close()
                    continue
                peer.setblocking(False)
                tls = None
                if listener.transport == "https":
                    assert self._tls is not None
                    info = OpenConnection(-1, TLS, listener.address, address, incoming=True)
                    tls = Tls(self._tls, info)
                hub.spawn(self._session(hub, peer, str(address[0]), tls, answer))

    def _has_room(self, source: str) -> bool:
        """Whether one more of ``source`` is served; the one that has been idle longest may have to go."""
        limits = self.limits
        if self._by_source[source] >= limits.http_connections_per_source:
            return False
        if len(self._lines) >= limits.http_connections:
            # Otherwise some twenty strangers that send nothing would keep the operator out.
            idle = next((line for line in self._lines if line.idle), None)
            if idle is None:
                return False
            idle.idle = False
            del self._lines[idle]
            wake(idle.sock)
        return True

    def _session(
        self,
        hub: Hub,
        sock: socket.socket,
        source: str,
        tls: Tls | None,
        answer: Answer,
        data: bytes = b"",
        secure: bool = False,
    ) -> Pump:
        counted = source_of(source)
        self._by_source[counted] += 1
        line = Line(hub, sock, tls, self.limits)
        self._lines[line] = None
        try:
            conversation = Conversation(self.limits)
            while not conversation.over:
                try:
                    if data:
                        conversation.received(data)
                        data = b""
                    request = yield from line.request(conversation)
                    if request is None:
                        return
                    self._lines[line] = self._lines.pop(line, None)
                    request.remote, request.secure = source, secure or tls is not None
                    self._count(counted, hub.clock())
                    response = yield from self._response(hub, line, conversation, request, answer)
                    if isinstance(response, Upgrade):
                        yield from line.write(conversation.switch(response.protocol))
                        messages = Messages(hub, line, self.limits, response.talk)
                        yield from messages.converse(conversation.rest)
                        return
                except HttpFault as fault:
                    response = fault.response()
                    yield from line.write(conversation.respond(response))
                    if response.closes:
                        yield from line.linger()
                        return
                    continue
                yield from line.write(conversation.respond(response))
                if response.closes:
                    return
        except (Gone, OSError):
            pass  # the peer has gone, or is too slow
        except Exception as error:
            hub.report("http", error)
        finally:
            self._lines.pop(line, None)
            self._by_source[counted] -= 1
            if not self._by_source[counted]:
                del self._by_source[counted]
            sock.close()

    def _count(self, source: str, now: float) -> None:
        """Raise ``HttpFault`` for one request too many."""
        limits = self.limits
        if not limits.http_rate or (is_this_machine(source) and not limits.limit_loopback):
            return
        if self._bounds != _bounds(limits):
            # A reload changed them.
            self._bounds = _bounds(limits)
            self._rates.bound(_as_source(limits))
        if not self._rates.allow(source, now):
            text = f"more than {limits.http_rate} requests a second (limits.http_rate)"
            raise HttpFault(429, text, ("Retry-After", "1"))

    def _response(
        self, hub: Hub, line: Line, conversation: Conversation, request: HttpRequest, answer: Answer
    ) -> Generator[Wait, bool, HttpResponse | Upgrade]:
        patience = self.limits.http_answer_time
        deadline = hub.clock() + patience
        bell = Bell(hub.inbox)
        work = answer(request)
        step: Callable[[], Pending[Any] | None] = work.__next__
        try:
            while True:
                part = step()
                step = work.__next__
                left = deadline - hub.clock()
                if left <= 0:
                    step = partial(work.throw, Late(f"no answer in {patience:g} s (limits.http_answer_time)"))
                elif part is None:
                    yield from line.attend(conversation, TURN)
                else:
                    part.tell(bell.ring)
                    yield from line.attend(conversation, left, bell)
        except StopIteration as end:
            response: HttpResponse | Upgrade = end.value
            return response
        except (HttpFault, Gone):
            raise
        except Late as error:
            return HttpResponse(504, f"{request.path}: {error}; ask /health which part hangs\n".encode())
        except Exception as error:
            hub.report(f"http {request.method} {request.path}", error)
            return HttpResponse(500, b"the server failed; its log says how\n", closes=True)
        finally:
            work.close()

"""Client sockets of modules: datagrams to one peer, and connections, as actions and inputs of the stack.

Theory of operation: as in the resolver (``sansip.transport.dns``) a socket is a number below zero, a sent
message is an action, a received one is an input. So a journal replays it, tests have virtual time, and no
runtime knows of it. ``await peer.ask(data)`` sends and waits for the answer that belongs to it. A question to
a dead peer fails in the time that its asker gave, and delays no other question: after silence or a refused
connection one question in ``REST`` seconds tries the peer, and all others fail at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

from sansip.actions import CloseDatagram, Connect, Disconnect, OpenDatagram, SendData, SendDatagram
from sansip.errors import LocalProtocolError
from sansip.questions import Inside
from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from sansip.actions import Action, Address
    from sansip.clock import Timer, Timers
    from sansip.limits import Limits

__all__ = ["FIRST", "REST", "Datagrams", "PeerFailed", "Sockets", "Stream", "whole"]

# Numbers of sockets of modules, from here down; those of the resolver stand above.
FIRST = -(1 << 40)
# Seconds for which a peer that failed is left alone, but for one question.
REST = 1.0
# Octets of one datagram (RFC 768), and of stream data not yet split into messages.
_DATAGRAM = 65_507

Remote = tuple[str, int]
Received = Callable[[bytes, float], None]
# A module's view of time and results: (result or exception, now).
Callback = Callable[[Any, float], None]


class Owner(Protocol):
    """The belongings of a module (``sansip.module.belongings``)."""

    ended: bool


class PeerFailed(OSError):
    """A peer that cannot be asked, or did not answer; the text says which and why."""


class Sockets:
    """All client sockets of modules in one stack. ``out`` receives the actions."""

    __slots__ = ("_conns", "_new_connection", "_next", "_socks", "limits", "out", "questions", "timers")

    def __init__(
        self, timers: Timers, limits: Limits, out: list[Action], new_connection: Callable[[], int]
    ) -> None:
        self.timers = timers
        self.limits = limits
        self.out = out
        # Answers that are waited for, of all peers.
        self.questions = 0
        self._new_connection = new_connection
        self._next = FIRST
        self._socks: dict[int, Datagrams] = {}
        self._conns: dict[int, Stream] = {}

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._socks) + len(self._conns)

    def end(self, owner: Owner, now: float) -> None:
        """Close what ``owner`` has open."""
        for peer in [*self._socks.values(), *self._conns.values()]:
            if peer.owner is owner:
                peer.close(now)

    def _room(self, peer: _Peer) -> None:
        if peer.owner is not None and peer.owner.ended:
            raise PeerFailed(f"{peer}: its module was taken away")
        if len(self) >= self.limits.module_sockets:
            raise PeerFailed(f"{peer}: too many sockets of modules are open (limits.module_sockets)")

    def open(self, peer: Datagrams) -> int:
        """Return the number of a new socket. Raises ``PeerFailed`` where there are too many."""
        self._room(peer)
        number = self._next
        self._next -= 1
        self._socks[number] = peer
        self.out.append(OpenDatagram(number, peer.remote))
        return number

    def close(self, number: int) -> None:
        if self._socks.pop(number, None) is not None:
            self.out.append(CloseDatagram(number))

    def connect(self, peer: Stream) -> int:
        """Return the number of a connection that is being opened. Raises as ``open`` does."""
        self._room(peer)
        conn = self._new_connection()
        self._conns[conn] = peer
        self.out.append(Connect(conn, peer.transport, peer.remote, -1, peer.name))
        return conn

    def disconnect(self, conn: int, reason: str) -> None:
        if self._conns.pop(conn, None) is not None:
            self.out.append(Disconnect(conn, reason))

    # --- inputs of the stack; True where it was meant for a module

    def datagram_received(self, number: int, data: bytes, now: float) -> bool:
        peer = self._socks.get(number)
        if peer is not None:
            peer.take(data, now)
        return number <= FIRST

    def datagram_failed(self, number: int, reason: str, now: float) -> bool:
        peer = self._socks.get(number)
        if peer is not None:
            peer.lose(reason, now)
        return number <= FIRST

    def connection_opened(self, conn: int, now: float) -> bool:
        peer = self._conns.get(conn)
        if peer is not None:
            peer.take_open(now)
        return peer is not None

    def data_received(self, conn: int, data: bytes, now: float) -> bool:
        peer = self._conns.get(conn)
        if peer is not None:
            peer.take(data, now)
        return peer is not None

    def connection_closed(self, conn: int, reason: str, now: float) -> bool:
        peer = self._conns.pop(conn, None)
        if peer is not None:
            peer.lose(reason, now)
        return peer is not None


class _Exchange(Inside):
    """A question to a peer, and the wait for its answer. It is awaited."""

    __slots__ = ("_callback", "_data", "_key", "_left", "_peer", "_timer", "_within")

    def __init__(self, peer: _Peer, data: bytes, key: Any, within: float, attempts: int) -> None:
        self._peer = peer
        self._data = data
        self._key = key
        self._left = attempts
        self._within = within
        self._callback: Callback | None = None
        self._timer: Timer | None = None

    def __await__(self) -> Generator[Any, Any, bytes]:
        answer: bytes = yield from Question(self).__await__()
        return answer

    def put(self, callback: Callback, now: float) -> None:
        self._callback = callback
        peer = self._peer
        sockets = peer.sockets
        try:
            if sockets.questions >= sockets.limits.module_questions:
                raise PeerFailed(f"{peer}: too many answers are waited for (limits.module_questions)")
            peer.expect(self._key, self, now)
        except OSError as error:
            self._callback = None
            callback(error, now)
            return
        sockets.questions += 1
        self._try(now)

    def _try(self, now: float) -> None:
        self._left -= 1
        self._timer = self._peer.sockets.timers.start(now, self._within, self, "answer")
        try:
            self._peer.send(self._data, now)
        except OSError as error:
            self.end(error, now)

    def timer_fired(self, _name: str, now: float) -> None:
        if self._left > 0:
            self._try(now)
        else:
            peer = self._peer
            peer.silent(now)
            self.end(PeerFailed(f"{peer} does not answer"), now)

    def end(self, result: bytes | Exception, now: float) -> None:
        """Give the answer, or why there is none, to who waits."""
        callback, self._callback = self._callback, None
        if callback is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._peer.sockets.questions -= 1
        self._peer.forget(self._key, self)
        callback(result, now)


class _Peer:
    """The common part of both kinds: the peer's address, and whether a question may try the peer."""

    __slots__ = ("_rests_until", "_trial", "name", "owner", "received", "remote", "sockets")

    def close(self, now: float) -> None:
        raise NotImplementedError

    def __init__(self, sockets: Sockets, remote: Remote, received: Received | None, name: str = "") -> None:
        try:
            ip_address(remote[0])
        except ValueError:
            raise LocalProtocolError(
                f"{remote[0]!r} is no address; look a name up first (await core.ask(DnsLookup(...)))"
            ) from None
        self.sockets = sockets
        # It ends with its module; None: with the stack.
        self.owner: Owner | None = None
        self.remote: Address = remote
        self.name = name
        self.received = received
        self._rests_until = 0.0
        self._trial: _Exchange | None = None

    def __str__(self) -> str:
        host, port = self.remote[:2]
        return f"{'[' + host + ']' if ':' in host else host}:{port}"

    @property
    def failed(self) -> bool:
        """Whether the last question did not reach the peer."""
        return self._rests_until > 0

    def _admit(self, exchange: _Exchange, now: float) -> None:
        """Let one question in ``REST`` seconds try a peer that failed. Raises ``PeerFailed`` for others."""
        if not self._rests_until:
            return
        if self._trial is not None or now < self._rests_until:
            raise PeerFailed(f"{self} did not answer a moment ago")
        self._trial = exchange

    def silent(self, now: float) -> None:
        """A question was not answered."""
        self._rests_until = now + REST

    def _alive(self) -> None:
        self._rests_until = 0.0

    def expect(self, key: Any, exchange: _Exchange, now: float) -> None:
        raise NotImplementedError

    def forget(self, key: Any, exchange: _Exchange) -> None:
        if self._trial is exchange:
            self._trial = None

    def send(self, data: bytes, now: float) -> None:
        raise NotImplementedError


class Datagrams(_Peer):
    """A UDP socket that talks to one peer.

    ``key(data)`` returns the key of a datagram: a question and its answer have the same. ``received(data,
    now)`` gets datagrams that answer no question.
    """

    __slots__ = ("_key", "_number", "_waiting")

    def __init__(
        self, sockets: Sockets, remote: Remote, key: Callable[[bytes], Any] | None, received: Received | None
    ) -> None:
        super().__init__(sockets, remote, received)
        self._key = key
        self._number = 0
        self._waiting: dict[Any, _Exchange] = {}

    def send(self, data: bytes, now: float) -> None:
        """Send one datagram. Raises ``PeerFailed`` if it is too large, or no socket is available."""
        if len(data) > _DATAGRAM:
            raise PeerFailed(f"{len(data)} octets are more than a datagram holds")
        if not self._number:
            self._number = self.sockets.open(self)
        self.sockets.out.append(SendDatagram(self._number, data, self.remote, self._number))

    def ask(self, data: bytes, within: float = 0.5, attempts: int = 3) -> _Exchange:
        """Return an awaitable for the answer. It is sent again every ``within`` seconds, ``attempts`` times.

        Awaiting raises ``PeerFailed`` if no answer comes, and if the network says at once that the peer is
        not there.
        """
        if self._key is None:
            raise LocalProtocolError("to ask, datagrams need key=: what an answer is known by")
        return _Exchange(self, data, self._key(data), within, attempts)

    def close(self, now: float) -> None:
        """Close the socket; questions that wait fail. It is opened anew when something is sent."""
        number, self._number = self._number, 0
        if number:
            self.sockets.close(number)
        for exchange in list(self._waiting.values()):
            exchange.end(PeerFailed(f"{self}: closed"), now)

    def expect(self, key: Any, exchange: _Exchange, now: float) -> None:
        if key in self._waiting:
            raise PeerFailed(f"{self} is being asked the same already")
        self._admit(exchange, now)
        self._waiting[key] = exchange

    def forget(self, key: Any, exchange: _Exchange) -> None:
        super().forget(key, exchange)
        if self._waiting.get(key) is exchange:
            del self._waiting[key]

    def take(self, data: bytes, now: float) -> None:
        """A datagram of the peer came; the socket takes no datagrams of other hosts."""
        self._alive()
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


class Stream(_Peer):
    """A connection to one peer, opened when something is sent, and again after it was lost.

    ``split(buffer)`` returns how many octets the first message has, 0 while it is not whole, and raises
    ``ValueError`` where there can be none. Questions are answered in their order; a message that
    answers none goes to ``received(data, now)``.
    """

    __slots__ = ("_buffer", "_conn", "_is_open", "_queue", "_queued", "_split", "_waiting", "closed",
                 "transport")  # fmt: skip

    def __init__(
        self,
        sockets: Sockets,
        remote: Remote,
        transport: str,
        split: Callable[[bytearray], int],
        received: Received | None,
        closed: Callable[[str, float], None] | None,
        name: str,
    ) -> None:
        super().__init__(sockets, remote, received, name)
        self.transport = transport
        self.closed = closed
        self._split = split
        self._conn = 0
        self._is_open = False
        self._buffer = bytearray()
        # The messages that wait for the connection, and their octets.
        self._queue: list[bytes] = []
        self._queued = 0
        self._waiting: deque[_Exchange] = deque()

    def send(self, data: bytes, now: float) -> None:
        """Send octets. Raises ``PeerFailed`` if too much data waits, or no connection is available."""
        if self._is_open:
            self.sockets.out.append(SendData(self._conn, data))
            return
        if self._queued + len(data) > self.sockets.limits.module_backlog:
            raise PeerFailed(f"{self}: too much waits to be sent (limits.module_backlog)")
        if not self._conn:
            self._conn = self.sockets.connect(self)
        self._queue.append(data)
        self._queued += len(data)

    def ask(self, data: bytes, within: float = 2.0) -> _Exchange:
        """Return an awaitable for the answer: the next message after those for earlier questions.

        Awaiting raises ``PeerFailed`` where none comes ``within`` seconds, and when the connection is
        lost. After silence the connection is closed, for a later answer could be for any question.
        """
        return _Exchange(self, data, None, within, 1)

    def close(self, now: float) -> None:
        """Close the connection; questions that wait fail."""
        conn = self._conn
        self._end("closed", now)
        self.sockets.disconnect(conn, "closed by its module")

    def expect(self, key: Any, exchange: _Exchange, now: float) -> None:
        self._admit(exchange, now)
        self._waiting.append(exchange)

    def forget(self, key: Any, exchange: _Exchange) -> None:
        super().forget(key, exchange)
        if exchange in self._waiting:
            self._waiting.remove(exchange)

    def silent(self, now: float) -> None:
        super().silent(now)
        conn = self._conn
        self._end("it does not answer", now)
        self.sockets.disconnect(conn, "it does not answer")

    def take_open(self, now: float) -> None:
        """The connection is established."""
        self._is_open = True
        queue, self._queue, self._queued = self._queue, [], 0
        for data in queue:
            self.sockets.out.append(SendData(self._conn, data))

    def take(self, data: bytes, now: float) -> None:
        """Octets of the peer came."""
        self._alive()
        buffer = self._buffer
        buffer += data
        while buffer:
            try:
                size = self._split(buffer)
            except Exception as error:
                self._give_up(f"what it says cannot be read: {error}", now)
                return
            if not 0 < size <= len(buffer):
                break
            message = bytes(buffer[:size])
            del buffer[:size]
            if self._waiting:
                self._waiting[0].end(message, now)
            elif self.received is not None:
                self.received(message, now)
        if len(buffer) > self.sockets.limits.module_backlog:
            self._give_up("its message does not end (limits.module_backlog)", now)

    def _give_up(self, reason: str, now: float) -> None:
        conn = self._conn
        self.lose(reason, now)
        self.sockets.disconnect(conn, reason)

    def lose(self, reason: str, now: float) -> None:
        """The connection is gone, or was refused."""
        self._rests_until = now + REST
        self._end(reason, now)

    def _end(self, reason: str, now: float) -> None:
        was_open = self._is_open
        self._conn, self._is_open = 0, False
        self._buffer.clear()
        self._queue, self._queued = [], 0
        waiting, self._waiting = list(self._waiting), deque()
        for exchange in waiting:
            exchange.end(PeerFailed(f"{self}: {reason}"), now)
        if was_open and self.closed is not None:
            self.closed(reason, now)


def whole(buffer: bytearray) -> int:
    """A ``split`` that takes whatever came."""
    return len(buffer)

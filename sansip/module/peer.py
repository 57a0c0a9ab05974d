"""A peer of a module's socket, and a question to it: what datagrams and connections have alike.

Theory of operation: ``await peer.ask(data)`` sends and waits for the answer that belongs to it. A question to
a dead peer fails in the time that its asker gave, and delays no other question: after silence or a refused
connection one question in ``REST`` seconds tries the peer, and all others fail at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING, Any, Protocol

from sansip.errors import LocalProtocolError
from sansip.inside import Inside
from sansip.routing.awaitables import Question

if TYPE_CHECKING:
    from sansip.actions import Action, Address
    from sansip.clock import Timer, Timers
    from sansip.limits import Limits

__all__ = [
    "DATAGRAM",
    "REST",
    "Exchange",
    "Owner",
    "Peer",
    "PeerBusy",
    "PeerFailed",
    "Received",
    "Remote",
    "Table",
    "address_of",
]

# Seconds for which a peer that failed is left alone, but for one question.
REST = 1.0
# Octets of one datagram (RFC 768), and of stream data not yet split into messages.
DATAGRAM = 65_507

Remote = tuple[str, int]
Received = Callable[[bytes, float], None]
# A module's view of time and results: (result or exception, now).
Callback = Callable[[Any, float], None]


class Owner(Protocol):
    """The belongings of a module (``sansip.module.belongings``)."""

    ended: bool


class Table(Protocol):
    """All sockets of modules (``sansip.module.sockets``), as one of them needs them."""

    out: list[Action]
    questions: int
    limits: Limits
    timers: Timers

    def open(self, peer: Any) -> int: ...
    def close(self, number: int) -> None: ...
    def connect(self, peer: Any) -> int: ...
    def disconnect(self, conn: int, reason: str) -> None: ...
    def read(self, conn: int, wanted: bool) -> None: ...


def address_of(remote: Address) -> Address:
    """Return ``remote``. Raises ``LocalProtocolError`` where its host is a name."""
    try:
        ip_address(remote[0])
    except ValueError:
        raise LocalProtocolError(
            f"{remote[0]!r} is no address; look a name up first (await core.ask(DnsLookup(...)))"
        ) from None
    return remote


class PeerFailed(OSError):
    """A peer that cannot be asked, or did not answer; the text says which and why."""


class PeerBusy(PeerFailed):
    """Nothing was asked, for a bound of ours: that says nothing of the peer."""


class Exchange(Inside):
    """A question to a peer, and the wait for its answer. It is awaited."""

    __slots__ = ("_begun", "_callback", "_data", "_key", "_left", "_peer", "_timer", "_within")

    def __init__(self, peer: Peer, data: bytes, key: Any, within: float, attempts: int) -> None:
        self._peer = peer
        self._data = data
        self._key = key
        self._left = attempts
        self._within = within
        # When it was put.
        self._begun = 0.0
        self._callback: Callback | None = None
        self._timer: Timer | None = None

    def __await__(self) -> Generator[Any, Any, bytes]:
        answer: bytes = yield from Question(self).__await__()
        return answer

    def put(self, callback: Callback, now: float) -> None:
        self._callback = callback
        self._begun = now
        peer = self._peer
        sockets = peer.sockets
        try:
            if sockets.questions >= sockets.limits.module_questions:
                raise PeerBusy(f"{peer}: too many answers are waited for (limits.module_questions)")
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
            if peer.heard < self._begun:
                # It has answered other questions since: then only this one has no answer.
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

    def abandon(self) -> None:
        """Wait no longer, and send nothing again: the one who asked has gone."""
        if self._callback is not None:
            self._callback = None
            if self._timer is not None:
                self._timer.cancel()
            self._peer.sockets.questions -= 1
            self._peer.forget(self._key, self)


class Peer:
    """The common part of both kinds: the peer's address, and whether a question may try the peer."""

    __slots__ = ("_rests_until", "_trial", "heard", "name", "owner", "received", "remote", "sockets")

    def close(self, now: float) -> None:
        raise NotImplementedError

    def __init__(self, sockets: Table, remote: Remote, received: Received | None, name: str = "") -> None:
        self.sockets = sockets
        # It ends with its module; None: with the stack.
        self.owner: Owner | None = None
        self.remote: Address = address_of(remote)
        self.name = name
        self.received = received
        self._rests_until = 0.0
        # When it said something last.
        self.heard = -inf
        self._trial: Exchange | None = None

    def __str__(self) -> str:
        host, port = self.remote[:2]
        return f"{'[' + host + ']' if ':' in host else host}:{port}"

    @property
    def failed(self) -> bool:
        """Whether the last question did not reach the peer."""
        return self._rests_until > 0

    def _admit(self, exchange: Exchange, now: float) -> None:
        """Let one question in ``REST`` seconds try a peer that failed. Raises ``PeerFailed`` for others."""
        if not self._rests_until:
            return
        if self._trial is not None or now < self._rests_until:
            raise PeerFailed(f"{self} did not answer a moment ago")
        self._trial = exchange

    def silent(self, now: float) -> None:
        """A question was not answered."""
        self._rests_until = now + REST

    def _alive(self, now: float) -> None:
        self._rests_until = 0.0
        self.heard = now

    def expect(self, key: Any, exchange: Exchange, now: float) -> None:
        raise NotImplementedError

    def forget(self, key: Any, exchange: Exchange) -> None:
        if self._trial is exchange:
            self._trial = None

    def send(self, data: bytes, now: float) -> None:
        raise NotImplementedError

"""Client sockets of modules: datagrams to one peer, and connections, as actions and inputs of the stack.

Theory of operation: as in the resolver (``sansip.transport.dns``) a socket is a number below zero, a sent
message is an action, a received one is an input. So a journal replays it, tests have virtual time, and no
runtime knows of it. What a peer and a question to it are is in ``peer``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from sansip.actions import CloseDatagram, Connect, Disconnect, OpenDatagram, Reading
from sansip.module.peer import PeerFailed

if TYPE_CHECKING:
    from sansip.actions import Action, Address
    from sansip.clock import Timers
    from sansip.limits import Limits
    from sansip.module.peer import Owner
    from sansip.module.streams import Stream

__all__ = ["FIRST", "Sockets"]

# Numbers of sockets of modules, from here down; those of the resolver stand above.
FIRST = -(1 << 40)


class Owned(Protocol):
    """What a module has open. ``owner``: None where it is the stack's."""

    owner: Owner | None


class DatagramPeer(Owned, Protocol):
    """A UDP socket with one peer."""

    remote: Address

    def take(self, data: bytes, now: float) -> None: ...
    def lose(self, reason: str, now: float) -> None: ...
    def close(self, now: float) -> None: ...


class Sockets:
    """All client sockets of modules in one stack. ``out`` receives the actions."""

    __slots__ = ("_conns", "_new_connection", "_next", "_socks", "limits", "out", "patient", "questions",
                 "timers")  # fmt: skip

    def __init__(
        self, timers: Timers, limits: Limits, out: list[Action], new_connection: Callable[[], int]
    ) -> None:
        self.timers = timers
        self.limits = limits
        self.out = out
        # Answers that are waited for, of all peers; and those of them that hold up no call.
        self.questions = 0
        self.patient = 0
        self._new_connection = new_connection
        self._next = FIRST
        self._socks: dict[int, DatagramPeer] = {}
        self._conns: dict[int, Stream] = {}

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._socks) + len(self._conns)

    def end(self, owner: Owner, now: float) -> None:
        """Close what ``owner`` has open."""
        for peer in [*self._socks.values(), *self._conns.values()]:
            if peer.owner is owner:
                peer.close(now)

    def _room(self, peer: Owned) -> None:
        if peer.owner is not None and peer.owner.ended:
            raise PeerFailed(f"{peer}: its module was taken away")
        if len(self) >= self.limits.module_sockets:
            raise PeerFailed(f"{peer}: too many sockets of modules are open (limits.module_sockets)")

    def open(self, peer: DatagramPeer) -> int:
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

    def read(self, conn: int, wanted: bool) -> None:
        """Have a connection read no more, or again."""
        if conn in self._conns:
            self.out.append(Reading(conn, wanted))

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

    def writable(self, conn: int, writable: bool, now: float) -> None:
        peer = self._conns.get(conn)
        if peer is not None and peer.writable is not None:
            peer.writable(writable, now)

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

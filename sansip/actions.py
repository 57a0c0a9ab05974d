"""Actions that the core asks the outside world to perform.

Theory of operation: every input of ``Stack`` returns a list of these, to be
performed in order. They are plain slotted values, made per message, so they
are never frozen (a frozen dataclass costs three times as much to build). Those of
nearly every message have their ``__init__`` written out: in the compiled build
it is compiled with the rest, where that of a dataclass is interpreted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = [
    "Action",
    "Address",
    "Ask",
    "CloseDatagram",
    "Connect",
    "Disconnect",
    "Notify",
    "OpenDatagram",
    "PassOn",
    "Reading",
    "SendData",
    "SendDatagram",
    "Tell",
]

# A socket address as ``recvfrom`` gives it: (host, port) for IPv4 and
# (host, port, flowinfo, scope_id) for IPv6. The core reads only [0] and [1].
Address: TypeAlias = tuple[Any, ...]


@dataclass(slots=True, init=False)
class SendDatagram:
    """Send ``data`` from listener number ``listener`` to ``address``.

    A number below zero is that of a socket which ``OpenDatagram`` asked for. ``owner`` is
    what ``Stack.send_failed`` is told where it cannot be sent; 0: nothing.
    """

    listener: int
    data: bytes
    address: Address
    owner: int = 0

    def __init__(self, listener: int, data: bytes, address: Address, owner: int = 0) -> None:
        self.listener = listener
        self.data = data
        self.address = address
        self.owner = owner


@dataclass(slots=True, init=False)
class SendData:
    """Write ``data`` on connection ``conn`` (one whole message, or a keepalive). ``owner`` as above."""

    conn: int
    data: bytes
    owner: int = 0

    def __init__(self, conn: int, data: bytes, owner: int = 0) -> None:
        self.conn = conn
        self.data = data
        self.owner = owner


@dataclass(slots=True)
class Connect:
    """Open a connection and report it under the number ``conn``.

    Answered by ``Stack.connection_opened`` or ``Stack.connection_closed``.
    ``transport`` is ``"tcp"``, ``"tls"``, ``"ws"``, ``"wss"`` or ``"sctp"``;
    ``"dns"`` is TCP to a name server, without any filter.
    ``name`` is the name that a TLS peer must prove (RFC 5922 7.3): the host of the URI.
    ``listener`` is the listener whose local address should be used; -1: any address.
    """

    conn: int
    transport: str
    address: Address
    listener: int
    name: str = ""


@dataclass(slots=True)
class Disconnect:
    """Close connection ``conn`` once the data written before has been sent."""

    conn: int
    reason: str


@dataclass(slots=True)
class Reading:
    """Read connection ``conn`` no more, so that its peer has to wait, or (``wanted``) again."""

    conn: int
    wanted: bool


@dataclass(slots=True)
class OpenDatagram:
    """Open a UDP socket under number ``listener`` (below zero) that talks to ``address`` only.

    Its port is chosen by the system, at random. The adapter passes its datagrams to
    ``Stack.datagram_received``, and its failure to ``Stack.send_failed``: the owner is the number of the
    socket.
    """

    listener: int
    address: Address


@dataclass(slots=True)
class CloseDatagram:
    """Close socket ``listener``, which ``OpenDatagram`` asked for."""

    listener: int


@dataclass(slots=True, init=False)
class Ask:
    """Put ``question`` to the outside; ``Stack.answer(id, result, now)`` resumes."""

    id: int
    question: Any

    def __init__(self, id: int, question: Any) -> None:
        self.id = id
        self.question = question


@dataclass(slots=True, init=False)
class Notify:
    """An event (see ``sansip.events``) for the log and other watchers; needs no answer."""

    event: Any

    def __init__(self, event: Any) -> None:
        self.event = event


@dataclass(slots=True)
class PassOn:
    """Give one message to worker ``seat`` as it came: its ``Stack.passed_on`` takes it.

    ``conn`` is the connection that it came over, 0 for a datagram; ``source`` is the peer's address;
    ``identities`` are the SIP domains that it proved to be (RFC 5922 7.1).
    """

    seat: int
    listener: int
    conn: int
    data: bytes
    source: Address
    identities: tuple[str, ...] = ()


@dataclass(slots=True)
class Tell:
    """Tell all other workers: their ``Stack.told`` gets ``fact``, a tuple of plain values.

    The facts of one worker arrive in the order in which it told them.
    """

    fact: tuple[Any, ...]


Action: TypeAlias = (
    SendDatagram
    | SendData
    | Connect
    | Disconnect
    | Reading
    | Ask
    | Notify
    | OpenDatagram
    | CloseDatagram
    | PassOn
    | Tell
)

"""Flow tokens: the name of a flow, in a URI of ours that comes back (RFC 5626 5.2).

Theory of operation: a browser's Contact leads nowhere (``k3v.invalid``, RFC 7118
5), and a phone's behind a NAT to an address that is not its own. What leads there
is the flow, so its name goes into the user part of our Path or Record-Route
value. A token says by which listener of which node, and then

    datagrams     the peer's address and port. That is the whole flow, so such a
                  token is good for as long as the key is: after a restart, too.
    connections   the number of the connection, and of the process's life it
                  belongs to: numbers begin anew in each process.

It is sealed (``sansip.seal``): nobody else can write one, or learn a phone's
address from one. A token for a dialog is bound to its Call-ID, and so of no use
in another call; one for a Path is not, for every call comes by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_address
from typing import TYPE_CHECKING

from sansip.seal import MAC_SIZE, Sealer
from sansip.transport.flow import Flow

if TYPE_CHECKING:
    from sansip.transport.listeners import Listener, Listeners

__all__ = ["MARK", "FlowToken", "FlowTokens"]

# What begins a token, so that a user name is told from it by a look.
MARK = "f-"
# The first octet: which transport, and flags.
_TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss", "sctp")
_BOUND, _ONLY = 0x80, 0x40
_LISTENER, _LIFE, _CONN = 6, 4, 6
# Octets of a zone: the name of an interface has no more.
_ZONE = 15
# No token is longer: flag, listener, port and IPv6 address with its zone, MAC; 4 characters
# for 3 octets.
_LONGEST = len(MARK) + (1 + _LISTENER + 2 + 16 + _ZONE + MAC_SIZE + 2) // 3 * 4


@dataclass(slots=True)
class FlowToken:
    """What a token says.

    Attributes:
        flow: the flow; None for one that cannot exist any more, or not here: of
            another life of the process, or by a listener that this node does not have.
        bound: it was made for the dialogs of one Call-ID.
        only: no other way than this flow will do (RFC 5626 5.3.1): 430 once it is gone.
    """

    flow: Flow | None
    bound: bool
    only: bool


class FlowTokens:
    """Writes and reads the tokens of one stack.

    Args:
        listeners: ours.
        key: the same in all nodes, and lives of the process, that shall read each
            other's tokens.
        node: name of this node; other nodes may listen on equal addresses.
        life: a number that no other life of a process has, for its connections.
    """

    __slots__ = ("_ids", "_life", "_numbers", "_sealer")

    def __init__(self, listeners: Listeners, key: bytes, node: str, life: int) -> None:
        self._sealer = Sealer(key, b"sansip-flow")
        self._life = life.to_bytes(_LIFE, "big")
        self._ids = {listener.id: _listener_id(listener, node) for listener in listeners}
        self._numbers = {value: number for number, value in self._ids.items()}

    def make(self, flow: Flow, call_id: str | None = None, *, only: bool = True) -> str:
        """Return the token of ``flow``; with ``call_id`` for the dialogs of that Call-ID alone."""
        first = _TRANSPORTS.index(flow.transport)
        if call_id is not None:
            first |= _BOUND
        if only:
            first |= _ONLY
        if flow.reliable:
            where = self._life + flow.conn.to_bytes(_CONN, "big")
        else:
            host, _, zone = flow.host.partition("%")
            # RFC 4007: a link-local address is none without its zone; it comes last.
            octets = ip_address(host).packed + zone.encode("utf-8", "surrogateescape")[:_ZONE]
            where = flow.port.to_bytes(2, "big") + octets
        plain = bytes((first,)) + self._ids[flow.listener] + where
        return MARK + self._sealer.seal(plain, _octets(call_id))

    def read(self, text: str | None, call_id: str) -> FlowToken | None:
        """Return what ``text`` says in a request with ``call_id``, or None where we did not write it."""
        if text is None or not text.startswith(MARK) or len(text) > _LONGEST:
            return None
        read = self._sealer.read(text[len(MARK) :])
        if read is None:
            return None
        mac, plain = read
        first = plain[0]
        bound = bool(first & _BOUND)
        if not self._sealer.proves(mac, plain, _octets(call_id if bound else None)):
            return None
        # It is ours, and so as long as it should be.
        flow = self._flow(_TRANSPORTS[first & 0x0F], plain[1 : 1 + _LISTENER], plain[1 + _LISTENER :])
        return FlowToken(flow, bound, bool(first & _ONLY))

    def _flow(self, transport: str, listener: bytes, where: bytes) -> Flow | None:
        number = self._numbers.get(listener)
        if number is None:
            return None
        if transport != "udp":
            conn = int.from_bytes(where[_LIFE:], "big")
            return Flow(transport, number, ("", 0), conn) if where[:_LIFE] == self._life else None
        host, zone = str(ip_address(where[2:18])), where[18:].decode("utf-8", "surrogateescape")
        return Flow(transport, number, (f"{host}%{zone}" if zone else host, int.from_bytes(where[:2], "big")))


def _octets(call_id: str | None) -> bytes:
    return b"" if call_id is None else call_id.encode("utf-8", "surrogateescape")


def _listener_id(listener: Listener, node: str) -> bytes:
    """Return what names ``listener`` in all nodes, whatever its number is."""
    text = f"{node} {listener} {listener.sent_by}"
    return blake2b(text.encode(), digest_size=_LISTENER, person=b"sansip-listener").digest()

"""Flow tokens: the name of a flow, in a URI of ours that comes back (RFC 5626 5.2).

Theory of operation: a browser's Contact leads nowhere (``k3v.invalid``, RFC 7118 5), and the Contact of a
phone behind a NAT leads to an address that is not the phone's own. Only the flow leads to them, so its name
goes into the user part of our Path or Record-Route value. A token says by which listener of which node, and
then

    datagrams     the peer's address and port. That is the whole flow, so such a
                  token is good for as long as the key is: after a restart, too.
    connections   the number of the connection, and of the process's life it
                  belongs to: numbers begin anew in each process.

A phone comes back over another connection, or from another port of its NAT, and the token is in a route set
that never changes (RFC 3261 12.2). So a token also names the binding that the flow had: its
address-of-record, and a few octets that tell it from the other bindings of that user
(``sansip.location.naming``). The binding that is registered under that name now has the phone's present flow
(RFC 5626 5.3.2). No node stores anything for that: each node that has the key can follow the token, also
after a restart.

A token for a dialog is bound to its Call-ID and the caller's tag, and has no use in another dialog. A token
for a Path, or for another node, is not bound. It ends with the registration that it was made for, and is
believed only from senders that may have it (``sansip.routing.flows``).

Tokens are sealed (``sansip.seal``): nobody without the key can write one, or learn a phone's address or a
user's name from one.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol, TypeAlias

from sansip.seal import MAC_SIZE, Sealer
from sansip.transport.flow import Flow
from sansip.transport.transports import DATAGRAMS, DEFAULT_PORTS, MEANT, TRANSPORTS
from sansip.wire import SipUri

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sansip.transport.listeners import Listener, Listeners
    from sansip.wire import OtherUri, TelUri

__all__ = ["KEY_SIZE", "MARK", "FlowToken", "FlowTokens", "Named"]

# The prefix of a token, which tells it from a user name.
MARK = "f-"
# A binding: the address-of-record, and what tells it from the others there.
Named: TypeAlias = tuple[str, bytes]
KEY_SIZE = 9
# The first octet: which transport, and flags.
_TRANSPORTS = tuple(TRANSPORTS)
_BOUND, _ONLY, _NAMED, _ELSEWHERE, _TRANSPORT = 0x80, 0x40, 0x20, 0x10, 0x0F
_LISTENER, _LIFE, _CONN, _TIME, _PLACE = 6, 4, 6, 4, 6
# Tokens of dialogs, and places, that are remembered: a token is read again in the ACK and in the BYE, and a
# phone has the same Contact in each call. What is longer is not.
_KEPT = 2_048
_LONGEST_KEPT = 200
# Octets of a zone: the longest name of an interface.
_ZONE = 15
# Octets of user and host of an address-of-record. → one that is longer is not named
_LONGEST_NAME = 128
# No token is longer: everything above, an IPv6 address with its port and zone, the MAC; 4
# characters for 3 octets.
_LONGEST = (
    len(MARK)
    + (MAC_SIZE + 1 + _LISTENER + _TIME + _PLACE + KEY_SIZE + 1 + _LONGEST_NAME + 2 + 16 + _ZONE + 2) // 3 * 4
)


class OfDialog(Protocol):
    """A request, as far as a token asks for it."""

    @property
    def call_id(self) -> str: ...
    @property
    def from_tag(self) -> str | None: ...
    @property
    def to_tag(self) -> str | None: ...


@dataclass(slots=True, init=False)
class FlowToken:
    """The content of a token.

    Attributes:
        flow: the flow; None for one that cannot exist any more, or not here: of
            another life of the process, or by a listener that this node does not have.
        bound: it was made for the dialogs of one Call-ID and caller.
        only: no other way than this flow will do (RFC 5626 5.3.1): 430 once it is gone.
        named: the binding that the flow had, where it had one.
        place: stands for the next hop (``FlowTokens.place``) that the peer can be reached
            at when the flow is gone, b"" for none.
        expires: Unix time in seconds until which it is good, 0 where it is bound.
    """

    flow: Flow | None
    bound: bool
    only: bool
    named: Named | None = None
    place: bytes = b""
    expires: int = 0

    # Written out as in ``sansip.actions``.
    def __init__(
        self,
        flow: Flow | None,
        bound: bool,
        only: bool,
        named: Named | None = None,
        place: bytes = b"",
        expires: int = 0,
    ) -> None:
        self.flow = flow
        self.bound = bound
        self.only = only
        self.named = named
        self.place = place
        self.expires = expires


class FlowTokens:
    """Writes and reads the tokens of one stack.

    Args:
        listeners: ours.
        key: the same in all nodes, and lives of the process, that shall read each
            other's tokens.
        node: name of this node; other nodes may listen on equal addresses.
        life: a number that no other life of a process has, for its connections.
        home: the host that most addresses-of-record have, which is then not written out.
    """

    __slots__ = ("_home", "_ids", "_life", "_node", "_numbers", "_places", "_sealer", "_written")

    def __init__(self, listeners: Listeners, key: bytes, node: str, life: int, home: str = "") -> None:
        self._sealer = Sealer(key, b"sansip-flo2")
        self._life = life.to_bytes(_LIFE, "big")
        self._node = node
        self._ids: dict[int, bytes] = {}
        self._numbers: dict[bytes, int] = {}
        self._home = home
        # Token -> Call-ID and tag of its dialog, and what it seals.
        self._written: dict[str, tuple[str, str, bytes]] = {}
        self._places: dict[str, bytes] = {}
        self.listen(listeners)

    def listen(self, listeners: Iterable[Listener]) -> None:
        """Know ``listeners`` from now on; flows of former ones are written, and lead nowhere."""
        ids = {listener.id: _listener_id(listener, self._node) for listener in listeners}
        self._ids |= ids
        self._numbers = {value: number for number, value in ids.items()}

    def for_dialog(
        self,
        flow: Flow,
        call_id: str,
        tag: str | None,
        *,
        only: bool = True,
        named: Named | None = None,
        place: bytes = b"",
    ) -> str:
        """Return the token of ``flow`` for the dialogs with ``call_id`` that the side with ``tag`` begins."""
        plain = self._plain(flow, _BOUND, only, b"", named, place)
        text = MARK + self._sealer.seal(plain, _dialog(call_id, tag))
        if len(call_id) <= _LONGEST_KEPT and (tag is None or len(tag) <= _LONGEST_KEPT):
            written = self._written
            if len(written) >= _KEPT:
                written.clear()
            written[text] = call_id, tag or "", plain
        return text

    def for_path(
        self, flow: Flow, expires: float, *, only: bool = True, named: Named | None = None, place: bytes = b""
    ) -> str:
        """Return the token of ``flow`` for any request until ``expires``, a Unix time."""
        until = min(max(int(expires) + 1, 0), (1 << 8 * _TIME) - 1).to_bytes(_TIME, "big")
        return MARK + self._sealer.seal(self._plain(flow, 0, only, until, named, place))

    def place(self, uri: SipUri | TelUri | OtherUri | None) -> bytes:
        """Return the octets that stand for the next hop that ``uri`` leads to, b"" where it is no SIP URI."""
        if not isinstance(uri, SipUri):
            return b""
        transport = uri.transport or MEANT[uri.scheme]
        text = f"{uri.host}\n{uri.port or DEFAULT_PORTS.get(transport)}\n{transport}"
        places = self._places
        place = places.get(text)
        if place is None:
            place = self._sealer.mac(text.encode("utf-8", "surrogateescape"))[:_PLACE]
            if len(text) <= _LONGEST_KEPT:
                if len(places) >= _KEPT:
                    places.clear()
                places[text] = place
        return place

    def read(self, text: str | None, request: OfDialog) -> FlowToken | None:
        """Return what ``text`` says in ``request``, or None where we did not write it, or not for it."""
        if text is None or not text.startswith(MARK) or len(text) > _LONGEST:
            return None
        known = self._written.get(text)
        if known is not None and known[0] == request.call_id:
            # As below: who has the text and is in the dialog has what the MAC proves.
            if known[1] == (request.from_tag or "") or known[1] == request.to_tag:
                return self._parsed(known[2])
        read = self._sealer.read(text[len(MARK) :])
        if read is None:
            return None
        mac, plain = read
        first = plain[0]
        bound = bool(first & _BOUND)
        proves = self._sealer.proves
        if not bound:
            if not proves(mac, plain):
                return None
        elif not proves(mac, plain, _dialog(request.call_id, request.from_tag)):
            # RFC 3261 12.2.1.1: the caller's tag is in To where the callee asks.
            to_tag = request.to_tag
            if to_tag is None or not proves(mac, plain, _dialog(request.call_id, to_tag)):
                return None
        # It is ours, and so as long as it should be.
        return self._parsed(plain)

    def _plain(
        self, flow: Flow, flags: int, only: bool, until: bytes, named: Named | None, place: bytes
    ) -> bytes:
        first = _TRANSPORTS.index(flow.transport) | flags
        if only:
            first |= _ONLY
        elif place:
            first |= _ELSEWHERE
            until += place
        if flow.reliable:
            where = self._life + flow.conn.to_bytes(_CONN, "big")
        else:
            host, _, zone = flow.host.partition("%")
            # RFC 4007: a link-local address is none without its zone; it comes last.
            octets = ip_address(host).packed + zone.encode("utf-8", "surrogateescape")[:_ZONE]
            where = flow.port.to_bytes(2, "big") + octets
        name = b"" if named is None else self._name(named[0])
        if named is not None and name:
            first |= _NAMED
            until += named[1] + bytes((len(name),)) + name
        return bytes((first,)) + self._ids[flow.listener] + until + where

    def _name(self, aor: str) -> bytes:
        """Return ``aor`` without what every address has, b"" for one that is not named."""
        user, at, host = aor.removeprefix("sip:").rpartition("@")
        at_home = host == self._home and "@" not in user
        name = (user if at_home else f"{user}@{host}").encode("utf-8", "surrogateescape")
        return name if at and aor.startswith("sip:") and len(name) <= _LONGEST_NAME else b""

    def _parsed(self, plain: bytes) -> FlowToken:
        first, at = plain[0], 1 + _LISTENER
        listener = plain[1:at]
        bound, only = bool(first & _BOUND), bool(first & _ONLY)
        expires, place, named = 0, b"", None
        if not bound:
            expires = int.from_bytes(plain[at : at + _TIME], "big")
            at += _TIME
        if first & _ELSEWHERE:
            place = plain[at : at + _PLACE]
            at += _PLACE
        if first & _NAMED:
            key, begin = plain[at : at + KEY_SIZE], at + KEY_SIZE + 1
            at = begin + plain[begin - 1]
            name = plain[begin:at].decode("utf-8", "surrogateescape")
            named = (f"sip:{name}" if "@" in name else f"sip:{name}@{self._home}", key)
        flow = self._flow(_TRANSPORTS[first & _TRANSPORT], listener, plain[at:])
        return FlowToken(flow, bound, only, named, place, expires)

    def _flow(self, transport: str, listener: bytes, where: bytes) -> Flow | None:
        number = self._numbers.get(listener)
        if number is None:
            return None
        if transport not in DATAGRAMS:
            conn = int.from_bytes(where[_LIFE:], "big")
            return Flow(transport, number, ("", 0), conn) if where[:_LIFE] == self._life else None
        host, zone = str(ip_address(where[2:18])), where[18:].decode("utf-8", "surrogateescape")
        return Flow(transport, number, (f"{host}%{zone}" if zone else host, int.from_bytes(where[:2], "big")))


def _dialog(call_id: str, tag: str | None) -> bytes:
    # Neither has a line end inside.
    return f"{call_id}\n{tag or ''}".encode("utf-8", "surrogateescape")


def _listener_id(listener: Listener, node: str) -> bytes:
    """Return what names ``listener`` in all nodes, whatever its number is."""
    text = f"{node} {listener} {listener.sent_by}"
    return blake2b(text.encode(), digest_size=_LISTENER, person=b"sansip-listener").digest()

"""Our own addresses: the values for Via and Record-Route, and the hosts that are this server.

Theory of operation: a listener has the address it is bound to and the one it
advertises (they differ behind a NAT). The table answers two questions, both
prepared when it is built: through which listener to reach an address, and
whether a host and port name this server.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS, PARAMETERS, UDP
from sansip.wire.host import host_key, host_text, plain_host, split_host_port

if TYPE_CHECKING:
    from sansip.wire import Message

__all__ = ["Listener", "Listeners"]


@dataclass(slots=True)
class Listener:
    """One bound address.

    ``id`` is the number the adapters use; ``host`` is an IP address without
    brackets; ``advertise_host``/``advertise_port`` replace it in what peers read.
    """

    id: int
    transport: str
    host: str
    port: int
    advertise_host: str | None = None
    advertise_port: int | None = None
    # The listener whose socket it shares; and whether connections are accepted at all,
    # or only opened: then peers come back to that listener.
    shares: int | None = None
    accepts: bool = True
    # How our Via lines begin (RFC 3261 18.1.1): "Via: SIP/2.0/UDP 192.0.2.1:5060".
    via: str = field(init=False)
    # host:port as peers see it.
    sent_by: str = field(init=False)
    # How our Record-Route lines begin; ">" is to follow (RFC 3261 16.6 step 4).
    record_route: str = field(init=False)
    # How they come back as Route lines, the mark is to follow (``proxy.dialog_mark``).
    marked_route: str = field(init=False)

    def __post_init__(self) -> None:
        # In lower case: values that come back are compared with it.
        self.sent_by = host_text(self.advertise_host or self.host, self.advertise_port or self.port).lower()
        self.via = f"Via: SIP/2.0/{self.transport.upper()} {self.sent_by}"
        transport = PARAMETERS[self.transport]
        self.record_route = f"Record-Route: <sip:{self.sent_by}{transport};lr"
        self.marked_route = f"Route: <sip:{self.sent_by}{transport};lr;d="

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    def __str__(self) -> str:
        return f"{self.transport}:{host_text(self.host, self.port)}"


# How the value of a Route of an outbound proxy ends.
_PRELOADED = (";lr>", ";transport=udp;lr>", ";lr;transport=udp>")


class Listeners:
    """All listeners, and the names by which peers may call this server."""

    __slots__ = (
        "_accepting",
        "_addresses",
        "_advertised",
        "_bound",
        "_by_id",
        "_domains",
        "_former",
        "_former_places",
        "_ports",
        "_reach",
        "_sent_by",
        "_sent_by_ipv6",
    )

    def __init__(self, listeners: Iterable[Listener], domains: Iterable[str] = ()) -> None:
        # Those that were there once, by sent-by and transport, the oldest first.
        self._former: dict[tuple[str, str], Listener] = {}
        self._former_places: set[tuple[str | bytes, int | None] | None] = set()
        self._by_id: dict[int, Listener] = {}
        self._take(listeners, domains)

    def replace(self, listeners: Iterable[Listener], domains: Iterable[str], most: int) -> None:
        """Be these from now on.

        This node still knows as its own the values that ``most`` former listeners wrote into Via and
        Record-Route. Dialogs outlive a listener, and reach us by another way (RFC 3261 12.2: a route set
        never changes).
        """
        before = self._by_id
        self._take(listeners, domains)
        for one in before.values():
            now = self._by_id.get(one.id)
            if one.accepts and (now is None or (now.sent_by, now.transport) != (one.sent_by, one.transport)):
                self._former[one.sent_by, one.transport] = one
        for one in self._by_id.values():
            self._former.pop((one.sent_by, one.transport), None)
        while len(self._former) > most:
            del self._former[next(iter(self._former))]
        former = self._former.values()
        self._accepting += former
        self._sent_by.update(one.sent_by for one in former)
        self._sent_by_ipv6.update(_place(one.sent_by) for one in former if one.sent_by[0] == "[")
        self._former_places = {_place(one.sent_by) for one in former}

    def _take(self, listeners: Iterable[Listener], domains: Iterable[str]) -> None:
        self._by_id = {listener.id: listener for listener in listeners}
        for listener in self._by_id.values():
            if not listener.accepts and listener.shares is not None:
                listener.record_route = self._by_id[listener.shares].record_route
                listener.marked_route = self._by_id[listener.shares].marked_route
        self._accepting = [listener for listener in self._by_id.values() if listener.accepts]
        self._domains = {host_key(domain.strip("[]")) for domain in domains}
        self._sent_by = {listener.sent_by for listener in self._by_id.values()}
        # Those that can be spelled in another way: RFC 5118 4.8.
        self._sent_by_ipv6 = {_place(sent_by) for sent_by in self._sent_by if sent_by[0] == "["}
        # (transport, IPv6?) -> listeners in the order of the configuration
        self._reach: dict[tuple[str, bool], list[Listener]] = {}
        # our IP addresses -> ports we listen on
        self._addresses: dict[str | bytes, set[int]] = {}
        self._ports: set[int] = set()
        self._bound = {plain_host(listener.host.lower()) for listener in self._by_id.values()}
        self._advertised = {
            plain_host(one.advertise_host.lower()) for one in self._by_id.values() if one.advertise_host
        }
        for listener in self._by_id.values():
            self._reach.setdefault((listener.transport, listener.is_ipv6), []).append(listener)
            self._ports.update((listener.port, listener.advertise_port or listener.port))
            self._addresses.setdefault(host_key(listener.host), set()).add(listener.port)
            if listener.advertise_host:
                port = listener.advertise_port or listener.port
                self._addresses.setdefault(host_key(listener.advertise_host), set()).add(port)

    def __getitem__(self, number: int) -> Listener:
        listener = self._by_id.get(number)
        if listener is None:
            # A connection, or a transaction, of one that is being given up.
            listener = next((one for one in self._former.values() if one.id == number), None)
        if listener is None:
            raise LookupError(f"there is no listener {number}")
        return listener

    def find(self, number: int) -> Listener | None:
        """Return listener ``number`` if it is not being given up."""
        return self._by_id.get(number)

    def __contains__(self, number: int) -> bool:
        """Whether ``number`` is a listener that is not being given up."""
        return number in self._by_id

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._by_id.values())

    @property
    def transports(self) -> set[str]:
        """Transports that some listener serves."""
        return {transport for transport, _ in self._reach}

    def reach(self, transport: str, ip: str, prefer: int | None = None) -> Listener | None:
        """Return the listener to send from towards ``ip`` over ``transport``, if any.

        ``prefer`` is the listener of the request being forwarded: it is kept
        where it fits, so that a call stays on one interface.
        """
        fitting = self._reach.get((transport, ":" in ip))
        if fitting is None:
            return None
        if len(fitting) > 1 and prefer is not None:
            chosen = self._by_id.get(prefer)
            if chosen in fitting:
                return chosen
            # The same interface on another transport comes next.
            for listener in fitting:
                if chosen is not None and listener.host == chosen.host:
                    return listener
        return fitting[0]

    def named(self, host: str, port: int | None, transport: str) -> Listener | None:
        """Return the listener whose address, as peers see it, this is."""
        sent_by = host_text(host, port or DEFAULT_PORTS.get(transport))
        place = _place(sent_by) if ":" in host else None
        for listener in self._accepting:
            if listener.transport == transport and (
                listener.sent_by == sent_by or (place is not None and _place(listener.sent_by) == place)
            ):
                return listener
        return None

    def take_recorded(self, request: Message) -> tuple[Listener, str] | None:
        """Remove the first Route lines that look just as we record.

        Returns the listener of the last one, which is that of the far side (RFC
        5658 3), and its mark; or None. A look at the text that serves nearly every request
        within a dialog; any other spelling of our own values is for ``proxy.preprocess``.
        """
        taken: tuple[Listener, str] | None = None
        while True:
            line = request.first_line("route")
            if line is None:
                return taken
            recorded = self.recorded_by(line)
            if recorded is None:
                return taken
            request.pop_first_value("route")
            taken = recorded

    def recorded_by(self, line: str) -> tuple[Listener, str] | None:
        """Return the listener and the mark of a Route line that looks just as we record, or None."""
        for listener in self._accepting:
            if line.startswith(listener.marked_route):
                mark = line[len(listener.marked_route) : -1]
                if mark.isalnum() and line[-1] == ">":
                    return listener, mark
        return None

    def leads_here(self, line: str, number: int) -> bool:
        """Whether a Route line is what a phone writes whose outbound proxy is the listener ``number``.

        It has one value, of which this is all: address and port, ``lr``, and the transport (UDP: or none).
        """
        listener = self._by_id.get(number)
        if listener is None or not line.startswith("Route: <sip:"):
            return False
        before, semicolon, params = line[12:].lower().partition(";")
        host, port = listener.advertise_host or listener.host, listener.advertise_port or listener.port
        transport = listener.transport
        ends: tuple[str, ...] = _PRELOADED
        if transport != UDP:
            # A secure WebSocket is named as a plain one is, and left to the long way.
            ends = (f";transport={transport};lr>", f";lr;transport={transport}>")
        return (
            (before == listener.sent_by or (port == DEFAULT_PORTS[transport] and before == host))
            and f"{semicolon}{params}" in ends
            and self.named(host, port, transport) is listener
        )

    def may_have_written(self, request: Message) -> bool:
        """Whether some Via of ``request`` holds a sent-by of ours: a quick look at the text."""
        text = request.first_line("via") or ""
        if request.keys.count("via") > 1:
            text = "\n".join(request.raw_lines("via"))
        return self.has_own_sent_by(text)

    def has_own_sent_by(self, text: str) -> bool:
        """Whether ``text``, of Via lines, may hold a sent-by of ours."""
        for sent_by in self._sent_by:
            if sent_by in text:
                return True
        return bool(self._sent_by_ipv6) and "[" in text

    def is_own_sent_by(self, sent_by: str) -> bool:
        """Whether a Via with this sent-by was written here."""
        if sent_by in self._sent_by:
            return True
        return sent_by[0] == "[" and _place(sent_by) in self._sent_by_ipv6

    def is_own_address(self, host: str, port: int | None, transport: str | None = None) -> bool:
        """Whether host and port name a listener of ours (an element address).

        A domain we serve names us too, on a port we listen on.
        """
        key = host_key(host) if ":" in host else host
        ports = self._addresses.get(key)
        if ports is None:
            if key not in self._domains:
                return False
            ports = self._ports
            if port is None:
                return True
        return (port or DEFAULT_PORTS.get(transport or UDP, DEFAULT_PORT)) in ports

    def has_recorded(self, host: str, port: int | None, transport: str) -> bool:
        """Whether a Record-Route value with this host and port may be ours, of a former listener as well."""
        if self.is_own_address(host, port, transport):
            return True
        place = (host_key(host), port or DEFAULT_PORTS.get(transport, DEFAULT_PORT))
        return bool(self._former_places) and place in self._former_places

    def is_bound(self, host: str) -> bool:
        """Whether a listener is bound to ``host``, an IP address: a sender there is this machine."""
        return host in self._bound

    def is_advertised(self, host: str) -> bool:
        """Whether peers know a listener by ``host``, an IP address (``advertise_host``)."""
        return host in self._advertised

    def serves(self, host: str, port: int | None = None) -> bool:
        """Whether addresses-of-record at ``host`` are ours to know (RFC 3261 16.5)."""
        key = host_key(host) if ":" in host else host
        if key in self._domains:
            return True
        ports = self._addresses.get(key)
        if ports is None:
            plain = plain_host(host)
            return plain != host and self.serves(plain, port)
        return port is None or port in ports

    def names_us(self, host: str, port: int | None, transport: str | None = None) -> bool:
        """Whether a request for this host would come back here: it is in a domain, or an address, of ours."""
        if ":" not in host and host[-1:] != ".":
            # Asked at each REGISTER: most hosts are none of ours.
            if host in self._domains:
                return True
            if host not in self._addresses:
                return False
        return self.serves(host, port) or self.is_own_address(host, port, transport)


def _place(sent_by: str) -> tuple[str | bytes, int | None] | None:
    """Return host and port of ``sent_by`` as they are compared."""
    place = split_host_port(sent_by)
    return None if place is None else (host_key(place[0]), place[1])

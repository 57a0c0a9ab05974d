"""The stateful and the stateless proxy: one object that forwards for all routes.

Theory of operation: ``Proxy`` holds what forwarding needs (our addresses, the
transactions, chance, the question for names) and the one function that makes a
forwarded request out of a received one (RFC 3261 16.6). A stateful relay is a
``ResponseContext`` on top of it; a stateless one is a single send.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sansip.client.via import seal
from sansip.errors import RemoteProtocolError
from sansip.location import Binding, key_of
from sansip.proxy.assertions import drop_assertions, keep_private
from sansip.proxy.credentials import drop_challenges, withhold_credentials
from sansip.proxy.hooks import Hooks
from sansip.proxy.pending import Pending
from sansip.proxy.route_set import postprocess
from sansip.proxy.secure import as_sips, is_secure, retargeted
from sansip.proxy.target import Target
from sansip.proxy.validation import breadth_of
from sansip.transaction.layer import MAGIC_COOKIE
from sansip.transport.flow import Flow, ensure_length
from sansip.transport.nat import is_hidden, is_private
from sansip.transport.next_hop import NextHop, next_hop
from sansip.transport.transports import DEFAULT_PORTS, ONE_WAY
from sansip.wire import SipUri
from sansip.wire.host import is_address, same_host

if TYPE_CHECKING:
    from sansip.client import Client
    from sansip.clock import Timers
    from sansip.entropy import Entropy
    from sansip.limits import Limits
    from sansip.notices import LimitNotices
    from sansip.proxy.dialog_mark import Marks, Recording
    from sansip.proxy.sequence import Shifts
    from sansip.proxy.trust import TrustDomain
    from sansip.transaction import TimerValues, TransactionLayer
    from sansip.transport import Listener, Listeners, Sender
    from sansip.transport.flow_token import FlowTokens, Named
    from sansip.wire import OtherUri, Request, Response, TelUri, Via

__all__ = ["Proxy", "ProxyConfig"]


@dataclass(slots=True)
class ProxyConfig:
    """Policy of forwarding.

    Attributes:
        record_route: stay on the path of dialogs (RFC 3261 16.6 step 4).
        tcp_above: octets from which a request to a UDP next hop goes over TCP
            instead (RFC 3261 18.1.1); 0 never does. Only where a TCP listener
            exists, and UDP is used after all where TCP is refused.
        failover_time: seconds of silence after which the next address of a target is
            tried, where it has one (RFC 3263 4.3); without it, or with 0, only Timer B or F
            (32 s) ends the wait. Never once a provisional response came. With
            the default an INVITE over UDP was sent three times by then.
        force_rport: which senders to answer at the source port of a request that came without
            rport, over UDP (RFC 3581): ``"private"``, those whose sent-by is a private
            address and not their source; ``"always"``, everybody; ``"never"``.
        same_hop: believe a response only from the address that its request was sent to, and a
            CANCEL only from the one that its INVITE came from (RFC 3261 9.2, 18.1.2); their
            ports may differ. Off is for next hops that answer from another address.
        via_maddr: who is answered at the maddr of its Via instead of at its source (RFC 3261
            18.2.2), over UDP: ``"ignore"``, nobody, for a stranger could name a third host
            there; ``"trusted"``, peers that are trusted by their address.
        dialog_tokens: mark our Record-Route values (``proxy.dialog_mark``), so that by Route
            only requests of dialogs set up through here are relayed, and only to the
            other side.
        dialog_life: seconds that a mark is good for. A route set lasts as long as its dialog,
            so no call or subscription outlives this; what somebody noted down does not, either.
        unmarked_dialogs: relay by Route without the mark as well: for a server that
            strangers cannot reach, where a hand-made request may be a test.
        plain_sips: take requests for sips URIs that did not come over TLS (RFC 3261 26.2.2), from
            anybody: where TLS ends in front of this server, at a load balancer or a web
            server that is not in ``[[trusted]]``.
        one_branch: of several Contacts at one address and port, of a user or in a redirection,
            try the newest alone: a copy for each could make this server send many packets to
            a third party. ``False`` for phones behind a gateway that has one address for all,
            names no Path, and is not in ``[[trusted]]``.
        recurse: try what a 300, 301 or 302 points at instead of sending it back (RFC 3261
            16.7 step 4). A server that redirects then decides where your users' calls
            go, and at whose cost.
        extensions: option tags that Proxy-Require may name.
    """

    record_route: bool = True
    force_rport: Literal["private", "always", "never"] = "private"
    same_hop: bool = True
    via_maddr: Literal["ignore", "trusted"] = "ignore"
    tcp_above: int = 1300
    failover_time: float = 3.0
    dialog_tokens: bool = True
    dialog_life: float = 604_800.0
    unmarked_dialogs: bool = False
    plain_sips: bool = False
    one_branch: bool = True
    recurse: bool = False
    extensions: frozenset[str] = frozenset()


def _nobody(_life: str, _now: float) -> None:
    """There are no other nodes."""


class Proxy:
    """Forwards requests, and responses to what it forwarded."""

    __slots__ = (
        "client",
        "config",
        "entropy",
        "flow_lost",
        "hooks",
        "limits",
        "listeners",
        "loop_secret",
        "marks",
        "named",
        "node_silent",
        "notices",
        "pending",
        "sender",
        "shifts",
        "timers",
        "tokens",
        "transactions",
        "trust",
        "trying_after",
        "values",
    )

    def __init__(
        self,
        config: ProxyConfig,
        listeners: Listeners,
        transactions: TransactionLayer,
        entropy: Entropy,
        limits: Limits,
        tokens: FlowTokens,
        named: Callable[[Request, Flow], Named | None],
        flow_lost: Callable[[object, float], None],
        client: Client,
        shifts: Shifts,
        marks: Marks,
        trust: TrustDomain,
        notices: LimitNotices,
    ) -> None:
        self.config = config
        self.listeners = listeners
        self.transactions = transactions
        self.sender: Sender = transactions.sender
        self.timers: Timers = transactions.timers
        self.values: TimerValues = transactions.values
        self.entropy = entropy
        self.tokens = tokens
        # Returns the name of the binding whose flow a request came over.
        self.named = named
        # Told of a binding whose flow is no more, while a request was on its way over it.
        self.flow_lost = flow_lost
        # Told of the life of a node that does not answer what was sent to a phone of its.
        self.node_silent: Callable[[str, float], None] = _nobody
        self.client = client
        self.shifts = shifts
        self.marks = marks
        self.trust = trust
        self.notices = notices
        # What waits for its final response, by source and callee.
        self.pending = Pending()
        # Who looks at requests on their way; the stack puts them in.
        self.hooks = Hooks()
        # What the hashes of our branches start with (``loop_hash``).
        self.loop_secret = entropy.number(1 << 32)
        self.limits = limits
        self.trying_after = self._time_until_t2(self.values)

    def configure(self, config: ProxyConfig, values: TimerValues) -> None:
        """Go by these from now on."""
        self.config = config
        self.values = values
        self.trying_after = self._time_until_t2(values)
        self.marks.live(config.dialog_life)

    @staticmethod
    def _time_until_t2(values: TimerValues) -> float:
        # RFC 4320 4.1: how long a client's Timer E takes to be reset to T2.
        interval, elapsed = values.t1, 0.0
        while interval < values.t2:
            elapsed += interval
            interval *= 2
        return elapsed

    # --- 16.6: making the forwarded request

    def copy_for(self, request: Request, target: Target) -> Request:
        """Return the copy of ``request`` for ``target``, without Via and Record-Route.

        RFC 3261 16.6 steps 1 to 3 and 5.
        """
        copy = request.copy()
        if target.uri is not None:
            uri = target.uri
            copy.set_uri(_as_request_uri(retargeted(request.uri, uri) if uri.scheme == "sips" else uri))
        elif copy.uri_text != str(copy.uri):
            # What was read liberally leaves in canonical form.
            copy.set_uri(copy.uri)
        for value in reversed(target.path):
            # RFC 3327 5.3: the Path of a binding becomes the first Route values.
            copy.prepend("Route", value)
        # RFC 3261 16.6 step 3: one hop less; 70 where there was none.
        hops = request.max_forwards
        copy.set_line("max-forwards", "Max-Forwards: 70" if hops is None else f"Max-Forwards: {hops - 1}")
        return copy

    def listener_for(self, transport: str, ip: str, prefer: int) -> Listener | None:
        """Return the listener that reaches ``ip`` over ``transport``, if any."""
        return self.listeners.reach(transport, ip, prefer)

    def add_record_route(
        self,
        copy: Request,
        incoming: int,
        outgoing: Listener,
        token: str,
        came: str = "",
        goes: str = "",
        secure: bool = False,
        mark: str = "",
    ) -> None:
        """Put us into Record-Route (RFC 3261 16.6 step 4).

        RFC 5658 3: where a request leaves by another transport or address than
        it came in by, it is recorded twice, so that each side finds the
        listener that it can reach. ``token`` is the dialog's mark, or "". ``came``
        and ``goes`` are the flow tokens of the two sides, "" where none is needed.
        ``secure``: the next hop was found by a sips URI, so ours is one, too; that of
        the side it came by only where the Request-URI is sips.
        ``mark``: a parameter more (``Shifts.mark``).
        """
        end = f";d={token}{mark}>" if token else f"{mark}>"
        both = secure and copy.uri.scheme == "sips"
        if outgoing.id != incoming or came or goes or both != secure:
            near = _with_user(self.listeners[incoming].record_route, came) + end
            copy.prepend_line("record-route", as_sips(near) if both else near)
        far = _with_user(outgoing.record_route, goes) + end
        copy.prepend_line("record-route", as_sips(far) if secure else far)

    def records(self, hop: NextHop, record: Recording | None) -> bool:
        """Whether a request that leaves where nobody listens can be recorded as it must.

        RFC 3261 16.6 step 4 wants a sips URI in Record-Route, and nobody could follow
        one to a server that does not listen for TLS.
        """
        return record is None or not hop.sips

    def needs_token(
        self,
        flow: Flow,
        contact: SipUri | TelUri | OtherUri | None,
        wanted: bool = False,
        hidden: bool = False,
    ) -> tuple[bool, bool]:
        """Return whether ``flow`` has to be named in Record-Route, and whether no other way will do.

        It has not where ``contact`` leads to the peer anyway.

        RFC 5626 5.2, RFC 7118 5: only who opened a connection to us may be out of
        reach otherwise. A peer whose Contact has ``ob`` wants its flow used (so does one
        that ``wanted`` speaks for), whatever the transport, and no other way (5.3.1, 5.3.2).
        """
        wanted = wanted or (isinstance(contact, SipUri) and "ob" in contact.params)
        if not flow.reliable:
            # Datagrams to a phone behind a NAT (``hidden``): its Contact is an address that
            # it has at home.
            return wanted or hidden, wanted
        connection = self.sender.connections.get(flow.conn)
        if connection is None or not connection.incoming:
            return False, wanted
        peer = connection.flow
        direct = (
            not wanted
            and peer.transport not in ONE_WAY
            and isinstance(contact, SipUri)
            and same_host(contact.host, peer.host)
            and (contact.port or DEFAULT_PORTS.get(peer.transport)) == peer.port
        )
        return not direct, wanted

    def came_token(self, request: Request, flow: Flow, wanted: bool = False) -> str:
        """Return the flow token of where ``request`` came from, or "". ``wanted`` as by an ``ob``."""
        line = request.first_line("contact")
        if line is None:
            return ""
        hidden = not flow.conn and is_hidden(request, flow)
        if not (flow.conn or wanted or hidden or ";ob" in line):
            return ""
        contact = None
        try:
            contacts = request.contacts
        except RemoteProtocolError:
            contacts = []
        if isinstance(contacts, list) and contacts:
            contact = contacts[0].uri
        needed, only = self.needs_token(flow, contact, wanted, hidden)
        if not needed:
            return ""
        # Where it is reached once the flow is gone: the proxy before us, or the peer itself.
        back = contact
        if not only and "record-route" in request.keys:
            try:
                back = request.record_routes[0].uri
            except RemoteProtocolError:
                back = None
        return self.tokens.for_dialog(
            flow,
            request.call_id,
            request.from_tag,
            only=only,
            named=self.named(request, flow),
            place=b"" if only else self._place(back, flow),
        )

    def goes_token(self, copy: Request, target: Target, listener: Listener) -> str:
        """Return the flow token of where ``copy`` goes by ``listener``, or ""."""
        flow = self.flow_for(copy, target)
        if flow is None:
            if target.address is None or listener.transport != "udp" or "route" in copy.keys:
                return ""
            # Registered from behind a NAT.
            flow = Flow("udp", listener.id, target.address)
        hidden = target.address is not None or target.bound
        needed, only = self.needs_token(flow, target.uri, target.only, hidden)
        if not needed:
            return ""
        binding = target.binding
        on = copy.routes[0].uri if "route" in copy.keys else copy.uri
        return self.tokens.for_dialog(
            flow,
            copy.call_id,
            copy.from_tag,
            only=only,
            named=(binding.aor, key_of(binding)) if isinstance(binding, Binding) else None,
            place=b"" if only else self._place(on, flow),
        )

    def _place(self, uri: SipUri | TelUri | OtherUri | None, flow: Flow) -> bytes:
        """Return what stands for ``uri`` in a token of ``flow``, b"" where it leads nowhere from here."""
        if not isinstance(uri, SipUri) or uri.transport in ONE_WAY or uri.host.endswith(".invalid"):
            return b""
        # Behind a NAT there is nobody to connect to.
        hidden = is_private(uri.host) and not is_private(flow.host)
        return b"" if hidden else self.tokens.place(uri)

    def route_of(self, copy: Request, target: Target) -> NextHop:
        """Apply 16.6 step 6 and return the next hop (step 7).

        Raises ``RemoteProtocolError`` when the URI leads nowhere.
        """
        uri: SipUri | TelUri | OtherUri = postprocess(copy)
        # RFC 3261 16.6 step 7: a sips Request-URI decides, whatever Route says.
        sips = copy.uri.scheme == "sips" or uri.scheme == "sips"
        # RFC 5630 5.3: TLS as well where the URI lost its s on the way here.
        secure = sips or is_secure(target)
        flow = self.flow_for(copy, target)
        if flow is not None:
            return NextHop(flow.transport, flow.host, flow.port, True, True, secure=secure, sips=sips)
        hop = next_hop(uri, secure=secure)
        hop.sips = sips
        # Where the binding has a Path, its edge proxy has the flow.
        only = target.only and (target.bound or "route" not in copy.keys)
        if only or hop.transport in ONE_WAY or hop.host.endswith(".invalid"):
            # RFC 7118 5, RFC 2606 2: only its connection led to it. RFC 5626 5.3.2:
            # 430 for a flow that a token named, and else it is a user not there now.
            raise RemoteProtocolError(
                "the flow is gone",
                status=430 if only or target.bound else 480,
                section="RFC 5626 5.3.2",
                field="Request-URI",
            )
        if not copy.has("route"):
            if target.address is not None:
                hop.host, hop.port = target.address
                hop.numeric = True
            if target.flow is not None and not hop.explicit and not secure:
                # The phone chose the transport when it registered over it.
                hop.transport = target.flow.transport
        return hop

    def flow_for(self, copy: Request, target: Target) -> Flow | None:
        """Return the flow that ``copy`` goes over: that of ``target``, while it lives."""
        flow = target.flow
        if flow is None or ("route" in copy.keys and not target.bound) or not self.client.is_alive(flow):
            return None
        if flow.transport not in ("tls", "wss") and (copy.uri.scheme == "sips" or is_secure(target)):
            # RFC 3261 26.2.2: in TLS to the last hop.
            return None
        return flow

    # --- 16.11: the stateless proxy

    def forward_stateless(
        self,
        request: Request,
        incoming: Flow,
        target: Target,
        record: Recording | None,
        now: float,
        leaves: Listener | None = None,
    ) -> None:
        """Forward ``request`` without keeping anything (RFC 3261 16.11).

        It is sent from the listener of ``target``, else ``leaves``, else the one it
        came by.

        An ACK for a 2xx goes this way, too. Where the next hop cannot be
        reached nothing happens: there is nobody to tell.
        """
        # RFC 5393 5.3.3: every proxied request has one. An ACK forks nothing and is answered
        # by nobody, so one that cannot be read is overwritten there.
        breadth = self.limits.max_breadth
        if request.method != "ACK" or "max-breadth" in request.keys:
            try:
                breadth = breadth_of(request, breadth)
            except RemoteProtocolError:
                if request.method != "ACK":
                    raise
        try:
            copy = self.copy_for(request, target)
            hop = self.route_of(copy, target)
        except RemoteProtocolError:
            return
        copy.set_line("max-breadth", f"Max-Breadth: {breadth}")
        branch = self.stateless_branch(request)
        prefer = target.listener
        if prefer is None:
            prefer = incoming.listener if leaves is None else leaves.id

        def send(addresses: Any, now: float) -> None:
            places = self.client.places.take(addresses, hop, now)
            if not places:
                return
            transport, ip, port = places[0]
            alive = self.flow_for(copy, target)
            if self.trust.exists and not self.trust.trusts(alive or Flow(transport, prefer, (ip, port))):
                withhold_credentials(copy, self.trust)
                keep_private(copy)
            listener = (
                self.listener_for(transport, ip, prefer) if alive is None else self.listeners[alive.listener]
            )
            if listener is None or not (listener.accepts or self.records(hop, record)):
                return
            if record is not None:
                goes = self.goes_token(copy, target, listener)
                came = self.came_token(request, incoming)
                mark = record.mark(ip)
                self.add_record_route(copy, incoming.listener, listener, mark, came, goes, hop.sips)
            flow = alive or Flow(transport, listener.id, (ip, port), name=hop.proves(transport))
            self.sender.send(flow, seal(copy, listener, branch), now)

        if hop.numeric:
            send([(hop.transport, hop.host, hop.port)], now)
        else:
            # RFC 3263 4.4: a retransmission must take the same way.
            self.client.places.resolve(hop.question(branch), send, now)

    def stateless_branch(self, request: Request) -> str:
        """Return the branch of a stateless forward: the same for a retransmission.

        RFC 3261 16.11: a function of the branch received (or, without a magic
        cookie, of what identifies the transaction).
        """
        return self._stateless_branch_of(request, request.via)

    def _stateless_branch_of(self, message: Request | Response, via: Via) -> str:
        """``via`` is that of the element before us; the same for a request and its responses.

        With what was noted there: who answers must not say where the answer goes.
        """
        branch = via.branch or ""
        noted = f"{via.received} {via.params.get('rport')}"
        if not branch.startswith(MAGIC_COOKIE):
            branch = f"{branch} {message.call_id} {message.cseq.number} {message.from_tag}"
        return f"{MAGIC_COOKIE}s{self.entropy.keyed_hash(f'stateless {branch} {via.sent_by} {noted}')}"

    def forward_stray(self, response: Response, came: Flow, now: float) -> None:
        """Forward a response to a request that was forwarded statelessly, drop any other.

        RFC 6026 7.3: a stray response is not forwarded. The branch proves that
        we forwarded the request, for only we can compute it.
        """
        ours = response.via.branch or ""
        if not ours.startswith(f"{MAGIC_COOKIE}s"):
            return
        response.pop_first_value("via")
        if "via" not in response.keys:
            return
        try:
            via = response.via
        except RemoteProtocolError:
            return
        if ours != self._stateless_branch_of(response, via):
            return
        transport = via.transport.lower()
        # RFC 3261 18.2.2, RFC 3581 4: to the source. An maddr may name anybody, and whether
        # the sender was trusted is not known any more.
        host, port = via.received or via.host, via.rport or via.port
        if self.trust.exists and not self.trust.trusts(came):
            drop_assertions(response, stranger=True)
            drop_challenges(response, self.trust)
        try:
            self.marks.show_stray(response, self.trust.sender(response.from_.uri, host))
        except RemoteProtocolError:
            return
        # ``received`` was added here where sent-by was a name.
        listener = self.listener_for(transport, host, -1) if is_address(host) else None
        if listener is not None:
            flow = Flow(transport, listener.id, (host, port or DEFAULT_PORTS.get(transport, 5060)))
            ensure_length(response, flow)
            self.sender.send(flow, response.to_bytes(), now)


def _with_user(record_route: str, user: str) -> str:
    """Put a user part into one of our Record-Route lines."""
    return record_route.replace("<sip:", f"<sip:{user}@", 1) if user else record_route


def _as_request_uri(uri: SipUri | TelUri | OtherUri) -> SipUri | TelUri | OtherUri:
    # RFC 3261 16.6 step 2 with 19.1.1: no header fields and no method in a Request-URI.
    headers = getattr(uri, "headers", None)
    params = getattr(uri, "params", None) or {}
    if not headers and "method" not in params:
        return uri
    kept = {name: value for name, value in params.items() if name != "method"}
    return uri.replace(headers=[], params=kept)  # type: ignore[union-attr]

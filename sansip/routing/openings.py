"""A plain INVITE for the one phone of a user of ours, sent on from its octets: no message is made of it.

Theory of operation: what can be read in brief (``sansip.wire.opening``), came straight from its sender, and
is for a user with one plain binding, goes there before a message is made of it. A caller of ours is asked for
its password, and proves it, before that (``brief_proof``). The message is made when somebody asks for it: a
failure, a CANCEL, Timer C (``proxy.usual``). Where a question is open this does nothing, and the request goes
the long way (``quick_relay``, then the default route). The long way is the reference: the same actions
follow, octet for octet (``tests/routing/test_openings.py``, ``test_opening_proof.py``).
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.client.via import new_branch
from sansip.proxy.dialog_mark import address_of, uri_of
from sansip.proxy.loop import Arrived, text_hash
from sansip.proxy.pair import Pair
from sansip.proxy.record_route import record_route_lines
from sansip.proxy.recording import Recording
from sansip.proxy.relayed import RelayedCalls
from sansip.proxy.steered import Steered
from sansip.proxy.stream_pair import StreamPair
from sansip.proxy.trust import OF_TRUST
from sansip.routing.arrival import read_arrived
from sansip.routing.brief_proof import challenge_lines, prove_caller
from sansip.routing.leading import LedCall, PlainCall, lead_of
from sansip.routing.lookup import target_of
from sansip.routing.opening_flows import callers_token, hidden_contact, phones_token
from sansip.routing.opening_size import gained_by_modules, gained_octets
from sansip.routing.plain_params import asks_alike, leads_alike
from sansip.routing.request import IncomingRequest
from sansip.routing.seen import seen_relay, send_seen, show
from sansip.routing.stream_ways import (
    StreamWays,
    callers_stream_token,
    phones_stream_token,
    way_back,
)
from sansip.routing.unmade import UnmadeRequest
from sansip.transaction.refusals import refusal_tag
from sansip.transport import Flow
from sansip.transport.transports import DEFAULT_PORT, UDP
from sansip.wire import Request, read_again
from sansip.wire.headers.name_addr import parse_name_addr
from sansip.wire.headers.simple import CSeq
from sansip.wire.host import plain_host
from sansip.wire.opening import read_opening
from sansip.wire.splice import noted
from sansip.wire.timed import timed
from sansip.wire.unread import LAZY, UnreadRequest, read_later, unread_request
from sansip.wire.uri import parse_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.actions import Address
    from sansip.location import Binding
    from sansip.proxy.bodies import Plan
    from sansip.proxy.target import Target
    from sansip.routing.core import Core
    from sansip.routing.gate import Gate
    from sansip.routing.lead import Lead
    from sansip.routing.shortcut import Shortcut
    from sansip.routing.stream_ways import StreamWay
    from sansip.transaction import ServerTransaction
    from sansip.transport import Listener
    from sansip.wire import SipUri
    from sansip.wire.opening import Opening

__all__ = ["OPENING", "Openings"]

_PROXY_AUTH: Final = "SIP/2.0 407 Proxy Authentication Required"
# The first octet of an INVITE.
OPENING: Final = b"I"
# A contact that leads to one place, and whose text the URI keeps: its host and port, and a parameter.
_octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN: Final = re.compile(
    rf"sip:(?:[A-Za-z0-9\-_.+]++@)?({_octet}\.{_octet}\.{_octet}\.{_octet})"
    r"(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}))?(;[A-Za-z0-9\-_.+]++(?:=[A-Za-z0-9\-_.+]++)?)?"
)
_noted: Final[Any] = noted
_text_hash: Final[Any] = text_hash
_timed: Final[Any] = timed
# Contacts whose place is kept.
_PLACES: Final = 4_096


class Openings:
    """INVITEs on their way to the phones of one stack."""

    __slots__ = (
        "_core",
        "_gate",
        "_hooks",
        "_located",
        "_modules",
        "_parts",
        "_places",
        "_proxy",
        "_shortcut",
        "_steps",
        "_streams",
        "_ua",
        "_wall",
    )

    def __init__(self, core: Core, gate: Gate, shortcut: Shortcut, *, located: bool = False) -> None:
        self._core = core
        self._parts = core.parts
        self._gate = gate
        self._proxy = core.proxy
        self._ua = core.ua
        self._wall = core.wall
        self._shortcut = shortcut
        self._streams = StreamWays(core)
        # Whether INVITEs come from ``shared_openings``: the bindings have just been looked up, and each of
        # these INVITEs counted against the limits of its sender before that.
        self._located = located
        # A set of modules, and whether one of them has a step for INVITEs: a set never changes.
        self._modules: object = None
        self._hooks: Any = None
        self._steps = False
        # Contact -> where it leads, None where that is not plain.
        self._places: dict[str, tuple[str, int] | None] = {}

    def sends(
        self,
        data: bytes,
        listener: int,
        source: Address,
        force_rport: str,
        now: float,
        over: Flow | None = None,
        opening: Opening | None = None,
    ) -> bool:
        """Send the INVITE in ``data`` on and return True; or do nothing.

        The default route is to decide on it. ``over``: the connection that it came by, if it is no datagram.
        ``opening``: what was read of it before.
        """
        parts = self._parts
        proxy = self._proxy
        modules = parts.modules
        if modules is not self._modules:
            self._hooks = modules.stack_hooks
            stages = modules.stages_of("INVITE")
            self._steps = bool(
                stages["screen"]
                or stages["identify"]
                or modules.leading["translate"] is None
                or stages["prepare"]
                or stages["relay"]
            )
            self._modules = modules
        hooks = self._hooks
        arriving = bool(hooks.message_arrived)
        if (
            self._steps
            or proxy.client.auth.accounts
            or proxy.shifts.steps
            or (parts.nodes is not None and not self._located)
            or (arriving and (parts.siblings is not None or over is not None))
        ):
            return False
        looks = bool(proxy.hooks.active or hooks.request_received)
        if looks and modules.rides and not _timed(data):
            looks = False
        if (looks and (over is not None or (parts.siblings is not None and hooks.request_received))) or (
            not LAZY and (looks or arriving)
        ):
            return False
        if opening is None:
            opening = read_opening(data, proxy.limits)
        if opening is None:
            return False
        flow = Flow(UDP, listener, source) if over is None else over
        if not arriving:
            return self._sends(opening, data, flow, force_rport, None, looks, now)
        message = unread_request("INVITE", (read_again, data))
        verdict = hooks.judge(message, flow, now)
        if verdict is not None:
            self._gate.turn_away(message, flow, verdict, now)
        elif not (
            type(message) is UnreadRequest
            and self._sends(opening, data, flow, force_rport, message, looks, now)
        ):
            self._gate.take(message, flow, now)
        return True

    def _sends(
        self,
        opening: Opening,
        data: bytes,
        flow: Flow,
        force_rport: str,
        message: Request | None,
        looks: bool,
        now: float,
    ) -> bool:
        """Send what was read on; ``message`` is unread, None where no module has got one yet.

        ``looks``: whether hooks see it on its way.
        """
        core = self._core
        proxy = self._proxy
        source, listener = flow.address, flow.listener
        host, port = source[:2]
        sent_host, contact = opening.sent_host, opening.contact
        # RFC 3261 18.2.2: over a connection the port says nothing.
        by_stream = flow.conn != 0
        direct = sent_host == host and (by_stream or opening.sent_port == port)
        if (
            not (opening.rport or (direct and (by_stream or force_rport != "always")))
            or (opening.route is not None and not proxy.listeners.leads_here(opening.route, listener))
            or (";" in opening.uri and not asks_alike(opening.uri[opening.uri.index(";") :]))
            or ":" in host
        ):
            return False
        key = opening.key
        transactions = proxy.transactions
        listeners = proxy.listeners
        trust = proxy.trust
        to_host = opening.host
        domains = core.addresses.domains
        if (
            transactions.find_server(key, "INVITE") is not None
            # So it is not full.
            or transactions.crowded_by(1)
            # RFC 3261 16.3 step 4: it may be a loop.
            or listeners.has_own_sent_by(opening.via)
        ):
            return False
        noted = opening.via
        if opening.rport:
            # RFC 3581 4
            noted = _noted(noted, host, port)
        # RFC 3261 22: a user of ours has to prove that.
        asks = self._parts.authenticator is not None and listeners.serves(opening.from_host)
        if asks:
            if core.bearer is not None or (core.trusted.peers and core.trusted.of(flow) is not None):
                return False
            if opening.credentials is None:
                return not looks and self._challenges(opening, noted, key, flow, now)
        if (
            # Where the phone wants its flow kept, more is to be looked at.
            '"' in contact
            or ";ob" in contact.lower()
            or not listeners.serves(to_host, opening.port)
            # Another name of the server.
            or (domains and to_host not in domains)
            or (trust.exists and opening.has(OF_TRUST))
            # Modules see a request with its credentials first, then without.
            or (opening.credentials is not None and (looks or (trust.exists and not asks)))
        ):
            return False
        aor = f"sip:{opening.user}@{to_host}"
        found = self._found(opening, aor, flow, asks, looks, now)
        if found is None:
            return False
        binding, led, stage = found
        # RFC 5626 5.2: where a NAT is in between, a flow leads back and no Contact.
        if by_stream:
            home = self._streams.callers_contact(opening.contact, flow)
        else:
            home = None if direct and flow.named_in(contact) else hidden_contact(opening, flow)
        behind = binding is not None and binding.received is not None
        place = None if binding is None else self._place_of(binding)
        way = None
        if binding is not None and place is None:
            way = self._streams.of(binding, listener)
            if way is None:
                return False
            behind, place = way.named, (way.flow.host, way.flow.port)
        if ((behind or home is not None) and (looks or led is not None)) or (
            (by_stream or way is not None)
            and (
                looks
                or led is not None
                or proxy.bodies is not None
                or type(proxy.records) is not RelayedCalls
            )
        ):
            return False
        limits, pending = proxy.limits, proxy.pending
        breadth = limits.max_breadth
        tcp_above = proxy.client.tcp_above
        guarded = proxy.client.guarded
        if (
            (place is not None and way is None and guarded.active and guarded.bars(*place) is not None)
            or breadth < 1
            or (limits.pending_per_source and pending.sources.get(host, 0) >= limits.pending_per_source)
            or (limits.pending_per_callee and pending.callees.get(aor, 0) >= limits.pending_per_callee)
        ):
            return False
        if way is None:
            heard = listener if binding is None else binding.flow
            leaves = listeners.reach(UDP, host, heard if isinstance(heard, int) else listener)
        else:
            leaves = way.leaves
        if leaves is None:
            return False
        longest = len(binding.contact) if led is None else led[1].longest  # type: ignore[union-attr]  # one of both
        records = proxy.config.record_route
        if tcp_above and way is None:
            # RFC 3261 18.1.1: nearly as large as that, the copy may have to go by TCP.
            if looks or proxy.bodies is not None:
                growth = gained_by_modules(longest)
            else:
                flows = aor if behind or home is not None else None
                second = flows is not None or leaves.id != listener
                near = listeners[listener] if second else None
                growth = gained_octets(opening, longest, leaves, near, records, flows)
            if asks:
                growth -= len(opening.credentials or "") + 2
            if len(data) + growth > tcp_above:
                return False
        plan: Plan | None = None
        if proxy.bodies is not None and not looks:
            judged = proxy.bodies.judges(opening, data, flow, place, behind)
            if not isinstance(judged, bool):
                if place is None:
                    # Two modules have a say in each step of it.
                    return False
                plan = judged
            elif not judged:
                return False
        proof = prove_caller(core, opening, flow, now) if asks else None
        if asks and proof is None:
            return False
        siblings = self._parts.siblings
        if siblings is not None and not siblings.claims(key, now):
            # Another worker has it: it came before, from another port.
            return False
        if not (self._located or self._gate.allows(flow, now)):
            return True
        self._ua.now = now
        goal: Target | Callable[[], Target]
        if led is not None:
            picked = self._picked(*led)
            if picked is None:
                self._gate.take(message or _read_as_it_came(data), flow, now, True)
                return True
            contact, place, goal = picked
        else:
            assert binding is not None
            contact = binding.contact if way is None else way.text
            goal = partial(target_of, binding)
        assert place is not None
        if proof is not None:
            proof.count(core, flow, now)
            opening.proven = True
        secret, tag, number = proxy.loop_secret, opening.from_tag, opening.cseq
        if opening.route is None and opening.credentials is None:
            hashed = _text_hash(secret, aor, tag, "None", opening.call_id, number)
        else:
            # RFC 3261 16.4: a phone's outbound proxy is this server.
            hashed = _text_hash(secret, aor, tag, "None", opening.call_id, number, *opening.deciding)
        handle = None
        given: Any = None
        if looks:
            read = (read_arrived, data, flow, force_rport)
            if message is None:
                message = unread_request("INVITE", read)
            else:
                read_later(message, read)
            far = None if opening.route is None else listeners[listener]
            given = core, core.modules, message, flow, key, hashed, aor, far, "", now
            handle = show(given, self._gate, _arrived, opening)
            if handle is None:
                return True
        hidden = binding if behind else None
        recording, ours, came = self._recorded(opening, flow, home, place[0], hidden, way, leaves, now)
        branch = new_branch(proxy.client.entropy, hashed)
        via = f"{leaves.via};branch={branch}"
        sent = opening.forwarded(contact, ours, f"{via}\r\n{noted}", breadth, opening.proven)
        repeated = opening.from_, opening.to, opening.call_id_line, opening.cseq_line, None
        out = Flow(UDP, leaves.id, place) if way is None else way.flow
        counted = host, aor
        pending.add(host, aor)
        if handle is None:
            later = partial(read_arrived, data, flow, force_rport, opening.proven)
            if by_stream or way is not None:
                back = way_back(flow, opening.sent_port)
                pair: Pair = StreamPair(proxy, "INVITE", later, repeated, flow, goal, branch, back)
            elif plan is None:
                pair = Pair(proxy, "INVITE", later, repeated, flow, goal, branch)
            else:
                make = partial(_handle, core, opening.proven)
                pair = Steered(proxy, later, repeated, flow, goal, branch, plan, make, aor)
            pair.be_first(recording, records, listener, hashed, breadth, counted, came)
            begins = None
            if led is not None:
                # None of our users, whichever way its target is given.
                pair.strange = True
                leaving = None if opening.route is None else listeners[listener]
                arrived = partial(_arrived, opening)
                pair.led = of_module = LedCall(
                    core, led, stage, flow, hashed, aor, leaving, recording, records, arrived, opening.proven
                )
                begins = of_module.begins
            pair.call = proxy.records.opens(pair, opening, data, contact, flow, now, begins)
            # RFC 3261 17.2.1: a 100 within 200 ms, so that the caller stops resending.
            pair.send(key, sent, opening.trying(noted), out, via, now)
            return True
        relay = seen_relay(proxy, handle, given, repeated, flow, goal, branch)
        if type(handle) is not UnmadeRequest:
            handle.recording, handle.record = recording, records
        relay.be_first(recording, records, listener, hashed, breadth, counted)
        relay.call = proxy.records.begins(
            opening.call_id, opening.from_tag, opening.from_, opening.to, opening.uri, host, now
        )
        send_seen(relay, handle, key, sent, opening.trying(noted), out, via, leaves, now)
        return True

    def _found(
        self, opening: Opening, aor: str, flow: Flow, proven: bool, looks: bool, now: float
    ) -> tuple[Binding | None, tuple[Any, Lead] | None, str] | None:
        """Return the only binding of ``aor``, or who leads the INVITE, and in which stage; None: read it."""
        core = self._core
        leading = self._parts.modules.leading
        stage = "translate"
        led: tuple[Any, Lead] | bool = True
        if leading[stage]:
            led = self._led(stage, opening, flow, proven, now)
        if led is True:
            bindings = core.location.lookup(aor, now)
            if len(bindings) == 1:
                return bindings[0], None, ""
            if not bindings and leading["select"]:
                stage = "select"
                led = self._led(stage, opening, flow, proven, now)
        if isinstance(led, bool) or looks:
            # Where modules look at each message of a call that is led, the long way shows them.
            return None
        return None, led, stage

    def _led(
        self, stage: str, opening: Opening, flow: Flow, proven: bool, now: float
    ) -> tuple[Any, Lead] | bool:
        """Return as ``lead_of``."""
        core = self._core
        if core.nodes is not None:
            return False
        return lead_of(core.modules, stage, PlainCall(core, opening, flow, now, proven))

    def _picked(self, module: Any, lead: Lead) -> Any:
        """Return contact, place and goal of the target that ``lead`` picks, None where it fails."""
        try:
            return lead.picks()
        except Exception as error:
            # As a step of the default route, which acts on it now.
            self._core.modules.failed(module, "leads", error)
            return None

    def _challenges(self, opening: Opening, noted: str, key: str, flow: Flow, now: float) -> bool:
        """Ask for the password, without state (RFC 3261 22.3, 8.2.7)."""
        core = self._core
        siblings = core.siblings
        if siblings is not None and not siblings.claims(key, now):
            # Another worker has it: it came before, from another port.
            return False
        if not self._gate.allows(flow, now):
            return True
        self._ua.now = now
        transactions = core.proxy.transactions
        # As if there had been a transaction: owners have the same numbers as on the long way.
        transactions.latest = number = transactions.latest + 1
        realm = core.realm_at(plain_host(opening.from_host))
        rest = challenge_lines(core, "Proxy-Authenticate", realm, flow, now) + self._shortcut.end
        to = f"{opening.to};tag={refusal_tag(key, opening.call_id, core.proxy.entropy)}"
        transactions.sender.send(flow, opening.answer(_PROXY_AUTH, noted, to, rest), now, number)
        return True

    def _place_of(self, binding: Binding) -> tuple[str, int] | None:
        """Return where ``binding`` leads, None where more decides than its contact, or a NAT's address."""
        received = binding.received
        if (
            (received is not None and (not received.by_datagram or ":" in received.host))
            or binding.path
            or binding.reg_id is not None
            or not (binding.flow is None or isinstance(binding.flow, int))
        ):
            return None
        places = self._places
        contact = binding.contact
        if contact in places:
            place = places[contact]
        else:
            if len(places) >= _PLACES:
                places.clear()
            match = _PLAIN.fullmatch(contact)
            place = None
            if match is not None and (match[3] is None or leads_alike(match[3])):
                place = match[1], int(match[2] or DEFAULT_PORT)
            places[contact] = place
        return place if received is None or place is None else received.address

    def _recorded(
        self,
        opening: Opening,
        flow: Flow,
        home: SipUri | None,
        host: str,
        hidden: Binding | None,
        way: StreamWay | None,
        leaves: Listener,
        now: float,
    ) -> tuple[Recording, str, str]:
        """Return the recording, our Record-Route lines, each with its line end, and the caller's flow token.

        ``home``: the Contact of a caller whose flow is named, ``hidden``: the binding of a phone whose flow
        is; the INVITE goes to ``host``, and leaves by ``leaves``. ``way``: where it goes by a connection.
        """
        core = self._core
        proxy = self._proxy
        caller, callee = "", ""
        trust = proxy.trust
        if trust.authenticates:
            line = opening.from_.partition(":")[2].strip()
            caller = trust.sender(parse_name_addr(line, "From", "RFC 3261 20.20").uri, flow.host)
            line = opening.to.partition(":")[2].strip()
            callee = trust.user(parse_name_addr(line, "To", "RFC 3261 20.39").uri)
        recording = Recording(
            proxy.marks if proxy.config.dialog_tokens else None,
            (opening.call_id, opening.from_tag, None),
            opening.uri,
            address_of(uri_of(opening.contact.partition(":")[2])),
            "",
            self._wall.unix(now),
            caller,
            callee,
            guarded=proxy.client.guarded.active and proxy.client.guarded.sent(flow),
        )
        if not proxy.config.record_route:
            return recording, "", ""
        came = goes = ""
        if home is not None:
            if flow.conn:
                came = callers_stream_token(core, opening, flow, home)
            else:
                came = callers_token(core, opening, flow, home)
        if hidden is not None:
            if way is None:
                goes = phones_token(core, opening, hidden, leaves.id)
            else:
                goes = phones_stream_token(core, opening, hidden, way)
        mark = recording.mark(host)
        lines = record_route_lines(proxy.listeners, flow.listener, leaves, mark, came, goes)
        recording.leaves(lines, mark)
        lines.reverse()
        return recording, "\r\n".join(lines) + "\r\n", came


def _handle(
    core: Core, proven: bool, message: Request, flow: Flow, server: ServerTransaction, now: float
) -> IncomingRequest:
    """Return the handle of an INVITE that left as octets; ``proven``: its caller is a user of ours."""
    handle = IncomingRequest(core, message, flow, server, now)
    handle.authenticated = proven
    return handle


def _read_as_it_came(data: bytes) -> Request:
    return read_again(data)  # type: ignore[return-value]  # a request


def _arrived(opening: Opening) -> Arrived:
    """Return what decides the routing, as ``arrival.take_route`` notes it."""
    cseq = CSeq(opening.cseq, "INVITE")
    identity = opening.call_id, opening.from_tag, None, cseq
    return Arrived(parse_uri(opening.uri), opening.uri, identity, opening.deciding)

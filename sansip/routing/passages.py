"""A plain ACK or BYE of a dialog through here, sent on from its octets: the quick way without a message.

Theory of operation: what can be read in brief (``sansip.wire.passing``), came straight from its sender, and
has a whole mark of ours in Route, goes where its Request-URI says, before a message is made of it. Where a
question is open this does nothing, and the request goes the long way (``quick_relay``, then the default
route). The long way is the reference: the same actions follow, octet for octet
(``tests/routing/test_quick_relay.py``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.client.via import new_branch
from sansip.proxy.loop import Arrived, text_hash
from sansip.proxy.pair import Pair
from sansip.proxy.relayed import RelayedCalls
from sansip.proxy.sides import side_in, side_of
from sansip.proxy.stateless import stateless_branch
from sansip.proxy.stream_pair import StreamPair
from sansip.proxy.target import Target
from sansip.proxy.trust import OF_TRUST
from sansip.proxy.watched import GROWTH
from sansip.routing.arrival import read_arrived
from sansip.routing.brief_proof import keeps_credentials
from sansip.routing.passing_flows import joined_routes, named_way
from sansip.routing.plain_params import leads_alike, names_transport
from sansip.routing.seen import seen_relay, send_seen, show
from sansip.routing.stream_ways import StreamWays, way_back
from sansip.transaction.refusals import MARK as REFUSAL_MARK
from sansip.transaction.refusals import refusal_tag
from sansip.transport import Flow
from sansip.transport.transports import DEFAULT_PORT, UDP
from sansip.ua.tags import MARK as TAG_MARK
from sansip.wire import Request, read_again
from sansip.wire.ending import read_ending
from sansip.wire.headers.name_addr import parse_name_addr
from sansip.wire.headers.simple import CSeq
from sansip.wire.passing import read_passing
from sansip.wire.splice import noted
from sansip.wire.unread import LAZY, UnreadRequest, read_later, unread_request
from sansip.wire.uri import parse_uri

if TYPE_CHECKING:
    from sansip.actions import Address
    from sansip.routing.core import Core
    from sansip.routing.gate import Gate
    from sansip.wire.passing import Passing

__all__ = ["PASSING", "Passages"]

# First octets of ACK and BYE.
PASSING: Final = frozenset(b"AB")
_ACK: Final = 65
_METHODS: Final = ("ACK", "BYE")
# To the Request-URI as it is; ACK and BYE begin nothing (``reaching``), so a gateway gets them, too.
_AS_ASKED: Final = Target(chosen=True)
# It stands in each ACK of a refusal.
_OF_REFUSAL: Final = f";tag={REFUSAL_MARK}".encode()
_noted: Final[Any] = noted
_text_hash: Final[Any] = text_hash
# Octets that our lines add at the most.
_GROWTH: Final = 300


class Passages:
    """Requests of dialogs on their way through one stack."""

    __slots__ = ("_core", "_gate", "_hooks", "_modules", "_parts", "_proxy", "_screens", "_streams", "_ua",
                 "_wall")  # fmt: skip

    def __init__(self, core: Core, gate: Gate) -> None:
        self._core = core
        self._parts = core.parts
        self._gate = gate
        self._proxy = core.proxy
        self._ua = core.ua
        self._wall = core.wall
        self._streams = StreamWays(core)
        # A set of modules, and whether one of them screens requests: a set never changes.
        self._modules: object = None
        self._hooks: Any = None
        self._screens = False

    def sends(
        self,
        data: bytes,
        listener: int,
        source: Address,
        force_rport: str,
        now: float,
        over: Flow | None = None,
    ) -> bool:
        """Send the request in ``data``, a datagram, on and return True; or do nothing.

        The default route is to decide on it. ``over``: the connection that it came by, if it is no datagram.
        """
        parts = self._parts
        proxy = self._proxy
        modules = parts.modules
        if data[0] == _ACK and _OF_REFUSAL in data:
            return self._ends(data, over or Flow(UDP, listener, source), now)
        if modules is not self._modules:
            self._hooks = modules.stack_hooks
            self._screens = bool(modules.stages["screen"])
            self._modules = modules
        hooks = self._hooks
        arriving = bool(hooks.message_arrived)
        if (
            self._screens
            or proxy.client.auth.accounts
            or proxy.shifts.steps
            or not proxy.config.dialog_tokens
            or (arriving and (parts.siblings is not None or over is not None))
            or (
                not LAZY
                and (arriving or (not modules.rides and (proxy.hooks.active or hooks.request_received)))
            )
        ):
            return False
        passing = read_passing(data, proxy.limits)
        if passing is None and (joined := joined_routes(data)) is not None:
            passing = read_passing(joined, proxy.limits)
        if passing is None or passing.method not in _METHODS:
            return False
        flow = Flow(UDP, listener, source) if over is None else over
        if not arriving:
            return self._sends(passing, data, flow, force_rport, None, now)
        message = unread_request(passing.method, (read_again, data))
        verdict = hooks.judge(message, flow, now)
        if verdict is not None:
            self._gate.turn_away(message, flow, verdict, now)
        elif not (
            type(message) is UnreadRequest and self._sends(passing, data, flow, force_rport, message, now)
        ):
            self._gate.take(message, flow, now)
        return True

    def _ends(self, data: bytes, flow: Flow, now: float) -> bool:
        """Take the ACK of a refusal that was forgotten, and return True: it ends here (RFC 3261 17.1.1.3)."""
        core = self._core
        if core.siblings is not None or core.modules.stack_hooks.message_arrived:
            return False
        ending = read_ending(data, core.limits)
        if ending is None:
            return False
        port = "" if ending.sent_port is None else f":{ending.sent_port}"
        key = f"{ending.branch} {ending.sent_host}{port}"
        if (
            core.proxy.transactions.find_server(key, "ACK") is not None
            or refusal_tag(key, ending.call_id, core.proxy.entropy) != ending.to_tag
        ):
            return False
        self._gate.allows(flow, now)
        return True

    def _sends(
        self, passing: Passing, data: bytes, flow: Flow, force_rport: str, message: Request | None, now: float
    ) -> bool:
        """Send what was read on; ``message`` is unread, None where no module has got one yet."""
        core = self._core
        proxy = self._proxy
        modules = self._parts.modules
        hooks = self._hooks
        looks = not modules.rides
        source = flow.address
        host, port = source[:2]
        sent_host, sent_port, to_tag = passing.sent_host, passing.sent_port, passing.to_tag
        noted = passing.via
        rport = None
        if passing.rport:
            # RFC 3581 4
            rport = str(port)
            noted = _noted(noted, host, port)
        elif sent_host != host or (
            # RFC 3261 18.2.2: over a connection the port says nothing.
            not flow.conn and ((sent_port or DEFAULT_PORT) != port or force_rport == "always")
        ):
            return False
        sent_by, key = passing.sent_by, passing.key
        transactions = proxy.transactions
        listeners = proxy.listeners
        goal = _AS_ASKED
        recorded = listeners.recorded_by(passing.route)
        seen = looks and (proxy.hooks.active or hooks.request_received)
        if recorded is None and not seen and (named := named_way(core, passing, flow, now)) is not None:
            recorded = named[:2]
            goal = named[2] or goal
        trust = proxy.trust
        uri = passing.uri
        params = uri[uri.index(";") :] if ";" in uri else ""
        by_stream = not leads_alike(params)
        if (
            recorded is None
            or ":" in host
            or (by_stream and not names_transport(params))
            or to_tag.startswith((TAG_MARK, REFUSAL_MARK))
            or transactions.find_server(key, passing.method) is not None
            or transactions.full
            # RFC 3261 16.3 step 4: it may be a loop.
            or listeners.is_own_sent_by(sent_by)
            or (trust.exists and passing.has(OF_TRUST))
            # An ACK with an answer (RFC 3261 13.2.1), which a module may have to replace.
            or (proxy.bodies is not None and passing.method == "ACK" and passing.body)
        ):
            return False
        far, mark = recorded
        place = proxy.marks.place
        if place and mark[-1] != place:
            # It is for the worker that has the dialog (``sansip.siblings``).
            return False
        who = ""
        if trust.authenticates:
            line = passing.from_.partition(":")[2].strip()
            who = trust.sender(parse_name_addr(line, "From", "RFC 3261 20.20").uri, host)
        unix = self._wall.unix(now)
        if not proxy.marks.is_whole(mark, passing.call_id, passing.from_tag, to_tag, passing.uri, who, unix):
            return False
        out: Flow | None
        alive = out = goal.flow
        if alive is None and by_stream:
            # RFC 3263 4.1: the URI chooses a connection.
            out = self._streams.hop(uri, far.id)
            leaves = None if out is None else listeners[out.listener]
        elif alive is None:
            leaves = listeners.reach(UDP, passing.host, far.id)
        else:
            leaves = listeners[alive.listener]
            if proxy.client.guarded.active and proxy.client.guarded.bars(*alive.address[:2]) is not None:
                return False
        if leaves is None:
            return False
        if out is None:
            out = Flow(UDP, leaves.id, (passing.host, passing.port or DEFAULT_PORT))
        by_stream = flow.conn != 0 or out.reliable
        if by_stream and (
            seen or self._parts.siblings is not None or type(proxy.records) is not RelayedCalls
        ):
            return False
        tcp_above = proxy.client.tcp_above
        if (
            tcp_above
            and not out.reliable
            and len(data) > tcp_above - (_GROWTH + GROWTH if looks and proxy.hooks.active else _GROWTH)
        ):
            return False
        kept = False
        if passing.credentials is not None:
            found = None if looks and hooks.request_received else keeps_credentials(core, passing, now)
            if found is None:
                return False
            kept = found
        if not self._gate.allows(flow, now):
            return True
        self._ua.now = now
        method = passing.method
        breadth = proxy.limits.max_breadth
        handle = None
        given: Any = None
        hashed = ""
        if method != "ACK":
            fields = passing.route if passing.credentials is None else "\n".join(passing.deciding)
            if len(data) != passing.size:
                # It came in two lines.
                fields = fields.replace(">, <sip:", ">\nRoute: <sip:")
            uri, number = passing.uri, passing.cseq
            hashed = _text_hash(
                proxy.loop_secret, uri, passing.from_tag, to_tag, passing.call_id, number, fields
            )
        if looks and (hooks.request_received or (hashed and proxy.hooks.active)):
            read = (read_arrived, data, flow, force_rport, kept)
            if message is None:
                message = unread_request(method, read)
            else:
                read_later(message, read)
            side = side_of(mark)
            given = core, modules, message, flow, key if hashed else "", hashed, "", far, side, now
            handle = show(given, self._gate, _arrived, passing)
            if handle is None:
                return True
        if not hashed:
            # RFC 3261 16.11: no state.
            if proxy.records.hears_acks:
                proxy.records.acknowledged(passing.call_id, passing.from_tag, to_tag)
            received = None if rport is None else host
            branch = stateless_branch(proxy.entropy, passing.branch, sent_by, received, rport)
            proxy.sender.send(
                out, passing.forwarded(f"{leaves.via};branch={branch}", noted, breadth, kept), now
            )
            return True
        branch = new_branch(proxy.entropy, hashed)
        lines = passing.from_, passing.to, passing.call_id_line, passing.cseq_line, to_tag
        via = f"{leaves.via};branch={branch}"
        sent = passing.forwarded(via, noted, breadth, kept)
        call = proxy.records.of(passing.call_id, passing.from_tag, to_tag, passing.uri)
        if proxy.bodies is not None and handle is None:
            side = side_in(passing.route, mark)
            call = proxy.bodies.ending(passing.call_id, passing.from_tag, to_tag, side, call)
        if handle is None:
            later = partial(read_arrived, data, flow, force_rport, kept)
            if by_stream:
                back = way_back(flow, sent_port)
                pair: Pair = StreamPair(proxy, method, later, lines, flow, goal, branch, back)
            else:
                pair = Pair(proxy, method, later, lines, flow, goal, branch)
            pair.be_within(far.id, hashed, breadth)
            pair.call = call
            pair.send(key, sent, b"", out, via, now)
            return True
        relay = seen_relay(proxy, handle, given, lines, flow, _AS_ASKED, branch)
        relay.be_within(far.id, hashed, breadth)
        relay.call = call
        send_seen(relay, handle, key, sent, b"", out, via, leaves, now)
        return True


def _arrived(passing: Passing) -> Arrived | None:
    """Return what decides the routing, as ``arrival.take_route`` notes it."""
    if passing.method == "ACK":
        return None
    cseq = CSeq(passing.cseq, passing.method)
    identity = passing.call_id, passing.from_tag, passing.to_tag, cseq
    return Arrived(parse_uri(passing.uri), passing.uri, identity, passing.deciding)

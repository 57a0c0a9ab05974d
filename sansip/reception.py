"""How a message comes in: found to be sound, given to its transaction, or decided on by the route.

Theory of operation: a message is read and shown to the modules. A response goes to its client transaction, a
request to its server transaction, or it is new: then the limits are looked at, a transaction is made, and the
route runs. A message that cannot be accepted gets at most one answer, leaves no state, and causes an event.

Before that, its first octets choose one quick way, which reads it in brief and makes no message of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sansip.actions import Action, Address, SendDatagram
from sansip.assembly import Assembly
from sansip.client import BriefRequest
from sansip.errors import RemoteProtocolError
from sansip.events import (
    MessageRefused,
)
from sansip.module import Reply
from sansip.proxy.loop import Arrived
from sansip.proxy.pair import Pair
from sansip.proxy.stateless import forward_stray
from sansip.proxy.usual import Usual
from sansip.quick_ways import Answers, AnswersOver, AnswersRead, Relays, Sends, SendsLocated
from sansip.routing import IncomingRequest, Route, run
from sansip.routing.arrival import screen, take_route
from sansip.routing.briefs import BEGINNINGS, Briefs
from sansip.routing.default import route as default_route
from sansip.routing.flows import looking
from sansip.routing.gate import Gate
from sansip.routing.loss import has_moved
from sansip.routing.openings import OPENING, Openings
from sansip.routing.parts import Parts
from sansip.routing.passages import PASSING, Passages
from sansip.routing.probing import alive_tag
from sansip.routing.quick_relay import QuickRelay
from sansip.routing.room import is_exempt
from sansip.routing.shared_openings import SharedOpenings
from sansip.routing.shortcut import METHODS, Shortcut
from sansip.routing.usages import FIRST_OCTETS, Usages
from sansip.siblings import Siblings
from sansip.sources import SharedRates, SourceRates, source_of
from sansip.transaction import server_key
from sansip.transaction.refusals import Refusals, acknowledges_refusal
from sansip.transport import Flow, note_source
from sansip.transport.flow import same_peer
from sansip.transport.flow_token import MARK
from sansip.transport.stun import binding_response, is_stun
from sansip.transport.transports import UDP
from sansip.ua.tags import MARK as TAG_MARK
from sansip.wire import Request, Response, parse_message, read_again
from sansip.wire.echo import Echo, read_echo
from sansip.wire.opening import Opening
from sansip.wire.unread import LAZY, UnreadRequest, UnreadResponse, unread_response

__all__ = ["Reception"]

_INVITE: Final = OPENING[0]


class Reception(Gate):
    """The way in for messages of one stack, whose parts are ``core``."""

    __slots__ = (
        "_at_hand",
        "_core",
        "_parts",
        "_retiring",
        "_siblings",
        "_transactions",
        "briefs",
        "follows_maddr",
        "force_rport",
        "openings",
        "passages",
        "quick",
        "rates",
        "refusals",
        "shortcut",
        "usages",
    )

    def __init__(self, core: Assembly, siblings: Siblings | None = None) -> None:
        config = core.config
        self._core = core
        self._parts: Parts = core
        self._retiring: dict[int, float] = core.retiring.ends
        self._transactions = core.transactions
        self._siblings = siblings
        self.rates: SourceRates
        if siblings is None:
            self.rates = SourceRates(config.limits)
        else:
            self.rates = siblings.rates = SharedRates(config.limits, partial(siblings.tell, "took"))
            siblings.received = partial(self.message_received, passed_on=True)
        self.refusals = Refusals(core.transactions.sender, core.entropy, config.server_name)
        # None: the route decides on everything, and a message is made of everything.
        shortcut = Shortcut(core)
        self.shortcut: AnswersRead | None = shortcut
        self.quick: Relays | None = QuickRelay(core)
        self.briefs: AnswersOver | None = Briefs(core, shortcut, self)
        self.usages: Answers | None = Usages(core, self.allows)
        self.passages: Sends | None = Passages(core, self)
        self.openings: Sends | None = Openings(core, self, shortcut)
        if core.nodes is not None:
            self.openings = SharedOpenings(core, self, self._located)
        self._at_hand: SendsLocated = Openings(core, self, shortcut, located=True)
        # Replaced by ``reconfigure``.
        self.force_rport: str = config.proxy.force_rport
        trusted = config.proxy.via_maddr == "trusted"
        self.follows_maddr: Callable[[Flow], bool] | None = core.is_trusted if trusted else None

    def datagram_received(self, listener: int, data: bytes, source: Address, now: float) -> list[Action]:
        """Take one datagram that ``listener`` received from ``source`` (``Stack.datagram_received``)."""
        parts = self._parts
        done = False
        if listener < 0 or data < b" ":
            done = self._is_other(listener, data, source, now)
        elif data.startswith(b"SIP/2.0 "):
            done = self._returns(data, listener, source, now)
        elif (
            parts.route is default_route
            and not parts.unstarted
            and not parts.draining
            and listener not in self._retiring
        ):
            # If it can be served at once, by what is read of it in brief.
            first = data[0]
            rport = self.force_rport
            if first in PASSING:
                done = self.passages is not None and self.passages.sends(data, listener, source, rport, now)
            elif first == _INVITE:
                done = self.openings is not None and self.openings.sends(data, listener, source, rport, now)
            elif first in BEGINNINGS:
                done = self.briefs is not None and self.briefs.answers(data, listener, source, rport, now)
            elif first in FIRST_OCTETS:
                done = self.usages is not None and self.usages.answers(data, listener, source, rport, now)
        if not done:
            self.message_received(data, Flow(UDP, listener, source), now)
        # As in ``Stack._take``: nearly every input is this one.
        if parts.connections.failed:
            self._core.settlement.settle(now)
        out = parts.out
        actions = out[:]
        out.clear()
        return actions

    def _is_other(self, listener: int, data: bytes, source: Address, now: float) -> bool:
        """Take a datagram that is no SIP, or is a query's or a module's; return whether it was."""
        core = self._core
        if listener < 0:
            if not core.sockets.datagram_received(listener, data, now) and core.resolver is not None:
                core.resolver.datagram_received(listener, data, source, now)
            return True
        # RFC 5626 8 (the first octet of STUN); SIP may come after empty lines.
        if is_stun(data):
            # A Binding request is answered, anything else that begins like STUN is dropped.
            answer = binding_response(data, source)
            if answer is not None and self.is_within_rate(Flow(UDP, listener, source), now):
                core.out.append(SendDatagram(listener, answer, source))
            return True
        # RFC 5626 3.5.1 and common practice: keepalives want no answer.
        return len(data) < 8 and not data.strip(b"\r\n\0")

    def _located(self, data: bytes, opening: Opening, flow: Flow, now: float) -> None:
        """Take an INVITE that was held while its callee was looked up; it counted against the limits."""
        core = self._core
        if not (
            self.openings is not None
            and core.route is default_route
            and self._at_hand.sends(data, flow.listener, flow.address, self.force_rport, now, None, opening)
        ):
            message = parse_message(data, core.limits, datagram=True)
            assert isinstance(message, Request)
            self.take(message, flow, now, counted=True)

    def takes_briefly(self, data: bytes, flow: Flow, now: float) -> bool:
        """Take a message that came by ``flow``, a connection, as octets, if that can be done."""
        if data.startswith(b"SIP/2.0 "):
            return self._siblings is None and self._returns_over(data, flow, now)
        core = self._core
        listener = flow.listener
        if (
            core.route is not default_route
            or core.unstarted
            or core.draining
            or listener in core.retiring.ends
        ):
            return False
        first = data[0]
        briefs = self.briefs
        if first in BEGINNINGS:
            return briefs is not None and briefs.answers(
                data, listener, flow.address, self.force_rport, now, flow
            )
        if self._siblings is not None:
            return False
        sends = self.passages if first in PASSING else self.openings if first == _INVITE else None
        return sends is not None and sends.sends(data, listener, flow.address, self.force_rport, now, flow)

    def _returns_over(self, data: bytes, flow: Flow, now: float) -> bool:
        """Send a response back that came by ``flow``, a connection, and answers a relay of octets."""
        core = self._core
        if core.unstarted or core.modules.stack_hooks.message_arrived:
            return False
        echo = read_echo(data, core.limits)
        if echo is None:
            return False
        # RFC 3261 17.1.3
        transaction = self._transactions.clients.get(echo.key)
        if transaction is None or isinstance(transaction, BriefRequest):
            return False
        pair = isinstance(transaction, Pair)
        hop = transaction.hop if pair else transaction.flow
        if hop.conn != flow.conn or hop.address[0] != flow.address[0]:
            # RFC 3261 18.1.2: not by the connection that the request left by.
            return False
        if pair:
            return bool(transaction.takes(echo, now))
        user = transaction.user
        return isinstance(user, Usual) and user.returns(transaction, echo, now)

    def _returns(self, data: bytes, listener: int, source: Address, now: float) -> bool:
        """Send a response back that came in a datagram from ``source``, if that can be done at once.

        It answers a usual relay (``proxy.usual``), or a request of ours that left as octets alone.
        """
        parts = self._parts
        looks = parts.modules.stack_hooks.message_arrived
        if parts.unstarted or (looks and not LAZY):
            return False
        echo = read_echo(data, parts.limits)
        if echo is None:
            return False
        # RFC 3261 17.1.3
        transaction = self._transactions.clients.get(echo.key)
        if transaction is None:
            return False
        if isinstance(transaction, Pair):
            if transaction.hop.address[0] != source[0] or transaction.hop.conn:
                return False
            if not looks:
                return bool(transaction.takes(echo, now))
            if not transaction.repeats(echo):
                return False
            message, flow = self._shown(data, echo, transaction.hop, listener, source)
            verdict = self._core.modules.stack_hooks.judge(message, flow, now)
            if verdict is None and not (type(message) is UnreadResponse and transaction.takes(echo, now)):
                self._response_received(message, flow, now)
            return True
        if isinstance(transaction, BriefRequest):
            # RFC 3261 18.1.2
            return not looks and transaction.hop.address[0] == source[0] and transaction.takes(echo, now)
        user, hop = transaction.user, transaction.flow
        if not isinstance(user, Usual | BriefRequest) or hop.conn or hop.address[0] != source[0]:
            return False
        if not looks:
            return user.returns(transaction, echo, now)
        if not isinstance(user, Usual) or not user.knows(transaction.method == "INVITE", echo):
            return False
        message, flow = self._shown(data, echo, hop, listener, source)
        if self.admits(message, flow, now) and not (
            type(message) is UnreadResponse
            and transaction.user is user
            and not user.done
            and user.goes(transaction, echo, now)
        ):
            self._response_received(message, flow, now)
        return True

    def _shown(
        self, data: bytes, echo: Echo, hop: Flow, listener: int, source: Address
    ) -> tuple[Response, Flow]:
        """Return a response of the host of ``hop`` that nobody has read, for modules; and its flow."""
        message = unread_response(echo.status, (read_again, data))
        known = hop.address == source and hop.listener == listener and not hop.name
        return message, hop if known else Flow(UDP, listener, source)

    def message_received(
        self, data: bytes, flow: Flow, now: float, *, datagram: bool = True, passed_on: bool = False
    ) -> None:
        """Take one whole message that came by ``flow``; ``passed_on``: another worker received it."""
        core = self._core
        if core.unstarted:
            core.start(now)
        # RFC 3261 18.3, RFC 7118 5.1: a transport with message boundaries is framed as datagrams are.
        try:
            message = parse_message(data, core.limits, datagram=datagram)
        except RemoteProtocolError as error:
            self.refuse(error, flow, now)
            return
        if self._siblings is not None and not passed_on and self._is_elsewhere(message, flow, data, now):
            return
        if core.modules.stack_hooks.message_arrived and not self.admits(message, flow, now):
            return
        if isinstance(message, Request):
            self.take(message, flow, now, passed_on)
        else:
            self._response_received(message, flow, now)

    def _is_elsewhere(self, message: Request | Response, flow: Flow, data: bytes, now: float) -> bool:
        """Pass ``message`` on if it belongs to another worker; return whether it does."""
        siblings = self._siblings
        assert siblings is not None
        if isinstance(message, Response):
            return siblings.has_response(message, flow, data)
        key = server_key(message)
        if self._transactions.find_server(key, message.method) is not None:
            return False
        if message.method == "CANCEL" and key in self._transactions.servers:
            return False
        if not siblings.has_request(message, key, flow, data, now):
            return False
        if not self.is_within_rate(flow, now):
            # Nobody sends more to the others through here than he may send.
            siblings.take_back()
            self._core.notices.reached("source_rate", flow.host, now)
        return True

    def admits(self, message: Request | Response, flow: Flow, now: float) -> bool:
        """Show ``message`` to modules as it arrives; return whether it may go on."""
        verdict = self._core.modules.stack_hooks.judge(message, flow, now)
        if verdict is not None:
            self.turn_away(message, flow, verdict, now)
        return verdict is None

    def turn_away(self, message: Request | Response, flow: Flow, verdict: Reply | bool, now: float) -> None:
        """Drop ``message``, or answer it, as modules want."""
        if isinstance(verdict, Reply) and isinstance(message, Request):
            self._reply_statelessly(message, flow, verdict, now)

    def _reply_statelessly(self, request: Request, flow: Flow, reply: Reply, now: float) -> None:
        if request.method != "ACK":
            back = note_source(request, flow, self.force_rport)
            self.refusals.send(request, back, reply.status, reply.reason, now, reply.headers)

    def _response_received(self, response: Response, flow: Flow, now: float) -> None:
        core = self._core
        # RFC 3261 18.1.2: a top Via that is not ours means it is not for us.
        if not core.listeners.is_own_sent_by(response.via.sent_by):
            return
        transaction = self._transactions.find_client(response)
        if transaction is None:
            if not core.modules.stack_hooks.takes_stray(response, flow, now):
                forward_stray(core.proxy, response, flow, now)
            return
        hop = transaction.flow
        elsewhere = flow.conn != hop.conn or flow.address[0] != hop.address[0]
        if (elsewhere and has_moved(core, transaction, flow, now)) or self._comes_from(
            hop, flow, response, "RFC 3261 18.1.2"
        ):
            self._transactions.response_received(transaction, response, now)

    def take(self, request: Request, flow: Flow, now: float, counted: bool = False) -> None:
        """Take a request that modules have admitted; ``counted``: its sender's rate has it already."""
        core = self._core
        method = request.method
        key = server_key(request)
        transactions = self._transactions
        transaction = transactions.find_server(key, method)
        if transaction is not None and not (method == "ACK" and transaction.state == "accepted"):
            transaction.feed("ACK" if method == "ACK" else "request", request, now)
            return
        if not counted and not self.allows(flow, now):
            return
        back = note_source(request, flow, self.force_rport, self.follows_maddr)
        if method == "ACK":
            if acknowledges_refusal(request, key, core.entropy):
                return
            if (
                self.quick is not None
                and core.route is default_route
                and self.quick.relays(request, key, back, flow, now)
            ):
                return
            # RFC 3261 13.2.2.4: the ACK for a 2xx is a transaction of its own.
            self._decide(IncomingRequest(core, request, flow, None, now), now)
            return
        if transactions.full:
            core.notices.reached("transactions", flow.host, now)
            self.refusals.send(request, back, 503, None, now, [("Retry-After", "5")])
            return
        if core.route is default_route and not core.draining and flow.listener not in core.retiring.ends:
            if (
                method in METHODS
                and self.shortcut is not None
                and self.shortcut.answers(request, key, back, flow, now)
            ):
                return
            if self.quick is not None and self.quick.relays(request, key, back, flow, now):
                return
        handle = IncomingRequest(core, request, flow, None, now)
        server = transactions.open_server(key, method, back, handle)
        handle.server = server
        if method == "CANCEL":
            invite = transactions.server_at(key)
            if invite is not None and invite.method != "CANCEL":
                if self._comes_from(invite.flow, flow, request, "RFC 3261 9.2"):
                    self._cancel(handle, invite, now)
                else:
                    # RFC 3261 9.2: as if there were no such transaction.
                    handle.refuse(481)
                return
        elif method == "OPTIONS" and core.nodes is not None and (tag := alive_tag(core.nodes, request)):
            # Another node, which may not be in the shared location.
            handle.take_tag(tag)
            handle.reply(200)
            return
        elif (
            (core.draining or flow.listener in core.retiring.ends)
            and request.to_tag is None
            and not self._stays(request, flow)
        ):
            # RFC 3261 21.5.4
            handle.reply(503, None, [("Retry-After", "30")])
            return
        self._decide(handle, now)

    def allows(self, flow: Flow, now: float) -> bool:
        """Whether the sender at ``flow`` may send one more request; if not, tell so."""
        host = flow.address[0]
        # As in ``is_within_rate``: this is asked of nearly every request.
        if (
            not self._parts.limits.source_rate
            or self.rates.allow(source_of(host) if ":" in host else host, now)
            or is_exempt(self._core, flow)
        ):
            return True
        self._core.notices.reached("source_rate", flow.host, now)
        return False

    def is_within_rate(self, flow: Flow, now: float) -> bool:
        """Whether the sender at ``flow`` keeps to ``limits.source_rate``, or need not."""
        core = self._core
        return (
            not core.limits.source_rate
            or self.rates.allow(source_of(flow.address[0]), now)
            or is_exempt(core, flow)
        )

    def _stays(self, request: Request, flow: Flow) -> bool:
        """Whether a draining node is the only one that can serve ``request``, and does so still."""
        core = self._core
        if core.nodes is None or not core.nodes.lingering:
            return False
        if flow.conn and core.location.aors_of(flow):
            # A phone that registered over this connection; others find another node.
            return True
        # Another node's, for a phone whose connection is here; whether the token is
        # one is found out when it is followed.
        route = request.first_line("route")
        return route is not None and f":{MARK}" in route

    def _decide(self, handle: IncomingRequest, now: float) -> None:
        core = self._core
        core.ua.now = now
        try:
            take_route(handle)
            screen(handle)
        except RemoteProtocolError as error:
            # RFC 3261 8.2.7: a sender that has proved nothing gets one answer for each copy.
            handle.refuse(error.status, error.reason)
            return
        tag = handle.message.to_tag
        if tag is not None and tag.startswith(TAG_MARK) and self._within_call(handle, now):
            return
        lost = handle.flows is not None and handle.flows.lost is not None
        route = looking(core.route) if lost else core.route
        if core.modules.stack_hooks.request_received:
            before = core.modules.stack_hooks.before(route, handle)
            if before is None:
                return
            route = before
        self._run(route, handle, now)

    def is_left(
        self,
        handle: IncomingRequest,
        before: Route | None,
        arrived: Callable[[], Arrived | None],
        now: float,
    ) -> bool:
        """Whether a new request that modules have seen is left to a quick way, unread.

        If not, everything has been done. ``before``: what decides on it, as ``StackHooks.before`` says.
        """
        if (
            before is default_route
            and type(handle.message) is UnreadRequest
            and not handle.decided
            # What a module may have said of the relay without a look at the message.
            and handle.follows is None
            and handle.flows is None
        ):
            return True
        if before is not None:
            handle.arrived = arrived()
            self._run(before, handle, now)
        return False

    def _run(self, route: Route, handle: IncomingRequest, now: float) -> None:
        core = self._core
        if (
            route is default_route
            and self.quick is not None
            and not core.draining
            and handle.flow.listener not in core.retiring.ends
            and self.quick.decides(handle, now)
        ):
            return
        run(route, handle, now)

    def _comes_from(self, hop: Flow, flow: Flow, message: Request | Response, section: str) -> bool:
        """Whether a message that came by ``flow`` is of the host at ``hop`` (``ProxyConfig.same_hop``)."""
        core = self._core
        if hop.address[0] == flow.address[0] or not core.config.proxy.same_hop:
            return True
        if same_peer(hop, flow) or core.is_trusted(flow):
            return True
        what, status = ("a CANCEL", 481) if isinstance(message, Request) else ("a response", 0)
        reason = f"{what} from elsewhere than {hop.host} (proxy.same_hop)"
        core.notify(MessageRefused(str(flow), status, reason, section))
        return False

    def _within_call(self, handle: IncomingRequest, now: float) -> bool:
        """Whether the request belongs to a call of ours, or to one that is over."""
        try:
            return self._core.ua.takes(handle, now)
        except RemoteProtocolError as error:
            handle.refuse(error.status, error.reason)
            return True

    def _cancel(self, handle: IncomingRequest, invite: Any, now: float) -> None:
        # RFC 3261 9.2: 200 for the CANCEL, with the To tag that an answer to the
        # INVITE from here has; the INVITE gets 487 if it still can.
        if invite.user is not None:
            handle.take_tag(invite.user.local_tag())
        handle.reply(200)
        if not invite.answered and invite.user is not None and invite.method == "INVITE":
            reason = handle.message.get("reason")
            invite.user.cancel(now, reason)

    def refuse(self, error: RemoteProtocolError, flow: Flow, now: float) -> None:
        """Answer what could not be accepted, if it is a request that can be answered."""
        message = error.message
        status = 0
        if isinstance(message, Request) and message.method != "ACK" and error.status:
            try:
                back = note_source(message, flow, self.force_rport, self.follows_maddr)
            except RemoteProtocolError:
                back = None
            if back is not None and self.is_within_rate(flow, now):
                status = error.status
                self.refusals.send(message, back, status, error.reason, now)
        self._core.notify(MessageRefused(str(flow), status, error.reason, error.section))

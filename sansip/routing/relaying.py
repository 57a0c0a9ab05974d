"""Relaying, as a route asks for it: the request goes on to its targets, with or without state.

Theory of operation: ``relay`` finds the targets, refuses a request that may not leave, and hands the others
to the proxy. A response context takes the request; a request that gets no response (an ACK) or needs no state
goes without one. The notes of earlier verbs in the handle go with it: Record-Route, Path, the dialog's mark,
the accounts to answer challenges with.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from sansip.auth import Account
from sansip.proxy import ResponseContext, Target, inherited
from sansip.proxy.beginning import relay_usual
from sansip.proxy.budget import Budget
from sansip.proxy.flow_tokens import came_token
from sansip.proxy.forwarding import Forwarding
from sansip.proxy.recording import Recording, recording_of
from sansip.proxy.relayed import record_of
from sansip.proxy.secure import NOT_ALLOWED, followable
from sansip.proxy.stateless import forward_stateless
from sansip.proxy.target import targets_of
from sansip.routing.admission import too_many
from sansip.routing.arrival import routing_hash
from sansip.routing.awaitables import ENDLESS, Endless
from sansip.routing.identity import withhold
from sansip.routing.lookup import locate_at_hand, names_gruu
from sansip.routing.reaching import may_reach
from sansip.sources import source_of
from sansip.wire.unread import LAZY

if TYPE_CHECKING:
    from sansip.proxy.usual import Usual
    from sansip.routing.incoming import Incoming
    from sansip.transaction import ServerTransaction
    from sansip.wire import Response, SipUri

__all__ = ["DIALOG_METHODS", "Relay", "relay"]

# RFC 3261 12.1, RFC 6665, RFC 3515: requests that make or refresh a dialog.
DIALOG_METHODS = frozenset(("INVITE", "SUBSCRIBE", "NOTIFY", "REFER", "UPDATE"))


class Relay:
    """A request on its way. Awaiting it gives the best failure to the route.

    If the route does not await it, a failure goes back to the caller by itself. If the route awaits it, the
    value is the response. A 2xx has gone back already. After a failure the route decides: ``reply``,
    ``relay`` again (serial forking, a failure route in Kamailio's words), or return to send it back as it is.
    The value is None if no response comes back: for an ACK, or a request that was forwarded without state.
    """

    __slots__ = ("_context", "_endless", "_usual")

    def __init__(
        self, context: ResponseContext | None, endless: bool = False, usual: Usual | None = None
    ) -> None:
        self._context = context
        self._usual = usual
        # One step too many: nothing was relayed, and to await it ends the route.
        self._endless = endless

    @property
    def context(self) -> ResponseContext | None:
        """What the outcome comes from; None where none will come."""
        return self._context if self._usual is None else self._usual.context

    def __await__(self) -> Generator[Relay | Endless, Any, Response | None]:
        if self._endless:
            yield ENDLESS
        context = self.context
        if context is None:
            return None
        if context.done:
            return context.outcome
        # A relay that failed at once has its failure already.
        outcome: Response | None = context.failure
        if outcome is None:
            outcome = yield self
        return outcome


def relay(
    request: Incoming,
    targets: Sequence[Target | SipUri | str] | Target | SipUri | str | None = None,
    *,
    stateless: bool = False,
    credentials: Account | Sequence[Account] | None = None,
    ring: float | None = None,
    answer: float | None = None,
) -> Relay:
    """Forward ``request``; ``IncomingRequest.relay`` says what the arguments mean."""
    if request.takes_too_many_steps():
        # Not an exception: a loop that catches it would go on.
        return Relay(None, endless=True)
    chosen = targets_of(targets)
    proxy = request.core.proxy
    message = request.message
    if (
        targets is None
        and ";gr" in message.uri_text
        and names_gruu(request.core, message.uri)
        and (found := locate_at_hand(request, message.uri))
    ):
        # RFC 5627 6.1: within a dialog, too, it leads to where its device is now.
        chosen = found
    elif targets is None and request.flows is not None and request.flows.target is not None:
        chosen = [request.flows.target]
    elif targets is None and proxy.client.guarded.active and may_reach(request):
        chosen = [Target(chosen=True)]
    if message.max_forwards == 0:
        # RFC 3261 16.3 step 3 holds for a route that did not validate, too.
        request.reply(483)
        return Relay(None)
    server = request.server
    if message.uri.scheme == "sips" and not (chosen := followable(chosen)):
        # RFC 5630 5.3: a request for a sips URI must not leave for a sip URI.
        request.reply(480, None, [NOT_ALLOWED])
        return Relay(None)
    if server is not None and server.answered:
        # The caller gave up while the route was waiting: RFC 3261 9.2.
        return Relay(request.context)
    if "proxy-authorization" in message.keys or (request.core.bearer and "authorization" in message.keys):
        withhold(request)
    shifts = proxy.shifts
    marked = shifts.read(request.marked, message) if request.marked else 0
    if server is None or (stateless and not marked and request.path is None):
        if marked or shifts.steps:
            added = shifts.of(message, marked)
            if added:
                # No response comes back that would have to be translated.
                shifts.apply(message, marked, added)
        record = _recorded_as(request) if request.record else None
        forward_stateless(proxy, message, request.flow, chosen[0], record, request.now, request.leaves)
        if server is not None:
            server.abandon(request.now)
        request.decided = True
        return Relay(None)
    context = request.context
    if context is None:
        hashed = routing_hash(request)
        counted = None
        if not (request.in_dialog and (request.from_dialog or request.over_flow)):
            counted = (source_of(request.flow.host), request.asked)
            if too_many(request, *counted):
                return Relay(None)
        budget = None
        if request.returned:
            budget = inherited(message, request.core.listeners, proxy.transactions)
        if (
            len(chosen) == 1
            and not (proxy.client.auth.accounts or marked or shifts.steps)
            and (LAZY or not proxy.hooks.active)
            and request.follows is None
            and credentials is None
            and ring is None
            and answer is None
            and request.path is None
        ):
            usual = relay_usual(
                proxy,
                message,
                request.flow,
                server,
                chosen[0],
                leaves=request.flow.listener if request.leaves is None else request.leaves.id,
                hashed=hashed,
                budget=budget,
                counted=counted,
                recording=_recorded_as(request),
                records=request.record,
                wants_flow=request.flows is not None and request.flows.wants_flow,
                now=request.now,
                handle=request if proxy.hooks.active else None,
                proven=_is_proven(request),
            )
            if usual is not None:
                if usual.became is not None:
                    # A module looked into it, or holds it.
                    return Relay(usual.became)
                request.decided = True
                request.usual = usual
                return Relay(None, usual=usual)
        context = _open_context(request, server, hashed, budget, counted)
    # Only now: after an exception before this line, the request can still be answered.
    request.decided = True
    forwarding = context.forwarding
    recording = _recorded_as(request)
    forwarding.recording = recording
    forwarding.record_route = recording if request.record else None
    forwarding.path = request.path
    forwarding.follows = request.follows
    if credentials is not None or proxy.client.auth.accounts or marked or shifts.steps:
        _authenticate_to(request, forwarding, credentials, marked)
    if request.record:
        wanted = request.flows is not None and request.flows.wants_flow
        forwarding.came = came_token(proxy, message, request.flow, wanted)
    context.relay(chosen, request.now, ring, answer)
    return Relay(context)


def _open_context(
    request: Incoming,
    server: ServerTransaction,
    hashed: str,
    budget: Budget | None,
    counted: tuple[str, str] | None,
) -> ResponseContext:
    """Return the new response context of ``request``."""
    proxy = request.core.proxy
    if budget is None:
        budget = Budget(proxy.limits.branches_in_all)
    listener = request.flow.listener
    leaves = listener if request.leaves is None else request.leaves.id
    forwarding = Forwarding(
        request.message, request.flow, hashed, budget, request.method == "INVITE", listener, leaves
    )
    context = request._context = ResponseContext(proxy, forwarding, server)
    if counted is not None:
        proxy.pending.add(*counted)
        context.counted = counted
    if proxy.hooks.active:
        forwarding.handle = request
    forwarding.call = record_of(
        proxy.records,
        request.message,
        request.flow,
        _is_proven(request),
        request.now,
        seen=proxy.hooks.active,
    )
    server.user = context
    return context


def _is_proven(request: Incoming) -> bool:
    """Whether a BYE is of its dialog, as far as this node can tell."""
    return request.from_dialog or not request.core.proxy.config.dialog_tokens


def _authenticate_to(
    request: Incoming,
    forwarding: Forwarding,
    credentials: Account | Sequence[Account] | None,
    marked: int,
) -> None:
    """Have challenges of the next hop answered, and its view of CSeq kept."""
    given = [credentials] if isinstance(credentials, Account) else credentials
    forwarding.accounts = given or ()
    forwarding.marked = marked
    if request.method in DIALOG_METHODS and not request.in_dialog:
        forwarding.record_if_raised = forwarding.recording


def _recorded_as(request: Incoming) -> Recording | None:
    """Return the Record-Route content for the dialog that this makes or refreshes, None if it has none."""
    if request.method in DIALOG_METHODS and request.recording is None:
        core = request.core
        proxy = core.proxy
        message = request.message
        marks = proxy.marks if proxy.config.dialog_tokens else None
        caller = proxy.trust.sender(message.from_.uri, request.flow.host)
        callee = proxy.trust.user(message.to.uri)
        guarded = proxy.client.guarded
        request.recording = recording_of(
            marks,
            message,
            core.wall.unix(request.now),
            caller,
            callee,
            guarded=guarded.active and guarded.sent(request.flow),
        )
    return request.recording

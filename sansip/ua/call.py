"""A call: one dialog with a session in it, as its holder uses it.

Theory of operation: ``sansip.dialog.InviteUsage`` returns effects, and a call performs them: answers go
through the transaction of the request, requests through ``sansip.client``, events to the call's ``handler``.
Verbs return a ``Later``: a coroutine awaits it, other code need not. A call is found by its dialog, and by
its number, which programs outside of the core use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.dialog import (
    Acknowledged,
    Answered,
    End,
    Ended,
    Offered,
    Pracked,
    Progressed,
    Received,
    Respond,
    Send,
    SendAck,
    Tell,
)
from sansip.errors import LocalProtocolError
from sansip.later import Later
from sansip.transport.flow import Flow
from sansip.ua.acks import Acks
from sansip.ua.call_requests import Requests, settle
from sansip.ua.errors import CallEnded
from sansip.ua.home import leads_home, way_home
from sansip.ua.referral import Referral, take_notify, transfer
from sansip.ua.sdp import typed, with_direction
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.dialog import Dialog, InviteUsage
    from sansip.transport import Listener
    from sansip.transport.next_hop import NextHop
    from sansip.ua.owner import Owner
    from sansip.wire import Request, Response, Uri

__all__ = ["Call", "CallHandler"]

_REPLACED: Final = 'SIP;cause=200;text="Replaced"'


class CallHandler(Protocol):
    """Answers the requests of a call's peer; ``sansip.ua.Handler`` does it as a phone would."""

    def offered(self, call: Call, offer: Offered, now: float) -> None: ...
    def received(self, call: Call, received: Received, now: float) -> None: ...
    def progressed(self, call: Call, progress: Progressed, now: float) -> None: ...
    def answered_with_offer(self, call: Call, response: Response, now: float) -> None: ...
    def acknowledged(self, call: Call, ack: Request | None, now: float) -> None: ...
    def pracked(self, call: Call, request: Request, now: float) -> None: ...
    def cancelled(self, call: Call, owner: Any, now: float) -> None: ...
    def partner(self, call: Call) -> Call | None: ...
    def hang_up(self, call: Call, reason: str | None) -> None: ...
    # ``incoming`` is a ``sansip.ua.IncomingCall``.
    def replaced(self, call: Call, incoming: Any, now: float) -> bool: ...
    def ended(self, call: Call, reason: str, message: Request | Response | None, now: float) -> None: ...


class Cancellable(Protocol):
    """An INVITE of ours (``sansip.ua.OutgoingCall``)."""

    def cancel(self, reason: str | None = None) -> None: ...


class Call:
    """One call, early or confirmed, whichever side began it.

    Attributes:
        number: its name among the calls of this stack.
        dialog: ids, route set, targets (``sansip.dialog.Dialog``).
        local_sdp, remote_sdp: the descriptions that hold, b"" before there is one; the peer's also where it
            is beyond ``limits.session_size``.
        handler: answers the requests of the peer.
        ended: why it is over, "" while it lasts.
        over: awaits its end; the value is the reason.
        since: when it was answered, on either side; None before.
        home: the flow that a stranger called by, None where the caller is known (``sansip.ua.home``).
        peer: the flow that the request or response which began it came by.
    """

    __slots__ = (
        "_acks",
        "_hop",
        "_requests",
        "agent",
        "any_body",
        "dialog",
        "due",
        "ended",
        "handler",
        "home",
        "invitation",
        "local_sdp",
        "number",
        "over",
        "owes_ack",
        "peer",
        "referrals",
        "remote_sdp",
        "since",
        "source",
        "transfers",
        "usage",
    )

    def __init__(self, agent: Owner, usage: InviteUsage, hop: Flow | None, handler: CallHandler) -> None:
        self.agent = agent
        self.usage = usage
        self.dialog: Dialog = usage.dialog
        # The flow that requests go over where the peer cannot be reached by its Contact.
        self._hop = hop
        self.home: Flow | None = None
        self.peer: Flow | None = None
        self.handler = handler
        # Our INVITE that began it, while it may still be cancelled.
        self.invitation: Cancellable | None = None
        self.number = agent.next_number()
        self.local_sdp = self.remote_sdp = b""
        self.ended = ""
        self.over: Later[str] = Later()
        self.since: float | None = None
        # Whether bodies are another's business: those of a bridge.
        self.any_body = False
        # The stranger's address that it counts for, if a stranger called.
        self.source: Any = None
        # Whether it counts as one that has our 2xx and no ACK (``Strangers.owes_ack``).
        self.owes_ack = False
        self._acks = Acks()
        self._requests = Requests(self)
        # REFERs of ours that the peer has not told the end of, and how many of its own were followed.
        self.referrals: list[Referral] = []
        self.transfers = 0
        # When the agent looks at this call again (``UserAgent.time_passed``).
        self.due: float | None = None

    # --- actions of the call's holder

    def bye(self, *, reason: str | None = None) -> Later[Response]:
        """Hang up (RFC 3261 15.1.1). ``reason``: a Reason field (RFC 3326), ``Q.850;cause=16``."""
        headers = [] if reason is None else [("Reason", reason)]
        return self._requests.ask(lambda now, later: self.usage.bye(headers, now, later))

    def hang_up(self, reason: str | None = None) -> None:
        """End it in the way that is possible now, and the call connected with it (``Handler.hang_up``)."""
        self.handler.hang_up(self, reason)

    def give_way(self) -> None:
        """Another call has taken its place (RFC 3891 3): CANCEL while it rings, else BYE."""
        if self.dialog.state == "early" and self.invitation is not None:
            self.invitation.cancel(_REPLACED)
        else:
            self.bye(reason=_REPLACED)

    def reinvite(self, sdp: bytes | None = None, headers: Iterable[tuple[str, str]] = ()) -> Later[Response]:
        """Offer a changed session (RFC 3261 14.1); None offers what holds already."""
        body = self.local_sdp if sdp is None else sdp
        fields = typed(body, headers)
        return self._requests.offer(body, lambda now, later: self.usage.invite(body, fields, now, later))

    def cancel_reinvite(self, reason: str | None = None) -> None:
        """Give up a re-INVITE (RFC 3261 9.1, 14.1); the answer, a 487 or a 2xx that crossed, still comes."""
        key = self.usage.withdraw()
        if isinstance(key, Later):
            key.set(LocalProtocolError("the re-INVITE was given up before it left"), self.agent.now)
        elif self._requests.inviting is not None:
            self._requests.inviting.cancel(self.agent.now, reason)

    def update(self, sdp: bytes | None = None, headers: Iterable[tuple[str, str]] = ()) -> Later[Response]:
        """Offer a changed session by UPDATE (RFC 3311), before the call is answered as well."""
        body = self.local_sdp if sdp is None else sdp
        fields = typed(body, headers)
        return self._requests.offer(body, lambda now, later: self.usage.update(body, fields, now, later))

    def hold(self) -> Later[Response]:
        """Put the peer on hold (RFC 3264 8.4)."""
        return self.reinvite(with_direction(self.local_sdp, "sendonly"))

    def resume(self) -> Later[Response]:
        """Talk again."""
        return self.reinvite(with_direction(self.local_sdp, "sendrecv"))

    def info(self, body: bytes = b"", content_type: str = "", package: str = "") -> Later[Response]:
        """Send an INFO, with a body of an Info-Package where one is named (RFC 6086)."""
        headers = [("Info-Package", package)] if package else []
        return self.request("INFO", headers, body, content_type)

    def message(self, text: str, content_type: str = "text/plain;charset=utf-8") -> Later[Response]:
        """Send text within the call (RFC 3428 4)."""
        return self.request("MESSAGE", (), text.encode(), content_type)

    def refer(self, to: str, headers: Iterable[tuple[str, str]] = ()) -> Later[Response]:
        """Ask the peer to call ``to`` (RFC 3515), a URI; a 2xx only says that it will try."""
        return self.request("REFER", [("Refer-To", f"<{to}>"), *headers])

    def transfer(
        self, to: str = "", *, replaces: Call | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> Later[int]:
        """Have the peer call ``to``, a URI, and hear how that went: the ``Later`` is the final status.

        With ``replaces``, a call of ours, the peer takes our place in it (RFC 5589 7); ``to`` is by default
        the URI of that call's other side. The status is 408 if the peer stops reporting. The ``Later`` raises
        ``RequestRefused`` if the peer does not even try, and ``CallEnded`` if it hangs up before it reported
        the end. This method hangs up no call.
        """
        return transfer(self, to, replaces, headers)

    def request(
        self,
        method: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        content_type: str = "",
    ) -> Later[Response]:
        """Send any other request within the call."""
        fields = [*headers, *([("Content-Type", content_type)] if content_type else [])]
        return self._requests.ask(
            lambda now, later: self.usage.request(method, fields, body, now), unkeyed=True
        )

    def answer(
        self,
        wish: Offered | Received,
        status: int,
        body: bytes = b"",
        headers: Iterable[tuple[str, str]] = (),
        *,
        now: float | None = None,
    ) -> None:
        """Answer what ``handler`` was told of: a re-INVITE, an UPDATE, an INFO, a REFER."""
        fields = list(headers)
        if isinstance(wish, Offered):
            fields = typed(body, fields)
            if 200 <= status < 300 and body:
                self.local_sdp = body
                if wish.message.body:
                    self.heard(wish.message.body)
        at = self.agent.now if now is None else now
        self._do(lambda: self.usage.answer(wish.owner, status, body, fields, at), at)

    def acknowledge(
        self, body: bytes = b"", headers: Iterable[tuple[str, str]] = (), *, now: float | None = None
    ) -> None:
        """Acknowledge a 2xx that held an offer; ``body`` is our answer (RFC 3261 13.2.2.4)."""
        at = self.agent.now if now is None else now
        if body:
            self.local_sdp = body
        self._do(lambda: self.usage.acknowledge(body, typed(body, headers), at), at)

    def prack(self, progress: Progressed, body: bytes, *, now: float | None = None) -> None:
        """Answer the offer of a reliable provisional response (RFC 3262 5)."""
        at = self.agent.now if now is None else now
        self.local_sdp = body
        fields = typed(body, ())
        self._do(lambda: self.usage.prack(progress.request, progress.response, body, fields, at), at)

    def _do(self, wish: Callable[[], list[Any]], now: float) -> None:
        """Have the usage do an action that may not be possible any longer."""
        try:
            effects = wish()
        except LocalProtocolError:
            # The peer was faster: the request or session in question is over.
            return
        self.perform(effects, now)

    def heard(self, body: bytes) -> None:
        """Keep the peer's description; one beyond ``limits.session_size`` is not kept."""
        fits = len(body) <= self.agent.limits.session_size
        if not fits:
            self.agent.notices.reached("session_size", self.dialog.id.call_id, self.agent.now)
        self.remote_sdp = body if fits else b""

    @property
    def remote_tag(self) -> str:
        """The peer's tag."""
        return self.dialog.id.remote_tag

    @property
    def is_confirmed(self) -> bool:
        """Whether the call was answered and lasts."""
        return not self.ended and self.dialog.state == "confirmed"

    # --- where it is reached

    def reach_by_contact(self) -> None:
        """Send requests where the peer's Contact says from now on, and not over the flow that it called
        by."""
        self._hop = None

    def move(self, contact: SipUri, listener: Listener, at: float, now: float) -> None:
        """Be reached at ``contact``, of ``listener``, and tell the peer at ``at``."""
        try:
            self.usage.move(contact, at)
        except LocalProtocolError:
            # RFC 3261 12.2.1.1: no listener for TLS is left, and this dialog needs one.
            return
        hop = self._hop
        if hop is not None and not hop.reliable and hop.transport == listener.transport:
            self._hop = Flow(hop.transport, listener.id, hop.address, name=hop.name)
        elif hop is not None and not hop.reliable:
            self._hop = None
        self.agent.watch(self, now)

    # --- effects of the usage

    def perform(self, effects: Sequence[Any], now: float, asked: Later[Response] | None = None) -> None:
        """Do what ``usage`` returned, in order; ``asked`` awaits the answer to the request among it."""
        for effect in effects:
            match effect:
                case Respond():
                    effect.owner.respond(effect.response, now)
                case Send():
                    self._requests.send(effect.request, asked, self.hop, now)
                case SendAck():
                    self._acks.send(effect, self.agent.client, self.hop, now)
                case Tell():
                    self._told(effect.event, now)
                case End():
                    self.agent.forget(self)
        self.agent.watch(self, now)

    @property
    def hop(self) -> Flow | NextHop | Uri | None:
        """Where requests go first; None: as Route and Request-URI say."""
        routes = self.dialog.route_set
        home = self.home
        if home is not None and not leads_home(routes[0].uri if routes else self.dialog.remote_target, home):
            return way_home(self.agent.client, home)
        if routes:
            first = routes[0].uri
            # RFC 3261 12.2.1.1: a strict router stands in the Request-URI, and is the next hop.
            return None if isinstance(first, SipUri) and first.is_loose_router else first
        return self._hop

    def _told(self, event: Any, now: float) -> None:
        handler = self.handler
        match event:
            case Offered():
                handler.offered(self, event, now)
            case Received():
                if not (event.request.method == "NOTIFY" and take_notify(self, event, now)):
                    handler.received(self, event, now)
            case Progressed():
                handler.progressed(self, event, now)
            case Answered():
                if self.since is None and self.dialog.state == "confirmed":
                    self.since = now
                if event.offer:
                    handler.answered_with_offer(self, event.response, now)
                if event.key is not None:
                    settle(event.key, event.response, now)
            case Acknowledged():
                if self.since is None:
                    self.since = now
                if event.ack is not None and event.ack.body:
                    self.heard(event.ack.body)
                handler.acknowledged(self, event.ack, now)
            case Pracked():
                if event.request.body:
                    self.heard(event.request.body)
                handler.pracked(self, event.request, now)
            case Ended():
                self._ended(event.reason, event.message, now)

    def _ended(self, reason: str, message: Request | Response | None, now: float) -> None:
        """The session is over; the usage may still have a BYE on its way."""
        if self.ended:
            return
        self.ended = reason
        if reason != "hung up":
            self._requests.end(reason, now)
        for referral in list(self.referrals):
            referral.call_ended(CallEnded(reason), now)
        self.handler.ended(self, reason, message, now)
        self.over.set(reason, now)

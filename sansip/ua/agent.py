"""The user agent of a stack: requests of our own, calls out and in (RFC 3261 8, 13, 15).

Theory of operation: dialogs of ours are known by their ids. A request within one of them goes to the call,
and never reaches the route. A request whose To tag is ours and belongs to no dialog gets a 481 (12.2.2). Out
of dialogs, the route decides which calls are for us, by ``request.incoming()``. The calls there are stand in
its ``Book``. Everything here follows from the stack's inputs, so a replay does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sansip.dialog import InviteUsage, Refusal, id_at_uas, session_refusal
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.later import Later
from sansip.sources import source_of
from sansip.transport.nat import is_private
from sansip.transport.transports import ONE_WAY, SECURE, UDP
from sansip.ua.book import Book
from sansip.ua.call import Call, CallHandler
from sansip.ua.config import UserAgentConfig
from sansip.ua.contact import contact_of
from sansip.ua.drafting import Identity, drafted
from sansip.ua.errors import CallRefused
from sansip.ua.handler import Handler
from sansip.ua.incoming import IncomingCall
from sansip.ua.merged import Merged
from sansip.ua.moving import move
from sansip.ua.outgoing import OnProgress, OutgoingCall
from sansip.ua.replacing import replaced_by
from sansip.ua.request import Asking, Destination, hidden_way
from sansip.ua.screening import EXTENSIONS, capabilities, screen
from sansip.ua.sdp import typed
from sansip.ua.tags import MARK, Tags
from sansip.ua.transferee import Transferee
from sansip.ua.within import Within
from sansip.wire import Request, Response, SipUri, response_to

if TYPE_CHECKING:
    from sansip.auth import Account
    from sansip.client import Client
    from sansip.entropy import Entropy
    from sansip.limits import Limits
    from sansip.notices import LimitNotices
    from sansip.transaction import TimerValues
    from sansip.transport import Flow, Listeners
    from sansip.ua.arrival import Arrival

__all__ = ["UserAgent"]


class UserAgent(Book):
    """Sends requests, makes and takes calls. One for each stack: ``stack.ua``, ``core.ua`` in modules.

    Attributes:
        now, calls, outgoing, numbered, strangers: see ``sansip.ua.book``.
        tell: takes events (``sansip.events``) and the time.
        draining: whether new calls are refused.
    """

    def __init__(
        self,
        config: UserAgentConfig,
        client: Client,
        listeners: Listeners,
        values: TimerValues,
        limits: Limits,
        entropy: Entropy,
        secret: Entropy,
        notices: LimitNotices,
        domain: str,
    ) -> None:
        super().__init__(limits)
        self.config = config
        self.client = client
        self.listeners = listeners
        self.limits = limits
        self.notices = notices
        self.tell: Callable[[Any, float], None] = _nobody
        self.draining = False
        # Calls of this server at its other workers (``sansip.sums``).
        self.elsewhere = 0
        # Until when peers may not have heard that we are no longer where they knew us.
        self.moving_until = 0.0
        self._values = values
        self._entropy = entropy
        self._tags = Tags(secret, entropy)
        self._merged = Merged()
        self._domain = domain

    @property
    def extensions(self) -> tuple[str, ...]:
        """The option tags that calls of ours support."""
        return EXTENSIONS if self.config.replaces != "nobody" else EXTENSIONS[:-1]

    def configure(self, config: UserAgentConfig, values: TimerValues, domain: str) -> None:
        """Go by these from now on; calls that run keep their session timers."""
        self.config = config
        self._values = values
        self._domain = domain

    def listeners_changed(self, now: float) -> None:
        """Tell the peers of calls that came in, or went out, by a listener that is gone where we are now."""
        self.now = now
        last = move(self.calls.values(), self.listeners, now)
        if last > now:
            self.moving_until = last + self._values.t1x64

    def handler(self) -> Handler:
        """Return what answers the peers of calls for which no handler is given."""
        return Transferee(self) if self.config.transfers == "accept" else Handler()

    # --- requests out of dialogs, and calls

    def request(
        self,
        method: str,
        uri: Destination,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        *,
        from_: str = "",
        to: str = "",
        accounts: Sequence[Account] | None = None,
        within: float | None = None,
        token: str = "",
        identity: Identity | None = None,
    ) -> Later[Response]:
        """Send one request that makes no dialog; the ``Later`` is its final response, whatever it says.

        If no answer comes, a 408 or 503 is made here. ``uri``: a URI, or a target that ``locate`` returned.
        ``within``: seconds to wait, 64*T1 by default. ``token``: 16 secret digits that take the place of
        chance in tag and branch. A server that was killed sends with the same token and Call-ID once more,
        and over UDP the receiver, if it had answered in the last 32 s, takes it for a repetition (RFC 3261
        17.2.2, 17.2.3). ``identity``: of a request that is kept and carried on later, as a proxy would have
        done at once. Raises ``LocalProtocolError`` for a value that cannot be written, and for INVITE,
        which ``invite`` sends.
        """
        if method in ("INVITE", "ACK", "CANCEL"):
            raise LocalProtocolError(f"request sends no {method}; call invite")
        request, hop = self._build(method, uri, headers, body, from_, to, token, identity)
        asking = Asking(self)
        # A target says whether this node chose it; a URI is the choice of the one who calls this.
        chosen = getattr(uri, "chosen", True)
        self.client.send(
            request,
            asking,
            self.now,
            hop=hop,
            accounts=accounts,
            within=within,
            token=token,
            chosen=chosen,
        )
        return asking.answered

    def invite(
        self,
        uri: Destination,
        sdp: bytes = b"",
        *,
        headers: Iterable[tuple[str, str]] = (),
        from_: str = "",
        to: str = "",
        user: str | None = None,
        handler: CallHandler | None = None,
        on_progress: OnProgress | None = None,
        accounts: Sequence[Account] | None = None,
        within: float | None = None,
        redirects: int | None = None,
        depth: int = 0,
        extensions: Sequence[str] | None = None,
        chosen: bool = True,
    ) -> OutgoingCall:
        """Call ``uri``: a URI, or a target that ``locate`` returned. ``await`` it for the ``Call``.

        Args:
            sdp: our offer; without one the callee makes it, and ``handler.offered`` has to answer.
            from_, to: URIs or name-addrs; by default the identity of the configuration, and ``uri``.
            user: user part of our Contact.
            handler: answers the requests of the callee (``sansip.ua.Handler``).
            on_progress: called with (early call or None, response, now) for each 1xx but 100.
            within: seconds after which the call is given up, and cancelled.
            redirects: how many others are called where the callee names them (3xx); None: as the
                configuration says, which is none by default.
            depth: how many calls of ours it is within (``depth_of``).
            extensions: the extensions in Supported, by default all that we know.
            chosen: whether this node chose the callee, and no peer: a gateway that only modules send to is
                refused (403) else. A target says so itself.

        Awaiting raises ``CallRefused`` if no callee takes the call.
        """
        fields = [*capabilities(self.extensions if extensions is None else extensions), *headers]
        session = self.config.session
        if session.interval:
            # RFC 4028 7.1
            fields += [("Session-Expires", str(session.interval)), ("Min-SE", str(session.min_se))]
        request, hop = self._build("INVITE", uri, typed(sdp, fields), sdp, from_, to)
        contact = self.config.user if user is None else user
        most = self.config.redirects if redirects is None else redirects
        call = OutgoingCall(self, request, handler or self.handler(), contact, on_progress, most)
        call.depth = depth
        call.chosen = chosen and getattr(uri, "chosen", True)
        if self.draining or len(self.calls) + len(self.outgoing) + self.elsewhere >= self.limits.calls:
            self.notices.reached("calls", "ua.invite", self.now)
            call.answered.set(CallRefused(response_to(request, 503, to_tag=None)), self.now)
            return call
        self.places(call)
        call.begin(hop, accounts, within, self.now)
        return call

    def _build(
        self,
        method: str,
        uri: Destination,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        from_: str,
        to: str,
        token: str = "",
        identity: Identity | None = None,
    ) -> tuple[Request, Any]:
        headers = list(headers)
        if identity is not None:
            call_id, tag, cseq = identity
            headers.append(("Call-ID", call_id))
        else:
            named = next((value for name, value in headers if name.lower() == "call-id"), "")
            call_id = named or self._entropy.token() + self._entropy.token()
            tag, cseq = self._tags.make(call_id, token), 1
        request, hop = drafted(
            method, uri, headers, body, from_, to, self.config, self._domain, call_id, tag, cseq
        )
        if hop is None and not request.has("route"):
            hop = hidden_way(uri, self.listeners)
        return request, hop

    # --- calls in

    def incoming(
        self, arrival: Arrival, handler: Handler | None = None, user: str = ""
    ) -> IncomingCall | None:
        """Take an INVITE as a call for us (RFC 3261 8.2).

        None where it had to be refused, and was; or where it replaces a call of which the holder deals with
        it (``Handler.replaced``).
        """
        request = arrival.message
        now = self.now = arrival.now
        server = arrival.server
        if request.method != "INVITE" or server is None or request.to_tag is not None:
            raise LocalProtocolError(f"a {request.method} is no new call: only an INVITE without a To tag is")
        # RFC 4028 9: the 422 for a session that is too short.
        largest = self.limits.session_size
        refusal = screen(request, extensions=self.extensions, largest=largest) or session_refusal(
            request, self.config.session
        )
        replaced = None
        if refusal is None and request.has("replaces") and "replaces" in self.extensions:
            known = not arrival.is_stranger or self.config.replaces == "anyone"
            replaced = replaced_by(request, self.find, known=known)
            refusal = replaced if isinstance(replaced, Refusal) else None
        if refusal is not None:
            arrival.refuse(refusal.status, refusal.reason, refusal.headers)
            return None
        if not self._merged.takes(request, server):
            # RFC 3261 8.2.2.2
            arrival.refuse(482, "Merged Request")
            return None
        source = source_of(arrival.flow.host) if arrival.is_stranger else None
        if not self._has_room(source, arrival, now):
            return None
        listener = self.listeners[arrival.flow.listener]
        secure = request.uri.scheme == "sips"
        tag = self._tags.make(request.call_id)
        try:
            usage = InviteUsage.called(
                request,
                arrival,
                local_tag=tag,
                contact=contact_of(listener, user or self.config.user, secure=secure),
                entropy=self._entropy,
                now=now,
                values=self._values,
                session=self.config.session,
                headers=capabilities(self.extensions),
                over_tls=arrival.flow.transport in SECURE,
                limits=self.limits,
            )
        except RemoteProtocolError as error:
            self.strangers.leaves(source)
            # RFC 4028 5
            fields = [("Min-SE", str(self.config.session.min_se))] if error.status == 422 else []
            arrival.refuse(error.status, error.reason, fields)
            return None
        call = Call(self, usage, arrival.flow, handler or self.handler())
        call.peer = arrival.flow
        call.source = source
        call.home = arrival.flow if arrival.is_stranger else None
        call.heard(request.body)
        incoming = IncomingCall(self, arrival, call, call.handler)
        call.handler = incoming
        arrival.hand_over(incoming)
        self.add(call)
        self.numbered[call.number] = incoming
        incoming.wait(self.client.timers.start(now, self.limits.ring_time, incoming, "ring time"))
        self.watch(call, now)
        if isinstance(replaced, Call):
            incoming.replace(replaced, now)
            if replaced.handler.replaced(replaced, incoming, now):
                return None
        return incoming

    def _has_room(self, source: Any, arrival: Arrival, now: float) -> bool:
        limit = ""
        if self.draining or len(self.calls) + len(self.outgoing) + self.elsewhere >= self.limits.calls:
            limit = "calls"
        elif source is not None:
            limit = self.strangers.take(source)
        if limit:
            self.notices.reached(limit, arrival.flow.host, now)
            # RFC 3261 21.5.4
            arrival.refuse(503, None, [("Retry-After", "30")])
        return not limit

    def takes(self, arrival: Arrival, now: float) -> bool:
        """Take a request with a To tag of ours, where it is for us; the stack asks before the route.

        It must have reached its end: no Route is left, and its Request-URI is an address of ours. Raises
        RemoteProtocolError for fields that cannot be read.
        """
        request = arrival.message
        tag = request.to_tag
        if tag is None or not tag.startswith(MARK) or request.has("route"):
            return False
        uri = request.uri
        # As a former listener of ours, too: the peer may not have heard that we moved.
        if not isinstance(uri, SipUri) or not self.listeners.has_recorded(
            uri.host, uri.port, uri.transport or UDP
        ):
            return False
        call = self.calls.get(id_at_uas(request))
        if call is None and not self._tags.is_ours(tag, request.call_id):
            return False
        self.now = now
        if request.method == "ACK":
            if call is not None:
                call.perform(call.usage.received(request, None, now), now)
            return True
        if call is None:
            # RFC 3261 12.2.2
            arrival.refuse(481)
            return True
        largest = self.limits.session_size
        refusal = screen(request, extensions=self.extensions, largest=largest, any_body=call.any_body)
        if refusal is not None:
            arrival.refuse(refusal.status, refusal.reason, refusal.headers)
            return True
        if call.home is not None and arrival.flow.reliable:
            # The handshake of the connection proves that the stranger is there now.
            call.home = arrival.flow
        arrival.hand_over(Within(self, call, arrival))
        call.perform(call.usage.received(request, arrival, now), now)
        return True

    # --- dialogs made by responses to our INVITE

    def usage_of_caller(self, request: Request, response: Response, flow: Flow | None) -> InviteUsage:
        """Return the usage that ``response`` begins. Raises RemoteProtocolError where it cannot begin one."""
        return InviteUsage.calling(
            request,
            response,
            entropy=self._entropy,
            values=self._values,
            session=self.config.session,
            headers=capabilities(self.extensions),
            over_tls=flow is not None and flow.transport in SECURE,
            limits=self.limits,
        )

    def way_back(self, flow: Flow | None, response: Response, hop: Flow | None) -> Flow | None:
        """Return the flow that later requests go over, where the peer's Contact does not lead to it."""
        if hop is not None or flow is None:
            return hop
        contacts = response.contacts
        uri = contacts[0].uri if isinstance(contacts, list) and contacts else None
        if not isinstance(uri, SipUri):
            return flow
        # RFC 7118 5: a WebSocket client has no address; and one behind a NAT has another than it knows.
        unreachable = flow.transport in ONE_WAY or uri.host.endswith(".invalid")
        return flow if unreachable or (is_private(uri.host) and uri.host != flow.host) else None

    def depth_of(self, request: Request) -> int:
        """Return how many calls of ours an INVITE is within: 0 for what another user agent began."""
        tag = request.from_tag
        if tag is None or not self._tags.is_ours(tag, request.call_id):
            return 0
        outer = self._inviting.get(request.call_id)
        return 1 if outer is None else outer.depth + 1


def _nobody(_event: Any, _now: float) -> None:
    """Drop events until the stack sets where they go."""

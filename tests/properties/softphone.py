"""A user agent for the simulated wire, made of what sansip has: transactions, dialogs, sessions.

Theory of operation: ``InviteUsage`` on a real ``TransactionLayer``, every request by way of the proxy. An
offer is one line of text with a number, so that in the end both ends can be asked which
pair of offer and answer they believe in. What it does with a call is decided by the test, through ``act``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sansip.clock import Timers
from sansip.dialog import (
    Acknowledged,
    Answered,
    DialogId,
    End,
    Ended,
    InviteUsage,
    Offered,
    Pracked,
    Progressed,
    Received,
    Respond,
    Send,
    SendAck,
    SessionTimerSettings,
    Tell,
    id_at_uas,
    is_reliable,
)
from sansip.entropy import Entropy
from sansip.errors import LocalProtocolError
from sansip.transaction import TimerValues, TransactionLayer
from sansip.transaction.ack import build_cancel
from sansip.transaction.layer import server_key
from sansip.transport import Flow
from sansip.wire import Request, Response, parse_message, parse_uri, response_to
from tests.properties.wire import Server, Wire

__all__ = ["Session", "Softphone"]

SDP = [("Content-Type", "application/sdp")]
HEADERS = [("Allow", "INVITE, ACK, CANCEL, BYE, PRACK, UPDATE, INFO"), ("Supported", "100rel, timer")]


class Session:
    """One end of one session, and its belief."""

    def __init__(self, phone: Softphone, usage: InviteUsage, owner: Any = None) -> None:
        self.phone = phone
        self.usage = usage
        self.owner = owner
        # The pair of descriptions that holds, ours first, and an offer that is open.
        self.agreed: tuple[bytes, bytes] | None = None
        self.offered: bytes | None = None
        self.received: bytes | None = None
        self.ended = ""
        self.gone = False

    def act(self, wish: Callable[..., Any], *arguments: Any) -> bool:
        """Do what the test wants, where it is allowed now."""
        try:
            effects = wish(*arguments)
        except LocalProtocolError:
            return False
        self.phone.perform(self, effects)
        return True

    def bye(self) -> None:
        self.act(self.usage.bye, [], self.phone.wire.now)


class Softphone:
    """One user agent."""

    def __init__(self, wire: Wire, name: str, host: str, server: Server, domain: str) -> None:
        self.wire = wire
        self.name = name
        self.address = (host, 5060)
        self.server = server
        self.aor = f"sip:{name}@{domain}"
        self.domain = domain
        self.timers = Timers()
        self.layer = TransactionLayer(self.timers, TimerValues(), self)
        self.entropy = Entropy(f"softphone {name} {wire.chance.random()}".encode().ljust(16))
        self.sessions: dict[DialogId, Session] = {}
        self.all: list[Session] = []
        self.invites: list[_Outgoing] = []
        self.registered = False
        # When time passes for this phone again.
        self._woken: set[float] = set()
        self._count = 0
        one = server.config.listeners[0]
        self.flow = Flow("udp", 0, (one.host, one.port))
        wire.parties[self.address] = self

    def offer(self) -> bytes:
        """Return a description that no other end has."""
        self._count += 1
        return f"{self.name} {self._count}".encode()

    # --- the layer's way down

    def send(self, flow: Flow, data: bytes, now: float, owner: int = 0) -> None:
        self.wire.send(self.address, flow.address[:2], data)

    def send_request(self, flow: Flow, data: bytes, transaction: Any, now: float) -> None:
        self.send(flow, data, now)

    def forget(self, transaction: Any) -> None:
        pass

    def transact(self, request: Request, user: Any) -> Any:
        """Send a request in a transaction of its own."""
        self._via(request)
        transaction = self.layer.open_client(
            request.via.branch or "", request, request.to_bytes(), self.flow, user
        )
        transaction.start(self.wire.now)
        self._arm()
        return transaction

    def _via(self, request: Request) -> None:
        branch = f"z9hG4bK{self.entropy.token()}"
        request.prepend("Via", f"SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch={branch}")

    # --- registering and calling

    @property
    def contact(self) -> str:
        return f"sip:{self.name}@{self.address[0]}:{self.address[1]}"

    def _request(self, method: str, uri: str, to: str, headers: Any = (), body: bytes = b"") -> Request:
        return Request.build(
            method,
            uri,
            [
                ("Max-Forwards", "70"),
                ("From", f"<{self.aor}>;tag={self.entropy.token()}"),
                ("To", f"<{to}>"),
                ("Call-ID", self.entropy.token()),
                ("CSeq", f"1 {method}"),
                ("Contact", f"<{self.contact}>"),
                *headers,
            ],
            body,
        )

    def register(self) -> None:
        request = self._request("REGISTER", f"sip:{self.domain}", self.aor, [("Expires", "3000")])
        self.transact(request, _Registering(self))

    def call(self, uri: str, *, offer: bool) -> _Outgoing:
        body = self.offer() if offer else b""
        request = self._request("INVITE", uri, uri, [*HEADERS, *(SDP if offer else [])], body)
        outgoing = _Outgoing(self, request)
        self.invites.append(outgoing)
        outgoing.transaction = self.transact(request, outgoing)
        return outgoing

    # --- what arrives

    def datagram(self, data: bytes, source: Any) -> None:
        message = parse_message(data)
        now = self.wire.now
        if isinstance(message, Response):
            client = self.layer.find_client(message)
            if client is not None:
                self.layer.response_received(client, message, now)
        else:
            self._request_received(message, now)
        self._arm()

    def _request_received(self, request: Request, now: float) -> None:
        method = request.method
        key = server_key(request)
        server = self.layer.find_server(key, method)
        if server is not None:
            server.feed("ACK" if method == "ACK" else "request", request, now)
            return
        session = self.sessions.get(id_at_uas(request))
        if method == "ACK":
            if session is not None:
                self.perform(session, session.usage.received(request, None, now))
            return
        server = self.layer.open_server(key, method, self.flow, _Server(self, session))
        if method == "CANCEL":
            invited = self.layer.find_server(key, "INVITE")
            status = 481 if invited is None else 200
            server.respond(response_to(request, status, to_tag="c"), now)
            if invited is not None and invited.user is not None:
                invited.user.cancel(now, None)
        elif session is not None:
            self.perform(session, session.usage.received(request, server, now))
        elif method == "INVITE" and request.to_tag is None:
            usage = InviteUsage.called(
                request,
                server,
                local_tag=self.entropy.token(),
                contact=parse_uri(self.contact),
                entropy=self.entropy.derived(request.call_id),
                session=SessionTimerSettings(interval=0),
                headers=HEADERS,
                now=now,
            )
            session = self._add(Session(self, usage, server))
            session.received = request.body or None
            server.user = _Server(self, session)
        else:
            server.respond(response_to(request, 481, to_tag="n"), now)

    def _add(self, session: Session) -> Session:
        self.sessions[session.usage.dialog.id] = session
        self.all.append(session)
        return session

    # --- what the usage wants

    def perform(self, session: Session, effects: list[Any]) -> None:
        now = self.wire.now
        for effect in effects:
            match effect:
                case Respond():
                    if effect.response.body and effect.response.cseq.method == "INVITE":
                        self._described(session, effect.response)
                    effect.owner.respond(effect.response, now)
                case Send():
                    self.transact(effect.request, _InDialog(self, session, effect.request))
                case SendAck():
                    self._via(effect.request) if not effect.request.has("via") else None
                    self.send(self.flow, effect.request.to_bytes(), now)
                case Tell():
                    self._told(session, effect.event, now)
                case End():
                    session.gone = True
                    del self.sessions[session.usage.dialog.id]
        self._arm()

    def _described(self, session: Session, response: Response) -> None:
        """A description of ours leaves in a response to an INVITE."""
        if response.status < 200 and not is_reliable(response):
            return
        if session.received is not None:
            session.agreed = (response.body, session.received)
            session.received = None
        elif (
            session.agreed is None
            or session.offered is not None
            or session.usage.exchange.exchange == "local offer"
        ):
            session.offered = response.body

    def _answered_by(self, session: Session, ours: bytes | None, theirs: bytes) -> None:
        if ours is not None and theirs:
            session.agreed = (ours, theirs)
        session.offered = None

    def _told(self, session: Session, event: Any, now: float) -> None:
        usage = session.usage
        match event:
            case Offered():
                body = self.offer()
                method = event.message.method
                refuse = self.wire.chance.random() < 0.2 and method != "PRACK"
                if refuse:
                    session.act(usage.answer, event.owner, 488, b"", [], now)
                    return
                if method == "INVITE":
                    session.received = event.message.body or None
                elif event.message.body:
                    session.agreed = (body, event.message.body)
                session.act(usage.answer, event.owner, 200, body, SDP, now)
            case Received():
                session.act(usage.answer, event.owner, 200, b"", [], now)
            case Progressed(response=response, request=request):
                if event.offer:
                    body = self.offer()
                    session.agreed = (body, response.body)
                    session.act(usage.prack, request, response, body, SDP, now)
                elif is_reliable(response) and response.body:
                    self._answered_by(session, request.body or None, response.body)
            case Answered(response=response, request=request):
                if event.offer:
                    body = self.offer()
                    session.agreed = (body, response.body)
                    session.act(usage.acknowledge, body, SDP, now)
                elif request.body and response.body and response.status < 300:
                    self._answered_by(session, request.body, response.body)
            case Acknowledged(ack=ack):
                if ack is not None and ack.body:
                    self._answered_by(session, session.offered, ack.body)
                session.offered = None
            case Pracked(request=request):
                if request.body:
                    self._answered_by(session, session.offered, request.body)
            case Ended():
                assert not session.ended
                session.ended = event.reason

    # --- time

    def _arm(self) -> None:
        dues = [at for one in self.sessions.values() if (at := one.usage.next_due()) is not None]
        deadline = self.timers.next_deadline()
        if deadline is not None:
            dues.append(deadline)
        due = min(dues, default=None)
        if due is not None and due not in self._woken:
            self._woken.add(due)
            self.wire.after(max(0.0, due - self.wire.now), lambda: self._wake(due))

    def _wake(self, due: float) -> None:
        self._woken.discard(due)
        now = max(self.wire.now, due)
        self.timers.fire_due(now)
        for session in list(self.sessions.values()):
            self.perform(session, session.usage.time_passed(now))
        self._arm()


class _Registering:
    def __init__(self, phone: Softphone) -> None:
        self.phone = phone

    def response_received(self, transaction: Any, response: Response, now: float) -> None:
        self.phone.registered = self.phone.registered or response.status == 200

    def client_failed(self, transaction: Any, reason: str, now: float) -> None:
        self.phone.register()


class _InDialog:
    """The user of a request within a session."""

    def __init__(self, phone: Softphone, session: Session, request: Request) -> None:
        self.phone = phone
        self.session = session
        self.request = request

    def response_received(self, transaction: Any, response: Response, now: float) -> None:
        self._take(self.request, response, now)

    def client_failed(self, transaction: Any, reason: str, now: float) -> None:
        # RFC 3261 8.1.3.1
        self._take(self.request, response_to(self.request, 408, to_tag=None), now)

    def _take(self, request: Request, response: Response, now: float) -> None:
        session = self.session
        if not session.gone:
            self.phone.perform(session, session.usage.response_received(request, response, now))


class _Server:
    """The user of a request that arrived."""

    def __init__(self, phone: Softphone, session: Session | None) -> None:
        self.phone = phone
        self.session = session

    def ack_received(self, transaction: Any, ack: Request, now: float) -> None:
        if self.session is not None and not self.session.gone:
            self.phone.perform(self.session, self.session.usage.received(ack, None, now))

    def server_failed(self, transaction: Any, reason: str, now: float) -> None:
        pass

    def local_tag(self) -> str:
        return "n"

    def cancel(self, now: float, reason: str | None) -> None:
        if self.session is not None and not self.session.gone:
            self.phone.perform(self.session, self.session.usage.cancelled(now))


class _Outgoing:
    """A first INVITE on its way."""

    def __init__(self, phone: Softphone, request: Request) -> None:
        self.phone = phone
        self.request = request
        self.transaction: Any = None
        self.by_tag: dict[str, Session] = {}
        self.given_up = False
        self.provisional = False
        self.over = False
        self._cancelled = False

    def cancel(self) -> None:
        """RFC 3261 9.1: once a provisional response has come."""
        self.given_up = True
        if self.provisional and not self.over and not self._cancelled:
            self._cancelled = True
            cancel = build_cancel(self.request)
            self.phone.layer.open_client(
                cancel.via.branch or "", cancel, cancel.to_bytes(), self.phone.flow, _Nobody()
            ).start(self.phone.wire.now)
            self.phone._arm()

    def response_received(self, transaction: Any, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            self.provisional = True
            if self.given_up:
                self.cancel()
        else:
            self.over = True
        if status == 100:
            return
        if status >= 300:
            for session in self.by_tag.values():
                if not session.gone:
                    self.phone.perform(session, session.usage.response_received(self.request, response, now))
            return
        session = self._session(response)
        if not session.gone:
            self.phone.perform(session, session.usage.response_received(self.request, response, now))
        if status >= 200 and self.given_up:
            # RFC 3261 9.2: the CANCEL lost the race.
            session.bye()

    def _session(self, response: Response) -> Session:
        tag = response.to_tag or ""
        session = self.by_tag.get(tag)
        if session is None:
            usage = InviteUsage.calling(
                self.request,
                response,
                entropy=self.phone.entropy.derived(tag),
                session=SessionTimerSettings(interval=0),
                headers=HEADERS,
            )
            session = self.by_tag[tag] = self.phone._add(Session(self.phone, usage))
            session.offered = self.request.body or None
        return session

    def client_failed(self, transaction: Any, reason: str, now: float) -> None:
        self.over = True
        made = response_to(self.request, 408, to_tag=None)
        for session in self.by_tag.values():
            if not session.gone:
                self.phone.perform(session, session.usage.response_received(self.request, made, now))


class _Nobody:
    def response_received(self, transaction: Any, response: Response, now: float) -> None:
        pass

    def client_failed(self, transaction: Any, reason: str, now: float) -> None:
        pass

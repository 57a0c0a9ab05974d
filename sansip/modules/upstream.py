"""Registrations of ours at other servers, so that their calls come to us (Kamailio's ``uac_reg``).

Theory of operation: each registration is a small user agent (RFC 3261 10.2): one
Call-ID, a CSeq that rises, one Contact that leads here. It registers when the
stack runs, refreshes in good time, answers challenges with its account, and when
it fails comes back after a pause that doubles (RFC 5626 4.5), so that a server
that was away is not met by everybody at once. Draining takes it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sansip.auth import Account, Answers
from sansip.client.via import new_branch, seal
from sansip.clock import Timer
from sansip.errors import RemoteProtocolError
from sansip.events import UpstreamChanged
from sansip.module import Module, command
from sansip.transport import Flow
from sansip.transport.next_hop import NextHop, next_hop
from sansip.wire import Request, SipUri, parse_uri
from sansip.wire.host import host_text

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.transaction import ClientTransaction
    from sansip.transport import Listener
    from sansip.transport.dns import Place
    from sansip.wire import Response

__all__ = ["Upstream", "UpstreamConfig", "UpstreamRegistration", "Upstreams"]

# RFC 5626 4.5: seconds of the first pause after a failure, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 30.0, 1_800.0
# A registrar's Min-Expires beyond this is a mistake (RFC 3261 10.2.8).
_LONGEST = 604_800
# Characters of a reason phrase in the log.
_SHOWN = 80
# A refresh this many seconds before the end leaves room for Timer F.
_MARGIN = 40.0


@dataclass(slots=True)
class UpstreamRegistration:
    """What to register, and where.

    Attributes:
        aor: the address-of-record at the other server, ``"sip:trunk@carrier.test"``.
        account: who answers its challenges; one of its hosts must be the registrar.
        registrar: URI to send to; None for the domain of ``aor``.
        user: user part of our Contact: the user here that calls are for.
        expires: seconds to ask for.

    Raises ``ValueError`` for what is no SIP URI.
    """

    aor: str
    account: Account
    registrar: str | None = None
    user: str = ""
    expires: int = 3_600

    def __post_init__(self) -> None:
        for text in (self.aor, self.registrar):
            try:
                uri = None if text is None else parse_uri(text)
            except RemoteProtocolError as error:
                raise ValueError(f"{text!r} is no SIP URI: {error.reason}") from None
            if uri is not None and not isinstance(uri, SipUri):
                raise ValueError(f"{text!r} is no SIP URI")
        if _user_of(self.aor) is None:
            raise ValueError(f"{self.aor!r} names no user")

    @property
    def target(self) -> SipUri:
        """The Request-URI: RFC 3261 10.2 wants no user in it."""
        uri = parse_uri(self.registrar or self.aor)
        assert isinstance(uri, SipUri)
        return uri.replace(user=None, password=None)


def _user_of(aor: str) -> str | None:
    uri = parse_uri(aor)
    return uri.user if isinstance(uri, SipUri) else None


@dataclass(slots=True)
class UpstreamConfig:
    """The registrations to have; the server reads them from ``[[upstream]]``."""

    # The accounts to register with: each a table `[[upstream]]` with `register = true` (configuration.md).
    registrations: list[UpstreamRegistration] = field(default_factory=list)


class Upstreams(Module):
    """Registers this server at others, so that their calls come here."""

    name = "upstream"
    Settings = UpstreamConfig
    by_default = True

    settings: UpstreamConfig

    def __init__(self, settings: UpstreamConfig) -> None:
        super().__init__(settings)
        self._running: list[Upstream] = []

    def start(self, core: Core, now: float) -> None:
        """Register everywhere."""
        self._replace(self.settings.registrations, now)

    def configure(self, settings: UpstreamConfig, now: float) -> None:
        """Have these registrations and no others: new ones register, those that are gone unregister."""
        super().configure(settings, now)
        self._replace(settings.registrations, now)

    def stop(self, now: float) -> None:
        """Unregister everywhere."""
        for one in self._running:
            one.end(now)
        self._running = []

    def _replace(self, wanted: Sequence[UpstreamRegistration], now: float) -> None:
        for one in self._running:
            if one.registration not in wanted:
                one.end(now)
        self._running = [one for one in self._running if one.registration in wanted]
        known = [one.registration for one in self._running]
        for registration in wanted:
            if registration not in known:
                upstream = Upstream(self.core, registration)
                upstream.begin(now)
                self._running.append(upstream)

    @command("upstream.list")
    def states(self) -> dict[str, bool]:
        """Return which address-of-record is registered."""
        return {one.registration.aor: one.registered for one in self._running}


class Upstream:
    """One registration. It is the user of its client transactions, and the owner of its timer."""

    __slots__ = (
        "_answers",
        "_call_id",
        "_core",
        "_cseq",
        "_ending",
        "_entropy",
        "_expires",
        "_hop",
        "_listener",
        "_pause",
        "_place",
        "_places",
        "_proxy",
        "_raised",
        "_tag",
        "_timer",
        "_transaction",
        "registered",
        "registration",
    )

    def __init__(self, core: Core, registration: UpstreamRegistration) -> None:
        self._core = core
        self._proxy = core.proxy
        entropy = self._entropy = core.entropy
        self.registration = registration
        self.registered = False
        self._call_id = entropy.token() + entropy.token()
        self._tag = entropy.token()
        self._cseq = 0
        self._expires = registration.expires
        self._pause = 0.0
        self._ending = False
        # 423 was answered once in this attempt.
        self._raised = False
        self._hop: NextHop | None = None
        self._places: list[Place] = []
        self._place: Place | None = None
        self._listener: Listener | None = None
        self._answers: Answers | None = None
        self._transaction: ClientTransaction | None = None
        self._timer: Timer | None = None

    def begin(self, now: float) -> None:
        """Register at the next turn of the stack's timers."""
        self._wait(0.0, now)

    def end(self, now: float) -> None:
        """Take the registration back (RFC 3261 10.2.2), once; nothing is repeated."""
        self._stop()
        self._ending = True
        if self.registered and self._place is not None:
            self._places = [self._place]
            self._next(now)

    # --- sending

    def timer_fired(self, _name: Any, now: float) -> None:
        self._timer = None
        proxy = self._proxy
        self._raised = False
        try:
            hop = self._hop = next_hop(self.registration.target)
        except RemoteProtocolError as error:
            self._failed(error.reason, now)
            return
        # What was learned in this attempt alone is forgotten: a password that was
        # wrong may be right now.
        self._answers = proxy.client.auth.answers(hop.host, [self.registration.account])
        if hop.numeric:
            self._places = [(hop.transport, hop.host, hop.port)]
            self._next(now)
        else:
            proxy.client.places.resolve(hop.question(), self._resolved, now)

    def _resolved(self, found: Any, now: float) -> None:
        assert self._hop is not None
        self._places = self._proxy.client.places.take(found, self._hop, now)
        self._next(now)

    def _next(self, now: float) -> None:
        """Try the next place; there is another pause when none is left."""
        proxy = self._proxy
        while self._places:
            self._place = self._places.pop(0)
            transport, ip, _ = self._place
            self._listener = proxy.listeners.reach(transport, ip)
            if self._listener is not None:
                self._send(now)
                return
        assert self._hop is not None
        self._failed(f"no way to {host_text(self._hop.host, self._hop.port)}", now)

    def _send(self, now: float) -> None:
        assert self._place is not None
        assert self._listener is not None
        assert self._hop is not None
        transport, ip, port = self._place
        listener, proxy, registration = self._listener, self._proxy, self.registration
        # RFC 3261 10.2.4: each REGISTER of one Call-ID has a higher number.
        self._cseq += 1
        headers = [
            ("Max-Forwards", "70"),
            ("From", f"<{registration.aor}>;tag={self._tag}"),
            ("To", f"<{registration.aor}>"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._cseq} REGISTER"),
            ("Contact", self._contact(listener)),
            ("Expires", "0" if self._ending else str(self._expires)),
        ]
        request = Request.build("REGISTER", registration.target, headers)
        if self._answers is not None:
            self._answers.apply(request)
        branch = new_branch(self._entropy)
        data = seal(request, listener, branch)
        flow = Flow(transport, listener.id, (ip, port), name=self._hop.proves(transport))
        self._transaction = proxy.transactions.open_client(branch, request, data, flow, self)
        self._transaction.start(now)

    def _contact(self, listener: Listener) -> str:
        user = self.registration.user or _user_of(self.registration.aor)
        # As it stands in Record-Route, with a user: it leads here in the same way.
        uri = listener.record_route.partition("<sip:")[2].removesuffix(";lr")
        return f"<sip:{user}@{uri}>"

    # --- what comes back

    def response_received(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        status = response.status
        if transaction is not self._transaction or status < 200:
            return
        if self._ending:
            if status >= 300 and self._mended(response):
                self._send(now)
            return
        if status < 300:
            self._accepted(response, now)
        elif self._mended(response):
            self._send(now)
        elif status == 503 and self._places:
            # RFC 3263 4.3
            self._next(now)
        else:
            self._failed(f"{status} {response.reason[:_SHOWN]}", now, _seconds(response, "retry-after"))

    def _mended(self, response: Response) -> bool:
        """Whether the same request, with what was learned from ``response``, is worth sending."""
        if response.status in (401, 407):
            return self._answers is not None and self._answers.take(response)
        return response.status == 423 and not self._raised and self._raise_expires(response)

    def client_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        if transaction is not self._transaction or self._ending:
            return
        if self._places:
            self._next(now)
        else:
            self._failed(reason, now)

    def _accepted(self, response: Response, now: float) -> None:
        if self._answers is not None and self._place is not None:
            self._answers.succeeded(response, self._place[1])
        granted = self._granted(response)
        self._pause = 0.0
        if not self.registered:
            self.registered = True
            self._core.notify(UpstreamChanged(self.registration.aor, True, f"for {granted} s"), now)
        # Early enough to fail once and try again, and never more than twice as often as needed.
        self._wait(max(granted / 2, granted - _MARGIN), now)

    def _granted(self, response: Response) -> int:
        """Return for how long we are registered: as our Contact says, or Expires (RFC 3261 10.2.4)."""
        ours = self._contact(self._listener).strip("<>") if self._listener is not None else ""
        seconds = response.expires
        try:
            contacts = response.contacts
        except RemoteProtocolError:
            contacts = []
        for contact in contacts if isinstance(contacts, list) else ():
            text = contact.params.get("expires")
            if text and text.isascii() and text.isdigit() and str(contact.uri) == ours:
                seconds = int(text[:9])
        return max(10, min(seconds if seconds is not None else self._expires, _LONGEST))

    def _raise_expires(self, response: Response) -> bool:
        # RFC 3261 10.2.8
        least = _seconds(response, "min-expires")
        if least is None or not self._expires < least <= _LONGEST:
            return False
        self._expires, self._raised = int(least), True
        return True

    def _failed(self, reason: str, now: float, wanted: float | None = None) -> None:
        if self._ending:
            return
        if self.registered or not self._pause:
            self._core.notify(UpstreamChanged(self.registration.aor, False, reason), now)
        self.registered = False
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        # RFC 5626 4.5: between half of it and all of it.
        pause = self._pause * (0.5 + self._entropy.number(1000) / 2000)
        self._wait(max(pause, min(wanted or 0.0, _LONGEST_PAUSE)), now)

    def _wait(self, seconds: float, now: float) -> None:
        self._stop()
        self._timer = self._proxy.timers.start(now, seconds, self, "register")

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transaction = None


def _seconds(response: Response, name: str) -> float | None:
    text = (response.get(name) or "").partition("(")[0].partition(";")[0].strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

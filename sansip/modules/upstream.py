"""Registrations of ours at other servers, so that their calls come to us (Kamailio's ``uac_reg``).

Theory of operation: each registration is a small user agent (RFC 3261 10.2): one Call-ID, a CSeq that rises,
one Contact that leads here. It registers when the stack runs, refreshes in good time, answers challenges with
its account, and when it fails tries again after a pause that doubles (RFC 5626 4.5), so that a server that
was away does not get the requests of all clients at once. Draining removes the registration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sansip.auth import Account
from sansip.client import Asker, Sending
from sansip.clock import Timer
from sansip.errors import RemoteProtocolError
from sansip.events import UpstreamChanged
from sansip.module import Module, command
from sansip.transport.transports import DEFAULT_PORT
from sansip.wire import Request, SipUri, parse_uri
from sansip.wire.host import host_text

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.transport import Listener
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
    """A registration of ours, and its registrar.

    Attributes:
        aor: the address-of-record at the other server, ``"sip:trunk@carrier.test"``.
        account: the account that answers its challenges; one of its hosts must be the registrar.
        registrar: URI to send to; None for the domain of ``aor``.
        user: user part of our Contact: the user here that calls are for.
        expires: seconds to ask for.

    Raises ``ValueError`` for a text that is no SIP URI.
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
    # SIP URIs of servers at which we have accounts, and which no sender may name (`upstream.direct`).
    guarded: list[str] = field(default_factory=list)
    # Networks of such servers, like "192.0.2.0/20".
    networks: list[str] = field(default_factory=list)


class Upstreams(Module):
    """Registers this server at others, so that their calls come here."""

    name = "upstream"
    Settings = UpstreamConfig
    by_default = True
    over_workers = True

    settings: UpstreamConfig

    def __init__(self, settings: UpstreamConfig) -> None:
        super().__init__(settings)
        self._running: list[Upstream] = []

    def start(self, core: Core, now: float) -> None:
        """Register everywhere."""
        self._guard(now)
        self._replace(self.settings.registrations, now)

    def configure(self, settings: UpstreamConfig, now: float) -> None:
        """Have these registrations and no others: new ones register, those that are gone unregister."""
        super().configure(settings, now)
        self._guard(now)
        self._replace(settings.registrations, now)

    def stop(self, now: float) -> None:
        """Unregister everywhere."""
        for one in self._running:
            one.end(now)
        self._running = []

    def _guard(self, now: float) -> None:
        servers = []
        for text in self.settings.guarded:
            uri = parse_uri(text)
            assert isinstance(uri, SipUri)
            servers.append((uri, f"the server {host_text(uri.host)}, where we have an account"))
        self.core.guard(servers, "upstream.direct", now, networks=self.settings.networks)

    def _replace(self, wanted: Sequence[UpstreamRegistration], now: float) -> None:
        seat = self.core.seat
        if seat is not None:
            # One worker keeps a registration; calls from there come to any.
            wanted = [one for one in wanted if seat.owns(one.aor)]
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

    @command("upstream.list", everywhere=True)
    def states(self) -> dict[str, bool]:
        """Return which address-of-record is registered."""
        return {one.registration.aor: one.registered for one in self._running}


class Upstream(Asker):
    """One registration. It asks for each REGISTER (``client.send``), and owns the timer of the next."""

    __slots__ = (
        "_call_id",
        "_contact",
        "_core",
        "_cseq",
        "_ending",
        "_expires",
        "_pause",
        "_raised",
        "_sending",
        "_tag",
        "_timer",
        "registered",
        "registration",
    )

    def __init__(self, core: Core, registration: UpstreamRegistration) -> None:
        self._core = core
        entropy = core.entropy
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
        # Ours, as it was sent last.
        self._contact = ""
        self._sending: Sending | None = None
        self._timer: Timer | None = None

    def begin(self, now: float) -> None:
        """Register at the next turn of the stack's timers."""
        self._wait(0.0, now)

    def end(self, now: float) -> None:
        """Remove the registration (RFC 3261 10.2.2), once, without a repetition."""
        self._stop()
        self._ending = True
        if self.registered:
            self._register(now)

    # --- sending

    def timer_fired(self, _name: Any, now: float) -> None:
        self._timer = None
        self._raised = False
        self._register(now)

    def _register(self, now: float) -> None:
        registration = self.registration
        # RFC 3261 10.2.4: each REGISTER of one Call-ID has a higher number.
        self._cseq += 1
        headers = [
            ("From", f"<{registration.aor}>;tag={self._tag}"),
            ("To", f"<{registration.aor}>"),
            ("Call-ID", self._call_id),
            ("CSeq", f"{self._cseq} REGISTER"),
            ("Expires", "0" if self._ending else str(self._expires)),
        ]
        request = Request.build("REGISTER", registration.target, headers)
        # The nonces of one attempt are forgotten with it: a password that was wrong may be right now.
        self._sending = self._core.proxy.client.send(request, self, now, accounts=[registration.account])

    def leaving(self, sending: Sending, request: Request, listener: Listener, now: float) -> None:
        """Say how to come back by the listener that it leaves by."""
        user = self.registration.user or _user_of(self.registration.aor)
        # As it stands in Record-Route, with a user: it leads here in the same way.
        uri = listener.record_route.partition("<sip:")[2].removesuffix(";lr")
        self._contact = f"sip:{user}@{uri}"
        request.set("Contact", f"<{self._contact}>")

    def next_cseq(self, sending: Sending) -> int:
        """Return the number of the REGISTER with credentials."""
        self._cseq += 1
        return self._cseq

    # --- what becomes of it

    def final(self, sending: Sending, response: Response, now: float) -> None:
        """Go by the answer, or by there being none."""
        if sending is not self._sending or self._ending:
            return
        status = response.status
        if status < 300:
            self._accepted(response, now)
        elif sending.made:
            self._failed(self._why(sending), now)
        elif status == 423 and not self._raised and self._raise_expires(response):
            self._register(now)
        else:
            self._failed(f"{status} {response.reason[:_SHOWN]}", now, _seconds(response, "retry-after"))

    def _why(self, sending: Sending) -> str:
        if sending.broke:
            return sending.broke
        target = self.registration.target
        return f"no way to {host_text(target.host, target.port or DEFAULT_PORT)}"

    def _accepted(self, response: Response, now: float) -> None:
        granted = self._granted(response)
        self._pause = 0.0
        if not self.registered:
            self.registered = True
            self._core.notify(UpstreamChanged(self.registration.aor, True, f"for {granted} s"), now)
        # Early enough to fail once and try again, and never more than twice as often as needed.
        self._wait(max(granted / 2, granted - _MARGIN), now)

    def _granted(self, response: Response) -> int:
        """Return for how long we are registered: as our Contact says, or Expires (RFC 3261 10.2.4)."""
        seconds = response.expires
        try:
            contacts = response.contacts
        except RemoteProtocolError:
            contacts = []
        for contact in contacts if isinstance(contacts, list) else ():
            text = contact.params.get("expires")
            if text and text.isascii() and text.isdigit() and str(contact.uri) == self._contact:
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
        pause = self._pause * (0.5 + self._core.entropy.number(1000) / 2000)
        self._wait(max(pause, min(wanted or 0.0, _LONGEST_PAUSE)), now)

    def _wait(self, seconds: float, now: float) -> None:
        self._stop()
        self._timer = self._core.proxy.timers.start(now, seconds, self, "register")

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._sending = None


def _seconds(response: Response, name: str) -> float | None:
    text = (response.get(name) or "").partition("(")[0].partition(";")[0].strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

"""The relay itself: its connections, its URIs, and the users who get them (RFC 4976 6.2, 6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sansip.errors import RemoteProtocolError
from sansip.modules.msrp.ends import Outgoing
from sansip.modules.msrp.relay import Refused, Rules
from sansip.modules.msrp.sessions import Session, Sessions
from sansip.msrp import MsrpUri
from sansip.msrp.uri import DEFAULT_PORT
from sansip.transport.transports import TCP
from sansip.wire.headers.auth import parse_credentials

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.module.digest import Proof
    from sansip.modules.msrp.parts import Hop
    from sansip.modules.msrp.settings import MsrpSettings
    from sansip.msrp import Head

__all__ = ["MsrpRefused", "Node"]

# Characters of a stranger's text in an event.
SHOWN = 160


@dataclass(slots=True)
class MsrpRefused:
    """An event: a message of MSRP did not pass, or a user was not believed."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"msrp from {self.source}: {self.reason}"


class Node(Rules):
    """The relay."""

    def __init__(self, core: Core, settings: MsrpSettings) -> None:
        self.core = core
        self.settings = settings
        self.sessions = Sessions()
        self.outgoing: dict[tuple[bool, str, int], Outgoing] = {}
        # Connections of other relays that have asked for a URI by their certificate.
        self._shown: set[Hop] = set()
        self._digest = core.digest()
        self._refusals = core.counter("refused", "Messages of MSRP that did not pass")
        self._opened = core.counter("sessions_opened", "URIs that were handed out")

    # --- connections

    def entered(self, side: Hop, now: float) -> None:
        """A client has connected."""
        # RFC 4976 6.1
        self.core.timers.start(now, self.settings.probation, side, "probation")

    def left(self, side: Hop, now: float, reason: str = "") -> None:
        """A connection is gone."""
        if side.ended:
            return
        self._shown.discard(side)
        if isinstance(side, Outgoing):
            self.outgoing.pop(side.key, None)
            if reason:
                self.refused(side, reason)
        super().left(side, now)

    def others(self) -> list[Hop]:
        return [*self._shown, *self.outgoing.values()]

    def outward(self, uri: MsrpUri, user: str, now: float) -> Hop:
        if not uri.port:
            # RFC 4976 8: only the last URI of an AUTH may have none.
            raise Refused(400, f"no port in {uri.text[:80]!r}")
        if uri.transport != TCP:
            # RFC 7977 5.1: nobody can connect to a client over WebSocket.
            raise Refused(481, f"nobody can connect over {uri.transport[:20]}")
        key = (uri.secure, uri.host, uri.port)
        side: Hop | None = self.outgoing.get(key)
        if side is None and uri.secure and self._is_relay(uri.host):
            # That relay has connected itself.
            side = next((one for one in self._shown if uri.host in one.identities), None)
        if side is None:
            settings = self.settings
            if len(self.outgoing) >= settings.connections:
                raise Refused(403, "too many connections to others (msrp.connections)")
            if sum(one.user == user for one in self.outgoing.values()) >= settings.connections_per_user:
                reason = f"{user[:40]} has too many connections opened (msrp.connections_per_user)"
                raise Refused(403, reason)
            side = self.outgoing[key] = Outgoing(self, uri, user, now)
        return side

    def is_own(self, uri: MsrpUri) -> bool:
        host = uri.host
        if host == self.settings.host.lower():
            return True
        # At the same address another relay may listen at another port.
        port = uri.port or DEFAULT_PORT
        return any(host == str(one[0]).lower() and port == one[1] for one in self._listening())

    def is_here(self, uri: MsrpUri) -> bool:
        # RFC 4975 6.1: another port is another URI; a client or relay may listen there.
        if not self.is_own(uri):
            return False
        ports = [one[1] for one in self._listening()] or [DEFAULT_PORT]
        return not uri.port or uri.port in ports

    def _listening(self) -> list[tuple[str, int]]:
        return [*self.core.listening("msrps"), *self.core.listening("msrp")]

    def refused(self, side: Hop, reason: str) -> None:
        self._refusals.add()
        self.core.notify(MsrpRefused(side.source, reason[:SHOWN]), self.core.ua.now)

    # --- AUTH

    def authenticate(self, side: Hop, head: Head, now: float) -> None:
        settings = self.settings
        if not side.secure and not settings.plain_auth:
            # RFC 4976 8, 9.2
            self._deny(side, head, 403, "AUTH without TLS (msrp.plain_auth)", now)
            return
        if side.proving:
            self._deny(side, head, 400, "an AUTH while another is looked at", now)
            return
        asked = head.get("expires")
        if asked and not (asked.isascii() and asked.isdecimal()):
            self._deny(side, head, 400, f"Expires {asked[:20]!r}", now)
            return
        relay = self._relay_of(side, head)
        if relay:
            self._shown.add(side)
            self._grant(side, head, f"relay {relay}", "", now, relay)
            return
        given = head.get("authorization")
        if given and not _has_qop(given):
            # RFC 4976 9.1; without it the same credentials would be good again and again.
            self._deny(side, head, 400, "credentials without qop", now)
            return
        side.proving = True
        realm = settings.realm or self.core.domains[0]
        # RFC 4976 9.1: A2 is of the rightmost URI.
        uri = head.to_path[-1].text

        def done(proof: Proof, now: float) -> None:
            side.proving = False
            if not side.ended:
                self._proved(side, head, proof, now)

        self._digest.prove(given, "AUTH", uri, realm, side.source, now, done)

    def _proved(self, side: Hop, head: Head, proof: Proof, now: float) -> None:
        if proof.broken or proof.wait:
            self._deny(side, head, 403, proof.reason, now)
            return
        if not proof.user:
            challenges = [("WWW-Authenticate", one) for one in proof.challenges]
            self._answer(side, head, 401, now, challenges)
            if head.get("authorization"):
                stale = any("stale=true" in one for one in proof.challenges)
                self.refused(side, f"AUTH: {proof.reason}")
                self.auth_failed(side, stale, now)
            return
        self._grant(side, head, proof.user, proof.info, now)

    def _relay_of(self, side: Hop, head: Head) -> str:
        """Return the name of the relay that ``head`` comes from, "" where it is none that is known.

        RFC 4976 6.3: the name in its certificate is the host in the first From-Path URI.
        """
        host = head.from_path[0].host
        if len(head.from_path) < 2 or host not in side.identities:
            return ""
        return host if self._is_relay(host) else ""

    def _is_relay(self, host: str) -> bool:
        return host in (one.lower() for one in self.settings.relays)

    def _grant(self, side: Hop, head: Head, user: str, info: str, now: float, relay: str = "") -> None:
        """Hand out a URI, if its time and the limits allow it."""
        settings = self.settings
        # RFC 4976 7: any number of digits.
        expires = int(head.get("expires").lstrip("0")[:10] or 0) if head.get("expires") else settings.expires
        # RFC 4976 4.6, 6.3
        if expires < settings.min_expires:
            self._answer(side, head, 423, now, [("Min-Expires", str(settings.min_expires))])
        elif expires > settings.max_expires:
            self._answer(side, head, 423, now, [("Max-Expires", str(settings.max_expires))])
        elif not relay and self.sessions.of_user(user) >= settings.sessions_per_user:
            self._deny(side, head, 403, f"{user[:40]} has too many URIs (msrp.sessions_per_user)", now)
        elif len(self.sessions) >= settings.sessions:
            self._deny(side, head, 403, "too many URIs (msrp.sessions)", now)
        else:
            self._open(side, head, user, info, expires, relay, now)

    def _open(
        self, side: Hop, head: Head, user: str, info: str, expires: int, relay: str, now: float
    ) -> None:
        # RFC 4976 6.3: 64 random bits at the least.
        session = Session(self.token() + self.token(), user, side, now + expires)
        session.relay = relay
        session.client = head.from_path[0]
        session.timer = self.core.timers.start(now, float(expires), self, session)
        self.sessions.add(session)
        self._opened.add()
        # RFC 4976 5.1: in the order of a To-Path; the relays between come first.
        between = [one.text for one in reversed(head.from_path[:-1])]
        path = " ".join([*between, self._uri(session.id)])
        fields = [("Use-Path", path), ("Expires", str(expires))]
        if info:
            fields.append(("Authentication-Info", info))
        side.failures = 0
        self._answer(side, head, 200, now, fields)

    def _uri(self, id: str) -> str:
        secure = self.core.listening("msrps")
        listening = secure or self.core.listening("msrp")
        port = listening[0][1] if listening else DEFAULT_PORT
        return MsrpUri.write(bool(secure), self.settings.host, port, id)

    def _deny(self, side: Hop, head: Head, status: int, reason: str, now: float) -> None:
        self.refused(side, reason)
        self._answer(side, head, status, now)

    def timer_fired(self, session: Session, now: float) -> None:
        """RFC 4976 6.3: the URI's time is over."""
        self.sessions.remove(session)


def _has_qop(authorization: str) -> bool:
    """Whether credentials have a qop; true for what cannot be read, which is judged elsewhere."""
    try:
        return "qop" in parse_credentials(authorization, "Authorization", "RFC 4976 9.1").params
    except RemoteProtocolError:
        return True

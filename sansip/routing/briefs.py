"""A plain OPTIONS for the server, or REGISTER, answered from its octets: the shortcut without a message.

Theory of operation: a request that can be read in brief (``sansip.wire.brief``), came straight from its
sender in a datagram or over a stream, and leaves no question open is answered before a message is made of it.
Where a question is open, this does nothing, and the request goes the long way (``shortcut``, then the default
route). The long way is the reference: the same actions follow, octet for octet
(``tests/routing/test_shortcut.py``, ``test_brief_streams.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.actions import Notify
from sansip.bindings_changed import BindingsChanged
from sansip.location import LocationUpdate, Source
from sansip.registrar.config import USER_AGENT_SIZE
from sansip.registrar.contact import kept_agent
from sansip.registrar.ordinary import grant, ok_lines, plan_ordinary
from sansip.routing.brief_proof import challenge_lines, credentials_in, prove
from sansip.routing.shortcut import OK
from sansip.routing.stored_briefs import StoredRegister
from sansip.transaction.refusals import refusal_tag
from sansip.transport import Flow
from sansip.transport.nat import is_hidden_at, names_source
from sansip.transport.transports import DEFAULT_PORT, DEFAULT_PORTS, UDP
from sansip.wire.brief import Brief, read_brief
from sansip.wire.fields import encode
from sansip.wire.splice import noted

if TYPE_CHECKING:
    from sansip.actions import Address
    from sansip.entropy import Entropy
    from sansip.location import MemoryLocation
    from sansip.registrar import Registrar
    from sansip.routing.core import Core
    from sansip.routing.gate import Gate
    from sansip.routing.shortcut import Shortcut
    from sansip.transaction import TransactionLayer
    from sansip.transport import Listeners

__all__ = ["BEGINNINGS", "Briefs"]

_UNAUTHORIZED: Final = "SIP/2.0 401 Unauthorized"
_noted: Final[Any] = noted
# First octets of the methods that can be read in brief.
BEGINNINGS: Final = frozenset(b"OR")


class Briefs:
    """Answers of one stack to requests that are read in brief.

    ``gate`` counts the requests of a sender.
    """

    __slots__ = (
        "_core",
        "_entropy",
        "_gate",
        "_limits",
        "_listeners",
        "_location",
        "_parts",
        "_registrar",
        "_shortcut",
        "_transactions",
        "_trusted",
        "_ua",
        "_wall",
    )

    def __init__(self, core: Core, shortcut: Shortcut, gate: Gate) -> None:
        self._core = core
        self._shortcut = shortcut
        self._gate = gate
        self._parts = core.parts
        # Parts that a stack keeps as long as it lives.
        self._entropy: Entropy = core.proxy.entropy
        self._limits = core.limits
        self._listeners: Listeners = core.listeners
        self._location: MemoryLocation = core.location
        self._registrar: Registrar = core.registrar
        self._transactions: TransactionLayer = core.proxy.transactions
        self._trusted = core.trusted
        self._ua = core.ua
        self._wall = core.wall

    def answers(
        self,
        data: bytes,
        listener: int,
        source: Address,
        force_rport: str,
        now: float,
        over: Flow | None = None,
    ) -> bool:
        """Answer the request in ``data``, a datagram, and return True; or do nothing.

        The default route is to decide on it, and no limit but that of its sender is reached. ``over``: the
        connection that it came by, if it is no datagram.
        """
        if over is not None and self._parts.siblings is not None:
            return False
        read = read_brief(data, self._limits)
        if read is None:
            return False
        brief, lines = read
        is_options = brief.method == "OPTIONS"
        if not self._shortcut.is_open_unread(brief.method):
            return False
        host: str = source[0]
        port: int = source[1]
        sent_host = brief.sent_host
        if sent_host != host:
            sent_host = sent_host.lower()
        sent_port = DEFAULT_PORT if brief.sent_port is None else int(brief.sent_port)
        via = None
        if brief.rport is not None or brief.rport_behind is not None:
            # RFC 3581 4: the answer goes back to the source, whatever sent-by says.
            via = _noted(brief.via, host, port)
        elif sent_host != host or (over is None and (sent_port != port or force_rport == "always")):
            # RFC 3261 18.2.1; over a connection the port says nothing (18.2.2).
            return False
        if ":" in host:
            return False
        listeners = self._listeners
        key = brief.key
        transactions = self._transactions
        ours = None if brief.port is None else int(brief.port)
        if (
            transactions.find_server(key, brief.method) is not None
            or transactions.full
            or not (listeners.serves(brief.host, ours) or listeners.serves(brief.host.lower(), ours))
            # RFC 3261 16.3 step 4: it may be a loop.
            or listeners.is_own_sent_by(brief.sent_by)
        ):
            return False
        flow = Flow(UDP, listener, source) if over is None else over
        if is_options:
            return brief.user is None and self._answers_options(brief, lines, via, key, flow, now)
        contact = brief.contact_line
        if contact is None or "reg-id" in contact:
            return False
        received = None
        if (
            sent_host != host
            or sent_port != port
            or ((brief.contact_user is None or brief.contact_host != host) and f"@{host}" not in contact)
        ):
            # RFC 3261 18.2.1: a NAT may be in between.
            place = _place(brief, flow.transport)
            if place is None:
                return False
            sent = sent_host, None if brief.sent_port is None else sent_port
            asks = via is not None
            if not names_source(sent, asks, contact, flow) and is_hidden_at(sent, asks, place, flow):
                received = Source(flow.transport, host, port)
        return self._registers(brief, lines, via, key, flow, now, data, force_rport, received)

    def _answers_options(
        self, brief: Brief, lines: tuple[str, ...], via: str | None, key: str, flow: Flow, now: float
    ) -> bool:
        if self._parts.authenticator is not None and self._listeners.serves(brief.from_host.lower()):
            return False
        trusted = self._trusted
        if trusted.peers and trusted.of(flow) is not None:
            return False
        if not self._gate.allows(flow, now):
            return True
        tag = refusal_tag(key, brief.call_id, self._entropy)
        transactions = self._transactions
        # As in the shortcut.
        transactions.latest = number = transactions.latest + 1
        data = _octets(brief, lines, via, tag, self._shortcut.capabilities)
        transactions.sender.send(flow, data, now, number)
        self._ua.now = now
        return True

    def _challenges(
        self,
        brief: Brief,
        lines: tuple[str, ...],
        via: str | None,
        key: str,
        host: str,
        flow: Flow,
        now: float,
    ) -> bool:
        """Ask for the password, without state (RFC 3261 22.2, 8.2.7)."""
        core = self._core
        if core.bearer is not None:
            return False
        if not self._gate.allows(flow, now):
            return True
        transactions = core.proxy.transactions
        # As in the shortcut.
        transactions.latest = number = transactions.latest + 1
        rest = challenge_lines(core, "WWW-Authenticate", core.realm_at(host), flow, now) + self._shortcut.end
        tag = refusal_tag(key, brief.call_id, core.proxy.entropy)
        data = _octets(brief, lines, via, tag, rest, _UNAUTHORIZED)
        transactions.sender.send(flow, data, now, number)
        core.ua.now = now
        return True

    def _registers(
        self,
        brief: Brief,
        lines: tuple[str, ...],
        via: str | None,
        key: str,
        flow: Flow,
        now: float,
        data: bytes,
        force_rport: str,
        received: Source | None,
    ) -> bool:
        """``received``: the source, where a NAT is in between."""
        core = self._core
        shortcut = self._shortcut
        transactions = self._transactions
        user, host = brief.to_user, brief.to_host.lower()
        if (
            user is None
            or not (shortcut.takes_registers or shortcut.is_registering)
            or transactions.crowded_by(1)
            or (
                # Mostly the Request-URI has named it.
                (brief.to_host != brief.host or brief.to_port != brief.port)
                and not self._listeners.serves(host, None if brief.to_port is None else int(brief.to_port))
            )
        ):
            return False
        registrar = self._registrar
        supported = brief.supported
        if supported is not None and registrar.gruus is not None and "gruu" in supported.lower():
            return False
        credentials = None
        asks = self._parts.authenticator is not None
        if asks:
            found = credentials_in(data)
            if found is None:
                return self._challenges(brief, lines, via, key, host, flow, now)
            if isinstance(found, bool):
                return False
            credentials = found
        domains = self._parts.addresses.domains
        if domains and host not in domains:
            # Another name of the server.
            return False
        contact = brief.contact
        expires = brief.expires if brief.contact_expires is None else brief.contact_expires
        granted = grant(
            registrar,
            (contact, brief.contact_user, brief.contact_host, brief.contact_port, brief.contact_params),
            None if expires is None else int(expires),
            brief.call_id,
            received,
            self._listeners.names_us,
            flow.address[0].startswith("127."),
        )
        if not granted:
            return False
        aor = f"sip:{user}@{host}"
        agent = None if brief.agent is None else brief.agent.strip(" \t")[:USER_AGENT_SIZE]
        proof = None
        if credentials is not None:
            names = user, f"{user}@{host}"
            hashed = "REGISTER", _uri(brief), b""
            proof = prove(core, credentials, core.realm_at(host), names, hashed, flow, now)
            if proof is None:
                return False
        cseq = int(brief.cseq)
        renewal = planned = None
        parts = self._parts
        stores = parts.durable or parts.changes is not None
        if flow.conn or stores:
            agent = kept_agent(agent)
        sent = brief.call_id, cseq, agent
        if flow.conn:
            # RFC 5626 5.3: a binding made over a connection keeps that.
            if stores:
                return False
            planned = self._planned(aor, sent, (contact, granted), received, flow, now)
            if planned is None:
                return False
        elif not stores:
            renewal = self._location.renewal(
                aor, contact, brief.call_id, cseq, now + granted, now, flow.listener, received, agent
            )
            if renewal is None:
                return False
        siblings = parts.siblings
        if siblings is not None and not siblings.claims(key, now):
            # Another worker has it: it came before, from another port.
            return False
        if not self._gate.allows(flow, now):
            return True
        self._ua.now = now
        end = shortcut.end
        info = None
        if proof is not None:
            info = proof.accept(core, flow, now)
            end = _end(end, info)
        server = transactions.open_server(key, "REGISTER", flow, None)
        if planned is not None:
            update, rest = planned
            self._location.apply(update, now)
            core.registered(aor, len(update.after))
            server.feed("send 2xx", _ok(self._entropy, brief, lines, via, end, rest), now)
            return True
        if renewal is None:
            # A store has to take the binding; the 200 follows.
            ok = partial(_ok, self._entropy, brief, lines, via, end)
            asked = contact, granted, received
            stored = StoredRegister(
                core, data, server, aor, sent, asked, ok, force_rport, proof is not None, info
            )
            stored.begin(now)
            return True
        self._location.renew(renewal)
        # As ``registered`` of the core.
        parts.out.append(Notify(BindingsChanged(aor, 1, "registered")))
        rest = ok_lines(registrar, contact, granted, received, now, self._wall.offset)
        server.feed("send 2xx", _ok(self._entropy, brief, lines, via, end, rest), now)
        return True

    def _planned(
        self,
        aor: str,
        sent: tuple[str, int, str | None],
        asked: tuple[str, int],
        received: Source | None,
        flow: Flow,
        now: float,
    ) -> tuple[LocationUpdate, str] | None:
        """Return as ``plan_ordinary`` what a REGISTER over a connection changes; None where that may fail."""
        core = self._core
        limits, location = core.limits, core.location
        if location.aors >= limits.aors or not limits.bindings_per_aor:
            return None
        current = location.lookup(aor, now)
        # It replaces one contact at the most, and counts the others.
        return plan_ordinary(core.registrar, sent, asked, aor, current, now, flow, received, core.wall.offset)


def _place(brief: Brief, transport: str) -> tuple[str, int] | None:
    """Return host and port of the Contact, reached by ``transport``; None where a parameter may say else."""
    params, port = (brief.contact_params or "").lower(), brief.contact_port
    if "transport" in params and params != f";transport={transport}":
        return None
    return str(brief.contact_host).lower(), DEFAULT_PORTS[transport] if port is None else int(port)


def _uri(brief: Brief) -> str:
    """Return the Request-URI, which has no parameters, as written."""
    user = "" if brief.user is None else f"{brief.user}@"
    port = "" if brief.port is None else f":{brief.port}"
    return f"sip:{user}{brief.host}{port}"


def _end(end: str, info: Callable[[bytes], str] | None) -> str:
    """Return ``end``, the last lines of an answer, with Authentication-Info (RFC 7616 3.5)."""
    return end if info is None else f"{end[:-2]}Authentication-Info: {info(b'')}\r\n\r\n"


def _ok(
    entropy: Entropy, brief: Brief, lines: tuple[str, ...], via: str | None, end: str, rest: str
) -> bytes:
    """Return the 200 with ``rest`` and ``end`` behind the copied lines."""
    return _octets(brief, lines, via, entropy.token(), rest + end)


def _octets(
    brief: Brief, lines: tuple[str, ...], via: str | None, tag: str, rest: str, start: str = OK
) -> bytes:
    """Return the answer (RFC 3261 8.2.6.2): ``lines``, with ``via`` for its Via, and ``tag`` in To."""
    tagged = f"{brief.to};tag={tag}"
    if lines[0] == brief.via and lines[2] == brief.to:
        return encode(
            f"{start}\r\n{via or lines[0]}\r\n{lines[1]}\r\n{tagged}\r\n{lines[3]}\r\n{lines[4]}\r\n{rest}"
        )
    copied = [tagged if one == brief.to else via if via and one == brief.via else one for one in lines]
    return encode("\r\n".join([start, *copied, rest]))

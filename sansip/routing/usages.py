"""A SUBSCRIBE, a PUBLISH or a MESSAGE that a module answers from its octets, without a route.

Theory of operation: what can be read in brief (``sansip.wire.usage``), came straight from its sender in a
datagram, and is seen by no other module is shown to the one that claims its method. If that has a question
open, this does nothing, and the request goes the long way (``Module.request_received``). The long way is the
reference: the same actions follow, octet for octet (``tests/routing/test_usages.py``).

Where users have passwords, the request of one has to bring a proof (``brief_proof``), which counts when the
module admits the sender; a challenge is for the long way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from sansip.routing.brief_proof import prove_user
from sansip.routing.request import IncomingRequest
from sansip.transport import Flow
from sansip.transport.transports import DEFAULT_PORT, UDP
from sansip.transport.via import read_noted
from sansip.wire import response_to
from sansip.wire.abnf import compiled
from sansip.wire.fields import encode, header_line
from sansip.wire.host import plain_host
from sansip.wire.usage import read_usage

if TYPE_CHECKING:
    from sansip.actions import Address
    from sansip.routing.brief_proof import BriefProof
    from sansip.routing.core import Core
    from sansip.transaction import ServerTransaction
    from sansip.wire.usage import Usage

__all__ = ["FIRST_OCTETS", "UsageArrived", "Usages"]

# First octets of the methods that can be read in brief; ``_METHODS`` has more of them.
FIRST_OCTETS: Final = frozenset(b"MPS")
_METHODS: Final = (b"SUBSCRIBE ", b"PUBLISH ", b"MESSAGE ")
# RFC 3261 22.2, 22.3: this server answers itself, or is a proxy.
_CREDENTIALS: Final = {
    "SUBSCRIBE": "authorization",
    "PUBLISH": "authorization",
    "MESSAGE": "proxy-authorization",
}
# A user part that is the same escaped and unescaped (``location.aor``).
_is_plain: Final = compiled(r"[\w\-.+]+").fullmatch
_NAMES: Final = {one[0]: one.decode().rstrip() for one in _METHODS}
_OF_MESSAGE: Final = ord("M")


class UsageArrived:
    """One request that a module answers.

    Attributes:
        usage: what was read of it.
        flow: where it came from, which is where answers go.
        now: when it came.
        proves: whether its sender proves to be the user in From.
    """

    __slots__ = (
        "_core",
        "_data",
        "_force_rport",
        "_handle",
        "_info",
        "_proof",
        "_server",
        "_via",
        "flow",
        "now",
        "proves",
        "usage",
    )

    def __init__(
        self, core: Core, usage: Usage, data: bytes, flow: Flow, via: str, force_rport: str, now: float
    ) -> None:
        self._core = core
        self._data = data
        self._force_rport = force_rport
        self._via = via
        self._server: ServerTransaction | None = None
        # The long way, once it is needed.
        self._handle: IncomingRequest | None = None
        self._proof: BriefProof | None = None
        # Makes Authentication-Info of the body of a 2xx.
        self._info: Callable[[bytes], str] | None = None
        self.usage = usage
        self.flow = flow
        self.now = now
        self.proves = False

    @property
    def core(self) -> Core:
        """The parts of the stack."""
        return self._core

    @property
    def aor(self) -> str:
        """The address-of-record that its Request-URI means, "" where that is for the long way."""
        usage = self.usage
        host, domains = usage.host.lower(), self._core.addresses.domains
        if usage.user is None or usage.gr is not None or (domains and host not in domains):
            return ""
        return f"sip:{usage.user}@{host}"

    @property
    def sender(self) -> str:
        """The address-of-record in From, "" where that is for the long way."""
        usage = self.usage
        user, host, domains = usage.from_user, usage.from_host.lower(), self._core.addresses.domains
        if user is None or _is_plain(user) is None or (domains and host not in domains):
            return ""
        return f"sip:{user}@{host}"

    def proven_by(self, proof: BriefProof) -> None:
        """Its sender proves who it is by ``proof``, which ``admit`` counts."""
        self._proof = proof

    def admit(self, now: float) -> None:
        """Count what its sender proves, where the long way asks who that is."""
        proof, self._proof = self._proof, None
        if proof is None:
            return
        core = self._core
        if self.usage.method == "MESSAGE":
            # RFC 7616 3.5: a proxy says nothing of it.
            proof.count(core, self.flow, now)
        else:
            self._info = proof.accept(core, self.flow, now)
        handle = self._handle
        if handle is not None:
            self._prove(handle)

    def _prove(self, handle: IncomingRequest) -> None:
        handle.authenticated = True
        handle.authentication_info = self._info
        # RFC 3261 22.3: no next hop sees them.
        handle.message.remove(_CREDENTIALS[self.usage.method])

    def open(self, key: str) -> None:
        """Begin its transaction, and have a 100 sent if the answer takes long."""
        core = self._core
        self._server = core.proxy.transactions.open_server(key, self.usage.method, self.flow, None)

    def waits(self, now: float) -> None:
        """The answer waits for the outside."""
        proxy = self._core.proxy
        proxy.timers.start(now, proxy.trying_after, self, "trying")

    def timer_fired(self, _name: str, now: float) -> None:
        """RFC 4320 4.1: a 100 at the time after which a client's Timer E is T2, where there is no answer."""
        server = self._server
        assert server is not None
        if not server.last and not server.answered:
            server.respond(response_to(self.handle(now).message, 100, to_tag=None), now)

    def grant(self, lines: str, now: float, tag: str = "", start: str = "SIP/2.0 200 OK") -> None:
        """Answer with a 2xx: ``lines``, each with its CRLF, behind those that are copied.

        ``tag``: that of To, where the request has none.
        """
        core, usage = self._core, self.usage
        server = self._server
        assert server is not None
        via = usage.via
        to = usage.lines["to"]
        tagged = f"{to};tag={tag}" if tag else to
        copied = [self._via if line is via else tagged if line is to else line for line in usage.copied]
        name = core.server_name
        end = f"{header_line('Server', name)}\r\n" if name else ""
        if self._info is not None:
            end = f"{end}Authentication-Info: {self._info(b'')}\r\n"
        text = "\r\n".join([start, *copied, lines])
        server.feed("send 2xx", encode(f"{text}Content-Length: 0\r\n{end}\r\n"), now)

    def guarded(
        self, told: Callable[[Any, float], None], failed: Callable[[str, BaseException], None]
    ) -> Callable[[Any, float], None]:
        """Return ``told(result, now)``, which answers with 500 if it raises; ``failed`` hears of that."""

        def act(result: Any, now: float) -> None:
            try:
                told(result, now)
            except Exception as error:
                failed("usage_received", error)
                self.fail(now)

        return act

    def fail(self, now: float) -> None:
        """Answer with a 500, where nothing has answered yet."""
        server = self._server
        if server is not None and not server.answered:
            self.handle(now).reply(500)

    def handle(self, now: float) -> IncomingRequest:
        """Return the request as ``Module.request_received`` gets it, for what has to be decided there."""
        handle = self._handle
        if handle is None:
            message = read_noted(self._data, self.flow, self._force_rport)
            handle = self._handle = IncomingRequest(self._core, message, self.flow, self._server, now)
            if self.proves and self._proof is None:
                self._prove(handle)
            if self._server is not None:
                self._server.user = handle
        handle.now = now
        return handle


class _Taken(Protocol):
    """What a module returns for a request that it answers: it begins its work."""

    def __call__(self, arrived: UsageArrived, now: float) -> None: ...


class Usages:
    """Shows requests that are read in brief to the modules of one stack.

    ``allows(flow, now)`` counts a request of a sender, and says whether it may send one more; if not, it has
    told so.
    """

    __slots__ = ("_allows", "_core")

    def __init__(self, core: Core, allows: Callable[[Flow, float], bool]) -> None:
        self._core = core
        self._allows = allows

    def answers(self, data: bytes, listener: int, source: Address, force_rport: str, now: float) -> bool:
        """Have a module answer the request in ``data``, a datagram, and return True; or do nothing."""
        if not data.startswith(_METHODS):
            return False
        core = self._core
        modules = core.modules
        taker = modules.takers.get(_NAMES[data[0]])
        if taker is None or modules.stack_hooks.message_arrived or core.siblings is not None:
            return False
        if data[0] == _OF_MESSAGE and _has_phone(core, data, now):
            # It is relayed: a reading would be for nothing.
            return False
        usage = read_usage(data, core.limits)
        if usage is None:
            return False
        host, port = source[:2]
        sent_host = usage.sent_host.lower()
        sent_port = DEFAULT_PORT if usage.sent_port is None else int(usage.sent_port)
        # RFC 3261 18.2.1: where a NAT may be in between, more is to be looked at (``transport.nat``).
        if sent_host != host or sent_port != port or ":" in host:
            return False
        via = usage.via
        if usage.rport is not None or usage.rport_behind is not None:
            # RFC 3581 4: the answer goes back to the source, whatever sent-by says.
            before, _, behind = via.partition(";rport")
            via = f"{before};rport={port};received={host}{behind}"
        elif force_rport == "always":
            return False
        sent_by = sent_host if usage.sent_port is None else f"{sent_host}:{sent_port}"
        key = f"{usage.branch} {sent_by}"
        listeners = core.listeners
        transactions = core.proxy.transactions
        if (
            transactions.find_server(key, usage.method) is not None
            or transactions.full
            or transactions.crowded_by(1)
            or not listeners.serves(usage.host.lower(), None if usage.port is None else int(usage.port))
            # RFC 3261 16.3 step 4: it may be a loop.
            or listeners.is_own_sent_by(sent_by)
            # A trusted address is for the long way.
            or core.trusted.peers
        ):
            return False
        field = _CREDENTIALS[usage.method]
        if core.authenticator is None:
            if field in usage.lines:
                return False
        elif field not in usage.lines or not listeners.serves(usage.from_host.lower()):
            # It is asked for a password, or may be a stranger.
            return False
        arrived = UsageArrived(core, usage, data, Flow(UDP, listener, source), via, force_rport, now)
        arrived.proves = core.authenticator is not None
        taken: _Taken | None = taker.take(arrived, now)
        if taken is None:
            return False
        if arrived.proves:
            proof = _prove(core, usage, arrived.flow, now)
            if proof is None:
                return False
            arrived.proven_by(proof)
        if not self._allows(arrived.flow, now):
            return True
        core.ua.now = now
        arrived.open(key)
        if data[0] == _OF_MESSAGE:
            # The default route asks before it shows a module a text.
            arrived.admit(now)
        taker.act(taken, arrived, now)
        return True


def _prove(core: Core, usage: Usage, flow: Flow, now: float) -> BriefProof | None:
    """Return the proof that the sender is the user in From; None where more must be looked at."""
    contact = usage.lines.get("contact", "").lower()
    # RFC 5627 6.2: a GRUU in Contact has to be the sender's own.
    if usage.method == "MESSAGE" and (";gr" in contact or "%" in contact):
        return None
    user = "" if usage.user is None else f"{usage.user}@"
    port = "" if usage.port is None else f":{usage.port}"
    uri = f"sip:{user}{usage.host}{port}{usage.gr or ''}"
    return prove_user(
        core,
        usage.lines[_CREDENTIALS[usage.method]],
        (usage.from_user or "", plain_host(usage.from_host.lower())),
        (usage.method, uri, usage.body),
        flow,
        now,
    )


def _has_phone(core: Core, data: bytes, now: float) -> bool:
    """Whether the Request-URI is that of a registered user, as most are written."""
    uri = data[8 : data.find(b" ", 8)].decode("latin-1")
    return bool(core.location.lookup(uri, now))

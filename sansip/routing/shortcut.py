"""Two requests that the default route would answer at once: OPTIONS for the server, and an ordinary REGISTER.

Theory of operation: no module, store or password has a say, so the answer follows from the request, the
settings and the location service. Then it is made of the lines of the request: no handle, no coroutine, no
message. The default route is the reference: where anything is not plain the shortcut does nothing at all, and
the route decides; otherwise the actions are the same (``tests/routing/test_shortcut.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sansip.location import Outcome
from sansip.registrar.contact import agent_of
from sansip.registrar.ordinary import ok_lines, ordinary_contact, plan_ordinary
from sansip.routing.itself import capabilities
from sansip.routing.registration import origin_of
from sansip.routing.terms import is_local
from sansip.transaction.layer import sent_by_in
from sansip.transaction.refusals import refusal_tag
from sansip.wire import SipUri
from sansip.wire.compose import answer_octets
from sansip.wire.fields import header_line

if TYPE_CHECKING:
    from sansip.registrar import Registrar
    from sansip.routing.core import Core
    from sansip.transport import Flow
    from sansip.wire import Request

__all__ = ["METHODS", "OK", "Shortcut"]

METHODS: Final = frozenset(("OPTIONS", "REGISTER"))
# Fields by which the route would decide otherwise.
_DECIDING: Final = frozenset(("route", "require", "proxy-require", "path"))
OK: Final = "SIP/2.0 200 OK"


class Shortcut:
    """The shortcut of one stack, whose parts are ``core``."""

    __slots__ = (
        "_capabilities",
        "_capable_end",
        "_core",
        "_extensions",
        "_modules",
        "_open",
        "_parts",
        "_registrar",
        "_sees",
        "_server",
        "_server_name",
        "_takes_registers",
    )

    def __init__(self, core: Core) -> None:
        self._core = core
        self._parts = core.parts
        self._registrar: Registrar = core.registrar
        # Lines made of settings, and what they were made of.
        self._extensions: frozenset[str] | None = None
        self._capabilities = ""
        self._capable_end: str | None = None
        self._server_name = ""
        self._server = ""
        # A set of modules, in which of ``METHODS`` none of them has a say, and whether none has in a binding.
        self._modules: object = None
        self._open: frozenset[str] = frozenset()
        self._sees = False
        self._takes_registers = False

    def answers(self, request: Request, key: str, back: Flow, flow: Flow, now: float) -> bool:
        """Answer ``request``, of one of ``METHODS``, along ``back`` and return True; or do nothing.

        It is new, not over a limit, came by ``flow``, and the default route is to decide on it.
        ``key``: that of its transaction.
        """
        core = self._core
        first = request._first
        uri = request.uri
        if (
            # A field on several lines may hide something.
            len(first) != len(request.keys)
            or not _DECIDING.isdisjoint(first)
            or type(uri) is not SipUri
            or uri.scheme != "sip"
            or "maddr" in request.uri_text
            or request.to_tag is not None
            or not self.is_open(request.method)
            # RFC 3261 16.3 step 3
            or request.max_forwards == 0
            or "," in first["via"]
            or not core.listeners.serves(uri.host, uri.port)
            # RFC 3261 16.3 step 4: it may be a loop.
            or core.listeners.is_own_sent_by(sent_by_in(key))
        ):
            return False
        core.ua.now = now
        if request.method == "OPTIONS":
            return uri.user is None and self._answers_options(request, key, back, flow, now)
        return self._registers(request, key, back, flow, now)

    def is_open(self, method: str) -> bool:
        """Whether the answer follows from the settings: no module and no other node has a say."""
        parts = self._parts
        if parts.modules is not self._modules:
            self._look()
        # Another node may ask whether this one lives.
        return method in self._open and (method == "REGISTER" or parts.nodes is None)

    def is_open_unread(self, method: str) -> bool:
        """The same, where no module wants to see each message that arrives either."""
        # As above, written out: this is asked at each message.
        parts = self._parts
        if parts.modules is not self._modules:
            self._look()
        return not self._sees and method in self._open and (method == "REGISTER" or parts.nodes is None)

    def _look(self) -> None:
        """Note what the modules have a say in: a set of them never changes."""
        modules = self._parts.modules
        self._open = frozenset(
            [
                method
                for method in METHODS
                if not (
                    modules.acts_on(method)
                    or modules.stages_of(method)["screen"]
                    or modules.stages_of(method)["identify"]
                )
            ]
        )
        self._takes_registers = not modules.stages_of("REGISTER")["register"]
        self._sees = bool(modules.stack_hooks.message_arrived)
        self._modules = modules

    @property
    def takes_registers(self) -> bool:
        """Whether no module has a say in a REGISTER."""
        if self._parts.modules is not self._modules:
            self._look()
        return self._takes_registers

    @property
    def is_registering(self) -> bool:
        """Whether a REGISTER needs no password, store or module."""
        core = self._core
        return not (
            core.authenticator is not None
            or core.durable
            or core.changes is not None
            or core.modules.stages_of("REGISTER")["register"]
        )

    @property
    def capabilities(self) -> str:
        """The lines behind the copied ones in the answer to an OPTIONS, and the empty line."""
        end = self.end
        extensions = self._registrar.capable
        if extensions is not self._extensions or end is not self._capable_end:
            self._extensions, self._capable_end = extensions, end
            lines = [f"{header_line(name, value)}\r\n" for name, value in capabilities(extensions)]
            self._capabilities = "".join(lines) + end
        return self._capabilities

    def _answers_options(self, request: Request, key: str, back: Flow, flow: Flow, now: float) -> bool:
        """Answer an OPTIONS for the server itself, without state (RFC 3261 11.2, 8.2.7)."""
        core = self._core
        trust = core.proxy.trust
        if core.authenticator is not None and trust.owns(request.from_.uri):
            return False
        if core.trusted.peers and core.trusted.of(flow) is not None:
            return False
        tag = refusal_tag(key, request.call_id, core.proxy.entropy)
        transactions = core.proxy.transactions
        # As if there had been a transaction: owners have the same numbers with and without the shortcut.
        transactions.latest = number = transactions.latest + 1
        data = answer_octets(request, OK, tag, self.capabilities)
        transactions.sender.send(back, data, now, number)
        return True

    def _registers(self, request: Request, key: str, back: Flow, flow: Flow, now: float) -> bool:
        """Act as registrar on an ordinary REGISTER (RFC 3261 10.3)."""
        core = self._core
        registrar = core.registrar
        transactions = core.proxy.transactions
        to = request.to.uri
        if (
            not self.is_registering
            or transactions.crowded_by(1)
            or type(to) is not SipUri
            or not core.listeners.serves(to.host, to.port)
        ):
            return False
        supported = request.first_line("supported")
        if supported is not None and registrar.gruus is not None and "gruu" in supported.lower():
            # RFC 5627 5.2: the 200 tells GRUUs.
            return False
        aor = core.addresses.of(to)
        kept, received = origin_of(request, flow)
        asked = ordinary_contact(registrar, request, received, core.listeners.names_us, is_local(flow))
        if asked is None:
            return False
        offset = core.wall.offset
        location = core.location
        renewal = None
        call_id, cseq, agent = sent = request.call_id, request.cseq.number, agent_of(request)
        if type(kept) is int:
            renewal = location.renewal(
                aor, asked[0], call_id, cseq, now + asked[1], now, kept, received, agent
            )
        if renewal is not None:
            location.renew(renewal)
            core.registered(aor, 1)
            lines = ok_lines(registrar, asked[0], asked[1], received, now, offset)
        else:
            current = location.lookup(aor, now)
            planned = plan_ordinary(registrar, sent, asked, aor, current, now, kept, received, offset)
            if planned is None or location.apply(planned[0], now) is not Outcome.DONE:
                return False
            update, lines = planned
            core.registered(aor, len(update.after))
        data = answer_octets(request, OK, core.proxy.entropy.token(), lines + self.end)
        transactions.open_server(key, "REGISTER", back, None).feed("send 2xx", data, now)
        return True

    @property
    def end(self) -> str:
        """The last lines of an answer without a body, and the empty one."""
        name = self._parts.server_name
        if name != self._server_name or not self._server:
            self._server_name = name
            server = f"{header_line('Server', name)}\r\n" if name else ""
            self._server = f"Content-Length: 0\r\n{server}\r\n"
        return self._server

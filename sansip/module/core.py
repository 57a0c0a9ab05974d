"""The interface of the stack for modules: they use nothing else of it.

Theory of operation: one facade for each module, so that figures have its name and its failures are known as
its own. No method in here waits. A module awaits in a coroutine: one that ``run`` begins, a route, or a
command.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sansip.auth import AuthConfig
from sansip.errors import LocalProtocolError
from sansip.events import ModuleFailed
from sansip.location import SharedLocation
from sansip.location.aor import address_of_record
from sansip.module.belongings import Belongings, ModuleTimers, Watch
from sansip.module.datagrams import Datagrams
from sansip.module.digest import Digest
from sansip.module.guarding import Guarding
from sansip.module.limiting import Rates
from sansip.module.metrics import Counter, Histogram
from sansip.module.plain import Plain, Unreached
from sansip.module.plain_socket import PlainSocket
from sansip.module.process import Named, Process
from sansip.module.rows import Rows
from sansip.module.sharing import Count, Limited, Shared
from sansip.module.streams import Stream, whole
from sansip.module.telling import Teller
from sansip.module.websockets import WebSocketPeer
from sansip.routing.awaitables import Question, ask
from sansip.routing.loss import drop
from sansip.routing.room import is_exempt
from sansip.routing.shared import take_record
from sansip.routing.tasks import begin
from sansip.rows import Table
from sansip.transport.transports import TCP, TLS
from sansip.wire import SipUri

if TYPE_CHECKING:
    from sansip.auth import Users
    from sansip.bans import Bans
    from sansip.clock import Wall
    from sansip.limits import Limits
    from sansip.location import Binding, MemoryLocation
    from sansip.module.links import Link
    from sansip.proxy import Proxy
    from sansip.routing import IncomingRequest
    from sansip.routing.core import Core as StackCore
    from sansip.routing.core import ModuleTable
    from sansip.transport import Flow, Listeners, Sender
    from sansip.ua import UserAgent
    from sansip.wire import Uri

__all__ = ["Core"]

Row = TypeVar("Row")
ModuleType = TypeVar("ModuleType")


class Core(Process):
    """The stack as ``module`` sees it.

    Attributes:
        timers: ``start(now, seconds, module, name)``; the module's ``timer_fired`` is called.
        entropy: chance.
        limits, domains, listeners, location, bans, users, sender, proxy: of the stack.
    """

    __slots__ = ("_figures", "_guarding", "_offered", "_own", "_rates", "_serves", "plain", "table", "teller")

    def __init__(self, stack: StackCore, module: Named, table: ModuleTable) -> None:
        super().__init__(stack, module)
        # The modules that it is one of; a reload replaces them.
        self.table = table
        # What ``relays_plainly`` was told.
        self.plain: dict[str, Plain] = {}
        self._own = Belongings(stack.proxy.timers, stack.location, stack.sockets, self.failed)
        self._figures: dict[str, Counter | Histogram] = {}
        self._rates: Rates | None = None
        self._serves = False
        self._offered: frozenset[str] = frozenset()
        self._guarding: Guarding | None = None
        # For compiled parts of the module: calls of its ``tell`` and ``notify`` are not interpreted.
        self.teller = Teller(stack)

    @property
    def timers(self) -> ModuleTimers:
        return self._own.timers

    def has_due(self, deadline: float) -> None:
        """``next_due`` of the module, which ``tells_due``, is ``deadline``, or a later one before that."""
        self._stack.modules.stack_hooks.has_due(deadline)

    @property
    def limits(self) -> Limits:
        return self._stack.limits

    @property
    def listeners(self) -> Listeners:
        return self._stack.listeners

    @property
    def location(self) -> MemoryLocation:
        return self._stack.location

    @property
    def bans(self) -> Bans:
        """The list of bans. A module keeps its bans there by its own name, and operators see them."""
        return self._stack.bans

    @property
    def users(self) -> Users | None:
        return self._stack.users

    @property
    def sender(self) -> Sender:
        return self._stack.proxy.sender

    def is_stranger(self, flow: Flow) -> bool:
        """Whether nothing is known of the sender at ``flow``, who has proved nothing."""
        return not is_exempt(self._stack, flow)

    @property
    def proxy(self) -> Proxy:
        return self._stack.proxy

    @property
    def ua(self) -> UserAgent:
        """Requests and calls of our own, for coroutines (docs/calls.md)."""
        return self._stack.ua

    @property
    def domains(self) -> Sequence[str]:
        """The domains that are served; the server's other names mean the first one."""
        return self._stack.domains

    def serve(self, domains: Mapping[str, str]) -> None:
        """Serve ``domains`` beside those of the configuration, each with its realm ("": its own name).

        They replace those of the call before, and are served no longer when the module is taken away. One
        module may do so.
        """
        self._stack.host(domains)
        self._serves = bool(domains)

    def offer(self, tags: Iterable[str]) -> None:
        """Name these option tags in answers to an OPTIONS, until the module goes (RFC 3261 11.2)."""
        self._offered = frozenset(tags)
        self._stack.registrar.offer(self, self._offered)

    def guard(
        self,
        servers: Iterable[tuple[SipUri, str]],
        setting: str,
        now: float,
        *,
        refer: bool = False,
        networks: Iterable[str] = (),
    ) -> None:
        """Have nobody send to ``servers`` but modules, by ``Target(chosen=True)``; each has a name in words.

        They replace those of the call before, and are open when the module is taken away. ``setting``: the
        one that opens them to senders, for the log. A sender that names such a server gets 403
        (``sansip.client.guarded``). ``refer``: within calls with such a server REFER passes.
        ``networks``: those of more servers, which listen at the default ports.
        """
        if self._guarding is None:
            client, name = self._stack.proxy.client, self._module.name
            self._guarding = Guarding(client.guarded, client.places, self.timers, name)
        self._guarding.take(servers, setting, now, refer=refer, networks=networks)

    def address_of(self, uri: Uri) -> str:
        """Return the address-of-record that ``uri`` means; addresses of the server mean its first domain."""
        stack = self._stack
        if isinstance(uri, SipUri) and stack.listeners.serves(uri.host, uri.port):
            return stack.addresses.of(uri)
        return address_of_record(uri)

    def realm_of(self, uri: Uri) -> str:
        """Return the realm of the user at ``uri``."""
        return self._stack.realm_of(uri)

    def unix(self, now: float) -> float:
        """Return the Unix time at ``now``."""
        return self._stack.wall.unix(now)

    @property
    def wall(self) -> Wall:
        """The clock of ``unix``, for code that asks it for each message."""
        return self._stack.wall

    def find(self, kind: type[ModuleType]) -> ModuleType | None:
        """Return the module of ``kind``, None where it is not configured."""
        return self.table.find(kind)

    def module(self, kind: type[ModuleType]) -> ModuleType:
        """Return another module. Raises ``LookupError`` where it is not configured."""
        return self.table.get(kind)

    async def locate(self, aor: str, taking: Callable[[bool], None] | None = None) -> list[Binding]:
        """Return what ``aor`` is bound to on any node. Raises ``OSError`` where that cannot be asked.

        ``taking``: told True before, and False after, watches hear of it (``watch``).
        """
        stack = self._stack
        location = stack.location
        if not isinstance(location, SharedLocation):
            return location.lookup(aor, stack.ua.now)
        seen = location.version(aor)
        found = await Question(location.question(aor))
        if taking is not None:
            taking(True)
        try:
            return take_record(stack, aor, found, seen, stack.ua.now)
        finally:
            if taking is not None:
                taking(False)

    async def authenticate(self, request: IncomingRequest, realm: str | None = None) -> str | None:
        """Return the user who has proved to have sent ``request``; None where it was answered (401, 407)."""
        return await request.authenticate(realm)

    def digest(self) -> Digest:
        """Return what has users of a protocol of the module prove who they are, by the passwords of SIP."""
        stack = self._stack
        secret = self.secret("nonces")
        key = bytes.fromhex("".join(secret.keyed_hash(f"key {number}") for number in range(4)))
        config = stack.config.auth or AuthConfig()
        return Digest(config, key, stack.proxy.entropy, stack.bans, stack.wall, stack.users, self.run)

    def watch(self, method: Watch, *, hidden: bool = False) -> None:
        """Have ``method(aor, before, after)`` called when bindings have changed, until the module goes.

        ``hidden``: only where one of them has a source (``Binding.received``), as a phone behind a NAT
        has. Then a REGISTER of any other phone costs the module nothing.
        """
        self._own.watch(method, hidden=hidden)

    def relays_plainly(self, method: str, may: Callable[[str], bool], unreached: Unreached) -> None:
        """Have requests of ``method`` relayed at once, without the module's step of the stage ``relay``.

        Call it in ``start``. ``may(user)``: whether that step would do no more for an address-of-record.
        ``await unreached(request, response)``: the relay has failed with that response, which goes back
        unless the request is answered otherwise.
        """
        self.plain[method] = Plain(may, unreached, self.failed)

    def ask(self, subject: Any, within: float | None = None) -> Question:
        """Return an awaitable for the answer of the outside to ``subject``.

        It raises ``TimeoutError`` after ``within`` seconds, at the most ``limits.answer_time``.
        """
        return ask(subject, within)

    def datagrams(
        self,
        remote: tuple[str, int],
        *,
        key: Callable[[bytes], Any] | None = None,
        received: Callable[[bytes, float], None] | None = None,
    ) -> Datagrams:
        """Return a UDP socket that talks to ``remote``, an address and a port; see ``Datagrams``."""
        peer = Datagrams(self._stack.sockets, remote, key, self._guarded(received))
        peer.owner = self._own
        return peer

    def socket(
        self,
        remote: tuple[str, int],
        received: Callable[[bytes, float], None],
        lost: Callable[[str, float], None],
    ) -> PlainSocket:
        """Return a UDP socket for a module that matches questions and answers itself; see ``PlainSocket``."""
        peer = PlainSocket(self._stack.sockets, remote, received, lost, self.failed)
        peer.owner = self._own
        return peer

    def connect(
        self,
        remote: tuple[str, int],
        filters: Sequence[str] = (),
        *,
        split: Callable[[bytearray], int] = whole,
        received: Callable[[bytes, float], None] | None = None,
        closed: Callable[[str, float], None] | None = None,
        name: str = "",
    ) -> Stream:
        """Return a connection to ``remote``, over TCP or, with ``("tls",)``, TLS; see ``Stream``.

        ``name``: the host that the peer's certificate must be for.
        """
        transport = {(): TCP, (TLS,): TLS}.get(tuple(filters))
        if transport is None:
            raise LocalProtocolError(f"filters are () or ('tls',), not {tuple(filters)!r}")
        sockets = self._stack.sockets
        received, closed = self._guarded(received), self._guarded(closed)
        peer = Stream(sockets, remote, transport, split, received, closed, name)
        peer.owner = self._own
        return peer

    def websocket(
        self,
        remote: tuple[str, int],
        filters: Sequence[str] = (),
        *,
        path: str,
        protocol: str,
        key: Callable[[bytes], Any],
        received: Callable[[bytes, float], None] | None = None,
        name: str = "",
    ) -> WebSocketPeer:
        """Return a WebSocket to ``remote`` that asks like ``datagrams``: answers are known by ``key``.

        ``protocol``: the sub-protocol, without which the peer is refused; the others: see ``connect``.
        """
        transport = {(): TCP, (TLS,): TLS}.get(tuple(filters))
        if transport is None:
            raise LocalProtocolError(f"filters are () or ('tls',), not {tuple(filters)!r}")
        stack, guarded = self._stack, self._guarded(received)
        entropy = stack.proxy.entropy
        peer = WebSocketPeer(stack.sockets, remote, transport, entropy, path, protocol, key, guarded, name)
        peer.owner = self._own
        return peer

    def _guarded(self, method: Callable[[Any, float], None] | None) -> Callable[[Any, float], None] | None:
        if method is None:
            return None

        def guarded(given: Any, now: float) -> None:
            try:
                method(given, now)
            except Exception as error:
                self.failed(getattr(method, "__name__", "received"), error)

        return guarded

    def limit(self, key: str, count: float, per: float = 1.0) -> Limited:
        """Return an awaitable for whether one more of ``key`` is among ``count`` in ``per`` seconds.

        The keys are this module's own. Where nodes share a Redis (``rows``) they count together; while it
        cannot be reached, each counts for itself. A server alone remembers ``limits.module_keys``.
        """
        if count < 1 or per <= 0:
            raise LocalProtocolError(
                f"a limit is at least 1 in more than 0 seconds, not {count:g} in {per:g}"
            )
        if self._rates is None:
            self._rates = Rates(self._stack.limits.module_keys)
        question = Count(f"{self._module.name} {key}", count, per)
        return Limited(self._rates, question, self._stack if self._stack.config.shares_values else None)

    def shared(self, table: Table[Row]) -> Shared[Row]:
        """Return the live values of ``table``, one of the module's own: alike on all nodes, not durable."""
        name = self._module.name
        if not (table.name == name or table.name.startswith(f"{name}_")):
            raise LocalProtocolError(f"the table {table.name} must begin with {name}_")
        stack = self._stack
        values = None if stack.config.shares_values else stack.values
        return Shared(table, values, stack.limits.change_attempts)

    def put(self, subject: Any, callback: Callable[[Any, float], None], now: float) -> None:
        """As ``ask``, where no coroutine waits; ``callback`` gets the result or exception."""
        self._stack.ask(subject, callback, now)

    def rows(self, table: Table[Row]) -> Rows[Row]:
        """Return the rows of one of the module's tables."""
        return Rows(table)

    def run(
        self,
        work: Coroutine[Any, Any, Any],
        now: float,
        done: Callable[[Any, float], None] | None = None,
    ) -> None:
        """Begin ``work``; ``done`` hears its result or exception. An exception without ``done`` is logged."""
        own = self._own
        number = own.new_work()

        def ended(result: Any, now: float) -> None:
            own.end_work(number)
            if done is not None:
                done(result, now)
            elif isinstance(result, BaseException):
                self.failed("run", result)

        own.keep_work(number, begin(self._stack, work, ended, now))

    # --- its end

    def rest(self) -> None:
        """The module was taken away: its own work ends, its work for requests goes on."""
        self._own.rest()
        if self._serves:
            self.serve({})
        if self._offered:
            self.offer(())
        if self._guarding is not None:
            self._guarding.end()

    def end(self, now: float) -> None:
        """All that the module has ends."""
        self._own.end(now)

    def failed(self, where: str, error: BaseException) -> None:
        """Tell of an exception in the module."""
        self._stack.notify(ModuleFailed(self._module.name, where, error))

    def notify(self, event: Any, now: float) -> None:
        """Tell the log, and the modules that want to hear of it, of ``event``."""
        self.teller.notify(event, now)

    def tell(self, event: Any, now: float) -> None:
        """Tell the modules that want to hear of ``event``, and not the log."""
        self.teller.tell(event, now)

    def unregister(self, binding: Binding, reason: str, now: float) -> None:
        """Remove a binding, here and in the store."""
        drop(self._stack, binding.aor, lambda one: one == binding, reason, now)

    # --- protocols

    @property
    def links(self) -> list[Link]:
        """The connections that the module's protocols are spoken over."""
        found: list[Link] = self._stack.links.of(self._module)
        return found

    def listening(self, kind: str) -> list[tuple[str, int]]:
        """Return the addresses, as peers know them, at which ``kind`` (``msrp``, ``msrps``) is spoken."""
        listeners = [one for one in self._stack.config.listeners if one.transport == kind]
        return [(one.advertise_host or one.host, one.advertise_port or one.port) for one in listeners]

    # --- figures

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """Return the counter ``name`` of this module, made at the first call."""
        found = self._figures.setdefault(name, Counter(f"{self._module.name}_{name}", help, labels))
        assert isinstance(found, Counter)
        return found

    def histogram(
        self, name: str, help: str, bounds: Sequence[float] = (0.005, 0.02, 0.1, 0.5, 2, 10)
    ) -> Histogram:
        """Return the histogram ``name`` of this module, made at the first call."""
        found = self._figures.setdefault(name, Histogram(f"{self._module.name}_{name}", help, bounds))
        assert isinstance(found, Histogram)
        return found

    @property
    def counted(self) -> list[Counter | Histogram]:
        """The figures that ``counter`` and ``histogram`` made."""
        return list(self._figures.values())

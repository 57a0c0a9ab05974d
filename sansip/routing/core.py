"""The core as a route's functions see it: the parts of the stack that they may use.

Theory of operation: routing stands below the stack, which makes the request handles and runs the routes. So
this file declares what routing needs from the stack, and the type checker compares the stack with it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from sansip.auth import Authenticator, BearerConfig, Users
    from sansip.bans import Bans
    from sansip.clock import Wall
    from sansip.entropy import Entropy
    from sansip.events import Event
    from sansip.limits import Limits
    from sansip.location import Addresses, MemoryLocation, Nodes
    from sansip.proxy import Proxy
    from sansip.registrar import Registrar
    from sansip.routing.parts import Parts
    from sansip.routing.trust import Trusted
    from sansip.transport import Listeners
    from sansip.ua import UserAgent
    from sansip.wire import OtherUri, Request, SipUri, TelUri

__all__ = ["Core", "ModuleTable", "OtherWorkers"]

ModuleType = TypeVar("ModuleType")


class ModuleTable(Protocol):
    """The modules of the stack."""

    # Steps of the default route by stage, tuples that are mostly empty.
    @property
    def stages(self) -> Mapping[str, Sequence[Callable[[Any], Coroutine[Any, Any, None]]]]: ...

    # Of these, the ones for requests of one method.
    def stages_of(
        self, method: str
    ) -> Mapping[str, Sequence[Callable[[Any], Coroutine[Any, Any, None]]]]: ...

    # Requests that a module leaves to the quick ways, by method (``sansip.module.plain``).
    @property
    def plain(self) -> Mapping[str, Any]: ...

    # The hooks by which modules see and change requests (``sansip.proxy.hooks``).
    @property
    def hooks(self) -> Any: ...

    # Whether plain calls pass without hooks (``Module.rides``).
    @property
    def rides(self) -> bool: ...

    # By stage: what leads plain INVITEs in the place of its steps (``sansip.routing.leading``); None where a
    # step has to see each request.
    @property
    def leading(self) -> Mapping[str, Sequence[tuple[Any, Callable[[Any, Any], Any]]] | None]: ...

    # Module (the first argument) failed at what the second one says.
    def failed(self, module: Any, where: str, error: BaseException) -> None: ...

    # Those of the stack: ``message_arrived`` sees all that comes in.
    @property
    def stack_hooks(self) -> Any: ...

    # What takes requests that are read in brief, by method (``sansip.module.taking``).
    @property
    def takers(self) -> Mapping[str, Any]: ...

    def acts_on(self, method: str) -> bool: ...
    def get(self, kind: type[ModuleType]) -> ModuleType: ...
    def find(self, kind: type[ModuleType]) -> ModuleType | None: ...
    def event(self, event: Any, now: float) -> None: ...

    # Other processes of a module have told it something, or changed its rows.
    def announced(self, module: str, key: str, word: Any, now: float) -> None: ...
    def rows_changed(self, table: str, rows: Sequence[Any], deleted: Sequence[Any], now: float) -> None: ...


class ChangeQueue(Protocol):
    """Changes of bindings that wait for a location which nodes share (``sansip.routing.changes``)."""

    def put(self, change: Any, done: Callable[[Any, float], None], now: float) -> None: ...


class OtherWorkers(Protocol):
    """The other workers of one server (``sansip.siblings``): what they count, and how they are told."""

    held: dict[str, int]

    def tell(self, kind: str, *values: Any) -> None: ...
    def claims(self, key: str, now: float) -> bool: ...


class Core(Protocol):
    """The parts of the stack that a route needs."""

    limits: Limits
    # Which address-of-record a URI of ours means.
    addresses: Addresses
    listeners: Listeners
    location: MemoryLocation
    registrar: Registrar
    proxy: Proxy
    authenticator: Authenticator | None
    bearer: BearerConfig | None
    trusted: Trusted
    bans: Bans
    users: Users | None
    recall: Users | None
    server_name: str
    wall: Wall
    ua: UserAgent
    # Hears of the first deadline of modules (``sansip.module.stack_hooks``).
    module_due: Callable[[float], None]
    # Whether bindings are acknowledged only once the outside has stored them.
    durable: bool
    # The nodes that share the location; None where it is this server's alone.
    nodes: Nodes | None

    # The same stack, for ways that ask it at every message.
    @property
    def parts(self) -> Parts: ...

    # The other workers of this server; None where it is one process.
    @property
    def siblings(self) -> OtherWorkers | None: ...

    @property
    def changes(self) -> ChangeQueue | None: ...

    def ask(
        self, subject: Any, callback: Callable[[Any, float], None], now: float, within: float | None = None
    ) -> None: ...
    def realm_of(self, uri: SipUri | TelUri | OtherUri) -> str: ...
    def realm_at(self, host: str) -> str: ...
    def registered(self, aor: str, count: int) -> None: ...
    def removed(self, aor: str) -> None: ...
    def dropped(self, aor: str, count: int, reason: str) -> None: ...
    def route_failed(self, request: Request, error: BaseException) -> None: ...
    def notify(self, event: Event) -> None: ...
    def tell(self, event: Any, now: float) -> None: ...
    def secret(self, purpose: str) -> Entropy: ...
    def host(self, domains: Mapping[str, str]) -> None: ...

    # Client sockets of modules (``sansip.module.sockets``).
    @property
    def sockets(self) -> Any: ...

    # Connections of modules' protocols (``sansip.module.links``), and the settings.
    @property
    def links(self) -> Any: ...
    @property
    def values(self) -> Any: ...
    @property
    def config(self) -> Any: ...

    # The domains that are served; the server's other names mean the first one.
    @property
    def domains(self) -> Sequence[str]: ...
    @property
    def modules(self) -> ModuleTable: ...

    # What decides on requests.
    @property
    def route(self) -> Any: ...

"""The module ``tenants``: many domains on one server, each with its realm, settings and route.

Theory of operation: beside the domains of the configuration the server serves those of a table, which
operators change while it runs. A change holds from the next request on: the domain is ours, its users are
asked for passwords in its realm, and their addresses-of-record are its own. What else a domain has, routes
read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

from sansip.errors import LocalProtocolError
from sansip.module import CommandError, Doc, Module, command, function, step
from sansip.module.table_file import RowsFile
from sansip.rows import Table
from sansip.wire import SipUri
from sansip.wire.host import is_address

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Domain", "Tenants", "TenantsSettings"]

# Domains in all. → refused
_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class Domain:
    """A row, and a table [[tenants.domains]]. Raises ``ValueError`` that begins with the field's name."""

    name: Annotated[str, Doc("The domain, like example.com.")]
    realm: Annotated[str, Doc("The realm of its users' passwords; the domain without.")] = ""
    route: Annotated[str, Doc("The name of its route among those of `tenants.follow`.")] = ""
    registers: Annotated[bool, Doc("Whether phones may register there.")] = True
    enabled: Annotated[bool, Doc("false: it is not served.")] = True
    settings: Annotated[str, Doc("Values for routes, as `limit=10 plan=sales`.")] = ""

    def __post_init__(self) -> None:
        name = self.name.lower().rstrip(".")
        labels = name.split(".")
        if is_address(name) or len(name) > 253 or not all(map(_is_label, labels)) or not name.isascii():
            raise ValueError(f"name is {self.name!r:.80}; expected a domain like example.com")
        object.__setattr__(self, "name", name)
        if len(self.realm) > 253 or not self.realm.isprintable() or '"' in self.realm or "\\" in self.realm:
            raise ValueError(f"realm is {self.realm!r:.80}; expected text without quotes and backslashes")
        if len(self.settings) > 4_000:
            raise ValueError(f"settings have {len(self.settings):,} characters; expected at most 4,000")
        for pair in self.settings.split():
            if "=" not in pair[1:]:
                raise ValueError(f"settings: {pair!r:.40}; expected KEY=VALUE")

    @property
    def values(self) -> dict[str, str]:
        """The settings by key."""
        return {key: value for key, _, value in (pair.partition("=") for pair in self.settings.split())}


DOMAINS = Table("tenants_domains", Domain, key=("name",))


@dataclass(slots=True)
class TenantsSettings:
    """The table [tenants]. Raises ``ValueError``: a domain stands twice."""

    domains: list[Domain] = field(default_factory=list)
    domains_file: Annotated[
        str,
        RowsFile("domains", ("name",)),
        Doc("A file with more domains (CSV): a line of column names, then a domain a line."),
    ] = ""
    refresh: Annotated[
        float, Doc("Seconds until rows that other nodes have changed are read again; 0: never.")
    ] = 0.0

    def __post_init__(self) -> None:
        seen = set()
        for one in self.domains:
            if one.name in seen:
                raise ValueError(f"domains: {one.name} stands twice")
            seen.add(one.name)
        if self.refresh and not 0.1 <= self.refresh <= 1e6:
            raise ValueError(f"refresh must be 0, or at least 0.1 seconds, got {self.refresh:g}")


class Tenants(Module):
    """Serves many domains, which operators add and remove while calls go on."""

    name = "tenants"
    over_workers = True
    Settings = TenantsSettings
    tables = (DOMAINS,)
    settings: TenantsSettings

    def __init__(self, settings: TenantsSettings) -> None:
        super().__init__(settings)
        self._rows: dict[str, Domain] = {}
        self._domains: dict[str, Domain] = {}
        self._trouble = ""

    def start(self, core: Core, now: float) -> None:
        self._stored = core.rows(DOMAINS)
        self._take()
        core.run(self._restore(), now)
        self._plan(now)

    def configure(self, settings: TenantsSettings, now: float) -> None:
        """Take the domains of another file; rows beat it, as before."""
        had = self.settings.refresh
        super().configure(settings, now)
        self._take()
        if not had:
            self._plan(now)

    async def _restore(self) -> None:
        self._rows = {one.name: one for one in await self._stored.all()}
        self._take()

    def rows_changed(self, table: Any, rows: Sequence[Domain], deleted: Sequence[Any], now: float) -> None:
        """Take what the operator changed by another worker."""
        self._rows |= {one.name: one for one in rows}
        for (name,) in deleted:
            self._rows.pop(name, None)
        self._take()

    def _plan(self, now: float) -> None:
        if self.settings.refresh:
            self.core.timers.start(now, self.settings.refresh, self, "refresh")

    def timer_fired(self, name: object, now: float) -> None:
        self.core.run(self._restore(), now)
        self._plan(now)

    def figures(self) -> dict[str, Any]:
        """Return how many domains are served."""
        return {"domains": sum(one.enabled for one in self._domains.values())}

    def _take(self) -> None:
        self._domains = {one.name: one for one in self.settings.domains} | self._rows
        self.core.serve({one.name: one.realm for one in self._domains.values() if one.enabled})

    # --- in routes

    @function
    def of(self, request: IncomingRequest) -> Domain | None:
        """Return the domain of the Request-URI, None for one that is not in the table."""
        uri = request.uri
        return self._domains.get(uri.host) if isinstance(uri, SipUri) else None

    @function
    def of_caller(self, request: IncomingRequest) -> Domain | None:
        """Return the domain of the URI in From, None for one that is not in the table."""
        uri = request.message.from_.uri
        return self._domains.get(uri.host) if isinstance(uri, SipUri) else None

    @function
    def value(self, request: IncomingRequest, key: str, default: str = "") -> str:
        """Return what the settings of the Request-URI's domain say of ``key``."""
        domain = self.of(request)
        return default if domain is None else domain.values.get(key, default)

    @function
    async def follow(
        self, request: IncomingRequest, routes: Mapping[str, Callable[[IncomingRequest], Awaitable[None]]]
    ) -> None:
        """Have the route of the request's domain decide: that of the caller's, else of the Request-URI's.

        ``routes``: by the names that domains have; "" is for domains without one, and all others.
        Raises ``LocalProtocolError`` for a name that is not among them.
        """
        domain = (self.of_caller(request) if request.is_from_us else None) or self.of(request)
        name = "" if domain is None else domain.route
        if name not in routes:
            there = ", ".join(sorted(one for one in routes if one)) or "none"
            raise LocalProtocolError(f"tenants: there is no route {name!r:.40}; there are {there}")
        await routes[name](request)

    @step("register")
    async def refuse_registrations(self, request: IncomingRequest) -> None:
        """Answer 403 to a REGISTER where phones may not register."""
        uri = request.message.to.uri
        domain = self._domains.get(uri.host) if isinstance(uri, SipUri) else None
        if domain is not None and not domain.registers:
            request.reply(403, "No Registrations Here")

    # --- operators

    @command("tenants.list")
    def list_domains(self, after: str = "", limit: int = 1_000) -> list[Domain]:
        """Return the domains by name; `after`: the last of the page before."""
        names = sorted(name for name in self._domains if name > after)
        return [self._domains[name] for name in names[: max(1, min(limit, 1_000))]]

    @command("tenants.show")
    def show(self, name: str) -> Domain:
        """Return one domain."""
        found = self._domains.get(name.lower().rstrip("."))
        if found is None:
            raise CommandError(f"tenants.show: there is no domain {name!r:.80}; tenants.list shows them")
        return found

    @command("tenants.add")
    async def add(
        self,
        name: str,
        realm: str = "",
        route: str = "",
        registers: bool = True,
        enabled: bool = True,
        settings: str = "",
    ) -> Domain:
        """Serve a domain, durably, or change it; it beats one of the file."""
        try:
            domain = Domain(name, realm, route, registers, enabled, settings)
        except ValueError as error:
            raise CommandError(f"tenants.add: {error}") from None
        if domain.name not in self._domains and len(self._domains) >= _MOST:
            raise CommandError(f"tenants.add: there are {_MOST:,} domains already")
        await self._stored.put(domain)
        self._rows[domain.name] = domain
        self._take()
        return domain

    @command("tenants.remove")
    async def remove(self, name: str) -> bool:
        """Serve a domain no longer that was added; return whether there was one. One of the file stays."""
        name = name.lower().rstrip(".")
        await self._stored.delete((name,))
        there = self._rows.pop(name, None) is not None
        self._take()
        return there


def _is_label(text: str) -> bool:
    # RFC 1035 2.3.4, and RFC 3261 25.1 (toplabel); hosts with "_" exist.
    return 0 < len(text) < 64 and text.replace("-", "").replace("_", "").isalnum()

"""A redirect server: callers are told where else to call (RFC 3261 8.3), and this server is out of the call.

Theory of operation: a table of users who are elsewhere, each with one or more contacts and their q; and,
where wanted, all registered users by their bindings. One contact is a 302, or a 301 where it is for good;
several are a 300.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from sansip.errors import RemoteProtocolError
from sansip.location.aor import address_of_record
from sansip.module import CommandError, Doc, Module, command, function, step
from sansip.module.table_file import RowsFile
from sansip.proxy import Target
from sansip.rows import Table
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Elsewhere", "Redirect", "RedirectSettings"]


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A row, and a table [[redirect.users]]: ``user`` is reached at ``contact``.

    Raises ``ValueError`` for a text that is no address.
    """

    user: Annotated[str, Doc("Who is called, a SIP URI.")]
    contact: Annotated[str, Doc("Where to call instead, a SIP URI.")]
    q: Annotated[float, Doc("How good it is beside others of that user, 0 to 1 (RFC 3261 20.10).")] = 1.0
    permanent: Annotated[bool, Doc("Whether callers may remember it: 301 in place of 302.")] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "user", address_of_record(_uri(self.user)))
        _uri(self.contact)
        if not 0 <= self.q <= 1:
            raise ValueError(f"q must be 0 to 1, got {self.q:g}")


@dataclass(slots=True)
class RedirectSettings:
    """The table [redirect]."""

    users: list[Elsewhere] = field(default_factory=list)
    file: Annotated[
        str,
        RowsFile("users", ("user", "contact")),
        Doc("A CSV file with more users, relative to the configuration; the columns are their keys."),
    ] = ""
    bindings: Annotated[
        Literal["relay", "redirect"],
        Doc("Whether calls for registered users are relayed, or the caller is told their contacts."),
    ] = "relay"
    follow: Annotated[
        list[str],
        Doc(
            "Hosts that a 300, 301 or 302 of a server may send calls on to: names, or `*.example.net`. The"
            " server tries such contacts itself, unseen by the caller; others go back to the caller."
        ),
    ] = field(default_factory=list)

    def __post_init__(self) -> None:
        for one in self.follow:
            name = one.removeprefix("*.")
            if (
                not name
                or "*" in name
                or not name.isascii()
                or any(c in name for c in " /@;?")
                or (":" in name and name[0] != "[")
            ):
                raise ValueError(
                    f"follow: {one!r:.80} is no host; write a name, an address, or *.example.net"
                )


USERS = Table("redirect_users", Elsewhere, key=("user", "contact"))


class Redirect(Module):
    """Tells callers where else to call."""

    name = "redirect"
    over_workers = True
    Settings = RedirectSettings
    tables = (USERS,)
    settings: RedirectSettings

    def __init__(self, settings: RedirectSettings) -> None:
        super().__init__(settings)
        # From the store: user -> contact -> row.
        self._stored: dict[str, dict[str, Elsewhere]] = {}
        self._users: dict[str, list[Elsewhere]] = {}
        self._merge()

    def start(self, core: Core, now: float) -> None:
        self._rows = core.rows(USERS)
        self._redirected = core.counter("redirected", "Callers who were told where else to call", ("status",))
        core.run(self._restore(), now)

    def configure(self, settings: RedirectSettings, now: float) -> None:
        """Take another file."""
        super().configure(settings, now)
        self._merge()

    async def _restore(self) -> None:
        for row in await self._rows.all():
            self._stored.setdefault(row.user, {})[row.contact] = row
        self._merge()

    def rows_changed(self, table: Any, rows: Sequence[Elsewhere], deleted: Sequence[Any], now: float) -> None:
        """Take what the operator changed by another worker."""
        for row in rows:
            self._stored.setdefault(row.user, {})[row.contact] = row
        for user, contact in deleted:
            self._stored.get(user, {}).pop(contact, None)
        self._merge()

    def _merge(self) -> None:
        users: dict[str, dict[str, Elsewhere]] = {}
        for row in self.settings.users:
            users.setdefault(row.user, {})[row.contact] = row
        for user, rows in self._stored.items():
            users[user] = users.get(user, {}) | rows
        self._users = {
            user: sorted(rows.values(), key=lambda one: -one.q) for user, rows in users.items() if rows
        }

    @step("translate")
    async def send_elsewhere(self, request: IncomingRequest) -> None:
        """Answer 300, 301 or 302 if the user is reached elsewhere."""
        if not isinstance(request.uri, SipUri):
            return
        rows = self._users.get(self.core.address_of(request.uri))
        if rows:
            targets = [Target(_uri(one.contact), round(one.q * 1000)) for one in rows]
            permanent = all(one.permanent for one in rows)
            self._answer(request, targets, 301 if permanent else 302)
        elif self.settings.bindings == "redirect" and (found := await request.locate()):
            # Callers cannot use the flow and the path of a binding, so these stay here.
            self._answer(request, [Target(one.uri or request.uri, one.q) for one in found], 302)

    @function
    def follow(self, request: IncomingRequest, hosts: Sequence[str]) -> None:
        """Have ``request``, once it is relayed, follow a 300, 301 or 302 to ``hosts`` (see the setting).

        Each URI is tried once, and ``limits.branches`` bounds them all. For any other test there is
        ``request.follow(accept)``.
        """
        names = tuple(one.lower() for one in hosts)
        # RFC 3263 4: a request goes to the maddr of its URI, so that is judged as well.
        request.follow(
            lambda uri: all(
                _is_among(host.lower(), names) for host in (uri.host, uri.params.get("maddr", uri.host) or "")
            )
        )

    @step("identify")
    async def allow_recursion(self, request: IncomingRequest) -> None:
        """Follow redirections to the hosts of ``follow``."""
        if self.settings.follow and request.follows is None:
            self.follow(request, self.settings.follow)

    def _answer(self, request: IncomingRequest, targets: list[Target], one: int) -> None:
        # RFC 3261 21.3.1: several choices are a 300.
        status = 300 if len(targets) > 1 else one
        self._redirected.add(str(status))
        request.redirect(targets, status)

    # --- operators

    @command("redirect.list")
    def list_users(self, after: str = "", limit: int = 1_000) -> list[Elsewhere]:
        """Return the users who are reached elsewhere; ``after``: the last user of the page before."""
        names = sorted(user for user in self._users if user > after)[: max(1, min(limit, 1_000))]
        return [row for user in names for row in self._users[user]]

    @command("redirect.add")
    async def add(self, user: str, contact: str, q: float = 1.0, permanent: bool = False) -> Elsewhere:
        """Have callers of ``user`` told ``contact``, durably."""
        try:
            row = Elsewhere(user, contact, q, permanent)
        except ValueError as error:
            raise CommandError(f"redirect.add: {error}") from None
        await self._rows.put(row)
        self._stored.setdefault(row.user, {})[row.contact] = row
        self._merge()
        return row

    @command("redirect.remove")
    async def remove(self, user: str) -> int:
        """Have ``user`` called here again; return how many contacts went."""
        try:
            name = address_of_record(_uri(user))
        except ValueError as error:
            raise CommandError(f"redirect.remove: {error}") from None
        rows = self._stored.pop(name, {})
        await self._rows.delete(*((name, contact) for contact in rows))
        self._merge()
        return len(rows)


def _is_among(host: str, names: Sequence[str]) -> bool:
    return any(host == one or (one[:2] == "*." and host.endswith(one[1:])) for one in names)


def _uri(text: str) -> SipUri:
    try:
        uri = parse_uri(text)
    except RemoteProtocolError as error:
        raise ValueError(f"{text!r:.80} is no SIP URI: {error.reason}") from None
    if not isinstance(uri, SipUri) or uri.headers:
        raise ValueError(f"{text!r:.80}: expected a SIP URI without header fields")
    return uri

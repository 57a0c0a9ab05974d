"""Other names for users, and short numbers of a user's own (Kamailio's ``alias_db`` and ``speeddial``).

Theory of operation: both are tables in memory over rows. Before a user is looked up, the module replaces an
alias in the Request-URI by its target. It repeats this until the target is no alias, or one comes round: that
is the operator's mistake, and an error says so. Requests within a dialog go by Contact, and the module does
not change them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.location.aor import address_of_record
from sansip.module import CommandError, Doc, Module, command, function, step
from sansip.module.table_file import RowsFile
from sansip.rows import Table
from sansip.wire import SipUri, parse_uri

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.routing import IncomingRequest

__all__ = ["Alias", "AliasLoop", "Aliases", "AliasesSettings", "ShortNumber"]

# Aliases of aliases: more of them are the operator's mistake.
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Alias:
    """A row, and a table [[aliases.names]]: calls for ``alias`` go to ``target``.

    Raises ``ValueError`` for a text that is no address.
    """

    alias: Annotated[str, Doc("The name that callers use, a SIP URI like sip:4930123@example.com.")]
    target: Annotated[str, Doc("What it stands for, a SIP URI.")]

    def __post_init__(self) -> None:
        object.__setattr__(self, "alias", _named(self.alias, "alias"))
        _target(self.target)


@dataclass(slots=True)
class ShortNumber:
    """A row: where ``user`` (an address-of-record) gets by dialling ``digits``."""

    user: str
    digits: str
    target: str


@dataclass(slots=True)
class AliasLoop:
    """An alias leads back to itself: calls for it get 482."""

    alias: str

    def __str__(self) -> str:
        return f"the alias {self.alias} leads back to itself, or over more than {_DEEPEST} others"


@dataclass(slots=True)
class AliasesSettings:
    """The table [aliases]."""

    names: list[Alias] = field(default_factory=list)
    file: Annotated[
        str,
        RowsFile("names", ("alias",)),
        Doc("A CSV file with more aliases, relative to the configuration; the columns are alias, target."),
    ] = ""
    short: Annotated[int, Doc("Digits of a user's own short numbers; 0: there are none.")] = 2

    def __post_init__(self) -> None:
        if not 0 <= self.short <= 15:
            raise ValueError(f"short must be 0 to 15 digits, got {self.short}")
        seen = set()
        for one in self.names:
            if one.alias in seen:
                raise ValueError(f"names: {one.alias} stands twice")
            seen.add(one.alias)


ALIASES = Table("aliases", Alias, key=("alias",))
SHORT = Table("aliases_short", ShortNumber, key=("user", "digits"))


class Aliases(Module):
    """Replaces aliases and a caller's own short numbers by their targets."""

    name = "aliases"
    over_workers = True
    Settings = AliasesSettings
    tables = (ALIASES, SHORT)
    settings: AliasesSettings

    def __init__(self, settings: AliasesSettings) -> None:
        super().__init__(settings)
        self._rows: dict[str, Alias] = {}
        self._short: dict[tuple[str, str], str] = {}
        self._file = {one.alias: one for one in settings.names}

    def start(self, core: Core, now: float) -> None:
        self._aliases = core.rows(ALIASES)
        self._numbers = core.rows(SHORT)
        core.run(self._restore(), now)

    def configure(self, settings: AliasesSettings, now: float) -> None:
        """Take another file; rows beat it, as before."""
        super().configure(settings, now)
        self._file = {one.alias: one for one in settings.names}

    async def _restore(self) -> None:
        self._rows = {one.alias: one for one in await self._aliases.all()}
        self._short = {(one.user, one.digits): one.target for one in await self._numbers.all()}

    def rows_changed(self, table: Any, rows: Sequence[Any], deleted: Sequence[Any], now: float) -> None:
        """Take what the operator changed by another worker."""
        if table is ALIASES:
            self._rows |= {one.alias: one for one in rows}
            for (name,) in deleted:
                self._rows.pop(name, None)
        else:
            self._short |= {(one.user, one.digits): one.target for one in rows}
            for user, digits in deleted:
                self._short.pop((user, digits), None)

    # --- in routes

    @function
    def resolve(self, uri: SipUri) -> SipUri:
        """Return what ``uri`` stands for in the end, itself where it is no alias. ``ValueError``: a loop."""
        seen: set[str] = set()
        while True:
            name = self.core.address_of(uri)
            found = self._rows.get(name) or self._file.get(name)
            if found is None:
                return uri
            if name in seen or len(seen) >= _DEEPEST:
                raise ValueError(name)
            seen.add(name)
            uri = _target(found.target)

    @function
    def dialled(self, request: IncomingRequest) -> SipUri | None:
        """Return the target of the caller's own short number, None where it dialled none."""
        digits = request.user or ""
        if not self._short or not self._is_short(digits):
            return None
        target = self._short.get((self.core.address_of(request.message.from_.uri), digits))
        return None if target is None else _target(target)

    def _is_short(self, digits: str) -> bool:
        return len(digits) == self.settings.short and digits.isascii() and digits.isdigit()

    @step("translate")
    async def replace(self, request: IncomingRequest) -> None:
        """Replace the Request-URI; if it leads elsewhere, relay the request there."""
        uri = request.uri
        if not isinstance(uri, SipUri) or uri.user is None:
            return
        # RFC 3261 22: only a caller that has proved to be that user has the user's short numbers.
        short = self.dialled(request) if request.proven or not request.authenticates else None
        try:
            target = self.resolve(short or uri)
        except ValueError as error:
            self.core.notify(AliasLoop(str(error)), request.now)
            request.reply(482, "Alias Loop")
            return
        if target is uri:
            return
        request.message.set_uri(target)
        if not request.serves():
            request.record_route()
            request.relay()

    # --- operators

    @command("aliases.list")
    def list_aliases(self, after: str = "", limit: int = 1_000) -> list[Alias]:
        """Return all aliases by name; ``after``: the last of the page before."""
        return _page((self._file | self._rows).values(), after, limit)

    @command("aliases.explain")
    def explain(self, uri: str) -> str:
        """Return what ``uri`` stands for."""
        try:
            return str(self.resolve(_target(uri)))
        except ValueError as error:
            raise CommandError(f"aliases.explain: {AliasLoop(str(error))}") from None

    @command("aliases.add")
    async def add(self, alias: str, target: str) -> Alias:
        """Have ``alias`` stand for ``target``, durably; it beats one of the file."""
        try:
            row = Alias(alias, target)
        except ValueError as error:
            raise CommandError(f"aliases.add: {error}") from None
        await self._aliases.put(row)
        self._rows[row.alias] = row
        return row

    @command("aliases.remove")
    async def remove(self, alias: str) -> bool:
        """Remove an alias that was added; return whether there was one."""
        try:
            name = _named(alias, "alias")
        except ValueError as error:
            raise CommandError(f"aliases.remove: {error}") from None
        await self._aliases.delete((name,))
        return self._rows.pop(name, None) is not None

    @command("aliases.short")
    async def set_short(self, user: str, digits: str, target: str = "") -> bool:
        """Have `digits` stand for `target` where `user` dials them; without a target no longer."""
        try:
            name = _named(user, "user")
            if target:
                _target(target)
        except ValueError as error:
            raise CommandError(f"aliases.short: {error}") from None
        if not self._is_short(digits):
            wanted = f"expected {self.settings.short} digits"
            raise CommandError(f"aliases.short: digits is {digits!r:.20}; {wanted}")
        if target:
            await self._numbers.put(ShortNumber(name, digits, target))
            self._short[name, digits] = target
        else:
            await self._numbers.delete((name, digits))
            self._short.pop((name, digits), None)
        return True

    @command("aliases.numbers", role="read")
    def list_short(self, user: str) -> list[ShortNumber]:
        """Return the short numbers of `user`."""
        try:
            name = _named(user, "user")
        except ValueError as error:
            raise CommandError(f"aliases.numbers: {error}") from None
        return [ShortNumber(*key, target) for key, target in sorted(self._short.items()) if key[0] == name]


def _page(rows: Iterable[Alias], after: str, limit: int) -> list[Alias]:
    found = sorted((one for one in rows if one.alias > after), key=lambda one: one.alias)
    return found[: max(1, min(limit, 1_000))]


def _target(text: str) -> SipUri:
    """Return ``text`` as a URI that a request may go to. Raises ``ValueError``."""
    try:
        uri = parse_uri(text)
    except RemoteProtocolError as error:
        raise ValueError(f"{text!r:.80} is no SIP URI: {error.reason}") from None
    if not isinstance(uri, SipUri):
        raise ValueError(f"{text!r:.80} is no SIP URI")
    if uri.headers:
        # RFC 3261 19.1.5: fields of a URI must not reach into a request.
        raise ValueError(f"{text!r:.80}: write it without header fields")
    return uri


def _named(text: str, what: str) -> str:
    """Return ``text`` as an address-of-record. Raises ``ValueError``."""
    uri = _target(text)
    if uri.user is None:
        raise ValueError(f"{what} {text!r:.80} names no user")
    return address_of_record(uri)

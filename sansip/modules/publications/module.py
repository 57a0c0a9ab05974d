"""The module ``publications``: PUBLISH, as an event state compositor (RFC 3903 6).

Theory of operation: the steps of the RFC in their order. A publication is held by its entity-tag, and each
200 gives it a new one; so of several requests with one tag exactly one wins, also while the row of the first
is being written: it is busy, and the others get a 412. The row is durable before the 200 leaves, and then the
watchers are told.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.events import NodeChanged
from sansip.module import FIRST, Again, Module, command, function
from sansip.module.news import News, news_table
from sansip.modules.events import Events, admits
from sansip.modules.publications.publication import PUBLICATIONS, Publication, PublicationRow, Publishing
from sansip.modules.publications.renewing import read_renewal
from sansip.modules.publications.settings import PublicationsSettings
from sansip.modules.publications.shelf import Shelf
from sansip.routing.awaitables import ask
from sansip.rows import Expected, Write
from sansip.wire import SipUri
from sansip.wire.abnf import is_token

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from sansip.module import Core
    from sansip.routing import IncomingRequest
    from sansip.routing.usages import UsageArrived
    from sansip.rows import Key

__all__ = ["Publications"]

# Which publications changed at other nodes.
NEWS: Final = news_table("publications")
# Publications whose end one input tells of, and rows of a page.
_GROUP: Final = 64
_PAGE: Final = 200


class Publications(Module):
    """Takes what phones publish of their users (RFC 3903), and keeps it until it ends."""

    name = "publications"
    methods = frozenset(("PUBLISH",))
    over_workers = FIRST
    gathers = frozenset(("PUBLISH",))
    tells_due = True
    Settings = PublicationsSettings
    tables = (PUBLICATIONS,)
    requires = (Events,)
    events = (NodeChanged,)
    settings: PublicationsSettings

    def __init__(self, settings: PublicationsSettings) -> None:
        super().__init__(settings)
        self._kinds: dict[str, Publishing] = {}
        self._shelf = Shelf()
        self._serial = 0.0
        self._gone: list[Key] = []
        self._sweeping = False
        # Tells other nodes, where they share values with this one.
        self._others: News | None = None
        # Publications that are being stored for the first time, by resource.
        self._coming: dict[tuple[str, str], int] = {}

    # --- its life

    def start(self, core: Core, now: float) -> None:
        self._shelf.tell = core.has_due
        self._rows = core.rows(PUBLICATIONS)
        self._events = core.module(Events)
        if core.node and core.shares:
            self._others = News(core, NEWS, self._reread, self._restore_all, now)
        self._count = core.counter("published", "PUBLISH requests that were accepted, by package", ("event",))

    def figures(self) -> dict[str, Any]:
        """Return how many publications there are."""
        return {"now": len(self._shelf)}

    def __len__(self) -> int:
        return len(self._shelf)

    # --- for modules

    @function
    def add(self, kind: Publishing, now: float) -> None:
        """Take publications of ``kind`` from now on; those of a process before go on."""
        before = self._kinds.get(kind.event)
        if before is not None and type(before) is not type(kind):
            raise LocalProtocolError(f"two modules take publications for {kind.event}")
        self._kinds[kind.event] = kind
        self._begin_restore(kind, now)

    def _begin_restore(self, kind: Publishing, now: float) -> None:
        def taken() -> bool:
            return self._kinds.get(kind.event) is kind

        Again(self.core, partial(self._restore, kind), wanted=taken).begin(now)

    @function
    def remove(self, kind: Publishing) -> None:
        """Take publications of ``kind`` no longer; their rows stay."""
        self._kinds.pop(kind.event, None)

    @function
    def of(self, event: str, resource: str) -> list[Publication]:
        """Return the publications for ``resource``, the newest first."""
        return self._shelf.of(event, resource)

    # --- PUBLISH

    def rides(self) -> bool:
        """Whether calls pass as octets: nothing of a call is looked at here."""
        return True

    def request_received(self, request: IncomingRequest) -> bool | Coroutine[Any, Any, bool]:
        """Take a PUBLISH for a user of ours."""
        if request.method != "PUBLISH" or request.in_dialog or not self._kinds:
            return False
        uri = request.uri
        # RFC 3903 6 step 1: others' users may be published for elsewhere, by way of the route.
        if not isinstance(uri, SipUri) or uri.user is None or not request.serves():
            return False
        message = request.message
        try:
            message.typed("event")
            kind = self._kinds.get((message.get("event") or "").partition(";")[0].strip())
            if kind is None:
                # Step 2.
                request.refuse(489, None, [("Allow-Events", ", ".join(sorted(self._kinds)))])
                return True
            unknown = message.require
        except RemoteProtocolError as error:
            request.refuse(error.status or 400, error.reason)
            return True
        if unknown:
            # RFC 3261 8.2.2.3
            request.refuse(420, None, [("Unsupported", ", ".join(unknown))])
            return True
        return self._publish(request, kind, self.core.address_of(uri))

    async def _publish(self, request: IncomingRequest, kind: Publishing, resource: str) -> bool:
        if not await admits(request, self.settings.open):
            return True
        message = request.message
        sender = self.core.address_of(message.from_.uri)
        if request.authenticated and not kind.may_publish(sender, resource):
            # RFC 3903 14.1
            request.reply(403, "Not Your Address")
            return True
        package = self._events.package(kind.event)
        if package is not None and not package.serves(resource):
            request.reply(404)
            return True
        tags = message.get_all("sip-if-match")
        if tags and (len(tags) > 1 or not is_token(tags[0])):
            # Step 3: a single entity-tag.
            request.reply(400, "One Entity-Tag")
            return True
        before = self._shelf.find(kind.event, resource, tags[0]) if tags else None
        if tags and before is None and self.core.node:
            try:
                before = await self._adopt(kind, resource, tags[0])
            except Exception as error:
                self.core.failed("publish", error)
                request.reply(503, None, [("Retry-After", "30")])
                return True
        if tags and (before is None or before.busy):
            request.reply(412)
            return True
        seconds = self._seconds(request, kind)
        if seconds is None or not self._takes_body(request, kind, before, seconds):
            return True
        if before is None and not self._has_room(request, kind, resource):
            return True
        await self._keep(request, kind, resource, before, seconds)
        return True

    def _seconds(self, request: IncomingRequest, kind: Publishing) -> int | None:
        """Return how long it shall live (step 4); None where that was refused."""
        try:
            asked = request.message.expires
        except RemoteProtocolError as error:
            request.reply(error.status or 400, error.reason)
            return None
        asked = kind.usual if asked is None else asked
        if 0 < asked < self.settings.least:
            request.reply(423, None, [("Min-Expires", str(self.settings.least))])
            return None
        return min(asked, self.settings.longest)

    def _takes_body(
        self, request: IncomingRequest, kind: Publishing, before: Publication | None, seconds: int
    ) -> bool:
        """Whether the body can be taken (step 5); answered where not."""
        message = request.message
        if not message.body:
            if before is None and seconds:
                request.reply(400, "No State To Publish")
                return False
            return True
        if (message.get("content-encoding") or "identity").strip().lower() != "identity":
            request.reply(415, None, [("Accept-Encoding", "identity")])
            return False
        if _type_of(request) not in kind.types:
            request.reply(415, None, [("Accept", ", ".join(kind.types))])
            return False
        if len(message.body) > self.settings.size:
            request.reply(413)
            return False
        return True

    def _has_room(self, request: IncomingRequest, kind: Publishing, resource: str) -> bool:
        coming = self._coming.get((kind.event, resource), 0)
        if len(self._shelf.of(kind.event, resource)) + coming >= self.settings.most_of_user:
            request.reply(403, "Too Many Publications")
            return False
        if len(self._shelf) + sum(self._coming.values()) >= self.settings.most:
            request.reply(503, None, [("Retry-After", "60")])
            return False
        return True

    async def _keep(
        self,
        request: IncomingRequest,
        kind: Publishing,
        resource: str,
        before: Publication | None,
        seconds: int,
    ) -> None:
        message = request.message
        etag = self.core.entropy.token()
        if message.body and seconds:
            try:
                document = kind.check(resource, _type_of(request), message.body)
            except ValueError as error:
                request.reply(400, f"Bad Body: {error}"[:80])
                return
            made, body = _type_of(request), message.body
        elif before is not None:
            document, made, body = before.document, before.type, before.body
        else:
            document, made, body = None, "", b""
        now = request.now
        serial = self._serial_of(before, bool(message.body), now)
        after = Publication(kind.event, resource, etag, made, body, document, now + seconds, serial)
        gone = [] if before is None else [(before.event, before.resource, before.etag)]
        rows = [self._row(after, now)] if seconds else []
        key = (kind.event, resource)
        if before is not None:
            before.busy = True
        else:
            self._coming[key] = self._coming.get(key, 0) + 1
        try:
            if (rows or gone) and not await self._write(rows, gone):
                # RFC 3903 6 step 3: another node had the same tag, and was faster.
                if self._others is not None:
                    self._others.reread_soon((kind.event, resource))
                request.reply(412)
                return
        except Exception as error:
            # Step 5: it must not succeed.
            self.core.failed("publish", error)
            request.reply(503, None, [("Retry-After", "30")])
            return
        finally:
            if before is not None:
                before.busy = False
            else:
                self._coming[key] -= 1
                if not self._coming[key]:
                    del self._coming[key]
        ended = self._replace(before, after if seconds else None, kind.event, resource, now)
        # Step 6.
        request.reply(200, None, [("SIP-ETag", etag), ("Expires", str(seconds))])
        if seconds == 0 or message.body or ended:
            kind.published(resource, request.now)

    def _serial_of(self, before: Publication | None, says: bool, now: float) -> float:
        """Return the serial of what takes the place of ``before``; ``says``: it has a body."""
        self._serial = max(self._serial + 1e-6, self.core.unix(now))
        # A refresh changes nothing, so it is not newer than what others have published since.
        return self._serial if before is None or says else before.serial

    def _replace(
        self, before: Publication | None, after: Publication | None, event: str, resource: str, now: float
    ) -> bool:
        """``after`` is in the rows, in the place of ``before``; return whether that had ended meanwhile.

        Then watchers were told of its end, and have to be told of what stands again.
        """
        ended = before is not None and not self._shelf.has(before)
        if before is not None:
            self._shelf.remove(before)
        if after is not None:
            twin = self._shelf.find(event, resource, after.etag)
            if twin is not None:
                # The row was read (``_reread``) before the answer to the write came.
                self._shelf.remove(twin)
            self._shelf.put(after)
        if self._others is not None:
            self._others.tell((event, resource), now)
        self._count.add(event)
        return ended

    # --- what is read in brief (``renewing``)

    def usage_received(
        self, arrived: UsageArrived, now: float
    ) -> Callable[[UsageArrived, float], None] | None:
        """Take a PUBLISH that refreshes, or modifies, what its entity-tag names."""
        if self.core.node or not self.settings.open:
            # Other nodes, or the sender, are asked first.
            return None
        wanted = read_renewal(arrived.usage, self.settings)
        if wanted is None:
            return None
        kind, resource = self._kinds.get(wanted.event), self._resource_of(arrived)
        if kind is None or not resource:
            return None
        package = self._events.package(kind.event)
        before = self._shelf.find(kind.event, resource, wanted.etag)
        if before is None or before.busy or (package is not None and not package.serves(resource)):
            return None
        body, seconds = arrived.usage.body, kind.usual if wanted.seconds is None else wanted.seconds
        if not max(1, self.settings.least) <= seconds:
            return None
        if not body:
            say = before.document, before.type, before.body
        elif wanted.type not in kind.types:
            return None
        else:
            try:
                say = kind.check(resource, wanted.type, body), wanted.type, body
            except ValueError:
                return None
        return partial(self._renew, kind, before, min(seconds, self.settings.longest), say)

    def _resource_of(self, arrived: UsageArrived) -> str:
        usage = arrived.usage
        host = usage.host.lower()
        domains = arrived.core.addresses.domains
        if usage.user is None or usage.gr is not None or (domains and host not in domains):
            return ""
        return f"sip:{usage.user}@{host}"

    def _renew(
        self,
        kind: Publishing,
        before: Publication,
        seconds: int,
        say: tuple[Any, str, bytes],
        arrived: UsageArrived,
        now: float,
    ) -> None:
        etag = self.core.entropy.token()
        says = bool(arrived.usage.body)
        serial = self._serial_of(before, says, now)
        document, made, body = say
        after = Publication(kind.event, before.resource, etag, made, body, document, now + seconds, serial)
        if not self.core.keeps_rows:
            self._renewed(kind, before, after, seconds, arrived, None, now)
            return
        before.busy = True
        change = self._rows.change(
            self._row(after, now), delete=[(before.event, before.resource, before.etag)]
        )
        arrived.waits(now)
        renewed = partial(self._renewed, kind, before, after, seconds, arrived)
        self.core.put(Write((change,)), arrived.guarded(renewed, self.core.failed), now)

    def _renewed(
        self,
        kind: Publishing,
        before: Publication,
        after: Publication,
        seconds: int,
        arrived: UsageArrived,
        result: Any,
        now: float,
    ) -> None:
        before.busy = False
        if isinstance(result, BaseException):
            # RFC 3903 6 step 5: it must not succeed.
            self.core.failed("publish", result)
            arrived.handle(now).reply(503, None, [("Retry-After", "30")])
            return
        ended = self._replace(before, after, kind.event, after.resource, arrived.now)
        lines = f"SIP-ETag: {after.etag}\r\nExpires: {seconds}\r\n"
        arrived.grant(lines, now, self.core.entropy.token())
        if arrived.usage.body or ended:
            kind.published(after.resource, now)

    async def _write(self, rows: list[PublicationRow], gone: list[Key]) -> bool:
        """Write ``rows`` in the place of ``gone``; False where another node has replaced that already."""
        if not self.core.keeps_rows:
            return True
        if not gone or not self.core.node:
            await self._rows.put(*rows, delete=gone)
            return True
        (key,) = gone
        before = await self._rows.get(*key)
        if before is None:
            return False
        table = self._rows.table
        expected = Expected(table, key, table.values_of(before))
        return await ask(Write((self._rows.change(*rows, delete=gone),), (expected,))) is not False

    def _row(self, one: Publication, now: float) -> PublicationRow:
        expires = self.core.unix(now) + (one.expires_at - now)
        return PublicationRow(one.event, one.resource, one.etag, one.type, one.body, expires, one.serial)

    # --- time

    def next_due(self) -> float | None:
        """Return when a publication ends."""
        return self._shelf.next_due()

    def time_passed(self, now: float) -> None:
        """End what has expired (RFC 3903 4.4), and tell its watchers."""
        self._forget(self._shelf.ended(now, _GROUP), now)

    def _forget(self, ended: Iterable[Publication], now: float) -> None:
        told: dict[tuple[str, str], None] = {}
        for one in ended:
            if not one.busy and self.core.keeps_rows:
                self._gone.append((one.event, one.resource, one.etag))
            told[one.event, one.resource] = None
        if self._gone and not self._sweeping:
            self._sweeping = True
            self.core.run(self._sweep(), now, self._swept)
        for event, resource in told:
            if (kind := self._kinds.get(event)) is not None:
                kind.published(resource, now)

    async def _sweep(self) -> None:
        while self._gone:
            gone, self._gone = self._gone, []
            await self._rows.delete(*gone)

    def _swept(self, result: Any, now: float) -> None:
        self._sweeping = False
        if isinstance(result, BaseException):
            # Rows that have expired are skipped at the next start.
            self.core.failed("rows", result)

    async def _adopt(self, kind: Publishing, resource: str, etag: str) -> Publication | None:
        """Return the publication that another node has stored."""
        row = await self._rows.get(kind.event, resource, etag)
        found = self._shelf.find(kind.event, resource, etag)
        if found is not None or row is None:
            return found
        one = self._of_row(kind, row)
        if one.expires_at <= self.core.ua.now:
            return None
        self._shelf.put(one)
        return one

    def _of_row(self, kind: Publishing, row: PublicationRow) -> Publication:
        """Return the publication of a row; one that cannot be read has ended."""
        now = self.core.ua.now
        at, document = now + row.expires - self.core.unix(now), None
        try:
            document = kind.check(row.resource, row.type, row.body)
        except ValueError as error:
            self.core.failed("restore", error)
            at = now
        self._serial = max(self._serial, row.serial)
        return Publication(
            row.event, row.resource, row.etag, row.type, row.body, document, at, row.serial, read=True
        )

    # --- other nodes

    async def _reread(self, key: tuple[str, ...]) -> None:
        """Take the publications of a resource as their rows are: another node has changed them."""
        event, resource = key
        kind = self._kinds.get(event)
        if kind is None:
            return
        before = [one.etag for one in self._shelf.of(event, resource)]
        rows = await self._rows.all(event, resource)
        now = self.core.ua.now
        standing = self._shelf.of(event, resource)
        changed = before != [one.etag for one in standing]
        if changed or (event, resource) in self._coming or any(one.busy for one in standing):
            # Its rows are being changed here as well, or were after these had been read.
            if self._others is not None:
                self._others.reread_soon((event, resource))
            return
        tags = {row.etag for row in rows}
        for one in standing:
            if one.etag not in tags:
                self._shelf.remove(one)
        known = {one.etag for one in standing}
        for row in rows:
            if row.etag not in known and (one := self._of_row(kind, row)).expires_at > now:
                self._shelf.put(one)
        # A refresh has another entity-tag and the same serial: nobody is told.
        if _states(standing) != _states(self._shelf.of(event, resource)):
            kind.published(resource, now)

    async def _restore_all(self) -> None:
        for kind in tuple(self._kinds.values()):
            await self._restore(kind)

    def event_received(self, event: NodeChanged, now: float) -> None:
        """A node is gone: what it took is read anew, for its watchers come to the others."""
        if self.core.node and event.state in ("gone", "lives"):
            for kind in tuple(self._kinds.values()):
                self._begin_restore(kind, now)

    async def _restore(self, kind: Publishing) -> None:
        after: Key | None = None
        ended: list[Publication] = []
        before = [one for one in self._shelf.all(kind.event) if one.read]
        keys: set[Key] = set()
        while rows := await self._rows.page(kind.event, after=after, limit=_PAGE):
            now = self.core.ua.now
            for row in rows:
                keys.add((row.event, row.resource, row.etag))
                one = self._of_row(kind, row)
                if one.expires_at <= now:
                    ended.append(one)
                elif self._shelf.find(row.event, row.resource, row.etag) is None:
                    self._shelf.put(one)
                    kind.published(row.resource, now)
            if len(rows) < _PAGE:
                break
            after = (rows[-1].event, rows[-1].resource, rows[-1].etag)
        for one in before:
            # Another node has refreshed it, or taken it away.
            if (one.event, one.resource, one.etag) not in keys and self._shelf.has(one) and not one.busy:
                self._shelf.remove(one)
                ended.append(one)
        self._forget(ended, self.core.ua.now)

    # --- operators

    @command("publications.list")
    def list_publications(self, resource: str, now: float, event: str = "") -> list[dict[str, Any]]:
        """Return what is published for `resource`, an address-of-record, the newest first."""
        return [
            {
                "event": one.event,
                "etag": one.etag,
                "type": one.type,
                "expires": int(one.expires_at - now),
                "body": one.body.decode("utf-8", "replace"),
            }
            for name in ([event] if event else sorted(self._kinds))
            for one in self._shelf.of(name, resource)
        ]


def _states(publications: Iterable[Publication]) -> list[tuple[float, bytes]]:
    return [(one.serial, one.body) for one in publications]


def _type_of(request: IncomingRequest) -> str:
    message = request.message
    return (message.get("content-type") or "").partition(";")[0].strip().lower().replace(" ", "")

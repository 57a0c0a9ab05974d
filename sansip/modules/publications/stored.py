"""Publications and their rows: of a process before, and of other nodes.

Theory of operation: what stands is in memory (``shelf``) as it is in the rows. When a package is added its
rows are read a page at a time. Of several nodes each says which resources it has changed (``News``), and the
others read their rows anew. What has expired leaves the memory first, then the rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import LocalProtocolError
from sansip.events import NodeChanged
from sansip.module import FIRST, Again, Module, function
from sansip.module.news import News, news_table
from sansip.modules.events import Events
from sansip.modules.publications.publication import PUBLICATIONS, Publication, PublicationRow, Publishing
from sansip.modules.publications.settings import PublicationsSettings
from sansip.modules.publications.shelf import Shelf
from sansip.routing.awaitables import ask
from sansip.rows import Expected, Write

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sansip.module import Core
    from sansip.rows import Key

__all__ = ["Stored"]

# Which publications changed at other nodes.
NEWS: Final = news_table("publications")
# Publications whose end one input tells of, and rows of a page.
_GROUP: Final = 64
_PAGE: Final = 200


class Stored(Module):
    """The module without PUBLISH.

    Attributes:
        shelf: all publications.
    """

    name = "publications"
    over_workers = FIRST
    tells_due = True
    Settings = PublicationsSettings
    tables = (PUBLICATIONS,)
    requires = (Events,)
    events = (NodeChanged,)
    settings: PublicationsSettings

    def __init__(self, settings: PublicationsSettings) -> None:
        super().__init__(settings)
        self._kinds: dict[str, Publishing] = {}
        self.shelf = Shelf()
        self._gone: list[Key] = []
        self._sweeping = False
        # Tells other nodes, where they share values with this one.
        self._others: News | None = None
        # Publications that are being stored for the first time, by resource.
        self._coming: dict[tuple[str, str], int] = {}

    # --- its life

    def start(self, core: Core, now: float) -> None:
        self.shelf.tell = core.has_due
        self._rows = core.rows(PUBLICATIONS)
        self._events = core.module(Events)
        if core.node and core.shares:
            self._others = News(core, NEWS, self._reread, self._restore_all, now)
        self._count = core.counter("published", "PUBLISH requests that were accepted, by package", ("event",))

    def figures(self) -> dict[str, Any]:
        """Return how many publications there are."""
        return {"now": len(self.shelf)}

    def __len__(self) -> int:
        return len(self.shelf)

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
        return self.shelf.of(event, resource)

    # --- what stands

    def _replace(
        self, before: Publication | None, after: Publication | None, event: str, resource: str, now: float
    ) -> bool:
        """``after`` is in the rows, in the place of ``before``; return whether that had ended meanwhile.

        Then watchers were told of its end, and have to be told of what stands again.
        """
        ended = self.shelf.replace(before, after)
        if self._others is not None:
            self._others.tell((event, resource), now)
        self._count.add(event)
        return ended

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

    def _of_row(self, kind: Publishing, row: PublicationRow) -> Publication:
        """Return the publication of a row; one that cannot be read has ended."""
        now = self.core.ua.now
        at, document = now + row.expires - self.core.unix(now), None
        try:
            document = kind.check(row.resource, row.type, row.body)
        except ValueError as error:
            self.core.failed("restore", error)
            at = now
        self.shelf.latest = max(self.shelf.latest, row.serial)
        return Publication(
            row.event, row.resource, row.etag, row.type, row.body, document, at, row.serial, read=True
        )

    # --- time

    def next_due(self) -> float | None:
        """Return when a publication ends."""
        return self.shelf.next_due()

    def time_passed(self, now: float) -> None:
        """End what has expired (RFC 3903 4.4), and tell its watchers."""
        self._forget(self.shelf.ended(now, _GROUP), now)

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

    # --- other nodes, and the process before

    async def _adopt(self, kind: Publishing, resource: str, etag: str) -> Publication | None:
        """Return the publication that another node has stored."""
        row = await self._rows.get(kind.event, resource, etag)
        found = self.shelf.find(kind.event, resource, etag)
        if found is not None or row is None:
            return found
        one = self._of_row(kind, row)
        if one.expires_at <= self.core.ua.now:
            return None
        self.shelf.put(one)
        return one

    async def _reread(self, key: tuple[str, ...]) -> None:
        """Take the publications of a resource as their rows are: another node has changed them."""
        event, resource = key
        kind = self._kinds.get(event)
        if kind is None:
            return
        before = [one.etag for one in self.shelf.of(event, resource)]
        rows = await self._rows.all(event, resource)
        now = self.core.ua.now
        standing = self.shelf.of(event, resource)
        changed = before != [one.etag for one in standing]
        if changed or (event, resource) in self._coming or any(one.busy for one in standing):
            # Its rows are being changed here as well, or were after these had been read.
            if self._others is not None:
                self._others.reread_soon((event, resource))
            return
        tags = {row.etag for row in rows}
        for one in standing:
            if one.etag not in tags:
                self.shelf.remove(one)
        known = {one.etag for one in standing}
        for row in rows:
            if row.etag not in known and (one := self._of_row(kind, row)).expires_at > now:
                self.shelf.put(one)
        # A refresh has another entity-tag and the same serial: nobody is told.
        if _states(standing) != _states(self.shelf.of(event, resource)):
            kind.published(resource, now)

    def event_received(self, event: NodeChanged, now: float) -> None:
        """A node is gone: what it took is read anew, for its watchers come to the others."""
        if self.core.node and event.state in ("gone", "lives"):
            for kind in tuple(self._kinds.values()):
                self._begin_restore(kind, now)

    async def _restore_all(self) -> None:
        for kind in tuple(self._kinds.values()):
            await self._restore(kind)

    async def _restore(self, kind: Publishing) -> None:
        after: Key | None = None
        ended: list[Publication] = []
        before = [one for one in self.shelf.all(kind.event) if one.read]
        keys: set[Key] = set()
        while rows := await self._rows.page(kind.event, after=after, limit=_PAGE):
            now = self.core.ua.now
            for row in rows:
                keys.add((row.event, row.resource, row.etag))
                one = self._of_row(kind, row)
                if one.expires_at <= now:
                    ended.append(one)
                elif self.shelf.find(row.event, row.resource, row.etag) is None:
                    self.shelf.put(one)
                    kind.published(row.resource, now)
            if len(rows) < _PAGE:
                break
            after = (rows[-1].event, rows[-1].resource, rows[-1].etag)
        for one in before:
            # Another node has refreshed it, or taken it away.
            if (one.event, one.resource, one.etag) not in keys and self.shelf.has(one) and not one.busy:
                self.shelf.remove(one)
                ended.append(one)
        self._forget(ended, self.core.ua.now)


def _states(publications: Iterable[Publication]) -> list[tuple[float, bytes]]:
    return [(one.serial, one.body) for one in publications]

"""Subscriptions that come from their rows: of a process before, or of another node.

Theory of operation: when a package is added its rows are read a page at a time, and the NOTIFYs that follow
are spread over time (``restore_rate``). Of several nodes each takes the rows that name it as their owner, and
those of nodes that are gone (``nodes``). A request in a dialog that is not known here may be of a row that
another node has written: it is read then, and this node is its owner from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sansip.errors import RemoteProtocolError
from sansip.modules.events.content import Verdict
from sansip.modules.events.row import dialog_of, flow_of
from sansip.modules.events.subscription import Subscription
from sansip.sources import source_of
from sansip.ua.contact import contact_of
from sansip.wire import SipUri
from sansip.wire.headers.events import Event, parse_event

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.events.book import Book
    from sansip.modules.events.keeping import Keeping
    from sansip.modules.events.notifying import Notifying
    from sansip.modules.events.package import Package
    from sansip.modules.events.row import SubscriptionRow
    from sansip.modules.events.settings import EventsSettings
    from sansip.transport import Listeners
    from sansip.wire import Uri

__all__ = ["Restoring"]

# Rows that one page of a restart holds.
_PAGE: Final = 200


class Restoring:
    """Makes subscriptions from rows, and enters them into ``book``."""

    def __init__(
        self,
        core: Core,
        book: Book,
        keeping: Keeping,
        notifying: Notifying,
        settings: Callable[[], EventsSettings],
    ) -> None:
        self._core = core
        self._book = book
        self._keeping = keeping
        self._notifying = notifying
        self._settings = settings

    async def restore(self, package: Package, of: Container[str] | None = None) -> None:
        """Take the subscriptions of a process before; they get their NOTIFYs one after the other.

        ``of``: those of these nodes, which are gone.
        """
        owners: Container[str] = ("", self._core.node) if of is None else of
        after: tuple[Any, ...] | None = None
        taken = 0
        while rows := await self._keeping.rows.page(package.event, after=after, limit=_PAGE):
            for row in rows:
                if row.owner not in owners:
                    # Another node's, which serves it.
                    continue
                if self._take(package, row, taken / self._settings().restore_rate) is not None:
                    taken += 1
            if len(rows) < _PAGE:
                break
            after = (rows[-1].package, rows[-1].id)
        self._keeping.sweep(self._core.ua.now)

    async def adopt(self, package: Package, tag: str) -> Subscription | None:
        """Return the subscription that another node, or a process before this one, has stored."""
        row = await self._keeping.rows.get(package.event, tag)
        return self._book.ids.get(tag) or (None if row is None else self._take(package, row, 0.0))

    def _take(self, package: Package, row: SubscriptionRow, after: float) -> Subscription | None:
        core, notifying = self._core, self._notifying
        now = core.ua.now
        left = row.expires - core.unix(now)
        if row.id in self._book.ids:
            return None
        if left <= 0:
            self._keeping.discard(row)
            return None
        try:
            dialog = dialog_of(row)
            if row.owner != core.node:
                # RFC 3261 12.2.1.2: the next NOTIFY moves the watcher's requests to this node.
                dialog.local_target = _here(dialog.local_target, core.listeners)
            one = Subscription(row.id, package, row.resource, row.watcher, notifying)
            one.verdict = Verdict(row.verdict)
            one.filter_type, one.filter_body = row.filter_type, row.filter_body
            if row.filter_type:
                one.filter = package.check_filter(row.filter_type, row.filter_body)
            one.params = dict(_event_of(row.event).params)
        except (RemoteProtocolError, ValueError) as error:
            core.failed("restore", error)
            self._keeping.discard(row)
            return None
        one.accept = tuple(row.accept.split("\n")) if row.accept else ()
        one.proven = row.proven
        one.flow = flow_of(row, core.listeners)
        one.source = row.watcher if row.proven or one.flow is None else source_of(one.flow.host)
        one.began, one.reached = row.began, row.target
        # With its first NOTIFY the row is written anew, with more numbers: a start writes no rows at all.
        one.reserved = row.cseq
        # Versions rise with the sequence numbers, or more slowly.
        one.version = row.cseq
        one.kept = True
        one.usage = notifying.usage(one, dialog, row.event, now + left)
        one.dirty = True
        one.retry_at = now + after
        if not one.proven and one.flow is None:
            # It may only be told where its SUBSCRIBE came from, over a connection that is gone.
            self._keeping.discard(row)
            return None
        self._book.add(one)
        if row.owner != core.node:
            # Others that look must see who serves it now.
            self._keeping.note(one)
        self._book.look(one, min(now + after, now + left))
        return one


def _here(contact: Uri | None, listeners: Listeners) -> Uri | None:
    """Return ``contact``, of another node, as this one says it; as it is where no listener fits."""
    if not isinstance(contact, SipUri):
        return contact
    for listener in listeners:
        mine = contact_of(listener, secure=contact.scheme == "sips")
        if mine.scheme == contact.scheme and mine.params.get("transport") == contact.params.get("transport"):
            return contact.replace(host=mine.host, port=mine.port)
    return contact


@lru_cache(maxsize=256)
def _event_of(text: str) -> Event:
    # Nearly all rows have one of a few values.
    return parse_event(text, "Event", "RFC 6665 8.2.1")

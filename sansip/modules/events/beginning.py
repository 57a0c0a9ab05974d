"""A subscription as it begins: made from its SUBSCRIBE, and within the limits.

Theory of operation: ``seconds`` says how long a SUBSCRIBE asks for, ``make`` has all that it says of the
subscription, its dialog included, and both refuse what cannot be served. ``limit`` says which of the limits
has no place for one more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sansip.dialog import Dialog, Refusal, duration
from sansip.dialog.dialog import needs_sips_contact
from sansip.dialog.subscription_table import PENDING
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.modules.events.content import Verdict
from sansip.modules.events.notices import SubscriptionLimitReached
from sansip.modules.events.screening import accepted_types, filter_of, mark_of, refuse_filter
from sansip.modules.events.subscription import Subscription
from sansip.sources import source_of
from sansip.transport.transports import SECURE
from sansip.ua.contact import contact_of
from sansip.ua.merged import Merged

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.events.book import Book
    from sansip.modules.events.notifying import Notifying
    from sansip.modules.events.package import Package
    from sansip.modules.events.settings import EventsSettings
    from sansip.routing import IncomingRequest
    from sansip.transport import Listener
    from sansip.ua.tags import Tags
    from sansip.wire import SipUri

__all__ = ["Beginning"]


class Beginning:
    """Makes the subscriptions that ``book`` is to hold."""

    def __init__(
        self,
        core: Core,
        book: Book,
        notifying: Notifying,
        tags: Tags,
        settings: Callable[[], EventsSettings],
    ) -> None:
        self._core = core
        self._book = book
        self._notifying = notifying
        self._tags = tags
        self._settings = settings
        # RFC 6665 4.5.1: our Contact is a GRUU; it leads to this server, which has one instance.
        self._gruu = core.secret("gruu").keyed_hash("notifier")
        self._merged = Merged()
        # Limit -> the second in which it was told of.
        self._told: dict[str, int] = {}
        # Our Contact: there is one for each listener, which all of its dialogs share.
        self._contacts: dict[tuple[int, bool], tuple[Listener, SipUri]] = {}

    def seconds(self, request: IncomingRequest, package: Package, resource: str) -> int | None:
        """Return how long ``request`` asks for, 0 for a fetch; None where it was refused."""
        message, settings = request.message, self._settings()
        if not package.serves(resource) or not package.offers(dict(message.typed("event").params)):
            request.reply(404)
            return None
        wanted = duration(message, default=package.usual, least=settings.least, most=settings.longest)
        if isinstance(wanted, Refusal):
            request.reply(wanted.status, None, wanted.headers)
            return None
        return wanted

    def make(self, request: IncomingRequest, package: Package, resource: str) -> Subscription | None:
        """Return a subscription for ``request``, which is within the limits; None where it was refused."""
        one = self._made(request, package, resource)
        if one is None:
            return None
        limit = self.limit(one)
        if limit:
            self.tell_limit(limit, one, request)
            if limit == "most_of_watcher":
                request.reply(403, "Too Many Subscriptions")
            else:
                request.reply(503, None, [("Retry-After", "60")])
            return None
        if request.server is not None and not self._merged.takes(request.message, request.server):
            # RFC 3261 8.2.2.2
            request.reply(482, "Merged Request")
            return None
        one.verdict = package.judge(one, request.now)
        if one.verdict is Verdict.BLOCK:
            # RFC 6665 4.2.1.3
            request.reply(403)
            return None
        if one.verdict is Verdict.CONFIRM:
            one.usage.state = PENDING
        # Counted before the store is waited for: others that come meanwhile find the place taken.
        self._book.asks(one, one.source)
        self._book.comes(one)
        return one

    def _contact(self, listener: Listener, secure: bool) -> SipUri:
        """Return our Contact at ``listener``."""
        found = self._contacts.get((listener.id, secure))
        if found is None or found[0] is not listener:
            contact = contact_of(listener, secure=secure)
            contact = contact.replace(params={**contact.params, "gr": self._gruu})
            found = self._contacts[listener.id, secure] = listener, contact
        return found[1]

    def _made(self, request: IncomingRequest, package: Package, resource: str) -> Subscription | None:
        core, message, flow = self._core, request.message, request.flow
        tag = self._tags.make(message.call_id)
        try:
            contact = self._contact(core.listeners[flow.listener], needs_sips_contact(message, received=True))
            dialog = Dialog.from_uas(message, tag, contact, over_tls=flow.transport in SECURE)
            given = filter_of(message, package)
        except (RemoteProtocolError, LocalProtocolError) as error:
            status = error.status if isinstance(error, RemoteProtocolError) else 400
            request.reply(status or 400, str(getattr(error, "reason", "Bad Request")))
            return None
        except ValueError as error:
            refuse_filter(request, error)
            return None
        watcher = core.address_of(message.from_.uri)
        one = Subscription(tag, package, resource, watcher, self._notifying)
        one.proven = request.proven
        one.source = watcher if one.proven else source_of(flow.host)
        one.flow = flow
        one.accept = accepted_types(message, package) or ()
        one.params = dict(message.typed("event").params)
        one.seen = mark_of(message)
        one.began = core.unix(request.now)
        if given is not None:
            one.filter, one.filter_type, one.filter_body = given
        one.usage = self._notifying.usage(one, dialog, message.get("event") or "")
        parties = len(str(dialog.remote)) + len(str(dialog.local)) + len(message.call_id)
        held = parties + len(str(dialog.remote_target)) + sum(len(str(route)) for route in dialog.route_set)
        if held + len(one.filter_body) + len(one.usage.event) > self._settings().size + package.body_size:
            self.tell_limit("size", one, request)
            request.reply(513)
            return None
        return one

    def limit(self, one: Subscription) -> str:
        """Return the limit that has no place for ``one``; "": all have."""
        settings, book = self._settings(), self._book
        if book.count() >= settings.most:
            return "most"
        if book.count_of_watcher(one.source) >= settings.most_of_watcher:
            return "most_of_watcher"
        if (
            not one.package.private
            and book.count_of(one.package.event, one.resource) >= settings.most_of_resource
        ):
            return "most_of_resource"
        return "unanswered" if book.count_unanswered(one.source) >= settings.unanswered else ""

    def tell_limit(self, limit: str, one: Subscription, request: IncomingRequest) -> None:
        """Tell the log, once a second, that ``limit`` acts."""
        second = int(request.now)
        if self._told.get(limit) != second:
            self._told[limit] = second
            told = SubscriptionLimitReached(limit, one.watcher, request.flow.host)
            self._core.notify(told, request.now)

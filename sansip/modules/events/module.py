"""The module ``events``: subscriptions to all packages, and the NOTIFYs that they get.

Theory of operation: a SUBSCRIBE is screened, its sender proves who it is, the package says what it may see,
and the row is written; then the 200 leaves, and the first NOTIFY after it. From then on packages tell of
changes (``changed``), and each subscription gets its NOTIFYs at its own pace. One input sends a few NOTIFYs;
where thousands watch one resource the rest is due at once and follows in small groups between other messages,
so that nobody else waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sansip.dialog import (
    Dialog,
    Notifier,
    Refusal,
    Respond,
    Send,
    SubscriptionEnded,
    Tell,
    duration,
    event_key,
)
from sansip.dialog.dialog import needs_sips_contact
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.module import CommandError, Module, command, function
from sansip.modules.events.admission import admits
from sansip.modules.events.book import Book
from sansip.modules.events.content import Content, Verdict
from sansip.modules.events.notices import SubscriptionLimitReached, WatcherChanged
from sansip.modules.events.package import Package
from sansip.modules.events.row import BLOCK, SUBSCRIPTIONS, dialog_of, flow_of, row_of
from sansip.modules.events.screening import accepted_types, filter_of, screen_subscribe
from sansip.modules.events.sending import way_of
from sansip.modules.events.settings import EventsSettings
from sansip.modules.events.shown import Shown, shown
from sansip.modules.events.subscription import Subscription, rate_of
from sansip.sources import source_of
from sansip.transport.transports import SECURE
from sansip.ua.contact import contact_of
from sansip.ua.merged import Merged
from sansip.ua.tags import Tags
from sansip.wire import SipUri
from sansip.wire.headers.events import parse_event

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sansip.client import Sending
    from sansip.dialog import Effect
    from sansip.module import Core
    from sansip.modules.events.row import SubscriptionRow
    from sansip.routing import IncomingRequest
    from sansip.wire import Response

__all__ = ["Events"]

# See ``Events.serve_lists``.
ListFor: TypeAlias = Callable[[Package, str, str], Package | None]
Hears: TypeAlias = Callable[[str, str, float], None]
Added: TypeAlias = Callable[[Package, float], None]

# How tags of ours begin: as long as those of user agents (``sansip.ua.tags``).
_MARK: Final = "e-"
# NOTIFYs that one input sends.
_GROUP: Final = 32
# Seconds until a NOTIFY that failed is sent anew: the first time, and at the most.
_AGAIN: Final = (5.0, 300.0)
# A NOTIFY that never got through so often ends the subscription.
_TRIES: Final = 3
# Rows that one page of a restart holds.
_PAGE: Final = 200
# RFC 6665 4.1.3 in the words of RFC 3858 4.2.
_WORDS: Final = {"timeout": "timeout", "lost": "giveup", "rejected": "rejected", "noresource": "noresource"}


class Events(Module):
    """Serves subscriptions to the event packages of other modules (RFC 6665)."""

    name = "events"
    methods = frozenset(("SUBSCRIBE",))
    Settings = EventsSettings
    tables = (SUBSCRIPTIONS,)
    settings: EventsSettings

    def __init__(self, settings: EventsSettings) -> None:
        super().__init__(settings)
        self._packages: dict[str, Package] = {}
        self._book = Book()
        self._merged = Merged()
        self._now = 0.0
        # Keys of rows to delete, and subscriptions whose row is out of date.
        self._gone: list[tuple[str, str]] = []
        self._stale: dict[str, Subscription] = {}
        self._sweeping = False
        self._told: dict[str, int] = {}
        # Option tags that packages add (``eventlist``).
        self.extensions: set[str] = set()
        self._list_for: ListFor | None = None
        self._hears: Hears | None = None
        self._added: Added | None = None

    # --- its life

    def start(self, core: Core, now: float) -> None:
        self._rows = core.rows(SUBSCRIPTIONS)
        self._tags = Tags(core.secret("tags"), core.entropy, _MARK)
        # RFC 6665 4.5.1: our Contact is a GRUU; it leads to this server, which has one instance.
        self._gruu = core.secret("gruu").keyed_hash("notifier")
        self._sent = core.counter("notified", "NOTIFYs that were sent, by package", ("event",))
        self._over_count = core.counter("ended", "Subscriptions that ended, by reason", ("reason",))

    def figures(self) -> dict[str, Any]:
        """Return how many subscriptions each package has."""
        found = {f"now_{name}": 0 for name in self._packages}
        for one in self._book.ids.values():
            found[f"now_{one.package.event}"] = found.get(f"now_{one.package.event}", 0) + 1
        return found

    def __len__(self) -> int:
        """Return how many subscriptions there are."""
        return len(self._book)

    # --- for modules

    @function
    def add(self, package: Package, now: float) -> None:
        """Serve ``package`` from now on; its subscriptions of a process before go on."""
        before = self._packages.get(package.event)
        if before is not None and type(before) is not type(package):
            raise LocalProtocolError(f"two modules serve the event package {package.event}")
        self._packages[package.event] = package
        if before is not None:
            # Its module was taken away by a reload, and came back.
            for resource in self._book.resources(package.event):
                for one in self._book.of(package.event, resource):
                    one.package, one.memo, one.full = package, None, True
        self._begin_restore(package, now)
        if self._added is not None and not package.hidden:
            self._added(package, now)

    def _begin_restore(self, package: Package, now: float) -> None:
        self.core.run(self._restore(package), now, partial(self._restored, package))

    def _restored(self, package: Package, result: Any, now: float) -> None:
        if isinstance(result, BaseException):
            # The store may come back.
            self.core.failed("restore", result)
            self.core.timers.start(now, _AGAIN[0], self, package)

    def timer_fired(self, name: Any, now: float) -> None:
        """Read the rows of a package once more."""
        package = self._packages.get(name.event)
        if package is not None and package is name:
            self._begin_restore(package, now)

    @function
    def serve_lists(self, list_for: ListFor, hears: Hears, added: Added, now: float) -> None:
        """Serve lists (RFC 4662): ``list_for`` (package, resource, watcher) finds the package of a list.

        ``hears`` (event, resource, time) is told of each change, ``added`` (package, time) of each package.
        """
        self._list_for, self._hears, self._added = list_for, hears, added
        for package in tuple(self._packages.values()):
            if not package.hidden:
                added(package, now)

    @function
    def remove(self, package: Package, now: float) -> None:
        """Serve ``package`` no longer: its watchers are told to subscribe again (``deactivated``)."""
        self._packages.pop(package.event, None)
        for resource in self._book.resources(package.event):
            for one in self._book.of(package.event, resource):
                self._now = now
                self._perform(one, one.usage.end("deactivated", now), now)

    @function
    def package(self, event: str) -> Package | None:
        """Return the package of that name."""
        return self._packages.get(event)

    @property
    def allow_events(self) -> str:
        """The value of Allow-Events (RFC 6665 8.2.2)."""
        return ", ".join(sorted(name for name, one in self._packages.items() if not one.hidden))

    @function
    def of(self, event: str, resource: str) -> list[Subscription]:
        """Return the subscriptions to ``resource``, an address-of-record."""
        return self._book.of(event, resource)

    @function
    def resources(self, event: str) -> list[str]:
        """Return the resources of a package that somebody watches."""
        return self._book.resources(event)

    @function
    def changed(self, event: str, resource: str, now: float, key: Any = None, value: Any = None) -> None:
        """The state of ``resource`` is another one: its watchers are told, each at its pace.

        ``key`` and ``value``: the thing that changed and its new state, for packages where each transition
        counts.
        """
        self._now = now
        for number, one in enumerate(self._book.of(event, resource)):
            one.note(key, value)
            if number < _GROUP:
                self._consider(one, now)
            elif one.usage.expires_at is not None and not one.usage.is_sending:
                self._book.look(one, now)
        if self._hears is not None:
            self._hears(event, resource, now)

    @function
    def look(self, one: Subscription, now: float) -> None:
        """Send what is due to ``one``, after ``Subscription.note``."""
        self._now = now
        self._consider(one, now)

    @function
    def judge(self, event: str, now: float, resource: str | None = None) -> None:
        """Ask the package anew what its watchers may see: rules have changed."""
        for name in self._book.resources(event) if resource is None else [resource]:
            for one in self._book.of(event, name):
                self._judge_again(one, now)
            if self._hears is not None and resource is not None:
                self._hears(event, name, now)

    @function
    def end(self, one: Subscription, reason: str, now: float, retry_after: int | None = None) -> None:
        """End a subscription for ``reason`` (RFC 6665 4.1.3)."""
        self._now = now
        self._perform(one, one.usage.end(reason, now, retry_after), now)

    # --- SUBSCRIBE

    def request_received(self, request: IncomingRequest) -> bool | Coroutine[Any, Any, bool]:
        """Take a SUBSCRIBE to a package that is served here, and what belongs to its dialog."""
        message = request.message
        tag = message.to_tag
        if tag is not None:
            if not tag.startswith(_MARK) or request.method == "ACK" or message.has("route"):
                return False
            # RFC 3261 12.2.2: a tag that is not ours finds no dialog, and costs no look at the store.
            return self._within(request, tag) if self._tags.is_ours(tag, message.call_id) else False
        if request.method != "SUBSCRIBE" or not self._packages:
            return False
        uri = request.uri
        if not isinstance(uri, SipUri) or uri.user is None or "gr" in uri.params or not request.serves():
            return False
        resource = self.core.address_of(uri)
        try:
            message.typed("event")
            package = self._packages.get((message.get("event") or "").partition(";")[0].strip())
            if package is not None and package.hidden:
                package = None
            if package is not None and self._list_for is not None:
                listed = self._list_for(package, resource, self.core.address_of(message.from_.uri))
                if listed is not None and not request.supports("eventlist"):
                    # RFC 4662 4.4
                    request.refuse(421, None, listed.headers)
                    return True
                package = listed or package
            if package is None:
                if message.has("event") and self.core.location.lookup(resource, request.now):
                    # A package that the phones of this user may serve (RFC 3856 7: end to end).
                    return False
                # RFC 6665 4.2.1.1, 4.2.3, 8.3.2
                request.refuse(489, None, [("Allow-Events", self.allow_events)])
                return True
            refusal = screen_subscribe(message, package, self.extensions)
        except RemoteProtocolError as error:
            request.refuse(error.status or 400, error.reason)
            return True
        if refusal is not None:
            request.refuse(refusal.status, refusal.reason, refusal.headers)
            return True
        return self._subscribe(request, package, resource)

    async def _subscribe(self, request: IncomingRequest, package: Package, resource: str) -> bool:
        settings, message = self.settings, request.message
        if not await admits(request, settings.open):
            return True
        if not package.serves(resource):
            request.reply(404)
            return True
        wanted = duration(message, default=package.usual, least=settings.least, most=settings.longest)
        if isinstance(wanted, Refusal):
            request.reply(wanted.status, None, wanted.headers)
            return True
        try:
            await package.prepare()
        except Exception as error:
            self.core.failed("prepare", error)
            request.reply(503, None, [("Retry-After", "5")])
            return True
        one = self._made(request, package, resource)
        if one is None:
            return True
        limit = self._limit_of(one)
        if limit:
            self._tell_limit(limit, one, request)
            if limit == "most_of_watcher":
                request.reply(403, "Too Many Subscriptions")
            else:
                request.reply(503, None, [("Retry-After", "60")])
            return True
        if request.server is not None and not self._merged.takes(message, request.server):
            # RFC 3261 8.2.2.2
            request.reply(482, "Merged Request")
            return True
        one.verdict = package.judge(one, request.now)
        if one.verdict is Verdict.BLOCK:
            # RFC 6665 4.2.1.3
            request.reply(403)
            return True
        one.usage = self._usage(one, one.usage.dialog, message.get("event") or "")
        # Counted before the store is waited for: others that come meanwhile find the place taken.
        self._book.asks(one, one.source)
        self._book.comes(one)
        stored = False
        try:
            stored = not wanted or await self._store(one, request, wanted)
        finally:
            self._book.came(one)
            if not stored:
                self._book.answered(one)
        if not stored:
            return True
        now = self._now = request.now
        request.decided = True
        if wanted:
            one.kept = True
            self._book.add(one)
        self._perform(one, one.usage.accept(message, request, wanted, now), now)
        if wanted:
            self._tell(one, "subscribe", now)
            self._consider(one, now)
        return True

    def _made(self, request: IncomingRequest, package: Package, resource: str) -> Subscription | None:
        """Return a subscription for ``request``; None where it was refused."""
        message, flow = request.message, request.flow
        tag = self._tags.make(message.call_id)
        try:
            contact = contact_of(
                self.core.listeners[flow.listener], secure=needs_sips_contact(message, received=True)
            )
            contact = contact.replace(params={**contact.params, "gr": self._gruu})
            dialog = Dialog.from_uas(message, tag, contact, over_tls=flow.transport in SECURE)
            given = filter_of(message, package)
        except (RemoteProtocolError, LocalProtocolError) as error:
            request.reply(400, str(getattr(error, "reason", "Bad Request")))
            return None
        except ValueError as error:
            request.reply(400, f"Bad Filter: {error}"[:80])
            return None
        watcher = self.core.address_of(message.from_.uri)
        one = Subscription(tag, package, resource, watcher, self._answered)
        one.proven = request.proven
        one.source = watcher if one.proven else source_of(flow.host)
        one.flow = flow
        one.accept = accepted_types(message, package) or ()
        one.params = dict(message.typed("event").params)
        one.began = self.core.unix(request.now)
        if given is not None:
            one.filter, one.filter_type, one.filter_body = given
        one.usage = self._usage(one, dialog, message.get("event") or "")
        parties = len(str(dialog.remote)) + len(str(dialog.local)) + len(message.call_id)
        held = parties + len(str(dialog.remote_target)) + sum(len(str(route)) for route in dialog.route_set)
        if held + len(one.filter_body) + len(one.usage.event) > self.settings.size:
            self._tell_limit("size", one, request)
            request.reply(513)
            return None
        return one

    def _usage(self, one: Subscription, dialog: Dialog, event: str, expires_at: float = 0.0) -> Notifier:
        settings = self.settings
        return Notifier.restored(
            dialog,
            event=event,
            expires_at=expires_at,
            content=partial(self._content, one),
            pending=one.verdict is Verdict.CONFIRM,
            least=settings.least,
            most=settings.longest,
            usual=one.package.usual,
            params=_rates(one),
            headers=one.package.headers,
        )

    def _limit_of(self, one: Subscription) -> str:
        settings, book = self.settings, self._book
        if book.count() >= settings.most:
            return "most"
        if book.count_of_watcher(one.source) >= settings.most_of_watcher:
            return "most_of_watcher"
        if book.count_of(one.package.event, one.resource) >= settings.most_of_resource:
            return "most_of_resource"
        return "unanswered" if book.count_unanswered(one.source) >= settings.unanswered else ""

    def _tell_limit(self, limit: str, one: Subscription, request: IncomingRequest) -> None:
        second = int(request.now)
        if self._told.get(limit) != second:
            self._told[limit] = second
            told = SubscriptionLimitReached(limit, one.watcher, request.flow.host)
            self.core.notify(told, request.now)

    async def _store(
        self, one: Subscription, request: IncomingRequest, seconds: int, cseq: int | None = None
    ) -> bool:
        """Write the row; answer with 503 where that fails."""
        expires = self.core.unix(request.now) + seconds
        try:
            await self._rows.put(row_of(one, "", expires, remote_cseq=cseq))
        except Exception as error:
            # RFC 3261 21.5.4: what cannot be kept is not accepted.
            self.core.failed("subscribe", error)
            request.reply(503, None, [("Retry-After", "30")])
            return False
        return True

    async def _within(self, request: IncomingRequest, tag: str) -> bool:
        """A request in the dialog of a subscription: a refresh, or its end."""
        message = request.message
        if request.method != "SUBSCRIBE":
            # RFC 3261 8.2.1
            request.reply(405, None, [("Allow", "SUBSCRIBE")])
            return True
        try:
            key = event_key(message)
            one = self._book.ids.get(tag) or await self._adopt(key[0], tag)
            if one is None and self._list_for is not None:
                one = await self._adopt(f"{key[0]}.list", tag)
            if one is None or key != _key_of(one):
                request.reply(481)
                return True
            refusal = screen_subscribe(message, one.package, self.extensions)
            if refusal is not None:
                request.reply(refusal.status, refusal.reason, refusal.headers)
                return True
            if not await admits(request, self.settings.open or not one.proven):
                return True
            if self.core.address_of(message.from_.uri) != one.watcher:
                request.reply(403)
                return True
            given = filter_of(message, one.package)
            wanted = duration(
                message, default=one.package.usual, least=self.settings.least, most=self.settings.longest
            )
        except RemoteProtocolError as error:
            request.reply(error.status or 400, error.reason)
            return True
        except ValueError as error:
            request.reply(400, f"Bad Filter: {error}"[:80])
            return True
        number = message.cseq.number
        fresh = number > (one.usage.dialog.remote_cseq or 0)
        contacts = message.contacts
        named = str(contacts[0].uri) if isinstance(contacts, list) and contacts else ""
        moved = isinstance(wanted, int) and fresh and named not in ("", one.reached)
        counts = moved and one.unanswered is None
        if counts:
            # The NOTIFY goes to an address that has answered none yet.
            if self._book.count_unanswered(one.source) >= self.settings.unanswered:
                self._tell_limit("unanswered", one, request)
                request.reply(503, None, [("Retry-After", "60")])
                return True
            self._book.asks(one, one.source)
        if wanted and fresh and isinstance(wanted, int):
            if not await self._store(one, request, wanted, number):
                if counts:
                    self._book.answered(one)
                return True
            # RFC 6446 5.1: a refresh without a rate takes it away.
            one.params = dict(message.typed("event").params)
            one.usage.params = _rates(one)
            one.flow = request.flow
            if given is not None:
                one.filter, one.filter_type, one.filter_body = given
        now = self._now = request.now
        request.decided = True
        one.full = True
        self._perform(one, one.usage.received(message, request, now), now)
        self._consider(one, now)
        return True

    # --- NOTIFY

    def _content(self, one: Subscription, words: str) -> tuple[list[tuple[str, object]], bytes]:
        """Return the fields and the body of the NOTIFY that is about to leave."""
        quiet = words == "pending" or (words.startswith("terminated") and "reason=timeout" not in words)
        if quiet or one.verdict is Verdict.CONFIRM:
            # RFC 3856 6.6.2: no state for a watcher that is not authorized.
            return [], b""
        try:
            content: Content | None = one.package.content(one, self._now)
        except Exception as error:
            self.core.failed(f"content of {one.package.event}", error)
            return [], b""
        one.full = False
        if content is None:
            return [], b""
        return [("Content-Type", content.type), *content.headers], content.body

    def _perform(self, one: Subscription, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                one.left(now)
                self._sent.add(one.package.event)
                client = self.core.ua.client
                client.send(effect.request, one, now, hop=way_of(one, client))
                if one.kept and (one.usage.dialog.local_cseq or 0) > one.reserved - BLOCK // 2:
                    self._rewrite(one, now)
            elif isinstance(effect, Respond):
                effect.owner.respond(effect.response, now)
            elif isinstance(effect, Tell) and isinstance(effect.event, SubscriptionEnded):
                self._over(one, effect.event.reason, now)

    def _over(self, one: Subscription, reason: str, now: float) -> None:
        if not self._book.remove(one):
            return
        self._over_count.add(reason)
        self._stale.pop(one.id, None)
        if one.kept:
            self._gone.append((one.package.event, one.id))
            self._sweep(now)
        self._tell(one, _WORDS.get(reason, reason), now)

    def _tell(self, one: Subscription, event: str, now: float) -> None:
        self.core.tell(WatcherChanged(one, event), now)

    def _answered(self, one: Subscription, sending: Sending, response: Response, now: float) -> None:
        self._now = now
        self._book.answered(one)
        usage, status = one.usage, response.status
        if status < 300:
            one.tries = 0
            one.reached = str(sending.request.uri)
            try:
                usage.dialog.answered(sending.request, response)
            except RemoteProtocolError:
                pass
        if sending.made and status != 408 and one.tries >= _TRIES:
            effects = usage.lost(response, now)
        else:
            effects = usage.response_received(sending.request, response, now)
        if status >= 300 and not usage.is_over:
            one.failed(now, _wait(response, one.tries))
        self._perform(one, effects, now)
        self._consider(one, now)

    def _consider(self, one: Subscription, now: float) -> None:
        """Send what is due to ``one``, or look at it again when it is."""
        usage = one.usage
        if usage.is_over or usage.expires_at is None or not one.counted:
            return
        if one.dirty and not usage.is_sending and one.may_leave_at(now) <= now:
            self._perform(one, usage.change(b"", (), now), now)
        self._book.look(one, one.next_due())

    def next_due(self) -> float | None:
        """Return when a subscription has to be looked at."""
        return self._book.next_due()

    def time_passed(self, now: float) -> None:
        """End what has expired, and send the NOTIFYs that are due: a group of them."""
        self._now = now
        for one in self._book.passed(now, _GROUP):
            usage = one.usage
            if usage.expires_at is not None and usage.expires_at <= now:
                self._perform(one, usage.time_passed(now), now)
                continue
            rate = rate_of(one.params.get("min-rate"))
            if rate is not None and now >= one.sent_at + 1.0 / rate:
                one.dirty = True
            self._consider(one, now)

    def _judge_again(self, one: Subscription, now: float) -> None:
        self._now = now
        verdict, before = one.package.judge(one, now), one.verdict
        if verdict is before:
            # It may see other parts of the state.
            self._consider(one, now)
            return
        if verdict is Verdict.BLOCK:
            self.end(one, "rejected", now)
            return
        if verdict is Verdict.CONFIRM:
            # An active subscription does not become pending (RFC 3857 4.7.1): the watcher has to ask again.
            self.end(one, "deactivated", now)
            return
        one.verdict = verdict
        one.full = True
        if before is Verdict.CONFIRM:
            # RFC 6446 5.2: not subject to any rate.
            self._perform(one, one.usage.grant(now), now)
            self._tell(one, "approved", now)
        else:
            one.note(None, None)
        self._rewrite(one, now)
        self._consider(one, now)

    # --- rows

    def _rewrite(self, one: Subscription, now: float) -> None:
        if one.kept and one.counted:
            self._stale[one.id] = one
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        if not self._sweeping:
            self._sweeping = True
            self.core.run(self._write_rows(), now, self._swept)

    def _swept(self, result: Any, now: float) -> None:
        self._sweeping = False
        if isinstance(result, BaseException):
            # A row that stays ends by its time.
            self.core.failed("rows", result)

    async def _write_rows(self) -> None:
        while self._gone or self._stale:
            gone, self._gone = self._gone, []
            stale, self._stale = self._stale, {}
            now = self.core.ua.now
            unix = self.core.unix(now)
            rows = [
                row_of(one, "", unix + max(0.0, one.usage.expires_at - now))
                for one in stale.values()
                if one.usage.expires_at is not None
            ]
            await self._rows.put(*rows, delete=gone)

    async def _restore(self, package: Package) -> None:
        """Take the subscriptions of a process before; they get their NOTIFYs one after the other."""
        after: tuple[Any, ...] | None = None
        taken = 0
        while rows := await self._rows.page(package.event, after=after, limit=_PAGE):
            for row in rows:
                if self._take_row(package, row, taken / self.settings.restore_rate) is not None:
                    taken += 1
            if len(rows) < _PAGE:
                break
            after = (rows[-1].package, rows[-1].id)
        self._sweep(self.core.ua.now)

    async def _adopt(self, event: str, tag: str) -> Subscription | None:
        """Return the subscription that another node, or a process before this one, has stored."""
        package = self._packages.get(event)
        if package is None:
            return None
        row = await self._rows.get(event, tag)
        return self._book.ids.get(tag) or (None if row is None else self._take_row(package, row, 0.0))

    def _take_row(self, package: Package, row: SubscriptionRow, after: float) -> Subscription | None:
        now = self.core.ua.now
        left = row.expires - self.core.unix(now)
        if row.id in self._book.ids:
            return None
        if left <= 0:
            self._gone.append((row.package, row.id))
            return None
        try:
            dialog = dialog_of(row)
            one = Subscription(row.id, package, row.resource, row.watcher, self._answered)
            one.verdict = Verdict(row.verdict)
            one.filter_type, one.filter_body = row.filter_type, row.filter_body
            if row.filter_type:
                one.filter = package.check_filter(row.filter_type, row.filter_body)
            one.params = _params_of(row.event)
        except (RemoteProtocolError, ValueError) as error:
            self.core.failed("restore", error)
            self._gone.append((row.package, row.id))
            return None
        one.accept = tuple(row.accept.split("\n")) if row.accept else ()
        one.proven = row.proven
        one.flow = flow_of(row, self.core.listeners)
        one.source = row.watcher if row.proven or one.flow is None else source_of(one.flow.host)
        one.began, one.reached = row.began, row.target
        one.reserved = row.cseq + BLOCK
        # Versions rise with the sequence numbers, or more slowly.
        one.version = row.cseq
        one.kept = True
        one.usage = self._usage(one, dialog, row.event, now + left)
        one.dirty = True
        one.retry_at = now + after
        if not one.proven and one.flow is None:
            # It may only be told where its SUBSCRIBE came from, over a connection that is gone.
            self._gone.append((row.package, row.id))
            return None
        self._book.add(one)
        self._stale[one.id] = one
        self._book.look(one, min(now + after, now + left))
        return one

    # --- operators

    @command("events.list")
    def list_subscriptions(
        self, now: float, resource: str = "", event: str = "", limit: int = 1_000
    ) -> list[Shown]:
        """Return subscriptions, those of a `resource` or an `event` alone where named."""
        found = []
        for one in self._book.ids.values():
            if (resource and one.resource != resource) or (event and one.package.event != event):
                continue
            found.append(shown(one, now))
            if len(found) >= max(1, min(limit, 10_000)):
                break
        return found

    @command("events.count")
    def count_subscriptions(self) -> dict[str, int]:
        """Return how many subscriptions each package has."""
        return {name.removeprefix("now_"): count for name, count in self.figures().items()}

    @command("events.end")
    def end_subscription(self, id: str, now: float) -> bool:
        """End a subscription (`deactivated`: the watcher may subscribe again at once)."""
        one = self._book.ids.get(id)
        if one is None:
            raise CommandError(
                f"events.end: there is no subscription {id!r:.60}; `events.list` shows their ids"
            )
        self.end(one, "deactivated", now)
        return True


def _key_of(one: Subscription) -> tuple[str, str | None]:
    # As the watcher wrote it: lists are kept under a name of their own.
    return one.usage.event.partition(";")[0].strip(), one.params.get("id")


def _params_of(event: str) -> dict[str, str | None]:
    return dict(parse_event(event, "Event", "RFC 6665 8.2.1").params)


def _rates(one: Subscription) -> str:
    """Return the parameters of Subscription-State that say which rates are obeyed (RFC 6446 9.3)."""
    found = ""
    for name in ("max-rate", "min-rate"):
        text = one.params.get(name)
        if rate_of(text) is not None:
            found += f";{name}={text}"
    return found


def _wait(response: Response, tries: int) -> float:
    """Return after how many seconds a NOTIFY that was answered with a failure is sent anew."""
    wait = min(_AGAIN[0] * 2.0**tries, _AGAIN[1])
    try:
        asked = response.typed("retry-after")
    except RemoteProtocolError:
        asked = None
    return wait if asked is None else min(max(float(asked.seconds), 1.0), 3600.0)

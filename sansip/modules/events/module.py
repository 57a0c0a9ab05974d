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

from sansip.dialog import duration, event_key
from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.events import NodeChanged
from sansip.module import FIRST, Again, CommandError, Module, command, function
from sansip.modules.events.admission import admits
from sansip.modules.events.beginning import Beginning
from sansip.modules.events.book import Book
from sansip.modules.events.keeping import Keeping
from sansip.modules.events.nodes import FIRST_LOOK, Owners
from sansip.modules.events.notifying import Notifying, rates
from sansip.modules.events.package import Package
from sansip.modules.events.refreshing import Refreshing
from sansip.modules.events.restoring import Restoring
from sansip.modules.events.row import SUBSCRIPTIONS
from sansip.modules.events.screening import filter_of, mark_of, refuse_filter, screen_subscribe
from sansip.modules.events.settings import EventsSettings
from sansip.modules.events.shown import Shown, shown
from sansip.modules.events.starting import Starting
from sansip.modules.events.subscription import Subscription
from sansip.modules.events.telling import Telling
from sansip.ua.tags import Tags
from sansip.wire import Request, SipUri

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from sansip.module import Core
    from sansip.routing import IncomingRequest
    from sansip.routing.usages import UsageArrived

__all__ = ["Events"]

# See ``Events.serve_lists``.
ListFor: TypeAlias = Callable[[Package, Request, str, str], Package | None]
Hears: TypeAlias = Callable[[str, str, float], None]
Added: TypeAlias = Callable[[Package, float], None]

# What packages of lists add to the name of theirs.
_LISTED: Final = (".list", ".contained")
# How tags of ours begin: as long as those of user agents (``sansip.ua.tags``).
_MARK: Final = "e-"


class Events(Module):
    """Serves subscriptions to the event packages of other modules (RFC 6665)."""

    name = "events"
    methods = frozenset(("SUBSCRIBE",))
    over_workers = FIRST
    gathers = frozenset(("SUBSCRIBE",))
    tells_due = True
    Settings = EventsSettings
    tables = (SUBSCRIPTIONS,)
    events = (NodeChanged,)
    settings: EventsSettings

    def __init__(self, settings: EventsSettings) -> None:
        super().__init__(settings)
        self._packages: dict[str, Package] = {}
        self._book = Book()
        # Option tags that packages add (``eventlist``).
        self.extensions: set[str] = set()
        self._list_for: ListFor | None = None
        self._hears: Hears | None = None
        self._added: Added | None = None

    # --- its life

    def start(self, core: Core, now: float) -> None:
        self._book.tell = core.has_due
        self._tags = Tags(core.secret("tags"), core.entropy, _MARK)
        self._keeping = Keeping(core)
        self._notifying = Notifying(core, self._book, self._keeping, self._present)
        self._restoring = Restoring(core, self._book, self._keeping, self._notifying, self._present)
        self._owners = Owners(
            core, self._book, self._keeping, self._restoring, lambda: self._packages.values()
        )
        if self._owners.several:
            self._notifying.check = self._owners.check
            core.timers.start(now, FIRST_LOOK, self, None)
        self._telling = Telling(core, self._book, self._keeping, self._notifying)
        self._refreshing = Refreshing(
            core, self._book, self._keeping, self._notifying, self._telling, self._tags, self._present
        )
        self._beginning = Beginning(core, self._book, self._notifying, self._tags, self._present)
        self._starting = Starting(
            core,
            self._book,
            self._keeping,
            self._notifying,
            self._beginning,
            self._packages,
            self.extensions,
            self._present,
        )

    def _present(self) -> EventsSettings:
        return self.settings

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
        def served() -> bool:
            return self._packages.get(package.event) is package

        Again(self.core, partial(self._restoring.restore, package), wanted=served).begin(now)

    def event_received(self, event: NodeChanged, now: float) -> None:
        """Hear of other nodes: their subscriptions are taken over."""
        if self._owners.several:
            self._owners.changed(event.state, now)

    def timer_fired(self, name: Any, now: float) -> None:
        """Take over the subscriptions of nodes that are gone."""
        self._owners.look(now)

    @function
    def serve_lists(self, list_for: ListFor, hears: Hears, added: Added, now: float) -> None:
        """Serve lists (RFC 4662): ``list_for`` (package, SUBSCRIBE, resource, watcher) finds that of a list.

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
                self._notifying.end(one, "deactivated", now)

    @function
    def package(self, event: str) -> Package | None:
        """Return the package of that name."""
        return self._packages.get(event)

    @property
    def packages(self) -> Mapping[str, Package]:
        """The packages by their names, as they come and go."""
        return self._packages

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
        self._telling.changed(self._book.of(event, resource), now, key, value)
        if self._hears is not None:
            self._hears(event, resource, now)

    @function
    def look(self, one: Subscription, now: float, soon: bool = False) -> None:
        """Send what is due to ``one``, after ``Subscription.note``.

        ``soon``: with others, a group at a time, where many are looked at in one input.
        """
        self._notifying.now = now
        if not soon:
            self._notifying.consider(one, now)
        elif one.usage.expires_at is not None and not one.usage.is_sending:
            self._book.look(one, now)

    @function
    def judge(self, event: str, now: float, resource: str | None = None) -> None:
        """Ask the package anew what its watchers may see: rules have changed."""
        for name in self._book.resources(event) if resource is None else [resource]:
            for one in self._book.of(event, name):
                self._notifying.judge(one, now)
            if self._hears is not None and resource is not None:
                self._hears(event, name, now)

    @function
    def end(self, one: Subscription, reason: str, now: float, retry_after: int | None = None) -> None:
        """End a subscription for ``reason`` (RFC 6665 4.1.3)."""
        self._notifying.end(one, reason, now, retry_after)

    # --- SUBSCRIBE

    def rides(self) -> bool:
        """Whether calls pass as octets: nothing of a call is looked at here."""
        return True

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
                listed = self._list_for(package, message, resource, self.core.address_of(message.from_.uri))
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

    def usage_received(
        self, arrived: UsageArrived, now: float
    ) -> Callable[[UsageArrived, float], None] | None:
        """Take a refresh that says what the SUBSCRIBE before it said, or a first SUBSCRIBE."""
        if arrived.usage.tag is not None:
            return self._refreshing.take(arrived)
        # Lists are looked at as messages.
        return None if self._list_for is not None else self._starting.take(arrived)

    async def _subscribe(self, request: IncomingRequest, package: Package, resource: str) -> bool:
        if not await admits(request, self.settings.open):
            return True
        wanted = self._beginning.seconds(request, package, resource)
        if wanted is None:
            return True
        try:
            await package.prepare(resource)
        except Exception as error:
            self.core.failed("prepare", error)
            request.reply(503, None, [("Retry-After", "5")])
            return True
        one = self._beginning.make(request, package, resource)
        if one is None:
            return True
        stored = False
        try:
            stored = not wanted or await self._store(one, request, wanted)
            if stored and wanted and not self._starting.judges(one, request.now):
                # RFC 6665 4.2.1.3
                request.reply(403)
                stored = False
        finally:
            self._book.came(one)
            if not stored:
                self._book.answered(one)
        if stored:
            self._starting.accept(one, request, wanted, request.now)
        return True

    async def _store(
        self, one: Subscription, request: IncomingRequest, seconds: int, cseq: int | None = None
    ) -> bool:
        """Write the row; answer with 503 where that fails."""
        try:
            await self._keeping.put(one, seconds, request.now, cseq)
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
        one = self._book.ids.get(tag)
        seen = mark_of(message)
        # What was read of the SUBSCRIBE before it holds for this one.
        same = seen != 0 and one is not None and one.seen == seen
        given = None
        try:
            key = None if same else event_key(message)
            if one is None and self._keeping.is_over(tag):
                # RFC 6665 4.1.2.2: also while its row is being deleted.
                request.reply(481)
                return True
            if one is None and key is not None:
                one = await self._adopt(key[0], tag)
                for word in () if self._list_for is None else _LISTED:
                    one = one or await self._adopt(f"{key[0]}{word}", tag)
            if one is None or not (same or key == _key_of(one)):
                request.reply(481)
                return True
            refusal = None if same else screen_subscribe(message, one.package, self.extensions)
            if refusal is not None:
                request.reply(refusal.status, refusal.reason, refusal.headers)
                return True
            if not await admits(request, self.settings.open or not one.proven):
                return True
            if not same:
                if self.core.address_of(message.from_.uri) != one.watcher:
                    request.reply(403)
                    return True
                given = filter_of(message, one.package, one.filter_body)
            wanted = duration(
                message, default=one.package.usual, least=self.settings.least, most=self.settings.longest
            )
            contacts = message.contacts
        except RemoteProtocolError as error:
            request.reply(error.status or 400, error.reason)
            return True
        except ValueError as error:
            refuse_filter(request, error)
            return True
        if given is not None and len(given[2]) > self.settings.size:
            self._beginning.tell_limit("size", one, request)
            request.reply(513)
            return True
        number = message.cseq.number
        fresh = number > (one.usage.dialog.remote_cseq or 0)
        moved = False
        if isinstance(wanted, int) and fresh:
            # Also where it says the same: a 2xx may have moved the target meanwhile.
            moved = isinstance(contacts, list) and bool(contacts) and str(contacts[0].uri) != one.reached
        counts = moved and one.unanswered is None
        if counts:
            # The NOTIFY goes to an address that has answered none yet.
            if self._book.count_unanswered(one.source) >= self.settings.unanswered:
                self._beginning.tell_limit("unanswered", one, request)
                request.reply(503, None, [("Retry-After", "60")])
                return True
            self._book.asks(one, one.source)
        if wanted and fresh and isinstance(wanted, int):
            if not await self._store(one, request, wanted, number):
                if counts:
                    self._book.answered(one)
                return True
            if not same:
                # RFC 6446 5.1: a refresh without a rate takes it away.
                one.params = dict(message.typed("event").params)
                one.usage.params = rates(one)
                one.seen = seen
            one.flow = request.flow
            if given is not None:
                one.filter, one.filter_type, one.filter_body = given
        now = self._notifying.now = request.now
        request.decided = True
        one.full = True
        self._notifying.perform(one, one.usage.received(message, request, now, wanted), now)
        self._notifying.consider(one, now)
        return True

    async def _adopt(self, event: str, tag: str) -> Subscription | None:
        """Return the subscription that another node, or a process before this one, has stored."""
        package = self._packages.get(event)
        return None if package is None else await self._restoring.adopt(package, tag)

    # --- time

    def next_due(self) -> float | None:
        """Return when a subscription has to be looked at."""
        return self._book.next_due()

    def time_passed(self, now: float) -> None:
        """End what has expired, and send the NOTIFYs that are due: a group of them."""
        self._notifying.passed(now)

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

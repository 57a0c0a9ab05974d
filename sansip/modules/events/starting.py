"""A first SUBSCRIBE, answered without a route: accepted, and its NOTIFY sent.

Theory of operation: ``accept`` is the last step of each first SUBSCRIBE. Most of them need no coroutine
before it: nobody has to prove anything, and the package knows the state. Those are taken as soon as their
octets say so (``sansip.routing.usages``), with the steps of ``Events.request_received`` in its order, which
is the reference (``tests/routing/test_usages.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from sansip.dialog.subscription_table import ACTIVE, PENDING
from sansip.errors import RemoteProtocolError
from sansip.modules.events.content import Verdict
from sansip.modules.events.screening import screen_subscribe
from sansip.modules.events.writing import granted
from sansip.wire.abnf import compiled

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sansip.module import Core
    from sansip.modules.events.beginning import Beginning
    from sansip.modules.events.book import Book
    from sansip.modules.events.keeping import Keeping
    from sansip.modules.events.notifying import Notifying
    from sansip.modules.events.package import Package
    from sansip.modules.events.settings import EventsSettings
    from sansip.modules.events.subscription import Subscription
    from sansip.routing import IncomingRequest
    from sansip.routing.usages import UsageArrived

__all__ = ["Starting"]

_event: Final = compiled(r"Event: ([\w\-.]++)").fullmatch


class Starting:
    """Starts the subscriptions that ``beginning`` makes."""

    def __init__(
        self,
        core: Core,
        book: Book,
        keeping: Keeping,
        notifying: Notifying,
        beginning: Beginning,
        packages: Mapping[str, Package],
        extensions: Collection[str],
        settings: Callable[[], EventsSettings],
    ) -> None:
        self._core = core
        self._book = book
        self._keeping = keeping
        self._notifying = notifying
        self._beginning = beginning
        self._packages = packages
        self._extensions = extensions
        self._settings = settings

    def accept(self, one: Subscription, request: IncomingRequest, seconds: int, now: float) -> None:
        """Answer the SUBSCRIBE of ``one`` with 200, and send the NOTIFY; ``seconds``: 0 for a fetch."""
        notifying = self._notifying
        notifying.now = now
        request.decided = True
        if seconds:
            one.kept = self._keeping.keeps
            self._book.add(one)
        notifying.perform(one, one.usage.accept(request.message, request, seconds, now), now)
        if seconds:
            notifying.tell(one, "subscribe", now)
            notifying.consider(one, now)

    def judges(self, one: Subscription, now: float) -> bool:
        """Judge ``one`` again, whose row was waited for; return whether it is accepted still.

        Rules that changed meanwhile judge the subscriptions in the book, where it is not yet.
        """
        verdict = one.verdict = one.package.judge(one, now)
        if verdict is Verdict.BLOCK:
            one.kept = self._keeping.keeps
            self._keeping.end(one, now)
            return False
        one.usage.state = PENDING if verdict is Verdict.CONFIRM else ACTIVE
        return True

    def take(self, arrived: UsageArrived) -> Callable[[UsageArrived, float], None] | None:
        """Return what accepts or refuses a first SUBSCRIBE; None where something has to be waited for."""
        usage = arrived.usage
        found = _event(usage.lines.get("event", ""))
        package = None if found is None else self._packages.get(found[1])
        if (
            package is None
            or package.hidden
            or usage.user is None
            or usage.gr is not None
            or not (self._settings().open or arrived.proves)
            or not package.is_prepared()
        ):
            return None
        return partial(self._begin, package)

    def _begin(self, package: Package, arrived: UsageArrived, now: float) -> None:
        request = arrived.handle(now)
        message = request.message
        try:
            message.typed("event")
            refusal = screen_subscribe(message, package, self._extensions)
        except RemoteProtocolError as error:
            request.refuse(error.status or 400, error.reason)
            return
        if refusal is not None:
            request.refuse(refusal.status, refusal.reason, refusal.headers)
            return
        arrived.admit(now)
        resource = self._core.address_of(message.uri)
        seconds = self._beginning.seconds(request, package, resource)
        if seconds is None:
            return
        one = self._beginning.make(request, package, resource)
        if one is None:
            return
        if not seconds or not self._keeping.keeps:
            self._stored(one, seconds, arrived, None, now)
            return
        stored = arrived.guarded(partial(self._stored, one, seconds, arrived), self._core.failed)
        arrived.waits(now)
        self._keeping.put_later(one, seconds, now, message.cseq.number, stored)

    def _stored(
        self, one: Subscription, seconds: int, arrived: UsageArrived, result: object, now: float
    ) -> None:
        """Its row is written; ``result`` is an exception if not."""
        self._book.came(one)
        if isinstance(result, BaseException):
            # RFC 3261 21.5.4: what cannot be kept is not accepted.
            self._book.answered(one)
            self._core.failed("subscribe", result)
            arrived.handle(now).reply(503, None, [("Retry-After", "30")])
            return
        if not seconds:
            self.accept(one, arrived.handle(now), seconds, now)
            return
        if self._keeping.keeps and not self.judges(one, now):
            # RFC 6665 4.2.1.3
            self._book.answered(one)
            arrived.handle(now).reply(403)
            return
        notifying, usage = self._notifying, one.usage
        notifying.now = now
        arrived.handle(now).decided = True
        one.kept = self._keeping.keeps
        self._book.add(one)
        effects = usage.accept_by(now + seconds, now)
        arrived.grant(granted(usage, seconds), now, one.id)
        notifying.perform(one, effects, now)
        notifying.tell(one, "subscribe", now)
        notifying.consider(one, now)

"""A refresh that says what the SUBSCRIBE before it said: answered without a message.

Theory of operation: nearly every SUBSCRIBE of a dialog differs from the one before by its number alone
(``screening.mark_of``), comes from the same place and names the target that has answered. Such a refresh
changes the time at which the subscription ends, and nothing else. ``Events.request_received`` is the
reference, and decides on every other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from sansip.modules.events.screening import mark_of_lines
from sansip.modules.events.writing import granted, same_way
from sansip.wire.abnf import compiled

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.events.book import Book
    from sansip.modules.events.keeping import Keeping
    from sansip.modules.events.notifying import Notifying
    from sansip.modules.events.settings import EventsSettings
    from sansip.modules.events.subscription import Subscription
    from sansip.modules.events.telling import Telling
    from sansip.modules.events.writing import Head
    from sansip.routing.usages import UsageArrived
    from sansip.ua.tags import Tags

__all__ = ["Refreshing"]

_expires: Final = compiled("Expires: ([0-9]{1,9})").fullmatch
# RFC 6665 4.2.1.1: an hour is never too brief.
_HOUR: Final = 3_600


class Refreshing:
    """Takes refreshes of the subscriptions in ``book``."""

    def __init__(
        self,
        core: Core,
        book: Book,
        keeping: Keeping,
        notifying: Notifying,
        telling: Telling,
        tags: Tags,
        settings: Callable[[], EventsSettings],
    ) -> None:
        self._core = core
        self._book = book
        self._keeping = keeping
        self._notifying = notifying
        self._telling = telling
        self._tags = tags
        self._settings = settings

    def take(self, arrived: UsageArrived) -> Callable[[UsageArrived, float], None] | None:
        """Return what refreshes its subscription; None where more than that is to be done."""
        usage = arrived.usage
        one = None if usage.tag is None else self._book.ids.get(usage.tag)
        if one is None or usage.body:
            return None
        settings, lines = self._settings(), usage.lines
        came = one.flow
        head: Head | None = one.head
        number = int(usage.cseq)
        if (
            not (settings.open or not one.proven or arrived.proves)
            or one.seen == 0
            or one.seen != mark_of_lines(lines)
            or number <= (one.usage.dialog.remote_cseq or 0)
            # A target that has not answered is counted.
            or head is None
            or head.flow is None
            # A tag that was ours once is so always.
            or not (head.call_id == usage.call_id or self._is_ours(one, head, usage.call_id))
            or one.moved
            or one.reached != head.target
            or str(one.usage.dialog.remote_target) != head.target
            or f"Contact: <{head.target}>" != lines.get("contact")
            or came is None
            or not same_way(came, arrived.flow)
        ):
            return None
        line = lines.get("expires")
        asked = one.package.usual
        if line is not None:
            found = _expires(line)
            if found is None:
                return None
            asked = int(found[1])
        # As ``sansip.dialog.duration``.
        if asked == 0 or asked < min(settings.least, _HOUR):
            return None
        return partial(self._begin, one, min(asked, settings.longest), number)

    def _is_ours(self, one: Subscription, head: Head, call_id: str) -> bool:
        if not self._tags.is_ours(one.id, call_id):
            return False
        head.call_id = call_id
        return True

    def _begin(self, one: Subscription, seconds: int, number: int, arrived: UsageArrived, now: float) -> None:
        arrived.admit(now)
        if not self._keeping.keeps:
            self._stored(one, seconds, number, arrived, None, now)
            return
        stored = arrived.guarded(partial(self._stored, one, seconds, number, arrived), self._core.failed)
        arrived.waits(now)
        self._keeping.put_later(one, seconds, now, number, stored)

    def _stored(
        self, one: Subscription, seconds: int, number: int, arrived: UsageArrived, result: object, now: float
    ) -> None:
        """Its row is written; ``result`` is an exception if not."""
        notifying = self._notifying
        if isinstance(result, BaseException):
            # RFC 3261 21.5.4: what cannot be kept is not accepted.
            self._core.failed("subscribe", result)
            arrived.handle(now).reply(503, None, [("Retry-After", "30")])
            return
        notifying.now = now
        one.flow = arrived.flow
        one.full = True
        usage = one.usage
        # RFC 3261 12.2.1.2: a 2xx to a NOTIFY may have moved the target, and this request moves it back.
        moved = arrived.usage.lines["contact"] != f"Contact: <{usage.dialog.remote_target}>"
        if moved or not usage.takes_refresh(number):
            # Or it ended meanwhile, or a later one was faster.
            handle = arrived.handle(now)
            handle.decided = True
            notifying.perform(one, usage.received(handle.message, handle, now, seconds), now)
        else:
            sends = usage.refresh_by(number, now + seconds)
            arrived.grant(granted(usage, seconds), now)
            # 4.2.1.2: a NOTIFY follows each.
            if sends and not self._telling.tell(one, now, self._core.ua.client):
                made = usage.tell(now)
                if made is not None:
                    notifying.send(one, made, now)
        if one.dirty or one.params or one.due != usage.expires_at:
            notifying.consider(one, now)

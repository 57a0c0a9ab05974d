"""The NOTIFYs of subscriptions: when they leave, what is in them, what their answers mean.

Theory of operation: ``consider`` sends the NOTIFY that is due to a subscription, or has the book look at it
again when it is. The dialog usage (``sansip.dialog.Notifier``) says what to do next, and ``perform`` does it.
``passed`` is the clock: one input sends a group of NOTIFYs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from sansip.dialog import Notifier, Respond, SendNotify, SubscriptionEnded, Tell
from sansip.errors import RemoteProtocolError
from sansip.modules.events.content import Verdict, fields_of
from sansip.modules.events.notices import SubscriptionLimitReached, WatcherChanged
from sansip.modules.events.row import BLOCK
from sansip.modules.events.sending import way_of
from sansip.modules.events.subscription import rate_of
from sansip.modules.events.writing import send_octets

if TYPE_CHECKING:
    from sansip.client import Sending
    from sansip.dialog import Dialog, Effect
    from sansip.module import Core
    from sansip.modules.events.book import Book
    from sansip.modules.events.content import Content
    from sansip.modules.events.keeping import Keeping
    from sansip.modules.events.settings import EventsSettings
    from sansip.modules.events.subscription import Subscription
    from sansip.wire import Response

__all__ = ["GROUP", "Notifying", "rates"]

# Calls the last argument if the subscription is this node's still, and else lets go of it (``nodes``).
Check: TypeAlias = Callable[["Subscription", float, Callable[[float], None]], None]
# NOTIFYs that one input sends.
GROUP: Final = 32
# Seconds until a NOTIFY that failed is sent anew: the first time, and at the most.
_AGAIN: Final = 5.0
_AGAIN_AT_MOST: Final = 300.0
# A NOTIFY that never got through so often ends the subscription.
_TRIES: Final = 3
# RFC 6665 4.1.3 in the words of RFC 3858 4.2.
_WORDS: Final = {"timeout": "timeout", "lost": "giveup", "rejected": "rejected", "noresource": "noresource"}


class Notifying:
    """Sends the NOTIFYs of the subscriptions in ``book``. ``now``: the time of the input at work."""

    def __init__(
        self, core: Core, book: Book, keeping: Keeping, settings: Callable[[], EventsSettings]
    ) -> None:
        self._core = core
        self._book = book
        self._keeping = keeping
        self._settings = settings
        self.now = 0.0
        # Set where there are other nodes, which may have taken a subscription over.
        self.check: Check | None = None
        # The second in which a limit was told of.
        self._told = -1
        self.sent = core.counter("notified", "NOTIFYs that were sent, by package", ("event",))
        self._over_count = core.counter("ended", "Subscriptions that ended, by reason", ("reason",))

    def usage(self, one: Subscription, dialog: Dialog, event: str, expires_at: float = 0.0) -> Notifier:
        """Return the usage of ``dialog`` by ``one``."""
        settings = self._settings()
        return Notifier.restored(
            dialog,
            event=event,
            expires_at=expires_at,
            content=partial(self._content, one),
            pending=one.verdict is Verdict.CONFIRM,
            least=settings.least,
            most=settings.longest,
            usual=one.package.usual,
            params=rates(one),
            headers=one.package.headers,
            lean=True,
        )

    def _content(self, one: Subscription, words: str) -> tuple[list[tuple[str, object]], bytes]:
        """Return the fields and the body of the NOTIFY that is about to leave."""
        quiet = words == "pending" or (words.startswith("terminated") and "reason=timeout" not in words)
        if quiet or one.verdict is Verdict.CONFIRM:
            # RFC 3856 6.6.2: no state for a watcher that is not authorized.
            return [], b""
        try:
            content: Content | None = one.package.content(one, self.now)
        except Exception as error:
            self._core.failed(f"content of {one.package.event}", error)
            return [], b""
        if one.full:
            # The whole state has what they led to: told after it, they would be out of order.
            one.changes.clear()
        one.full = False
        return fields_of(content)

    def perform(self, one: Subscription, effects: Sequence[Effect], now: float) -> None:
        """Do what the usage of ``one`` wants done."""
        for effect in effects:
            if isinstance(effect, SendNotify):
                self.send(one, effect, now)
            elif isinstance(effect, Respond):
                effect.owner.respond(effect.response, now)
            elif isinstance(effect, Tell) and isinstance(effect.event, SubscriptionEnded):
                self._over(one, effect.event.reason, now)

    def send(self, one: Subscription, made: SendNotify, now: float) -> None:
        """Send the NOTIFY that ``made`` says."""
        one.left(now)
        self.sent.add(one.package.event)
        client = self._core.ua.client
        if not send_octets(one, made, client, now):
            client.send(one.usage.notify(made), one, now, hop=way_of(one, client))
        if made.number > one.reserved - BLOCK // 2 and one.kept:
            self._keeping.rewrite(one, now)

    def end(self, one: Subscription, reason: str, now: float, retry_after: int | None = None) -> None:
        """End a subscription for ``reason`` (RFC 6665 4.1.3)."""
        self.now = now
        self.perform(one, one.usage.end(reason, now, retry_after), now)

    def _over(self, one: Subscription, reason: str, now: float) -> None:
        if not self._book.remove(one):
            return
        self._over_count.add(reason)
        self._keeping.end(one, now)
        self.tell(one, _WORDS.get(reason, reason), now)

    def tell(self, one: Subscription, event: str, now: float) -> None:
        """Tell packages that show watchers (RFC 3857) of ``event``."""
        self._core.tell(WatcherChanged(one, event), now)

    def answered(self, one: Subscription, sending: Sending, response: Response, now: float) -> None:
        """The NOTIFY of ``one`` that was on its way has its answer."""
        if response.status >= 300 and one.kept and self.check is not None:
            # Another node's NOTIFYs may have passed it.
            self.check(one, now, partial(self._answered, one, sending, response))
        else:
            self._answered(one, sending, response, now)

    def _answered(self, one: Subscription, sending: Sending, response: Response, now: float) -> None:
        self.now = now
        self._book.answered(one)
        usage, status = one.usage, response.status
        if status < 300:
            one.tries = 0
            one.reached = str(sending.request.uri)
            try:
                usage.dialog.answered(sending.request, response)
            except RemoteProtocolError:
                pass
            # RFC 3261 12.2.1.2: a 2xx moves the target. What leaves next goes to an address that may not want
            # it, as after a SUBSCRIBE (``consider``).
            one.moved = str(usage.dialog.remote_target) != one.reached
        if sending.made and status != 408 and one.tries >= _TRIES:
            effects = usage.lost(response, now)
        else:
            effects = usage.response_received(sending.request, response, now)
        if status >= 300 and not usage.is_over:
            one.failed(now, _wait(response, one.tries))
        self.perform(one, effects, now)
        self.consider(one, now)

    def taken(self, one: Subscription, number: int, now: float) -> None:
        """NOTIFY ``number`` of ``one``, which left as octets, has a 200 that says nothing else."""
        self.now = now
        if one.unanswered is not None:
            self._book.answered(one)
        one.tries = 0
        one.moved = False
        assert one.head is not None
        one.reached = one.head.target
        effects = one.usage.taken(number, now)
        if effects:
            self.perform(one, effects, now)
        if one.dirty or one.params or one.due is None:
            self.consider(one, now)

    def consider(self, one: Subscription, now: float, must: bool = False) -> None:
        """Send what is due to ``one``, or look at it again when it is.

        ``must``: whatever its filter says, for ``min-rate`` has it told something.
        """
        usage = one.usage
        if usage.is_over or usage.expires_at is None or not one.counted:
            return
        if one.dirty and not usage.is_sending and one.may_leave_at(now) <= now:
            if one.filter is not None and not must and not one.full and self._holds_back(one, now):
                one.held_back(now)
            elif one.moved and not self._may_go(one, now):
                one.retry_at = now + _AGAIN
            else:
                made = usage.tell(now)
                if made is not None:
                    self.send(one, made, now)
        due = one.next_due()
        if due != one.due:
            self._book.look(one, due)

    def _holds_back(self, one: Subscription, now: float) -> bool:
        try:
            return one.package.holds_back(one, now)  # type: ignore[no-any-return]  # packages are above this file
        except Exception as error:
            self._core.failed(f"filter of {one.package.event}", error)
            return False

    def _may_go(self, one: Subscription, now: float) -> bool:
        """Whether a NOTIFY may go to a target that has answered none (``EventsSettings.unanswered``)."""
        if one.unanswered is None:
            if self._book.count_unanswered(one.source) >= self._settings().unanswered:
                if self._told != int(now):
                    self._told = int(now)
                    host = "" if one.flow is None else one.flow.host
                    self._core.notify(SubscriptionLimitReached("unanswered", one.watcher, host, True), now)
                return False
            self._book.asks(one, one.source)
        return True

    def passed(self, now: float) -> None:
        """End what has expired, and send the NOTIFYs that are due: a group of them."""
        self.now = now
        for one in self._book.passed(now, GROUP):
            usage = one.usage
            if usage.expires_at is not None and usage.expires_at <= now:
                if self.check is not None and one.kept:
                    # It may have been refreshed at another node.
                    self.check(one, now, partial(self._expire, one))
                else:
                    self._expire(one, now)
                continue
            rate = rate_of(one.params.get("min-rate"))
            must = rate is not None and now >= one.sent_at + 1.0 / rate
            if must:
                one.dirty = True
            self.consider(one, now, must)

    def _expire(self, one: Subscription, now: float) -> None:
        self.now = now
        usage = one.usage
        if usage.expires_at is not None and usage.expires_at <= now:
            self.perform(one, usage.time_passed(now), now)
        else:
            self.consider(one, now)

    def judge(self, one: Subscription, now: float) -> None:
        """Ask the package anew what ``one`` may see."""
        self.now = now
        verdict, before = one.package.judge(one, now), one.verdict
        if verdict is before:
            # It may see other parts of the state.
            self.consider(one, now)
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
            self.perform(one, one.usage.grant(now), now)
            self.tell(one, "approved", now)
        else:
            one.note(None, None)
        self._keeping.rewrite(one, now)
        self.consider(one, now)


def rates(one: Subscription) -> str:
    """Return the parameters of Subscription-State that say which rates are obeyed (RFC 6446 9.3)."""
    found = ""
    for name in ("max-rate", "min-rate"):
        text = one.params.get(name)
        if rate_of(text) is not None:
            found += f";{name}={text}"
    return found


def _wait(response: Response, tries: int) -> float:
    """Return after how many seconds a NOTIFY that was answered with a failure is sent anew."""
    wait = min(_AGAIN * 2.0**tries, _AGAIN_AT_MOST)
    try:
        asked = response.typed("retry-after")
    except RemoteProtocolError:
        asked = None
    return wait if asked is None else min(max(float(asked.seconds), 1.0), 3600.0)

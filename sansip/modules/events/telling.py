"""The NOTIFY of a usual subscription, as octets, without an effect or a message.

Theory of operation: of most subscriptions nothing has to be looked at before a NOTIFY: they are active, none
is unanswered, no filter, rate or queue delays it, and the way has not changed. ``tell`` sends such a NOTIFY
at once: the subscription's ``Head`` with number, branch and time, and the lines and octets of the content,
which are written once for all watchers that get the same (``Content.octets``). Where it does nothing,
``Notifying`` is the reference, and the octets are the same (``tests/modules/events/test_writing.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sansip.client import new_branch
from sansip.dialog import SendNotify
from sansip.dialog.subscription_table import ACTIVE
from sansip.modules.events.content import Verdict, fields_of, write
from sansip.modules.events.notifying import GROUP
from sansip.modules.events.row import BLOCK
from sansip.wire.fields import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sansip.client import Client
    from sansip.module import Core
    from sansip.modules.events.book import Book
    from sansip.modules.events.content import Content
    from sansip.modules.events.keeping import Keeping
    from sansip.modules.events.notifying import Notifying
    from sansip.modules.events.subscription import Subscription

__all__ = ["Telling"]

_NOTHING: Final = b"Content-Length: 0\r\n\r\n"


class Telling:
    """Sends NOTIFYs to the subscriptions in ``book`` that are usual."""

    def __init__(self, core: Core, book: Book, keeping: Keeping, notifying: Notifying) -> None:
        self._core = core
        self._book = book
        self._keeping = keeping
        self._notifying = notifying
        self._sent = notifying.sent
        self._client = core.ua.client

    def changed(self, found: Sequence[Subscription], now: float, key: Any, value: Any) -> None:
        """Tell ``found`` of a change (``Events.changed``): a group at once, the others between messages."""
        notifying, book = self._notifying, self._book
        notifying.now = now
        client = self._client
        for number, one in enumerate(found):
            if (
                number < GROUP
                and key is None
                and (one.package.interval <= 0.0 or one.may_leave_at(now) <= now)
                and self.tell(one, now, client)
            ):
                continue
            one.note(key, value)
            if number < GROUP:
                notifying.consider(one, now)
            elif one.usage.expires_at is not None and not one.usage.is_sending:
                book.look(one, now)

    def tell(self, one: Subscription, now: float, client: Client) -> bool:
        """Send a NOTIFY to ``one`` of the state as it is, and return True; or do nothing."""
        usage, head = one.usage, one.head
        expires_at = usage.expires_at
        if (
            usage.state != ACTIVE
            or not one.counted
            or expires_at is None
            or usage.is_sending
            or one.params
            or one.moved
            or one.filter is not None
            or one.retry_at is not None
            or one.package.each
            or one.verdict is Verdict.CONFIRM
            or head is None
            or head.flow is None
            or not head.fits(one, client)
        ):
            return False
        package = one.package
        content: Content | None = None
        try:
            known: Callable[[Subscription], Content | None] | None = package.known
            if known is not None:
                content = known(one)
            if content is None:
                content = package.content(one, now)
        except Exception as error:
            self._core.failed(f"content of {package.event}", error)
        one.full = False
        rest = _NOTHING if content is None else content.octets or write(content)
        # RFC 6665 4.2.2: it must give the remaining time.
        left = int(expires_at - now)
        state = f"{ACTIVE};expires={max(0, left)}"
        number = usage.begin()
        branch = new_branch(client.entropy)
        data = encode(f"{head.begin}{branch}{head.middle}{number}{head.end}{state}\r\n") + rest
        if client.tcp_above and len(data) > client.tcp_above:
            # RFC 3261 18.1.1: it may have to go over TCP.
            fields, body = fields_of(content)
            self._notifying.send(one, SendNotify(number, state, fields, body), now)
        else:
            if package.interval <= 0.0:
                # As ``left``, where there is no pace.
                one.sent_at = now
                one.dirty = one.more or bool(one.changes)
            else:
                one.left(now)
            self._sent.add(package.event)
            client.send_octets(
                "NOTIFY", branch, data, head.flow, one, now, number=number, contact=head.contact
            )
            if number > one.reserved - BLOCK // 2 and one.kept:
                self._keeping.rewrite(one, now)
        due = one.next_due() if one.dirty else expires_at
        if due != one.due:
            self._book.look(one, due)
        return True

"""Watcher information (RFC 3857, RFC 3858): who watches a user, for that user alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.module.xml import attribute, text
from sansip.modules.events import Content, Package, Subscription, Verdict

if TYPE_CHECKING:
    from sansip.modules.events import Events

__all__ = ["Watched", "WatcherInfo"]

# RFC 3858 4.2
_BEGAN: Final = "subscribe"
_TYPE: Final = "application/watcherinfo+xml"


@dataclass(frozen=True, slots=True)
class Watched:
    """One watcher, as it is told: RFC 3858 4.3."""

    id: str
    watcher: str
    status: str
    event: str
    began: float
    expires_at: float | None

    def write(self, now: float, unix: float) -> str:
        """Return its element."""
        left = ""
        if self.expires_at is not None and self.status != "terminated":
            left = f' expiration="{max(0, int(self.expires_at - now))}"'
        lasted = max(0, int(unix - self.began))
        return (
            f'<watcher id={attribute(self.id)} status="{self.status}" event="{self.event}"'
            f' duration-subscribed="{lasted}"{left}>{text(self.watcher)}</watcher>'
        )


class WatcherInfo(Package):
    """The template ``winfo`` for one package."""

    types = (_TYPE,)
    each = True
    interval, burst = 5.0, 3

    def __init__(self, events: Events, base: str, unix: Any) -> None:
        # RFC 3857 4.1: the name of the package, and its template.
        self.event = f"{base}.winfo"  # type: ignore[misc]  # a name of the object, for each base
        self._events = events
        self._base = base
        self._unix = unix
        # Subscription -> what happened to it last, but for those that only began.
        self._words: dict[str, str] = {}

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        """RFC 3857 6: the user's watchers are the user's own business."""
        own = subscription.proven and subscription.watcher == subscription.resource
        return Verdict.ALLOW if own else Verdict.BLOCK

    def watched(self, one: Subscription, event: str) -> Watched:
        """Return ``one`` as it is told after ``event``, and remember that."""
        if one.counted:
            if event != _BEGAN or one.id in self._words:
                self._words[one.id] = event
            status = "pending" if one.verdict is Verdict.CONFIRM else "active"
        else:
            self._words.pop(one.id, None)
            status = "terminated"
        return Watched(one.id, one.watcher, status, event, one.began, one.usage.expires_at)

    def content(self, subscription: Subscription, now: float) -> Content:
        found: Iterable[Watched]
        if subscription.full:
            state = "full"
            found = [
                self.watched(one, self._words.get(one.id, _BEGAN))
                for one in self._events.of(self._base, subscription.resource)
            ]
        else:
            state = "partial"
            found = [value for _, value in subscription.take_changes()]
        unix = self._unix(now)
        listed = "".join(one.write(now, unix) for one in found)
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<watcherinfo xmlns="urn:ietf:params:xml:ns:watcherinfo"'
            f' version="{subscription.next_version()}" state="{state}"><watcher-list'
            f' resource={attribute(subscription.resource)} package="{self._base}">{listed}</watcher-list>'
            "</watcherinfo>\n"
        )
        return Content(_TYPE, body.encode())

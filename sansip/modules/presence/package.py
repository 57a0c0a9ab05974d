"""The package ``presence`` (RFC 3856): what each watcher is shown.

Theory of operation: the state of a user is composed when it changes, and written once for all watchers who
see the same of it. What a watcher sees are its rules' ``Shows``, kept with its subscription. A filter
(RFC 4660) takes from that what the watcher does not want, and holds back changes that no trigger names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from sansip.module.xml import Element, read_xml
from sansip.modules.events import Content, Package, Subscription, Verdict
from sansip.modules.presence import partial
from sansip.modules.presence.filters import (
    TYPE as FILTER_TYPE,
)
from sansip.modules.presence.filters import (
    Filter,
    Snapshot,
    applying,
    filtered,
    joined,
    parse_filters,
    snapshot,
    triggers,
)
from sansip.modules.presence.pidf import TYPE, Part, check_pidf, closed, parts_of, write_pidf
from sansip.modules.presence.privacy import shown
from sansip.modules.presence.rules import EVERYTHING, NOTHING, Shows
from sansip.modules.presence.views import Seen, View, Views
from sansip.modules.publications import Publishing

__all__ = ["PresencePackage", "PresencePublishing"]

# Octets of a document that filters are applied to.
_MOST_FILTERED: Final = 262_144
# Filtered documents that are remembered, of all users.
_MOST_CUTS: Final = 128


class _Cut:
    """What one filter makes of one state, for all watchers who see the same and have the same filter.

    ``known``, ``content``: what its triggers remember, and what is left; each in a tuple once it was made.
    """

    __slots__ = ("content", "known", "view")

    def __init__(self, view: View) -> None:
        self.view = view
        self.known: tuple[Snapshot] | None = None
        self.content: tuple[Content | None] | None = None


class PresencePublishing(Publishing):
    """What phones publish; ``changed(resource, now)`` hears of it."""

    event = "presence"
    types = (TYPE,)

    check = staticmethod(check_pidf)

    def __init__(self, changed: Callable[[str, float], None]) -> None:
        self.published = changed  # type: ignore[method-assign, assignment]  # without a call in between


class PresencePackage(Package):
    """Presence. ``composed(resource)`` returns its state, ``rules(subscription, now)`` what a watcher sees.

    Attributes:
        ready: whether the rules have been read (``open``); before that nobody sees anything.
        forget: ``forget(resource)``: its state has changed.
    """

    event = "presence"
    types = (TYPE, partial.TYPE)
    filters = (FILTER_TYPE,)

    def __init__(
        self,
        composed: Callable[[str], list[Part]],
        rules: Callable[[Subscription, float], tuple[Verdict, Shows]],
        reading: Callable[[], Awaitable[None]],
        interval: float,
        burst: int,
    ) -> None:
        self._composed = composed
        self._rules = rules
        self._reading = reading
        self.interval, self.burst = interval, burst
        self.ready = False
        self._views = Views()
        self.known = self._views.known
        self.forget = self._views.pop
        # By resource, what is shown (None: that the user is unavailable) and source of the filter.
        self._cuts: OrderedDict[tuple[str, Shows | None, bytes], _Cut] = OrderedDict()

    # --- the state

    def open(self) -> None:
        """The rules, and whatever else there is of users, have been read."""
        self.ready = True
        self._views.composed = self._composed

    def state(self, resource: str) -> list[Part]:
        """Return the composed state of ``resource``."""
        return self._view(resource).state

    def _view(self, resource: str) -> View:
        found = self._views.get(resource)
        if found is None:
            found = View(self._composed(resource))
            self._views.put(resource, found)
        return found

    async def prepare(self, resource: str) -> None:
        if not self.ready:
            await self._reading()

    def is_prepared(self) -> bool:
        return self.ready

    def judge(self, subscription: Subscription, now: float) -> Verdict:
        if not self.ready:
            return Verdict.CONFIRM
        verdict, shows = self._rules(subscription, now)
        shows = shows if verdict is Verdict.ALLOW else NOTHING
        seen = subscription.memo
        if seen is None:
            seen = subscription.memo = Seen(shows)
        elif shows != seen.shows:
            seen.shows = shows
            # Another view is another document, whatever the verdict.
            subscription.full = True
            subscription.note(None, None)
        return verdict

    def content(self, subscription: Subscription, now: float) -> Content | None:
        if not self.ready:
            return None
        if subscription.memo is None:
            # Restored: its rules may have changed meanwhile.
            self.judge(subscription, now)
        seen: Seen = subscription.memo
        resource = subscription.resource
        polite = subscription.verdict is Verdict.POLITE
        wanted = applying(subscription.filter, resource) if subscription.filter else None
        if wanted is not None:
            return self._filtered(subscription, seen, wanted)
        if partial.TYPE in subscription.accept:
            parts = [closed()] if polite else self._shown(resource, seen.shows)
            return Content(partial.TYPE, self._difference(subscription, seen, parts))
        if polite:
            # RFC 5025 3.2.1: as if the user were there and unavailable.
            return Content(TYPE, write_pidf(resource, [closed()]))
        shows = seen.shows
        view = self._views.get(resource) or self._view(resource)
        if view.shows is shows:
            return view.content
        content = None
        if view.shows is not None and view.content is not None:
            view.contents[view.shows] = view.content
            content = view.contents.get(shows)
        if content is None:
            content = Content(TYPE, write_pidf(resource, self._shown(resource, shows)))
        view.shows, view.content = shows, content
        return content

    # --- filters

    def join_filters(self, before: bytes, body: bytes) -> bytes:
        return joined(before, body)

    def check_filter(self, type: str, body: bytes) -> tuple[Filter, ...]:
        return parse_filters(body)

    def holds_back(self, subscription: Subscription, now: float) -> bool:
        wanted = applying(subscription.filter, subscription.resource)
        seen: Seen | None = subscription.memo
        if seen is None or wanted is None or not wanted.triggers:
            return False
        return not triggers(wanted, seen.known, self._known(subscription, seen, wanted))

    def _cut(self, subscription: Subscription, seen: Seen) -> _Cut:
        resource = subscription.resource
        view = self._view(resource)
        shows = None if subscription.verdict is Verdict.POLITE else seen.shows
        key = resource, shows, subscription.filter_body
        found = self._cuts.get(key)
        if found is None or found.view is not view:
            found = self._cuts[key] = _Cut(view)
            self._cuts.move_to_end(key)
            if len(self._cuts) > _MOST_CUTS:
                self._cuts.popitem(last=False)
        return found

    def _known(self, subscription: Subscription, seen: Seen, wanted: Filter) -> Snapshot:
        """Return what the triggers remember of the state; None where it is too large."""
        cut = self._cut(subscription, seen)
        if cut.known is None:
            root = self._whole(subscription, seen)
            cut.known = (None if root is None else snapshot(root, wanted),)
        return cut.known[0]

    def _parts(self, subscription: Subscription, seen: Seen) -> list[Part]:
        if subscription.verdict is Verdict.POLITE:
            return [closed()]
        return self._shown(subscription.resource, seen.shows)

    def _whole(self, subscription: Subscription, seen: Seen) -> Element | None:
        """Return what the watcher may see, as one tree; None where that is too large."""
        try:
            octets = write_pidf(subscription.resource, self._parts(subscription, seen))
            return read_xml(octets, most=_MOST_FILTERED)
        except ValueError:
            return None

    def _filtered(self, subscription: Subscription, seen: Seen, wanted: Filter) -> Content | None:
        seen.known = self._known(subscription, seen, wanted) if wanted.triggers else None
        is_partial = partial.TYPE in subscription.accept
        cut = self._cut(subscription, seen)
        if cut.content is not None and not is_partial:
            return cut.content[0]
        root = None if cut.content == (None,) else self._whole(subscription, seen)
        if root is None or not filtered(root, wanted):
            # RFC 4660 5.3.1: nothing is left, or it would take too long.
            seen.state = None
            cut.content = (None,)
            return None
        parts = parts_of(root)
        if is_partial:
            return Content(partial.TYPE, self._difference(subscription, seen, parts))
        content = Content(TYPE, write_pidf(subscription.resource, parts))
        cut.content = (content,)
        return content

    def _shown(self, resource: str, shows: Shows) -> list[Part]:
        view = self._view(resource)
        if shows is EVERYTHING:
            return view.state
        found = view.parts.get(shows)
        if found is None:
            found = view.parts[shows] = shown(view.state, shows)
        return found

    def _difference(self, subscription: Subscription, seen: Seen, parts: list[Part]) -> bytes:
        before, after = seen.state, partial.state_of(parts)
        seen.state = after
        # RFC 5263 4.4: the first has version 1, each further one is one higher, refreshes included.
        version = subscription.next_version() + 1
        if before is not None and not subscription.full:
            octets = partial.difference(subscription.resource, before, after, version)
            if octets is not None:
                return octets
        return partial.whole(subscription.resource, parts, version)

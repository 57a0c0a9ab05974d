"""The composed states of users, as they were written for watchers who see the same.

Theory of operation: a ``View`` is kept until its user's state changes. Nearly all watchers of a user see the
same, so the first NOTIFY of a change writes the document, and ``known`` has it for the others. Whatever else
there is to look at is for ``PresencePackage.content``, which is the reference.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from sansip.modules.events.content import Content, Verdict
from sansip.modules.presence.partial import TYPE as PARTIAL
from sansip.modules.presence.pidf import TYPE, write_pidf
from sansip.modules.presence.rules import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sansip.modules.events.subscription import Subscription
    from sansip.modules.presence.pidf import Part
    from sansip.modules.presence.rules import Shows

__all__ = ["Seen", "View", "Views"]

# Users whose composed state is kept.
_MOST: Final = 10_000


class Seen:
    """What one watcher sees, and has been told.

    Attributes:
        shows: its permissions.
        known: what the triggers of its filter remember of the document that it was told last, a ``Snapshot``.
        state: what it was told last, where it gets differences.
    """

    __slots__ = ("known", "shows", "state")

    def __init__(self, shows: Shows) -> None:
        self.shows = shows
        self.known: Any = None
        self.state: dict[tuple[str, str], bytes] | None = None


class View:
    """The composed state of one user, and what of it was written, for all watchers who see the same."""

    __slots__ = ("content", "contents", "parts", "shows", "state")

    def __init__(self, state: list[Part]) -> None:
        self.state = state
        self.parts: dict[Shows, list[Part]] = {}
        self.contents: dict[Shows, Content] = {}
        # Most watchers see the same: what was shown last, and by which permissions; it is not in ``contents``
        # before something else is shown.
        self.shows: Shows | None = None
        self.content: Content | None = None


class Views:
    """The views of one server, by resource.

    Attributes:
        composed: composes the state of a resource; None until all that it is composed of has been read.
    """

    __slots__ = ("_views", "composed")

    def __init__(self) -> None:
        self._views: OrderedDict[str, View] = OrderedDict()
        self.composed: Callable[[str], list[Part]] | None = None

    def get(self, resource: str) -> View | None:
        """Return the view of ``resource``, if its state has not changed since."""
        return self._views.get(resource)

    def put(self, resource: str, view: View) -> None:
        """Keep ``view``."""
        self._views[resource] = view
        if len(self._views) > _MOST:
            self._views.popitem(last=False)

    def pop(self, resource: str) -> None:
        """The state of ``resource`` has changed."""
        self._views.pop(resource, None)

    def known(self, one: Subscription) -> Content | None:
        """Return what ``one``, which has no filter, gets, if that is the same for others; else None.

        That is what was written for another, or the whole state.
        """
        seen = one.memo
        if not isinstance(seen, Seen) or one.verdict is not Verdict.ALLOW or PARTIAL in one.accept:
            return None
        resource = one.resource
        view = self._views.get(resource)
        if view is None:
            if seen.shows is not EVERYTHING or self.composed is None:
                return None
            view = View(self.composed(resource))
            self.put(resource, view)
        if view.shows is None and seen.shows is EVERYTHING:
            view.shows = EVERYTHING
            view.content = Content(TYPE, write_pidf(resource, view.state))
        return view.content if view.shows is seen.shows else None

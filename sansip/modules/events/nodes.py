"""Subscriptions of several nodes: each has one owner, and another node takes it over when that is gone.

Theory of operation: a row names the node that serves its subscription. When a node is gone, one of the others
takes all rows of nodes that do not live: the one that ``Core.once`` names, and of two that believe so the one
that claims them first in the values that nodes share. It goes on behind the sequence numbers that the row
reserved, with its own Contact, so watchers follow it. A node that was only cut off finds out in three ways:
it sees the others live again, a watcher refuses its NOTIFY (whose number is too low by then), or the
subscription is about to expire here. It reads the row then, and lets go of what has another owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sansip.rows import Table

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.events.book import Book
    from sansip.modules.events.keeping import Keeping
    from sansip.modules.events.package import Package
    from sansip.modules.events.restoring import Restoring
    from sansip.modules.events.subscription import Subscription

__all__ = ["CLAIMS", "Claim", "Owners"]

# Seconds for which a claim to the rows of a node stands; seconds from the start of this node until it looks
# for rows of nodes that do not live.
_CLAIM: Final = 120.0
FIRST_LOOK: Final = 20.0
_PAGE: Final = 200


@dataclass(slots=True)
class Claim:
    """The node that takes over the rows of ``gone``."""

    gone: str
    taker: str


CLAIMS = Table("events_claims", Claim, key=("gone",))


class Owners:
    """Which subscriptions this node serves. ``packages`` returns all packages."""

    def __init__(
        self,
        core: Core,
        book: Book,
        keeping: Keeping,
        restoring: Restoring,
        packages: Callable[[], Iterable[Package]],
    ) -> None:
        self._core = core
        self._book = book
        self._keeping = keeping
        self._restoring = restoring
        self._packages = packages
        self._claims = core.shared(CLAIMS)

    @property
    def several(self) -> bool:
        """Whether there are other nodes."""
        return self._core.node != ""

    def changed(self, state: str, now: float) -> None:
        """Another node is in ``state`` (``NodeChanged``)."""
        if state == "gone":
            self._core.run(self._take_over(), now)
        elif state == "lives":
            self._core.run(self._verify(), now)

    def look(self, now: float) -> None:
        """Look for rows of nodes that do not live: some time after the start, when all are known."""
        self._core.run(self._take_over(), now)

    async def _take_over(self) -> None:
        core = self._core
        for package in tuple(self._packages()):
            gone: set[str] = set()
            after: tuple[Any, ...] | None = None
            while rows := await self._keeping.rows.page(package.event, after=after, limit=_PAGE):
                gone |= {row.owner for row in rows} - core.living - {""}
                if len(rows) < _PAGE:
                    break
                after = (rows[-1].package, rows[-1].id)
            mine = {one for one in sorted(gone) if core.once(f"rows of {one}") and await self._claim(one)}
            if mine:
                await self._restoring.restore(package, mine - core.living)

    async def _claim(self, gone: str) -> bool:
        me = self._core.node
        living = self._core.living

        def claim(before: Claim | None) -> Claim:
            return before if before is not None and before.taker in living else Claim(gone, me)

        try:
            found = await self._claims.change((gone,), claim, ttl=_CLAIM)
        except OSError as error:
            # ``once`` has named this node; two owners for a while do less harm than none.
            self._core.failed("claim", error)
            return True
        return found is not None and found.taker == me

    async def _verify(self) -> None:
        """Let go of what others have taken over while this node was cut off."""
        me = self._core.node
        for package in tuple(self._packages()):
            after: tuple[Any, ...] | None = None
            while rows := await self._keeping.rows.page(package.event, after=after, limit=_PAGE):
                for row in rows:
                    one = self._book.ids.get(row.id)
                    if one is not None and row.owner not in ("", me):
                        self._release(one)
                if len(rows) < _PAGE:
                    break
                after = (rows[-1].package, rows[-1].id)

    def _release(self, one: Subscription) -> None:
        self._keeping.release(one)
        self._book.remove(one)

    # --- one subscription

    def check(self, one: Subscription, now: float, done: Callable[[float], None]) -> None:
        """Call ``done`` if ``one`` is this node's still; else let go of it."""
        self._core.run(self._is_mine(one), now, partial(self._checked, one, done))

    async def _is_mine(self, one: Subscription) -> bool:
        row = await self._keeping.rows.get(one.package.event, one.id)
        return row is None or row.owner in ("", self._core.node)

    def _checked(self, one: Subscription, done: Callable[[float], None], mine: Any, now: float) -> None:
        if mine is False:
            self._release(one)
        elif one.counted:
            # Also where the store cannot be reached: the watcher is told what is known here.
            done(now)

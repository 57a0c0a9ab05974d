"""Lamps of users whose calls go over other living nodes.

Theory of operation: a node that shares values with others writes the lamps of a user there when they change,
and tells of it (``sansip.module.news``). The others read them where somebody watches that user, and tell
their watchers what is another one: within a second, and the last state alone. The lamps of a node that is
gone are out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from sansip.module.news import News, news_table
from sansip.modules.lamps.lamp import TERMINATED, Lamp, Party
from sansip.rows import Table

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["NEWS", "SHOWN", "LampsOf", "OtherNodes"]

# Seconds for which lamps are kept without a change: a call that lasts longer is shown at its own node alone.
_KEPT: Final = 86_400.0
# Seconds until lamps that could not be written are written anew.
_AGAIN: Final = 1.0


@dataclass(slots=True)
class LampsOf:
    """The live value of what ``node`` shows of ``user``: ``lamps`` as JSON, with Unix times."""

    user: str
    node: str
    lamps: str


SHOWN: Final = Table("lamps_shown", LampsOf, key=("user", "node"))
NEWS: Final = news_table("lamps")


class OtherNodes:
    """The lamps of other nodes.

    Args:
        own: the lamps of a user that this node shows.
        is_watched: whether somebody watches a user here, and ``watched`` all users that somebody watches.
        changed: hears of a lamp of a user that is another one.
    """

    def __init__(
        self,
        core: Core,
        own: Callable[[str], list[Lamp]],
        is_watched: Callable[[str], bool],
        watched: Callable[[], list[str]],
        changed: Callable[[Lamp, float], None],
        now: float,
    ) -> None:
        self._core = core
        self._own = own
        self._is_watched = is_watched
        self._watched = watched
        self._changed = changed
        self._values = core.shared(SHOWN)
        # User -> id -> lamp.
        self._found: dict[str, dict[str, Lamp]] = {}
        # User -> the read of the lamps of others that began last.
        self._reading: dict[str, object] = {}
        # Users whose lamps are to be written.
        self._stale: dict[str, None] = {}
        self._writing = False
        self._news = News(core, NEWS, self._reread, self._everything, now)

    def of(self, user: str) -> list[Lamp]:
        """Return what other nodes show of ``user``."""
        return list(self._found.get(user, {}).values())

    # --- what this node shows

    def tell(self, user: str, now: float) -> None:
        """The lamps of ``user`` are other ones here."""
        self._stale[user] = None
        if not self._writing:
            self._writing = True
            self._core.run(self._write(), now, self._written)

    def timer_fired(self, name: str, now: float) -> None:
        """Write what could not be written."""
        self._core.run(self._write(), now, self._written)

    async def _write(self) -> bool:
        """Write the lamps of all users whose lamps are other ones; return whether that was done."""
        node = self._core.node
        while self._stale:
            user = next(iter(self._stale))
            del self._stale[user]
            lamps = [self._plain(one) for one in self._own(user)]
            try:
                if lamps:
                    await self._values.put(LampsOf(user, node, json.dumps(lamps)), ttl=_KEPT)
                else:
                    await self._values.delete(user, node)
            except (OSError, TimeoutError):
                # Else a call that ended meanwhile would be shown until the next one of this user.
                self._stale[user] = None
                return False
            self._news.tell((user,), self._core.ua.now)
        return True

    def _written(self, result: object, now: float) -> None:
        if result is False:
            self._core.timers.start(now, _AGAIN, self, "write")
            return
        self._writing = False
        if isinstance(result, BaseException):
            self._core.failed("values", result)

    def _plain(self, lamp: Lamp) -> dict[str, Any]:
        return {**asdict(lamp), "since": self._core.unix(lamp.since)}

    # --- what others show

    async def read(self, user: str) -> None:
        """Take what the others show of ``user``; where they cannot be asked, later."""
        try:
            await self._reread((user,), always=True)
        except (OSError, TimeoutError):
            self._news.reread_soon((user,))

    async def _everything(self) -> None:
        for user in {*self._watched(), *self._found}:
            await self._reread((user,))

    def nodes_changed(self, now: float) -> None:
        """A node is gone, or came: what it shows is another thing."""
        for user in self._found:
            self._news.reread_soon((user,))

    async def _reread(self, key: tuple[str, ...], always: bool = False) -> None:
        (user,) = key
        if not always and user not in self._found and not self._is_watched(user):
            return
        found: dict[str, Lamp] = {}
        last = self._reading[user] = object()
        try:
            for node in sorted(self._core.living - {self._core.node}):
                row = await self._values.get(user, node)
                for lamp in () if row is None else self._lamps(row):
                    found[lamp.id] = lamp
        finally:
            begun = self._reading.get(user)
            if begun is last:
                del self._reading[user]
        if begun is not last:
            # A later read knows more, whether it is over or not.
            return
        now = self._core.ua.now
        before = self._found.pop(user, {})
        if found:
            self._found[user] = found
        for name, lamp in found.items():
            if before.get(name) != lamp:
                self._changed(lamp, now)
        for name, lamp in before.items():
            if name not in found:
                # How it ended is known there alone.
                self._changed(replace(lamp, state=TERMINATED), now)

    def _lamps(self, row: LampsOf) -> list[Lamp]:
        """Return the lamps of a value, none where they cannot be read: the other users are told of theirs."""
        try:
            return [self._lamp(one) for one in json.loads(row.lamps)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._core.failed("values", error)
            return []

    def _lamp(self, given: dict[str, Any]) -> Lamp:
        core = self._core
        now = core.ua.now
        known = _known(Lamp, given)
        known["since"] = round(now + given["since"] - core.unix(now), 3)
        for side in ("local", "remote"):
            known[side] = Party(**_known(Party, given[side]))
        return Lamp(**known)


def _known(kind: type[Lamp | Party], given: dict[str, Any]) -> dict[str, Any]:
    """Return what this version knows of ``given``: the node that wrote it may be a newer one."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in given.items() if name in names}

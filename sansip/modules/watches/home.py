"""All watches of one server: by what they watch, by their tags, and in the queue of those that begin.

Theory of operation: counts are those of watches that exist. The queue is emptied at ``watches.rate``, one at
a time; a watch that failed stands in it like a new one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sansip.modules.watches.watch import Watch
from sansip.ua.tags import Tags

if TYPE_CHECKING:
    from sansip.module import Core
    from sansip.modules.watches.settings import WatchesSettings
    from sansip.modules.watches.watch import Hears

__all__ = ["MARK", "Home"]

# How tags of ours begin (``sansip.ua.tags``).
MARK: Final = "w-"


class Home:
    """Keeps the watches of the module whose ``core`` it has; ``settings`` returns the present ones."""

    def __init__(self, core: Core, settings: Callable[[], WatchesSettings]) -> None:
        self.core = core
        self._settings = settings
        self.tags = Tags(core.secret("tags"), core.entropy, MARK)
        self.by_tag: dict[str, Watch] = {}
        self.all: dict[tuple[str, str, str], Watch] = {}
        self._of_watcher: dict[str, int] = {}
        self._queue: deque[Watch] = deque()
        self._sending = False

    @property
    def settings(self) -> WatchesSettings:
        """The present settings."""
        return self._settings()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    def follow(self, watcher: str, uri: str, event: str, type: str, hears: Hears, now: float) -> Watch | None:
        """See ``Watches.follow``."""
        key = (watcher, uri, event)
        one = self.all.get(key)
        if one is None:
            settings, count = self.settings, self._of_watcher.get(watcher, 0)
            if len(self.all) >= settings.most or count >= settings.most_of_watcher:
                return None
            one = self.all[key] = Watch(self, watcher, uri, event, type)
            self._of_watcher[watcher] = count + 1
            one.hears.append(hears)
            self.ask_turn(one, now)
        elif not one.reopen():
            return None
        elif hears not in one.hears:
            one.hears.append(hears)
        return one

    def forget(self, watch: Watch) -> None:
        """``watch`` is over."""
        if self.all.get(watch.key) is watch:
            del self.all[watch.key]
            left = self._of_watcher[watch.watcher] - 1
            if left:
                self._of_watcher[watch.watcher] = left
            else:
                del self._of_watcher[watch.watcher]

    def ask_turn(self, watch: Watch, now: float) -> None:
        """Begin ``watch`` when its turn comes."""
        if not watch.queued:
            watch.queued = True
            self._queue.append(watch)
            if not self._sending:
                self._sending = True
                # Not within the input that asks for it.
                self.core.timers.start(now, 0.0, self, "turn")

    def timer_fired(self, _name: str, now: float) -> None:
        """The next one begins."""
        if self._queue:
            self.core.timers.start(now, 1.0 / self.settings.rate, self, "turn")
            self._queue.popleft().begin(now)
        else:
            self._sending = False

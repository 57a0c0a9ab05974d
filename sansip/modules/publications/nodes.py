"""Publications of several nodes that share their rows: each node hears which resources changed at others.

Theory of operation: each node has one live value with the resources that changed there last and their number;
it alone writes it, so nodes never compete. The others look twice a second, and read the rows of those
resources again; a node that missed more than the value holds reads all rows. The number begins with the time,
so a node that started anew is known by it. What cannot be told is told later; the rows hold everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sansip.rows import Table

if TYPE_CHECKING:
    from sansip.module import Core

__all__ = ["NEWS", "News", "Others"]

# Resources that the value holds, seconds until a change is told with others, and between two looks.
_MOST: Final = 500
_SOON: Final = 0.1
_LOOK: Final = 0.5
# Seconds for which the value is kept without a change.
_KEPT: Final = 7 * 86_400.0


@dataclass(slots=True)
class News:
    """The live value of ``node``. ``number`` counts changes; ``keys``: the last of them as JSON."""

    node: str
    number: int
    keys: str


NEWS: Final = Table("publications_news", News, key=("node",))


class Others:
    """Tells other nodes what changed here, and hears what changed there.

    ``reread(event, resource)`` takes a resource as its rows are, ``everything()`` all of them.
    """

    def __init__(
        self,
        core: Core,
        reread: Callable[[str, str], Coroutine[Any, Any, None]],
        everything: Callable[[], Coroutine[Any, Any, None]],
        now: float,
    ) -> None:
        self._core = core
        self._reread = reread
        self._everything = everything
        self._values = core.shared(NEWS)
        self._number = int(core.unix(now) * 1e6)
        self._log: list[tuple[str, str]] = []
        self._fresh: dict[tuple[str, str], None] = {}
        # Node -> the number up to which its changes are known.
        self._heard: dict[str, int] = {}
        # Resources that are to be read again in any case.
        self._again: dict[tuple[str, str], None] = {}
        self._telling = self._listening = False
        # Others that knew this node before learn that it began anew.
        self._tell_soon(now)
        core.timers.start(now, _LOOK, self, "look")

    def changed(self, event: str, resource: str, now: float) -> None:
        """The publications of ``resource`` are other ones, and so are their rows."""
        self._fresh[event, resource] = None
        self._tell_soon(now)

    def reread_soon(self, event: str, resource: str) -> None:
        """Read the rows of ``resource`` again at the next look."""
        self._again[event, resource] = None

    def _tell_soon(self, now: float, seconds: float = _SOON) -> None:
        if not self._telling:
            self._telling = True
            self._core.timers.start(now, seconds, self, "tell")

    def timer_fired(self, name: str, now: float) -> None:
        """Tell, or look."""
        if name == "tell":
            self._core.run(self._tell(), now)
            return
        self._core.timers.start(now, _LOOK, self, "look")
        if not self._listening:
            self._listening = True
            self._core.run(self._listen(), now)

    async def _tell(self) -> None:
        fresh, self._fresh = self._fresh, {}
        self._number += len(fresh)
        self._log = [*self._log, *fresh][-_MOST:]
        told = False
        try:
            value = News(self._core.node, self._number, json.dumps(self._log))
            await self._values.put(value, ttl=_KEPT)
            told = True
        except (OSError, TimeoutError):
            # The values can be written again some time.
            pass
        finally:
            self._telling = False
            if self._fresh or not told:
                self._tell_soon(self._core.ua.now, _SOON if told else 1.0)

    async def _listen(self) -> None:
        again, self._again = self._again, {}
        try:
            for event, resource in again:
                await self._reread(event, resource)
            again = {}
            for name in sorted(self._core.living - {self._core.node}):
                news = await self._values.get(name)
                if news is None or news.number == self._heard.get(name):
                    continue
                keys = json.loads(news.keys)
                behind = news.number - self._heard.get(name, 0)
                if 0 < behind <= len(keys):
                    for event, resource in dict.fromkeys(map(tuple, keys[-behind:])):
                        await self._reread(event, resource)
                else:
                    # It began anew, or this node did, or was away for long.
                    await self._everything()
                self._heard[name] = news.number
        except (OSError, TimeoutError):
            # Asked again at the next look.
            self._again.update(again)
        finally:
            self._listening = False

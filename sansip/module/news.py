"""What changed at this process, told to the others that share rows and values, and what changed there.

Theory of operation: each process has one live value with the keys that changed there last and their number;
it alone writes it, so processes never compete. One more value, the directory, has the names of all. The
others look twice a second, and read again what those keys name; a process that missed more than a value
holds reads everything. The number begins with the time, so a process that started anew is known by it. What
cannot be told is told later: rows and values hold the truth, and keys only say where to look. A value lives
for a minute and is renewed, so one that is gone is that of a process that is gone: its name leaves the
directory. A process that was only away enters it anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sansip.rows import Table

if TYPE_CHECKING:
    from sansip.module.core import Core

__all__ = ["News", "Told", "news_table"]

Key: TypeAlias = tuple[str, ...]
# Keys that a value holds, seconds until a change is told with others, and between two looks.
_MOST: Final = 500
_SOON: Final = 0.1
_LOOK: Final = 0.5
# Seconds for which a value is kept, and after which it is written again without a change.
_LIFE: Final = 60.0
_RENEWED: Final = 20.0
# Seconds without a value after which a process is gone: the values may have been lost all at once.
_GONE: Final = 10.0
# Seconds for which the directory is kept: longer than all who are in it.
_KEPT: Final = 7 * 86_400.0
# The key of the directory, and how many names it has.
_DIRECTORY: Final = ""
_MOST_NAMES: Final = 1_000


@dataclass(slots=True)
class Told:
    """The live value of ``name``. ``number`` counts changes; ``keys``: the last of them as JSON."""

    name: str
    number: int
    keys: str


def news_table(module: str) -> Table[Told]:
    """Return the table of the news of ``module``."""
    return Table(f"{module}_news", Told, key=("name",))


class News:
    """The news of one module: ``table`` is of ``news_table``.

    ``reread(key)`` reads what ``key`` names, ``everything()`` all that there is; both may raise ``OSError``.
    ``ready``: whether anything can be read yet.
    """

    def __init__(
        self,
        core: Core,
        table: Table[Told],
        reread: Callable[[Key], Coroutine[Any, Any, None]],
        everything: Callable[[], Coroutine[Any, Any, None]],
        now: float,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        self._core = core
        self._reread = reread
        self._everything = everything
        self._ready = ready
        self._values = core.shared(table)
        self._name = core.node or core.new_id()
        self._number = int(core.unix(now) * 1e6)
        self._log: list[Key] = []
        self._fresh: dict[Key, None] = {}
        # Name -> the number up to which its changes are known.
        self._heard: dict[str, int] = {}
        # Name -> since when it has no value.
        self._silent: dict[str, float] = {}
        # Keys that are to be read again in any case.
        self._again: dict[Key, None] = {}
        self._telling = self._listening = self._entered = False
        self._told_at = now
        # Others that knew this process before learn that it began anew.
        self._tell_soon(now)
        core.timers.start(now, _LOOK, self, "look")

    def tell(self, key: Key, now: float) -> None:
        """What ``key`` names is another one, and so are its rows or values."""
        self._fresh[key] = None
        if not self._telling and now - self._told_at >= _SOON:
            self._telling = True
            self._core.run(self._tell(), now)
        else:
            self._tell_soon(now)

    def reread_soon(self, key: Key) -> None:
        """Read what ``key`` names at the next look."""
        self._again[key] = None

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
        if now - self._told_at >= _RENEWED:
            self._tell_soon(now)
        if not self._listening and (self._ready is None or self._ready()):
            self._listening = True
            self._core.run(self._listen(), now)

    async def _tell(self) -> None:
        self._told_at = self._core.ua.now
        fresh, self._fresh = self._fresh, {}
        self._number += len(fresh)
        self._log = [*self._log, *fresh][-_MOST:]
        told = False
        try:
            await self._values.put(Told(self._name, self._number, json.dumps(self._log)), ttl=_LIFE)
            if not self._entered:
                await self._others()
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
            await self._read_all(again)
            again = {}
            heard: dict[str, int] = {}
            keys: dict[Key, None] = {}
            whole = False
            now = self._core.ua.now
            others = await self._others()
            for name in others:
                told = await self._values.get(name)
                if told is None:
                    self._silent.setdefault(name, now)
                    continue
                self._silent.pop(name, None)
                heard[name] = told.number
                behind = told.number - self._heard.get(name, 0)
                if not behind:
                    continue
                last = json.loads(told.keys)
                if 0 < behind <= len(last):
                    keys.update(dict.fromkeys(map(tuple, last[-behind:])))
                else:
                    # It began anew, or this process did, or was away for long.
                    whole = True
            if whole:
                await self._everything()
            else:
                await self._read_all(keys)
            self._heard.update(heard)
            await self._clear(others, now)
        except (OSError, TimeoutError):
            # Asked again at the next look.
            self._again.update(again)
        finally:
            self._listening = False

    async def _clear(self, others: list[str], now: float) -> None:
        """Take processes that are gone out of the directory, and forget those that are not there."""
        gone = {name for name, since in self._silent.items() if now - since >= _GONE}
        if gone:

            def left(before: Told | None) -> Told | None:
                known = [] if before is None else json.loads(before.keys)
                return Told(_DIRECTORY, 0, json.dumps([name for name in known if name not in gone]))

            await self._values.change((_DIRECTORY,), left, ttl=_KEPT)
        known = set(others) - gone
        self._silent = {name: since for name, since in self._silent.items() if name in known}
        self._heard = {name: number for name, number in self._heard.items() if name in known}

    async def _read_all(self, keys: Iterable[Key]) -> None:
        for key in keys:
            await self._reread(key)

    async def _others(self) -> list[str]:
        """Return the names of the other processes; see that this one is among them."""
        directory = await self._values.get(_DIRECTORY)
        names: list[str] = [] if directory is None else json.loads(directory.keys)
        if self._name not in names:
            # Those of which no value is left are gone.
            gone = {name for name in names if await self._values.get(name) is None}

            def entered(before: Told | None) -> Told:
                known = [] if before is None else json.loads(before.keys)
                kept = [name for name in known if name not in gone and name != self._name]
                return Told(_DIRECTORY, 0, json.dumps([*kept, self._name][-_MOST_NAMES:]))

            await self._values.change((_DIRECTORY,), entered, ttl=_KEPT)
        self._entered = True
        return [name for name in names if name != self._name]

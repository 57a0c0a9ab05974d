"""The outer half: reads the holidays from a file or a web server, with code that blocks.

Theory of operation: the module asks ``Holidays()`` now and then and gets the days. This runs in a thread of
the server, so ``urlopen`` may wait; the module chooses how long it waits for the answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from sansip_server.parts import Part

if TYPE_CHECKING:
    from sansip_quiet_hours import QuietSettings

__all__ = ["Holidays", "HolidaysPart"]

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(slots=True)
class Holidays:
    """Which days are holidays? Answer: a list like ``["2026-12-25"]``."""


class HolidaysPart(Part):
    """Reads the list of days at the URL ``holidays``, one ``YYYY-MM-DD`` a line."""

    parallel, waiting = 2, 10
    settings: QuietSettings

    def __init__(self, settings: QuietSettings) -> None:
        super().__init__(settings)
        self._days = self._reads = 0
        self._trouble = ""

    def handlers(self) -> dict[type, Any]:
        return {Holidays: self.holidays}

    def holidays(self, question: Holidays) -> list[str]:
        """Return the days; raises ``OSError`` if they cannot be read."""
        if not self.settings.holidays:
            return []
        self._reads += 1
        try:
            with urlopen(self.settings.holidays, timeout=5) as page:
                days = _DAY.findall(page.read(1_000_000).decode("utf-8", "replace"))
        except OSError as error:
            self._trouble = f"holidays: {error}"
            raise
        self._days, self._trouble = len(days), ""
        return days

    def health(self) -> str:
        return self._trouble

    def figures(self) -> dict[str, float]:
        return {"holidays": self._days, "reads": self._reads}

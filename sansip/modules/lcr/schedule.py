"""Weekly schedules, by the clocks of a time zone: ``Mo-Fr 08:00-18:00; Sa 09:00-13:00 @Europe/Berlin``.

Theory of operation: a schedule is a list of stretches of minutes since Monday, 00:00. The zone is a table of
the moments at which its clocks change, as the outside knows them (the core reads no files): so a replay
computes what the server did.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

__all__ = ["UTC", "Schedule", "Zones", "parse_schedule", "zone_of"]

# Zone -> moments (Unix time) and the seconds that its clocks are ahead of UTC from then on.
Zones: TypeAlias = Mapping[str, tuple[tuple[int, int], ...]]
UTC: Final = "UTC"
_DAYS: Final = ("mo", "tu", "we", "th", "fr", "sa", "su")
_DAY, _WEEK = 1_440, 10_080
# 1970-01-01 was a Thursday.
_THURSDAY: Final = 3
_WINDOW: Final = re.compile(r"([A-Za-z,-]+)\s+(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)
_EXPECTED: Final = "days and hours like Mo-Fr 08:00-18:00; Sa 09:00-13:00 @Europe/Berlin"


@dataclass(frozen=True, slots=True)
class Schedule:
    """When something holds. ``stretches``: (first minute of the week, the minute behind the last)."""

    text: str
    stretches: tuple[tuple[int, int], ...]
    zone: str
    changes: tuple[tuple[int, int], ...] = ()
    _moments: tuple[int, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "_moments", tuple(moment for moment, _ in self.changes))

    def holds(self, unix: float) -> bool:
        """Whether it holds at the Unix time ``unix``."""
        place = bisect_right(self._moments, unix) - 1
        ahead = self.changes[max(place, 0)][1] if self.changes else 0
        minute = (int((unix + ahead) // 60) + _THURSDAY * _DAY) % _WEEK
        return any(first <= minute < end for first, end in self.stretches)


def zone_of(text: str, default: str) -> str:
    """Return the name of the zone that a schedule's text names."""
    return text.partition("@")[2].strip() or default


def parse_schedule(text: str, default: str, zones: Zones) -> Schedule:
    """Return the schedule that ``text`` is. Raises ``ValueError`` with what was expected."""
    windows = text.partition("@")[0]
    zone = zone_of(text, default)
    if zone != UTC and zone not in zones:
        raise ValueError(f"a time zone of this machine behind @, not {zone!r:.40}")
    stretches: list[tuple[int, int]] = []
    for window in windows.split(";"):
        found = _WINDOW.fullmatch(window.strip())
        if found is None:
            raise ValueError(_EXPECTED)
        first = _minute(found[2], found[3])
        last = _minute(found[4], found[5])
        # 22:00-06:00 ends on the next day.
        length = (last - first) % _DAY or _DAY
        for day in _days(found[1].lower()):
            begin = day * _DAY + first
            stretches.append((begin, min(begin + length, _WEEK)))
            if begin + length > _WEEK:
                stretches.append((0, begin + length - _WEEK))
    return Schedule(text, tuple(sorted(set(stretches))), zone, tuple(zones.get(zone, ())))


def _minute(hour: str, minute: str) -> int:
    value = int(hour) * 60 + int(minute)
    if int(minute) > 59 or value > _DAY:
        raise ValueError(_EXPECTED)
    return value


def _days(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise ValueError(_EXPECTED)
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
        found += [(begin + more) % 7 for more in range((end - begin) % 7 + 1)]
    return found

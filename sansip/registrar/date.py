"""Date (RFC 3261 20.17), written from a time given as an argument, and read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

__all__ = ["sip_date", "unix_of"]

# RFC 3261 25.1: names are English and case-sensitive, so no locale may write them.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_DATE = re.compile(
    rf"(?:{'|'.join(_DAYS)}), ([0-9]{{2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


def unix_of(date: str) -> float | None:
    """Return the seconds since 1970 of a SIP-date, None for what is none."""
    match = _DATE.fullmatch(date)
    if match is None:
        return None
    day, month, year, hour, minute, second = match.groups()
    try:
        when = datetime(
            int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC
        )
    except ValueError:
        return None
    return when.timestamp()


def sip_date(unix: float) -> str:
    """Return a SIP-date for ``unix``, seconds since 1970: ``Sat, 13 Nov 2010 23:29:00 GMT``."""
    return _written(int(unix))


@lru_cache(16)
def _written(second: int) -> str:
    """Return the SIP-date of a second: many messages of one second have the same."""
    t = datetime.fromtimestamp(second, UTC)
    return (
        f"{_DAYS[t.weekday()]}, {t.day:02} {_MONTHS[t.month - 1]} {t.year:04} "
        f"{t.hour:02}:{t.minute:02}:{t.second:02} GMT"
    )

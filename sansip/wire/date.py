"""Dates as SIP writes them (RFC 3261 20.17): RFC 1123, and always GMT.

Theory of operation: dates are turned into datetimes with the UTC time zone and
back by name tables of our own, for what ``strftime`` says depends on the locale.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sansip.wire.abnf import compiled
from sansip.wire.faults import excerpt, malformed

__all__ = ["format_date", "parse_date"]

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE: Final = compiled(
    rf"(?:{'|'.join(_DAYS)}), ([0-9]{{1,2}}) ({'|'.join(_MONTHS)}) ([0-9]{{4}})"
    r" ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT"
)


def parse_date(text: str, name: str = "Date", section: str = "RFC 3261 20.17") -> datetime:
    """Return the point in time, in UTC. Raises RemoteProtocolError when malformed.

    Only GMT is a SIP date (RFC 4475 3.1.2.12); whether the day of the week fits
    is not looked at.
    """
    match = _DATE.fullmatch(text)
    if match is not None:
        day, month, year, hour, minute, second = match.groups()
        try:
            # A leap second has no place in a datetime.
            return datetime(
                int(year),
                _MONTHS.index(month) + 1,
                int(day),
                int(hour),
                int(minute),
                min(int(second), 59) if second == "60" else int(second),
                tzinfo=UTC,
            )
        except ValueError:
            pass
    raise malformed(name, f"expected an RFC 1123 date in GMT, got {excerpt(text)!r}", section)


def format_date(moment: datetime | float) -> str:
    """Return ``moment`` (aware datetime, or seconds since 1970) as a SIP date."""
    when = datetime.fromtimestamp(moment, UTC) if isinstance(moment, int | float) else moment.astimezone(UTC)
    return (
        f"{_DAYS[when.weekday()]}, {when.day:02} {_MONTHS[when.month - 1]} {when.year:04} "
        f"{when.hour:02}:{when.minute:02}:{when.second:02} GMT"
    )

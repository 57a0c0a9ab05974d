"""The Date of a response (RFC 3261 20.17), written from a time given as an argument."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["sip_date"]

# RFC 3261 25.1: names are English and case-sensitive, so no locale may write them.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def sip_date(unix: float) -> str:
    """Return a SIP-date for ``unix``, seconds since 1970: ``Sat, 13 Nov 2010 23:29:00 GMT``."""
    t = datetime.fromtimestamp(int(unix), UTC)
    return (
        f"{_DAYS[t.weekday()]}, {t.day:02} {_MONTHS[t.month - 1]} {t.year:04} "
        f"{t.hour:02}:{t.minute:02}:{t.second:02} GMT"
    )

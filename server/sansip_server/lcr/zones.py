"""When the clocks of a time zone change: for the core, which reads no files.

Theory of operation: ``zoneinfo`` answers for one moment, so each day of some years is asked, and where two
days differ the moment between them is searched for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["clocks_of"]

_DAY = 86_400
# From 2020 to 2050.
_BEGIN, _END = 1_577_836_800, 2_524_608_000


@lru_cache(maxsize=64)
def clocks_of(name: str) -> tuple[tuple[int, int], ...]:
    """Return ((Unix time, seconds ahead of UTC from then on), …). Raises ``ValueError``: no such zone."""
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"a time zone of this machine, not {name!r:.40}") from None

    def ahead(unix: int) -> int:
        offset = datetime.fromtimestamp(unix, UTC).astimezone(zone).utcoffset()
        return 0 if offset is None else int(offset.total_seconds())

    before = ahead(_BEGIN)
    changes = [(_BEGIN, before)]
    for day in range(_BEGIN, _END, _DAY):
        after = ahead(day + _DAY)
        if after != before:
            low, high = day, day + _DAY
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if ahead(middle) == before else (low, middle)
            changes.append((high, after))
            before = after
    return tuple(changes)

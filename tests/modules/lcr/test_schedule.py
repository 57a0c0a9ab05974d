"""Weekly schedules hold by the clocks of their zone, over changes of these clocks and over midnight."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from sansip.modules.lcr.schedule import parse_schedule
from sansip_server.lcr.zones import clocks_of

ZONES = {"Europe/Berlin": clocks_of("Europe/Berlin")}


def holds(text: str, moment: str, zone: str = "Europe/Berlin") -> bool:
    at = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone))
    return parse_schedule(text, zone, ZONES).holds(at.timestamp())


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        # 2026-11-30 is a Monday.
        ("Mo-Fr 08:00-18:00", "2026-11-30T08:00", True),
        ("Mo-Fr 08:00-18:00", "2026-11-30T07:59:59", False),
        ("Mo-Fr 08:00-18:00", "2026-11-30T18:00", False),
        ("Mo-Fr 08:00-18:00", "2026-11-29T12:00", False),
        ("mo,WE,Fr 00:00-24:00", "2026-12-02T23:59", True),
        ("mo,WE,Fr 00:00-24:00", "2026-12-03T00:00", False),
        ("Fr-Mo 10:00-11:00", "2026-11-29T10:30", True),
        ("Fr-Mo 10:00-11:00", "2026-12-01T10:30", False),
        # Past midnight, and past the end of the week.
        ("Su 22:00-06:00", "2026-11-30T05:59", True),
        ("Su 22:00-06:00", "2026-11-30T06:00", False),
        ("Mo 08:00-09:00; Mo 10:00-11:00", "2026-11-30T09:30", False),
        # The clocks of Berlin went back on 2026-10-25 at 03:00, and forth on 2026-03-29 at 02:00.
        ("Su 03:00-04:00", "2026-10-25T03:30", True),
        ("Mo 08:00-09:00", "2026-10-26T08:30", True),
        ("Mo 08:00-09:00", "2026-03-30T08:30", True),
    ],
)
def test_holds(text: str, moment: str, expected: bool) -> None:
    assert holds(text, moment) is expected


def test_zones() -> None:
    """The default is that of the module, another stands behind @; the core asks nobody for UTC."""
    noon = datetime.fromisoformat("2026-11-30T12:00:00+00:00").timestamp()
    assert parse_schedule("Mo 12:00-13:00", "UTC", {}).holds(noon)
    assert parse_schedule("Mo 13:00-14:00 @Europe/Berlin", "UTC", ZONES).holds(noon)
    for unix in (-1e12, 0.0, 1e12):
        # A clock that is wrong is no error.
        parse_schedule("Mo 13:00-14:00 @Europe/Berlin", "UTC", ZONES).holds(unix)
    with pytest.raises(ValueError, match="time zone"):
        parse_schedule("Mo 13:00-14:00 @Mars/Olympus", "UTC", ZONES)


@pytest.mark.parametrize(
    "text", ["", "Mo", "Mo 8:00-9:00", "Xx 08:00-09:00", "Mo 08:60-09:00", "M 08:00-09:00"]
)
def test_wrong(text: str) -> None:
    """What was expected is shown by an example."""
    with pytest.raises(ValueError, match="Mo-Fr 08:00-18:00"):
        parse_schedule(text, "UTC", {})


def test_clocks() -> None:
    """They agree with the machine's own zones at every hour of two years."""
    zone = ZoneInfo("Europe/Berlin")
    schedule = parse_schedule("Mo-Su 00:00-24:00", "Europe/Berlin", ZONES)
    begin = 1_767_225_600
    for unix in range(begin, begin + 2 * 366 * 86_400, 3_600):
        ahead = [seconds for moment, seconds in schedule.changes if moment <= unix][-1]
        assert ahead == int((datetime.fromtimestamp(unix, zone).utcoffset() or 0).total_seconds())
    with pytest.raises(ValueError, match="time zone"):
        clocks_of("../../etc/passwd")

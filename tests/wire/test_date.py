"""Dates (RFC 3261 20.17)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.wire import format_date, parse_date


def test_the_rfc_example() -> None:
    """20.17"""
    moment = datetime(2010, 11, 13, 23, 29, 0, tzinfo=UTC)
    assert parse_date("Sat, 13 Nov 2010 23:29:00 GMT") == moment
    assert format_date(moment) == "Sat, 13 Nov 2010 23:29:00 GMT"
    assert format_date(moment.timestamp()) == format_date(moment)
    assert format_date(moment.astimezone(timezone(timedelta(hours=5)))) == format_date(moment)
    assert parse_date("Sat, 31 Dec 2016 23:59:60 GMT").second == 59


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Fri, 01 Jan 2010 16:00:00 EST",
        "Fri, 32 Jan 2010 16:00:00 GMT",
        "Fri, 01 Jan 2010 25:00:00 GMT",
        "Fri, 01 Jan 0000 16:00:00 GMT",
        "Fri,  01 Jan 2010 16:00:00 GMT",
        "fri, 01 Jan 2010 16:00:00 GMT",
        "Fri, 01 Jan 2010 16:00 GMT",
        "2010-01-01T16:00:00Z",
        "Fri, 01 Jan 2010 16:00:00 GMT GMT",
    ],
)
def test_malformed(text: str) -> None:
    """RFC 4475 3.1.2.12: only GMT is a SIP date."""
    with pytest.raises(RemoteProtocolError):
        parse_date(text)


@given(st.datetimes(timezones=st.just(UTC)))
def test_round_trip(moment: datetime) -> None:
    """The time comes back to the second."""
    assert parse_date(format_date(moment)) == moment.replace(microsecond=0)

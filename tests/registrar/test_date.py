"""SIP-date (RFC 3261 20.17, 25.1)."""

from __future__ import annotations

import pytest

from sansip.registrar.date import sip_date, unix_of


@pytest.mark.parametrize(
    ("unix", "text"),
    [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        # The example of 20.17.
        (1289690940, "Sat, 13 Nov 2010 23:29:00 GMT"),
        (1709164799.999, "Wed, 28 Feb 2024 23:59:59 GMT"),
        (1709164800, "Thu, 29 Feb 2024 00:00:00 GMT"),
    ],
)
def test_dates(unix, text):
    """Two digits for the day, English names, always GMT."""
    assert sip_date(unix) == text


@pytest.mark.parametrize("unix", [0.0, 951_782_400.0, 1_289_690_940.0, 4_102_444_799.0])
def test_read_as_written(unix: float) -> None:
    """What one server writes another one reads."""
    assert unix_of(sip_date(unix)) == unix


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "Sat, 31 Feb 2010 23:29:00 GMT", "Sat, 13 Nov 0000 23:29:00 GMT", "Sat, 13 Nov 2010"],
)
def test_no_date(text: str) -> None:
    """RFC 3261 25.1: anything else is no time, and no exception."""
    assert unix_of(text) is None

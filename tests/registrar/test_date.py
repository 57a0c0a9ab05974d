"""SIP-date (RFC 3261 20.17, 25.1)."""

from __future__ import annotations

import pytest

from sansip.registrar import sip_date


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

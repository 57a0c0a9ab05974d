"""Byte-Range (RFC 4975 7.1.1): a receiver writes at the place that it names."""

from __future__ import annotations

import pytest

from sansip.msrp import ByteRange, MsrpError


@pytest.mark.parametrize("text", ["1-39/39", "1-*/*", "1-0/0", "2049-*/100000000", "40-39/39"])
def test_read_and_written(text: str) -> None:
    """RFC 4975 7.1.1; an empty message is 1-0/0."""
    assert str(ByteRange.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "0-1/1", "1-2", "-1-2/3", "5-3/9", "1-10/9", "12-*/9", "1-1/1 ", "1-9999999999999999999/*"]
)
def test_refused(text: str) -> None:
    """A range that contradicts itself, and numbers that no message has."""
    with pytest.raises(MsrpError):
        ByteRange.parse(text)

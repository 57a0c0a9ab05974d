"""The fields of a REFER, read and written."""

from __future__ import annotations

import pytest

from sansip.ua.refer_to import status_of, wants_no_subscription
from sansip.wire import Request


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"SIP/2.0 200 OK\r\n", 200),
        (b"SIP/2.0 486 Busy Here\r\nTo: <sip:a@b>\r\n", 486),
        (b"SIP/2.0 180\r\n", 180),
        (b"SIP/2.0 700 No\r\n", None),
        (b"SIP/2.0 2000 OK\r\n", None),
        (b"INVITE sip:a@b SIP/2.0\r\n", None),
        (b"", None),
    ],
)
def test_status_of(body: bytes, status: int | None) -> None:
    """RFC 3515 2.4.5, RFC 3420 2.1: a fragment of a response begins with its status line."""
    assert status_of(Request.build("NOTIFY", "sip:a@b", [], body)) == status


@pytest.mark.parametrize(
    ("value", "wanted"), [("false", True), (" False;x=1", True), ("true", False), (None, False)]
)
def test_wants_no_subscription(value: str | None, wanted: bool) -> None:
    """RFC 4488 4."""
    fields = [] if value is None else [("Refer-Sub", value)]
    assert wants_no_subscription(Request.build("REFER", "sip:a@b", fields)) is wanted

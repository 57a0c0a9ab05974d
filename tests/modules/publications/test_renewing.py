"""What is read of a PUBLISH in brief; ``tests/routing/test_usages.py`` compares the answers."""

from __future__ import annotations

import pytest

from sansip.limits import Limits
from sansip.modules.publications.renewing import Renewal, read_renewal
from sansip.modules.publications.settings import PublicationsSettings
from sansip.wire.usage import read_usage


def read(more: str, body: str = "", to: str = "") -> Renewal | None:
    data = (
        "PUBLISH sip:bob@biloxi.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:bob@biloxi.test>;tag=a\r\nTo: <sip:bob@biloxi.test>{to}\r\n"
        f"Call-ID: a\r\nCSeq: 1 PUBLISH\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()
    usage = read_usage(data, Limits())
    assert usage is not None
    return read_renewal(usage, PublicationsSettings(size=100))


def test_a_refresh_and_a_modification() -> None:
    """RFC 3903 4.2, 4.3: the entity-tag names the publication."""
    plain = "Event: presence\r\nSIP-If-Match: abc\r\n"
    assert read(plain) == Renewal("presence", "abc", None, "")
    full = f"{plain}Expires: 60\r\nContact: <sip:bob@192.0.2.1>\r\nContent-Type: text/plain\r\n"
    assert read(full, "x") == Renewal("presence", "abc", 60, "text/plain")


@pytest.mark.parametrize(
    ("more", "body", "to"),
    [
        ("Event: presence\r\n", "", ""),
        ("SIP-If-Match: abc\r\n", "", ""),
        ("Event: presence;a=b\r\nSIP-If-Match: abc\r\n", "", ""),
        ("Event: presence\r\nSIP-If-Match: a b\r\n", "", ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\nExpires: x\r\n", "", ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\nContact: x\r\n", "", ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\nContent-Type: text/plain;charset=x\r\n", "", ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\n", "x" * 101, ""),
        ("Event: presence\r\nSIP-If-Match: abc\r\n", "", ";tag=b"),
    ],
)
def test_more_is_the_modules(more: str, body: str, to: str) -> None:
    """What is not plain, or too large, is looked at on the long way."""
    assert read(more, body, to) is None

"""MSRP URIs are read and compared as RFC 4975 6.1 says: a path is followed by comparing them."""

from __future__ import annotations

import pytest

from sansip.msrp import MsrpError, MsrpUri

BASE = "msrp://relay.example.com:2855/iau39;tcp"


def test_parts() -> None:
    """RFC 4975 6, 9."""
    uri = MsrpUri.parse("MSRPS://alice@Relay.Example.COM:9000/kjf+jan=/x;TCP;a=b;c")
    assert (uri.scheme, uri.host, uri.port) == ("msrps", "relay.example.com", 9000)
    assert (uri.session_id, uri.transport, uri.secure) == ("kjf+jan=/x", "tcp", True)
    assert MsrpUri.parse("msrps://alice@intra.example.com;tcp").port == 0


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("MSRP://RELAY.example.com:2855/iau39;TCP", True),
        # 6.1 item 2: userinfo does not count, nor do other parameters.
        ("msrp://bob@relay.example.com:2855/iau39;tcp;x=1", True),
        # 6.1 item 2: escapes of unreserved characters.
        ("msrp://rela%79.example.com:2855/iau39;tcp", True),
        # 6.1 items 1, 3, 4, 5.
        ("msrps://relay.example.com:2855/iau39;tcp", False),
        ("msrp://relay.example.com/iau39;tcp", False),
        ("msrp://relay.example.com:2856/iau39;tcp", False),
        ("msrp://relay.example.com:2855/IAU39;tcp", False),
        ("msrp://relay.example.com:2855;tcp", False),
        ("msrp://relay.example.com:2855/iau39;ws", False),
    ],
)
def test_comparison(other: str, same: bool) -> None:
    """RFC 4975 6.1."""
    assert (MsrpUri.parse(other).key == MsrpUri.parse(BASE).key) is same


def test_ipv6() -> None:
    """Two spellings of one address are the same host (RFC 4975 6.1 item 2)."""
    long, short = "msrp://[2001:DB8:0:0::1]:1/a;tcp", "msrp://[2001:db8::1]:1/a;tcp"
    assert MsrpUri.parse(long).key == MsrpUri.parse(short).key
    assert MsrpUri.write(True, "2001:db8::1", 1, "a") == "msrps://[2001:db8::1]:1/a;tcp"


@pytest.mark.parametrize(
    "text",
    [
        "", "sip:bob@example.com", "msrp://", "msrp://a.example.com:1/x", "msrp://a:99999/x;tcp",
        "msrp://a:1/x;tcp msrp://b:1/y;tcp", "msrp://a:1/\r\n;tcp", "msrp://[zz]:1/x;tcp", "msrp://[::1::]:1/x;tcp",
    ],
)  # fmt: skip
def test_none(text: str) -> None:
    """What is no URI is refused."""
    with pytest.raises(MsrpError):
        MsrpUri.parse(text)

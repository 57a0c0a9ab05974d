"""Source addresses: the values that a store may hold, and what we read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.location import Source, read_source
from sansip.transport.transports import TRANSPORTS


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("sip:192.0.2.1:5070", Source("udp", "192.0.2.1", 5070)),
        ("sip:192.0.2.1", Source("udp", "192.0.2.1", 5060)),
        ("sip:192.0.2.1:5070;transport=tcp", Source("tcp", "192.0.2.1", 5070)),
        # Kamailio writes it so.
        ("sip:192.0.2.1:5070;transport=TLS", Source("tls", "192.0.2.1", 5070)),
        ("sip:192.0.2.1:5070;x;Transport=ws;y=z", Source("ws", "192.0.2.1", 5070)),
        ("sip:[2001:db8::1]:5070", Source("udp", "2001:db8::1", 5070)),
        ("sip:[2001:db8::1]", Source("udp", "2001:db8::1", 5060)),
        ("sip:[::ffff:192.0.2.1]:5070", Source("udp", "192.0.2.1", 5070)),
        ("sip:[fe80::1%eth0]:5070", Source("udp", "fe80::1%eth0", 5070)),
        ("sip:example.com:5070", None),
        ("sip:192.0.2.1:5070;transport=ufo", None),
        ("sip:192.0.2.1:0", None),
        ("sip:192.0.2.1:65536", None),
        ("sip:192.0.2.1:x", None),
        ("sip:", None),
        ("", None),
    ],
)
def test_what_a_store_may_hold(text: str, source: Source | None) -> None:
    """Kamailio's column ``received`` included; what leads nowhere is no source."""
    assert read_source(text) == source


@given(st.text())
def test_nothing_is_raised(text: str) -> None:
    """It comes from a store that others may write."""
    read_source(text)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "fe80::1%eth0"])
def test_each_comes_back(transport: str, host: str) -> None:
    """A phone behind a NAT is called after a restart, too."""
    source = Source(transport, host, 40_000)
    assert read_source(str(source)) == source
    assert source.address == (host, 40_000)
    assert source.by_datagram is (transport == "udp")

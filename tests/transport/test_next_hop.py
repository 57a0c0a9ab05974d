"""RFC 3263 4 without its DNS part: what a URI itself says of the next hop."""

from __future__ import annotations

import pytest

from sansip.errors import RemoteProtocolError
from sansip.transport import next_hop
from sansip.wire import parse_uri


@pytest.mark.parametrize(
    ("uri", "hop"),
    [
        ("sip:bob@192.0.2.2", ("udp", "192.0.2.2", 5060, True, False)),
        ("sip:bob@192.0.2.2:5070", ("udp", "192.0.2.2", 5070, True, False)),
        ("sip:bob@192.0.2.2;transport=tcp", ("tcp", "192.0.2.2", 5060, True, True)),
        ("sip:bob@192.0.2.2;transport=UDP", ("udp", "192.0.2.2", 5060, True, True)),
        ("sip:bob@[2001:db8::2]", ("udp", "2001:db8::2", 5060, True, False)),
        ("sip:bob@phone.test", ("udp", "phone.test", 5060, False, False)),
        # RFC 3263 4.1 and RFC 3261 26.2.2
        ("sips:bob@192.0.2.2", ("tls", "192.0.2.2", 5061, True, False)),
        ("sips:bob@192.0.2.2;transport=tcp", ("tls", "192.0.2.2", 5061, True, True)),
        ("sips:bob@192.0.2.2;transport=udp", ("tls", "192.0.2.2", 5061, True, True)),
        ("sip:bob@192.0.2.2;transport=tls", ("tls", "192.0.2.2", 5061, True, True)),
        # RFC 7118 5
        ("sip:bob@192.0.2.2;transport=ws", ("ws", "192.0.2.2", 80, True, True)),
        ("sips:bob@192.0.2.2;transport=ws", ("wss", "192.0.2.2", 443, True, True)),
        ("sip:bob@192.0.2.2;transport=sctp", ("sctp", "192.0.2.2", 5060, True, True)),
        ("sips:bob@192.0.2.2:5061;transport=sctp", ("tls-sctp", "192.0.2.2", 5061, True, True)),
        # RFC 3261 19.1.1
        ("sip:bob@phone.test;maddr=192.0.2.9", ("udp", "192.0.2.9", 5060, True, False)),
        ("sip:bob@192.0.2.2;maddr=PHONE.test", ("udp", "phone.test", 5060, False, False)),
        ("sip:bob@phone.test;maddr=[2001:db8::9]", ("udp", "2001:db8::9", 5060, True, False)),
    ],
)
def test_what_the_uri_says(uri: str, hop: tuple[str, str, int, bool, bool]) -> None:
    """Transport, host, port, whether it is an address, and whether the URI chose the transport."""
    found = next_hop(parse_uri(uri))
    assert (found.transport, found.host, found.port, found.numeric, found.explicit) == hop


@pytest.mark.parametrize("uri", ["tel:+15551234", "mailto:bob@biloxi.test"])
def test_schemes_that_name_no_host(uri: str) -> None:
    """21.4.14."""
    with pytest.raises(RemoteProtocolError) as caught:
        next_hop(parse_uri(uri))
    assert caught.value.status == 416


@pytest.mark.parametrize(
    "uri",
    [
        "sip:bob@192.0.2.2;transport=pigeon",
        # RFC 4168 4: TLS-SCTP is another transport, and plain SCTP would not be what sips asks for.
        "sips:bob@192.0.2.2;transport=sctp",
        "sip:bob@192.0.2.2;transport=tls-sctp",
    ],
)
def test_a_transport_without_a_default_port(uri: str) -> None:
    """A transport without a default port: with a port in the URI, the owner of that listener decides."""
    with pytest.raises(RemoteProtocolError) as caught:
        next_hop(parse_uri(uri))
    assert caught.value.status == 503


@pytest.mark.parametrize("maddr", ["a!b", "1.2.3.4.5", "300.1.1.1", "1.2.3"])
def test_an_maddr_that_is_no_address_is_a_name(maddr: str) -> None:
    """It is for the resolver of names to say that there is none."""
    assert next_hop(parse_uri(f"sip:bob@phone.test;maddr={maddr}")).numeric is False

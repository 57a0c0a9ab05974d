"""Our own addresses: those that we send from, and those that name us (RFC 3261 16.4, 18.1.1, 18.1.2)."""

from __future__ import annotations

import pytest

from sansip.transport import Listener, Listeners

LISTENERS = Listeners(
    [
        Listener(1, "udp", "192.0.2.10", 5060),
        Listener(2, "udp", "198.51.100.10", 5060),
        Listener(3, "tcp", "198.51.100.10", 5060),
        Listener(4, "tcp", "192.0.2.10", 5060),
        Listener(5, "udp", "2001:db8::10", 5060),
        Listener(6, "udp", "10.0.0.10", 5070, "Public.Example.COM", 5999),
    ],
    ["Biloxi.test", "[2001:db8::99]"],
)


@pytest.mark.parametrize(
    ("transport", "ip", "prefer", "chosen"),
    [
        ("udp", "203.0.113.1", None, 1),
        # RFC 3581's reason: a call stays on the interface that it came by
        ("udp", "203.0.113.1", 2, 2),
        ("tcp", "203.0.113.1", 2, 3),
        ("tcp", "203.0.113.1", 1, 4),
        ("udp", "2001:db8::1", 1, 5),
        ("tcp", "2001:db8::1", 1, None),
        ("tls", "203.0.113.1", 1, None),
    ],
)
def test_reach(transport: str, ip: str, prefer: int | None, chosen: int | None) -> None:
    """A listener of the transport and family; of several the one preferred, or its interface."""
    found = LISTENERS.reach(transport, ip, prefer)
    assert (None if found is None else found.id) == chosen


@pytest.mark.parametrize(
    ("host", "port", "own"),
    [
        ("192.0.2.10", 5060, True),
        ("192.0.2.10", None, True),
        ("192.0.2.10", 5070, False),
        ("2001:db8::10", 5060, True),
        ("2001:db8:0:0::10", 5060, True),
        ("10.0.0.10", 5070, True),
        ("10.0.0.10", 5060, False),
        ("public.example.com", 5999, True),
        ("public.example.com", None, False),
        ("biloxi.test", None, True),
        ("biloxi.test", 5060, True),
        ("biloxi.test", 4444, False),
        ("2001:db8::99", None, True),
        ("other.test", None, False),
    ],
)
def test_is_own_address(host: str, port: int | None, own: bool) -> None:
    """An address and port of ours, bound or advertised, or a domain, however IPv6 is spelt."""
    assert LISTENERS.is_own_address(host, port) is own


@pytest.mark.parametrize(
    ("host", "port", "served"),
    [
        ("biloxi.test", None, True),
        ("biloxi.test", 5070, True),
        ("192.0.2.10", None, True),
        ("192.0.2.10", 5060, True),
        ("192.0.2.10", 5070, False),
        ("192.0.2.99", None, False),
        ("2001:db8:0::10", None, True),
    ],
)
def test_serves(host: str, port: int | None, served: bool) -> None:
    """16.5: addresses-of-record in a domain, or at an address of ours."""
    assert LISTENERS.serves(host, port) is served


@pytest.mark.parametrize(
    ("sent_by", "own"),
    [
        ("192.0.2.10:5060", True),
        ("[2001:db8::10]:5060", True),
        ("public.example.com:5999", True),
        ("10.0.0.10:5070", False),
        ("192.0.2.10", False),
        ("192.0.2.11:5060", False),
    ],
)
def test_is_own_sent_by(sent_by: str, own: bool) -> None:
    """18.1.2: a value that the client transport is configured to insert, and no other."""
    assert LISTENERS.is_own_sent_by(sent_by) is own


def test_what_peers_read() -> None:
    """IPv6 in brackets; the advertised name in lower case, for that is how it is compared."""
    lines = {listener.id: listener.via for listener in LISTENERS}
    assert lines[1] == "Via: SIP/2.0/UDP 192.0.2.10:5060"
    assert lines[3] == "Via: SIP/2.0/TCP 198.51.100.10:5060"
    assert lines[5] == "Via: SIP/2.0/UDP [2001:db8::10]:5060"
    assert lines[6] == "Via: SIP/2.0/UDP public.example.com:5999"
    assert LISTENERS[3].record_route == "Record-Route: <sip:198.51.100.10:5060;transport=tcp;lr"
    assert str(LISTENERS[5]) == "udp:[2001:db8::10]:5060"
    assert LISTENERS.transports == {"udp", "tcp"}


@pytest.mark.parametrize(
    ("value", "number", "leads"),
    [
        ("<sip:192.0.2.10;lr>", 1, True),
        ("<sip:192.0.2.10:5060;transport=udp;lr>", 1, True),
        ("<sip:192.0.2.10;transport=tcp;lr>", 4, True),
        ("<sip:192.0.2.10:5060;lr;transport=TCP>", 4, True),
        # It is the UDP listener that these name (RFC 3263 4.1), and another host.
        ("<sip:192.0.2.10;lr>", 4, False),
        ("<sip:192.0.2.10;transport=udp;lr>", 4, False),
        ("<sip:192.0.2.10;transport=tcp;lr>", 1, False),
        ("<sip:192.0.2.10;transport=tls;lr>", 4, False),
        ("<sip:198.51.100.10;transport=tcp;lr>", 4, False),
        ("<sip:192.0.2.10;transport=tcp>", 4, False),
        ("<sip:192.0.2.10;transport=tcp;lr>, <sip:192.0.2.7;lr>", 4, False),
    ],
)
def test_an_outbound_proxy_in_route(value: str, number: int, leads: bool) -> None:
    """RFC 3261 16.4: a phone's outbound proxy is this server, by the transport that it uses."""
    assert LISTENERS.leads_here(f"Route: {value}", number) is leads

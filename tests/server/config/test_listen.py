"""Listener addresses: every form an operator writes, and a sentence for every slip."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip_server.config.listen import (
    DEFAULT_LISTEN,
    ListenAddress,
    check_domain,
    check_origin,
    check_path,
    parse_listen,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("udp:127.0.0.1:5060", ListenAddress("udp", "127.0.0.1", 5060)),
        ("TCP:127.0.0.1:5070", ListenAddress("tcp", "127.0.0.1", 5070)),
        ("udp:127.0.0.1", ListenAddress("udp", "127.0.0.1", 5060)),
        ("tls:127.0.0.1", ListenAddress("tls", "127.0.0.1", 5061)),
        ("ws:127.0.0.1", ListenAddress("ws", "127.0.0.1", 80)),
        ("wss:[::1]", ListenAddress("wss", "::1", 443)),
        ("udp:127.0.0.1:0", ListenAddress("udp", "127.0.0.1", 0)),
        ("udp:localhost:5062", ListenAddress("udp", "127.0.0.1", 5062)),
        ("udp:[::1]:5060", ListenAddress("udp", "::1", 5060)),
        ("tcp:[2001:DB8:0::1]", ListenAddress("tcp", "2001:db8::1", 5060)),
        ("tcp:2001:db8::1", ListenAddress("tcp", "2001:db8::1", 5060)),
        (
            "udp:10.0.0.1:5060 advertise 203.0.113.5:5062",
            ListenAddress("udp", "10.0.0.1", 5060, "203.0.113.5", 5062),
        ),
        (
            "udp:10.0.0.1:5070 advertise SIP.example.org",
            ListenAddress("udp", "10.0.0.1", 5070, "sip.example.org", 5070),
        ),
        ("tcp:[::1]:5060 advertise [2001:db8::5]", ListenAddress("tcp", "::1", 5060, "2001:db8::5", 5060)),
        ("tcp+TLS+ws+wss:127.0.0.1", ListenAddress("tcp+tls+ws+wss", "127.0.0.1", 5060)),
        ("sctp:[2001:db8::1]", ListenAddress("sctp", "2001:db8::1", 5060)),
        ("tls+wss:127.0.0.1", ListenAddress("tls+wss", "127.0.0.1", 5061)),
        (
            "tcp:127.0.0.1:5060 proxy_protocol 10.0.0.7,10.1.0.0/16,2001:db8::/32",
            ListenAddress("tcp", "127.0.0.1", 5060, proxies=("10.0.0.7/32", "10.1.0.0/16", "2001:db8::/32")),
        ),
        (
            "tcp+tls:10.0.0.1:5060 proxy_protocol 10.0.0.7 advertise sip.example.org",
            ListenAddress("tcp+tls", "10.0.0.1", 5060, "sip.example.org", 5060, ("10.0.0.7/32",)),
        ),
    ],
)
def test_understood(text: str, expected: ListenAddress) -> None:
    """The forms in the documentation, and the forms that people type anyway."""
    assert parse_listen(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected transport:host:port"),
        ("127.0.0.1:5060", "expected transport:host:port"),
        ("udp", "expected transport:host:port"),
        ("tls-sctp:127.0.0.1:5060", "TLS over SCTP is not spoken here"),
        ("tcp+sctp:127.0.0.1:5060", "a port is shared by different ones of tcp, tls, ws and wss"),
        ("udp:sip.example.org:5060", "a socket is bound to an address, not a name"),
        ("udp:[::1:5060", "never closed"),
        ("udp:[127.0.0.1]:5060", "only IPv6 addresses stand in brackets"),
        ("udp:[::1]5060", "expected a port after [::1]"),
        ("udp:127.0.0.1:", "nothing is no port"),
        ("udp:127.0.0.1:70000", "70000 is no port"),
        ("udp:127.0.0.1:-1", "-1 is no port"),
        ("udp:127.0.0.1:٥", "is no port"),
        ("udp::5060", "nothing is no IP address"),
        ("udp:[fe80::1%eth0]:5060", "zone"),
        ("udp:10.0.0.1:5060 advertise ", "`advertise host:port`"),
        ("udp:10.0.0.1:5060 announce 1.2.3.4", "`advertise host:port`"),
        ("udp:10.0.0.1:5060 advertise a_b", "neither an IP address nor a host name"),
        ("udp:10.0.0.1:5060 advertise 1.2.3.4:0", "cannot be 0"),
        ("tcp+udp:127.0.0.1:5060", "a port is shared by different ones of"),
        ("tcp+tcp:127.0.0.1:5060", "a port is shared by different ones of"),
        ("tcp+:127.0.0.1:5060", "expected transport:host:port"),
        ("udp:10.0.0.1 proxy_protocol 10.0.0.7", "udp has no connection to announce"),
        ("tcp:10.0.0.1 proxy_protocol 10.0.0.7/8", "has host bits set"),
        ("tcp:10.0.0.1 proxy_protocol balancer", "expected addresses or networks"),
        ("tcp:10.0.0.1 proxy_protocol", "`proxy_protocol address,network`"),
        ("tcp:10.0.0.1 advertise a.example advertise b.example", "`advertise host:port`"),
    ],
)
def test_refused_with_a_reason(text: str, says: str) -> None:
    """The sentence is all that the operator sees, so it has to name the slip."""
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_listen(text)


@given(st.text())
def test_any_text_is_understood_or_refused(text: str) -> None:
    """Each text is accepted or refused in one way, and the printed form of an accepted one is accepted."""
    try:
        listener = parse_listen(text)
    except ValueError:
        return
    if listener.advertise_host is None and not listener.proxies:
        assert parse_listen(str(listener)) == listener


def test_default_listeners_are_loopback() -> None:
    """Open registration by default is tolerable only because no other machine can reach it."""
    listeners = [parse_listen(text) for text in DEFAULT_LISTEN]
    assert [listener.loopback for listener in listeners] == [True] * 4
    assert {(listener.transport, listener.ipv6) for listener in listeners} == {
        ("udp", False),
        ("tcp", False),
        ("udp", True),
        ("tcp", True),
    }


def test_behind_a_proxy_is_not_loopback() -> None:
    """All clients of the load balancer reach a loopback listener behind it."""
    assert not parse_listen("tcp:127.0.0.1:5060 proxy_protocol 127.0.0.1").loopback


@pytest.mark.parametrize("text", ["0.0.0.0", "[::]"])
def test_a_wildcard_is_not_loopback(text: str) -> None:
    """Everybody reaches a wildcard listener; taking it for loopback would open the door."""
    listener = parse_listen(f"udp:{text}:5060")
    assert listener.wildcard
    assert not listener.loopback


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_domain(text: str, expected: str) -> None:
    """Domains are compared as the Request-URI's host is: lower case, no brackets, no final dot."""
    assert check_domain(text) == expected


@pytest.mark.parametrize(
    "text", ["", "sip:example.org", "example.org:5060", "a b", "-x", "1.2.3.4.5", "é.org"]
)
def test_domain_refused(text: str) -> None:
    """A scheme or a port would make the domain match nothing, silently."""
    with pytest.raises(ValueError, match="expected a domain name"):
        check_domain(text)


def test_origins_and_paths() -> None:
    """The values that a browser and an HTTP request can send, and nothing else (RFC 6454 6.2)."""
    assert check_origin("https://phone.example.org:8443") == "https://phone.example.org:8443"
    assert check_path("/ws") == "/ws"
    for text in ("phone.example.org", "ftp://x", "https://", "https://x/page"):
        with pytest.raises(ValueError, match="expected an origin"):
            check_origin(text)
    for text in ("ws", "", "/ws?x=1"):
        with pytest.raises(ValueError, match="expected a path"):
            check_path(text)

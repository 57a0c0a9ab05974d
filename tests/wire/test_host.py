"""Host names and addresses, checked against the ipaddress module."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.wire.host import (
    host_key,
    host_text,
    ipv4_octets,
    ipv6_octets,
    is_address,
    parse_host,
    plain_host,
    same_host,
    split_host_port,
)


@given(st.text("0123456789abF:.", max_size=45))
def test_ipv6_is_what_rfc_3986_says(text: str) -> None:
    """RFC 5954 4.1; the standard library follows the same grammar."""
    try:
        expected = ipaddress.IPv6Address(text).packed
    except ValueError:
        expected = None
    # The one tolerated mistake (RFC 5118 4.10) is tested below.
    if ":::" not in text:
        assert ipv6_octets(text) == expected


@given(st.ip_addresses(v=6), st.booleans())
def test_ipv6_in_both_spellings(address: ipaddress.IPv6Address, long: bool) -> None:
    """Compressed or exploded, the octets are the same."""
    text = address.exploded if long else address.compressed
    assert ipv6_octets(text) == address.packed
    assert host_key(text) == host_key(address.exploded.upper())


@given(st.text("0123456789.", max_size=16))
def test_ipv4_is_what_rfc_3986_says(text: str) -> None:
    """RFC 5954 4.1: four octets up to 255 without leading zeros."""
    try:
        expected = ipaddress.IPv4Address(text).packed
    except ValueError:
        expected = None
    assert ipv4_octets(text) == expected


def test_extra_colon() -> None:
    """RFC 5118 4.10, and nothing beyond that form."""
    assert ipv6_octets("2001:db8:::192.0.2.1") == ipv6_octets("2001:db8::192.0.2.1")
    for text in (
        "2001:db8:::1",
        ":::",
        "::::1.2.3.4",
        "1:::2:1.2.3.4",
        "1.2.3.4::1",
        "::1.2.3.4.5",
        "0" * 46,
    ):
        assert ipv6_octets(text) is None, text
    assert parse_host("[2001:db8:::192.0.2.1]") == "2001:db8::192.0.2.1"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com."),
        ("localhost", "localhost"),
        ("a-b.c-d", "a-b.c-d"),
        ("1.2.3.bar.qwe-asd.foo", "1.2.3.bar.qwe-asd.foo"),
        ("pbx_1.internal", "pbx_1.internal"),
        ("[2001:DB8::1]", "2001:db8::1"),
        ("[::ffff:192.0.2.1]", "::ffff:192.0.2.1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_hosts(text: str, host: str) -> None:
    """In lower case and without brackets."""
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a.-b",
        "1.2.3.444",
        "1.2.3",
        "256.1.1.1",
        "010.1.1.1",
        "::1",
        "[::1",
        "[]",
        "[1.2.3.4]",
        "[::g]",
        "[fe80::1%eth0]",
        "ex ample.com",
        "iñaki.com",
        "a.1",
        "host:5060",
        "a\n",
    ],
)
def test_no_hosts(text: str) -> None:
    """RFC 3261 25.1: a top label begins with a letter, labels begin and end with letters or digits."""
    assert parse_host(text) is None


def test_host_and_port() -> None:
    """The port is the last colon's outside brackets (RFC 5118 4.3)."""
    assert split_host_port("h:5060") == ("h", 5060)
    assert split_host_port("[2001:db8::10:5070]") == ("2001:db8::10:5070", None)
    assert split_host_port("[2001:db8::10]:5070") == ("2001:db8::10", 5070)
    for text in ("h:", "h:x", "h:65536", "h:1:2", "2001:db8::1", "h:" + "9" * 5000, ":5060", "h:٣"):
        assert split_host_port(text) is None, text


def test_text_of_hosts() -> None:
    """IPv6 gets its brackets back."""
    assert host_text("::1", 5060) == "[::1]:5060"
    assert host_text("::1") == "[::1]"
    assert host_text("h", 0) == "h:0"


def test_addresses_and_names() -> None:
    """RFC 5954 4.2: spelling does not matter for addresses; names have no case."""
    assert is_address("192.0.2.1")
    assert is_address("::1")
    assert not is_address("a.example")
    assert not is_address("a:b")
    assert host_key("EXAMPLE.com") == host_key("example.COM")
    assert host_key("a:b") == "a:b"


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("2001:db8::10", "2001:db8::10"),
        ("2001:DB8:0:0:0:0:0:10", "2001:db8::10"),
        ("2001:0db8::0010", "2001:db8::10"),
        ("2001:db8:::192.0.2.1".replace(":::", "::"), "2001:db8::c000:201"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:C000:0201", "192.0.2.1"),
        ("0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1"),
        ("0::0:1", "::1"),
        ("biloxi.test.", "biloxi.test"),
        ("192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
    ],
)
def test_one_spelling(host: str, plain: str) -> None:
    """RFC 5118 4.8, 4.9, RFC 5952 4: one host has one text, that of the source of its packets."""
    assert plain_host(host) == plain
    assert host.endswith(".") or same_host(host, plain)


@pytest.mark.parametrize(
    ("one", "other"),
    [("::1", "::2"), ("::ffff:192.0.2.1", "192.0.2.2"), ("::192.0.2.1", "192.0.2.1"), ("a", "b")],
)
def test_hosts_that_are_not_the_same(one: str, other: str) -> None:
    assert not same_host(one, other)

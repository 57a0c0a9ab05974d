"""The values that ``uri`` may have beside the Request-URI itself (RFC 7616 3.4.6, RFC 8760 2.6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.auth import designates
from sansip.wire import parse_uri

OURS = {"biloxi.test", "example.test", "192.0.2.10", "2001:db8::10"}


def fits(text: str, method: str, uri: str) -> bool:
    return designates(text, method, parse_uri(uri), lambda host, port: host in OURS)


@pytest.mark.parametrize(
    ("text", "method", "uri"),
    [
        ("sip:bob@biloxi.test", "INVITE", "sip:bob@biloxi.test"),
        # A phone, or a proxy on the way, writes parameters into one of the two alone.
        ("sip:bob@biloxi.test;transport=tcp", "INVITE", "sip:bob@biloxi.test"),
        ("sip:bob@biloxi.test", "INVITE", "sip:bob@biloxi.test;user=phone;transport=udp"),
        ("sip:bob:secret@biloxi.test", "INVITE", "sip:bob@BILOXI.test"),
        ("sip:%62ob@biloxi.test", "INVITE", "sip:bob@biloxi.test"),
        # A port that the scheme has anyway, and any port of ours: a NAT maps it.
        ("sip:bob@chicago.test", "INVITE", "sip:bob@chicago.test:5060"),
        ("sip:bob@biloxi.test:6060", "INVITE", "sip:bob@biloxi.test"),
        # RFC 3261 16.4: what led here was taken off.
        ("sip:bob@biloxi.test;maddr=192.0.2.10", "INVITE", "sip:bob@biloxi.test"),
        ("sip:192.0.2.10;maddr=[2001:DB8::10]", "INVITE", "sip:bob@biloxi.test"),
        # Names of this server: a proxy in front translates.
        ("sip:bob@192.0.2.10", "INVITE", "sip:bob@biloxi.test"),
        ("sip:bob@biloxi.test", "INVITE", "sip:bob@[2001:db8::10]:5060"),
        # RFC 3261 19.1.6
        ("tel:+1-212-555-0101", "INVITE", "sip:+12125550101@biloxi.test;user=phone"),
        ("sip:+12125550101@biloxi.test", "INVITE", "tel:+1(212)5550101"),
        ("tel:7042;phone-context=Example.com", "INVITE", "sip:7042;phone-context=example.com@biloxi.test"),
        # SIPp hashes the server's address, pyVoIP the server's name, whatever they call.
        ("sip:192.0.2.10:5060", "INVITE", "sip:bob@biloxi.test"),
        ("sip:biloxi.test;transport=UDP", "INVITE", "sip:bob@biloxi.test"),
        ("sip:biloxi.test", "INVITE", "sip:bob@chicago.test"),
        # RFC 3261 10.2: the Request-URI of a REGISTER has no user; some phones hash theirs.
        ("sip:alice@biloxi.test", "REGISTER", "sip:biloxi.test"),
        ("sip:alice@192.0.2.10:5060", "REGISTER", "sip:biloxi.test"),
        ("urn:service:sos", "INVITE", "urn:service:sos"),
    ],
)
def test_honest_phones(text: str, method: str, uri: str) -> None:
    assert fits(text, method, uri)


@pytest.mark.parametrize(
    ("text", "method", "uri"),
    [
        # The attack: a call for bob is sent to a number that costs money.
        ("sip:bob@biloxi.test", "INVITE", "sip:+900123456@biloxi.test"),
        ("sip:bob@biloxi.test", "INVITE", "sip:bob@evil.test"),
        ("sip:bob@biloxi.test", "INVITE", "tel:+900123456"),
        ("tel:+12125550101", "INVITE", "sip:+12125550101@evil.test"),
        ("tel:7042;phone-context=a.test", "INVITE", "sip:7042@biloxi.test"),
        ("sip:bob@chicago.test", "INVITE", "sip:bob@chicago.test:6060"),
        ("sip:bob@chicago.test", "INVITE", "sip:bob@chicago.test;maddr=192.0.2.66"),
        ("sip:bob@biloxi.test", "INVITE", "sip:bob@biloxi.test;maddr=192.0.2.66"),
        ("sip:biloxi.test;maddr=192.0.2.66", "INVITE", "sip:bob@biloxi.test"),
        ("sips:bob@biloxi.test", "INVITE", "sip:bob@biloxi.test"),
        ("sip:Bob@biloxi.test", "INVITE", "sip:bob@biloxi.test"),
        ("sip:bob@biloxi.test", "INVITE", "sip:biloxi.test"),
        ("sip:evil.test", "REGISTER", "sip:biloxi.test"),
        ("sip:alice@evil.test", "REGISTER", "sip:biloxi.test"),
        ("*", "REGISTER", "sip:biloxi.test"),
        ("", "REGISTER", "sip:biloxi.test"),
        ("bob", "INVITE", "sip:bob@biloxi.test"),
        ("urn:service:sos", "INVITE", "sip:sos@biloxi.test"),
        ("http://biloxi.test", "INVITE", "sip:bob@biloxi.test"),
    ],
)
def test_attacks(text: str, method: str, uri: str) -> None:
    assert not fits(text, method, uri)


@given(st.text(max_size=80), st.sampled_from(["sip:bob@biloxi.test", "tel:+1", "urn:x:y", "sip:biloxi.test"]))
def test_any_text(text: str, uri: str) -> None:
    """A stranger writes it: a verdict, and no exception."""
    assert fits(text, "INVITE", uri) in (True, False)

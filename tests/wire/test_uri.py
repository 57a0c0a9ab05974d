"""SIP and SIPS URIs, and the others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import LocalProtocolError, RemoteProtocolError
from sansip.wire import OtherUri, SipUri, TelUri, escape_user, parse_uri, unescape


def sip(text: str) -> SipUri:
    uri = parse_uri(text)
    assert isinstance(uri, SipUri)
    return uri


def test_parts() -> None:
    """RFC 3261 19.1.1: every part, raw where the wire has it raw."""
    uri = sip("SIP:%61lice:se%63ret@Example.COM:05060;Transport=TCP;lr;x=%41?Subject=a%20b&x=")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == (
        "sip",
        "%61lice",
        "se%63ret",
        "example.com",
        5060,
    )
    assert uri.user_decoded == "alice"
    assert uri.params == {"transport": "TCP", "lr": None, "x": "%41"}
    assert uri.headers == [("Subject", "a%20b"), ("x", "")]
    assert uri.transport == "tcp"
    assert uri.is_loose_router
    assert uri.host_port == "example.com:5060"
    assert str(uri).startswith("SIP:%61lice")


def test_absent_parts() -> None:
    """None, not empty."""
    uri = sip("sip:h")
    assert (uri.user, uri.password, uri.port, uri.transport) == (None, None, None, None)
    assert uri.params == {}
    assert uri.headers == []
    assert not uri.is_loose_router
    assert sip("sip:a:@h").password == ""


def test_escaped_parameter_name() -> None:
    """RFC 4475 3.1.1.3: %6C%72 is lr."""
    assert sip("sip:h;%6C%72").is_loose_router
    with pytest.raises(RemoteProtocolError):
        parse_uri("sip:h;lr;%6C%72")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sip:", "not a URI"),
        ("sip:@h", "user"),
        ("sip:a@", "host"),
        ("sip:a@b@c", "user"),
        ("sip:a b@h", "not a URI"),
        ("sip:h:", "host or port"),
        ("sip:h:65536", "host or port"),
        ("sip:[::1", "host"),
        ("sip:[::1]x", "host or port"),
        ("sip:[1::2::3]", "IPv6"),
        ("sip:h;", "parameters"),
        ("sip:h;a=", "parameters"),
        ("sip:h;a;A", "more than once"),
        ("sip:h;a;b;a=1", "more than once"),
        ("sip:h?", "headers"),
        ("sip:h?a", "headers"),
        ("sip:%4@h", "user"),
        ("sip:é@h", "not a URI"),
        ("sip:<a>@h", "not a URI"),
        ("", "not a URI"),
        (":h", "not a URI"),
        ("1sip:h", "not a URI"),
        ("sip:h\n", "not a URI"),
    ],
)
def test_malformed(text: str, said: str) -> None:
    """The reason says which part is wrong."""
    with pytest.raises(RemoteProtocolError, match=said) as caught:
        parse_uri(text)
    assert caught.value.status == 400


def test_other_schemes() -> None:
    """RFC 3261 25.1: absoluteURI is opaque here, and 416 is decided above."""
    uri = parse_uri("Soap.Beep://192.0.2.103:3002")
    assert isinstance(uri, OtherUri)
    assert (uri.scheme, uri.opaque, str(uri)) == (
        "soap.beep",
        "//192.0.2.103:3002",
        "Soap.Beep://192.0.2.103:3002",
    )
    assert isinstance(parse_uri("tel:+1"), TelUri)
    assert repr(uri) == "<OtherUri Soap.Beep://192.0.2.103:3002>"
    assert str(OtherUri("urn", "service:sos")) == "urn:service:sos"


def test_replace() -> None:
    """Parts change one by one; None removes."""
    uri = sip("sip:a:p@h:5060;lr;x=1?s=1")
    assert str(uri.replace(host="::1")) == "sip:a:p@[::1]:5060;lr;x=1?s=1"
    assert str(uri.replace(port=None, params={}, headers=())) == "sip:a:p@h"
    assert str(uri.replace(user=None)) == "sip:h:5060;lr;x=1?s=1"
    assert str(uri.replace(password=None, scheme="sips")) == "sips:a@h:5060;lr;x=1?s=1"
    assert repr(uri) == "<SipUri sip:a:p@h:5060;lr;x=1?s=1>"


@pytest.mark.parametrize(
    "parts",
    [
        {"host": "h h"},
        {"host": "h;lr"},
        {"host": "a@h"},
        {"host": "h", "user": "a@b"},
        {"host": "h", "user": ""},
        {"host": "h", "user": "a b"},
        {"host": "h", "port": 65536},
        {"host": "h", "params": {"a;b": None}},
        {"host": "h", "params": {"a": "b;c"}},
        {"host": "h", "params": {"a": None, "A": None}},
        {"host": "h", "headers": [("a", "b&c=d"), ("x y", "")]},
        {"host": "h\r\nEvil: 1"},
        {"host": "h", "scheme": "tel"},
    ],
)
def test_what_cannot_be_built(parts: dict[str, object]) -> None:
    """A part that would move into another one, or is no part at all, is the caller's mistake."""
    with pytest.raises(LocalProtocolError):
        SipUri.build(**parts)


@given(st.text())
def test_any_user_can_be_escaped(text: str) -> None:
    """RFC 3261 19.1.2: escaping and unescaping are inverse, and give a legal user."""
    octets = text.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
    user = escape_user(octets)
    assert unescape(user) == octets
    if user:
        assert sip(f"sip:{user}@h").user_decoded == octets


@given(st.text(max_size=60))
def test_any_text(text: str) -> None:
    """Any text is a URI that keeps its text, or a RemoteProtocolError."""
    for candidate in (text, f"sip:{text}", f"sips:a@{text}", f"sip:h{text}", f"tel:{text}"):
        try:
            uri = parse_uri(candidate)
        except RemoteProtocolError:
            continue
        assert str(uri) == candidate


def test_unescape_leaves_other_percents() -> None:
    """%HH only; octets that are no UTF-8 survive."""
    assert unescape("a%zz%4") == "a%zz%4"
    assert unescape("%C3%A9") == "é"
    assert unescape("%FF") == "\udcff"
    assert unescape("%2541") == "%41"

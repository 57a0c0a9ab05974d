"""When URIs are the same: RFC 3261 19.1.4, RFC 5954 4.2, RFC 3966 4."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.wire import aor_of, parse_uri, uri_equal, uri_key

EQUAL = [
    # RFC 5954 4.2
    ("sip:bob@[::ffff:192.0.2.128]", "sip:bob@[::ffff:c000:280]"),
    ("sip:bob@[2001:db8::9:1]", "sip:bob@[2001:db8::9:01]"),
    ("sip:bob@[0:0:0:0:0:FFFF:129.144.52.38]", "sip:bob@[::FFFF:129.144.52.38]"),
    # RFC 3261 19.1.4
    ("sip:a@h;x=1", "sip:a@h"),
    ("sip:a@h;lr", "sip:a@h"),
    ("sip:a@h;x=%41", "sip:a@h;X=a"),
    ("sip:a:p%61ss@h", "sip:a:pass@h"),
    ("sip:a%3bb@h", "sip:a%3Bb@h"),
    ("sip:a@h?a=1&b=2&a=3", "sip:a@h?b=2&a=3&a=1"),
    ("sip:a@h;transport=UDP", "sip:a@h;transport=udp"),
    # RFC 3966 4
    ("tel:+1-201-555-0123", "tel:+12015550123"),
    ("tel:+1;ext=1-2;x=A;y", "tel:+1;y;X=a;EXT=12"),
    ("tel:A1;phone-context=EXAMPLE.com", "tel:a1;phone-context=example.com"),
    # others, with the scheme in any case
    ("URN:x:y", "urn:x:y"),
]
DIFFERENT = [
    ("sip:a@h", "sips:a@h"),
    ("sip:a@h", "sip:A@h"),
    ("sip:a@h", "sip:h"),
    ("sip:a@h", "sip:a:p@h"),
    ("sip:a:p@h", "sip:a:P@h"),
    ("sip:a@h;user=phone", "sip:a@h"),
    ("sip:a@h;ttl=1", "sip:a@h"),
    ("sip:a@h;method=INVITE", "sip:a@h"),
    ("sip:a@h;maddr=1.2.3.4", "sip:a@h"),
    ("sip:a@h;transport=udp", "sip:a@h"),
    ("sip:a@h;lr", "sip:a@h;lr=on"),
    # A reserved character is not its escape.
    ("sip:a;b@h", "sip:a%3Bb@h"),
    ("sip:a%25b@h", "sip:a%26b@h"),
    ("sip:%C3%A9@h", "sip:%C3%A8@h"),
    ("sip:a@h?x=1", "sip:a@h?x=1&x=1"),
    ("tel:+1", "tel:1;phone-context=+1"),
    ("tel:+1;x=1", "tel:+1"),
    ("tel:+1;x=1", "tel:+1;x"),
    ("tel:+1;x=1", "tel:+1;x=2"),
    ("tel:+1", "sip:+1@h"),
    ("urn:x:y", "urn:x:Y"),
    ("urn:x:y", "sip:h"),
]


@pytest.mark.parametrize(("a", "b"), EQUAL)
def test_equal(a: str, b: str) -> None:
    """Equal both ways, and found under the same key."""
    one, other = parse_uri(a), parse_uri(b)
    assert uri_equal(one, other)
    assert uri_equal(other, one)
    assert uri_key(one) == uri_key(other)
    assert hash(uri_key(one)) == hash(uri_key(other))


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different(a: str, b: str) -> None:
    """Different both ways."""
    one, other = parse_uri(a), parse_uri(b)
    assert not uri_equal(one, other)
    assert not uri_equal(other, one)


def test_not_transitive() -> None:
    """RFC 3261 19.1.4: security=on equals nothing said equals security=off, but not each other."""
    on, none, off = (parse_uri(f"sip:c@h{end}") for end in (";security=on", "", ";security=off"))
    assert uri_equal(on, none)
    assert uri_equal(none, off)
    assert not uri_equal(on, off)


@pytest.mark.parametrize(
    ("uri", "aor"),
    [
        ("SIP:%61lice:pw@EXAMPLE.com;transport=tcp?x=1", "sip:alice@example.com"),
        ("sip:a%3bb@h:5070", "sip:a;b@h:5070"),
        ("sips:[2001:DB8::1]", "sips:[2001:db8::1]"),
        ("sip:%e9@h", "sip:%E9@h"),
        ("tel:+1-201;ext=3", "tel:+1201"),
        ("tel:7;phone-context=+1-2", "tel:7;phone-context=+12"),
        ("urn:service:sos", "urn:service:sos"),
    ],
)
def test_address_of_record(uri: str, aor: str) -> None:
    """RFC 3261 10.3 step 5: parameters go, escapes are undone and made in one way only."""
    assert aor_of(parse_uri(uri)) == aor


USERS = st.text("aA%41;é@\x00", min_size=1, max_size=4)


@given(st.sampled_from(["sip", "sips"]), USERS, st.sampled_from(["h", "H", "[::1]", "[0::1]"]))
def test_equality_is_reflexive(scheme: str, user: str, host: str) -> None:
    """Every URI equals itself, and a canonical address-of-record is its own."""
    from sansip.wire import escape_user

    uri = parse_uri(f"{scheme}:{escape_user(user)}@{host}")
    assert uri_equal(uri, uri)
    assert aor_of(parse_uri(aor_of(uri))) == aor_of(uri)

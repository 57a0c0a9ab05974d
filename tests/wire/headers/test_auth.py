"""Challenges and credentials (RFC 3261 22.4, RFC 7616)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sansip.errors import RemoteProtocolError
from sansip.wire import Challenge, Credentials, Request, quote
from sansip.wire.headers.auth import parse_challenge, parse_credentials


def challenge(*values: str) -> list[Challenge]:
    message = Request.build("OPTIONS", "sip:h", [("WWW-Authenticate", value) for value in values])
    found: list[Challenge] = message.typed("WWW-Authenticate")
    return found


def credentials(value: str) -> Credentials:
    message = Request.build("OPTIONS", "sip:h", [("Authorization", value)])
    (found,) = message.typed("Authorization")
    assert isinstance(found, Credentials)
    return found


def test_the_rfc_examples() -> None:
    """RFC 3261 20.7, 20.44"""
    (one,) = challenge(
        'Digest realm="atlanta.com", domain="sip:boxesbybob.com sip:x", qop="auth,auth-int", '
        'nonce="f84f1cec41e6cbe5aea9c8e88d359", opaque="", stale=FALSE, algorithm=MD5'
    )
    assert one.is_digest
    assert (one.realm, one.nonce, one.opaque) == ("atlanta.com", "f84f1cec41e6cbe5aea9c8e88d359", "")
    assert (one.stale, one.algorithm, one.qop) == (False, "MD5", ["auth", "auth-int"])
    assert one.domain == ["sip:boxesbybob.com", "sip:x"]
    used = credentials(
        'Digest username="Alice \\"A\\"", realm="atlanta.com", nonce="84a4", uri="sip:h", nc=0000001F, '
        'cnonce="0a4f", qop=auth, response="7587245234b3434cc3412213e5f113a5", algorithm=sha-256-SESS'
    )
    assert used.username == 'Alice "A"'
    assert (used.uri, used.response, used.cnonce) == ("sip:h", "7587245234b3434cc3412213e5f113a5", "0a4f")
    assert (used.nonce_count, used.qop, used.algorithm) == (31, ["auth"], "SHA-256-sess")


def test_what_is_absent() -> None:
    """None, or nothing."""
    bare = credentials("Digest")
    assert (bare.username, bare.uri, bare.response, bare.cnonce, bare.nonce_count) == (None,) * 5
    assert (bare.realm, bare.nonce, bare.opaque, bare.algorithm) == (None,) * 4
    assert (bare.qop, bare.domain, bare.stale) == ([], [], False)
    assert credentials("Digest nc=1").nonce_count is None


def test_encoded_user_names() -> None:
    """RFC 7616 3.4: username*, percent-encoded UTF-8."""
    assert credentials("Digest username*=UTF-8''J%C3%A4s%C3%B8n").username == "Jäsøn"
    assert credentials("Digest username*=latin1''x").username is None
    assert credentials("Digest username*=broken").username is None


def test_several_challenges() -> None:
    """RFC 3261 7.3.1: one per line, in the order of preference (RFC 8760 2.4)."""
    first, second = challenge('Digest realm="r", algorithm=SHA-256', 'Digest realm="r", algorithm=MD5')
    assert (first.algorithm, second.algorithm) == ("SHA-256", "MD5")


def test_other_schemes() -> None:
    """RFC 4475 3.3.7: any scheme of the grammar is read; Bearer and Basic carry one word."""
    odd = credentials("NoOneKnowsThisScheme opaque-data=here")
    assert (odd.scheme, odd.params, odd.is_digest) == ("NoOneKnowsThisScheme", {"opaque-data": "here"}, False)
    assert credentials("Bearer eyJ.a-b_c/==").token == "eyJ.a-b_c/=="


@given(st.dictionaries(st.text("abcde", min_size=1), st.text('ab \t",=\\é'), min_size=1))
def test_round_trip(params: dict[str, str]) -> None:
    """Any quoted text comes back, with any white space."""
    text = "Digest " + " ,\t".join([f"{name} = {quote(value)}" for name, value in params.items()])
    assert challenge(text)[0].params == params


@given(st.text('Digest a=b,"\\ ', max_size=40))
def test_any_text(text: str) -> None:
    """Credentials, or a RemoteProtocolError."""
    try:
        credentials(f"Digest {text}")
    except RemoteProtocolError as error:
        assert error.field == "Authorization"  # noqa: PT017 (the exception is the answer)


@pytest.mark.parametrize("method", [parse_credentials, parse_challenge])
def test_uri_without_quotes(method: Callable[[str, str, str], Challenge]) -> None:
    """RFC 3261 22.4 item 2 wants quotes, RFC 2617's grammar had none: to its comma, and no other name so."""
    parsed = method('Digest uri=sip:bob@biloxi.test:5060;lr?a=b, URI2=x, realm="r"', "Authorization", "")
    assert parsed.params == {"uri": "sip:bob@biloxi.test:5060;lr?a=b", "uri2": "x", "realm": "r"}
    assert method("Digest Uri = sip:x ,realm=r", "A", "").params["uri"] == "sip:x"
    for text in ("Digest realm=sip:x", 'Digest uri=sip:"x"', "Digest uri=<sip:x>", "Digest uri=sip:x y"):
        with pytest.raises(RemoteProtocolError):
            method(text, "Authorization", "RFC 3261 20.7")

"""Tokens in SIP: what a challenge says (RFC 8898 4), and where a token is found."""

from __future__ import annotations

from sansip.auth import BearerConfig
from sansip.auth.bearer import bearer_challenge, tokens_in
from sansip.wire.headers.auth import parse_challenge, parse_credentials


def test_challenge() -> None:
    """RFC 8898 4: realm, authz_server, scope where one is needed, error where a token came."""
    value = bearer_challenge(BearerConfig("https://as.test/", "calls video"), "biloxi.test", "invalid_token")
    read = parse_challenge(value, "WWW-Authenticate", "")
    assert (read.scheme, read.params) == (
        "Bearer",
        {
            "realm": "biloxi.test",
            "authz_server": "https://as.test/",
            "scope": "calls video",
            "error": "invalid_token",
        },
    )
    assert "scope" not in bearer_challenge(BearerConfig("https://as.test/"), "a")


def test_tokens() -> None:
    """The scheme has no case (RFC 3261 22); parameters are no token."""
    texts = ("bEARER abc.def", 'Digest username="a"', 'Bearer realm="x"', "Basic abc")
    assert tokens_in([parse_credentials(one, "Authorization", "") for one in texts]) == ["abc.def"]

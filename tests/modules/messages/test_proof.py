"""A text of a user with a password is kept from its octets, as on the long way."""

from __future__ import annotations

import re

import pytest

from sansip.auth import AuthConfig, Lookup, compute_response, ha1
from tests.modules.messages.kept import ways
from tests.modules.messages.pair import BOB, Pair

FROM = "From: <sip:carol@example.com>;tag=c"


@pytest.fixture(autouse=True)
def rows() -> None:
    """Rows that are in memory as well."""
    ways["shared"], ways["memory"] = 0, 8_388_608


def known(lookup: Lookup) -> dict[str, str] | None:
    """Return the keys of bob and carol."""
    if lookup.username not in ("bob", "carol"):
        return None
    return {"MD5": ha1(lookup.username, "example.com", "secret", "MD5")}


def proof(challenge: str, count: int = 1, body: str = "hello", **changes: str) -> str:
    """Return the line Proxy-Authorization of carol that answers ``challenge``."""
    nonce = re.findall(r'nonce="([^"]+)"', challenge)[-1]
    values = {"user": "carol", "password": "secret", "uri": BOB, "qop": "auth", **changes}
    made = {"qop": values["qop"], "nc": f"{count:08x}", "cnonce": "c"}
    key = ha1(values["user"], "example.com", values["password"], "MD5")
    response = compute_response(
        key, "MESSAGE", values["uri"], nonce, algorithm="MD5", body=body.encode(), **made
    )
    return (
        f'Proxy-Authorization: Digest username="{values["user"]}", realm="example.com", nonce="{nonce}", '
        f'uri="{values["uri"]}", qop={made["qop"]}, nc={made["nc"]}, cnonce="c", algorithm=MD5, '
        f'response="{response}"'
    )


def begun() -> tuple[Pair, str]:
    """Return a pair whose users have passwords, and a challenge."""
    pair = Pair(more={"auth": AuthConfig(authentication_info=True), "users": known, "recall": known})
    assert pair.receive(pair.message(from_=FROM)) == ["SIP/2.0 407 Proxy Authentication Required"]
    assert pair.taken == 0
    return pair, pair.sent[-1].data.decode()


def test_kept_with_a_password() -> None:
    """RFC 3428 7: 202 from the octets, once for each proof."""
    pair, challenge = begun()
    data = pair.message("hello", proof(challenge), from_=FROM)
    assert pair.receive(data) == ["SIP/2.0 202 Accepted"]
    assert pair.receive(data) == ["SIP/2.0 202 Accepted"]
    assert pair.receive(pair.message("two", proof(challenge, 2, "two", qop="auth-int"), from_=FROM))
    assert pair.taken >= 1
    assert b"Authentication-Info" not in b"".join(one.data for one in pair.sent)
    # RFC 7616 3.3
    assert pair.receive(pair.message("hello", proof(challenge), from_=FROM))[0].startswith("SIP/2.0 407")
    pair.wait(1.0)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"password": "guessed"}, "{}"),
        ({"user": "bob"}, "{}"),
        ({"user": "nobody"}, "{}"),
        ({"uri": "sip:carol@example.com"}, "{}"),
        ({}, "Contact: <sip:carol@192.0.2.40;gr=x>\r\n{}"),
        ({}, "{0}\r\n{0}"),
        ({}, "Proxy-{}"),
    ],
)
def test_other_proofs(changes: dict[str, str], line: str) -> None:
    """Who proves nothing, or another user, gets what the long way gives."""
    pair, challenge = begun()
    made = line.format(proof(challenge, **changes))
    pair.receive(pair.message("hello", made, from_=FROM))
    pair.receive(pair.message("hello", made, from_="From: <sip:dave@elsewhere.example>;tag=d"))
    pair.receive(pair.message("hello", proof(challenge, 2), from_=FROM))
    pair.wait(1.0)

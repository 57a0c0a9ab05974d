"""A REGISTER with a password is challenged and admitted from its octets, as on the long way."""

from __future__ import annotations

import re

import pytest

from sansip.actions import SendDatagram
from sansip.auth import compute_response, ha1
from tests.routing.test_brief_nat import AT_HOME, HOME
from tests.routing.twice_answered import BEHIND_NAT, CONFIGS, CONTACT, Pair, message


def proof(pair: Pair, branch: str, **changes: str) -> str:
    """Return Authorization for a REGISTER of bob, answering a challenge got with ``branch``."""
    actions = pair.feed(message(more=(CONTACT,), branch=branch), after=0.1)
    (challenge,) = [one.data for one in actions if isinstance(one, SendDatagram)]
    assert challenge.startswith(b"SIP/2.0 401 ")
    nonce = re.findall(r'nonce="([^"]+)"', challenge.decode())[-1]
    return answered(nonce, **changes)


def answered(nonce: str, **changes: str) -> str:
    values = {"username": "bob", "realm": "biloxi.test", "uri": "sip:biloxi.test", "nc": "00000001"}
    values |= {"cnonce": "c", "qop": "auth", "algorithm": "MD5", "password": "secret"} | changes
    key = ha1(values["username"], values["realm"], values.pop("password"), values["algorithm"])
    values["response"] = compute_response(
        key,
        "REGISTER",
        values["uri"],
        nonce,
        algorithm=values["algorithm"],
        qop=values["qop"],
        nc=values["nc"],
        cnonce=values["cnonce"],
    )
    values["nonce"] = nonce
    bare = ("nc", "qop", "algorithm")
    pairs = [f"{name}={value}" if name in bare else f'{name}="{value}"' for name, value in values.items()]
    return f"Authorization: Digest {', '.join(pairs)}"


PROTECTED = ("auth", "auth durable", "auth shared")


@pytest.mark.parametrize("name", PROTECTED)
def test_digest_behind_a_nat(name: str) -> None:
    """As below, of a phone that is reached at its source alone."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    actions = pair.feed(message(via=HOME, more=(AT_HOME,), branch="z9hG4bK1"), BEHIND_NAT)
    (challenge,) = [one.data for one in actions if isinstance(one, SendDatagram)]
    line = answered(re.findall(r'nonce="([^"]+)"', challenge.decode())[-1])
    pair.feed(message(via=HOME, more=(AT_HOME, line), number=2, branch="z9hG4bK2"), BEHIND_NAT)
    assert pair.briefs.count == 2
    [binding] = pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
    assert binding.received is not None
    assert binding.received.address == BEHIND_NAT


@pytest.mark.parametrize("name", PROTECTED)
def test_digest(name: str) -> None:
    """Challenged and admitted from the octets: nonces, counts, answers and proofs are the route's."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    line = proof(pair, "z9hG4bK1")
    assert pair.briefs.count == 1
    pair.feed(message(more=(CONTACT, line), number=2, branch="z9hG4bK2"))
    assert pair.briefs.count == 2
    assert pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)
    # RFC 7616 3.4: the same count again is a replay.
    pair.feed(message(more=(CONTACT, line), number=3, branch="z9hG4bK3"))
    assert pair.briefs.count == 2
    nonce = re.findall(r' nonce="([^"]+)"', line)[0]
    pair.feed(message(more=(CONTACT, answered(nonce, nc="00000002")), number=4, branch="z9hG4bK4"))
    assert pair.briefs.count == 3
    assert pair.brief.location.lookup("sip:bob@biloxi.test", pair.now)[0].cseq == 4
    # Too old by then: challenged anew, by the route.
    pair.feed(message(more=(CONTACT, answered(nonce, nc="00000003")), branch="z9hG4bK5"), after=400.0)
    assert pair.briefs.count == 3


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize(
    ("uri", "briefly"),
    [
        # SIPp, and some phones, hash the address that they send to.
        ("sip:127.0.0.1:5060", False),
        ("sip:192.0.2.1:5060", True),
        ("sip:192.0.2.1", True),
        ("sip:BILOXI.test:5060;transport=udp", True),
        # RFC 3261 10.2: a REGISTER is for no user, and some phones hash their own address.
        ("sip:bob@biloxi.test", True),
        ("sip:elsewhere.test", False),
        ("sip:biloxi.test;maddr=192.0.2.99", False),
        ("biloxi.test", False),
    ],
)
def test_uri_in_another_spelling(name: str, uri: str, briefly: bool) -> None:
    """RFC 7616 3.4.6: another spelling of the same thing is proved from the octets, and nothing else is."""
    pair = Pair(CONFIGS[name])
    pair.store.faults = False
    line = proof(pair, "z9hG4bK1", uri=uri)
    pair.feed(message(more=(CONTACT, line), number=2, branch="z9hG4bK2"))
    assert pair.briefs.count == 1 + briefly


ODD_PROOFS: tuple[dict[str, str], ...] = (
    {"password": "wrong"},
    {"username": "carol"},
    {"username": "bob@biloxi.test"},
    {"realm": "elsewhere.test"},
    {"uri": "sip:biloxi.test:5060"},
    {"uri": "sip:carol@biloxi.test"},
    {"algorithm": "SHA-256"},
    {"algorithm": "SHA-512-256"},
    {"algorithm": "MD5-sess"},
    {"qop": "auth-int"},
    {"nc": "1"},
    {"cnonce": ""},
)


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize("changes", ODD_PROOFS, ids=str)
def test_other_credentials(name: str, changes: dict[str, str]) -> None:
    """Wrong ones get what the route gives them, ban included; odd ones are read by the route."""
    pair = Pair(CONFIGS[name])
    line = proof(pair, "z9hG4bK1", **changes)
    for number in range(2, 16):
        pair.feed(message(more=(CONTACT, line), number=number, branch=f"z9hG4bK{number}"))
    right = proof(pair, "z9hG4bK20")
    pair.feed(message(more=(CONTACT, right), number=30, branch="z9hG4bK21"))


@pytest.mark.parametrize("name", PROTECTED)
@pytest.mark.parametrize(
    "lines",
    [
        ("{}", "{}"),
        ("{}", 'Authorization: Digest realm="x", nonce="y"'),
        ('Authorization: Digest realm="x", nonce="y"', "{}"),
        ("{}", "Proxy-{}"),
        ("authorization{rest}",),
        ("Authorization{rest},",),
        ("Authorization : {bare}",),
        ("Authorization:{bare}",),
        ("Authorization: Basic Ym9iOnNlY3JldA==",),
        ("Authorization: Bearer abc",),
        ("Authorization:",),
        ("Authorizations: x",),
        ("X-Text: Authorization: Digest", "{}"),
    ],
    ids=str,
)
def test_other_fields_of_credentials(name: str, lines: tuple[str, ...]) -> None:
    """Two fields, other schemes and spellings: what an attacker could try is what the route makes of it."""
    pair = Pair(CONFIGS[name])
    line = proof(pair, "z9hG4bK1")
    rest = line.removeprefix("Authorization")
    bare = rest.removeprefix(": ")
    more = tuple(one.format(line, rest=rest, bare=bare) for one in lines)
    pair.feed(message(more=(CONTACT, *more), number=2, branch="z9hG4bK2"))
    pair.feed(message("OPTIONS", more=more, branch="z9hG4bK3"))


@pytest.mark.parametrize("name", PROTECTED)
def test_another_user_of_the_domain(name: str) -> None:
    """The password of bob registers nobody else, and an answer for another method nothing."""
    pair = Pair(CONFIGS[name])
    line = proof(pair, "z9hG4bK1")
    pair.feed(message(to="<sip:carol@biloxi.test>", more=(CONTACT, line), number=2, branch="z9hG4bK2"))
    assert not pair.brief.location.lookup("sip:carol@biloxi.test", pair.now)

"""Clients prove who they are and get URIs (RFC 4976 5.1, 6.3, 9)."""

from __future__ import annotations

import hashlib
import re

import pytest

from sansip.modules.msrp.node import MsrpRefused
from tests.modules.msrp.client import RELAY, Client
from tests.modules.msrp.relayed import made


def test_auth() -> None:
    """RFC 4976 5.1, 6.3, 9.1: 401, then a URI with a name, a port and 64 random bits or more; rspauth."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    challenge = alice.challenge()
    # 9.1: qop is there and has no auth-int; no domain; no -sess.
    assert 'qop="auth"' in challenge
    assert "domain=" not in challenge
    answer = alice.authenticate("Expires: 600")
    assert answer.word == "200"
    assert answer.fields["Expires"] == "600"
    assert re.fullmatch(r"msrps?://relay\.example\.com:\d+/[0-9a-f]{16,};tcp", alice.path)
    info = answer.fields["Authentication-Info"]
    for part in ("rspauth=", "qop=auth", 'cnonce="0a4f113b"', "nc=00000001"):
        assert part in info
    first, second = (alice.authenticate().fields["Use-Path"] for _ in range(2))
    assert first != second


def test_rspauth() -> None:
    """RFC 4976 9.4: the relay proves that it knows the password."""
    alice = Client(made(), "alice", "192.0.2.1")
    challenge = alice.challenge()
    alice.ask("AUTH", RELAY, alice.credentials(challenge))
    [answer] = alice.take()
    nonce = re.search(r'nonce="([^"]+)"', challenge)
    proof = re.search(r'rspauth="([^"]+)"', answer.fields["Authentication-Info"])
    assert nonce is not None
    assert proof is not None

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    one, two = md5("alice:example.com:secret"), md5(f":{RELAY}")
    assert proof[1] == md5(f"{one}:{nonce[1]}:00000001:0a4f113b:auth:{two}")


def test_wrong_passwords() -> None:
    """RFC 4976 6.3: after several of them the connection is closed."""
    alice = Client(made(failures=3), "alice", "192.0.2.1")
    for _ in range(3):
        alice.ask("AUTH", RELAY, alice.credentials(alice.challenge(), password="wrong"))
        [answer] = alice.take()
        assert answer.word == "401"
    assert "msrp.failures" in alice.link.ended


def test_replay() -> None:
    """Credentials that were seen are good once."""
    bench = made()
    alice, thief = Client(bench, "alice", "192.0.2.1"), Client(bench, "thief", "192.0.2.3")
    seen = alice.credentials(alice.challenge())
    for client, word in ((alice, "200"), (thief, "401")):
        client.ask("AUTH", RELAY, seen)
        [answer] = client.take()
        assert answer.word == word


def test_credentials_without_qop() -> None:
    """RFC 4976 9.1: they MUST have one; a proof without a count could be used again."""
    alice = Client(made(), "alice", "192.0.2.1")
    found = dict(re.findall(r'(\w+)="?([^",]+)"?', alice.challenge()))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    proof = md5(f"{md5('alice:example.com:secret')}:{found['nonce']}:{md5(f'AUTH:{RELAY}')}")
    said = f'Digest username="alice", realm="example.com", nonce="{found["nonce"]}", response="{proof}"'
    alice.ask("AUTH", RELAY, f"Authorization: {said}")
    [answer] = alice.take()
    assert answer.word == "400"
    assert alice.authenticate().word == "200"


def test_credentials_for_another_relay() -> None:
    """RFC 4976 9.1: A2 is of the rightmost URI."""
    alice = Client(made(), "alice", "192.0.2.1")
    alice.ask("AUTH", RELAY, alice.credentials(alice.challenge(), uri="msrps://other.example.com;tcp"))
    [answer] = alice.take()
    assert answer.word == "401"


@pytest.mark.parametrize(
    ("said", "field"), [("Expires: 10", "Min-Expires"), ("Expires: 999999", "Max-Expires")]
)
def test_interval(said: str, field: str) -> None:
    """RFC 4976 6.3, 10: 423 with the bound."""
    answer = Client(made(), "alice", "192.0.2.1").authenticate(said)
    assert answer.word == "423"
    assert field in answer.fields


def test_auth_needs_tls() -> None:
    """RFC 4976 9.2."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1", "msrp")
    alice.ask("AUTH", RELAY)
    [answer] = alice.take()
    assert answer.word == "403"
    assert any(isinstance(event, MsrpRefused) and "plain_auth" in str(event) for event in bench.events)
    assert Client(made(plain_auth=True), "alice", "192.0.2.1", "msrp").authenticate().word == "200"


def test_users_cannot_be_looked_up() -> None:
    """The store is down: nobody gets in, and it is no wrong password."""
    bench = made()
    alice = Client(bench, "alice", "192.0.2.1")
    challenge = alice.challenge()
    bench.broken = True
    alice.ask("AUTH", RELAY, alice.credentials(challenge))
    [answer] = alice.take()
    assert answer.word == "403"
    assert not alice.link.ended


def test_limits_of_uris() -> None:
    """One user, and all together."""
    bench = made(sessions_per_user=2, sessions=3)
    alice, bob = Client(bench, "alice", "192.0.2.1"), Client(bench, "bob", "192.0.2.2")
    assert [alice.authenticate().word for _ in range(3)] == ["200", "200", "403"]
    assert [bob.authenticate().word for _ in range(2)] == ["200", "403"]
    alice.link.close()
    assert [bob.authenticate().word for _ in range(2)] == ["200", "403"]


def test_another_realm() -> None:
    """RFC 7616 3.4: credentials that name another realm are not for this one, whatever their proof."""
    alice = Client(made(), "alice", "192.0.2.1")
    said = alice.credentials(alice.challenge()).replace('realm="example.com"', 'realm="elsewhere.example"')
    alice.ask("AUTH", RELAY, said)
    [answer] = alice.take()
    assert answer.word == "401"

"""Digest over HTTP: each proof is for one request, once, and guesses end."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig, compute_response, ha1
from sansip.wire.headers.auth import parse_challenge
from sansip_server.config.http import HttpSettings, HttpUser
from sansip_server.http.access import Access, demand
from sansip_server.http.digest import Digest
from sansip_sockets.http import HttpFault, HttpRequest

REALM = "sansip"
KEY = ha1("ops", REALM, "secret", "SHA-256")


class Bench:
    """A judge whose clocks are the test's, and a client."""

    def __init__(self, **config: Any) -> None:
        self.now = 100.0
        made = AuthConfig(("SHA-256",), qop=("auth", "auth-int"), **config)
        self.digest = Digest(made, lambda: self.now, lambda: 1.7e9 + self.now)

    def nonce(self) -> str:
        ((name, value),) = self.digest.challenges(REALM, "192.0.2.1")
        assert name == "WWW-Authenticate"
        return parse_challenge(value, name, "").nonce or ""

    def ask(self, request: HttpRequest, stored: dict[str, str] | None) -> str:
        offer = self.digest.offered(request, REALM)
        return self.digest.prove(request, REALM, offer, stored)


def signed(nonce: str, nc: int = 1, **other: Any) -> HttpRequest:
    """Return a POST as a client signs it; ``other`` changes what is signed or sent."""
    method, uri = other.get("method", "POST"), other.get("uri", "/rpc")
    qop, body = other.get("qop", "auth"), other.get("body", b"{}")
    key = other.get("key", KEY)
    user = other.get("user", "ops")
    count = f"{nc:08x}"
    response = compute_response(
        *(key, method, uri, nonce), algorithm="SHA-256", qop=qop, nc=count, cnonce="c", body=body
    )
    value = (
        f'Digest username="{user}", realm="{REALM}", nonce="{nonce}", uri="{uri}", algorithm=SHA-256, '
        f'qop={qop}, nc={count}, cnonce="c", response="{response}"'
    )
    headers = [("authorization", value)]
    return HttpRequest("POST", "/rpc", headers, other.get("sent", b"{}"), "192.0.2.1")


STORED = {"SHA-256": KEY}


def test_genuine() -> None:
    """One nonce serves many requests, in the order of their counts; auth-int covers the body."""
    bench = Bench()
    nonce = bench.nonce()
    for count in (1, 2, 3):
        assert bench.ask(signed(nonce, count), STORED) == "ops"
    assert bench.ask(signed(nonce, 4, qop="auth-int"), STORED) == "ops"
    # RFC 9112 3.2.2: the absolute form names the same resource.
    assert bench.ask(signed(nonce, 5, uri="http://a.test/rpc"), STORED) == "ops"


@pytest.mark.parametrize(
    ("other", "status"),
    [
        ({"key": ha1("ops", REALM, "guess", "SHA-256")}, 401),
        ({"method": "GET"}, 401),
        # RFC 7616 3.4.6
        ({"uri": "/other"}, 400),
        ({"qop": "auth-int", "sent": b"changed"}, 401),
        ({"user": "nobody"}, 401),
    ],
)
def test_refused(other: dict[str, Any], status: int) -> None:
    """A proof for another password, method, resource or body."""
    bench = Bench()
    stored = None if "user" in other else STORED
    with pytest.raises(HttpFault) as caught:
        bench.ask(signed(bench.nonce(), **other), stored)
    assert caught.value.status == status
    if status == 401:
        assert any(name == "WWW-Authenticate" for name, _ in caught.value.headers)


def test_replayed() -> None:
    """RFC 7616 5.12: a recorded request proves nothing again, nor does an old nonce, nor a strange one."""
    bench = Bench(nonce_lifetime=60.0)
    nonce = bench.nonce()
    request = signed(nonce)
    bench.ask(request, STORED)
    with pytest.raises(HttpFault) as caught:
        bench.ask(request, STORED)
    assert "stale=true" in caught.value.headers[0][1]
    bench.now += 61.0
    with pytest.raises(HttpFault) as caught:
        bench.ask(signed(nonce, 2), STORED)
    assert "stale=true" in caught.value.headers[0][1]
    with pytest.raises(HttpFault) as caught:
        Bench().ask(signed(bench.nonce()), STORED)
    assert caught.value.status == 401


def test_guesses_end() -> None:
    """403 with Retry-After, also for the right password, until the ban is over."""
    bench = Bench(failures_per_user=3)
    nonce = bench.nonce()
    statuses = []
    for count in range(1, 6):
        with pytest.raises(HttpFault) as caught:
            bench.ask(signed(nonce, count, key=ha1("ops", REALM, str(count), "SHA-256")), STORED)
        statuses.append(caught.value.status)
    assert statuses[-1] == 403
    assert caught.value.headers[0][0] == "Retry-After"
    with pytest.raises(HttpFault):
        bench.ask(signed(nonce, 9), STORED)
    bench.now += 3_600.0
    assert bench.ask(signed(bench.nonce()), STORED) == "ops"


@pytest.mark.parametrize("text", ["Digest", "Digest nonsense", "Digest username=,", "Basic b3BzOnNlY3JldA=="])
def test_no_digest(text: str) -> None:
    request = HttpRequest("POST", "/rpc", [("authorization", text)], remote="192.0.2.1")
    with pytest.raises(HttpFault) as caught:
        Bench().ask(request, STORED)
    assert caught.value.status in (400, 401)


def operators(*users: HttpUser) -> Access:
    return Access(HttpSettings(users=list(users)), ["biloxi.test"], None)


def test_operators() -> None:
    """Users of the configuration have their role; at a WebSocket the one proof of its handshake stands."""
    access = operators(HttpUser(name="ops", role="operate", ha1=[f"SHA-256:{KEY}"]))
    plain = HttpRequest("POST", "/rpc", [], b"{}", "192.0.2.1")
    assert access.role(plain) == ""
    with pytest.raises(HttpFault) as caught:
        access.demand(plain, "read")
    ((_, challenge),) = caught.value.headers
    request = signed(parse_challenge(challenge, "", "").nonce or "")
    role = access.standing(request)
    assert (role(), role()) == ("operate", "operate")
    with pytest.raises(HttpFault):
        access.role(request)
    demand(role(), "operate")


def test_what_all_users_have_is_offered() -> None:
    """A client takes the first challenge that it knows, so every user needs its key."""
    md5 = ha1("b", REALM, "x")
    settings = HttpSettings(
        users=[
            HttpUser(name="a", ha1=[f"SHA-256:{KEY}", f"MD5:{md5}"]),
            HttpUser(name="b", ha1=[f"MD5:{md5}"]),
        ]
    )
    assert settings.digest().algorithms == ("MD5",)
    with pytest.raises(ValueError, match="needs name and ha1"):
        HttpUser(name="a")
    with pytest.raises(ValueError, match="expected ALGORITHM:HEXADECIMAL"):
        HttpUser(name="a", ha1=["secret"])

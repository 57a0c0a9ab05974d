"""Digest authentication through the stack: RFC 3261 22, RFC 7616, RFC 8760."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from sansip import Ask, ListenerConfig, Request, Response, SendDatagram, Stack, StackConfig, parse_message
from sansip.auth import AuthConfig, Lookup, compute_response, ha1

PHONE = ("192.0.2.7", 5060)
STORED = {name: ha1("alice", "biloxi.test", "wonderland", name) for name in ("MD5", "SHA-256", "SHA-512-256")}


@dataclass
class Bench:
    """A stack that authenticates, and a phone that may know the password."""

    stack: Stack
    now: float = 100.0
    branch: int = 0

    def send(
        self,
        method: str = "REGISTER",
        headers: tuple[str, ...] = (),
        *,
        user: str = "alice",
        target: str = "sip:biloxi.test",
        source: tuple[str, int] = PHONE,
    ) -> list[Any]:
        """Send one request; return the actions that answer it."""
        self.branch += 1
        to = user if method == "REGISTER" else "bob"
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK{self.branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:{user}@biloxi.test>;tag=1",
            f"To: <sip:{to}@biloxi.test>",
            f"Call-ID: {self.branch}@phone",
            f"CSeq: {self.branch} {method}",
            "Contact: <sip:alice@192.0.2.7>",
            *headers,
            "Content-Length: 0",
        ]
        data = "\r\n".join([*lines, "", ""]).encode()
        return self.stack.datagram_received(0, data, source, self.now)

    def response(self, actions: list[Any]) -> Response:
        """Return the one response among ``actions``."""
        messages = [parse_message(a.data) for a in actions if isinstance(a, SendDatagram)]
        (response,) = [m for m in messages if isinstance(m, Response) and m.status != 100]
        return response

    def answer(
        self,
        challenge: str,
        *,
        method: str = "REGISTER",
        uri: str = "sip:biloxi.test",
        password: str = "wonderland",
        user: str = "alice",
        nc: str = "00000001",
        qop: str | None = "auth",
    ) -> str:
        """Return credentials that answer a challenge line."""
        from sansip.wire.headers.auth import parse_challenge

        asked = parse_challenge(challenge, "test", "")
        assert asked.realm
        assert asked.nonce
        response = compute_response(
            ha1(user, asked.realm, password, asked.algorithm or "MD5"),
            method,
            uri,
            asked.nonce,
            algorithm=asked.algorithm,
            qop=qop,
            nc=nc,
            cnonce="c0ffee",
        )
        more = "" if qop is None else f', qop={qop}, nc={nc}, cnonce="c0ffee"'
        return (
            f'Digest username="{user}", realm="{asked.realm}", nonce="{asked.nonce}", uri="{uri}",'
            f' response="{response}", algorithm={asked.algorithm}{more}'
        )


@pytest.fixture
def bench() -> Bench:
    return Bench(make(users={"alice": STORED}))


def make(users: dict[str, Any] | None, **policy: Any) -> Stack:
    config = StackConfig(
        [ListenerConfig(0, "udp", "192.0.2.1", 5060)],
        ["biloxi.test"],
        auth=AuthConfig(**{"algorithms": ("SHA-256", "MD5"), **policy}),
        users=None if users is None else lambda lookup: users.get(lookup.username),
        wall_offset=1_700_000_000.0,
    )
    return Stack(config, b"s" * 16)


def test_challenges_in_order_of_preference(bench: Bench) -> None:
    """RFC 8760 2.4: one challenge an algorithm, the preferred one topmost; qop is always offered."""
    response = bench.response(bench.send())
    assert response.status == 401
    challenges = response.typed("www-authenticate")
    assert [one.algorithm for one in challenges] == ["SHA-256", "MD5"]
    assert {one.realm for one in challenges} == {"biloxi.test"}
    assert all(one.qop == ["auth"] and not one.stale for one in challenges)


@pytest.mark.parametrize("index", [0, 1])
def test_register_with_either_algorithm(bench: Bench, index: int) -> None:
    """RFC 3261 22.2: the answer to any one of the challenges is enough."""
    challenge = bench.response(bench.send()).get_all("www-authenticate")[index]
    response = bench.response(bench.send(headers=(f"Authorization: {bench.answer(challenge)}",)))
    assert response.status == 200
    assert response.has("contact")


def test_wrong_password_is_challenged_again(bench: Bench) -> None:
    """RFC 7616 3.3: stale is not said of a wrong password."""
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    header = f"Authorization: {bench.answer(challenge, password='guess')}"
    response = bench.response(bench.send(headers=(header,)))
    assert response.status == 401
    assert not response.typed("www-authenticate")[0].stale
    assert bench.stack.snapshot()["addresses_of_record"] == 0


def test_unknown_user_looks_like_a_wrong_password(bench: Bench) -> None:
    """A stranger must not learn whether a user exists: same status, same header fields."""
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    header = f"Authorization: {bench.answer(challenge, user='mallory')}"
    response = bench.response(bench.send(headers=(header,), user="mallory"))
    assert response.status == 401
    assert len(response.get_all("www-authenticate")) == 2


def test_old_nonce_is_stale(bench: Bench) -> None:
    """RFC 7616 3.3: a right answer to an expired nonce gets stale=true, and no new password prompt."""
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    bench.now += 301
    response = bench.response(bench.send(headers=(f"Authorization: {bench.answer(challenge)}",)))
    assert response.status == 401
    assert response.typed("www-authenticate")[0].stale


def test_replay_is_refused(bench: Bench) -> None:
    """RFC 7616 3.4: the same nonce count again is a replay; a higher one is not."""
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    first = f"Authorization: {bench.answer(challenge)}"
    assert bench.response(bench.send(headers=(first,))).status == 200
    replayed = bench.response(bench.send(headers=(first,)))
    assert replayed.status == 401
    assert replayed.typed("www-authenticate")[0].stale
    second = f"Authorization: {bench.answer(challenge, nc='00000002')}"
    assert bench.response(bench.send(headers=(second,))).status == 200


def test_forged_nonce(bench: Bench) -> None:
    """A nonce that we did not make is worth nothing, whatever was computed with it."""
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    forged = challenge.replace('nonce="', 'nonce="0')
    response = bench.response(bench.send(headers=(f"Authorization: {bench.answer(forged)}",)))
    assert response.status == 401


def test_credentials_of_a_proxy_are_consumed(bench: Bench) -> None:
    """RFC 3261 22.3: the proxy takes its own credentials away and leaves others."""
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    bench.response(bench.send(headers=(f"Authorization: {bench.answer(challenge)}",)))
    asked = bench.response(bench.send("INVITE", target="sip:alice@biloxi.test"))
    assert asked.status == 407
    line = asked.get_all("proxy-authenticate")[0]
    uri = "sip:alice@biloxi.test"
    other = 'Digest username="a", realm="elsewhere", nonce="n", uri="sip:x", response="r"'
    headers = (
        f"Proxy-Authorization: {other}",
        f"Proxy-Authorization: {bench.answer(line, method='INVITE', uri=uri)}",
    )
    actions = bench.send("INVITE", headers, target=uri)
    messages = [parse_message(a.data) for a in actions if isinstance(a, SendDatagram)]
    (forwarded,) = [m for m in messages if isinstance(m, Request)]
    assert forwarded.get_all("proxy-authorization") == [other]


def test_a_user_cannot_be_another(bench: Bench) -> None:
    """RFC 3261 10.3 step 4: authenticated is not authorized for somebody else's address."""
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    header = f"Authorization: {bench.answer(challenge)}"
    response = bench.response(bench.send(headers=(header,), user="bob"))
    assert response.status == 403


def test_strangers_may_call_in(bench: Bench) -> None:
    """A caller of another domain proves nothing to us, and may still reach our users."""
    bench.branch += 1
    data = (
        b"INVITE sip:alice@biloxi.test SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\n"
        b"Max-Forwards: 70\r\n"
        b"From: <sip:carol@chicago.test>;tag=1\r\nTo: <sip:alice@biloxi.test>\r\nCall-ID: x\r\n"
        b"CSeq: 1 INVITE\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    response = bench.response(bench.stack.datagram_received(0, data, ("192.0.2.9", 5060), 1.0))
    assert response.status == 404


def test_users_from_outside() -> None:
    """Without users at hand the stack asks, and goes on when it is answered."""
    bench = Bench(make(users=None))
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    (question,) = bench.send(headers=(f"Authorization: {bench.answer(challenge)}",))
    assert isinstance(question, Ask)
    assert question.question == Lookup("alice", "biloxi.test")
    assert bench.response(bench.stack.answer(question.id, STORED, bench.now)).status == 200


def test_guessing_bars_the_guesser_alone() -> None:
    """Wrong passwords bar the address they come from, never the user."""
    bench = Bench(make(users={"alice": STORED}, failures_per_user=3, failures_per_source=5))
    challenge = bench.response(bench.send()).get_all("www-authenticate")[0]
    attacker = ("198.51.100.1", 5060)
    given = bench.response(bench.send(source=attacker)).get_all("www-authenticate")[0]
    statuses = []
    for number in range(5):
        wrong = f"Authorization: {bench.answer(given, password='guess', nc=f'{number + 1:08x}')}"
        statuses.append(bench.response(bench.send(headers=(wrong,), source=attacker)).status)
    assert statuses == [401, 401, 401, 403, 403]
    right = f"Authorization: {bench.answer(challenge)}"
    assert bench.response(bench.send(headers=(right,))).status == 200
    # One failure is forgotten in each ``recovery``.
    bench.now += 40
    assert bench.response(bench.send(headers=(wrong,), source=attacker)).status == 401


@pytest.mark.parametrize(
    "value",
    [
        "Digest",
        "Digest realm=",
        'Digest realm="biloxi.test"',
        "NoOneKnowsThisScheme opaque-data=here",
        'Digest username="alice", realm="biloxi.test", nonce="\\"", uri="", response="' + "x" * 3000 + '"',
        'Digest username="\' OR 1=1 --", realm="biloxi.test", nonce="n", uri="sip:x", response="r", nc=zz',
    ],
)
def test_hostile_credentials(bench: Bench, value: str) -> None:
    """Malformed Authorization: 400 or a fresh challenge, never an exception (RFC 4475 3.3.7)."""
    assert bench.response(bench.send(headers=(f"Authorization: {value}",))).status in (400, 401)

"""Servers that challenge us with ill intent: what one answer costs, and makes us send or keep.

Relays with an account, and registrations of ours elsewhere; the exchange itself is in
``proxy/test_sequence.py``, ``proxy/test_digests.py`` and ``modules/test_upstream.py``.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from sansip.auth import Account, compute_response, ha1
from sansip.events import CredentialsRefused, UpstreamChanged
from sansip.module import Use
from sansip.modules.upstream import UpstreamConfig, UpstreamRegistration, Upstreams
from sansip.wire.headers.auth import parse_credentials
from tests.rig import BOB, BOB_URI, Out, Rig, only, relay_to, reply, request, what

ACCOUNT = Account(("192.0.2.2",), "carrier.test", "trunk", "secret")
FIELD = "Proxy-Authenticate"


def challenge(nonce: str = "n1", realm: str = "carrier.test", more: str = "") -> str:
    return f'Digest realm="{realm}", nonce="{nonce}", algorithm=MD5, qop="auth"{more}'


def relaying(**options: Any) -> Rig:
    return Rig(relay_to(BOB_URI), accounts=[ACCOUNT], **options)


def sent(rig: Rig, number: int = 1) -> Out:
    data = request("MESSAGE", branch=f"z9hG4bK{number}", call_id=f"c{number}")
    return only(rig.udp(data), "MESSAGE")


def challenged(rig: Rig, out: Out, *values: str, more: Any = ()) -> list[Out]:
    return rig.udp(reply(out, 407, headers=[*((FIELD, value) for value in values), *more]), BOB)


def test_challenges() -> None:
    """``limits.challenges``: those behind are neither answered nor passed on."""
    rig = relaying(limits={"challenges": 3})
    others = [challenge(realm=f"r{number}") for number in range(200)]
    first = sent(rig)
    again = only(challenged(rig, first, *others[:2], challenge(), *others), "MESSAGE")
    assert again.message.has("proxy-authorization")
    refused = only(challenged(rig, again, *others[:2], challenge("n2"), *others), "407")
    # The account's is ours to answer, and the rest is not seen.
    assert refused.message.get_all("proxy-authenticate") == others[:2]
    other = sent(rig, 2)
    rig.stack.client.auth.replace([ACCOUNT])
    out = only(challenged(rig, other, *others[:3], challenge()), "407")
    assert out.message.get_all("proxy-authenticate") == others[:3]


def test_challenges_of_a_fork() -> None:
    """RFC 3261 16.7 step 7: all of them are put into one answer, which must fit a datagram still."""
    hosts = [f"192.0.2.{number}" for number in range(101, 109)]
    rig = Rig(relay_to(*[f"sip:bob@{host}" for host in hosts]), limits={"challenges": 10})
    branches = [out for out in rig.udp(request("MESSAGE")) if out.what == "MESSAGE"]
    outs: list[Out] = []
    for branch in branches:
        values = [(FIELD, challenge(realm=f"{branch.to[0]}-{number}")) for number in range(50)]
        outs += rig.udp(reply(branch, 407, headers=values), branch.to)
    values = only(outs, "407").message.get_all("proxy-authenticate")
    # The challenges of one branch go on as they came; those of others, as many as fit the limit.
    assert len(values) == 50


@pytest.mark.parametrize("where", ["nonce", "opaque", "padding", "nextnonce"])
def test_challenge_size(where: str) -> None:
    """``limits.challenge_size``: 16 KB that we would keep, and send back with every request."""
    rig = relaying(limits={"challenge_size": 500})
    long = "x" * 10_000
    first = sent(rig)
    if where == "nextnonce":
        again = only(challenged(rig, first, challenge()), "MESSAGE")
        headers = [("Proxy-Authentication-Info", f'nextnonce="{long}"')]
        rig.udp(reply(again, 200, headers=headers), BOB)
        assert parse_credentials(sent(rig, 2).message.get("proxy-authorization") or "", "", "").nonce == "n1"
        return
    value = challenge(
        long if where == "nonce" else "n1", more=f', {where}="{long}"' if where != "nonce" else ""
    )
    assert what(challenged(rig, first, value)) == ["500"]
    assert not rig.stack.client.auth._sessions
    # One that is answered is found behind it.
    again = only(challenged(rig, sent(rig, 2), value, challenge()), "MESSAGE")
    assert again.message.has("proxy-authorization")


def test_a_realm_without_end_in_the_log() -> None:
    """One event for each answer, and no more of the realm than a line takes."""
    rig = relaying()
    realms = [challenge(realm=f"{number}{'r' * 1_000}") for number in range(10)]
    challenged(rig, sent(rig), *realms)
    (event,) = rig.events
    assert isinstance(event, CredentialsRefused)
    assert len(event.realm) == 80


@pytest.mark.parametrize("fields", [("401", "407"), ("407", "401")])
def test_stale_for_ever_in_turn(fields: tuple[str, str]) -> None:
    """A server that asks as registrar and as proxy in turn is answered twice in each, then it is over."""
    rig = relaying()
    out, answers = sent(rig), 0
    names = {"401": "WWW-Authenticate", "407": FIELD}
    for number in range(20):
        status = fields[number % 2]
        headers = [(names[status], challenge(f"n{number}", more=", stale=true"))]
        outs = rig.udp(reply(out, int(status), headers=headers), BOB)
        if outs[-1].what == "500":
            break
        out, answers = only(outs, "MESSAGE"), answers + 1
    assert answers == 4


def test_a_registrar_that_is_never_content() -> None:
    """Two answers to ``stale=true``, then the pause of any failure (RFC 5626 4.5), which doubles."""
    registration = UpstreamRegistration("sip:trunk@192.0.2.2", ACCOUNT)
    rig = Rig(modules=[Use(Upstreams, UpstreamConfig([registration]))])
    begun = rig.now
    seen = 0
    while rig.now < begun + 3_600:
        # Answered before Timer E fires.
        outs = rig.wait(0.25)
        while outs:
            seen += 1
            value = challenge(f"n{seen}", more=", stale=true")
            outs = rig.udp(reply(only(outs, "REGISTER"), 401, headers=[("WWW-Authenticate", value)]), BOB)
    assert seen <= 3 * 9
    assert rig.events[0] == CredentialsRefused(
        "192.0.2.2", "carrier.test", "the user name or password is wrong"
    )
    assert [type(one) for one in rig.events].count(UpstreamChanged) == 1


def test_a_registrar_with_challenges_and_long_fields() -> None:
    """The same bounds as for relays: 200 realms, then 16 KB of opaque, then it registers all the same."""
    registration = UpstreamRegistration("sip:trunk@192.0.2.2", ACCOUNT)
    rig = Rig(modules=[Use(Upstreams, UpstreamConfig([registration]))])
    first = only(rig.wait(0.0), "REGISTER")
    values = [challenge(realm=f"r{number}") for number in range(200)]
    values[1] = challenge(more=f', opaque="{"x" * 10_000}"')
    values[3] = challenge("good")
    again = only(
        rig.udp(reply(first, 401, headers=[("WWW-Authenticate", one) for one in values]), BOB), "REGISTER"
    )
    made = parse_credentials(again.message.get("authorization") or "", "", "")
    assert (made.nonce, made.opaque) == ("good", None)
    assert again.message.get_all("authorization") == [again.message.get("authorization")]
    expected = compute_response(
        ha1("trunk", "carrier.test", "secret"),
        "REGISTER",
        "sip:192.0.2.2",
        "good",
        qop="auth",
        nc="00000001",
        cnonce=made.cnonce or "",
    )
    assert made.response == expected
    rig.udp(reply(again, 200), BOB)
    assert rig.stack.modules.get(Upstreams).states() == {"sip:trunk@192.0.2.2": True}


def test_the_cost_of_an_answer() -> None:
    """A 407 full of challenges costs about what one full of anything else does (processor time)."""

    def cost(value: str, name: str) -> float:
        times = []
        for _ in range(3):
            rig = relaying()
            out = sent(rig)
            data = reply(out, 407, headers=[(name, value.format(number)) for number in range(240)])
            begun = time.process_time()
            rig.udp(data, BOB)
            times.append(time.process_time() - begun)
        return min(times)

    long = 'Digest realm="{}", nonce="' + "n" * 100 + '", qop="auth"'
    assert cost(long, FIELD) < 5 * cost(long, "X-Nothing") + 0.005

"""Our digest for a server that challenges us: which challenges get one, what is in it, and who sees none."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import pytest

from sansip.auth import Account, compute_response, ha1
from sansip.events import CredentialsRefused
from sansip.wire.headers.auth import parse_credentials
from tests.proxy.carrier import asked, believed, carrier, credentials, in_dialog
from tests.rig import BOB, CAROL, Rig, only, relay_to, reply, request, what


def test_a_wrong_password() -> None:
    """Asked again although it is not stale: told to the log, and no riddle for the caller's phone."""
    rig = carrier()
    first = only(rig.udp(request()), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "INVITE")
    outs = rig.udp(reply(again, 407, headers=[asked("n2")]), BOB)
    assert what(outs) == ["ACK", "500"]
    assert rig.events == [
        CredentialsRefused("192.0.2.2", "carrier.test", "the user name or password is wrong")
    ]
    # Refused credentials are not shown again unasked.
    out = only(rig.udp(request(branch="z9hG4bKb", call_id="second")), "INVITE")
    assert not out.message.has("proxy-authorization")


def test_a_server_that_is_never_content() -> None:
    """Stale for ever: two answers, then it ends."""
    rig = carrier()
    out = only(rig.udp(request("MESSAGE")), "MESSAGE")
    for number in range(2):
        outs = rig.udp(reply(out, 407, headers=[asked(f"n{number}", more=", stale=true")]), BOB)
        out = only(outs, "MESSAGE")
    assert what(rig.udp(reply(out, 407, headers=[asked("n9", more=", stale=true")]), BOB)) == ["500"]


def test_no_digest_for_others() -> None:
    """No digest for another host that asks in our realm, and none for another realm of our host."""
    rig = carrier(relay_to("sip:carol@192.0.2.3"))
    first = only(rig.udp(request()), "INVITE")
    outs = rig.udp(reply(first, 407, headers=[asked()]), CAROL)
    assert what(outs) == ["ACK", "407"]
    assert outs[1].message.has("proxy-authenticate")
    rig = carrier()
    first = only(rig.udp(request()), "INVITE")
    outs = rig.udp(
        reply(first, 407, headers=[("Proxy-Authenticate", 'Digest realm="other", nonce="1", qop="auth"')]),
        BOB,
    )
    assert what(outs) == ["ACK", "407"]
    (event,) = rig.events
    assert (event.realm, event.reason) == ("other", "the account is for realm carrier.test")


def test_several_realms_at_once() -> None:
    """22.3: we answer the challenges that we can; other credentials and challenges pass."""
    rig = carrier()
    theirs = 'Digest username="alice", realm="other", nonce="x", uri="sip:x", response="0"'
    foreign = ("Proxy-Authenticate", 'Digest realm="other", nonce="1", qop="auth"')
    invite = request(headers=[("Proxy-Authorization", theirs)])
    first = only(rig.udp(invite), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[foreign, asked()]), BOB), "INVITE")
    assert [parse_credentials(one, "", "").realm for one in again.message.get_all("proxy-authorization")] == [
        "other",
        "carrier.test",
    ]
    final = only(rig.udp(reply(again, 407, headers=[foreign]), BOB), "407")
    assert final.message.get_all("proxy-authenticate") == [foreign[1]]


def test_the_topmost_algorithm_that_is_known() -> None:
    """RFC 8760 2.4."""
    rig = carrier()
    first = only(rig.udp(request()), "INVITE")
    several = [asked("n1", "SHA-999"), asked("n2", "SHA-512-256"), asked("n3", "MD5")]
    again = only(rig.udp(reply(first, 407, headers=several), BOB), "INVITE")
    assert (credentials(again).nonce, credentials(again).algorithm) == ("n2", "SHA-512-256")
    assert believed(again)


@pytest.mark.parametrize(
    ("qop", "used"), [("auth-int", "auth-int"), ("auth,auth-int", "auth"), ("x,auth", "auth")]
)
def test_quality_of_protection(qop: str, used: str) -> None:
    """RFC 7616 3.3: the body is covered where nothing less is offered."""
    rig = carrier()
    challenge = f'Digest realm="carrier.test", nonce="n", qop="{qop}"'
    first = only(rig.udp(request("MESSAGE", body=b"hello")), "MESSAGE")
    again = only(rig.udp(reply(first, 407, headers=[("Proxy-Authenticate", challenge)]), BOB), "MESSAGE")
    assert credentials(again).qop == [used]
    assert believed(again)


@pytest.mark.parametrize(
    "challenge",
    [
        'Digest realm="carrier.test", nonce="n", qop="auth-conf"',
        'Digest realm="carrier.test", nonce=""',
        'Digest realm="carrier.test", nonce="n", algorithm=MD5-sess',
        'Basic realm="carrier.test"',
        "Digest nonsense",
    ],
)
def test_challenges_that_cannot_be_answered(challenge: str) -> None:
    """RFC 8760 2.4: ignored, Basic above all."""
    rig = carrier()
    first = only(rig.udp(request("MESSAGE")), "MESSAGE")
    outs = rig.udp(reply(first, 407, headers=[("Proxy-Authenticate", challenge)]), BOB)
    assert "MESSAGE" not in what(outs)
    assert len(outs) == 1


def test_a_server_of_the_old_kind() -> None:
    """RFC 7616 3.4.1: without qop neither nc nor cnonce."""
    rig = carrier()
    first = only(rig.udp(request("MESSAGE")), "MESSAGE")
    challenge = 'Digest realm="carrier.test", nonce="n", opaque="o\\"p"'
    again = only(rig.udp(reply(first, 407, headers=[("Proxy-Authenticate", challenge)]), BOB), "MESSAGE")
    one = credentials(again)
    assert set(one.params) == {"username", "realm", "nonce", "uri", "response", "opaque"}
    key = ha1("trunk", "carrier.test", "secret")
    assert one.response == compute_response(key, "MESSAGE", one.uri, "n")
    assert one.opaque == 'o"p'


def test_the_server_proves_itself() -> None:
    """RFC 7616 3.5: nextnonce is used, unless rspauth shows that the server does not know the password."""
    rig = carrier()
    first = only(rig.udp(request("MESSAGE")), "MESSAGE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "MESSAGE")
    made = credentials(again)

    def proof(nonce: str, key: str, nc: str, cnonce: str, following: str) -> tuple[str, str]:
        proof = compute_response(
            key, "", made.uri, nonce, algorithm="SHA-256", qop="auth", nc=nc, cnonce=cnonce
        )
        return ("Proxy-Authentication-Info", f'nextnonce="{following}", rspauth="{proof}"')

    key = ha1("trunk", "carrier.test", "secret", "SHA-256")
    rig.udp(reply(again, 200, headers=[proof("n1", key, "00000001", made.cnonce, "next")]), BOB)
    out = only(rig.udp(request("MESSAGE", branch="z9hG4bKb", call_id="2")), "MESSAGE")
    made = credentials(out)
    assert (made.nonce, made.params["nc"]) == ("next", "00000001")
    rig.udp(reply(out, 200, headers=[proof("next", "wrong", "00000001", made.cnonce, "evil")]), BOB)
    out = only(rig.udp(request("MESSAGE", branch="z9hG4bKc", call_id="3")), "MESSAGE")
    assert credentials(out).nonce == "next"


def test_a_hidden_user_name() -> None:
    """RFC 7616 3.4.4."""
    rig = carrier()
    first = only(rig.udp(request("MESSAGE")), "MESSAGE")
    outs = rig.udp(reply(first, 407, headers=[asked(more=", userhash=true")]), BOB)
    one = credentials(only(outs, "MESSAGE"))
    assert one.params["userhash"] == "true"
    assert one.username == sha256(b"trunk:carrier.test").hexdigest()


def test_the_address_of_a_name_is_learned() -> None:
    """Within a dialog the carrier is called by its address: the host that accepted us there asks there."""
    account = Account(("sip.carrier.test",), "carrier.test", "trunk", "secret")

    def route(handle: Any) -> None:
        if handle.in_dialog:
            handle.relay()
        else:
            handle.record_route()
            handle.relay("sip:bob@sip.carrier.test")

    rig = Rig(route=route, accounts=[account])
    rig.udp(request())
    first = only(rig.answer([("udp", "192.0.2.2", 5060)]), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "INVITE")
    ok = only(rig.udp(reply(again, 200), BOB), "200")
    out = only(rig.udp(in_dialog("BYE", ok, 2)), "BYE")
    assert credentials(out).params["nc"] == "00000002"


def test_credentials_of_the_route() -> None:
    """``relay(credentials=…)``, with nothing in the configuration, HA1 in place of the password."""
    key = ha1("trunk", "carrier.test", "secret", "SHA-256")
    account = Account(("192.0.2.0/24",), "carrier.test", "trunk", keys={"sha-256": key})

    def route(handle: Any) -> None:
        handle.relay("sip:bob@192.0.2.2", credentials=account)

    rig = Rig(route=route)
    first = only(rig.udp(request("MESSAGE")), "MESSAGE")
    outs = rig.udp(reply(first, 407, headers=[asked("n", "MD5"), asked("n")]), BOB)
    assert believed(only(outs, "MESSAGE"))


@pytest.mark.parametrize("seed", range(12))
def test_hostile_carriers(seed: int) -> None:
    """Challenges, successes and failures in any order, to anything that was sent: there is an end."""
    chance = random.Random(seed)
    rig = carrier()
    for number in range(40):
        method = chance.choice(["INVITE", "MESSAGE", "SUBSCRIBE"])
        rig.udp(request(method, branch=f"z9hG4bKs{number}", call_id=f"c{number % 5}", cseq=number + 1))
        for _ in range(chance.randrange(6)):
            known = [
                out for out in rig.log if out.to == BOB and out.what in ("INVITE", "MESSAGE", "SUBSCRIBE")
            ]
            to = chance.choice(known[-6:])
            field, challenge = asked(f"n{chance.randrange(3)}", chance.choice(["MD5", "SHA-256", "x"]))
            challenge += chance.choice(["", ", stale=true", ", userhash=true", ', opaque="', ", qop=auth"])
            status = chance.choice([100, 180, 200, 401, 407, 407, 407, 481, 503])
            field = "WWW-Authenticate" if status == 401 else field
            rig.udp(reply(to, status, headers=[(field, challenge)] if status in (401, 407) else ()), BOB)
            rig.wait(chance.choice([0.0, 0.0, 0.6, 33.0]))
    assert not any(type(event).__name__ == "RouteFailed" for event in rig.events)
    rig.run_out()
    assert rig.stack.idle

"""Names, realms and peers that are ours (RFC 3325, RFC 3261 22.3)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.proxy.trust import TrustDomain, identity_of
from sansip.routing.trust import TrustedPeer
from sansip.transport import Flow, Listener, Listeners
from sansip.wire import parse_uri
from tests.rig import ALICE, BOB, CAROL, HOST, Out, Rig, only, relay_to, reply, request, sent, what
from tests.routing.test_within import CONTACT, MALLORY, STRANGER, Stranger, asking, proven

OURS = ["biloxi.test"]
ASSERTED = [
    ("P-Asserted-Identity", "<sip:boss@biloxi.test>"),
    ("P-Asserted-Service", "urn:urn-7:3gpp-service.ims.icsi.mmtel"),
    ("P-Preferred-Identity", "<sip:boss@biloxi.test>"),
    ("P-Charge-Info", "<sip:boss@biloxi.test>"),
    ("Remote-Party-ID", "<sip:boss@biloxi.test>;party=calling"),
]
NAMES = [name.lower() for name, _ in ASSERTED]
ALERT = ("Alert-Info", "<http://elsewhere.example/loud.wav>;info=alert-autoanswer")


def domain(believes: Any = lambda *_: False) -> TrustDomain:
    listeners = Listeners([Listener(0, "udp", HOST, 5060), Listener(1, "udp", "2001:db8::10", 5060)], OURS)
    return TrustDomain(listeners, ["Biloxi.test"], True, believes)


@pytest.mark.parametrize(
    ("uri", "user"),
    [
        ("sip:bob@biloxi.test", "bob@biloxi.test"),
        ("sip:bob@BILOXI.test.", "bob@biloxi.test"),
        ("sip:bob@biloxi.test:5099", "bob@biloxi.test"),
        ("sips:b%6Fb@biloxi.test;transport=tcp", "bob@biloxi.test"),
        (f"sip:bob@{HOST}:5099", f"bob@{HOST}"),
        (f"sip:bob@[::ffff:{HOST}]", f"bob@{HOST}"),
        ("sip:bob@[::FFFF:C000:020A]:5099", f"bob@{HOST}"),
        ("sip:bob@[2001:DB8:0::10]", "bob@2001:db8::10"),
        ("im:bob@biloxi.test", "bob@biloxi.test"),
        ("pres:bob@biloxi.test.?x=y", "bob@biloxi.test"),
        ("IM:b%6fb@Biloxi.Test:77;x", "bob@biloxi.test"),
        ("tel:70-01;phone-context=biloxi.test", "7001@biloxi.test"),
        ("tel:7001;phone-context=Biloxi.test.", "7001@biloxi.test"),
        ("sip:bob@elsewhere.example", ""),
        ("sip:biloxi.test@elsewhere.example", ""),
        ("sip:bob@192.0.2.11", ""),
        ("im:bob@elsewhere.example", ""),
        ("im:biloxi.test", "@biloxi.test"),
        ("mailto:bob@biloxi.test", ""),
        ("tel:+15551234", ""),
        ("tel:7001;phone-context=+1555", ""),
    ],
)
def test_whose_name_it_is(uri: str, user: str) -> None:
    """A phone shows the user, and no reader looks at the dot, the port or the scheme behind it."""
    assert domain().user(parse_uri(uri)) == user
    assert domain().owns(parse_uri(uri)) is bool(user)


def test_nobody_is_named_by_a_scheme_that_names_nobody() -> None:
    """RFC 3261 25.1: any absolute URI may stand in From."""
    assert identity_of(parse_uri("urn:uuid:f81d4fae")) == ("", "")
    assert identity_of(parse_uri("im:bob@[1::")) == ("", "")


def test_realms() -> None:
    """Realms that a phone may take for the same are the same here; a route may ask in further ones."""
    trust = domain()
    assert trust.is_realm("biloxi.test")
    assert trust.is_realm(" BILOXI.test ")
    assert not trust.is_realm("elsewhere.example")
    assert not trust.is_realm(None)
    trust.asks_in("Tenant One")
    assert trust.is_realm("tenant  one")
    for number in range(2_000):
        trust.asks_in(f"realm {number}")
    assert not trust.is_realm("realm 1999")


def test_who_is_trusted() -> None:
    """Ourselves, and the hosts that the operator names."""
    trust = domain(lambda flow: (flow.transport, flow.host) == ("tls", "198.51.100.5"))
    assert trust.trusts(Flow("tls", 0, ("198.51.100.5", 40_000)))
    assert not trust.trusts(Flow("udp", 0, ("198.51.100.5", 5060)))
    assert trust.trusts(Flow("udp", 0, (HOST, 5060)))
    assert not trust.trusts(Flow("udp", 0, (HOST, 5080)))


@pytest.mark.parametrize(
    "sender",
    [
        "<sip:alice@biloxi.test.>",
        "<sip:alice@biloxi.test:5099>",
        f"<sip:alice@{HOST}:5099>",
        f"<sip:alice@[::ffff:{HOST}]>",
        "<im:alice@biloxi.test>",
        "<tel:7001;phone-context=biloxi.test>",
    ],
)
def test_a_name_of_ours_needs_its_password(sender: str) -> None:
    """Issue 13: however a stranger writes it; and its own user may write it so."""
    rig = asking()
    assert what(rig.udp(request(source=STRANGER, sender=sender), STRANGER)) == ["407"]
    user = "7001" if "tel:" in sender else "alice"
    outs = proven(
        rig, STRANGER, "INVITE", "sip:bob@elsewhere.example", user, sender=sender, branch="z9hG4bKx"
    )
    assert what(outs) == ["100"]
    outs = proven(rig, STRANGER, "MESSAGE", "sip:bob@elsewhere.example", "carol", sender=sender, call_id="2")
    assert sent(outs) == [("403", STRANGER)]


def test_a_domain_with_a_dot_is_that_domain() -> None:
    """RFC 1034 3.1: for Request-URIs and registrations, too; of several domains the right one."""
    rig = Rig(domains=["biloxi.test", "chicago.test"])
    rig.register("sip:bob@192.0.2.2", aor="sip:bob@chicago.test.")
    rig.register("sip:bob@192.0.2.3", CAROL, aor="sip:bob@biloxi.test")
    assert sent(rig.udp(request(uri="sip:bob@chicago.test.")))[-1] == ("INVITE", BOB)


# --- RFC 3325


def inviting(rig: Rig, source: Any, sender: str, *headers: tuple[str, str], number: int = 0) -> Out:
    """The INVITE to bob that leaves."""
    data = request(source=source, sender=sender, headers=[("Contact", f"<{CONTACT}>"), *ASSERTED, *headers],
                   branch=f"z9hG4bK{number}", call_id=f"c{number}", from_tag="m")  # fmt: skip
    return only(rig.udp(data, source), "INVITE")


def test_a_stranger_asserts_nothing() -> None:
    """RFC 3325 5: neither at the beginning nor within a dialog.

    Nor may a stranger make a phone answer by itself.
    """
    rig = asking(trusted=[TrustedPeer(CAROL[0], "carrier")])
    call = Stranger(rig)
    for method in ("INVITE", "INFO", "BYE", "ACK"):
        out = call.send(method, headers=[("Route", call.route), *ASSERTED, ALERT])[-1]
        assert [name for name in [*NAMES, "alert-info"] if out.message.has(name)] == []
    out = inviting(rig, STRANGER, MALLORY, ALERT, number=1)
    assert [name for name in [*NAMES, "alert-info"] if out.message.has(name)] == []


def test_a_trusted_peer_does() -> None:
    """The carrier knows who calls."""
    rig = asking(trusted=[TrustedPeer(CAROL[0], "carrier")])
    Stranger(rig)
    out = inviting(rig, CAROL, MALLORY, ALERT, number=1)
    assert [name for name in [*NAMES, "alert-info"] if out.message.has(name)] == [*NAMES, "alert-info"]


def test_our_users_assert_nothing_and_may_ring_as_they_like() -> None:
    """RFC 3325 5: a phone is no part of the trust domain; but an intercom is a phone of ours."""
    rig = asking()
    Stranger(rig)
    outs = proven(
        rig, ALICE, "INVITE", "sip:bob@biloxi.test", "alice", call_id="i", headers=[*ASSERTED, ALERT]
    )
    out = only(outs, "INVITE").message
    assert [name for name in [*NAMES, "alert-info"] if out.has(name)] == ["alert-info"]


def test_an_answer_asserts_nothing_either() -> None:
    """RFC 3325 5: a message is a request or a response; bob's phone may choose the ring-back tone."""
    for status in (180, 200, 486):
        rig = asking()
        call = Stranger(rig, status=183)
        (out,) = [
            out
            for out in rig.udp(reply(call.invite, status, headers=[*ASSERTED, ALERT]), BOB)
            if out.to == STRANGER
        ]
        assert [name for name in [*NAMES, "alert-info"] if out.message.has(name)] == ["alert-info"]
    call = Stranger(asking())
    late = only(call.rig.udp(reply(call.invite, 200, headers=ASSERTED, tag="other"), BOB), "200")
    assert not late.message.has("p-asserted-identity")


def test_privacy() -> None:
    """RFC 3325 5, 7: what its user wants to be kept private does not leave the trust domain."""
    rig = asking(trusted=[TrustedPeer(CAROL[0], "carrier")])
    Stranger(rig)
    for number, (value, kept) in enumerate(
        (("id", False), ("header; ID", False), ("none", True), ("user", True))
    ):
        out = inviting(rig, CAROL, MALLORY, ("Privacy", value), number=number)
        assert out.message.has("p-asserted-identity") is kept
    rig = Rig(
        lambda incoming: incoming.relay("sip:x@192.0.2.3"), auth=AuthConfig(), trusted=[TrustedPeer(CAROL[0])]
    )
    out = only(rig.udp(request(source=STRANGER, sender=MALLORY), STRANGER), "INVITE")
    headers = [("P-Asserted-Identity", "<sip:x@carrier.test>"), ("Privacy", "id")]
    assert not only(rig.udp(reply(out, 180, headers=headers), CAROL), "180").message.has(
        "p-asserted-identity"
    )


SECRET = [("P-Asserted-Identity", "<sip:x@carrier.test>"), ("Privacy", "id")]


@pytest.mark.parametrize(("trusted", "kept"), [(CAROL, False), (BOB, True)])
def test_a_late_answer_is_judged_by_who_gives_it(trusted: Any, kept: bool) -> None:
    """RFC 3325 5: not by the trust in the server that is tried meanwhile (RFC 3263 4.3)."""
    rig = Rig(relay_to("sip:x@phone.test"), auth=AuthConfig(), trusted=[TrustedPeer(trusted[0])])
    rig.udp(request())
    slow = only(rig.answer([BOB, CAROL]), "INVITE")
    assert sent(rig.wait(3))[-1] == ("INVITE", CAROL)
    outs = rig.udp(reply(slow, 200, headers=[("P-Asserted-Identity", "<sip:x@carrier.test>")]), BOB)
    assert only(outs, "200").message.has("p-asserted-identity") is kept
    # RFC 3261 13.3.1.4: it comes again until its ACK does.
    outs = rig.udp(reply(slow, 200, headers=[("P-Asserted-Identity", "<sip:x@carrier.test>")]), BOB)
    assert only(outs, "200").message.has("p-asserted-identity") is kept


def test_a_2xx_that_comes_again_keeps_the_secret() -> None:
    """RFC 3325 7, RFC 3261 13.3.1.4: each repetition leaves as the first, another fork's too."""
    rig = Rig(relay_to("sip:x@192.0.2.3"), auth=AuthConfig(), trusted=[TrustedPeer(CAROL[0])])
    out = only(rig.udp(request(source=STRANGER, sender=MALLORY), STRANGER), "INVITE")
    answer = reply(out, 200, headers=SECRET)
    first, again = (only(rig.udp(answer, CAROL), "200") for _ in range(2))
    assert not first.message.has("p-asserted-identity")
    assert again.data == first.data
    other = only(rig.udp(reply(out, 200, headers=SECRET, tag="other"), CAROL), "200")
    assert not other.message.has("p-asserted-identity")


# --- RFC 3261 22


CREDENTIALS = 'Digest username="alice", realm="{}", nonce="n", uri="sip:x", response="0"'
CHALLENGE = 'Digest realm="{}", nonce="n", algorithm=MD5, qop="auth"'
OTHER = "elsewhere.example"


@pytest.mark.parametrize("method", ["INVITE", "ACK", "BYE", "REFER"])
@pytest.mark.parametrize("field", ["Authorization", "Proxy-Authorization"])
def test_credentials_never_leave(method: str, field: str) -> None:
    """Issue 15: made by any user, with any method; those of others pass, and unreadable ones do not."""
    call = Stranger(asking())
    for realm, kept in (("biloxi.test", False), ("BILOXI.TEST", False), (OTHER, True)):
        headers = [
            ("Route", call.callees),
            (field, CREDENTIALS.format(realm)),
            (field, CREDENTIALS.format(OTHER)),
        ]
        out = call.from_bob(method, headers=headers)[-1]
        assert out.to == STRANGER
        assert len(out.message.get_all(field)) == 1 + kept
        assert "biloxi.test" not in " ".join(out.message.get_all(field)).lower()
    out = call.from_bob(method, headers=[("Route", call.callees), (field, 'Digest realm="biloxi.test", ,x')])[
        -1
    ]
    assert out.message.get_all(field) == []


def test_a_trusted_peer_may_ask_in_our_realm() -> None:
    """Another server of the same users: it gets what the phone answers it, and its challenge passes."""

    def route(incoming: Any) -> None:
        incoming.relay("sip:x@192.0.2.3")

    rig = Rig(route, auth=AuthConfig(), trusted=[TrustedPeer(CAROL[0])])
    headers = [("Authorization", CREDENTIALS.format("biloxi.test"))]
    out = only(rig.udp(request(headers=headers)), "INVITE")
    assert out.message.has("authorization")
    challenge = [("Proxy-Authenticate", CHALLENGE.format("biloxi.test"))]
    assert only(rig.udp(reply(out, 407, headers=challenge), CAROL), "407").message.has("proxy-authenticate")


@pytest.mark.parametrize(("status", "field"), [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")])
def test_nobody_else_asks_in_our_realm(status: int, field: str) -> None:
    """Issue 15: the stranger's 401 or 407 to a re-INVITE of bob's never reaches bob's phone."""
    for offered, passed in (
        (["biloxi.test"], None),
        (["Biloxi.Test", "biloxi.test"], None),
        (["biloxi.test", OTHER], 1),
        ([OTHER], 1),
    ):
        call = Stranger(asking())
        invite = only(call.from_bob("INVITE"), "INVITE")
        headers = [(field, CHALLENGE.format(realm)) for realm in offered]
        (out,) = [
            out
            for out in call.rig.udp(reply(invite, status, tag="m", headers=headers), STRANGER)
            if out.to == BOB
        ]
        if passed is None:
            assert out.what == "502"
            assert not out.message.has(field)
        else:
            assert out.what == str(status)
            assert len(out.message.get_all(field)) == passed
            assert OTHER in out.message.get(field)
    call = Stranger(asking())
    invite = only(call.from_bob("INVITE"), "INVITE")
    outs = call.rig.udp(
        reply(invite, status, tag="m", headers=[(field, 'Digest realm="biloxi.test", ,')]), STRANGER
    )
    assert "502" in what(outs)


def test_nor_at_the_beginning_of_a_call() -> None:
    """The INVITE of our user to a stranger, and an INVITE that was forwarded without state."""
    rig = asking()
    outs = proven(rig, ALICE, "INVITE", CONTACT, "alice", to=MALLORY)
    challenge = [("Proxy-Authenticate", CHALLENGE.format("biloxi.test"))]
    assert what(rig.udp(reply(only(outs, "INVITE"), 407, headers=challenge), STRANGER)) == ["ACK", "502"]

    def route(incoming: Any) -> None:
        incoming.relay(CONTACT, stateless=True)

    rig = Rig(route, auth=AuthConfig())
    headers = [("Proxy-Authorization", CREDENTIALS.format("biloxi.test"))]
    out = only(rig.udp(request("OPTIONS", headers=headers)), "OPTIONS")
    assert not out.message.has("proxy-authorization")
    assert what(rig.udp(reply(out, 407, headers=challenge), STRANGER)) == ["502"]


def test_a_server_that_asks_nobody_passes_everything_on() -> None:
    """An edge proxy in front of the registrar of these users: the challenge is the registrar's."""

    def route(incoming: Any) -> None:
        incoming.relay("sip:x@192.0.2.3")

    rig = Rig(route)
    headers = [("Authorization", CREDENTIALS.format("biloxi.test"))]
    out = only(rig.udp(request("REGISTER", headers=headers)), "REGISTER")
    assert out.message.has("authorization")
    challenge = [("WWW-Authenticate", CHALLENGE.format("biloxi.test"))]
    assert only(rig.udp(reply(out, 401, headers=challenge), CAROL), "401").message.has("www-authenticate")

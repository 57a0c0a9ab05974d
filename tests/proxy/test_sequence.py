"""Requests sent again with our credentials: CSeq, dialogs, and hosts that see no digest (RFC 3261 22.3)."""

from __future__ import annotations

import random
from hashlib import sha256
from typing import Any

import pytest

from sansip.auth import Account, compute_response, ha1
from sansip.entropy import Entropy
from sansip.events import CredentialsRefused
from sansip.proxy.sequence import Shifts
from sansip.wire import Request, parse_message
from sansip.wire.headers.auth import parse_credentials
from tests.rig import ALICE, BOB, CAROL, Out, Rig, ack, only, relay_to, reply, request, what, within

CARRIER = Account(("192.0.2.2",), "carrier.test", "trunk", "secret")
CHALLENGE = 'Digest realm="carrier.test", nonce="{nonce}", algorithm={algorithm}, qop="auth"'


def asked(nonce: str = "n1", algorithm: str = "SHA-256", more: str = "") -> tuple[str, str]:
    """A challenge of the carrier."""
    return ("Proxy-Authenticate", CHALLENGE.format(nonce=nonce, algorithm=algorithm) + more)


def credentials(out: Out, field: str = "proxy-authorization") -> Any:
    """The one Proxy-Authorization value of the sent message."""
    (value,) = out.message.get_all(field)
    return parse_credentials(value, field, "")


def carrier(route: Any = None, **config: Any) -> Rig:
    """A server that relays everything to Bob's address, where it has an account."""

    def everything(handle: Any) -> None:
        if handle.in_dialog and handle.from_dialog:
            handle.relay()
        elif handle.validate():
            handle.record_route()
            handle.relay("sip:bob@192.0.2.2")

    return Rig(route=route or everything, accounts=[CARRIER], **config)


def believed(out: Out) -> bool:
    """Whether the sent message proves that the sender knows the carrier's password."""
    one = credentials(out)
    expected = compute_response(
        ha1("trunk", "carrier.test", "secret", one.algorithm or "MD5"),
        out.message.method,
        one.uri,
        one.nonce,
        algorithm=one.algorithm,
        qop=one.qop[0],
        nc=one.params["nc"],
        cnonce=one.cnonce,
        body=out.message.body,
    )
    return bool(one.response == expected and one.uri == out.message.uri_text)


def called(rig: Rig, **options: Any) -> tuple[Out, Out]:
    """Place a call that the carrier challenges; return the INVITE it believes and the 200 to Alice."""
    contact = [("Contact", "<sip:alice@192.0.2.1>")]
    first = only(rig.udp(request(headers=contact, **options)), "INVITE")
    outs = rig.udp(reply(first, 407, headers=[asked()]), BOB)
    again = only(outs, "INVITE")
    return again, only(rig.udp(reply(again, 200, headers=[("Contact", "<sip:bob@192.0.2.2>")]), BOB), "200")


def in_dialog(method: str, ok: Out, cseq: int, *, down: bool = True, **more: Any) -> bytes:
    """A request within the dialog, from Alice, who got ``ok``, or (not ``down``) from Bob."""
    routes = [("Route", value) for value in ok.message.get_all("record-route")]
    alice = ("<sip:alice@biloxi.test>", "alice")
    bob = ("<sip:bob@biloxi.test>", "bob")
    (sender, from_tag), (to, to_tag) = (alice, bob) if down else (bob, alice)
    headers = (routes[::-1] if down else routes) + list(more.pop("headers", ()))
    return request(
        method,
        "sip:bob@192.0.2.2" if down else "sip:alice@192.0.2.1",
        source=ALICE if down else BOB,
        branch=more.pop("branch", f"z9hG4bK{method}{cseq}{down}"),
        sender=sender,
        from_tag=from_tag,
        to=to,
        to_tag=to_tag,
        cseq=cseq,
        headers=headers,
        **more,
    )


def test_a_challenged_call() -> None:
    """22.2: a new branch, a new CSeq, credentials; the caller sees nothing of it."""
    rig = carrier()
    first = only(rig.udp(request(cseq=7)), "INVITE")
    assert first.message.get("proxy-authorization") is None
    outs = rig.udp(reply(first, 407, headers=[asked()]), BOB)
    # 17.1.1.3: the failure is acknowledged with its own number.
    assert [(out.what, out.message.get("cseq")) for out in outs] == [("ACK", "7 ACK"), ("INVITE", "8 INVITE")]
    again = outs[1]
    assert again.message.via.branch != first.message.via.branch
    assert believed(again)
    assert credentials(again).params["nc"] == "00000001"
    ringing = only(rig.udp(reply(again, 180), BOB), "180")
    assert (ringing.to, ringing.message.get("cseq")) == (ALICE, "7 INVITE")
    assert only(rig.udp(reply(again, 200), BOB), "200").message.get("cseq") == "7 INVITE"
    # RFC 6026 7.2: a second 2xx, of a fork behind the carrier, as well.
    late = only(rig.udp(reply(again, 200, tag="other"), BOB), "200")
    assert late.message.get("cseq") == "7 INVITE"


def test_the_dialog_goes_on_with_higher_numbers() -> None:
    """12.2.1.1 as each side sees it: ACK, PRACK and BYE fit what the carrier got, in one direction alone."""
    rig = carrier()
    invite, ok = called(rig, cseq=7)
    assert [value.count(";c=1-") for value in ok.message.get_all("record-route")] == [1]
    (out,) = rig.udp(in_dialog("ACK", ok, 7))
    assert (out.to, out.message.get("cseq")) == (BOB, "8 ACK")
    out = only(rig.udp(in_dialog("PRACK", ok, 8, headers=[("RAck", "1 7 INVITE")])), "PRACK")
    assert (out.message.get("cseq"), out.message.get("rack")) == ("9 PRACK", "1 8 INVITE")
    assert only(rig.udp(reply(out, 200), BOB), "200").message.get("cseq") == "8 PRACK"
    # Bob's requests have numbers of their own.
    out = only(rig.udp(in_dialog("BYE", invite, 40, down=False), BOB), "BYE")
    assert (out.to, out.message.get("cseq")) == (ALICE, "40 BYE")
    assert only(rig.udp(reply(out, 200, tag=None)), "200").message.get("cseq") == "40 BYE"


def test_the_dialog_survives_a_restart() -> None:
    """The mark is all that is needed: another stack with the same secret goes on."""
    _, ok = called(carrier(secret=b"s" * 32))
    out = only(carrier(secret=b"s" * 32).udp(in_dialog("BYE", ok, 2)), "BYE")
    assert out.message.get("cseq") == "3 BYE"


def test_a_forged_mark_says_nothing() -> None:
    rig = carrier(secret=b"s" * 32)
    _, ok = called(rig)
    data = in_dialog("BYE", ok, 2).replace(b";c=1-", b";c=9-")
    assert only(rig.udp(data), "BYE").message.get("cseq") == "2 BYE"


def test_a_challenge_within_the_dialog() -> None:
    """A re-INVITE with a stale nonce: its ACK has its number, an earlier one keeps its own."""
    rig = carrier()
    _, ok = called(rig)
    rig.udp(in_dialog("ACK", ok, 1))
    out = only(rig.udp(in_dialog("INVITE", ok, 2)), "INVITE")
    # The nonce is used again: nc counts (RFC 7616 3.4).
    assert (out.message.get("cseq"), credentials(out).params["nc"]) == ("3 INVITE", "00000002")
    again = only(rig.udp(reply(out, 407, headers=[asked("n2", more=", stale=true")]), BOB), "INVITE")
    assert (again.message.get("cseq"), credentials(again).nonce) == ("4 INVITE", "n2")
    assert only(rig.udp(reply(again, 200), BOB), "200").message.get("cseq") == "2 INVITE"
    (out,) = rig.udp(in_dialog("ACK", ok, 2))
    assert out.message.get("cseq") == "4 ACK"
    (out,) = rig.udp(in_dialog("ACK", ok, 1, branch="z9hG4bKlate"))
    assert out.message.get("cseq") == "2 ACK"
    assert only(rig.udp(in_dialog("BYE", ok, 3)), "BYE").message.get("cseq") == "5 BYE"


def test_the_next_call_is_not_challenged() -> None:
    """RFC 7616 3.6: credentials go along at once; then no number changes, and no mark is needed."""
    rig = carrier()
    called(rig)
    out = only(rig.udp(request(branch="z9hG4bKb", call_id="second", cseq=5)), "INVITE")
    assert believed(out)
    assert (credentials(out).params["nc"], out.message.get("cseq")) == ("00000002", "5 INVITE")
    assert ";c=" not in (out.message.get("record-route") or "")


def test_a_new_attempt_of_the_caller() -> None:
    """The caller's next number (after a 422, say) would equal the one that we used: it is raised, too."""
    rig = carrier()
    first = only(rig.udp(request(cseq=1)), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "INVITE")
    rig.udp(reply(again, 422), BOB)
    rig.udp(ack(request(cseq=1), only(rig.log, "422")))
    out = only(rig.udp(request(cseq=2, branch="z9hG4bKb")), "INVITE")
    assert out.message.get("cseq") == "3 INVITE"
    assert ";c=1-" in (out.message.get("record-route") or "")


def test_whoever_raised_the_number_stays_on_the_path() -> None:
    """A route that does not record itself: the dialog could not go on without us."""
    rig = carrier(relay_to("sip:bob@192.0.2.2"))
    first = only(rig.udp(request()), "INVITE")
    assert not first.message.has("record-route")
    again = only(rig.udp(reply(first, 401, headers=[("WWW-Authenticate", asked()[1])]), BOB), "INVITE")
    assert ";c=1-" in (again.message.get("record-route") or "")
    assert credentials(again, "authorization").nonce == "n1"


def test_a_cancel_has_the_number_of_its_invite() -> None:
    """9.1."""
    rig = carrier()
    invite = request(cseq=3)
    first = only(rig.udp(invite), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "INVITE")
    rig.udp(reply(again, 180), BOB)
    out = only(rig.udp(within(invite, "CANCEL")), "CANCEL")
    assert out.message.get("cseq") == "4 CANCEL"
    assert only(rig.udp(reply(again, 487), BOB), "487").message.get("cseq") == "3 INVITE"


def test_a_cancel_between_challenge_and_answer() -> None:
    """Given up meanwhile: the challenge is not answered any more."""
    rig = carrier()
    invite = request()
    first = only(rig.udp(invite), "INVITE")
    rig.udp(within(invite, "CANCEL"))
    outs = rig.udp(reply(first, 407, headers=[asked()]), BOB)
    assert what(outs) == ["ACK", "487"]


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


def test_a_fork_in_which_one_asks() -> None:
    """16.7 step 7: each branch answers its own challenge; the number of the other branch stays."""

    def route(handle: Any) -> None:
        handle.record_route()
        handle.relay(["sip:bob@192.0.2.2", "sip:carol@192.0.2.3"])

    rig = carrier(route)
    outs = rig.udp(request())
    bob, carol = [out for out in outs if out.what == "INVITE"]
    again = only(rig.udp(reply(bob, 407, headers=[asked()]), BOB), "INVITE")
    assert again.message.get("cseq") == "2 INVITE"
    outs = rig.udp(reply(carol, 200, tag="carol"), CAROL)
    assert only(outs, "200").message.get("cseq") == "1 INVITE"


def test_numbers_that_cannot_be_raised() -> None:
    """8.1.1.5: less than 2**31."""
    rig = carrier()
    first = only(rig.udp(request(cseq=2**31 - 1)), "INVITE")
    assert what(rig.udp(reply(first, 407, headers=[asked()]), BOB)) == ["ACK", "500"]


def test_limits_of_what_is_remembered() -> None:
    """``limits.raised_dialogs`` and ``limits.client_nonces``: the oldest goes, nothing breaks."""
    rig = carrier(limits={"raised_dialogs": 2, "client_nonces": 1})
    for number in range(4):
        data = request("MESSAGE", call_id=f"c{number}", branch=f"z9hG4bK{number}", cseq=5)
        out = only(rig.udp(data), "MESSAGE")
        again = only(rig.udp(reply(out, 407, headers=[asked(f"n{number}")]), BOB), "MESSAGE")
        rig.udp(reply(again, 200), BOB)
    assert len(rig.stack.proxy.shifts.steps) == 2
    out = only(rig.udp(request("MESSAGE", call_id="c3", branch="z9hG4bKx", cseq=6)), "MESSAGE")
    assert out.message.get("cseq") == "7 MESSAGE"
    out = only(rig.udp(request("MESSAGE", call_id="c0", branch="z9hG4bKy", cseq=6)), "MESSAGE")
    assert out.message.get("cseq") == "6 MESSAGE"


@pytest.mark.parametrize(
    ("hosts", "realm", "user", "more", "fault"),
    [
        ((), "r", "u", {"password": "p"}, "at least one host"),
        (("h",), "", "u", {"password": "p"}, "a realm"),
        (("h",), "r", "u", {}, "no password"),
        (("h",), "r", "u", {"keys": {"SHA1": "00"}}, "unknown digest"),
        (("10.0.0.0/99",), "r", "u", {"password": "p"}, "nor a network"),
    ],
)
def test_accounts_that_could_not_work(
    hosts: Any, realm: str, user: str, more: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ValueError, match=fault):
        Account(hosts, realm, user, **more)


def test_an_account_shows_no_password() -> None:
    """Where it is printed by mistake."""
    assert "secret" not in repr(CARRIER)


def test_a_success_after_it_was_given_up() -> None:
    """RFC 3261 16.8, 16.7 step 5: a 2xx counts still, and has the caller's number."""
    rig = carrier()
    first = only(rig.udp(request(cseq=4)), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "INVITE")
    rig.udp(reply(again, 180), BOB)
    # Timer C: it is being cancelled, and is answered all the same.
    assert "CANCEL" in what(rig.wait(200))
    late = [out for out in rig.udp(reply(again, 200), BOB) if out.what == "200"]
    assert [out.message.get("cseq") for out in late] == ["4 INVITE"]


def test_a_timeout_of_what_was_sent_again() -> None:
    """16.8: silence after our answer is a 408, with the caller's own number."""
    rig = carrier()
    first = only(rig.udp(request(cseq=4)), "INVITE")
    rig.udp(reply(first, 407, headers=[asked()]), BOB)
    failures = [out for out in rig.wait(40) if out.what == "408"]
    assert {out.message.get("cseq") for out in failures} == {"4 INVITE"}


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


def test_raised_after() -> None:
    """A request of ours in a side's name takes a number: its own later ones are one higher, each time."""
    shifts = Shifts(Entropy(b"x" * 16), 2)
    message = parse_message(request("BYE", from_tag="a", to_tag="b", call_id="c", cseq=7))
    assert isinstance(message, Request)
    shifts.raise_after("c", "a", 6)
    assert shifts.of(message, 0) == 1
    # The other side has seen 7, which was ours; the sender's own last one is 6 still.
    shifts.raise_after("c", "a", 7)
    assert shifts.of(message, 0) == 2
    assert shifts.of(message, 0, 6) == 0
    # Of a side that has sent nothing the first number may be any.
    shifts.raise_after("d", "a", 0)
    shifts.raise_after("e", "a", 0)
    assert len(shifts.steps) == 2
    shifts.forget("e", "a")
    assert list(shifts.steps) == [("d", "a")]

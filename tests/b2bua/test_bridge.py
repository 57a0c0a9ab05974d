"""A bridge, one call with two dialogs: the parts that pass, those that do not, the end of the call."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.b2bua import Policy
from sansip.errors import LocalProtocolError
from sansip.events import CallBegan, CallEnded
from sansip.routing import Target
from sansip.ua import CallRefused
from sansip.wire import parse_uri
from tests.ua.phones import ANSWER, OFFER, SDP, Bench, times_of

BOB, CAROL = "sip:bob@192.0.2.2", "sip:carol@192.0.2.3"


def bridging(targets: Any = BOB, policy: Policy | None = None, **options: Any) -> Any:
    async def route(request: Any) -> None:
        bridge = request.bridge(targets, policy, **options)
        if bridge is not None:
            try:
                await bridge
            except CallRefused:
                pass

    return route


def talking(bench: Bench, **options: Any) -> Any:
    """Alice and Bob talk; returns Bob's INVITE."""
    bench.call(**options)
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 200, None, [SDP], body=ANSWER)
    response = bench.alice.expect("200")
    assert response.body == ANSWER
    bench.alice.request("ACK")
    bench.bob.expect("ACK")
    return invite


def ends_well(bench: Bench) -> None:
    bench.network.run(70)
    assert bench.at_rest()


def test_a_call() -> None:
    """The description passes octet for octet; nothing of a hop or a dialog does (RFC 7092 3.1)."""
    bench = Bench(bridging())
    invite = talking(bench, headers=[("Subject", "lunch"), ("X-Secret", "1"), ("User-Agent", "phone")])
    assert invite.body == OFFER
    assert invite.get("subject") == "lunch"
    assert invite.max_forwards == 69
    first = bench.alice.agent.invite
    for hidden in (
        "192.0.2.1:",
        first.get("call-id"),
        first.get("from").partition("tag=")[2],
        "X-Secret",
        "phone",
    ):
        assert str(hidden) not in str(invite)
    assert len(invite.vias) == 1
    bench.alice.request("BYE")
    bench.alice.expect("200")
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    ends_well(bench)
    began, ended = (one for one in bench.server.events if isinstance(one, (CallBegan, CallEnded)))
    assert (began.caller, began.callee) == ("sip:alice@biloxi.test", "sip:box@biloxi.test")
    assert (ended.number, ended.reason) == (began.number, "BYE")


def test_the_callee_hangs_up() -> None:
    """A BYE passes from either side, and its Reason with it."""
    bench = Bench(bridging())
    talking(bench)
    bench.bob.request("BYE", None, [("Reason", "Q.850;cause=16")])
    bench.bob.expect("200")
    bye = bench.alice.expect("BYE")
    assert bye.get("reason") == "Q.850;cause=16"
    bench.alice.reply(bye, 200)
    ends_well(bench)


def test_ringing_and_early_media() -> None:
    """18x pass, with the description of the first phone that has one."""
    bench = Bench(bridging())
    bench.call()
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 180)
    assert bench.alice.expect("180").body == b""
    bench.bob.reply(invite, 183, None, [SDP], body=ANSWER)
    assert bench.alice.expect("183").body == ANSWER


def test_reliable_ringing() -> None:
    """RFC 3262: reliable on one side is reliable on the other; each side has its own RSeq."""
    bench = Bench(bridging())
    bench.call(headers=[("Supported", "100rel")])
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 183, None, [("Require", "100rel"), ("RSeq", "900"), SDP], body=ANSWER)
    bench.bob.reply(bench.bob.expect("PRACK"), 200)
    progress = bench.alice.expect("183")
    assert progress.get("rseq") != "900"
    bench.alice.request("PRACK", None, [("RAck", f"{progress.get('rseq')} {progress.cseq.number} INVITE")])
    bench.alice.expect("200")
    bench.bob.reply(invite, 200)
    bench.alice.expect("200")


@pytest.mark.parametrize(("status", "seen"), [(486, "486"), (603, "603"), (407, "403"), (503, "500")])
def test_failures(status: int, seen: str) -> None:
    """A failure passes to the caller, except for failures that concern our leg alone."""
    bench = Bench(bridging())
    bench.call()
    bench.bob.reply(bench.bob.expect("INVITE"), status)
    bench.bob.expect("ACK")
    bench.alice.expect(seen)
    bench.alice.request("ACK")
    ends_well(bench)


def test_the_caller_gives_up() -> None:
    """A CANCEL passes, with its Reason."""
    bench = Bench(bridging())
    bench.call()
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 180)
    bench.alice.expect("180")
    bench.alice.request("CANCEL", None, [("Reason", "SIP;cause=487")])
    bench.alice.expect("487")
    bench.alice.request("ACK")
    cancel = bench.bob.expect("CANCEL")
    assert cancel.get("reason") == "SIP;cause=487"
    bench.bob.reply(cancel, 200)
    bench.bob.reply(invite, 487)
    bench.bob.expect("ACK")
    ends_well(bench)


def test_a_fork() -> None:
    """Two phones ring; the bridge cancels the phone that does not answer."""
    bench = Bench(bridging([BOB, CAROL]))
    bench.call()
    bob, carol = bench.bob.expect("INVITE"), bench.carol.expect("INVITE")
    bench.bob.reply(bob, 180)
    bench.carol.reply(carol, 180)
    bench.network.run(0.1)
    bench.carol.reply(carol, 200, None, [SDP], body=ANSWER)
    bench.carol.expect("ACK")
    bench.bob.reply(bench.bob.expect("CANCEL"), 200)
    bench.bob.reply(bob, 487)
    bench.bob.expect("ACK")
    assert bench.alice.expect("200").body == ANSWER
    bench.alice.request("ACK")
    bench.network.run(70)
    assert len(bench.ua.calls) == 2


@pytest.mark.parametrize("side", ["alice", "bob"])
def test_hold(side: str) -> None:
    """A re-INVITE passes from either side with its description, and its answer back."""
    bench = Bench(bridging())
    talking(bench)
    near, far = (bench.alice, bench.bob) if side == "alice" else (bench.bob, bench.alice)
    said, back = (OFFER, ANSWER) if side == "alice" else (ANSWER, OFFER)
    held, answer = said.replace(b"sendrecv", b"sendonly"), back.replace(b"sendrecv", b"recvonly")
    near.request("INVITE", None, [SDP], in_dialog=True, body=held)
    invite = far.expect("INVITE")
    assert invite.body == held
    far.reply(invite, 200, None, [SDP], body=answer)
    far.expect("ACK")
    assert near.expect("200").body == answer
    near.request("ACK")
    bench.network.run(40)
    assert len(bench.ua.calls) == 2


def test_a_late_offer() -> None:
    """RFC 3261 13.2.2.4: no offer in the INVITE; the callee's comes with its 200, the answer with the ACK."""
    bench = Bench(bridging())
    bench.call(b"")
    invite = bench.bob.expect("INVITE")
    assert invite.body == b""
    bench.bob.reply(invite, 200, None, [SDP], body=ANSWER)
    assert bench.alice.expect("200").body == ANSWER
    bench.network.run(0.2)
    assert not times_of(bench.bob, "ACK")
    bench.alice.request("ACK", None, [SDP], body=OFFER)
    assert bench.bob.expect("ACK").body == OFFER


def test_a_late_offer_within_the_call() -> None:
    """The same by re-INVITE."""
    bench = Bench(bridging())
    talking(bench)
    bench.alice.request("INVITE", None, in_dialog=True)
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 200, None, [SDP], body=ANSWER)
    assert bench.alice.expect("200").body == ANSWER
    bench.alice.request("ACK", None, [SDP], body=OFFER)
    assert bench.bob.expect("ACK").body == OFFER


def test_glare() -> None:
    """RFC 3261 14.2: both sides change the session at once; it ends with both sides in agreement."""
    bench = Bench(bridging())
    talking(bench)
    bench.network.set_links(latency=0.05)
    bench.alice.request("INVITE", None, [SDP], in_dialog=True, body=OFFER)
    bench.bob.request("INVITE", None, [SDP], in_dialog=True, body=ANSWER)
    bench.bob.expect("491")
    bench.bob.request("ACK")
    bench.bob.reply(bench.bob.expect("INVITE"), 491)
    bench.bob.expect("ACK")
    # Ours comes again by itself.
    again = bench.bob.expect("INVITE", within=5)
    assert again.body == OFFER
    bench.bob.reply(again, 200, None, [SDP], body=ANSWER)
    bench.alice.expect("200")


@pytest.mark.parametrize("method", ["INFO", "MESSAGE", "OPTIONS"])
def test_requests_within(method: str) -> None:
    """They pass with their body, and their answers back."""
    bench = Bench(bridging())
    talking(bench)
    bench.alice.request(method, None, [("Content-Type", "text/plain")], in_dialog=True, body=b"hello")
    got = bench.bob.expect(method)
    assert (got.body, got.get("content-type")) == (b"hello", "text/plain")
    bench.bob.reply(got, 202 if method == "MESSAGE" else 200)
    bench.alice.expect("2xx")


def test_update() -> None:
    """RFC 3311: an UPDATE passes as one."""
    bench = Bench(bridging())
    talking(bench)
    bench.bob.request("UPDATE", None, [SDP], body=ANSWER)
    update = bench.alice.expect("UPDATE")
    assert update.body == ANSWER
    bench.alice.reply(update, 200, None, [SDP], body=OFFER)
    assert bench.bob.expect("200").body == OFFER


def test_no_ack() -> None:
    """RFC 3261 13.3.1.4: a caller that never acknowledges is given up, and so is the callee."""
    bench = Bench(bridging())
    bench.call()
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")
    bench.alice.reply(bench.alice.expect("BYE", within=33), 200)
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    ends_well(bench)


def test_hops() -> None:
    """RFC 7332: Max-Forwards is lowered, and ends a loop of bridges."""
    bench = Bench(bridging("sip:box@192.0.2.10"))
    bench.alice.request("INVITE", "sip:box@biloxi.test", [SDP, ("Max-Forwards", "2")], body=OFFER)
    bench.alice.expect("483", within=5)
    bench.network.run(100)
    assert not bench.ua.calls


def test_longest_duration() -> None:
    """Policy.max_duration."""
    bench = Bench(bridging(policy=Policy(max_duration=60)))
    talking(bench)
    bench.alice.reply(bench.alice.expect("BYE", within=61), 200)
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    ends_well(bench)


def test_policy() -> None:
    """Names pass by a list, or by how they begin; what would tell the topology cannot be named."""
    bench = Bench(bridging(policy=Policy(passes=["X-*", "Subject"], from_="sip:desk@biloxi.test")))
    invite = talking(bench, headers=[("Subject", "lunch"), ("X-Ticket", "7"), ("Priority", "urgent")])
    assert (invite.get("x-ticket"), invite.get("subject"), invite.get("priority")) == ("7", "lunch", None)
    assert str(invite.from_.uri) == "sip:desk@biloxi.test"
    with pytest.raises(LocalProtocolError, match="record-route cannot pass"):
        Policy(passes=["Record-Route"])


def test_serial_targets() -> None:
    """Lower q after all of higher q failed, as for relay."""
    bench = Bench(bridging([Target(parse_uri(BOB)), Target(parse_uri(CAROL), q=500)]))
    bench.call()
    bench.bob.reply(bench.bob.expect("INVITE"), 480)
    bench.carol.reply(bench.carol.expect("INVITE"), 486)
    bench.alice.expect("480")


@pytest.mark.parametrize("side", ["alice", "bob"])
def test_a_re_invite_is_cancelled(side: str) -> None:
    """RFC 3261 14.1: the CANCEL of a re-INVITE passes; the session stays as it was."""
    bench = Bench(bridging())
    talking(bench)
    near, far = (bench.alice, bench.bob) if side == "alice" else (bench.bob, bench.alice)
    near.request("INVITE", None, [SDP], in_dialog=True, body=OFFER if side == "alice" else ANSWER)
    invite = far.expect("INVITE")
    far.reply(invite, 180)
    bench.network.run(0.1)
    near.request("CANCEL")
    near.expect("487")
    near.request("ACK")
    far.reply(far.expect("CANCEL"), 200)
    far.reply(invite, 487)
    far.expect("ACK")
    near.request("INFO", None, in_dialog=True)
    far.reply(far.expect("INFO"), 200)
    near.expect("200")
    assert len(bench.ua.calls) == 2


def test_a_cancel_that_lost_the_race() -> None:
    """Bob accepted the offer that Alice had cancelled: the bridge offers Bob again what Alice still has."""
    bench = Bench(bridging())
    talking(bench)
    held = OFFER.replace(b"alice 1 1", b"alice 1 2").replace(b"sendrecv", b"sendonly")
    bench.alice.request("INVITE", None, [SDP], in_dialog=True, body=held)
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 180)
    bench.network.run(0.1)
    bench.alice.request("CANCEL")
    bench.alice.expect("487")
    bench.alice.request("ACK")
    bench.bob.reply(invite, 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")
    again = bench.bob.expect("INVITE")
    # RFC 3264 8: the old description, with a version that is higher than the last one's.
    assert again.body == OFFER.replace(b"alice 1 1", b"alice 1 3")
    bench.bob.reply(again, 200, None, [SDP], body=ANSWER)
    bench.bob.expect("ACK")


# Values that tell one side of the other side's hops, dialogs, users and passwords.
NEVER = [
    ("Path", "<sip:secret;lr>"),
    ("Service-Route", "<sip:secret;lr>"),
    ("Authorization", 'Digest username="secret", realm="x", nonce="n", uri="sip:x", response="0"'),
    ("Proxy-Authorization", 'Digest username="secret", realm="x", nonce="n", uri="sip:x", response="0"'),
    ("Authentication-Info", 'rspauth="secret"'),
    ("User-Agent", "secret"),
    ("Server", "secret"),
    ("Supported", "secret"),
    ("Allow", "SECRET"),
    ("Timestamp", "54.21"),
    ("Target-Dialog", "secret;local-tag=a;remote-tag=b"),
    ("Join", "secret;to-tag=a;from-tag=b"),
    ("Referred-By", "<sip:secret@192.0.2.1>"),
    ("Session-ID", "5ec2e75ec2e75ec2e75ec2e75ec2e700;remote=00000000000000000000000000000000"),
    ("P-Asserted-Identity", "<sip:secret@biloxi.test>"),
    ("P-Access-Network-Info", "secret"),
    ("P-Visited-Network-ID", "secret"),
    ("P-Charging-Vector", "icid-value=secret"),
    ("History-Info", "<sip:secret@192.0.2.1>;index=1"),
    ("Identity", "secret;info=<https://secret>"),
    ("X-Secret", "secret"),
]


def test_hops_never_cross() -> None:
    """Via, Record-Route, Contact, Call-ID and tags of one side, which the other needs for nothing."""
    bench = Bench(bridging())
    bench.call(
        headers=[
            ("Via", "SIP/2.0/UDP secret.example;branch=z9hG4bKsecret"),
            ("Record-Route", "<sip:192.0.2.1;lr;secret>"),
            ("Contact", "<sip:secret@192.0.2.1>"),
        ]
    )
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(
        invite, 200, None, [SDP, ("Record-Route", "<sip:192.0.2.2;lr;hidden>")], body=ANSWER, tag="hidden"
    )
    bench.alice.expect("200")
    for phone, word in ((bench.bob, b"secret"), (bench.alice, b"hidden")):
        assert not [one for one in phone.history if word in one.data and one.what in ("INVITE", "180", "200")]
    sent = bench.alice.agent.invite
    for name in ("call-id", "from"):
        value = str(sent.get(name))
        value = value.partition("tag=")[2] or value
        assert value.encode() not in b"".join(one.data for one in bench.bob.history)


@pytest.mark.parametrize(("name", "value"), NEVER, ids=[name for name, _ in NEVER])
def test_what_never_crosses(name: str, value: str) -> None:
    """In every message of a call, in both directions, with any other fields."""
    bench = Bench(bridging())
    extra = [(name, value)]
    bench.call(headers=extra)
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 180, None, extra)
    bench.bob.reply(invite, 200, None, [SDP, *extra], body=ANSWER)
    bench.alice.expect("200")
    bench.alice.request("ACK", None, extra, without=["Route"])
    bench.bob.expect("ACK")
    for phone, other in ((bench.alice, bench.bob), (bench.bob, bench.alice)):
        for method in ("INFO", "INVITE", "UPDATE"):
            body = OFFER if method != "INFO" else b""
            fields = [*extra, *([SDP] if body else [])]
            phone.request(method, None, fields, in_dialog=True, body=body, without=["Route"])
            got = other.expect(method)
            other.reply(got, 200, None, fields, body=ANSWER if body else b"")
            phone.expect("200")
            if method == "INVITE":
                phone.request("ACK", None, extra, without=["Route"])
                other.expect("ACK")
    bench.alice.request("BYE", None, extra, without=["Route"])
    bench.bob.reply(bench.bob.expect("BYE"), 200, None, extra)
    bench.network.run(1)
    secret = b"5ec2e7" if name == "Session-ID" else b"54.21" if name == "Timestamp" else b"secret"
    sent_by = {"alice": bench.bob, "bob": bench.alice}
    for one in sent_by.values():
        for message in one.history:
            # RFC 3261 8.2.6.1: an answer repeats the Timestamp of its own request.
            kept = b"" if message.what.isdigit() and name == "Timestamp" else message.data
            assert secret not in kept.lower(), message.data


def test_session_timers_are_each_legs_own() -> None:
    """RFC 4028: Alice refreshes her session with us, and Bob is not troubled; we refresh his."""
    bench = Bench(bridging())
    bench.call(headers=[("Supported", "timer"), ("Session-Expires", "90;refresher=uac")])
    invite = bench.bob.expect("INVITE")
    # RFC 4028 7.1: ours, not hers.
    assert (invite.get("session-expires"), invite.get("min-se")) == ("1800", "90")
    fields = [SDP, ("Session-Expires", "300;refresher=uac"), ("Require", "timer"), ("Allow", "UPDATE")]
    bench.bob.reply(invite, 200, None, fields, body=ANSWER)
    answer = bench.alice.expect("200")
    assert answer.get("session-expires") == "90;refresher=uac"
    bench.alice.request("ACK")
    bench.bob.expect("ACK")
    for _ in range(3):
        bench.network.run(40)
        bench.alice.request("UPDATE", None, [("Supported", "timer"), ("Session-Expires", "90;refresher=uac")])
        bench.alice.expect("200")
    # At 150 s, half of what Bob agreed to.
    refresh = bench.bob.expect("UPDATE", within=40)
    assert refresh.get("session-expires") == "300;refresher=uac"
    bench.bob.reply(refresh, 200, None, [("Session-Expires", "300;refresher=uac")])
    assert len(bench.ua.calls) == 2


def test_a_leg_that_dies_ends_the_other() -> None:
    """RFC 4028 10: Alice's phone lost its power; Bob hears why his call ends (RFC 3326)."""
    bench = Bench(bridging())
    bench.call(headers=[("Supported", "timer"), ("Session-Expires", "90;refresher=uac")])
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bye = bench.bob.expect("BYE", within=90)
    assert bye.get("reason") == 'SIP;cause=408;text="Session timer expired"'
    bench.bob.reply(bye, 200)
    bench.alice.reply(bench.alice.expect("BYE"), 200)
    ends_well(bench)


def test_a_phone_that_knows_the_call_no_longer() -> None:
    """RFC 3261 12.2.1.2: 481 to an INFO; the other side is hung up, and told so."""
    bench = Bench(bridging())
    talking(bench)
    bench.alice.request("INFO", None, in_dialog=True)
    bench.bob.reply(bench.bob.expect("INFO"), 481)
    bye = bench.alice.expect("BYE")
    assert bye.get("reason") == 'SIP;cause=481;text="The other side is gone"'


def test_the_reason_of_a_refusal() -> None:
    """RFC 6432: the reason of the refusal passes with the failure."""
    bench = Bench(bridging())
    bench.call()
    bench.bob.reply(bench.bob.expect("INVITE"), 486, None, [("Reason", "Q.850;cause=17")])
    assert bench.alice.expect("486").get("reason") == "Q.850;cause=17"

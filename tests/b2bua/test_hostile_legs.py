"""A phone on one side of a bridge that means harm: to the server, to the other side, or to somebody else."""

from __future__ import annotations

import pytest

from sansip.b2bua import Policy
from sansip.events import LimitReached
from sansip.routing.trust import TrustedPeer
from tests.b2bua.test_bridge import BOB, CAROL, bridging, ends_well, talking
from tests.b2bua.test_transfer import refer, told
from tests.ua.phones import ANSWER, OFFER, SDP, Bench, times_of


def test_a_callee_that_rings_reliably_without_end() -> None:
    """RFC 3262: a caller that demands 100rel and sends no PRACK; what waits for it is bounded, and nothing
    raises."""
    bench = Bench(bridging())
    bench.call(headers=[("Require", "100rel")])
    invite = bench.bob.expect("INVITE")
    for _ in range(40):
        bench.bob.reply(invite, 180)
    bench.network.run(1)
    bench.bob.reply(invite, 486)
    bench.alice.expect("486")


def test_a_late_fork_with_an_offer() -> None:
    """RFC 3261 13.2.2.4: the bridge acknowledges a 2xx that comes too late.

    The phone that won gets the answer.
    """
    bench = Bench(bridging())
    bench.call(b"")
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 200, None, [SDP], body=ANSWER, tag="first")
    bench.alice.expect("200")
    bench.bob.reply(invite, 200, None, [SDP], body=ANSWER.replace(b"50000", b"50002"), tag="second")
    late = bench.bob.expect("ACK")
    assert (late.to_tag, late.body) == ("second", b"")
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    bench.alice.request("ACK", None, [SDP], body=OFFER)
    ack = bench.bob.expect("ACK")
    assert (ack.to_tag, ack.body) == ("first", OFFER)


def test_a_transfer_to_a_phone_that_says_nothing_of_media() -> None:
    """A 200 without the offer that was asked for: hung up, not kept for ever."""
    bench = Bench(bridging())
    talking(bench)
    refer(bench.bob, f"<{CAROL}>")
    bench.bob.expect("202")
    told(bench, bench.bob)
    bench.carol.reply(bench.carol.expect("INVITE"), 200)
    bench.carol.expect("ACK")
    bench.carol.reply(bench.carol.expect("BYE"), 200)
    assert told(bench, bench.bob).startswith("SIP/2.0 488")
    bench.network.run(40)
    assert len(bench.ua.calls) == 2


def test_a_transfer_whose_call_ends() -> None:
    """Alice hangs up while Carol rings: Carol would have no one to talk to, so the bridge stops ringing."""
    bench = Bench(bridging())
    talking(bench)
    refer(bench.bob, f"<{CAROL}>")
    bench.bob.expect("202")
    invite = bench.carol.expect("INVITE")
    bench.carol.reply(invite, 180)
    bench.network.run(0.1)
    bench.alice.request("BYE", None)
    bench.alice.expect("200")
    bench.bob.reply(bench.bob.expect("BYE"), 200)
    bench.carol.reply(bench.carol.expect("CANCEL"), 200)
    bench.carol.reply(invite, 487)
    ends_well(bench)


def test_a_stranger_has_nobody_called() -> None:
    """A caller who has proved nothing may call here.

    A REFER of such a caller must not make us call a third party: we would be its gateway.
    """
    bench = Bench(bridging())
    talking(bench)
    refer(bench.alice, f"<{CAROL}>")
    bench.alice.expect("603")
    bench.network.run(1)
    assert not bench.carol.history


@pytest.mark.parametrize("targets", [None, BOB])
def test_a_callee_of_the_callers_choice_has_nobody_called(targets: str | None) -> None:
    """The Request-URI of a stranger names the callee, which may be an accomplice: its REFER calls nobody."""
    bench = Bench(bridging(targets))
    bench.alice.request("INVITE", BOB, [SDP], body=OFFER)
    bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.bob.expect("ACK")
    refer(bench.bob, f"<{CAROL}>")
    bench.bob.expect("603")


def test_a_caller_who_proved_himself_may() -> None:
    """A trusted address, or a password: the bridge carries out the REFER of such a caller."""
    bench = Bench(bridging(), trusted=[TrustedPeer("192.0.2.1")])
    talking(bench)
    refer(bench.alice, f"<{CAROL}>")
    bench.alice.expect("202")
    bench.carol.expect("INVITE")


def test_requests_without_end() -> None:
    """Sixteen wait for the far side; more are told to come back, and not that there is no call (481)."""
    bench = Bench(bridging())
    talking(bench)
    for _ in range(20):
        bench.alice.request("INFO", None, in_dialog=True)
    assert bench.alice.expect("503").get("retry-after")
    bench.network.run(0.2)
    assert "481" not in {one.what for one in bench.alice.history}
    assert len(bench.ua.calls) == 2


def test_re_invites_without_end() -> None:
    """RFC 3261 14.2: one at a time; the others get 491 or 500, and the far side sees one."""
    bench = Bench(bridging())
    talking(bench)
    for _ in range(50):
        bench.alice.request("INVITE", None, [SDP], in_dialog=True, body=OFFER)
    bench.network.run(0.3)
    assert len(times_of(bench.bob, "INVITE")) == 2
    assert {one.what for one in bench.alice.history} <= {"100", "180", "200", "500", "491"}
    assert len(bench.ua.calls) == 2


@pytest.mark.parametrize("proved", [False, True])
def test_nothing_is_sent_where_a_stranger_says(proved: bool) -> None:
    """Contact and Record-Route of a stranger name a victim: our requests go to the source of the call."""
    for field in ("Contact", "Record-Route"):
        bench = Bench(bridging())
        value = "<sip:victim@192.0.2.3>" if field == "Contact" else "<sip:192.0.2.3;lr>"
        bench.call(headers=[(field, value)])
        bench.bob.reply(bench.bob.expect("INVITE"), 200, None, [SDP], body=ANSWER)
        bench.alice.expect("200")
        bench.bob.expect("ACK")
        if proved:
            bench.alice.request("ACK", None, without=["Route"])
            bench.network.run(0.1)
            bench.bob.request("BYE")
            bench.bob.expect("200")
        assert bench.alice.expect("BYE", within=40)
        bench.network.run(5)
        assert not bench.carol.history, field


def test_a_new_target_that_is_a_victims() -> None:
    """RFC 3261 12.2.2: a re-INVITE refreshes the target; a stranger's stays at the source of the call."""
    bench = Bench(bridging())
    talking(bench)
    bench.alice.request("INVITE", None, [SDP, ("Contact", "<sip:v@192.0.2.3>")], in_dialog=True, body=OFFER)
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 200, None, [SDP], body=ANSWER)
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.network.run(0.1)
    bench.bob.request("BYE")
    bench.bob.expect("200")
    bench.alice.expect("BYE")
    bench.network.run(5)
    assert not bench.carol.history


def test_breadth() -> None:
    """RFC 5393 5.3: two targets that lead back here would double at each of seventy hops."""
    bench = Bench(bridging(["sip:box@192.0.2.10", "sip:box2@192.0.2.10"]))
    bench.call()
    bench.network.run(3)
    assert len(bench.ua.calls) < 60
    bench.alice.expect("500", within=40)
    bench.network.run(120)
    assert bench.at_rest()


def test_bridges_in_a_row() -> None:
    """One INVITE that comes back seventy times would be 140 calls of ours."""
    bench = Bench(bridging("sip:box@192.0.2.10"), limits={"bridges_in_a_row": 2})
    bench.call()
    bench.alice.expect("500")
    bench.server.flush()
    assert "bridges_in_a_row" in {one.name for one in bench.server.events if isinstance(one, LimitReached)}
    bench.network.run(100)
    assert bench.at_rest()


def test_breadth_is_handed_on() -> None:
    """RFC 5393 5.3.3: the branches share the breadth of the request; 440 when none is left."""
    bench = Bench(bridging([BOB, CAROL]))
    bench.call(headers=[("Max-Breadth", "5")])
    shares = [phone.expect("INVITE").get("max-breadth") for phone in (bench.bob, bench.carol)]
    assert shares == ["3", "2"]
    bench = Bench(bridging([BOB, CAROL]))
    bench.call(headers=[("Max-Breadth", "1")])
    invite = bench.bob.expect("INVITE")
    assert invite.get("max-breadth") == "1"
    bench.carol.expect_nothing(0.1)
    bench.bob.reply(invite, 486)
    bench.carol.expect("INVITE")
    bench = Bench(bridging([BOB, CAROL]))
    bench.call(headers=[("Max-Breadth", "0")])
    bench.alice.expect("440")


@pytest.mark.parametrize("field", ["P-Asserted-Identity", "Remote-Party-ID", "P-Charge-Info"])
def test_what_a_stranger_asserts(field: str) -> None:
    """RFC 3325 5: no bridge passes an asserted identity from a peer that we do not trust."""
    policy = Policy(passes=["P-*", "Remote-Party-ID"])
    bench = Bench(bridging(policy=policy))
    invite = talking(bench, headers=[(field, "<sip:boss@biloxi.test>")])
    assert invite.get(field) is None

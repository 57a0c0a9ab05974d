"""``ProxyConfig.failover_time``: an address that says nothing does not cost Timer B (RFC 3263 4.3)."""

from __future__ import annotations

from typing import Any

from sansip.proxy import ProxyConfig
from tests.rig import ALICE, BOB, BOB_URI, CAROL, DAVE, Out, Rig, only, relay_to, reply, request, sent, what

NAME = "sip:bob@phone.test"
LARGE = b"v=0\r\n" * 300


def resolved(*addresses: Any, method: str = "INVITE", **options: Any) -> tuple[Rig, list[Out]]:
    """A request for a target whose name has these addresses."""
    rig = Rig(relay_to(NAME), **options)
    rig.udp(request(method))
    return rig, rig.answer(list(addresses))


def test_a_silent_address_costs_three_seconds() -> None:
    """Three INVITEs were sent to it by then; the next gets a transaction and a branch of its own."""
    rig, outs = resolved(BOB, CAROL)
    first = only(outs, "INVITE")
    assert sent(rig.wait(2.9)) == [("INVITE", BOB)] * 2
    outs = rig.wait(0.2)
    assert sent(outs) == [("INVITE", CAROL)]
    assert outs[0].time == rig.start + 3.0
    assert outs[0].message.via.branch != first.message.via.branch
    # The one given up is not sent to any more.
    assert ("INVITE", BOB) not in sent(rig.wait(10))
    assert sent(rig.udp(reply(outs[0], 200), CAROL)) == [("200", ALICE)]


def test_the_last_address_gets_all_of_timer_b() -> None:
    """No other address is left, so this one may take its time; then 408 (16.8)."""
    rig, _ = resolved(BOB, CAROL)
    outs = rig.wait(40)
    assert next(one.time for one in outs if one.what == "408") == rig.start + 3.0 + 32.0
    single, _ = resolved(BOB)
    assert ("408", ALICE) not in sent(single.wait(31.9))
    assert sent(single.wait(0.2)) == [("408", ALICE)]


def test_a_provisional_response_ends_the_hurry() -> None:
    """RFC 3263 4.3: a failure is a timeout without any response, provisional or final."""
    rig, outs = resolved(BOB, CAROL)
    assert rig.udp(reply(only(outs, "INVITE"), 100), BOB) == []
    assert rig.wait(60) == []
    assert sent(rig.udp(reply(only(outs, "INVITE"), 200), BOB)) == [("200", ALICE)]


def test_no_failover_after_a_100_to_a_non_invite() -> None:
    """The same where Timer F fires in Proceeding: the server has the request, and may have done it."""
    rig, outs = resolved(BOB, CAROL, method="OPTIONS")
    rig.udp(reply(only(outs, "OPTIONS"), 100), BOB)
    assert ("OPTIONS", CAROL) not in sent(rig.wait(40))


def test_a_non_invite_hurries_too() -> None:
    """Timer F would leave nothing of the sender's own Timer F for the second address."""
    rig, _ = resolved(BOB, CAROL, method="OPTIONS")
    outs = rig.wait(3)
    assert sent(outs)[-1] == ("OPTIONS", CAROL)
    assert sent(rig.udp(reply(outs[-1], 200), CAROL)) == [("200", ALICE)]


def test_one_that_rings_after_all_is_cancelled() -> None:
    """RFC 3261 9.1: the caller has given it up, and a phone must not ring on."""
    rig, outs = resolved(BOB, CAROL)
    first = only(outs, "INVITE")
    rig.wait(3.1)
    outs = rig.udp(reply(first, 180), BOB)
    assert sent(outs) == [("CANCEL", BOB)]
    assert outs[0].message.via.branch == first.message.via.branch
    # Once is enough, and its 487 is acknowledged and goes nowhere.
    assert rig.udp(reply(first, 183), BOB) == []
    rig.udp(reply(outs[0], 200), BOB)
    assert sent(rig.udp(reply(first, 487), BOB)) == [("ACK", BOB)]


def test_one_that_answers_after_all_has_the_call() -> None:
    """RFC 3261 16.7 step 5: every 2xx is forwarded; the one tried meanwhile is cancelled when it rings."""
    rig, outs = resolved(BOB, CAROL)
    first = only(outs, "INVITE")
    second = rig.wait(3)[-1]
    assert sent(rig.udp(reply(first, 200), BOB)) == [("200", ALICE)]
    assert rig.wait(10) == []
    outs = rig.udp(reply(second, 180), CAROL)
    assert sent(outs) == [("CANCEL", CAROL)]


def test_one_that_answers_while_the_next_rings() -> None:
    """The next has a provisional response already, so its CANCEL goes at once (9.1)."""
    rig, outs = resolved(BOB, CAROL)
    first = only(outs, "INVITE")
    second = rig.wait(3)[-1]
    rig.udp(reply(second, 180), CAROL)
    outs = rig.udp(reply(first, 200), BOB)
    assert sorted(sent(outs)) == [("200", ALICE), ("CANCEL", CAROL)]
    # A 2xx that crosses the CANCEL goes up as well.
    assert sent(rig.udp(reply(second, 200), CAROL)) == [("200", ALICE)]


def test_a_late_failure_says_nothing() -> None:
    """It is acknowledged, and the address tried now decides."""
    rig, outs = resolved(BOB, CAROL)
    first = only(outs, "INVITE")
    second = rig.wait(3)[-1]
    assert sent(rig.udp(reply(first, 486), BOB)) == [("ACK", BOB)]
    assert sent(rig.udp(reply(second, 404), CAROL)) == [("ACK", CAROL), ("404", ALICE)]


def test_who_hangs_up_cancels_the_one_being_tried() -> None:
    """No further address is tried; the caller gets a 487 (16.10)."""
    rig, _ = resolved(BOB, CAROL, DAVE)
    second = rig.wait(3)[-1]
    rig.udp(request("CANCEL"))
    assert ("INVITE", DAVE) not in sent(rig.wait(20))
    assert sent(rig.udp(reply(second, 180), CAROL)) == [("CANCEL", CAROL), ("180", ALICE)]


def test_each_address_but_the_last_gets_its_time() -> None:
    """Two silent ones cost six seconds."""
    rig, _ = resolved(BOB, CAROL, DAVE)
    outs = rig.wait(6)
    assert sent(outs)[-1] == ("INVITE", DAVE)
    assert outs[-1].time == rig.start + 6.0


def test_the_next_call_does_not_pay_again() -> None:
    """RFC 3263 2 and limits.avoid_time: a silent address stands last until the time has passed."""
    rig, _ = resolved(BOB, CAROL)
    rig.udp(reply(rig.wait(3)[-1], 200), CAROL)
    rig.udp(request(call_id="next", branch="z9hG4bKnext"))
    assert only(rig.answer([BOB, CAROL]), "INVITE").to == CAROL
    rig.wait(30)
    rig.udp(request(call_id="later", branch="z9hG4bKlater"))
    assert only(rig.answer([BOB, CAROL]), "INVITE").to == BOB


def test_a_connection_that_is_not_established_in_time() -> None:
    """A host that drops our SYNs is silent, too: UDP is tried before limits.connect_time has passed."""
    rig = Rig(relay_to(BOB_URI))
    assert "Connect" in what(rig.udp(request(body=LARGE)))
    outs = rig.wait(3)
    assert sent(outs)[-1] == ("INVITE", BOB)
    assert outs[-1].message.via.transport == "UDP"


def test_the_next_large_request_does_not_pay_again() -> None:
    """limits.avoid_time: it goes over UDP at once, until TCP is worth another try."""
    rig = Rig(relay_to(BOB_URI))
    rig.udp(request(body=LARGE))
    rig.udp(reply(rig.wait(3)[-1], 200), BOB)
    assert what(rig.udp(request(body=LARGE, call_id="next", branch="z9hG4bKnext"))) == ["100", "INVITE"]
    rig.wait(31)
    assert what(rig.udp(request(body=LARGE, call_id="later", branch="z9hG4bKlater"))) == ["100", "Connect"]


def test_a_server_that_accepts_and_says_nothing() -> None:
    """A connection alone is no response."""
    rig = Rig(relay_to(NAME))
    rig.udp(request())
    connect = only(rig.answer([("tcp", *BOB), ("udp", *CAROL)]), "Connect")
    assert what(rig.opened(connect)) == ["INVITE"]
    assert sent(rig.wait(3)) == [("INVITE", CAROL)]


def test_never() -> None:
    """``failover_time`` 0: Timer B as RFC 3261 has it."""
    rig, _ = resolved(BOB, CAROL, proxy=ProxyConfig(failover_time=0))
    assert ("INVITE", CAROL) not in sent(rig.wait(31.9))
    assert sent(rig.wait(0.2)) == [("INVITE", CAROL)]


def test_nobody_waits_for_one_that_was_given_up() -> None:
    """A server that shuts down is not kept by it."""
    rig, _ = resolved(BOB, CAROL)
    second = rig.wait(3)[-1]
    assert rig.stack.idle is False
    rig.udp(reply(second, 404), CAROL)
    assert [rig.stack.idle] == [True]
    rig.wait(70)
    assert rig.stack.snapshot()["client_transactions"] == 0


def test_one_that_was_cancelled_and_says_nothing_more_is_forgotten() -> None:
    """RFC 3261 9.1: after 64*T1. It has rung, so no Timer B ends it: a phone could fill the memory so."""
    rig, outs = resolved(BOB, CAROL)
    first = only(outs, "INVITE")
    second = rig.wait(3.1)[-1]
    assert sent(rig.udp(reply(first, 180), BOB)) == [("CANCEL", BOB)]
    rig.udp(reply(second, 486), CAROL)
    rig.wait(31.8)
    assert rig.stack.snapshot()["client_transactions"]
    rig.run_out()
    assert rig.empty

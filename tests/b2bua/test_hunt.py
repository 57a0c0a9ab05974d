"""The order in which phones are called, and the seconds that each has."""

from __future__ import annotations

from typing import Any

from sansip.b2bua import Policy
from sansip.routing import Target
from sansip.wire import parse_uri
from tests.b2bua.test_bridge import BOB, CAROL, bridging, ends_well
from tests.ua.phones import ANSWER, SDP, Bench

IN_TURN = [Target(parse_uri(BOB)), Target(parse_uri(CAROL), q=500)]


def test_ring() -> None:
    """A phone that does not answer is given up after ``ring`` seconds, and the next is called."""
    bench = Bench(bridging(IN_TURN, ring=10))
    bench.call()
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 180)
    carol = bench.carol.expect("INVITE", within=11)
    bench.bob.reply(bench.bob.expect("CANCEL"), 200)
    bench.bob.reply(invite, 487)
    bench.carol.reply(carol, 200, None, [SDP], body=ANSWER)
    bench.alice.expect("200")


def test_answer() -> None:
    """The bridge gives up a silent phone early; a phone that sent 100 has its time to ring."""
    bench = Bench(bridging(IN_TURN, ring=30, answer=2))
    bench.call()
    bench.bob.expect("INVITE")
    bench.carol.expect("INVITE", within=2.5)
    bench = Bench(bridging(IN_TURN, ring=30, answer=2))
    bench.call()
    bench.bob.reply(bench.bob.expect("INVITE"), 100)
    bench.carol.expect_nothing(5)


def test_a_redirection_is_the_callers() -> None:
    """Policy.redirect: by default the caller learns where else to look."""
    bench = Bench(bridging())
    bench.call()
    bench.bob.reply(bench.bob.expect("INVITE"), 302, None, [("Contact", f"<{CAROL}>")])
    assert bench.alice.expect("302").get("contact") == f"<{CAROL}>"


def test_a_redirection_is_followed() -> None:
    """Policy.redirect = "follow": the caller never hears of it; no phone is called twice."""
    bench = Bench(bridging(policy=Policy(redirect="follow")))
    bench.call()
    bench.bob.reply(bench.bob.expect("INVITE"), 302, None, [("Contact", f"<{CAROL}>, <{BOB}>")])
    carol = bench.carol.expect("INVITE")
    bench.carol.reply(carol, 302, None, [("Contact", f"<{BOB}>")])
    assert bench.alice.expect("302").get("contact") == f"<{BOB}>"
    bench.alice.request("ACK")
    ends_well(bench)


def test_redirections_without_end() -> None:
    """limits.branches: a server that invents places is not followed for ever."""
    bench = Bench(bridging(policy=Policy(redirect="follow")), limits={"branches": 5})
    count = 0

    def answer(request: Any) -> None:
        nonlocal count
        if request.method == "INVITE":
            count += 1
            bench.bob.reply(request, 302, None, [("Contact", f"<sip:bob{count}@192.0.2.2>")])

    bench.bob.on_request = answer
    bench.call()
    bench.alice.expect("302", within=5)
    assert count == 5


def test_declined_by_all() -> None:
    """RFC 3261 16.7 step 5: a 6xx ends the search."""
    bench = Bench(bridging(IN_TURN))
    bench.call()
    bench.bob.reply(bench.bob.expect("INVITE"), 603)
    bench.alice.expect("603")
    bench.carol.expect_nothing(1)


def test_many_targets_that_fail_at_once() -> None:
    """limits.calls is reached: each of a thousand targets fails before it leaves, and nothing overflows."""
    targets = [Target(parse_uri(f"sip:b{number}@192.0.2.2"), q=number) for number in range(1_000)]
    bench = Bench(bridging(targets), limits={"calls": 1})
    bench.call()
    bench.alice.expect("500")

"""A reload of listeners, limits and settings while calls run: they go on, and reach us where we are now."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.actions import CloseDatagram
from sansip.config import Reconfiguration
from sansip.limits import Limits
from sansip.transaction import TimerValues
from sansip.ua import UserAgentConfig
from tests.ua.phones import ANSWER, OFFER, SDP, Bench
from tests.ua.test_outgoing import during

UDP = ListenerConfig(0, "udp", "192.0.2.10", 5060)
TCP = ListenerConfig(1, "tcp", "192.0.2.10", 5060)
NEW = ListenerConfig(2, "udp", "192.0.2.10", 5080)


async def answers(request: Any) -> None:
    incoming = request.incoming()
    if incoming is not None:
        await incoming.accept(ANSWER)


def configure(bench: Bench, **changes: Any) -> None:
    bench.server.configure(Reconfiguration(**changes))


def called(bench: Bench, allow: str = "INVITE, ACK, BYE, UPDATE") -> None:
    """Alice calls us."""
    bench.call(headers=[("Allow", allow)])
    bench.alice.expect("200")
    bench.alice.request("ACK")
    bench.network.run(0.1)


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_a_call_moves_with_us(method: str) -> None:
    """RFC 3261 12.2.2: a target refresh tells the phone, by UPDATE where it can; both ends hang up later."""
    bench = Bench(answers)
    called(bench, "INVITE, ACK, BYE, UPDATE" if method == "UPDATE" else "INVITE, ACK, BYE")
    configure(bench, listeners=[TCP, NEW])
    refresh = bench.alice.expect(method)
    assert refresh.get("contact") == "<sip:192.0.2.10:5080>"
    assert refresh.vias[0].sent_by.endswith(":5080")
    bench.alice.reply(refresh, 200, None, [SDP] if method == "INVITE" else [], body=refresh.body)
    if method == "INVITE":
        assert refresh.body == ANSWER
        bench.alice.expect("ACK")
    # The phone sends where the Contact says from now on.
    bench.alice.agent.dialog.target = "sip:192.0.2.10:5080"
    bench.alice.request("INFO", None, in_dialog=True)
    bench.alice.expect("200")
    bench.alice.request("BYE")
    bench.alice.expect("200")
    bench.network.run(70)
    assert bench.at_rest()


def test_a_bye_to_the_old_place() -> None:
    """It crosses the refresh: the old socket is there until the phone can have heard; the call is found."""
    bench = Bench(answers)
    called(bench)
    configure(bench, listeners=[TCP, NEW])
    bench.network.run(5)
    bench.alice.request("BYE")
    bench.alice.expect("200")
    closed: list[Any] = []
    due: float | None = 0.0
    while not closed and (due := bench.server.stack.next_deadline()) is not None:
        closed = [one for one in bench.server.stack.time_passed(due) if isinstance(one, CloseDatagram)]
    assert closed == [CloseDatagram(0)]
    # RFC 3261 17.2.2: Timer J of the BYE is the last that runs there.
    assert due is not None
    assert due < 45


def test_without_calls_nothing_waits() -> None:
    """The socket of a listener that no call names goes at the next look."""
    bench = Bench(answers)
    configure(bench, listeners=[TCP, NEW])
    assert CloseDatagram(0) in bench.server.stack.time_passed(bench.network.now + 1.1)


def test_it_rings_meanwhile() -> None:
    """An early dialog hears of it as soon as a request may tell it: the 2xx has the new Contact."""

    def route(request: Any) -> None:
        incoming = request.incoming()
        incoming.ring()
        waiting.append(incoming)

    waiting: list[Any] = []
    bench = Bench(route)
    bench.call()
    bench.alice.expect("180")
    configure(bench, listeners=[TCP, NEW])

    async def work(ua: Any) -> None:
        waiting[0].accept(ANSWER)

    during(bench, work)
    assert bench.alice.expect("200").get("contact") == "<sip:192.0.2.10:5080>"


def test_a_call_of_ours_moves() -> None:
    """The caller's side: the INVITE left with the old Contact, its 2xx comes after the reload."""
    bench = Bench()

    async def work(ua: Any) -> Any:
        return await ua.invite("sip:bob@192.0.2.2", OFFER)

    during(bench, work)
    invite = bench.bob.expect("INVITE")
    bench.bob.reply(invite, 180)
    bench.network.run(0.1)
    configure(bench, listeners=[TCP, NEW])
    bench.bob.reply(invite, 200, None, [SDP, ("Allow", "INVITE, UPDATE")], body=ANSWER)
    ack = bench.bob.expect("ACK")
    assert ack.vias[0].sent_by.endswith(":5080")
    bench.network.run(2)
    assert bench.bob.expect("UPDATE").get("contact") == "<sip:192.0.2.10:5080>"


def test_many_calls_are_spread() -> None:
    """Five hundred a second: a reload is no burst."""
    bench = Bench(answers, limits={"calls_per_source": 10_000})
    for _ in range(50):
        called(bench)
    before = bench.network.now
    configure(bench, listeners=[TCP, NEW])
    bench.network.run(0.06)
    assert 20 < len([one for one in bench.alice.history if one.what == "UPDATE"]) < 31
    assert bench.ua.moving_until == pytest.approx(before + 0.1 + 32)


def test_a_new_listener_is_used_at_once() -> None:
    """Via and Contact of the next request are those of the only listener that reaches the phone."""
    bench = Bench()
    configure(bench, listeners=[TCP, NEW])

    async def work(ua: Any) -> Any:
        ua.invite("sip:bob@192.0.2.2", OFFER)

    during(bench, work)
    invite = bench.bob.expect("INVITE")
    assert invite.get("contact") == "<sip:192.0.2.10:5080>"
    assert invite.vias[0].sent_by == "192.0.2.10:5080"


def test_settings_and_limits() -> None:
    """``[ua]``, limits, timers and the first domain hold for the next call, not for a running one."""
    bench = Bench(answers)
    called(bench)
    configure(
        bench,
        ua=UserAgentConfig(display="Box", user="box"),
        limits=Limits(calls=1),
        timers=TimerValues(t1=0.1, t2=1.0),
        domains=["atlanta.test"],
    )
    bench.bob.request("INVITE", "sip:box@atlanta.test", [SDP], body=OFFER)
    bench.bob.expect("503")
    configure(bench, limits=Limits(calls=2))

    async def work(ua: Any) -> Any:
        ua.invite("sip:bob@192.0.2.2", OFFER)

    during(bench, work)
    invite = bench.bob.expect("INVITE")
    assert (str(invite.from_.uri), invite.from_.display) == ("sip:atlanta.test", "Box")
    assert invite.get("contact") == "<sip:box@192.0.2.10:5060>"
    assert len(bench.ua.calls) == 1


def test_a_replay_moves_the_same_way() -> None:
    """A reload is an input: the journal has it, octet for octet."""
    from sansip.journal import again
    from sansip.stack import Stack

    bench = Bench(answers)
    called(bench)
    configure(bench, listeners=[TCP, NEW], ua=UserAgentConfig(user="box"))
    bench.alice.reply(bench.alice.expect("UPDATE"), 200)
    bench.network.run(2)
    # Its own configuration was changed in place.
    config = Bench(answers).config
    played = list(again(bench.journal, lambda head: Stack(config, bytes.fromhex(head["seed"]))))
    assert [one.line for one in played if not one.same] == []

"""Past a gateway that fails the next one gets the call; the caller hears one answer. On a virtual clock."""

from __future__ import annotations

import pytest

from sansip.modules.lcr.events import GatewayChanged
from tests.modules.lcr.farm import Farm, asked, call, gateway_of, order, table
from tests.rig import ALICE, only, reply, request, what, within


@pytest.mark.parametrize("status", [408, 500, 501, 502, 503, 504, 580])
def test_failover(status: int) -> None:
    """5xx and 408: the next gateway gets the call, in the same transaction; the caller hears nothing."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    first = only(call(rig), "INVITE")
    assert gateway_of(first) == "one"
    outs = rig.udp(reply(first, status), first.to)
    assert not [out for out in outs if out.to == ALICE]
    second = only(outs, "INVITE")
    assert gateway_of(second) == "two"
    outs = rig.udp(reply(second, 200), second.to)
    assert what(out for out in outs if out.to == ALICE) == ["200"]
    shown = rig.command("lcr.show", call_id="call0")
    assert [step["outcome"] for step in shown["tried"]] == [f"{status} Because", "200 Because"]


@pytest.mark.parametrize("how", ["silence", "refused"])
def test_network_errors(how: str) -> None:
    """Silence for ``answer`` seconds, or ICMP at once: the next one, and OPTIONS decide."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    first = only(call(rig), "INVITE")
    outs = rig.wait(2.0) if how == "silence" else rig.failed(first)
    second = next(out for out in outs if out.what == "INVITE" and gateway_of(out) == "two")
    rig.udp(reply(second, 200), second.to)
    assert rig.row("one")["state"] == "suspected"
    assert order(rig) == ["one", "two"]
    rig.wait(2.0)
    assert rig.row("one")["state"] == "resting"
    assert any(isinstance(one, GatewayChanged) and one.name == "one" for one in rig.events)
    # While it rests it is not asked, and afterwards it is.
    assert order(rig) == ["two"]
    rig.wait(30.0)
    assert order(rig) == ["one", "two"]


@pytest.mark.parametrize("status", [404, 484, 486, 600, 603, 604])
def test_an_answer_ends_it(status: int) -> None:
    """486 and 6xx are the callee's word: nobody else is asked. 404 may be the gateway's: see ``failover``."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    assert asked(rig, status=status) == ["one"]
    if status < 486:
        rig = Farm(table("one,49,0.01", "two,49,0.02"), failover=[404, 484])
        assert asked(rig, status=status) == ["one", "two"]


def test_the_best_failure_goes_back() -> None:
    """When all have failed the caller gets one answer; when none could be asked, a 503 with Retry-After."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    outs = call(rig)
    while invites := [out for out in outs if out.what == "INVITE"]:
        outs = rig.udp(reply(invites[0], 500), invites[0].to)
    assert what(out for out in outs if out.to == ALICE) == ["500"]
    for name in ("one", "two"):
        rig.command("lcr.rest", gateway=name, seconds=60)
    refusal = next(out for out in call(rig, number=1) if out.to == ALICE and out.what != "100")
    assert (refusal.what, refusal.message.get("retry-after")) == ("503", "10")
    assert rig.row("one")["state"] == "resting"


def test_each_once_and_at_most_attempts() -> None:
    """A gateway with many rates is asked once; no call goes round more than ``attempts``."""
    rates = table("one,4930,0.01", "one,49,0.02", "one,4,0.02", "two,4,0.03", "three,4,0.04")
    assert asked(Farm(rates)) == ["one", "two", "three"]
    assert asked(Farm(rates, attempts=2)) == ["one", "two"]


def test_nothing_after_a_cancel() -> None:
    """RFC 3261 9: the caller has given up, so no further gateway is called."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    uri = "sip:4930123456@biloxi.test"
    invite = request(uri=uri, to=f"<{uri}>", headers=[("Contact", "<sip:alice@192.0.2.1>")])
    first = only(rig.udp(invite), "INVITE")
    rig.udp(reply(first, 180), first.to)
    rig.udp(within(invite, "CANCEL"))
    outs = rig.udp(reply(first, 503), first.to)
    assert not [out for out in rig.wait(40.0) + outs if out.what == "INVITE"]

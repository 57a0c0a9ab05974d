"""Gateways as they are now: their limits, their answers to OPTIONS, and the operator's word."""

from __future__ import annotations

from sansip.modules.lcr.events import GatewayChanged
from tests.modules.lcr.farm import Farm, call, gateway_of, order, table
from tests.rig import only, reply


def test_limits() -> None:
    """Of calls at once, and of new calls in a second: the next gateway gets what is too much."""
    rates = table("one,49,0.01", "two,49,0.02")
    rig = Farm(rates, gateways={"one": {"max_calls": 2}})
    assert [gateway_of(only(call(rig, number=n), "INVITE")) for n in range(4)] == ["one", "one", "two", "two"]
    assert order(rig) == ["two"]
    rig = Farm(rates, gateways={"one": {"max_rate": 2.0, "max_calls": 10}})
    assert [gateway_of(only(call(rig, number=n), "INVITE")) for n in range(3)] == ["one", "one", "two"]
    assert rig.row("one")["calls"] == 2
    rig.wait(1.0)
    assert gateway_of(only(call(rig, number=4), "INVITE")) == "one"


def test_a_failed_gateway_has_no_call() -> None:
    """Its limit counts calls that it has, so one that went elsewhere gives its place back."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"), gateways={"one": {"max_calls": 1}})
    first = only(call(rig), "INVITE")
    second = only(rig.udp(reply(first, 500), first.to), "INVITE")
    assert (rig.row("one")["calls"], rig.row("two")["calls"]) == (0, 1)
    rig.udp(reply(second, 486), second.to)
    assert rig.row("two")["calls"] == 0


def test_probing() -> None:
    """A gateway that does not answer OPTIONS is out, and back when it does."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"), probe_interval=1.0, probe_timeout=0.5)
    for _ in range(3):
        for out in rig.wait(1.1):
            if out.what == "OPTIONS" and gateway_of(out) != "one":
                rig.udp(reply(out, 404), out.to)
    rig.wait(1.0)
    assert rig.row("one")["state"] == "down"
    assert order(rig) in (["two"], [])
    changed = [one for one in rig.events if isinstance(one, GatewayChanged) and one.name == "one"]
    assert str(changed[0]).startswith("gateway one is down: 408")


def test_state_lasts() -> None:
    """The operator's word beats the file, OPTIONS and restarts."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    assert rig.command("lcr.set", gateway="one", state="draining")["state"] == "draining"
    assert order(rig) == ["two"]
    again = Farm(table("one,49,0.01", "two,49,0.02"), store=rig.store)
    assert again.row("one")["state"] == "draining"
    again.command("lcr.set", gateway="one", state="active")
    assert order(again) == ["one", "two"]
    assert "there are four, one" in str(again.command("lcr.set", gateway="x", state="active"))

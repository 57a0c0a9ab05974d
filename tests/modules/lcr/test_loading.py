"""Rates are loaded while calls come: the old ones hold until the new ones are there, or are refused."""

from __future__ import annotations

from typing import Any

from sansip.modules.lcr.events import RatesLoaded, RatesRefused
from tests.modules.lcr.farm import Farm, call, gateway_of, order, table
from tests.rig import only, reply, what


def test_a_transaction_keeps_its_table() -> None:
    """A reload while a gateway is asked: this call goes on by the old table, the next by the new one."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    first = only(call(rig), "INVITE")
    rig.rates = table("three,49,0.01")
    assert rig.command("lcr.reload")["rates"] == 1
    assert gateway_of(only(rig.udp(reply(first, 503), first.to), "INVITE")) == "two"
    assert gateway_of(only(call(rig, number=1), "INVITE")) == "three"
    loaded = [one for one in rig.events if isinstance(one, RatesLoaded)]
    assert [one.rates for one in loaded] == [2, 1]


def test_a_refused_table() -> None:
    """The error names the line; the old table stays; health says so until a good one comes."""
    rig = Farm(table("one,49,0.01"))
    rig.rates = ValueError("rates.csv:2: column 3 (price) is 'x'; expected a price")
    assert "rates.csv:2: column 3 (price)" in str(rig.command("lcr.reload"))
    assert any(isinstance(one, RatesRefused) for one in rig.events)
    assert order(rig) == ["one"]
    assert "rates.csv:2" in rig.lcr.health()
    rig.rates = table("two,49,0.01")
    rig.command("lcr.reload")
    assert (order(rig), rig.lcr.health()) == (["two"], "")


def test_a_long_reload() -> None:
    """The command does not wait for ever, and the rates come all the same."""
    rig = Farm(table("one,49,0.01"))
    rig.rates = None
    results: list[Any] = []
    rig.take(rig.stack.command("lcr.reload", {}, rig.now, lambda result, now: results.append(result)))
    rig.wait(7.0)
    assert results == []
    rig.wait(2.0)
    assert results == [{"file": "rates.csv", "state": "loading"}]
    rig.rates = table("two,49,0.01")
    rig.wait(0.3)
    assert order(rig) == ["two"]


def test_while_rates_are_packed() -> None:
    """The module asks again until they are there."""
    rig = Farm(None)
    assert order(rig) == []
    assert "being loaded" in rig.lcr.health()
    # A call that comes meanwhile waits, and is not refused.
    assert what(call(rig)) == []
    rig.rates = table("one,49,0.01")
    assert "INVITE" in what(rig.wait(0.3))
    assert (order(rig), rig.lcr.health()) == (["one"], "")
    rig = Farm(None)
    call(rig)
    assert "404" in what(rig.wait(6.0))

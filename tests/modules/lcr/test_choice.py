"""Which gateways a number has, and in which order: by prefix, price, priority, caller, time and weight."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import sqrt

import pytest

from sansip.auth import AuthConfig
from tests.modules.lcr.farm import NAMES, UNIX, Farm, asked, order, table


def test_longest_prefix_then_price() -> None:
    """The longest prefix first, in it the cheapest; shorter ones follow when it is exhausted."""
    rates = table("one,49,0.01", "two,4930,0.05", "three,4930,0.04", "four,,0.001", "one,44,0.0")
    rig = Farm(rates)
    assert asked(rig) == ["three", "two", "one", "four"]
    assert asked(rig, "4989", 1) == ["one", "four"]
    assert asked(rig, "1", 2) == ["four"]


def test_price_alone() -> None:
    """A carrier's price for a number is that of its longest prefix, whatever its shorter ones ask."""
    rates = table("one,49,0.01", "one,4930,0.06", "two,4930,0.05", "three,4,0.03", "four,49,0.05")
    rig = Farm(rates, order="price")
    # At one price the longer prefix is first.
    assert order(rig) == ["three", "two", "four", "one"]


def test_priority_alone() -> None:
    """Kamailio's priority_ordering: the operator's word before the prefix."""
    rates = table("one,4930,0.01,9", "two,49,0.5,1", "three,,9,4")
    assert order(Farm(rates, order="priority")) == ["two", "three", "one"]


def test_stopper() -> None:
    """Behind a stopper no shorter prefix counts, but others of its own length do."""
    rates = table("one,49,0.01", "two,4930,0.05,,,true", "three,4930,0.9", "four,,0.001")
    assert asked(Farm(rates)) == ["two", "three"]


def test_caller() -> None:
    """A rate for some callers is for those only; a stopper that is for others stops nobody."""
    rates = table("one,49,0.01", r"two,4930,0.05,,,true,^sip:alice@")
    rig = Farm(rates)
    assert asked(rig) == ["two"]
    assert asked(rig, number=1, sender="<sip:carol@biloxi.test>") == ["one"]


@pytest.mark.parametrize(
    "sender",
    [
        "<sip:carol:alice@biloxi.test>",
        "<sip:carol@biloxi.test;x=alice>",
        '"alice" <sip:carol@biloxi.test>;x=alice',
    ],
)
def test_caller_is_the_user(sender: str) -> None:
    """A pattern sees user and domain alone: a caller chooses no price by a password, a parameter, a field."""
    rates = table("one,49,0.01", "two,4930,0.05,,,true,alice")
    assert asked(Farm(rates), sender=sender) == ["one"]


def test_a_stranger_is_no_caller() -> None:
    """Where passwords are asked for, a name that nobody proved fits no pattern (``strangers``)."""
    rates = table("one,49,0.01", "two,4930,0.05,,,true,.")
    rig = Farm(rates, strangers=True, more={"auth": AuthConfig()})
    assert asked(rig, sender="<sip:boss@elsewhere.test>") == ["one"]


def test_currencies_setup_minimum_increment() -> None:
    """Prices are compared for a call of ``call_length``, all of it, in one currency."""
    head = "gateway,prefix,price,currency,setup,minimum,increment"
    rates = table(
        "one,49,0.06,EUR",  # 180 s: 0.18
        "two,49,0.10,USD",  # 0.30 USD: 0.15
        "three,49,0.04,EUR,0.2",  # 0.32
        "four,49,0.03,EUR,0,600",  # 600 s are charged: 0.30
        head=head,
    )
    assert order(Farm(rates, order="price")) == ["two", "one", "four", "three"]
    # A short call: what is charged at least decides; 61 s by the minute are 120.
    short = table("one,49,0.06,EUR,0,0,60", "two,49,0.10,EUR,0,0,1", head=head)
    assert order(Farm(short, order="price", call_length=61)) == ["two", "one"]


def test_validity_and_schedule() -> None:
    """A rate holds from a moment, to a moment, and at some hours by the clocks of a zone."""
    head = "gateway,prefix,valid_from,valid_to,schedule"
    rates = table(
        "one,49,2024-01-01",
        "two,49,,2024-01-01",
        "three,49,,,Mo-Fr 23:00-24:00 @Europe/Berlin",
        "four,49,,,Sa 10:00-12:00; Su 09:00-10:00",
        head=head,
    )
    rig = Farm(rates)
    # It is Tuesday 22:13 UTC, 23:13 in Berlin.
    assert sorted(order(rig)) == ["three", "two"]
    assert sorted(order(rig, at="2024-06-01T10:30+00:00")) == ["four", "one"]
    assert sorted(order(rig, at="2023-12-31T23:59:59+00:00")) == ["two"]
    reasons = {row["gateway"]: row["why"] for row in rig.command("lcr.explain", number="491")}
    assert reasons["one"] == "not valid yet"
    assert reasons["four"] == "outside Sa 10:00-12:00; Su 09:00-10:00"


@pytest.mark.parametrize("weights", [(1, 2), (1, 1, 1), (75, 25), (9, 3, 1)])
def test_weights(weights: tuple[int, ...]) -> None:
    """Over 100,000 draws each is first as often as promised, within 4 standard deviations.

    Kamailio's own weights are known to be unfair: 1 and 2 give the first a quarter.
    """
    rig = Farm(table(*(f"{name},49,0.01,0,{weight}" for name, weight in zip(NAMES, weights, strict=False))))
    levels, calls = rig.lcr._rates.levels("4930"), 100_000
    chosen = partial(rig.lcr._chosen, levels)
    first = Counter(chosen("", UNIX, rig.now)[0][0].offer.gateway for _ in range(calls))
    for name, weight in zip(NAMES, weights, strict=False):
        share = weight / sum(weights)
        assert abs(first[name] - calls * share) <= 4 * sqrt(calls * share * (1 - share)), first


def test_the_clock_jumps() -> None:
    """A wall clock that is set back or forth changes which rates hold, and breaks nothing."""
    rig = Farm(table("one,49,2024-01-01", "two,49,,2024-01-01", head="gateway,prefix,valid_from,valid_to"))
    lcr = rig.lcr
    for unix in (UNIX, 0.0, -1e9, 4e9, UNIX + 1e8, UNIX - 1e8):
        taken, passed = lcr._chosen(lcr._rates.levels("4930"), "", unix, rig.now)
        assert len(taken) == len(passed) == 1

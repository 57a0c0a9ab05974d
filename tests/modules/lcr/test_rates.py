"""Rates by command come before those of the file, last over a restart, and are bounded."""

from __future__ import annotations

from typing import Any

import pytest

from tests.modules.lcr.farm import Farm, order, table


def test_rows() -> None:
    """Rates by command are durable, come before the file's of that gateway and prefix, and go again."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"))
    added = rig.command("lcr.add", gateway="one", prefix="+49", price="0.5")
    assert (added["prefix"], added["price"]) == ("49", "0.5")
    assert order(rig) == ["two", "one"]
    rig.command("lcr.add", gateway="three", prefix="4930", schedule="Tu 23:00-23:30 @Europe/Berlin")
    assert order(rig) == ["three", "two", "one"]
    assert [one["gateway"] for one in rig.command("lcr.rates")] == ["one", "three"]
    again = Farm(table("one,49,0.01", "two,49,0.02"), store=rig.store)
    assert order(again) == ["three", "two", "one"]
    assert again.command("lcr.remove", gateway="one", prefix="49") == 1
    assert again.command("lcr.remove", gateway="one", prefix="49") == 0
    assert order(again) == ["three", "one", "two"]
    # A row may take a rate of the file out.
    again.command("lcr.add", gateway="two", prefix="49", enabled=False)
    assert order(again) == ["three", "one"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gateway": "nobody"}, "there is no gateway 'nobody'; there are four, one, three, two"),
        ({"price": "cheap"}, "price is 'cheap'; expected a price like 0.0125"),
        ({"prefix": "49x"}, "prefix is '49x'; expected at most 16"),
        ({"weight": 0}, "weight is 0; expected 1 to 65,535"),
        ({"caller": "(a*)*"}, "caller is '(a*)*'"),
        ({"schedule": "Mo 1-2"}, "schedule is 'Mo 1-2'; expected days and hours"),
        ({"schedule": "Mo 10:00-11:00 @Mars"}, "a time zone of this machine"),
        ({"currency": "XYZ"}, "currency is 'XYZ'; expected EUR"),
        ({"valid_to": "soon"}, "valid_to is 'soon'; expected a date"),
        ({"price": float("nan")}, "price is nan; expected text"),
    ],
)
def test_wrong_rows(given: dict[str, Any], said: str) -> None:
    """A wrong rate is refused with the field and what was expected; nothing changes."""
    rig = Farm(table("one,49,0.01"))
    assert said in str(rig.command("lcr.add", **{"gateway": "one", "prefix": "49", **given}))
    assert rig.command("lcr.rates") == []


def test_most_rows() -> None:
    """A program that adds without end is refused; a file holds more."""
    rig = Farm(None, file="", most_rows=2)
    for prefix in ("1", "2"):
        rig.command("lcr.add", gateway="one", prefix=prefix)
    assert "lcr.most_rows" in str(rig.command("lcr.add", gateway="one", prefix="3"))
    rig.command("lcr.add", gateway="one", prefix="2", price="3")

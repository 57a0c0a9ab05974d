"""What operators see of the candidates for a call."""

from __future__ import annotations

from tests.modules.lcr.farm import Farm, table


def test_explain() -> None:
    """Each candidate with its place, what it gets, what it costs, and why it is there or is not."""
    rates = table(
        "one,49,0.01", "one,4930,0.05", "two,4930,0.02", "three,4930,0.01,,,,^sip:boss@", "four,44,1"
    )
    rig = Farm(rates, gateways={"two": {"strip": 2, "add": "0"}})
    rig.command("lcr.rest", gateway="one", seconds=60)
    rows = rig.command(
        "lcr.explain", number="+4930123", at="2027-01-01T09:30+01:00", caller="sip:alice@biloxi.test"
    )
    shown = [
        (one["place"], one["gateway"], one["prefix"], one["number"], one["cost"], one["why"]) for one in rows
    ]
    assert shown == [
        (1, "two", "4930", "030123", "0.06 EUR", "prefix of 4 digits, priority 0, 0.06"),
        (0, "one", "4930", "+4930123", "0.15 EUR", "rests for 60 s: rested by the operator"),
        (0, "three", "4930", "+4930123", "0.03 EUR", "not for this caller (^sip:boss@)"),
        (0, "one", "49", "+4930123", "0.03 EUR", "its rate for 4930 comes first"),
    ]
    assert not [out for out in rig.wait(1.0) if out.what == "INVITE"]
    assert "expected digits" in str(rig.command("lcr.explain", number="bob"))
    assert "expected a date" in str(rig.command("lcr.explain", number="49", at="yesterday"))

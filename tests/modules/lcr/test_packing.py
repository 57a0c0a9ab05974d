"""The lines of a file of rates: each fault is named with its place, and only the first of many are told."""

from __future__ import annotations

import pytest

from sansip.modules.lcr.packing import Packing, TableFault, pack


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            ["gateway,prefix,price", "nobody,49,1"],
            "rates.csv:2: column 1 (gateway) is 'nobody'; expected one of",
        ),
        (["gateway,prefix,price", "one,49,x"], "rates.csv:2: column 3 (price) is 'x'; expected a price like"),
        (["gateway,prefix,price", "one,49,-1"], "column 3 (price) is '-1'"),
        (["gateway,prefix,price", "one,49,nan"], "column 3 (price) is 'nan'"),
        (["gateway,prefix,price", "one,49,0.123456789"], "at most eight decimals"),
        (["gateway,prefix", "one,+49"], "column 2 (prefix) is '+49'; expected at most 16 of 0 to 9"),
        (["gateway,prefix", "one,4x"], "column 2 (prefix) is '4x'"),
        (["gateway,prefix", "one," + "4" * 300], "column 2 (prefix)"),
        (["gateway,prefix,weight", "one,49,0"], "column 3 (weight) is '0'; expected a whole number from 1"),
        (["gateway,prefix,weight", "one,49,1", "one,49,99999"], "rates.csv:3: column 3 (weight)"),
        (["gateway,prefix,currency", "one,49,XXX"], "column 3 (currency) is 'XXX'; expected EUR"),
        (["gateway,prefix,caller", "one,49,(a+)+b"], "column 3 (caller) is '(a+)+b'; expected an expression"),
        (
            ["gateway,prefix,schedule", "one,49,always"],
            "column 3 (schedule) is 'always'; expected days and hours",
        ),
        (["gateway,prefix,schedule", "one,49,Mo 25:00-26:00"], "expected days and hours"),
        (
            ["gateway,prefix,valid_from", "one,49,tomorrow"],
            "column 3 (valid_from) is 'tomorrow'; expected a date",
        ),
        (["gateway,prefix,valid_from,valid_to", "one,49,2027-01-02,2027-01-01"], "valid_to is not after"),
        (["gateway,prefix,stopper", "one,49,perhaps"], "expected true or false"),
        (["gateway,prefix", "one,49,1"], "rates.csv:2: it has 3 columns; expected 2, as line 1 has"),
        (["gateway,prefix", 'one,"49'], "unexpected end of data"),
        (["gateway,number", "one,49"], "rates.csv:1: column 2 is 'number'; expected one of gateway, prefix"),
        (["gateway", "one"], "rates.csv:1: there is no column prefix"),
        (["gateway,prefix,prefix", "one,4,9"], "column 3 is prefix once more"),
        (["gateway;prefix", "one;4"], "separated by semicolons; expected commas"),
        ([], "rates.csv:1: it is empty; expected a first line"),
        (["gateway,prefix,add", "one,49,abc"], "column 3 (add)"),
        (
            ["gateway,prefix,strip", "one,49,65"],
            "column 3 (strip) is '65'; expected a whole number from -1 to 64",
        ),
    ],
)
def test_wrong_lines(lines: list[str], said: str) -> None:
    """Each fault names file, line, column, what stands there, and what was expected."""
    packing = Packing(("one",), "EUR")
    with pytest.raises(TableFault) as fault:
        pack([f"{line}\n" for line in lines], "rates.csv", packing)
    assert said in str(fault.value)


def test_many_wrong_lines() -> None:
    """The first twenty are told: a file with the wrong columns does not fill the log."""
    with pytest.raises(TableFault) as fault:
        pack(["gateway,prefix,price\n", *["one,49,x\n"] * 1_000], "r", Packing(("one",), "EUR"))
    assert len(fault.value.faults) == 20
    assert str(fault.value).endswith("and more")

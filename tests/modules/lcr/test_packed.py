"""Look-ups in packed tables find what a plain search finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import lcr
from benchmarks.counts import Missing
from sansip.journal_values import again_value, value_of
from sansip.modules.lcr.packed import PackedRates
from sansip.modules.lcr.packing import Packing, pack
from tests.missing import missing

DIGITS = "0123456789*#"
PREFIXES = st.lists(st.text(DIGITS, max_size=16), max_size=40)


def packed(prefixes: list[str]) -> PackedRates:
    lines = ["gateway,prefix,price\n", *(f"one,{prefix},{at}\n" for at, prefix in enumerate(prefixes))]
    return PackedRates(b"".join(pack(lines, "rates.csv", Packing(("one",), "EUR"))))


@given(PREFIXES, st.text(DIGITS, min_size=1, max_size=20), st.data())
def test_as_a_plain_search(prefixes: list[str], number: str, data: st.DataObject) -> None:
    """All prefixes of the number, the longest first; and all rates of each, in the order of the file."""
    if prefixes and data.draw(st.booleans()):
        number = data.draw(st.sampled_from(prefixes)) + number
    table = packed(prefixes)
    found = [
        [(one.prefix, one.price // 10**8) for one in table.offers(place)] for place in table.places(number)
    ]
    expected = []
    for length in range(min(len(number), 16), -1, -1):
        there = [(one, at) for at, one in enumerate(prefixes) if one == number[:length]]
        expected += [there] if there else []
    assert found == expected


def test_in_a_journal() -> None:
    """A replay has the table that the server had (design.md 8)."""
    table = packed(["49", "4930"])
    view = PackedRates(memoryview(table.data))
    again = again_value(value_of(view))
    assert again.data == table.data
    assert [again.prefix(place) for place in again.places("49301")] == ["4930", "49"]


def test_octets_a_prefix() -> None:
    """A million prefixes fit into memory that workers share: less than 300 octets each."""
    prefixes = [str(number) for number in range(10_000, 20_000)]
    assert len(packed(prefixes).data) / len(prefixes) < 100


@pytest.mark.timeout(600)
def test_a_look_up_in_instructions(tmp_path: Path) -> None:
    """At most 3 µs a look-up, in what the machine's other work cannot change.

    On 30 November 2026 a look-up of the pure build was 16,100 instructions, and took 2.1 µs.
    """
    table, _ = lcr.table(200_000, tmp_path)
    try:
        counted = lcr.instructions(table, tmp_path)
    except Missing as absent:
        missing(str(absent))
    assert 0 < counted < 20_000

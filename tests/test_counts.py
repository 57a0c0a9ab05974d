"""The counted cost of a call, a REGISTER and an OPTIONS stays within ``benchmarks/counts.toml``."""

from __future__ import annotations

import tomllib

import pytest

from benchmarks import counts
from benchmarks.counts import JOBS, KINDS, ROOM, Missing, faults, least, python_name, recorded
from tests.missing import missing

# The compiled build is judged by `tox -e compiled`, with the same record.
ENTRY = recorded().get("pure", {}).get(python_name(), {})


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_what_one_costs(kind: str) -> None:
    """A timing on a shared machine cannot see three percent, so costs creep in; a count sees each of them.

    More of them: take the cost back, or say what it buys (`python -m benchmarks.counts --record REASON`).
    """
    if counts.build_name() != "pure":
        pytest.skip("this build is judged by `python -m benchmarks.counts`")
    if not ENTRY:
        missing(f"nothing is recorded for Python {python_name()}")
    if kind in counts.OF_THE_MACHINE and ENTRY["machine"] != counts.machine_name():
        pytest.skip(f"recorded with {ENTRY['machine']}, this is {counts.machine_name()}")
    try:
        counted = least(kind, ENTRY)
    except Missing as absent:
        missing(str(absent))
    assert set(counted) == set(JOBS)
    assert faults(counted, ENTRY) == [], "python -m benchmarks.counts"
    assert counts.hooks_fault(counted) == []


def test_more_is_told() -> None:
    """The gate shuts: for a figure above its room, and for a figure that was never recorded."""
    entry = {"call": {"calls": 100.0}}
    assert faults({"call": {"calls": 100.0 * (1 + ROOM)}}, entry) == []
    assert faults({"call": {"calls": 104.0}}, entry) == ["call: 104 calls, recorded 100 (+4.0%)"]
    assert faults({"call": {"allocations": 1.0}}, entry) == ["call: no allocations recorded"]
    assert faults({"call": {"calls": 0.0}}, entry) == ["call: nothing was counted as calls"]


def test_hooks_that_do_nothing_cost_little() -> None:
    """The gate for modules shuts, too: above its share of a plain call."""
    plain = {"call": {"instructions": 1000.0}}
    most = 1000.0 * (1 + counts.HOOKS_ROOM)
    assert counts.hooks_fault(plain | {"hooked_call": {"instructions": most}}) == []
    assert len(counts.hooks_fault(plain | {"hooked_call": {"instructions": most + 1}})) == 1
    assert counts.hooks_fault(plain) == []


def test_the_record_is_kept(tmp_path) -> None:
    """The written record is read again, other builds and Pythons beside it, with the day and the reason."""
    path = tmp_path / "counts.toml"
    figures = {name: {"calls": 12.5, "instructions": 1_234_567.0} for name in JOBS}
    said = {"date": "2026-11-29", "machine": "one", "reason": 'a "quoted" reason'}
    entries = {"pure": {"3.11": said | figures, "3.12": said | figures}, "compiled": {"3.11": said | figures}}
    counts.write(entries, path)
    assert recorded(path) == entries
    assert tomllib.loads(path.read_text())["pure"]["3.12"]["call"]["instructions"] == 1_234_567


def test_both_runs_are_one() -> None:
    """The second run is given what the first wrote down; with other answers it would count another job."""
    warm, counted = counts.job("call")
    first, second = counts.Player("call"), counts.Player("call")
    for player in (first, second):
        player.play(warm)
    for data, source in counted[:60]:
        assert first.feed(data, source) == second.feed(data, source)
    assert len(counted) == 6 * counts.COUNTED

"""The whole suite on the core: every trace passes, cites its sections, and is fast."""

from __future__ import annotations

import pytest

from sansip_conformance import Trace, load_suites, play_on_core, select

TRACES = load_suites()


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: trace.id)
def test_trace(trace: Trace) -> None:
    """The core does what the trace says."""
    verdict = play_on_core(trace)
    assert verdict.outcome == "pass", f"{verdict.where}: {verdict.reason} {verdict.rfc}"


def test_enough_of_them() -> None:
    """Three hundred traces are promised."""
    assert len(TRACES) >= 300


def test_each_cites_a_section() -> None:
    """A verdict without a section is an opinion."""
    assert [trace.id for trace in TRACES if not trace.rfc] == []


def test_ids_are_unique() -> None:
    """A trace is named by its id in reports and on the command line."""
    ids = [trace.id for trace in TRACES]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("seed", [1, 2])
def test_another_seed(seed: int) -> None:
    """Nothing in a trace rests on the tokens of one seed."""
    for trace in select(TRACES, ["rfc3261-16.7", "rfc5393"]):
        verdict = play_on_core(trace, seed)
        assert verdict.outcome == "pass", verdict.reason


def test_selection() -> None:
    """By suite, by id, by section; a word that fits no trace is a mistake."""
    assert {trace.suite for trace in select(TRACES, ["rfc3581-rport"])} == {"rfc3581-rport"}
    assert [trace.name for trace in select(TRACES, ["rfc3261-17.2.1-invite-server/timer-h"])] == ["timer-h"]
    chosen = select(TRACES, ["RFC 3261 17.2.1"])
    assert chosen
    assert all(any(one.startswith("RFC 3261 17.2.1") for one in trace.sections) for trace in chosen)
    with pytest.raises(ValueError, match="no suite"):
        select(TRACES, ["rfc9999"])

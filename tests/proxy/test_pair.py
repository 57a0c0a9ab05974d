"""A pair is what its two transactions are together, and leaves its place to them at any time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sansip.proxy.pair import Pair
from tests.proxy.sides import BUSY, CALLEE, CANCEL, INVITE, OTHER, RINGS, TAKES, TRIES, Side, compare

UNFOLD = ("unfold",)
WITHIN = [("within", "ACK", ""), ("within", "BYE", "")]
BYE = ("within", "BYE", "")


def pairs(side: Side) -> list[Pair]:
    return [one for one in side.stack.transactions.servers.values() if isinstance(one, Pair)]


def test_a_call_makes_no_transaction() -> None:
    """Without this the comparisons below would prove nothing."""
    side = Side()
    for step in (INVITE, INVITE, RINGS, TAKES, INVITE, *WITHIN):
        side.play(step)
        held = side.stack.transactions
        assert all(isinstance(one, Pair) for one in (*held.servers.values(), *held.clients.values())) or (
            # The phone's registration.
            sum(not isinstance(one, Pair) for one in held.servers.values()) == 1
        )
    assert [one.method for one in pairs(side)] == ["INVITE", "BYE"]
    assert [one.state for one in pairs(side)] == ["accepted", "trying"]


def test_a_pair_keeps_nothing_that_it_does_not_need() -> None:
    """It waits for 32 s after each call, and there are thousands of those."""
    side = Side()
    for step in (INVITE, RINGS, TAKES):
        side.play(step)
    (pair,) = pairs(side)
    assert (pair._data, pair._last, pair._request, pair._target) == (b"", b"", None, None)


def test_all_of_it_is_gone_at_the_end() -> None:
    """RFC 3261 17: Timers J, K, L and M end the transactions, and no table keeps a key."""
    side = Side()
    for step in (INVITE, RINGS, TAKES, *WITHIN, ("last",), ("response", "200 OK", "", CALLEE, True)):
        side.play(step)
    side.pass_time(6.0)
    # RFC 3261 17.1.2.2: Timer K is T4.
    assert [one.partition(" ")[2] for one in side.stack.transactions.clients] == ["INVITE"]
    side.pass_time(40.0)
    held = side.stack.transactions
    assert [len(held.servers), len(held.clients), len(held.owners)] == [0, 0, 0]
    assert len(side.stack.timers) == 0


PLAYS: dict[str, list[tuple[Any, ...]]] = {
    "at once": [INVITE, UNFOLD, RINGS, TAKES, *WITHIN],
    "while it rings": [INVITE, RINGS, UNFOLD, RINGS, TAKES, TAKES],
    "after a while": [INVITE, RINGS, ("wait", 1.0), UNFOLD, ("wait", 400.0)],
    "rings for ever": [INVITE, RINGS, ("wait", 100.0), RINGS, ("wait", 300.0)],
    "tried, then silent": [INVITE, TRIES, ("wait", 1.0), TRIES, UNFOLD, TRIES, ("wait", 400.0)],
    "tried for ever": [INVITE, TRIES, ("wait", 400.0)],
    "tried, then rings": [INVITE, TRIES, RINGS, TRIES, ("wait", 1.0), TAKES, TRIES],
    "once it is taken": [INVITE, TAKES, UNFOLD, TAKES, INVITE, ("wait", 33.0), INVITE],
    "silent": [INVITE, ("wait", 0.3), UNFOLD, ("wait", 40.0)],
    "others in between": [INVITE, ("wait", 0.2), ("request", "MESSAGE", ""), BYE, UNFOLD, ("wait", 40.0)],
    "a BYE at once": [INVITE, TAKES, BYE, UNFOLD, ("last",), ("response", "200 OK", "", CALLEE, True), BYE],
    "an answered BYE": [
        *(INVITE, TAKES, BYE, ("last",), ("response", "200 OK", "", CALLEE, True), UNFOLD, BYE),
        *(("wait", 4.0), ("response", "200 OK", "", CALLEE, True), ("wait", 2.0), BYE),
    ],
    "a BYE answered long ago": [
        *(INVITE, TAKES, BYE, ("last",), ("response", "200 OK", "", CALLEE, True), ("wait", 6.0), UNFOLD),
        *(BYE, ("response", "200 OK", "", CALLEE, True), ("wait", 25.0), BYE, ("wait", 2.0)),
    ],
    "a slow BYE": [INVITE, TAKES, BYE, ("last",), ("wait", 10.0), TRIES, ("wait", 10.0), BUSY, BYE],
}


@pytest.mark.parametrize("name", PLAYS)
def test_transactions_take_its_place_at_any_time(name: str) -> None:
    """RFC 3261 17: states, numbers and deadlines are those that they would have had from the beginning."""
    compare(PLAYS[name])


STEPS = st.one_of(
    st.sampled_from([INVITE, CANCEL, RINGS, TAKES, BUSY, TRIES, UNFOLD, UNFOLD, ("failed",), *WITHIN]),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.6, 3.6, 5.5, 33.0, 100.0, 190.0])),
    st.tuples(
        st.just("response"),
        st.sampled_from(["100 Trying", "183 Progress", "200 OK", "302 Moved", "503 Busy"]),
        st.sampled_from(["b", "c", ""]),
        st.sampled_from([CALLEE, OTHER]),
        st.booleans(),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=6), st.sampled_from([[], [("last",)]]), st.lists(STEPS, max_size=6))
def test_any_play_ends_alike(
    before: list[tuple[Any, ...]], last: list[tuple[Any, ...]], behind: list[tuple[Any, ...]]
) -> None:
    """No order of inputs tells a pair from its transactions, nor the moment at which they take its place."""
    compare([INVITE, *before, *WITHIN, *last, *behind])


def test_a_100_of_the_next_hop_is_usual() -> None:
    """RFC 3261 16.7 step 5: servers send it at once, it goes no further, and nothing is resent after it."""
    side = Side()
    assert side.play(INVITE)
    assert side.play(TRIES) == []
    (pair,) = pairs(side)
    assert (pair._folded, pair.unanswered) == (True, False)
    assert side.pass_time(10.0) == []
    assert len(side.play(TAKES)) == 1


# As SIPp and PJSIP write the Via of a request in their responses, and ways that are for the reader.
VIAS = (
    ("\r\nVia: SIP/2.0/UDP 192.0.2.1", ", SIP/2.0/UDP 192.0.2.1"),
    ("\r\nVia: SIP/2.0/UDP 192.0.2.1", ",SIP/2.0/UDP 192.0.2.1"),
    ("192.0.2.99:5060;branch", "192.0.2.99:5060;received=192.0.2.99;branch"),
    ("192.0.2.99:5060;branch", "192.0.2.99:5060;rport=5060;received=192.0.2.99;branch"),
    ("192.0.2.99:5060;branch", "192.0.2.99:5060;received=phone.test;branch"),
    ("192.0.2.99:5060;branch", "192.0.2.99:5060;maddr=192.0.2.7;branch"),
    ("192.0.2.99:5060;branch", "192.0.2.99;branch"),
    ("192.0.2.99:5060;branch", "192.0.2.7:5060;received=192.0.2.99;branch"),
)


@pytest.mark.parametrize(("old", "new"), VIAS)
def test_via_values_as_phones_write_them_end_alike(old: str, new: str) -> None:
    """RFC 3261 7.3.1, 8.2.6.2, 18.2.1: several values on one line, and the source noted in ours."""
    rings, takes = ("spoiled", "180 Ringing", old, new), ("spoiled", "200 OK", old, new)
    compare([INVITE, rings, rings, takes, takes, *WITHIN])
    compare([INVITE, takes, ("spoiled", "486 Busy Here", old, new), ("wait", 40.0)])


@pytest.mark.parametrize(("old", "new"), [VIAS[0], VIAS[2], VIAS[3]])
def test_via_values_as_phones_write_them_are_usual(old: str, new: str) -> None:
    """Without this the comparison would prove nothing."""
    side = Side()
    side.play(INVITE)
    assert len(side.play(("spoiled", "180 Ringing", old, new))) == 1
    assert len(side.play(("spoiled", "200 OK", old, new))) == 1
    (pair,) = pairs(side)
    assert (pair._folded, pair.done) == (True, True)

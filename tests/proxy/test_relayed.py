"""Each call that is relayed has a record, whichever way its messages take, and the record ends with it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.events import RelayedCallEnded
from sansip.limits import Limits
from sansip.proxy.relayed import GONE, RelayedCall, RelayedCalls
from sansip.transport import Flow
from sansip.wire.opening import read_opening
from tests.proxy.sides import BUSY, CALLEE, CANCEL, INVITE, RINGS, TAKES, Side, leave_only, wire

BYE = ("within", "BYE", "")
ENDS = [("last",), ("response", "200 OK", "", CALLEE, True)]


def shown(side: Side) -> list[dict[str, Any]]:
    return list(side.stack.proxy.records.listed(side.now))


def ended(side: Side, *steps: Any) -> list[RelayedCallEnded]:
    """Play ``steps``; return the events of calls that ended."""
    found = []
    for step in steps:
        found += [
            one.event for one in side.play(step) if type(getattr(one, "event", None)) is RelayedCallEnded
        ]
    return found


@pytest.mark.parametrize("quick", [True, False])
def test_a_call_from_its_ring_to_its_end(quick: bool) -> None:
    """`sansip ctl calls` shows both sides of a call; the end is an event, for the log."""
    side = Side()
    leave_only(side, *(("quick", "passages", "openings") if quick else ()))
    states = []
    for step in (INVITE, RINGS, TAKES):
        side.play(step)
        (row,) = shown(side)
        states.append(row["state"])
    assert states == ["calling", "ringing", "answered"]
    assert (row["caller"], row["party"]) == ("sip:alice@atlanta.test", "sip:bob@biloxi.test")
    assert ended(side, BYE) == []
    (event,) = ended(side, *ENDS)
    assert (event.why, event.by) == ("hung up", "caller")
    assert str(event).startswith("call 1 from sip:alice@atlanta.test to sip:bob@biloxi.test: 0.0")
    assert shown(side) == []


def test_a_call_that_is_refused_or_given_up() -> None:
    """Its record ends with the final response to the INVITE (RFC 3261 16.7 step 6)."""
    (event,) = ended(Side(), INVITE, RINGS, BUSY)
    assert (event.seconds, event.why, event.by) == (None, "486 Busy Here", "")
    (event,) = ended(Side(), INVITE, RINGS, CANCEL, ("response", "487 Request Terminated", "b", CALLEE, True))
    assert (event.why.partition(" ")[0], event.by) == ("487", "caller")


def test_a_call_that_nobody_answers_ends() -> None:
    """RFC 3261 16.8: Timer B or C ends it, and its record: no message need come."""
    side = Side()
    side.play(INVITE)
    side.pass_time(40.0)
    assert shown(side) == []


@pytest.fixture
def table() -> tuple[RelayedCalls, list[Any]]:
    told: list[Any] = []
    return RelayedCalls(Limits(relayed_calls=3), told.append), told


def begun(table: RelayedCalls, call_id: str, now: float = 1.0, tag: str = "a") -> RelayedCall | None:
    return table.begins(
        call_id, tag, f"From: <sip:a@x>;tag={tag}", "To: sip:b@x", "sip:b@x", "192.0.2.1", now
    )


def test_relayed_calls(table: tuple[RelayedCalls, list[Any]]) -> None:
    """Above the limit the oldest record goes for a newer one, and is counted; nothing is refused."""
    calls, told = table
    first = begun(calls, "0")
    assert first is not None
    for number in range(1, 5):
        begun(calls, str(number))
    assert (len(calls), calls.forgotten, told) == (3, 2, [])
    # It ends later than its record: nobody hears of that, and no other record goes.
    first.fails(486, "Busy Here", False, 2.0)
    assert (len(calls), told) == (3, [])
    # Nor where another call has its Call-ID by then.
    begun(calls, "0", tag="z")
    first.fails(486, "Busy Here", False, 2.0)
    assert calls.of("0", "z", "b", "") is not None
    assert (len(calls), told) == (3, [])


def test_nobody_takes_the_record_of_another_call(table: tuple[RelayedCalls, list[Any]]) -> None:
    """An INVITE with the Call-ID of another call changes nothing of it; nor does a BYE with other tags."""
    calls, told = table
    one = begun(calls, "x")
    assert one is not None
    one.answers(("b",), b"", 2.0)
    assert begun(calls, "x", 3.0, "evil") is None
    assert calls.of("x", "evil", "b", "") is None
    one.hung_up("From: sip:a@x;tag=a", "CSeq: 2 BYE", "other", 200, 4.0)
    one.hung_up("From: sip:a@x;tag=a", "CSeq: 2 BYE", "b", 500, 4.0)
    assert (len(calls), told) == (1, [])


@pytest.mark.parametrize("tag", ["", "b" * 65])
@pytest.mark.parametrize("by", ["caller", "callee"])
@pytest.mark.parametrize("quick", [True, False])
def test_a_call_whose_callee_has_an_unusual_tag(quick: bool, by: str, tag: str) -> None:
    """RFC 3261 12.1.2: none, as RFC 2543 had it, or one of which the relay remembers a hash."""
    side = Side()
    leave_only(side, *(("quick", "passages", "openings") if quick else ()))
    spelled = f";tag={tag}" if tag else ""
    side.play(INVITE)
    side.play(("spoiled", "200 OK", ";tag=b\r\n", f"{spelled}\r\n"))
    (row,) = shown(side)
    assert row["state"] == "answered"
    call = side.stack.proxy.records.of("a", "a", tag, "")
    assert call is not None
    if by == "caller":
        call.hung_up("From: <sip:alice@atlanta.test>;tag=a", "CSeq: 2 BYE", tag, 200, side.now)
    else:
        call.hung_up(f"From: <sip:bob@biloxi.test>{spelled}", "CSeq: 2 BYE", "a", 200, side.now)
    assert shown(side) == []


def test_a_bye_of_no_dialog_of_the_call(table: tuple[RelayedCalls, list[Any]]) -> None:
    """A phone of the fork that lost, or has not answered yet, ends no call (RFC 3261 15): it gets a 481."""
    calls, told = table
    one = begun(calls, "x")
    assert one is not None
    one.hung_up("From: <sip:b@x>;tag=b", "CSeq: 2 BYE", "a", 481, 2.0)
    one.answers(("b",), b"", 3.0)
    one.hung_up("From: <sip:c@x>;tag=lost", "CSeq: 2 BYE", "a", 481, 4.0)
    assert (len(calls), told) == (1, [])
    one.hung_up("From: <sip:b@x>;x=y;TAG = b ;z", "CSeq: 2 BYE", "a", 200, 5.0)
    assert len(told) == 1


@pytest.mark.parametrize("status", [200, *GONE])
def test_the_callee_hangs_up(status: int, table: tuple[RelayedCalls, list[Any]]) -> None:
    """RFC 5057 5.1: after these answers to a BYE no side has the dialog."""
    calls, told = table
    one = begun(calls, "x")
    assert one is not None
    one.rings(2.0)
    one.answers(("b",), b"", 3.0)
    one.answers(("b", "c"), b"", 3.0)
    one.hung_up("From: <sip:b@x>;tag=b", "CSeq: 2 BYE", "a", status, 4.0)
    # RFC 3261 13.2.2.4: the dialog with the other phone of the fork goes on.
    assert told == []
    one.hung_up("From: <sip:b@x>;tag=c", "CSeq: 2 BYE", "a", status, 5.0)
    (event,) = told
    assert (event.by, event.seconds) == ("callee", 2.0)


def test_a_record_whose_bye_went_another_way_ends(table: tuple[RelayedCalls, list[Any]]) -> None:
    """A phone that lost its power says nothing: after a day an answered call is not shown any more."""
    calls, told = table
    one = begun(calls, "old")
    assert one is not None
    one.answers(("b",), b"", 2.0)
    for number in range(64):
        other = begun(calls, f"{number}", 100_000.0)
        assert other is not None
        other.fails(404, "Not Found", False, 100_000.0)
    assert [event.why for event in told if event.call_id == "old"] == ["no BYE seen"]


def test_long_texts_of_an_invite_that_leaves_as_octets_are_cut() -> None:
    """What is read in brief has the same bound: its head may have 2,048 octets (``limits.uri_size``)."""
    calls = RelayedCalls(Limits())
    name = "x" * 1_000
    data = wire(
        "INVITE sip:bob@biloxi.test SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\n"
        f'From: "{name}" <sip:alice@atlanta.test>;tag=a\nTo: <sip:bob@biloxi.test>\nCall-ID: c\n'
        "Max-Forwards: 70\nCSeq: 1 INVITE\nContact: <sip:alice@192.0.2.1:5060>\nContent-Length: 0\n\n"
    )
    opening = read_opening(data, Limits())
    assert opening is not None
    relay: Any = None
    flow = Flow("UDP", 0, ("192.0.2.1", 5060))
    call = calls.opens(relay, opening, data, "sip:bob@192.0.2.7", flow, 0.0)
    assert call is not None
    assert call.caller == "From: <sip:alice@atlanta.test>"


def test_long_texts_are_cut() -> None:
    """A hundred thousand records stay small, whatever users write; a Call-ID is kept whole, or not at all."""
    calls = RelayedCalls(Limits())
    name = "x" * 16_000
    line = f'From: "{name}" <sip:alice@atlanta.test>;tag=a'
    call = calls.begins("c", "a", line, f"To: <sip:{name}@biloxi.test>", f"sip:{name}", "192.0.2.1", 0.0)
    assert call is not None
    (row,) = calls.listed(0.0)
    assert row["caller"] == "sip:alice@atlanta.test"
    assert row["party"] == f"sip:{name}"[:256]
    assert sum(len(text) for text in (call.caller, call.callee, call.asked)) < 1_000
    assert calls.begins(name, "a", "", "", "", "", 0.0) is None
    assert calls.begins("d", name, "", "", "", "", 0.0) is None
    # What people write is kept whole.
    line = 'From: "Alice" <sip:alice@atlanta.test>;tag=a'
    call = calls.begins("e", "a", line, line, "sip:" + "y" * 200, "", 0.0)
    assert call is not None
    assert call.caller == line

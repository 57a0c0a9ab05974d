"""What operators see of calls and do to them by command."""

from __future__ import annotations

from typing import Any

from tests.modules.calls.calling import bench, invite, talking, within
from tests.rig import ALICE, BOB, only, reply, what


def test_hangup_by_command() -> None:
    """`calls.hangup`: by id or Call-ID; the rows say what there is."""
    rig, calls = bench()
    talking(rig)
    results: list[Any] = []
    rig.take(rig.stack.command("calls.list", {}, rig.now, lambda result, now: results.append(result)))
    ((row,),) = results
    assert (row["state"], row["call_id"]) == ("answered", "call@192.0.2.1")
    outs = rig.take(rig.stack.command("calls.hangup", {"id": row["id"]}, rig.now, lambda *_: None))
    assert [out.to for out in outs if out.what == "BYE"] == [ALICE, BOB]
    assert len(calls) == 0


def test_hangup_while_it_rings() -> None:
    """The phone gets a CANCEL, the caller a 487."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 180), BOB)
    outs = rig.take(rig.stack.command("calls.hangup", {"id": "call@192.0.2.1"}, rig.now, lambda *_: None))
    assert "CANCEL" in what(outs)
    assert "487" in what(rig.udp(reply(arrived, 487), BOB))
    assert len(calls) == 0


def test_unknown_call() -> None:
    """The error names the way to a right one."""
    rig, _ = bench()
    results: list[Any] = []
    rig.take(
        rig.stack.command("calls.hangup", {"id": "x"}, rig.now, lambda result, now: results.append(result))
    )
    assert "calls.list" in str(results[0])


def test_a_2xx_that_crosses_the_hang_up() -> None:
    """The operator ended it, the phone answered: both get a BYE (RFC 3261 9.1)."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 180), BOB)
    rig.take(rig.stack.command("calls.hangup", {"id": "call@192.0.2.1"}, rig.now, lambda *_: None))
    outs = rig.udp(reply(arrived, 200), BOB)
    assert {out.to for out in outs if out.what == "BYE"} == {ALICE, BOB}
    assert len(calls) == 0


def test_the_last_sequence_number() -> None:
    """RFC 3261 8.1.1.5: nothing of ours has a CSeq of 2**31; the other side is hung up all the same."""
    rig, _ = bench()
    talking(rig)
    info = only(rig.udp(within(rig, "INFO", cseq=2**31 - 1)), "INFO")
    rig.udp(reply(info, 200), BOB)
    outs = rig.take(rig.stack.command("calls.hangup", {"id": "call@192.0.2.1"}, rig.now, lambda *_: None))
    assert [out.to for out in outs if out.what == "BYE"] == [ALICE]

"""What ends a call: a BYE of one side that the other one takes, and no forged or refused one."""

from __future__ import annotations

import pytest

from tests.modules.calls.calling import CONTACT, bench, talking, within
from tests.rig import BOB, BOB_URI, only, reply, request


def test_callee_hangs_up() -> None:
    """The BYE of the other side ends it as well, and the record says whose it was."""
    rig, calls = bench()
    talking(rig)
    (call,) = calls
    bye = only(rig.udp(within(rig, "BYE", "callee", cseq=1), BOB), "BYE")
    rig.udp(reply(bye, 200))
    assert (call.over, call.ended_by) == (True, "callee")


def test_a_bye_that_is_challenged() -> None:
    """RFC 3261 22: its sender sends it again with credentials, so the call goes on."""
    rig, calls = bench()
    talking(rig)
    bye = only(rig.udp(within(rig, "BYE")), "BYE")
    rig.udp(reply(bye, 407, headers=[("Proxy-Authenticate", 'Digest realm="x", nonce="1"')]), BOB)
    assert len(calls) == 1


def test_a_forged_bye() -> None:
    """Tags and Call-ID alone, without the mark in Route, end no record."""
    rig, calls = bench()
    talking(rig)
    rig.udp(
        request("BYE", BOB_URI, source=("203.0.113.9", 5060), to_tag="bob", cseq=9), ("203.0.113.9", 5060)
    )
    assert len(calls) == 1


def test_lost_bye() -> None:
    """A BYE without an answer ends the record after Timer F."""
    rig, calls = bench()
    talking(rig)
    rig.udp(within(rig, "BYE"))
    rig.wait(33)
    assert len(calls) == 0


def test_a_reinvite_with_481() -> None:
    """RFC 3261 12.2.1.2: the other side does not know the dialog any more."""
    rig, calls = bench()
    talking(rig)
    again = only(rig.udp(within(rig, "INVITE", headers=[CONTACT])), "INVITE")
    rig.udp(reply(again, 481), BOB)
    assert len(calls) == 0


@pytest.mark.parametrize("status", [420, 483, 500, 503])
def test_a_bye_that_is_refused(status: int) -> None:
    """A stale CSeq, an unknown extension: the callee talks on, and so does the record."""
    rig, calls = bench()
    talking(rig)
    rig.udp(reply(only(rig.udp(within(rig, "BYE")), "BYE"), status), BOB)
    assert len(calls) == 1

"""Calls as time passes: sessions that expire, calls that last too long, phones that are gone."""

from __future__ import annotations

from tests.modules.calls.calling import bench, invite, talking, within
from tests.rig import ALICE, BOB, BOB_URI, only, reply, request, what


def test_an_invite_that_is_left() -> None:
    """Without an answer or a CANCEL the record ends with ``limits.ring_time``."""
    rig, calls = bench()
    invite(rig)
    rig.wait(1_000)
    assert len(calls) == 0


def test_max_duration() -> None:
    """Both sides get a BYE with the tags, CSeq and Route values of the other (RFC 3261 12.2.1.1)."""
    rig, calls = bench(max_duration=60)
    arrived = invite(rig, headers=[("Record-Route", "<sip:near.test;lr>")], source=ALICE)
    rig.udp(reply(arrived, 200), BOB)
    (call,) = calls
    call.talks["bob"].caller.routes = ()
    rig.wait(61)
    byes = [out for out in rig.log if out.what == "BYE" and out.time <= 160.1]
    assert {out.to for out in byes} == {ALICE, BOB}
    to_bob = next(out.message for out in byes if out.to == BOB)
    assert (to_bob.from_tag, to_bob.to_tag, to_bob.cseq.number) == ("alice", "bob", 2)
    assert to_bob.uri_text == BOB_URI
    to_alice = next(out.message for out in byes if out.to == ALICE)
    assert (to_alice.from_tag, to_alice.to_tag, to_alice.uri_text) == ("bob", "alice", "sip:alice@192.0.2.1")
    assert "max_duration" in (to_alice.get("reason") or "")
    assert len(calls) == 0


def test_session_timer_runs_out() -> None:
    """RFC 4028 8.3: state goes when the session has expired, and the proxy sends no BYE."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(
        reply(arrived, 200, headers=[("Session-Expires", "100;refresher=uac"), ("Require", "timer")]), BOB
    )
    rig.udp(within(rig, "ACK", cseq=1))
    rig.wait(90)
    again = only(rig.udp(within(rig, "UPDATE", headers=[("Session-Expires", "100;refresher=uac")])), "UPDATE")
    rig.udp(reply(again, 200, headers=[("Session-Expires", "100;refresher=uac")]), BOB)
    rig.wait(90)
    assert len(calls) == 1
    rig.wait(20)
    assert len(calls) == 0
    assert "BYE" not in what(rig.log)


def test_a_timer_of_the_caller_alone() -> None:
    """A caller that lets its session expire talks on at a gateway without timers: its record does, too."""
    rig, calls = bench()
    timer = [("Session-Expires", "90"), ("Supported", "timer")]
    talking(rig, headers=timer)
    (call,) = calls
    assert call.talks["bob"].expires is not None
    rig.wait(91)
    asked = [out for out in rig.log if out.what == "OPTIONS"]
    assert {out.to for out in asked} == {ALICE, BOB}
    for out in asked:
        rig.udp(reply(out, 200), out.to)
    rig.wait(80)
    assert list(calls) == [call]
    # Both are gone: neither answers.
    rig.wait(45)
    assert list(calls) == []
    assert "BYE" in what(rig.log)


def test_probe() -> None:
    """A side that does not know the dialog ends it for the other, too."""
    rig, calls = bench(probe=30)
    talking(rig)
    rig.wait(30)
    asked = [out for out in rig.log if out.what == "OPTIONS"]
    assert {out.to for out in asked} == {ALICE, BOB}
    # RFC 3261 12.2.2: a lower number than the last is refused, so a probe takes none of the phone's.
    assert {out.message.cseq.number for out in asked} == {0, 1}
    outs = []
    for out in asked:
        outs += rig.udp(reply(out, 200 if out.to == ALICE else 481), out.to)
    assert {out.to for out in outs if out.what == "BYE"} == {ALICE, BOB}
    assert len(calls) == 0


def test_requests_of_ours_go_to_who_called() -> None:
    """No stranger has BYEs of ours sent to an address that it only names."""
    rig, _ = bench(max_duration=60)
    arrived = only(rig.udp(request(headers=[("Contact", "<sip:v@203.0.113.7>")])), "INVITE")
    rig.udp(reply(arrived, 200), BOB)
    rig.udp(within(rig, "ACK", cseq=1))
    rig.wait(61)
    assert {out.to for out in rig.log if out.what == "BYE"} == {ALICE, BOB}


def test_a_refresh_does_not_fill_the_heap() -> None:
    """Phones that refresh all the time cost one entry."""
    rig, calls = bench()
    talking(rig)
    for number in range(50):
        again = only(rig.udp(within(rig, "UPDATE", cseq=2 + number)), "UPDATE")
        rig.udp(reply(again, 200), BOB)
    assert len(calls._watch) < 10

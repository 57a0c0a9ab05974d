"""The quality of gateways comes from what becomes of calls there, and orders them. On a virtual clock."""

from __future__ import annotations

import pytest

from tests.modules.lcr.farm import Farm, call, gateway_of, order, table
from tests.rig import ALICE, only, reply, request, within


def talk(rig: Farm, number: int, name: str, status: int, ring: float = 1.0, length: float = 60.0) -> None:
    """Place a call that gateway ``name`` takes, rings after ``ring`` seconds, and ends as ``status`` says."""
    invite = only(call(rig, number=number), "INVITE")
    assert gateway_of(invite) == name
    rig.wait(ring)
    rig.udp(reply(invite, 180), invite.to)
    outs = rig.udp(reply(invite, status), invite.to)
    if status == 200:
        answer = next(out for out in outs if out.to == ALICE and out.what == "200")
        route = ", ".join(reversed(answer.message.values("record-route")))
        rig.wait(length)
        uri = invite.message.uri_text
        common = {
            "uri": uri,
            "to": "<sip:4930123456@biloxi.test>",
            "to_tag": "bob",
            "from_tag": f"t{number}",
            "call_id": f"call{number}",
            "headers": [("Route", route)],
        }
        rig.udp(request("ACK", branch=f"z9hG4bKk{number}", **common))
        bye = only(rig.udp(request("BYE", branch=f"z9hG4bKb{number}", cseq=2, **common)), "BYE")
        rig.udp(reply(bye, 200), bye.to)


def test_quality() -> None:
    """ASR, ACD and PDD come from calls, and decide; what is not measured yet gets calls to be measured."""
    rates = table("one,49,0.01", "two,49,0.02")
    rig = Farm(rates, order="quality", quality_calls=4, good_length=60.0, eject_after=0)
    for number in range(4):
        # Busy numbers, after long silence.
        talk(rig, number, "one", 486, ring=1.5)
    row = rig.row("one")
    assert row["asr"] == 0.0
    assert row["pdd"] == pytest.approx(1.5)
    assert row["quality"] == pytest.approx(0.2 + 0.2 * (1 - 0.15))
    for number in range(4, 8):
        talk(rig, number, "two", 200, ring=1.0, length=60.0)
    row = rig.row("two")
    assert (row["asr"], row["acd"]) == (1.0, pytest.approx(60.0, abs=0.01))
    assert order(rig) == ["two", "one"]
    rows = rig.command("lcr.explain", number="49301")
    assert rows[0]["why"].startswith("quality 0.98")
    # Old calls count less and less: after a day it gets its chance again.
    rig.wait(86_400.0)
    assert order(rig) == ["one", "two"]


def test_quality_of_failures() -> None:
    """A gateway that fails is not answered; a caller who gives up at once says nothing of it."""
    rig = Farm(table("one,49,0.01", "two,49,0.02"), order="quality", quality_calls=1)
    first = only(call(rig), "INVITE")
    second = only(rig.udp(reply(first, 500), first.to), "INVITE")
    rig.udp(reply(second, 486), second.to)
    assert (rig.row("one")["asr"], rig.row("two")["asr"]) == (0.0, 0.0)
    rig = Farm(table("one,49,0.01"), order="quality", quality_calls=1)
    uri = "sip:4930123456@biloxi.test"
    invite = request(uri=uri, to=f"<{uri}>", headers=[("Contact", "<sip:alice@192.0.2.1>")])
    first = only(rig.udp(invite), "INVITE")
    rig.udp(reply(first, 100), first.to)
    rig.udp(within(invite, "CANCEL"))
    rig.udp(reply(first, 487), first.to)
    rig.wait(40.0)
    assert rig.row("one")["asr"] is None

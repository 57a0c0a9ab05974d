"""The dialogs of calls are told apart, whatever tags and ACKs peers make up."""

from __future__ import annotations

import pytest

from tests.modules.calls.calling import CONTACT, bench, invite, talking, within
from tests.rig import ALICE, BOB, BOB_URI, CAROL, CAROL_URI, only, reply, request


def test_one_dialog_twice() -> None:
    """A phone that answers with the tags of another call has a dialog of the same name: its BYE ends its own.

    The record of a dear call, its price and its limits would end while it goes on.
    """
    rig, calls = bench()
    rig.register(CAROL_URI, CAROL, "sip:carol@biloxi.test")
    talking(rig)
    (dear,) = calls
    mine = {"to_tag": "bob", "headers": [("Route", rig.route())]}
    to = "sip:carol@biloxi.test"
    copy = rig.udp(request(uri=to, to=f"<{to}>", branch="z9hG4bKcopy", cseq=2, headers=[CONTACT]))
    rig.udp(reply(only(copy, "INVITE"), 200, tag="bob"), CAROL)
    ends = {"to": f"<{to}>", "to_tag": "bob", "headers": [("Route", rig.route())]}
    rig.udp(request("ACK", CAROL_URI, branch="z9hG4bKa2", cseq=2, **ends))
    bye = only(rig.udp(request("BYE", CAROL_URI, branch="z9hG4bKb2", cseq=3, **ends)), "BYE")
    assert bye.to == CAROL
    rig.udp(reply(bye, 200), CAROL)
    assert list(calls) == [dear]
    rig.udp(
        reply(only(rig.udp(request("BYE", BOB_URI, branch="z9hG4bKb3", cseq=4, **mine)), "BYE"), 200), BOB
    )
    assert list(calls) == []
    assert not calls._talks._copies
    assert len(calls._talks) == 0


@pytest.mark.parametrize(("method", "status"), [("BYE", 200), ("INVITE", 481)])
def test_one_dialog_the_other_way_round(method: str, status: int) -> None:
    """Who calls with the callee's tag of another call, and has the caller's in the answer, holds up no BYE.

    The record of the other call would go on, and its price, when its callee has hung up.
    """
    rig, calls = bench()
    rig.register(CAROL_URI, CAROL, "sip:carol@biloxi.test")
    talking(rig)
    (dear,) = calls
    bye = within(rig, method, "callee", headers=[("Contact", f"<{BOB_URI}>")])
    to = "sip:carol@biloxi.test"
    copy = rig.udp(request(uri=to, to=f"<{to}>", branch="z9hG4bKcopy", from_tag="bob", headers=[CONTACT]))
    rig.udp(reply(only(copy, "INVITE"), 200, tag="alice"), CAROL)
    assert len(calls) == 2
    rig.udp(reply(only(rig.udp(bye, BOB), method), status), ALICE)
    assert dear not in list(calls)
    assert len(calls) == 1


def test_two_phones_answer() -> None:
    """RFC 3261 13.2.2.4: each 2xx is a dialog; the call ends with the last."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 200), BOB)
    route = rig.route()
    rig.udp(reply(arrived, 200, tag="robert"), BOB)
    (call,) = calls
    assert set(call.talks) == {"bob", "robert"}
    first = only(rig.udp(within(rig, "BYE", to_tag="robert")), "BYE")
    rig.udp(reply(first, 200), BOB)
    assert len(calls) == 1
    bye = request("BYE", BOB_URI, branch="z9hG4bKsecond", to_tag="bob", cseq=3, headers=[("Route", route)])
    second = only(rig.udp(bye), "BYE")
    rig.udp(reply(second, 200), BOB)
    assert len(calls) == 0


def test_dialogs_that_nobody_wanted() -> None:
    """RFC 3261 13.3.1.4: 2xx of tags that the caller does not acknowledge keep no call open."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 200), BOB)
    rig.udp(within(rig, "ACK", cseq=1))
    route = rig.route()
    for number in range(200):
        rig.udp(reply(arrived, 200, tag=f"more{number}"), BOB)
    (call,) = calls
    assert len(call.talks) <= 64
    rig.wait(65)
    assert set(call.talks) == {"bob"}
    bye = request("BYE", BOB_URI, branch="z9hG4bKend", to_tag="bob", cseq=2, headers=[("Route", route)])
    rig.udp(reply(only(rig.udp(bye), "BYE"), 200), BOB)
    assert (len(calls), call.ended_by) == (0, "caller")


def test_an_ack_of_the_callees_own() -> None:
    """The callee knows all tags, and not the caller's Route value: it cannot acknowledge for the caller."""
    rig, calls = bench()
    arrived = invite(rig)
    rig.udp(reply(arrived, 200), BOB)
    forged = request("ACK", BOB_URI, source=BOB, branch="z9hG4bKforged", to_tag="bob", cseq=1,
                     headers=[("Route", rig.callees_route())])  # fmt: skip
    rig.udp(forged, BOB)
    rig.wait(65)
    assert len(calls) == 0

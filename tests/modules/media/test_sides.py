"""A side of a dialog has a name that is no address: it may send from elsewhere, and be somewhere else."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.auth import AuthConfig
from sansip.auth.algorithms import ha1
from sansip.modules.calls import CallTakenBack
from sansip.modules.media.sessions import Sessions
from tests.modules.media.rig import SDP, TYPE, MediaRig, answer_sdp
from tests.modules.media.test_module import eve_calls
from tests.rig import BOB, CAROL, DAVE, only, reply, request
from tests.routing.test_within import CONTACT, MALLORY, SECRET, STRANGER, proven

# Behind a NAT, which has one address and then another.
HOME, MOVED = ("203.0.113.9", 40_000), ("203.0.113.77", 41_000)
PRIVATE = "sip:dora@10.0.0.9:5060"


def called_at_home() -> MediaRig:
    """Alice has called Dora, who is behind a NAT; Dora's phone has registered again, from elsewhere."""
    rig = MediaRig(calls=False)
    dora = "sip:dora@biloxi.test"
    rig.register(PRIVATE, HOME, dora)
    invite = only(rig.invite(uri=dora, to=f"<{dora}>"), "INVITE")
    assert invite.to == HOME
    contact = [("Contact", f"<{PRIVATE}>"), *TYPE]
    only(rig.udp(reply(invite, 200, tag="bob", headers=contact, body=answer_sdp()), HOME), "200")
    assert "sip:f-" in rig.route()
    rig.within("ACK", uri=PRIVATE)
    rig.register(PRIVATE, MOVED, dora)
    return rig


@pytest.mark.parametrize("rides", [True, False])
def test_the_callee_has_moved(rides: bool) -> None:
    """RFC 5626 5.3.2: its requests go over its present flow. The BYE ends the call's media all the same."""
    rig = called_at_home()
    if not rides:
        rig.stack.reception.openings = rig.stack.reception.passages = None
    again = only(rig.within("INVITE", cseq=2, uri=PRIVATE, body=SDP), "INVITE")
    assert again.to == MOVED
    assert rig.engine.commands == ["offer", "answer", "offer"]
    assert again.message.body != SDP
    rig.udp(reply(again, 200, headers=TYPE, body=answer_sdp()), MOVED)
    rig.within("ACK", cseq=2, uri=PRIVATE)
    bye = only(rig.within("BYE", cseq=3, uri=PRIVATE), "BYE")
    assert bye.to == MOVED
    rig.udp(reply(bye, 200), MOVED)
    assert rig.engine.commands == ["offer", "answer"] * 2 + ["delete"]
    assert rig.command("media.calls") == []


class Asking(MediaRig):
    """A rig that asks users for their passwords."""

    def __init__(self) -> None:
        super().__init__(
            calls=False, auth=AuthConfig(), secret=SECRET,
            users=lambda one: {"MD5": ha1(one.username, "biloxi.test", "wonderland")},
        )  # fmt: skip

    def register(self, uri: str, source: Any = BOB, aor: str = "sip:bob@biloxi.test", **_: Any) -> None:
        headers = [("Contact", f"<{uri}>")]
        only(
            proven(
                self, source, "REGISTER", "sip:biloxi.test", "bob",
                sender=f"<{aor}>", to=f"<{aor}>", call_id="r", headers=headers,
            ),
            "200",
        )  # fmt: skip


OF_BOB: dict[str, Any] = {
    "sender": "<sip:bob@biloxi.test>",
    "from_tag": "bob",
    "to": MALLORY,
    "to_tag": "t0",
    "call_id": "call0",
}


def test_a_side_that_sends_from_elsewhere() -> None:
    """Its mark names the address of before: its password proves it (``routing.within.admits_within``)."""
    rig = Asking()
    contact = [("Contact", f"<{CONTACT}>")]
    invite = only(rig.invite(source=STRANGER, sender=MALLORY, headers=contact), "INVITE")
    route = ("Route", rig.callees_route())
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    headers = [route, ("Contact", "<sip:bob@192.0.2.4>"), *TYPE]
    outs = proven(rig, DAVE, "INVITE", CONTACT, "bob", cseq=7, headers=headers, body=SDP, **OF_BOB)
    again = only(outs, "INVITE")
    assert again.to == STRANGER
    assert again.message.body != SDP
    assert rig.engine.commands == ["offer", "answer", "offer"]
    rig.udp(reply(again, 200, tag="t0", headers=[*contact, *TYPE], body=answer_sdp()), STRANGER)
    # He is known to be there by now.
    hang_up = request("BYE", CONTACT, source=DAVE, branch="z9hG4bKbye", cseq=9, headers=[route], **OF_BOB)
    bye = only(rig.udp(hang_up, DAVE), "BYE")
    rig.udp(reply(bye, 200, tag="t0"), STRANGER)
    assert rig.engine.commands == ["offer", "answer"] * 2 + ["delete"]


def test_an_offer_in_the_answer() -> None:
    """The INVITE left before the call had media: what its callee is named by is known all the same."""
    rig = MediaRig(calls=False)
    invite = only(rig.invite(body=b""), "INVITE")
    callees = rig.callees_route()
    rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    rig.within("ACK", body=SDP)
    assert rig.engine.commands == ["offer", "answer"]
    bye = request(
        "BYE", "sip:alice@192.0.2.1", source=BOB, branch="z9hG4bKbye", sender="<sip:bob@biloxi.test>",
        to="<sip:alice@biloxi.test>", from_tag="bob", to_tag="t0", call_id="call0",
        headers=[("Route", callees)],
    )  # fmt: skip
    rig.udp(reply(only(rig.udp(bye, BOB), "BYE"), 200, tag="t0"), ("192.0.2.1", 5060))
    assert rig.engine.commands == ["offer", "answer", "delete"]


def test_after_a_restart() -> None:
    """The names are kept with the call: Eve's call with its Call-ID and tags does not steer it afterwards."""
    rig = MediaRig()
    rig.answered()
    route = rig.route()
    (session,) = rig.media._sessions
    rig.media._sessions = Sessions()
    rig.media.event_received(CallTakenBack(session.call), rig.now)
    before = list(rig.engine.commands)
    eves = eve_calls(rig)
    data = request(
        "INVITE", "sip:friend@192.0.2.4", source=CAROL, branch="z9hG4bKeve2", from_tag="t0", to_tag="bob",
        call_id="call0", cseq=9, body=SDP,
        headers=[("Route", eves), ("Contact", "<sip:eve@192.0.2.3>"), *TYPE],
    )  # fmt: skip
    only(rig.udp(data, CAROL), "INVITE")
    assert rig.engine.commands == before
    data = request(
        "INVITE", "sip:bob@192.0.2.2", branch="z9hG4bKagain", from_tag="t0", to_tag="bob", call_id="call0",
        cseq=9, headers=[("Route", route), ("Contact", "<sip:alice@192.0.2.1>"), *TYPE], body=SDP,
    )  # fmt: skip
    only(rig.udp(data), "INVITE")
    assert rig.engine.commands == [*before, "offer"]

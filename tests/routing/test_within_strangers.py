"""Requests within dialogs from strangers: no dialog of others leads them to a third party."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.routing.trust import TrustedPeer
from tests.rig import ALICE, BOB, BOB_URI, CAROL, DAVE, HOST, only, reply, request, sent, what
from tests.routing.test_within import CONTACT, MALLORY, STRANGER, VICTIM, Stranger, asking, proven, refused

# --- what was an open relay


@pytest.mark.parametrize("method", ["BYE", "INVITE", "MESSAGE", "OPTIONS", "NOTIFY", "NEWMETHOD"])
def test_a_stranger_reaches_nobody_else(method: str) -> None:
    """The mark of one call leads to the phone that answered, and nowhere else."""
    call = Stranger()
    assert refused(call.send(method, VICTIM))
    assert call.send("ACK", VICTIM) == []
    assert call.send("CANCEL", VICTIM)[-1].what == "481"
    # Not even from another address, as another user, with another tag.
    for changes in ({"source": DAVE}, {"from_tag": "x"}, {"to_tag": "x"}, {"to": f"<{VICTIM}>"}):
        assert refused(call.send(method, VICTIM, **changes))


@pytest.mark.parametrize(
    "uri",
    [
        f"{BOB_URI};maddr=198.51.100.7",
        f"{BOB_URI};%6daddr=198.51.100.7",
        f"{BOB_URI}:5070",
        f"{BOB_URI};transport=tcp",
        "sips:bob@192.0.2.2",
        "sip:carol@192.0.2.2",
    ],
)
def test_nor_a_target_that_looks_like_it(uri: str) -> None:
    """RFC 3261 19.1.1: a maddr, another port or transport lead elsewhere."""
    assert refused(Stranger().send(uri=uri))


def test_nor_by_a_route_of_his_own() -> None:
    """The values behind ours in Route are sealed, too."""
    call = Stranger()
    for extra in ("<sip:198.51.100.7;lr>", "<sip:198.51.100.7>"):
        assert what(call.send(headers=[("Route", f"{call.route}, {extra}")])) == ["481"]
    assert what(call.send(uri=f"sip:{HOST};lr", headers=[("Route", f"<{VICTIM}>")])) == ["481"]


def test_nor_with_the_others_mark() -> None:
    """Each side has a mark of its own, and never sees that of the other."""
    call = Stranger()
    mark = call.callees.partition(";d=")[2].strip(">")
    assert mark not in call.answer.data.decode()
    assert what(call.send(headers=[("Route", call.callees)])) == ["481"]
    assert what(call.from_bob(headers=[("Route", call.route)])) == ["481"]


def test_nor_with_that_of_another_dialog() -> None:
    """Call-ID and both tags are sealed."""
    call = Stranger()
    for changes in ({"call_id": "another"}, {"from_tag": "x"}, {"to_tag": "x"}):
        assert what(call.send(**changes)) == ["481"]


def test_nothing_without_both_tags() -> None:
    """RFC 3261 12.2.1.1: an INVITE without a To tag begins a call, and one without a From tag is none."""
    call = Stranger()
    for method in ("INVITE", "MESSAGE", "INFO"):
        assert what(call.send(method, VICTIM, to_tag=None)) == ["403"]
    assert what(call.send("INFO", from_tag=None)) == ["481"]


def test_a_failure_tells_no_route() -> None:
    """RFC 3261 20.30: a 486 makes no dialog; what other proxies recorded stays as it came."""
    call = Stranger(status=180)
    other = "<sip:192.0.2.88;lr>"
    recorded = call.invite.message.get("record-route")
    headers = [("Record-Route", other), ("Record-Route", f"{recorded}, {other}")]
    failed = only(call.rig.udp(reply(call.invite, 486, headers=headers), BOB), "486").message
    assert failed.values("record-route") == [other, other]
    call = Stranger(status=180)
    headers = [("Record-Route", call.invite.message.get("record-route") or "")]
    failed = only(call.rig.udp(reply(call.invite, 603, headers=headers), BOB), "603").message
    assert not failed.has("record-route")


def test_between_two_strangers_nothing_is_relayed() -> None:
    """Two that we never let meet may not speak: no mark, whatever tags they agree on."""
    call = Stranger()
    data = request("INFO", VICTIM, source=STRANGER, branch="z9hG4bKx", sender=MALLORY, from_tag="m",
                   to=f"<{VICTIM}>", to_tag="v", headers=[("Route", call.route)])  # fmt: skip
    assert what(call.rig.udp(data, STRANGER)) == ["481"]


def test_a_callee_who_is_a_stranger() -> None:
    """Our user calls out: the stranger's mark leads back to her Contact, and nowhere else."""
    rig = asking()
    headers = [("Contact", "<sip:alice@192.0.2.1>")]
    outs = proven(rig, ALICE, "INVITE", CONTACT, "alice", to=MALLORY, headers=headers)
    invite = only(outs, "INVITE")
    rig.udp(reply(invite, 200, tag="m", headers=[("Contact", f"<{CONTACT}>")]), STRANGER)
    route = ", ".join(invite.message.values("record-route"))
    for uri, expected in (("sip:alice@192.0.2.1", [("BYE", ALICE)]), (VICTIM, [("403", STRANGER)])):
        bye = request(
            "BYE",
            uri,
            source=STRANGER,
            branch=f"z9hG4bK{len(rig.log)}",
            sender=MALLORY,
            from_tag="m",
            to="<sip:alice@biloxi.test>",
            to_tag="alice",
            headers=[("Route", route)],
        )
        assert sent(rig.udp(bye, STRANGER)) == expected


# --- strangers with the name of a user


def test_a_name_of_ours_needs_a_password() -> None:
    """A stranger within a dialog with bob is not our alice, whatever From says."""
    call = Stranger(asking())
    for sender in ("<sip:alice@biloxi.test>", "<sip:bob@biloxi.test.>", "<im:alice@biloxi.test>"):
        assert what(call.send(sender=sender)) == ["407"]
    assert sent(call.send(sender="<sip:mallory@other.example>")) == [("INFO", BOB)]


def test_our_user_at_its_address() -> None:
    """Bob's requests come from the called address: no password is asked for; from elsewhere it is."""
    call = Stranger(asking())
    assert sent(call.from_bob()) == [("INFO", STRANGER)]
    assert sent(call.from_bob(source=("192.0.2.2", 40_000))) == [("INFO", STRANGER)]
    assert what(call.from_bob(source=DAVE)) == ["407"]
    assert call.from_bob("ACK", source=DAVE) == []
    # The phone speaks for no one else, even from there.
    assert what(call.from_bob(sender="<sip:alice@biloxi.test>")) == ["407"]


@pytest.mark.parametrize("sender", ["<sip:bob@biloxi.test>", "<sip:alice@biloxi.test>", MALLORY])
def test_a_mark_that_leaked(sender: str) -> None:
    """A host that has read a whole dialog is still not one of its sides, if that side is a user of ours."""
    call = Stranger(asking())
    for method in ("INFO", "INVITE", "BYE"):
        assert what(call.from_bob(method, source=DAVE, sender=sender)) == ["407"]
    assert call.from_bob("ACK", source=DAVE, sender=sender) == []


def test_our_user_who_moved() -> None:
    """With the password bob goes on from his new address, and so does the ACK, which cannot be challenged."""
    call = Stranger(asking())
    options: dict[str, Any] = {
        "sender": "<sip:bob@biloxi.test>", "from_tag": "bob", "to": MALLORY, "to_tag": "m",
        "headers": [("Route", call.callees), ("Contact", "<sip:bob@192.0.2.4>")],
    }  # fmt: skip
    outs = proven(call.rig, DAVE, "INVITE", CONTACT, "bob", cseq=7, **options)
    assert sent(outs)[-1] == ("INVITE", STRANGER)
    call.rig.udp(reply(outs[-1], 200, tag="m", headers=[("Contact", f"<{CONTACT}>")]), STRANGER)
    assert sent(call.from_bob("ACK", source=DAVE)) == [("ACK", STRANGER)]
    # And the stranger reaches the phone there (RFC 3261 12.2.2).
    assert sent(call.send(uri="sip:bob@192.0.2.4")) == [("INFO", DAVE)]
    # From there no other user is believed, and another's password does not do.
    assert what(call.from_bob(source=DAVE, sender="<sip:alice@biloxi.test>")) == ["407"]
    assert what(call.from_bob(source=DAVE, sender=MALLORY)) == ["407"]
    outs = proven(call.rig, CAROL, "INFO", CONTACT, "alice", cseq=8, **options)
    assert sent(outs) == [("403", CAROL)]


def test_a_trusted_peer() -> None:
    """[[trusted]]: it may name our users; with ``relay`` it reaches anybody, else as a stranger."""
    for relay in (True, False):
        peers = [TrustedPeer("203.0.113.66", relay=relay)]
        call = Stranger(asking(trusted=peers))
        assert sent(call.send(sender="<sip:alice@biloxi.test>")) == [("INFO", BOB)]
        assert sent(call.send()) == [("INFO", BOB)]
        assert sent(call.send(uri=VICTIM)) == (
            [("INFO", ("198.51.100.7", 5060))] if relay else [("403", STRANGER)]
        )

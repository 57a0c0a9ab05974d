"""Without the module ``calls``: a call's media ends with its INVITE, or with its last dialog."""

from __future__ import annotations

import pytest

from sansip.module import CommandError
from tests.modules.media.rig import FIRST, SDP, SECOND, TYPE, MediaRig, answer_sdp
from tests.relays import Engine
from tests.rig import BOB, only, reply, what


def alone(**options: object) -> MediaRig:
    return MediaRig(calls=False, **options)


def test_a_call() -> None:
    """Offer, answer, and one deletion once the BYE is answered; nothing is kept."""
    rig = alone()
    rig.answered()
    assert len(rig.command("media.calls")) == 1
    bye = only(rig.within("BYE", cseq=2), "BYE")
    assert rig.engine.commands == ["offer", "answer"]
    rig.udp(reply(bye, 200), BOB)
    assert rig.engine.commands == ["offer", "answer", "delete"]
    assert (rig.command("media.calls"), rig.engine.calls) == ([], {})
    assert rig.command("media.list")[0]["calls"] == 0


@pytest.mark.parametrize("status", [486, 503])
def test_refused(status: int) -> None:
    """RFC 3261 17.1.1: an INVITE that fails leaves nothing at the relay."""
    rig = alone()
    invite = only(rig.invite(), "INVITE")
    rig.udp(reply(invite, status), BOB)
    assert rig.command("media.calls") == []
    assert not any(rig.engine.calls.values())


def test_a_bye_that_is_refused() -> None:
    """RFC 5057 5.1: a BYE that fails for itself ends no media; RFC 3261 15.1.1: a 481 does."""
    rig = alone()
    rig.answered()
    rig.udp(reply(only(rig.within("BYE", cseq=2), "BYE"), 500), BOB)
    assert len(rig.command("media.calls")) == 1
    rig.udp(reply(only(rig.within("BYE", cseq=3), "BYE"), 481), BOB)
    assert (rig.command("media.calls"), rig.engine.calls) == ([], {})


def test_two_phones_answer() -> None:
    """RFC 3261 13.2.2.4: the first BYE ends one dialog, the second the call."""
    rig = alone()
    invite = only(rig.invite(), "INVITE")
    routes = {}
    for tag in ("bob", "other"):
        rig.udp(reply(invite, 200, tag=tag, headers=TYPE, body=answer_sdp()), BOB)
        routes[tag] = rig.route()
        rig.within("ACK", to_tag=tag, branch=f"z9hG4bKack{tag}")
    rig.udp(reply(only(rig.within("BYE", cseq=2, to_tag="other"), "BYE"), 200), BOB)
    assert len(rig.command("media.calls")) == 1
    # Each dialog has its own.
    rig.route = lambda: routes["bob"]  # type: ignore[method-assign]  # the last one's by default
    rig.udp(reply(only(rig.within("BYE", cseq=2, branch="z9hG4bKlast"), "BYE"), 200), BOB)
    assert rig.command("media.calls") == []
    assert not any(rig.engine.calls.values())


def test_reinvite() -> None:
    """A re-INVITE stays at the relay of its call."""
    rig = alone(relays={FIRST: Engine(), SECOND: Engine()})
    rig.answered()
    (row,) = rig.command("media.calls")
    again = only(rig.within("INVITE", cseq=2, body=SDP.replace(b"4000", b"4002")), "INVITE")
    assert b"203.0.113.5" in again.message.body
    ok = only(rig.udp(reply(again, 200, headers=TYPE, body=answer_sdp(5002)), BOB), "200")
    assert b"203.0.113.5" in ok.message.body
    assert rig.command("media.calls") == [row]
    commands = [name for engine in rig.relays.values() for name in engine.commands]
    assert commands == ["offer", "answer", "offer", "answer"]


def test_no_answer_of_the_relay() -> None:
    """Where the answer gets no relay, both sides hear a BYE after the 2xx (RFC 3261 15)."""
    rig = alone()
    invite = only(rig.invite(), "INVITE")
    rig.engine.mood = "error"
    outs = rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    outs += rig.wait(0.01)
    assert [one for one in what(outs) if one in ("200", "BYE")] == ["200", "BYE", "BYE"]
    to = {out.action.address for out in outs if out.what == "BYE"}
    assert to == {("192.0.2.1", 5060), ("192.0.2.2", 5060)}
    assert rig.command("media.calls") == []


def test_moved_later_only() -> None:
    """At once a call moves by a re-INVITE of ours, which the module ``calls`` knows how to send."""
    rig = alone(relays={FIRST: Engine(), SECOND: Engine()})
    rig.answered()
    failed = rig.command("media.move", id="call0")
    assert isinstance(failed, CommandError)
    assert "add [calls]" in str(failed)
    assert rig.command("media.move", id="call0", later=True)["moving"]


def test_forgotten() -> None:
    """A call without a BYE is forgotten after ``media.longest``; the relay has ended it by itself."""
    rig = alone(media={"longest": 100.0})
    rig.answered()
    rig.wait(90.0)
    assert len(rig.command("media.calls")) == 1
    rig.wait(100.0)
    assert rig.command("media.calls") == []
    assert rig.command("media.list")[0]["calls"] == 0


def test_most() -> None:
    """``media.most``: further calls get no relay, and are refused as where none is up."""
    rig = alone(media={"most": 1})
    rig.answered()
    assert "503" in what(rig.invite(1))


def test_many_of_one_call_id() -> None:
    """Calls with one Call-ID and tag are bounded; each is at the relay under a name of its own."""
    rig = alone()
    for number in range(17):
        outs = rig.invite(number, call_id="same", from_tag="same", cseq=number + 1)
        assert ("503" in what(outs)) == (number == 16)
    assert len(rig.engine.calls) == 16

"""A call moves to another relay by a re-INVITE of ours to both sides: what each side and relay sees."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sansip.module import CommandError
from tests.modules.media.rig import SDP, TYPE, MediaRig, answer_sdp, two
from tests.relays import Engine
from tests.rig import ALICE, BOB, Out, only, reply, what


class Moving:
    """A call that is being moved."""

    def __init__(self, rig: MediaRig | None = None, *, answered: bool = True) -> None:
        self.rig = two() if rig is None else rig
        if answered:
            self.rig.answered()
        self.results: list[Any] = []

    @property
    def row(self) -> dict[str, Any]:
        (found,) = self.rig.command("media.calls")
        return found

    @property
    def relay(self) -> Engine:
        """The relay that has the call now."""
        _, host, port = self.row["relay"].split(":")
        return self.rig.relays[host, int(port)]

    @property
    def other(self) -> Engine:
        return next(one for one in self.rig.relays.values() if one is not self.relay)

    def begin(self, **given: Any) -> Out:
        """Ask for it; return the re-INVITE that the callee gets."""
        rig = self.rig
        outs = rig.take(
            rig.stack.command(
                "media.move",
                {"id": "call0", **given},
                rig.now,
                lambda result, now: self.results.append(result),
            )
        )
        return only(outs, "INVITE")

    def accept(self, invite: Out, body: bytes, source: Any) -> list[Out]:
        """Answer a re-INVITE of ours; check that it is acknowledged."""
        name = "bob" if source == BOB else "alice"
        headers = [("Contact", f"<sip:{name}@{source[0]}>"), *TYPE]
        data = reply(invite, 200, headers=headers, body=body)
        outs = self.rig.udp(data, source)
        acknowledged = only(outs, "ACK")
        assert acknowledged.to == source
        assert acknowledged.message.cseq.number == invite.message.cseq.number
        # RFC 3261 13.2.2.4: each repetition of the 2xx gets it again.
        assert what(self.rig.udp(data, source)) == ["ACK"]
        return outs

    def both(self) -> tuple[Out, Out]:
        """Have both sides follow; return their re-INVITEs."""
        first = self.begin()
        second = only(self.accept(first, answer_sdp(), BOB), "INVITE")
        self.accept(second, SDP, ALICE)
        return first, second

    @property
    def failure(self) -> str:
        (found,) = self.results
        assert isinstance(found, CommandError), found
        return str(found)


def origin(body: bytes) -> bytes:
    match = re.search(rb"o=[^\r]*", body)
    assert match is not None
    return match[0]


def version(body: bytes) -> int:
    return int(origin(body).split(b" ")[2])


def test_both_sides_follow() -> None:
    """Each gets the new relay's address in the other's name; the old relay forgets the call."""
    call = Moving()
    old, new = call.relay, call.other
    first, second = call.both()
    assert call.results[0]["relay"].split(":")[1] != ""
    assert call.relay is new
    assert (first.to, second.to) == (BOB, ALICE)
    for out, name, peer in ((first, "t0", "sip:alice@192.0.2.1"), (second, "bob", "sip:bob@192.0.2.2")):
        assert new.host.encode() in out.message.body
        assert old.host.encode() not in out.message.body.replace(origin(out.message.body), b"")
        assert out.message.from_tag == name
        # RFC 3261 12.2.2: the remote target of the dialog stays.
        assert peer in str(out.message.get("contact"))
    assert old.calls == {}
    assert list(new.calls)
    # RFC 3261 12.2.1.1: each side's numbers go on.
    assert first.message.cseq.number == 2
    assert second.message.cseq.number == 1
    bye = only(call.rig.within("BYE", cseq=2), "BYE")
    call.rig.udp(reply(bye, 200), BOB)
    assert new.calls == {}


def test_cseq_goes_on() -> None:
    """The caller does not know of our re-INVITE and uses its number: the callee sees one more."""
    call = Moving()
    call.both()
    rig = call.rig
    invite = only(rig.within("INVITE", body=SDP, cseq=2), "INVITE")
    # RFC 3261 12.2.2: a lower or equal number would be refused with 500.
    assert invite.message.cseq.number == 3
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert ok.message.cseq.number == 2
    assert only(rig.within("ACK", cseq=2), "ACK").message.cseq.number == 3
    call.results.clear()
    first, _ = call.both()
    assert first.message.cseq.number == 4
    bye = only(rig.within("BYE", cseq=3), "BYE")
    assert bye.message.cseq.number == 5
    assert only(rig.udp(reply(bye, 200), BOB), "200").message.cseq.number == 3
    # Nothing is kept of a call that is over.
    assert not rig.stack.proxy.shifts.steps


def test_versions_go_on() -> None:
    """RFC 3264 8: one session for each side: ``o=`` stays but for its version, which rises."""
    call = Moving()
    rig = call.rig
    first, _ = call.both()
    assert origin(first.message.body) == b"o=alice 1 2 IN IP4 192.0.2.1"
    assert version(first.message.body) == 2
    # The caller's next offer has its own version, 2 as well: other addresses, so another version.
    body = SDP.replace(b"1 1 IN", b"1 2 IN").replace(b"4000", b"4002")
    invite = only(rig.within("INVITE", body=body, cseq=2), "INVITE")
    assert origin(invite.message.body) == b"o=alice 1 3 IN IP4 192.0.2.1"


def test_callee_refuses() -> None:
    """Nothing has changed yet: the call stays, and the new relay forgets it."""
    call = Moving()
    old, new = call.relay, call.other
    invite = call.begin()
    call.rig.udp(reply(invite, 488), BOB)
    assert "the callee answers 488" in call.failure
    assert call.relay is old
    assert new.calls == {}
    assert list(old.calls)


def test_caller_refuses() -> None:
    """The callee, who has moved, is asked to go back: both are where they were."""
    call = Moving()
    old, new = call.relay, call.other
    first = call.begin()
    second = only(call.accept(first, answer_sdp(), BOB), "INVITE")
    back = only(call.rig.udp(reply(second, 488), ALICE), "INVITE")
    assert back.to == BOB
    assert old.host.encode() in back.message.body
    # RFC 3264 8
    assert version(back.message.body) == version(first.message.body) + 1
    call.accept(back, answer_sdp(), BOB)
    assert "the call is where it was" in call.failure
    assert call.relay is old
    assert new.calls == {}


def test_nobody_goes_back() -> None:
    """Where the callee cannot go back the call has no media in one direction: it is hung up."""
    call = Moving()
    first = call.begin()
    second = only(call.accept(first, answer_sdp(), BOB), "INVITE")
    back = only(call.rig.udp(reply(second, 488), ALICE), "INVITE")
    outs = call.rig.udp(reply(back, 500), BOB)
    assert what(outs).count("BYE") == 2
    assert "hung up" in call.failure


def test_glare_of_the_callee() -> None:
    """491: asked again after 2.1 to 4 s; the callee's own offer passes meanwhile."""
    call = Moving()
    rig = call.rig
    invite = call.begin()
    assert "INVITE" not in what(rig.udp(reply(invite, 491), BOB))
    # RFC 3261 14.1: the caller made the Call-ID.
    assert "INVITE" not in what(rig.wait(2.0))
    outs: list[Out] = []
    for _ in range(7):
        # Less than T1 each: it is not sent again meanwhile.
        outs = rig.wait(0.3)
        if "INVITE" in what(outs):
            break
    again = only(outs, "INVITE")
    assert again.message.cseq.number == invite.message.cseq.number + 1
    second = only(call.accept(again, answer_sdp(), BOB), "INVITE")
    call.accept(second, SDP, ALICE)
    assert call.results[0]["relay"]


def test_glare_of_the_caller() -> None:
    """The caller's offer that crossed ours takes it to the new relay: it is not asked again."""
    call = Moving()
    rig, old, new = call.rig, call.relay, call.other
    first = call.begin()
    second = only(call.accept(first, answer_sdp(), BOB), "INVITE")
    rig.udp(reply(second, 491), ALICE)
    invite = only(rig.within("INVITE", body=SDP.replace(b"4000", b"4002"), cseq=2), "INVITE")
    assert new.host.encode() in invite.message.body
    ok = only(rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB), "200")
    assert new.host.encode() in ok.message.body
    rig.within("ACK", cseq=2)
    assert "INVITE" not in what(rig.wait(3))
    assert call.results[0]["moving"] is False
    assert old.calls == {}


def test_endless_glare() -> None:
    """A callee that always answers 491 is asked a few times, and the call stays."""
    call = Moving()
    invite = call.begin()
    for _ in range(3):
        call.rig.udp(reply(invite, 491), BOB)
        invite = next(out for out in call.rig.wait(4.1) if out.what == "INVITE")
    call.rig.udp(reply(invite, 491), BOB)
    assert "491" in call.failure
    assert call.other.calls == {}


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_offers_meanwhile(method: str) -> None:
    """An offer of a side while ours waits gets 491 (RFC 3261 14.2, RFC 3311 5.2)."""
    call = Moving()
    call.begin()
    assert what(call.rig.within(method, body=SDP, cseq=2))[-1] == "491"


def test_ends_meanwhile() -> None:
    """A BYE during the move: both relays forget the call, and a 200 that crosses it is acknowledged."""
    call = Moving()
    rig, new = call.rig, call.other
    invite = call.begin()
    bye = only(rig.within("BYE", cseq=2), "BYE")
    assert bye.message.cseq.number == invite.message.cseq.number + 1
    rig.udp(reply(bye, 200), BOB)
    outs = rig.udp(reply(invite, 200, headers=TYPE, body=answer_sdp()), BOB)
    assert what(outs) == ["ACK"]
    assert "ended" in call.failure
    assert [one.calls for one in rig.relays.values()] == [{}, {}]
    assert new.commands[-1] == "delete"


def test_ends_in_a_pause() -> None:
    """The same while a glare is waited out."""
    call = Moving()
    rig = call.rig
    rig.udp(reply(call.begin(), 491), BOB)
    rig.udp(reply(only(rig.within("BYE", cseq=2), "BYE"), 200), BOB)
    assert "INVITE" not in what(rig.wait(5))
    assert "ended" in call.failure
    assert [one.calls for one in rig.relays.values()] == [{}, {}]


def test_no_other_relay() -> None:
    """Said, and nothing is sent."""
    rig = MediaRig()
    rig.answered()
    result = rig.command("media.move", id="call0")
    assert isinstance(result, CommandError)
    assert "no other relay is up" in str(result)


def test_not_answered() -> None:
    """A call that rings moves with its next offer at the most (``later=``)."""
    rig = two()
    rig.invite()
    assert "not answered" in str(rig.command("media.move", id="call0"))
    assert rig.command("media.move", id="call0", later=True)["moving"] is True


def test_to_one_relay() -> None:
    """``to`` names it; where the call is already is said."""
    call = Moving()
    rig = call.rig
    here = call.row["relay"]
    there = next(f"ng:{at[0]}:{at[1]}" for at in rig.relays if f"ng:{at[0]}:{at[1]}" != here)
    assert "already" in str(rig.command("media.move", id="call0", to=here))
    invite = call.begin(to=there)
    second = only(call.accept(invite, answer_sdp(), BOB), "INVITE")
    call.accept(second, SDP, ALICE)
    assert call.row["relay"] == there


def test_silent_callee() -> None:
    """No answer: a 408 of ours after Timer B, and the call stays; twice at once is refused."""
    call = Moving()
    old = call.relay
    call.begin()
    assert "being moved" in str(call.rig.command("media.move", id="call0"))
    call.rig.wait(40)
    assert "408" in call.failure
    assert call.relay is old


def test_session_timer() -> None:
    """RFC 4028 7.4: a re-INVITE without Session-Expires would end the timer; each side refreshes."""
    rig = two()
    call = Moving(rig, answered=False)
    invite = only(rig.invite(headers=[("Supported", "timer")]), "INVITE")
    timer = [("Supported", "timer"), ("Session-Expires", "1800;refresher=uas"), ("Require", "timer")]
    rig.udp(reply(invite, 200, headers=[*TYPE, *timer], body=answer_sdp()), BOB)
    rig.within("ACK")
    first, second = call.both()
    for out in (first, second):
        assert out.message.get("session-expires") == "1800;refresher=uas"
        assert out.message.get("supported") == "timer"
    without = Moving()
    assert without.begin().message.get("session-expires") is None

"""Requests sent again with our credentials: the CSeq of the call, its dialog, its end (RFC 3261 22.3)."""

from __future__ import annotations

from typing import Any

from sansip.entropy import Entropy
from sansip.proxy.sequence import Shifts
from sansip.wire import Request, parse_message
from tests.proxy.carrier import asked, believed, called, carrier, credentials, in_dialog
from tests.rig import ALICE, BOB, CAROL, ack, only, relay_to, reply, request, what, within


def test_a_challenged_call() -> None:
    """22.2: a new branch, a new CSeq, credentials; the caller sees nothing of it."""
    rig = carrier()
    first = only(rig.udp(request(cseq=7)), "INVITE")
    assert first.message.get("proxy-authorization") is None
    outs = rig.udp(reply(first, 407, headers=[asked()]), BOB)
    # 17.1.1.3: the failure is acknowledged with its own number.
    assert [(out.what, out.message.get("cseq")) for out in outs] == [("ACK", "7 ACK"), ("INVITE", "8 INVITE")]
    again = outs[1]
    assert again.message.via.branch != first.message.via.branch
    assert believed(again)
    assert credentials(again).params["nc"] == "00000001"
    ringing = only(rig.udp(reply(again, 180), BOB), "180")
    assert (ringing.to, ringing.message.get("cseq")) == (ALICE, "7 INVITE")
    assert only(rig.udp(reply(again, 200), BOB), "200").message.get("cseq") == "7 INVITE"
    # RFC 6026 7.2: a second 2xx, of a fork behind the carrier, as well.
    late = only(rig.udp(reply(again, 200, tag="other"), BOB), "200")
    assert late.message.get("cseq") == "7 INVITE"


def test_the_dialog_goes_on_with_higher_numbers() -> None:
    """12.2.1.1 as each side sees it: ACK, PRACK and BYE fit what the carrier got, in one direction alone."""
    rig = carrier()
    invite, ok = called(rig, cseq=7)
    assert [value.count(";c=1-") for value in ok.message.get_all("record-route")] == [1]
    (out,) = rig.udp(in_dialog("ACK", ok, 7))
    assert (out.to, out.message.get("cseq")) == (BOB, "8 ACK")
    out = only(rig.udp(in_dialog("PRACK", ok, 8, headers=[("RAck", "1 7 INVITE")])), "PRACK")
    assert (out.message.get("cseq"), out.message.get("rack")) == ("9 PRACK", "1 8 INVITE")
    assert only(rig.udp(reply(out, 200), BOB), "200").message.get("cseq") == "8 PRACK"
    # Bob's requests have numbers of their own.
    out = only(rig.udp(in_dialog("BYE", invite, 40, down=False), BOB), "BYE")
    assert (out.to, out.message.get("cseq")) == (ALICE, "40 BYE")
    assert only(rig.udp(reply(out, 200, tag=None)), "200").message.get("cseq") == "40 BYE"


def test_the_dialog_survives_a_restart() -> None:
    """The mark is all that is needed: another stack with the same secret goes on."""
    _, ok = called(carrier(secret=b"s" * 32))
    out = only(carrier(secret=b"s" * 32).udp(in_dialog("BYE", ok, 2)), "BYE")
    assert out.message.get("cseq") == "3 BYE"


def test_a_forged_mark_says_nothing() -> None:
    rig = carrier(secret=b"s" * 32)
    _, ok = called(rig)
    data = in_dialog("BYE", ok, 2).replace(b";c=1-", b";c=9-")
    assert only(rig.udp(data), "BYE").message.get("cseq") == "2 BYE"


def test_a_challenge_within_the_dialog() -> None:
    """A re-INVITE with a stale nonce: its ACK has its number, an earlier one keeps its own."""
    rig = carrier()
    _, ok = called(rig)
    rig.udp(in_dialog("ACK", ok, 1))
    out = only(rig.udp(in_dialog("INVITE", ok, 2)), "INVITE")
    # The nonce is used again: nc counts (RFC 7616 3.4).
    assert (out.message.get("cseq"), credentials(out).params["nc"]) == ("3 INVITE", "00000002")
    again = only(rig.udp(reply(out, 407, headers=[asked("n2", more=", stale=true")]), BOB), "INVITE")
    assert (again.message.get("cseq"), credentials(again).nonce) == ("4 INVITE", "n2")
    assert only(rig.udp(reply(again, 200), BOB), "200").message.get("cseq") == "2 INVITE"
    (out,) = rig.udp(in_dialog("ACK", ok, 2))
    assert out.message.get("cseq") == "4 ACK"
    (out,) = rig.udp(in_dialog("ACK", ok, 1, branch="z9hG4bKlate"))
    assert out.message.get("cseq") == "2 ACK"
    assert only(rig.udp(in_dialog("BYE", ok, 3)), "BYE").message.get("cseq") == "5 BYE"


def test_the_next_call_is_not_challenged() -> None:
    """RFC 7616 3.6: credentials go along at once; then no number changes, and no mark is needed."""
    rig = carrier()
    called(rig)
    out = only(rig.udp(request(branch="z9hG4bKb", call_id="second", cseq=5)), "INVITE")
    assert believed(out)
    assert (credentials(out).params["nc"], out.message.get("cseq")) == ("00000002", "5 INVITE")
    assert ";c=" not in (out.message.get("record-route") or "")


def test_a_new_attempt_of_the_caller() -> None:
    """The caller's next number (after a 422, say) would equal the one that we used: it is raised, too."""
    rig = carrier()
    first = only(rig.udp(request(cseq=1)), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "INVITE")
    rig.udp(reply(again, 422), BOB)
    rig.udp(ack(request(cseq=1), only(rig.log, "422")))
    out = only(rig.udp(request(cseq=2, branch="z9hG4bKb")), "INVITE")
    assert out.message.get("cseq") == "3 INVITE"
    assert ";c=1-" in (out.message.get("record-route") or "")


def test_whoever_raised_the_number_stays_on_the_path() -> None:
    """A route that does not record itself: the dialog could not go on without us."""
    rig = carrier(relay_to("sip:bob@192.0.2.2"))
    first = only(rig.udp(request()), "INVITE")
    assert not first.message.has("record-route")
    again = only(rig.udp(reply(first, 401, headers=[("WWW-Authenticate", asked()[1])]), BOB), "INVITE")
    assert ";c=1-" in (again.message.get("record-route") or "")
    assert credentials(again, "authorization").nonce == "n1"


def test_a_cancel_has_the_number_of_its_invite() -> None:
    """9.1."""
    rig = carrier()
    invite = request(cseq=3)
    first = only(rig.udp(invite), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "INVITE")
    rig.udp(reply(again, 180), BOB)
    out = only(rig.udp(within(invite, "CANCEL")), "CANCEL")
    assert out.message.get("cseq") == "4 CANCEL"
    assert only(rig.udp(reply(again, 487), BOB), "487").message.get("cseq") == "3 INVITE"


def test_a_cancel_between_challenge_and_answer() -> None:
    """Given up meanwhile: the challenge is not answered any more."""
    rig = carrier()
    invite = request()
    first = only(rig.udp(invite), "INVITE")
    rig.udp(within(invite, "CANCEL"))
    outs = rig.udp(reply(first, 407, headers=[asked()]), BOB)
    assert what(outs) == ["ACK", "487"]


def test_a_fork_in_which_one_asks() -> None:
    """16.7 step 7: each branch answers its own challenge; the number of the other branch stays."""

    def route(handle: Any) -> None:
        handle.record_route()
        handle.relay(["sip:bob@192.0.2.2", "sip:carol@192.0.2.3"])

    rig = carrier(route)
    outs = rig.udp(request())
    bob, carol = [out for out in outs if out.what == "INVITE"]
    again = only(rig.udp(reply(bob, 407, headers=[asked()]), BOB), "INVITE")
    assert again.message.get("cseq") == "2 INVITE"
    outs = rig.udp(reply(carol, 200, tag="carol"), CAROL)
    assert only(outs, "200").message.get("cseq") == "1 INVITE"


def test_numbers_that_cannot_be_raised() -> None:
    """8.1.1.5: less than 2**31."""
    rig = carrier()
    first = only(rig.udp(request(cseq=2**31 - 1)), "INVITE")
    assert what(rig.udp(reply(first, 407, headers=[asked()]), BOB)) == ["ACK", "500"]


def test_limits_of_what_is_remembered() -> None:
    """``limits.raised_dialogs`` and ``limits.client_nonces``: the oldest goes, nothing breaks."""
    rig = carrier(limits={"raised_dialogs": 2, "client_nonces": 1})
    for number in range(4):
        data = request("MESSAGE", call_id=f"c{number}", branch=f"z9hG4bK{number}", cseq=5)
        out = only(rig.udp(data), "MESSAGE")
        again = only(rig.udp(reply(out, 407, headers=[asked(f"n{number}")]), BOB), "MESSAGE")
        rig.udp(reply(again, 200), BOB)
    assert len(rig.stack.proxy.shifts.steps) == 2
    out = only(rig.udp(request("MESSAGE", call_id="c3", branch="z9hG4bKx", cseq=6)), "MESSAGE")
    assert out.message.get("cseq") == "7 MESSAGE"
    out = only(rig.udp(request("MESSAGE", call_id="c0", branch="z9hG4bKy", cseq=6)), "MESSAGE")
    assert out.message.get("cseq") == "6 MESSAGE"


def test_a_success_after_it_was_given_up() -> None:
    """RFC 3261 16.8, 16.7 step 5: a 2xx counts still, and has the caller's number."""
    rig = carrier()
    first = only(rig.udp(request(cseq=4)), "INVITE")
    again = only(rig.udp(reply(first, 407, headers=[asked()]), BOB), "INVITE")
    rig.udp(reply(again, 180), BOB)
    # Timer C: it is being cancelled, and is answered all the same.
    assert "CANCEL" in what(rig.wait(200))
    late = [out for out in rig.udp(reply(again, 200), BOB) if out.what == "200"]
    assert [out.message.get("cseq") for out in late] == ["4 INVITE"]


def test_a_timeout_of_what_was_sent_again() -> None:
    """16.8: silence after our answer is a 408, with the caller's own number."""
    rig = carrier()
    first = only(rig.udp(request(cseq=4)), "INVITE")
    rig.udp(reply(first, 407, headers=[asked()]), BOB)
    failures = [out for out in rig.wait(40) if out.what == "408"]
    assert {out.message.get("cseq") for out in failures} == {"4 INVITE"}


def test_raised_after() -> None:
    """A request of ours in a side's name takes a number: its own later ones are one higher, each time."""
    shifts = Shifts(Entropy(b"x" * 16), 2)
    message = parse_message(request("BYE", from_tag="a", to_tag="b", call_id="c", cseq=7))
    assert isinstance(message, Request)
    shifts.raise_after("c", "a", 6)
    assert shifts.of(message, 0) == 1
    # The other side has seen 7, which was ours; the sender's own last one is 6 still.
    shifts.raise_after("c", "a", 7)
    assert shifts.of(message, 0) == 2
    assert shifts.of(message, 0, 6) == 0
    # Of a side that has sent nothing the first number may be any.
    shifts.raise_after("d", "a", 0)
    shifts.raise_after("e", "a", 0)
    assert len(shifts.steps) == 2
    shifts.forget("e", "a")
    assert list(shifts.steps) == [("d", "a")]

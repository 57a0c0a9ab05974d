"""RFC 3261 16.7: forking, and what of many responses goes back."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.proxy import Target
from sansip.wire import parse_message, parse_uri
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    CAROL,
    CAROL_URI,
    DAVE,
    DAVE_URI,
    Out,
    Rig,
    ack,
    only,
    relay_to,
    reply,
    request,
    sent,
    what,
)

PHONES = {BOB: "bob", CAROL: "carol", DAVE: "dave"}


class Fork:
    """An INVITE (or other request) from Alice, forwarded to some phones."""

    def __init__(self, *uris: Any, method: str = "INVITE", rig: Rig | None = None, **options: Any) -> None:
        self.rig = rig or Rig(relay_to(*uris))
        self.request = request(method, **options)
        self.branches: dict[str, Out] = {}
        self.first = self.seen(self.rig.udp(self.request))

    def seen(self, outs: list[Out]) -> list[Out]:
        for out in outs:
            if out.to in PHONES and out.what == parse_message(self.request).method:
                self.branches[PHONES[out.to]] = out
        return outs

    def answer(self, name: str, status: int, **options: Any) -> list[tuple[str, Any]]:
        """``name`` answers; returns what left, in order."""
        out = self.branches[name]
        data = reply(out, status, tag=options.pop("tag", name), **options)
        return sent(self.seen(self.rig.udp(data, out.to)))

    def last(self) -> Any:
        """The last message to Alice."""
        return [out.message for out in self.rig.log if out.to == ALICE][-1]


def q(uri: str, value: int) -> Target:
    return Target(parse_uri(uri), value)


# --- 16.6: parallel and serial


def test_parallel() -> None:
    """16.6: targets of equal q are tried at once, after one 100 to the caller (17.2.1)."""
    fork = Fork(BOB_URI, CAROL_URI)
    assert sent(fork.first) == [("100", ALICE), ("INVITE", BOB), ("INVITE", CAROL)]


def test_branches_differ() -> None:
    """16.6 steps 7 and 8: each attempt is a branch of its own."""
    fork = Fork(BOB_URI, CAROL_URI, DAVE_URI)
    vias = [out.message.via for out in fork.branches.values()]
    assert len({via.branch for via in vias}) == 3
    assert all(via.branch.startswith("z9hG4bK") for via in vias)
    assert all(
        out.message.get_all("via")[1:] == parse_message(fork.request).get_all("via")
        for out in fork.branches.values()
    )


def test_serial_by_q() -> None:
    """16.6: from the highest q to the lowest; the next group only after all of one failed."""
    fork = Fork(q(DAVE_URI, 100), q(BOB_URI, 900), q(CAROL_URI, 900))
    assert sent(fork.first) == [("100", ALICE), ("INVITE", BOB), ("INVITE", CAROL)]
    assert fork.answer("bob", 486) == [("ACK", BOB)]
    assert fork.answer("carol", 480) == [("ACK", CAROL), ("INVITE", DAVE)]
    assert fork.answer("dave", 404) == [("ACK", DAVE), ("486", ALICE)]


def test_serial_stops_at_success() -> None:
    """16.7 step 5: after a 2xx nothing else is tried."""
    fork = Fork(q(BOB_URI, 900), q(CAROL_URI, 100))
    assert fork.answer("bob", 200) == [("200", ALICE)]
    fork.rig.run_out()
    assert "carol" not in fork.branches


def test_a_target_is_tried_once() -> None:
    """16.5: targets can only be placed in the set once."""
    fork = Fork(BOB_URI, BOB_URI, CAROL_URI)
    assert what(fork.first) == ["100", "INVITE", "INVITE"]


def test_a_non_invite_forks_too() -> None:
    """16.7: one final response to the client, the first 2xx; no 100 at once (16.2), no CANCEL (9.1)."""
    fork = Fork(BOB_URI, CAROL_URI, method="OPTIONS")
    assert sent(fork.first) == [("OPTIONS", BOB), ("OPTIONS", CAROL)]
    assert fork.answer("bob", 404) == []
    assert fork.answer("carol", 200) == [("200", ALICE)]


# --- 16.7 step 5: what goes back at once


def test_provisional_responses_go_back_from_every_branch() -> None:
    """Any provisional response but 100, with its own To tag, without our Via."""
    fork = Fork(BOB_URI, CAROL_URI)
    assert fork.answer("bob", 100) == []
    assert fork.answer("bob", 180) == [("180", ALICE)]
    assert fork.last().to_tag == "bob"
    assert fork.answer("carol", 183) == [("183", ALICE)]
    assert fork.last().to_tag == "carol"
    assert fork.last().get_all("via") == parse_message(fork.request).get_all("via")


def test_no_provisional_response_to_a_non_invite() -> None:
    """RFC 4320 4.1: no provisional response but 100, whatever came from downstream."""
    fork = Fork(BOB_URI, method="OPTIONS")
    assert fork.answer("bob", 100) == []
    assert fork.answer("bob", 180) == []


def test_a_failure_waits_for_the_others() -> None:
    """Step 6: a final response other than 2xx goes back when all branches have ended."""
    fork = Fork(BOB_URI, CAROL_URI)
    assert fork.answer("bob", 404) == [("ACK", BOB)]
    assert fork.answer("carol", 486) == [("ACK", CAROL), ("404", ALICE)]


def test_the_best_failure() -> None:
    """Step 6, its example: 503, 407, 501 and 404 give 407."""
    fork = Fork(BOB_URI, CAROL_URI, DAVE_URI)
    fork.answer("bob", 503)
    fork.answer("carol", 407, headers=[("Proxy-Authenticate", 'Digest realm="a", nonce="b"')])
    assert fork.answer("dave", 404) == [("ACK", DAVE), ("407", ALICE)]


def test_the_challenges_of_all() -> None:
    """Step 7, through the stack."""
    fork = Fork(BOB_URI, CAROL_URI)
    fork.answer("bob", 407, headers=[("Proxy-Authenticate", 'Digest realm="b", nonce="1"')])
    fork.answer("carol", 401, headers=[("WWW-Authenticate", 'Digest realm="c", nonce="2"')])
    assert fork.last().status == 407
    assert fork.last().get_all("proxy-authenticate") == ['Digest realm="b", nonce="1"']
    assert fork.last().get_all("www-authenticate") == ['Digest realm="c", nonce="2"']


def test_a_2xx_goes_back_at_once_and_the_losers_are_cancelled() -> None:
    """Steps 5 and 10; RFC 3326 3.1: told that the call was completed elsewhere."""
    fork = Fork(BOB_URI, CAROL_URI, DAVE_URI)
    fork.answer("bob", 180)
    fork.answer("carol", 180)
    # Dave's phone has sent no answer at all, so its CANCEL has to wait (9.1).
    assert fork.answer("carol", 200) == [("200", ALICE), ("CANCEL", BOB)]
    cancel = only(fork.rig.log, "CANCEL").message
    assert cancel.get("reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    assert cancel.via.branch == fork.branches["bob"].message.via.branch
    assert fork.answer("dave", 180) == [("CANCEL", DAVE)]
    assert fork.answer("bob", 487) == [("ACK", BOB)]
    assert fork.answer("dave", 487) == [("ACK", DAVE)]


def test_the_second_2xx_goes_back_too() -> None:
    """Step 5: any 2xx to an INVITE, even after a final response: CANCEL and 200 crossed."""
    fork = Fork(BOB_URI, CAROL_URI)
    fork.answer("bob", 180)
    assert fork.answer("carol", 200) == [("200", ALICE), ("CANCEL", BOB)]
    assert fork.answer("bob", 200) == [("200", ALICE)]
    assert fork.last().to_tag == "bob"


def test_a_repeated_2xx_goes_back_each_time() -> None:
    """RFC 6026 7.2: the caller's ACK was lost, or the 200 was."""
    fork = Fork(BOB_URI)
    for _ in range(3):
        assert fork.answer("bob", 200) == [("200", ALICE)]


def test_further_2xx_from_one_branch() -> None:
    """RFC 6026 7.2: the INVITE forked downstream and two phones answered."""
    fork = Fork(BOB_URI)
    assert fork.answer("bob", 200, tag="first") == [("200", ALICE)]
    assert fork.answer("bob", 200, tag="second") == [("200", ALICE)]
    assert fork.last().to_tag == "second"


def test_nothing_but_2xx_after_the_final_response() -> None:
    """Step 5: other responses are not forwarded any more."""
    fork = Fork(BOB_URI, CAROL_URI)
    fork.answer("bob", 180)
    fork.answer("carol", 200)
    assert fork.answer("bob", 183) == []
    assert fork.answer("bob", 486) == [("ACK", BOB)]


def test_a_second_2xx_to_a_non_invite_does_not_go_back() -> None:
    """Step 5: exactly one final response to a non-INVITE request."""
    fork = Fork(BOB_URI, CAROL_URI, method="MESSAGE")
    assert fork.answer("bob", 200) == [("200", ALICE)]
    assert fork.answer("carol", 202) == []


# --- 6xx


def test_a_6xx_cancels_and_waits() -> None:
    """Step 5: not forwarded at once, for a 2xx may cross it; the pending branches are cancelled."""
    fork = Fork(BOB_URI, CAROL_URI, q(DAVE_URI, 100))
    fork.answer("bob", 180)
    assert fork.answer("carol", 603) == [("ACK", CAROL), ("CANCEL", BOB)]
    assert fork.answer("bob", 487) == [("ACK", BOB), ("603", ALICE)]
    # "it MUST NOT create any new branches in this context"
    assert "dave" not in fork.branches


def test_a_2xx_beats_a_6xx() -> None:
    """Step 5: a 6xx followed by a 2xx must never reach the caller in that order."""
    fork = Fork(BOB_URI, CAROL_URI)
    fork.answer("bob", 180)
    fork.answer("carol", 600)
    assert fork.answer("bob", 200) == [("200", ALICE)]
    fork.rig.run_out()
    assert [out.what for out in fork.rig.log if out.to == ALICE] == ["100", "180", "200"]


def test_the_losers_of_a_6xx_hear_no_success() -> None:
    """RFC 3326: the Reason says 200 only where somebody answered."""
    fork = Fork(BOB_URI, CAROL_URI)
    fork.answer("bob", 180)
    fork.answer("carol", 603)
    assert "cause=200" not in (only(fork.rig.log, "CANCEL").message.get("reason") or "")


# --- 503, 408


def test_503_goes_back_as_500() -> None:
    """Step 6: a forwarded 503 would say that this proxy can serve nothing at all."""
    fork = Fork(BOB_URI)
    assert fork.answer("bob", 503, headers=[("Retry-After", "3600")]) == [("ACK", BOB), ("500", ALICE)]
    assert not fork.last().has("retry-after")


def test_silence_is_a_408() -> None:
    """16.6 step 7 and 16.8: as if the target had returned 408, once Timer B fired."""
    fork = Fork(BOB_URI)
    outs = fork.rig.wait(32)
    assert sent(outs)[-1] == ("408", ALICE)
    assert round(outs[-1].time - fork.rig.start, 3) == 32


def test_silence_is_no_answer_at_all_to_a_non_invite() -> None:
    """RFC 4320 4.2: a 408 would always come too late."""
    fork = Fork(BOB_URI, method="OPTIONS")
    outs = fork.rig.run_out()
    assert {out.what for out in outs if out.to == ALICE} == {"100"}
    assert fork.rig.empty


def test_a_408_from_downstream_is_no_answer_to_a_non_invite_either() -> None:
    """RFC 4320 4.2: a transaction-stateful element must not send 408."""
    fork = Fork(BOB_URI, method="OPTIONS")
    assert fork.answer("bob", 408) == []
    assert what(fork.rig.run_out()) == []


def test_a_late_answer_to_a_non_invite_goes_nowhere() -> None:
    """RFC 4320 4.2: not without a server transaction; RFC 4321 shows the storm that it made."""
    fork = Fork(BOB_URI, method="OPTIONS")
    fork.rig.wait(33)
    assert fork.answer("bob", 200) == []


def test_a_100_after_three_and_a_half_seconds() -> None:
    """RFC 4320 4.1: to a non-INVITE neither before nor after Timer E of the client is T2."""
    fork = Fork(BOB_URI, method="OPTIONS")
    outs = [out for out in fork.rig.wait(10) if out.to == ALICE]
    assert [(out.what, round(out.time - fork.rig.start, 3)) for out in outs] == [("100", 3.5)]


def test_no_100_once_answered() -> None:
    """RFC 4320 4.1: if it has not otherwise responded."""
    fork = Fork(BOB_URI, method="OPTIONS")
    fork.rig.wait(3.4)
    fork.answer("bob", 200)
    assert [out for out in fork.rig.wait(1) if out.to == ALICE] == []


def test_a_3xx_goes_back() -> None:
    """16.7 step 4: recursion is a choice; without it the Contacts go to the caller."""
    fork = Fork(BOB_URI)
    assert fork.answer("bob", 302, headers=[("Contact", "<sip:bob@192.0.2.200>")])[-1] == ("302", ALICE)
    assert fork.last().get("contact") == "<sip:bob@192.0.2.200>"


# --- step 9: as it came


def test_forwarded_untouched() -> None:
    """Step 9: no body changed, no other field removed or changed, the To tag least of all."""
    fork = Fork(BOB_URI)
    headers = [("X-Own", "  a,  b "), ("Warning", '399 x "y"'), ("Date", "nonsense")]
    data = reply(fork.branches["bob"], 488, tag="theirs", headers=headers, body=b"\x00\xffbody")
    lines = data.split(b"\r\n")
    fork.rig.udp(data, BOB)
    back = [out for out in fork.rig.log if out.to == ALICE][-1].data
    assert back == b"\r\n".join([lines[0], *lines[2:]])


def test_the_via_of_a_cancel() -> None:
    """Some phones answer a cancelled INVITE with the Via of the CANCEL, which is ours alone."""
    fork = Fork(BOB_URI)
    out = fork.branches["bob"]
    data = reply(out, 487)
    first, _, rest = data.partition(b"\r\nVia: SIP/2.0/UDP 192.0.2.1")
    assert rest
    fork.rig.udp(first + b"\r\n" + rest.partition(b"\r\n")[2], BOB)
    assert fork.last().get_all("via") == parse_message(fork.request).get_all("via")


# --- RFC 6026: the server side of the INVITE


def test_a_repeated_invite_is_not_forked_again() -> None:
    """17.2.1 and RFC 6026 3: before and after the 2xx a retransmission is one."""
    fork = Fork(BOB_URI)
    assert sent(fork.rig.udp(fork.request)) == [("100", ALICE)]
    fork.answer("bob", 180)
    assert sent(fork.rig.udp(fork.request)) == [("180", ALICE)]
    fork.answer("bob", 200)
    assert sent(fork.rig.udp(fork.request)) == []


def test_the_failure_is_repeated_until_acknowledged() -> None:
    """17.2.1: hop by hop: Bob's failure was acknowledged here, ours waits for Alice's ACK."""
    fork = Fork(BOB_URI)
    fork.answer("bob", 486)
    assert what(fork.rig.wait(4)) == ["486", "486", "486"]
    refusal = [out for out in fork.rig.log if out.what == "486"][-1]
    assert fork.rig.udp(ack(fork.request, refusal)) == []
    assert fork.rig.wait(60) == []
    assert fork.rig.empty


def test_a_late_2xx_after_a_failure_of_ours() -> None:
    """16.7 step 5: a 2xx goes back even after another final response, while there is a transaction."""

    async def give_up(incoming: Any) -> None:
        incoming.relay(BOB_URI)
        incoming.reply(480)

    fork = Fork(rig=Rig(give_up))
    assert sent(fork.first)[-1] == ("480", ALICE)
    assert fork.answer("bob", 200) == [("200", ALICE)]
    refusal = next(out for out in fork.rig.log if out.what == "480")
    fork.rig.udp(ack(fork.request, refusal))
    fork.rig.wait(5.1)
    # RFC 6026 8.3: the server transaction is no longer available, so it is discarded.
    assert fork.answer("bob", 200) == []


# --- relays side by side


def test_two_relays_of_one_request() -> None:
    """The targets of a second ``relay`` come after those of the first (RFC 5393 5.3.3)."""

    def route(incoming: Any) -> None:
        incoming.relay(BOB_URI)
        incoming.relay(CAROL_URI)

    fork = Fork(rig=Rig(route))
    assert sent(fork.first) == [("100", ALICE), ("INVITE", BOB)]
    assert fork.answer("bob", 486) == [("ACK", BOB), ("INVITE", CAROL)]
    assert fork.answer("carol", 404) == [("ACK", CAROL), ("486", ALICE)]


# --- state


@pytest.mark.parametrize("statuses", [[486, 404], [200, 487], [180, 200], [603, 487]])
def test_nothing_is_left(statuses: list[int]) -> None:
    """16.7 step 9: the context lives until its transactions have ended, and no longer."""
    fork = Fork(BOB_URI, CAROL_URI)
    fork.answer("carol", 180)
    fork.answer("bob", statuses[0])
    fork.answer("carol", statuses[1])
    fork.rig.run_out()
    assert fork.rig.empty

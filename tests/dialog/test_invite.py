"""Sessions, flow by flow: RFC 3261 13 to 15, and the extensions that live in them."""

from __future__ import annotations

import pytest

from sansip.dialog import Acknowledged, Event, Offered, Pracked, Progressed, Received, Refreshed
from sansip.errors import LocalProtocolError
from tests.dialog.messages import answer
from tests.dialog.pair import SDP, TYPE, End_, Pair


def agree(end: End_, event: Event) -> None:
    """Answer every offer."""
    if isinstance(event, Offered):
        end.do(end.usage.answer(event.owner, 200, SDP, TYPE, end.pair.now))


def test_a_call_from_ring_to_bye() -> None:
    """The flow that everybody knows, RFC 3665 3.1."""
    pair = Pair()
    pair.ring()
    assert pair.alice.usage.state == "calling"
    pair.accept()
    assert pair.wire == ["INVITE", "180 INVITE", "200 INVITE", "ACK"]
    assert pair.alice.told(Progressed)[0].response.status == 180
    assert pair.bob.told(Acknowledged)
    pair.alice.do(pair.alice.usage.bye([], 1.0, key="mine"))
    assert pair.wire[4:] == ["BYE", "200 BYE"]
    assert (pair.alice.ended, pair.bob.ended) == ("hung up", "BYE")
    assert pair.alice.events[-1].key == "mine"
    # RFC 3261 13.3.1.4: the 2xx may still be repeated, so only the side that asked remains for a while.
    assert (pair.alice.gone, pair.bob.gone) == (False, True)
    pair.at(33)
    assert pair.alice.gone


class TestTwoHundred:
    """RFC 3261 13.3.1.4, 13.2.2.4: the 2xx and its ACK."""

    def test_it_is_repeated_until_the_ack(self) -> None:
        """A lost ACK must not end the call: the 2xx comes again and its ACK with it."""
        pair = Pair()
        pair.lost = {"ACK": 3}
        pair.accept()
        pair.at(10)
        assert pair.wire[1:] == [*(["200 INVITE", "ACK (lost)"] * 3), "200 INVITE", "ACK"]
        assert pair.bob.usage.state == "established"
        assert len(pair.bob.told(Acknowledged)) == 1

    def test_the_intervals_double_to_t2_and_end_with_a_bye(self) -> None:
        """RFC 3261 13.3.1.4: T1, 2*T1, … T2; after 64*T1 without an ACK the session is ended."""
        pair = Pair()
        pair.lost = {"200 INVITE": 100}
        pair.accept()
        times = []
        for when in range(320):
            before = len(pair.wire)
            pair.at(when / 10)
            times += [when / 10] * (len(pair.wire) - before)
        assert times == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
        assert pair.bob.ended is None
        pair.alice.usage = None
        pair.lost["BYE"] = 1
        pair.at(32)
        assert pair.wire[-1] == "BYE (lost)"
        assert pair.bob.ended == "no ACK"

    def test_the_called_side_hangs_up_only_after_the_ack(self) -> None:
        """RFC 3261 15: a BYE before the ACK could overtake the 2xx."""
        pair = Pair()
        pair.lost = {"ACK": 1}
        pair.accept()
        pair.bob.do(pair.bob.usage.bye([], 0.1))
        assert pair.bob.ended == "hung up"
        assert "BYE" not in pair.wire
        pair.at(1)
        assert pair.wire[-3:] == ["ACK", "BYE", "200 BYE"]

    def test_every_repeated_one_is_acknowledged_even_after_the_end(self) -> None:
        """RFC 5407 3.2.3: a BYE crosses a 2xx that is repeated."""
        pair = Pair()
        pair.lost = {"ACK": 1, "BYE": 1}
        pair.accept()
        pair.alice.do(pair.alice.usage.bye([], 0.1))
        pair.at(0.6)
        assert pair.wire[-2:] == ["200 INVITE", "ACK"]
        assert pair.alice.usage.state == "mortal"


class TestReInviteBeforeTheAck:
    """RFC 5407 3.1.4, 3.1.5: the ACK of the first 2xx was lost, and the caller goes on."""

    def test_the_exchange_is_complete(self) -> None:
        """3.1.4: the re-INVITE proves that the caller has the 2xx, so the callee takes it for the ACK."""
        pair = Pair()
        pair.lost = {"ACK": 1}
        pair.accept()
        pair.on_event = agree
        pair.alice.do(pair.alice.usage.invite(SDP, TYPE, 0.1, "re"))
        assert pair.wire[3:] == ["INVITE", "200 INVITE", "ACK"]
        assert (pair.alice.usage.state, pair.bob.usage.state) == ("established", "established")

    def test_the_answer_was_in_the_ack(self) -> None:
        """3.1.5: the callee lacks the answer to its offer, so it sends 491; the caller sends both again."""
        pair = Pair(offer=b"")
        pair.lost = {"ACK": 1}
        pair.on_event = agree
        pair.accept()
        pair.alice.do(pair.alice.usage.acknowledge(SDP, TYPE, 0.0))
        pair.alice.do(pair.alice.usage.invite(SDP, TYPE, 0.1, "re"))
        assert pair.wire == ["INVITE", "200 INVITE", "ACK (lost)", "INVITE", "491 INVITE"]
        pair.at(0.6)
        assert pair.wire[5:] == ["200 INVITE", "ACK"]
        # RFC 3261 14.1: the owner of the Call-ID waits between 2.1 and 4 seconds.
        pair.at(2.0)
        assert len(pair.wire) == 7
        pair.at(4.2)
        assert pair.wire[7:] == ["INVITE", "200 INVITE", "ACK"]
        assert (pair.alice.usage.state, pair.bob.usage.state) == ("established", "established")


class TestEnding:
    """RFC 3261 15, 5407 3."""

    def test_both_hang_up_at_once(self) -> None:
        """Both BYEs are answered, and both ends agree."""
        pair = Pair().answered()
        pair.held = True
        pair.alice.do(pair.alice.usage.bye([], 1.0))
        pair.bob.do(pair.bob.usage.bye([], 1.0))
        pair.held = False
        pair.run()
        # RFC 5407 3.2.1
        assert sorted(pair.wire) == ["200 BYE", "200 BYE", "BYE", "BYE"]
        assert pair.alice.usage.state == pair.bob.usage.state == "over"

    def test_a_caller_may_end_an_early_dialog(self) -> None:
        """RFC 3261 15, 15.1.2: the BYE gets its 200, and the INVITE a 487."""
        pair = Pair()
        pair.ring()
        pair.alice.do(pair.alice.usage.bye([], 1.0))
        assert pair.wire[2:] == ["BYE", "200 BYE", "487 INVITE"]
        pair.at(40)
        assert pair.alice.gone
        assert pair.bob.gone

    def test_the_called_side_must_not(self) -> None:
        """RFC 3261 15: it refuses the INVITE instead."""
        pair = Pair()
        pair.ring()
        with pytest.raises(LocalProtocolError):
            pair.bob.usage.bye([], 1.0)
        assert pair.bob.usage.state == "called"

    def test_cancel(self) -> None:
        """RFC 3261 9.2: 487."""
        pair = Pair()
        pair.ring()
        pair.bob.do(pair.bob.usage.cancelled(1.0))
        assert pair.wire[-1] == "487 INVITE"
        assert (pair.alice.ended, pair.bob.ended) == ("refused", "cancelled")
        assert pair.alice.gone
        assert pair.bob.gone

    def test_a_cancel_that_lost_the_race(self) -> None:
        """RFC 3261 9.2: no effect; the caller acknowledges and sends a BYE."""
        pair = Pair()
        pair.lost = {"ACK": 1}
        pair.accept()
        assert pair.bob.usage.cancelled(0.1) == []
        pair.alice.do(pair.alice.usage.bye([], 0.2))
        assert pair.wire[-2:] == ["BYE", "200 BYE"]
        assert not pair.bob.gone
        pair.at(10)
        # RFC 5407 3.1.6: the 2xx has its ACK all the same, or the caller's INVITE would never end.
        assert pair.wire[-2:] == ["200 INVITE", "ACK"]
        assert pair.wire.count("200 INVITE") == 2
        assert pair.bob.gone

    def test_a_bye_does_not_stop_the_2xx(self) -> None:
        """Found by tests/properties/test_sessions.py: the caller's INVITE never had a final response."""
        pair = Pair()
        pair.ring()
        pair.lost = {"200 INVITE": 2}
        pair.accept()
        pair.alice.do(pair.alice.usage.bye([], 0.1))
        assert pair.alice.usage.state == pair.bob.usage.state == "over"
        pair.at(2)
        # RFC 5407 3.1.3: "the ACK is always sent".
        assert pair.wire[-2:] == ["200 INVITE", "ACK"]
        assert pair.bob.gone
        pair.at(70)
        assert pair.alice.gone

    def test_a_caller_that_has_not_heard_of_the_dialog(self) -> None:
        """Found by tests/properties/test_sessions.py: our 180 was lost, our INFO gets a 481."""
        pair = Pair()
        pair.lost = {"180 INVITE": 1, "INFO": 1}
        pair.ring()
        pair.bob.do(pair.bob.usage.request("INFO", [], b"", 0.1))
        request = pair._sent[("bob", 1, "INFO")]
        pair.bob.do(pair.bob.usage.response_received(request, answer(request, 481), 0.2))
        assert pair.bob.usage.state == "called"
        pair.accept()
        assert pair.bob.usage.state == "established"

    @pytest.mark.parametrize("status", [408, 481])
    def test_a_peer_that_has_forgotten_the_dialog(self, status: int) -> None:
        """RFC 3261 12.2.1.2: terminated by a BYE."""
        pair = Pair().answered()
        pair.lost = {"INFO": 1}
        pair.alice.do(pair.alice.usage.request("INFO", [], b"", 1.0))
        request = pair._sent[("alice", 314160, "INFO")]
        pair.alice.do(pair.alice.usage.response_received(request, answer(request, status), 33.0))
        assert pair.wire[-2:] == ["BYE", "200 BYE"]
        assert pair.alice.ended == "lost"

    def test_a_request_after_the_bye(self) -> None:
        """RFC 5407 3.2.2: 481 while our BYE is under way."""
        pair = Pair().answered()
        pair.held = True
        pair.alice.do(pair.alice.usage.bye([], 1.0))
        pair.bob.do(pair.bob.usage.invite(SDP, TYPE, 1.0))
        pair.held = False
        pair.run()
        assert "481 INVITE" in pair.wire
        assert pair.alice.usage.state == pair.bob.usage.state == "over"


class TestModifying:
    """RFC 3261 14."""

    def test_a_re_invite(self) -> None:
        """Offer, answer, ACK, in either direction."""
        pair = Pair().answered()
        pair.on_event = agree
        pair.bob.do(pair.bob.usage.invite(SDP, TYPE, 1.0, key="hold"))
        assert pair.wire == ["INVITE", "200 INVITE", "ACK"]
        assert pair.bob.answers == [("INVITE", 200)]
        assert pair.bob.events[-1].key == "hold"
        assert pair.alice.usage.state == pair.bob.usage.state == "established"

    def test_glare(self) -> None:
        """Both offer at once: both get 491, wait, the owner of the Call-ID longer, and both succeed."""
        pair = Pair().answered()
        pair.on_event = agree
        pair.held = True
        pair.alice.do(pair.alice.usage.invite(SDP, TYPE, 0.0))
        pair.bob.do(pair.bob.usage.invite(SDP, TYPE, 0.0))
        pair.held = False
        pair.run()
        # RFC 3261 14.2
        assert pair.wire.count("491 INVITE") == 2
        # RFC 3261 14.1
        assert 2.1 <= (pair.alice.usage.next_due() or 0) <= 4.0
        assert 0.0 <= (pair.bob.usage.next_due() or 9) <= 2.0
        pair.at(10)
        assert pair.alice.answers == pair.bob.answers == [("INVITE", 200)]

    def test_a_refused_re_invite_changes_nothing(self) -> None:
        """RFC 3261 14.1."""
        pair = Pair().answered()
        pair.on_event = lambda end, event: (
            end.do(end.usage.answer(event.owner, 488, b"", [], 1.0)) if isinstance(event, Offered) else None
        )
        pair.alice.do(pair.alice.usage.invite(SDP, TYPE, 1.0))
        assert pair.alice.answers == [("INVITE", 488)]
        assert pair.alice.usage.exchange.is_stable
        assert pair.bob.usage.exchange.is_stable
        assert pair.alice.usage.state == pair.bob.usage.state == "established"

    def test_a_second_invite_before_the_first_is_answered(self) -> None:
        """RFC 3261 14.2: 500 with a Retry-After of 0 to 10 seconds."""
        pair = Pair().answered()
        pair.alice.do(pair.alice.usage.invite(SDP, TYPE, 1.0))
        second = pair.alice.usage.dialog.make("INVITE", TYPE, SDP)
        pair.alice.usage._inviting = False
        pair.put(pair.alice, second)
        pair.run()
        assert pair.wire[-1] == "500 INVITE"

    def test_update_with_offer(self) -> None:
        """RFC 3311."""
        pair = Pair().answered()
        pair.on_event = agree
        pair.alice.do(pair.alice.usage.update(SDP, TYPE, 1.0))
        assert pair.wire == ["UPDATE", "200 UPDATE"]
        assert pair.alice.usage.exchange.is_stable
        assert pair.bob.usage.exchange.is_stable

    def test_update_without_offer_is_answered_at_once(self) -> None:
        """RFC 4028 7.4: a refresh is nothing that a user has to see to."""
        pair = Pair().answered()
        pair.alice.do(pair.alice.usage.update(b"", [], 1.0))
        assert pair.wire == ["UPDATE", "200 UPDATE"]
        assert pair.bob.told(Refreshed)

    def test_an_update_that_nobody_answers(self) -> None:
        """RFC 3311 5.2: 504, before the peer's transaction gives up."""
        pair = Pair().answered()
        pair.alice.do(pair.alice.usage.update(SDP, TYPE, 0.0))
        pair.at(25)
        assert pair.wire == ["UPDATE", "504 UPDATE"]
        assert pair.bob.usage.exchange.is_stable

    def test_updates_that_cross(self) -> None:
        """RFC 3311 5.2: 491 to both, and each tries again."""
        pair = Pair().answered()
        pair.on_event = agree
        pair.held = True
        pair.alice.do(pair.alice.usage.update(SDP, TYPE, 0.0))
        pair.bob.do(pair.bob.usage.update(SDP, TYPE, 0.0))
        pair.held = False
        pair.run()
        assert pair.wire.count("491 UPDATE") == 2
        pair.at(10)
        assert pair.alice.answers == pair.bob.answers == [("UPDATE", 200)]

    def test_a_late_offer(self) -> None:
        """RFC 3261 13.2.1: INVITE without, offer in the 2xx, answer in the ACK."""
        pair = Pair(offer=b"")
        pair.accept()
        assert pair.wire == ["INVITE", "200 INVITE"]
        assert pair.alice.told(type(pair.alice.events[-1]))[-1].offer
        assert pair.alice.usage.state == "answering"
        pair.alice.do(pair.alice.usage.acknowledge(SDP, TYPE, 0.1))
        assert pair.wire[2:] == ["ACK"]
        assert pair.bob.told(Acknowledged)[0].ack.body == SDP
        assert pair.alice.usage.exchange.is_stable
        assert pair.bob.usage.exchange.is_stable

    def test_other_requests_are_passed_on(self) -> None:
        """INFO, MESSAGE, REFER: answered by the user."""
        pair = Pair().answered()
        pair.alice.do(pair.alice.usage.request("INFO", [], b"", 1.0))
        (received,) = pair.bob.told(Received)
        pair.bob.do(pair.bob.usage.answer(received.owner, 200, b"", [], 1.0))
        assert pair.wire == ["INFO", "200 INFO"]
        assert pair.alice.answers == [("INFO", 200)]


class TestReliable:
    """RFC 3262."""

    def test_prack(self) -> None:
        """The answer in a reliable 183, its PRACK, and a 2xx without a description."""
        pair = Pair()
        pair.ring(183, SDP, reliable=True)
        assert pair.wire[1:] == ["183 INVITE", "PRACK", "200 PRACK"]
        assert pair.bob.told(Pracked)
        pair.accept()
        # RFC 6337 3.1.1: only one answer.
        assert pair.alice.told(type(pair.alice.events[-1]))[-1].response.body == b""

    def test_the_second_waits_for_the_prack_of_the_first(self) -> None:
        """RFC 3262 3: one unacknowledged at a time; RSeq goes up by one."""
        pair = Pair()
        pair.lost = {"183 INVITE": 2}
        pair.ring(183, b"", reliable=True)
        pair.ring(180, b"", reliable=True)
        assert pair.wire[1:] == ["183 INVITE (lost)"]
        pair.at(3)
        assert pair.wire[1:] == [
            "183 INVITE (lost)",
            "183 INVITE (lost)",
            "183 INVITE",
            "PRACK",
            "180 INVITE",
            "PRACK",
            "200 PRACK",
            "200 PRACK",
        ] or pair.wire[1:] == [
            "183 INVITE (lost)",
            "183 INVITE (lost)",
            "183 INVITE",
            "PRACK",
            "200 PRACK",
            "180 INVITE",
            "PRACK",
            "200 PRACK",
        ]
        first, second = (one.response.typed("rseq") for one in pair.alice.told(Progressed))
        assert second == first + 1

    def test_the_2xx_waits_for_the_prack_of_a_description(self) -> None:
        """RFC 3262 3, 5: it would overtake the answer otherwise."""
        pair = Pair()
        pair.lost = {"183 INVITE": 1}
        pair.ring(183, SDP, reliable=True)
        pair.accept()
        assert "200 INVITE" not in pair.wire
        pair.at(1)
        assert pair.wire[-2:] == ["200 INVITE", "ACK"]

    def test_without_a_prack_the_invite_is_refused(self) -> None:
        """RFC 3262 3: after 64*T1, with a 5xx."""
        pair = Pair()
        pair.lost = {"183 INVITE": 100}
        pair.ring(183, SDP, reliable=True)
        pair.at(31.9)
        # RFC 3262 3: T1, doubling, without a cap.
        assert pair.wire.count("183 INVITE (lost)") == 7
        pair.lost = {"504 INVITE": 1}
        pair.at(32)
        assert pair.wire[-1] == "504 INVITE (lost)"
        assert pair.bob.ended == "no PRACK"

    def test_a_prack_that_matches_nothing(self) -> None:
        """RFC 3262 3: 481."""
        pair = Pair()
        pair.ring()
        pair.alice.do(pair.alice.usage._take())
        prack = pair.alice.usage.dialog.make("PRACK", [("RAck", "1 314159 INVITE")])
        pair.put(pair.alice, prack)
        pair.run()
        assert pair.wire[-1] == "481 PRACK"

    def test_an_offer_in_a_reliable_response(self) -> None:
        """RFC 3262 5: its answer is in the PRACK."""
        pair = Pair(offer=b"")
        pair.ring(183, SDP, reliable=True)
        progressed = pair.alice.told(Progressed)[0]
        assert progressed.offer
        pair.alice.do(pair.alice.usage.prack(progressed.request, progressed.response, SDP, TYPE, 0.1))
        assert pair.bob.told(Pracked)[0].request.body == SDP
        pair.accept(b"")
        assert pair.wire[-2:] == ["200 INVITE", "ACK"]
        assert pair.alice.usage.exchange.is_stable
        assert pair.bob.usage.exchange.is_stable

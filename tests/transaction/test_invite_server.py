"""RFC 3261 17.2.1 and RFC 6026 7.1: the INVITE server transaction, paragraph by paragraph."""

from __future__ import annotations

import pytest

from tests.transaction.bench import BOTH, TCP, UDP, Bench


def words(bench: Bench) -> list[str]:
    return [word for _, word in bench.sent]


def test_a_repeated_invite_gets_the_latest_provisional_response(bench: Bench) -> None:
    """17.2.1: the most recent one; before the first there is nothing to repeat."""
    transaction = bench.server("INVITE", UDP)
    bench.feed(transaction, "request")
    assert words(bench) == []
    for status in (100, 180, 183):
        bench.respond(transaction, status)
        bench.feed(transaction, "request")
    assert words(bench) == ["100", "100", "180", "180", "183", "183"]
    transaction.terminate(None, bench.now)


def test_provisional_responses_are_not_retransmitted(bench: Bench) -> None:
    """17.2.1: they are not sent reliably by the transaction, and change no state."""
    transaction = bench.server("INVITE", UDP)
    bench.respond(transaction, 180)
    bench.wait(100)
    assert words(bench) == ["180"]
    assert transaction.state == "proceeding"
    transaction.terminate(None, bench.now)


@pytest.mark.parametrize("status", [302, 404, 500, 603])
def test_timer_g(bench: Bench, status: int) -> None:
    """17.2.1: on UDP a failure is resent after T1, then at doubled intervals up to T2, until Timer H."""
    transaction = bench.server("INVITE", UDP)
    bench.respond(transaction, status)
    bench.wait(40)
    assert bench.times(str(status)) == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_no_timer_g_on_a_reliable_transport(bench: Bench) -> None:
    """17.2.1: a change from RFC 2543, where responses were always retransmitted."""
    transaction = bench.server("INVITE", TCP)
    bench.respond(transaction, 486)
    bench.wait(31)
    assert words(bench) == ["486"]


@BOTH
def test_timer_h(bench: Bench, flow: object) -> None:
    """17.2.1: without an ACK within 64*T1 the transaction ends and the user hears of the failure."""
    transaction = bench.server("INVITE", flow)
    bench.respond(transaction, 486)
    bench.wait(31.999)
    assert bench.user == []
    bench.wait(0.001)
    assert bench.user == ["no ACK within 64*T1"]
    assert transaction.state == "terminated"


def test_a_repeated_invite_in_completed_gets_the_response(bench: Bench) -> None:
    """17.2.1: in Completed a request retransmission has the response sent again."""
    transaction = bench.server("INVITE", UDP)
    bench.respond(transaction, 100)
    bench.respond(transaction, 486)
    bench.wait(0.1)
    bench.feed(transaction, "request")
    assert bench.times("486") == [0, 0.1]


def test_timer_i(bench: Bench) -> None:
    """17.2.1: the ACK ends the retransmissions; Confirmed absorbs further ACKs for T4 on UDP."""
    transaction = bench.server("INVITE", UDP)
    bench.respond(transaction, 486)
    bench.wait(1)
    bench.feed(transaction, "ACK")
    assert transaction.state == "confirmed"
    bench.feed(transaction, "ACK")
    bench.feed(transaction, "request")
    bench.wait(4.999)
    assert transaction.state == "confirmed"
    bench.wait(0.001)
    assert transaction.state == "terminated"
    assert bench.times("486") == [0, 0.5]
    assert bench.user == []


def test_timer_i_is_zero_on_a_reliable_transport(bench: Bench) -> None:
    """17.2.1: nothing can be repeated, so the ACK ends it."""
    transaction = bench.server("INVITE", TCP)
    bench.respond(transaction, 486)
    bench.feed(transaction, "ACK")
    assert transaction.state == "terminated"


@pytest.mark.parametrize("late", [180, 200, 404])
def test_completed_discards_what_the_user_sends(bench: Bench, late: int) -> None:
    """17.2.1: after a failure there is no other final response."""
    transaction = bench.server("INVITE", UDP)
    bench.respond(transaction, 486)
    bench.respond(transaction, late)
    assert words(bench) == ["486"]


@BOTH
def test_timer_l(bench: Bench, flow: object) -> None:
    """RFC 6026 7.1: a 2xx leads to Accepted for 64*T1; it is not retransmitted by the transaction."""
    transaction = bench.server("INVITE", flow)
    bench.respond(transaction, 200)
    bench.wait(31.999)
    assert transaction.state == "accepted"
    bench.wait(0.001)
    assert transaction.state == "terminated"
    assert words(bench) == ["200"]


def test_accepted(bench: Bench) -> None:
    """RFC 6026 7.1: repeated INVITEs are absorbed, 2xx of the user go out, ACKs go up."""
    transaction = bench.server("INVITE", UDP)
    bench.respond(transaction, 200)
    bench.feed(transaction, "request")
    assert words(bench) == ["200"]
    bench.respond(transaction, 200)
    bench.respond(transaction, 180)
    bench.respond(transaction, 486)
    assert words(bench) == ["200", "200"]
    bench.feed(transaction, "ACK")
    assert bench.user == ["ACK"]
    assert transaction.state == "accepted"


@pytest.mark.parametrize("status", [180, 486, 200])
def test_a_transport_error_keeps_the_state(bench: Bench, status: int) -> None:
    """RFC 6026 7.1: or else a repeated INVITE would be a new one. The user is told."""
    transaction = bench.server("INVITE", UDP)
    bench.respond(transaction, status)
    state = transaction.state
    bench.feed(transaction, "transport error", "port unreachable")
    assert transaction.state == state
    assert bench.user == ["port unreachable"]
    if status == 180:
        transaction.terminate(None, bench.now)


def test_an_ack_out_of_place(bench: Bench) -> None:
    """An ACK before any final response has nothing to acknowledge."""
    transaction = bench.server("INVITE", UDP)
    bench.feed(transaction, "ACK")
    assert transaction.state == "proceeding"
    assert bench.user == []
    transaction.terminate(None, bench.now)

"""RFC 3261 17.2.2: the non-INVITE server transaction, paragraph by paragraph."""

from __future__ import annotations

import pytest

from tests.transaction.bench import BOTH, TCP, UDP, Bench


def words(bench: Bench) -> list[str]:
    return [word for _, word in bench.sent]


def test_trying_discards_repetitions(bench: Bench) -> None:
    """17.2.2: while there is no response, retransmissions are discarded."""
    transaction = bench.server("OPTIONS", UDP)
    bench.feed(transaction, "request")
    assert words(bench) == []
    transaction.abandon(bench.now)


def test_proceeding_repeats_the_provisional_response(bench: Bench) -> None:
    """17.2.2: the one sent last is sent again for a retransmission."""
    transaction = bench.server("OPTIONS", UDP)
    bench.respond(transaction, 100)
    bench.respond(transaction, 100)
    bench.feed(transaction, "request")
    assert words(bench) == ["100"] * 3
    assert transaction.state == "proceeding"
    transaction.abandon(bench.now)


@pytest.mark.parametrize("first", [[], [100]], ids=["trying", "proceeding"])
@pytest.mark.parametrize("status", [200, 302, 404, 500, 600])
def test_timer_j(bench: Bench, first: list[int], status: int) -> None:
    """17.2.2: the final response is repeated on demand for 64*T1 on UDP, others are discarded."""
    transaction = bench.server("OPTIONS", UDP)
    for provisional in first:
        bench.respond(transaction, provisional)
    bench.respond(transaction, status)
    for late in (100, 200, 404):
        bench.respond(transaction, late)
    bench.wait(31.999)
    assert transaction.state == "completed"
    bench.feed(transaction, "request")
    assert bench.times(str(status)) == [0, 31.999]
    bench.wait(0.001)
    assert transaction.state == "terminated"


@pytest.mark.parametrize("status", [200, 404])
def test_timer_j_is_zero_on_a_reliable_transport(bench: Bench, status: int) -> None:
    """17.2.2: gone at once."""
    transaction = bench.server("OPTIONS", TCP)
    bench.respond(transaction, status)
    assert words(bench) == [str(status)]
    assert transaction.state == "terminated"


@BOTH
def test_final_responses_are_not_retransmitted_by_time(bench: Bench, flow: object) -> None:
    """17.1.2.1: the server repeats a response only when the request is repeated."""
    transaction = bench.server("OPTIONS", flow)
    bench.respond(transaction, 200)
    bench.wait(31)
    assert words(bench) == ["200"]


def test_transport_error_in_proceeding(bench: Bench) -> None:
    """17.2.4, figure 8: the user is told and the transaction ends."""
    transaction = bench.server("OPTIONS", UDP)
    bench.respond(transaction, 100)
    bench.feed(transaction, "transport error", "port unreachable")
    assert transaction.state == "terminated"
    assert len(bench.user) == 1


def test_transport_error_in_completed(bench: Bench) -> None:
    """Figure 8: the transaction ends; its user, who has answered, was let go before."""
    transaction = bench.server("OPTIONS", UDP)
    bench.respond(transaction, 200)
    bench.feed(transaction, "transport error", "port unreachable")
    assert transaction.state == "terminated"
    bench.wait(100)
    assert words(bench) == ["200"]


def test_abandon(bench: Bench) -> None:
    """RFC 4320 4.2: an element that cannot answer in time does not answer at all."""
    transaction = bench.server("OPTIONS", UDP)
    transaction.abandon(bench.now)
    bench.respond(transaction, 408)
    assert words(bench) == []
    assert len(bench.layer) == 0

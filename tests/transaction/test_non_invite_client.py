"""RFC 3261 17.1.2: the non-INVITE client transaction, paragraph by paragraph."""

from __future__ import annotations

import pytest

from tests.transaction.bench import BOTH, TCP, UDP, Bench


def test_timer_e(bench: Bench) -> None:
    """17.1.2.2: with the defaults 500 ms, 1 s, 2 s, 4 s, 4 s, ... until Timer F."""
    bench.client("OPTIONS", UDP)
    bench.wait(40)
    assert bench.times("OPTIONS") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_no_timer_e_on_a_reliable_transport(bench: Bench) -> None:
    """17.1.2.2: a reliable transport carries the request once."""
    bench.client("OPTIONS", TCP)
    bench.wait(40)
    assert bench.times("OPTIONS") == [0]


def test_timer_e_in_proceeding(bench: Bench) -> None:
    """17.1.2.2: after a provisional response the request is resent every T2."""
    transaction = bench.client("OPTIONS", UDP)
    bench.wait(0.2)
    bench.receive(transaction, 100)
    bench.wait(20)
    # The Timer E that was running fires first, then it is reset with T2.
    assert bench.times("OPTIONS") == [0, 0.5, 4.5, 8.5, 12.5, 16.5]


@BOTH
@pytest.mark.parametrize("first", [[], [100]], ids=["trying", "proceeding"])
def test_timer_f(bench: Bench, flow: object, first: list[int]) -> None:
    """17.1.2.2: after 64*T1 without a final response the user is told, in Proceeding too."""
    transaction = bench.client("OPTIONS", flow)
    for status in first:
        bench.receive(transaction, status)
    bench.wait(31.999)
    assert bench.user == first
    bench.wait(0.001)
    assert bench.user == [*first, "timeout"]
    assert transaction.state == "terminated"


@pytest.mark.parametrize("first", [[], [100]], ids=["trying", "proceeding"])
@pytest.mark.parametrize("status", [200, 302, 404, 500, 600])
def test_timer_k(bench: Bench, first: list[int], status: int) -> None:
    """17.1.2.2: a final response goes up; on UDP Completed lasts T4 and absorbs repetitions."""
    transaction = bench.client("OPTIONS", UDP)
    for provisional in first:
        bench.receive(transaction, provisional)
    bench.receive(transaction, status)
    for again in (status, 100, 200, 404):
        bench.receive(transaction, again)
    assert bench.user == [*first, status]
    bench.wait(4.999)
    assert transaction.state == "completed"
    bench.wait(0.001)
    assert transaction.state == "terminated"
    assert bench.times("OPTIONS") == [0]


@pytest.mark.parametrize("status", [200, 404])
def test_timer_k_is_zero_on_a_reliable_transport(bench: Bench, status: int) -> None:
    """17.1.2.2: gone at once, for nothing can be repeated."""
    transaction = bench.client("OPTIONS", TCP)
    bench.receive(transaction, status)
    assert transaction.state == "terminated"
    assert bench.user == [status]


def test_no_ack(bench: Bench) -> None:
    """17.1.2.1: non-INVITE transactions make no use of ACK."""
    transaction = bench.client("BYE", UDP)
    bench.receive(transaction, 481)
    assert [word for _, word in bench.sent] == ["BYE"]


@pytest.mark.parametrize("first", [[], [100]], ids=["trying", "proceeding"])
def test_transport_error(bench: Bench, first: list[int]) -> None:
    """17.1.4, figure 6: the user is told, in Trying and in Proceeding."""
    transaction = bench.client("OPTIONS", TCP)
    for status in first:
        bench.receive(transaction, status)
    bench.feed(transaction, "transport error", "connection reset")
    assert bench.user == [*first, "connection reset"]
    assert transaction.state == "terminated"


def test_transport_error_after_the_answer(bench: Bench) -> None:
    """Completed waits for nothing that could still fail."""
    transaction = bench.client("OPTIONS", UDP)
    bench.receive(transaction, 200)
    bench.feed(transaction, "transport error", "port unreachable")
    assert transaction.state == "completed"
    assert bench.user == [200]

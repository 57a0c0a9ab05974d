"""RFC 3261 17.1.1 and RFC 6026 8.4: the INVITE client transaction, paragraph by paragraph."""

from __future__ import annotations

import pytest

from sansip.wire import parse_message
from tests.transaction.bench import BOTH, TCP, UDP, Bench


def test_timer_a(bench: Bench) -> None:
    """17.1.1.2: on UDP the INVITE is resent after T1, 2*T1, 4*T1, ... without an upper bound."""
    bench.client("INVITE", UDP)
    bench.wait(31.9)
    assert bench.times("INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]


def test_seven_requests(bench: Bench) -> None:
    """17.1.1.2: 64*T1 is the time it takes to send seven requests, whatever T1 is."""
    bench = Bench(t1=1.0)
    bench.client("INVITE", UDP)
    bench.wait(100)
    assert bench.times("INVITE") == [0, 1, 3, 7, 15, 31, 63]
    assert bench.heard[-1] == (64.0, "timeout")


def test_no_timer_a_on_a_reliable_transport(bench: Bench) -> None:
    """17.1.1.2: a reliable transport carries the request once."""
    bench.client("INVITE", TCP)
    bench.wait(31.9)
    assert bench.times("INVITE") == [0]


@BOTH
def test_timer_b(bench: Bench, flow: object) -> None:
    """17.1.1.2: after 64*T1 in Calling the user is told, and no ACK is made."""
    transaction = bench.client("INVITE", flow)
    bench.wait(31.999)
    assert bench.user == []
    bench.wait(0.001)
    assert bench.user == ["timeout"]
    assert transaction.state == "terminated"
    assert bench.times("ACK") == []


@BOTH
def test_a_provisional_response_ends_the_retransmissions(bench: Bench, flow: object) -> None:
    """17.1.1.2: in Proceeding nothing is resent and Timer B is gone: it may ring for ever."""
    transaction = bench.client("INVITE", flow)
    bench.receive(transaction, 100)
    bench.wait(1000)
    assert transaction.state == "proceeding"
    assert bench.times("INVITE") == [0]
    assert bench.user == [100]
    transaction.terminate(None, bench.now)


def test_every_provisional_response_goes_up(bench: Bench) -> None:
    """17.1.1.2: further provisional responses are passed to the user, repeated ones too."""
    transaction = bench.client("INVITE", UDP)
    for status in (100, 180, 180, 183):
        bench.receive(transaction, status)
    assert bench.user == [100, 180, 180, 183]
    transaction.terminate(None, bench.now)


@pytest.mark.parametrize("first", [[], [180]], ids=["calling", "proceeding"])
@pytest.mark.parametrize("status", [300, 404, 503, 603])
def test_a_failure_is_acknowledged_here(bench: Bench, first: list[int], status: int) -> None:
    """17.1.1.2: 300 to 699 goes up once and is acknowledged, from Calling and from Proceeding."""
    transaction = bench.client("INVITE", UDP)
    for provisional in first:
        bench.receive(transaction, provisional)
    bench.receive(transaction, status)
    assert transaction.state == "completed"
    assert bench.user == [*first, status]
    assert [word for _, word in bench.sent] == ["INVITE", "ACK"]


def test_a_repeated_failure_is_acknowledged_again(bench: Bench) -> None:
    """17.1.1.2: each retransmission makes the same ACK go out again, and does not go up."""
    transaction = bench.client("INVITE", UDP)
    for _ in range(3):
        bench.receive(transaction, 486)
        bench.wait(1)
    assert bench.user == [486]
    assert bench.times("ACK") == [0, 1, 2]
    assert len(set(bench.octets[1:])) == 1


def test_timer_d(bench: Bench) -> None:
    """17.1.1.2: on UDP Completed lasts 32 s at least, whatever T1 is."""
    bench = Bench(t1=0.1)
    transaction = bench.client("INVITE", UDP)
    bench.receive(transaction, 486)
    bench.wait(31.999)
    assert transaction.state == "completed"
    bench.wait(0.001)
    assert transaction.state == "terminated"
    assert len(bench.layer) == 0


def test_timer_d_is_zero_on_a_reliable_transport(bench: Bench) -> None:
    """17.1.1.2: the ACK is sent and the transaction is gone at once."""
    transaction = bench.client("INVITE", TCP)
    bench.receive(transaction, 486)
    assert transaction.state == "terminated"
    assert [word for _, word in bench.sent] == ["INVITE", "ACK"]
    assert bench.user == [486]


@BOTH
@pytest.mark.parametrize("first", [[], [180]], ids=["calling", "proceeding"])
def test_timer_m(bench: Bench, flow: object, first: list[int]) -> None:
    """RFC 6026 8.4: a 2xx leads to Accepted, which lasts 64*T1 on every transport, without an ACK."""
    transaction = bench.client("INVITE", flow)
    for provisional in first:
        bench.receive(transaction, provisional)
    bench.receive(transaction, 200)
    bench.wait(31.999)
    assert transaction.state == "accepted"
    bench.wait(0.001)
    assert transaction.state == "terminated"
    assert bench.times("ACK") == []


def test_every_2xx_goes_up_in_accepted(bench: Bench) -> None:
    """RFC 6026 8.4: repeated and additional 2xx are passed up; nothing else is, nor acknowledged."""
    transaction = bench.client("INVITE", UDP)
    for status in (200, 180, 200, 486, 202, 603):
        bench.receive(transaction, status)
    assert bench.user == [200, 200, 202]
    assert [word for _, word in bench.sent] == ["INVITE"]


def test_completed_takes_nothing_but_failures(bench: Bench) -> None:
    """17.1.1.2: a 2xx or a provisional response after the failure is neither passed up nor answered."""
    transaction = bench.client("INVITE", UDP)
    for status in (486, 180, 200):
        bench.receive(transaction, status)
    assert bench.user == [486]
    assert bench.times("ACK") == [0]


def test_transport_error_while_calling(bench: Bench) -> None:
    """17.1.4: the user is told at once, not after 64*T1."""
    transaction = bench.client("INVITE", UDP)
    bench.feed(transaction, "transport error", "port unreachable")
    assert bench.user == ["port unreachable"]
    assert transaction.state == "terminated"


@pytest.mark.parametrize("status", [180, 200])
def test_transport_error_later(bench: Bench, status: int) -> None:
    """17.1.4 is about sending: once an answer came, nothing is being sent that could fail."""
    transaction = bench.client("INVITE", UDP)
    bench.receive(transaction, status)
    state = transaction.state
    bench.feed(transaction, "transport error", "connection reset")
    assert transaction.state == state
    assert bench.user == [status]
    transaction.terminate(None, bench.now)


def test_the_ack_cannot_be_sent(bench: Bench) -> None:
    """17.1.1.2, figure 5: a transport error in Completed ends the transaction."""
    transaction = bench.client("INVITE", UDP)
    bench.receive(transaction, 486)
    bench.feed(transaction, "transport error", "port unreachable")
    assert transaction.state == "terminated"


def test_the_ack(bench: Bench) -> None:
    """17.1.1.3: Request-URI, Call-ID, From, Route and the top Via of the INVITE, To of the response."""
    routes = [("Route", "<sip:p1.test;lr>, <sip:p2.test;lr>"), ("Route", "<sip:p3.test;lr>")]
    transaction = bench.client(
        "INVITE", UDP, headers=[*routes, ("Require", "100rel"), ("Subject", "x")], body=b"v=0\r\n"
    )
    invite = parse_message(bench.octets[0])
    bench.receive(transaction, 486)
    ack = parse_message(bench.octets[1])
    assert ack.start_line == "ACK sip:bob@biloxi.test SIP/2.0"
    assert ack.get_all("via") == [str(invite.via)]
    assert ack.get("call-id") == invite.get("call-id")
    assert ack.get("from") == invite.get("from")
    assert ack.get("to") == "<sip:bob@biloxi.test>;tag=bob"
    assert ack.get("cseq") == "1 ACK"
    assert ack.get_all("route") == [value for _, value in routes]
    assert ack.get("max-forwards") == "70"
    assert ack.body == b""
    # 17.1.1.3 lists what an ACK has; nothing else of the INVITE belongs there.
    assert not ack.has("require")
    assert not ack.has("subject")


def test_late_responses_of_a_dead_transaction(bench: Bench) -> None:
    """17.1.1.2: destroyed the instant it terminates; code that still holds it hears nothing more."""
    transaction = bench.client("INVITE", UDP)
    bench.wait(32)
    for status in (180, 200, 486):
        bench.receive(transaction, status)
    assert bench.user == ["timeout"]
    assert bench.times("ACK") == []

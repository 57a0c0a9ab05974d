"""One target: its addresses (RFC 3263 4.3), Timer C (16.6, 16.8), transports (18.1.1), errors (16.9)."""

from __future__ import annotations

from typing import Any

import pytest

from sansip.proxy import ProxyConfig, Target
from sansip.transport import Resolve
from sansip.wire import parse_uri
from tests.rig import (
    ALICE,
    BOB,
    BOB_URI,
    CAROL,
    DAVE,
    LISTENERS,
    UDP,
    Out,
    Rig,
    only,
    relay_to,
    reply,
    request,
    sent,
    what,
)

NAME = "sip:bob@phone.test"


def resolved(*addresses: Any, method: str = "INVITE", **options: Any) -> tuple[Rig, list[Out]]:
    """A request for a target whose name has these addresses."""
    rig = Rig(relay_to(NAME))
    rig.udp(request(method, **options))
    return rig, rig.answer(list(addresses))


# --- names


def test_a_name_is_a_question() -> None:
    """16.6 step 7: host, port and transport as the URI has them; nothing is sent before the answer."""
    for uri, question in (
        ("sip:bob@phone.test", Resolve("phone.test", 5060, "udp")),
        ("sip:bob@phone.test:5070;transport=tcp", Resolve("phone.test", 5070, "tcp")),
        ("sips:bob@phone.test", Resolve("phone.test", 5061, "tls")),
        ("sip:bob@192.0.2.2;maddr=phone.test", Resolve("phone.test", 5060, "udp")),
    ):
        rig = Rig(relay_to(uri))
        assert what(rig.udp(request())) == ["100"]
        assert [ask.question for ask in rig.asks] == [question]


@pytest.mark.parametrize("answer", [[], LookupError("no such host"), TimeoutError("slow")])
def test_no_address(answer: Any) -> None:
    """16.9: as if a 503 had come, which leaves as 500."""
    rig = Rig(relay_to(NAME))
    rig.udp(request())
    assert sent(rig.answer(answer)) == [("500", ALICE)]


def test_no_answer_to_the_question() -> None:
    """limits.answer_time: a resolver that never answers is a failed one."""
    rig = Rig(relay_to(NAME))
    rig.udp(request())
    outs = rig.wait(10)
    assert sent(outs) == [("500", ALICE)]
    # A later answer goes nowhere.
    assert rig.answer([BOB]) == []


# --- 16.6 step 7, RFC 3263 4.3: the next address


def test_a_503_means_the_next_server() -> None:
    """RFC 3263 4.3: with a new transaction and a new branch; the caller does not see the 503."""
    rig, outs = resolved(BOB, CAROL)
    first = only(outs, "INVITE")
    assert first.to == BOB
    outs = rig.udp(reply(first, 503), BOB)
    assert sent(outs) == [("ACK", BOB), ("INVITE", CAROL)]
    second = only(outs, "INVITE")
    assert second.message.via.branch != first.message.via.branch
    assert sent(rig.udp(reply(second, 200), CAROL)) == [("200", ALICE)]


def test_silence_means_the_next_server() -> None:
    """16.6 step 7: a timeout from the state machine goes on to the next address."""
    rig, _ = resolved(BOB, CAROL)
    outs = rig.wait(32)
    assert sent(outs)[-1] == ("INVITE", CAROL)
    assert sent(rig.wait(32))[-1] == ("408", ALICE)


def test_an_error_means_the_next_server() -> None:
    """16.6 step 7 and 18.4: at once, without waiting for Timer B."""
    rig, outs = resolved(BOB, CAROL, DAVE)
    outs = rig.failed(only(outs, "INVITE"))
    assert sent(outs) == [("INVITE", CAROL)]
    outs = rig.failed(outs[0])
    assert sent(outs) == [("INVITE", DAVE)]
    assert sent(rig.failed(outs[0])) == [("500", ALICE)]


@pytest.mark.parametrize("status", [404, 486, 500, 603])
def test_any_other_failure_is_final(status: int) -> None:
    """RFC 3263 4.3: the server was reached and has spoken."""
    rig, outs = resolved(BOB, CAROL)
    assert sent(rig.udp(reply(only(outs, "INVITE"), status), BOB)) == [("ACK", BOB), (str(status), ALICE)]


def test_each_address_has_its_own_message() -> None:
    """16.6 step 7: one Via of ours, one hop less, whichever attempt it is."""
    rig, outs = resolved(BOB, CAROL, headers=[("Max-Breadth", "10")])
    second = only(rig.failed(only(outs, "INVITE")), "INVITE").message
    assert len(second.get_all("via")) == 2
    assert second.max_forwards == 69
    assert second.get_all("max-breadth") == ["10"]


def test_an_answer_of_an_address_that_was_given_up() -> None:
    """Once the next address is being tried, a late failure of the first says nothing."""
    rig, outs = resolved(BOB, CAROL, method="OPTIONS")
    first = only(outs, "OPTIONS")
    rig.failed(first)
    assert rig.udp(reply(first, 404), BOB) == []


def test_a_bound_on_addresses() -> None:
    """A hostile zone with hundreds of addresses is tried eight times."""
    rig, outs = resolved(*[(f"192.0.2.{last}", 5060) for last in range(100, 200)])
    tried = 0
    while "INVITE" in what(outs):
        tried += 1
        outs = rig.failed(only(outs, "INVITE"))
    assert tried == 8


def test_addresses_that_no_listener_reaches() -> None:
    """An IPv6 address where there is only IPv4: the next one, or 500."""
    rig = Rig(relay_to(NAME), listeners=LISTENERS[:1])
    rig.udp(request())
    assert sent(rig.answer([("2001:db8::2", 5060), BOB])) == [("INVITE", BOB)]
    rig = Rig(relay_to(NAME), listeners=LISTENERS[:1])
    rig.udp(request())
    assert sent(rig.answer([("2001:db8::2", 5060)])) == [("500", ALICE)]


# --- 16.9


def test_a_connection_that_is_refused() -> None:
    """16.9: a transport error is a 503, which goes back as 500."""
    rig = Rig(relay_to("sip:bob@192.0.2.2;transport=tcp"))
    connect = only(rig.udp(request()), "Connect")
    assert sent(rig.closed(connect, "refused")) == [("500", ALICE)]
    rig.run_out()
    assert rig.empty


def test_a_connection_that_is_never_established() -> None:
    """limits.connect_time: as refused."""
    rig = Rig(relay_to("sip:bob@192.0.2.2;transport=tcp"))
    connect = only(rig.udp(request()), "Connect")
    assert what(rig.wait(8)) == ["Disconnect"]
    assert sent(rig.closed(connect, "timed out")) == [("500", ALICE)]


def test_a_connection_lost_before_any_answer() -> None:
    """18.4: the transaction fails at once, not after 64*T1."""
    rig = Rig(relay_to("sip:bob@192.0.2.2;transport=tcp"))
    connect = only(rig.udp(request()), "Connect")
    rig.opened(connect)
    assert sent(rig.closed(connect)) == [("500", ALICE)]


def test_a_connection_lost_while_ringing() -> None:
    """18.2.2: the callee may open another connection for its answer, so the call is not lost."""
    rig = Rig(relay_to("sip:bob@192.0.2.2;transport=tcp"))
    connect = only(rig.udp(request()), "Connect")
    branch = only(rig.opened(connect), "INVITE")
    rig.tcp(connect.action.conn, reply(branch, 180))
    assert rig.closed(connect) == []
    again = rig.accept(("192.0.2.2", 40009))
    assert sent(rig.tcp(again, reply(branch, 200))) == [("200", ALICE)]


def test_a_response_that_cannot_be_sent() -> None:
    """16.9: dropped; the outstanding branches are not cancelled for it."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request()), "INVITE")
    ringing = rig.udp(reply(branch, 180), BOB)[0]
    assert rig.failed(ringing) == []
    assert sent(rig.udp(reply(branch, 200), BOB)) == [("200", ALICE)]


# --- Timer C: 16.6 step 11, 16.7 step 2, 16.8


def test_timer_c() -> None:
    """It rings without an end: after more than three minutes the branch is cancelled."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request()), "INVITE")
    rig.udp(reply(branch, 180), BOB)
    assert what(rig.wait(180)) == []
    assert what(rig.wait(1)) == ["CANCEL"]
    assert sent(rig.udp(reply(branch, 487), BOB)) == [("ACK", BOB), ("487", ALICE)]
    rig.run_out()
    assert rig.empty


def test_every_provisional_response_but_100_starts_timer_c_again() -> None:
    """16.7 step 2: 101 to 199."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request()), "INVITE")
    rig.udp(reply(branch, 180), BOB)
    rig.wait(180)
    rig.udp(reply(branch, 183), BOB)
    rig.wait(180)
    assert "CANCEL" not in what(rig.log)
    rig.udp(reply(branch, 100), BOB)
    assert what(rig.wait(1)) == ["CANCEL"]


def test_timer_c_with_a_100_alone() -> None:
    """16.8: a provisional response was received, so a CANCEL is generated."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request()), "INVITE")
    rig.udp(reply(branch, 100), BOB)
    outs = rig.wait(181)
    assert what(outs) == ["CANCEL"]
    assert round(outs[0].time - rig.start, 3) == 181


def test_a_phone_that_ignores_the_cancel_of_timer_c() -> None:
    """9.1: 64*T1 after the CANCEL the branch is destroyed, and the caller hears."""
    rig = Rig(relay_to(BOB_URI))
    branch = only(rig.udp(request()), "INVITE")
    rig.udp(reply(branch, 180), BOB)
    outs = rig.run_out()
    assert next(out.what for out in outs if out.to == ALICE) in ("408", "487")
    assert rig.empty


def test_no_timer_c_for_a_non_invite() -> None:
    """16.6 step 11: it is set when an INVITE is proxied."""
    rig = Rig(relay_to(BOB_URI))
    rig.udp(request("OPTIONS"))
    rig.run_out()
    assert rig.now - rig.start < 60


# --- 18.1.1: large requests

LARGE = b"x" * 1300


def test_a_large_request_goes_over_tcp() -> None:
    """Larger than 1300 octets on an unknown path: a congestion controlled transport, and Via says so."""
    rig = Rig(relay_to(BOB_URI))
    connect = only(rig.udp(request(body=LARGE)), "Connect")
    assert (connect.action.transport, connect.to) == ("tcp", BOB)
    branch = only(rig.opened(connect), "INVITE")
    assert branch.message.via.transport == "TCP"
    assert branch.message.body == LARGE
    assert sent(rig.tcp(connect.action.conn, reply(branch, 200))) == [("200", ALICE)]


def test_a_small_request_stays_on_udp() -> None:
    """At most 1300 octets as sent, our Via included."""
    rig = Rig(relay_to(BOB_URI))
    small = only(rig.udp(request()), "INVITE")
    room = 1300 - len(small.data)
    rig = Rig(relay_to(BOB_URI))
    exact = only(rig.udp(request(headers=[("X-Fill", "x" * (room - len("X-Fill: \r\n")))])), "INVITE")
    assert len(exact.data) == 1300
    rig = Rig(relay_to(BOB_URI))
    outs = rig.udp(request(headers=[("X-Fill", "x" * (room + 1 - len("X-Fill: \r\n")))]))
    assert what(outs) == ["100", "Connect"]


def test_udp_after_all_where_tcp_is_refused() -> None:
    """18.1.1: the request is retried over UDP, its Via too, and its answer is taken."""
    rig = Rig(relay_to(BOB_URI))
    connect = only(rig.udp(request(body=LARGE)), "Connect")
    outs = rig.closed(connect, "refused")
    assert sent(outs) == [("INVITE", BOB)]
    assert outs[0].message.via.transport == "UDP"
    assert outs[0].message.body == LARGE
    assert sent(rig.udp(reply(outs[0], 180), BOB)) == [("180", ALICE)]
    assert sent(rig.udp(reply(outs[0], 200), BOB)) == [("200", ALICE)]


def test_udp_after_all_where_the_syn_is_dropped() -> None:
    """18.1.1: a firewall that says nothing costs ``limits.large_connect_time``, and not a failed call.

    The octets that wait for the connection are taken back, so the callee never sees two INVITEs; the next
    large request to that address goes by UDP at once.
    """
    rig = Rig(relay_to(BOB_URI))
    connect = only(rig.udp(request(body=LARGE)), "Connect")
    assert rig.wait(0.9) == []
    (invite,) = rig.wait(0.1)
    assert (invite.to, invite.message.via.transport) == (BOB, "UDP")
    assert rig.opened(connect) == []
    assert sent(rig.udp(reply(invite, 200), BOB)) == [("200", ALICE)]
    again = request(body=LARGE, branch="z9hG4bKnext", call_id="next", from_tag="next")
    assert sent(rig.udp(again))[-1] == ("INVITE", BOB)


def test_cancelled_while_it_connects() -> None:
    """9.1: the caller who gave up has the 487 with the end of the connection, and UDP is not tried."""
    rig = Rig(relay_to(BOB_URI))
    connect = only(rig.udp(request(body=LARGE)), "Connect")
    assert what(rig.udp(request("CANCEL"))) == ["200"]
    assert rig.wait(2) == []
    assert sent(rig.closed(connect, "not established")) == [("487", ALICE)]


def test_a_connection_that_is_there_may_take_its_time() -> None:
    """18.1.1 goes back to UDP where no connection is; a slow peer keeps ``failover_time``, as any other."""
    rig = Rig(relay_to(BOB_URI))
    connect = only(rig.udp(request(body=LARGE)), "Connect")
    rig.opened(connect)
    assert rig.wait(2.9) == []
    assert sent(rig.wait(0.2)) == [("INVITE", BOB)]


def test_each_address_gets_its_tcp_and_its_udp() -> None:
    """18.1.1 with RFC 3263 4.3: a second address is a second path."""
    rig = Rig(relay_to(NAME))
    rig.udp(request(body=LARGE))
    connect = only(rig.answer([BOB, CAROL]), "Connect")
    first = only(rig.closed(connect, "refused"), "INVITE")
    outs = rig.failed(first)
    assert (what(outs), outs[0].to) == (["Connect"], CAROL)
    second = only(rig.opened(outs[0]), "INVITE")
    assert sent(rig.tcp(outs[0].action.conn, reply(second, 486))) == [
        ("ACK", outs[0].action.conn),
        ("486", ALICE),
    ]


def test_an_answer_over_tcp_settles_it() -> None:
    """A 503 over TCP means the next server, not the same one over UDP."""
    rig = Rig(relay_to(NAME))
    rig.udp(request(body=LARGE))
    connect = only(rig.answer([BOB, CAROL]), "Connect")
    branch = only(rig.opened(connect), "INVITE")
    outs = rig.tcp(connect.action.conn, reply(branch, 503))
    assert what(outs) == ["ACK", "Connect"]
    assert outs[1].to == CAROL


def test_no_tcp_without_a_tcp_listener() -> None:
    """We could not take a response or a request there."""
    rig = Rig(relay_to(BOB_URI), listeners=[LISTENERS[UDP]])
    assert what(rig.udp(request(body=LARGE))) == ["100", "INVITE"]


def test_a_uri_that_says_udp_means_it() -> None:
    """The transport parameter is a choice of the URI's author."""
    rig = Rig(relay_to(f"{BOB_URI};transport=udp"))
    assert sent(rig.udp(request(body=LARGE)))[-1] == ("INVITE", BOB)


def test_a_phone_behind_a_nat_is_reached_by_udp_only() -> None:
    """Its address is where its registration came from; nothing listens there for TCP."""
    target = Target(parse_uri("sip:bob@10.0.0.2"), address=BOB)
    rig = Rig(relay_to(target))
    outs = rig.udp(request(body=LARGE))
    assert sent(outs)[-1] == ("INVITE", BOB)


def test_never_over_tcp() -> None:
    """ProxyConfig.tcp_above = 0."""
    rig = Rig(relay_to(BOB_URI), proxy=ProxyConfig(tcp_above=0))
    assert sent(rig.udp(request(body=LARGE)))[-1] == ("INVITE", BOB)


def test_from_tcp_to_udp() -> None:
    """A request that came by TCP goes by UDP where the next hop is UDP, repeated by our own Timer A."""
    rig = Rig(relay_to(BOB_URI))
    conn = rig.accept()
    outs = rig.tcp(conn, request(transport="TCP", source=("192.0.2.1", 40001)))
    assert sent(outs) == [("100", conn), ("INVITE", BOB)]
    assert what(rig.wait(1)) == ["INVITE"]
    assert sent(rig.udp(reply(only(outs, "INVITE"), 200), BOB)) == [("200", conn)]


def test_a_response_gets_a_length_on_a_stream() -> None:
    """18.3: a datagram may do without Content-Length, a stream may not."""
    rig = Rig(relay_to(BOB_URI))
    conn = rig.accept()
    outs = rig.tcp(conn, request(transport="TCP", source=("192.0.2.1", 40001)))
    for status in (180, 200):
        outs = rig.udp(reply(only(rig.log, "INVITE"), status, body=b"v=0\r\n", length=False), BOB)
        assert outs[0].message.content_length == 5
    assert outs[0].message.body == b"v=0\r\n"


def test_a_request_gets_a_length_on_a_stream() -> None:
    """16.6 step 9."""
    rig = Rig(relay_to("sip:bob@192.0.2.2;transport=tcp"))
    connect = only(rig.udp(request(body=b"v=0\r\n", length=False)), "Connect")
    assert only(rig.opened(connect), "INVITE").message.content_length == 5

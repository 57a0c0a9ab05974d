"""RFC 3263 4.3: from server to server within one call, and the memory of it."""

from __future__ import annotations

from typing import Any

import pytest

from sansip import ListenerConfig
from sansip.proxy import ProxyConfig
from tests.rig import Out, ack, only, relay_to, reply, request, sent, what, within
from tests.transport.dns.zone import World, Zone

UDP_TCP = (
    ListenerConfig(0, "udp", "192.0.2.10", 5060),
    ListenerConfig(1, "tcp", "192.0.2.10", 5060),
)
TWO = """
_sip._udp.carrier.test. 600 SRV 1 0 5060 a.carrier.test.
_sip._udp.carrier.test. 600 SRV 2 0 5070 b.carrier.test.
a.carrier.test. 600 A 192.0.2.21
b.carrier.test. 600 A 192.0.2.22
"""
A, B = ("192.0.2.21", 5060), ("192.0.2.22", 5070)
MIXED = """
_sip._udp.carrier.test. 600 SRV 1 0 5060 a.carrier.test.
_sip._tcp.carrier.test. 600 SRV 1 0 5070 b.carrier.test.
a.carrier.test. 600 A 192.0.2.21
b.carrier.test. 600 A 192.0.2.22
"""


def world(zone: str = TWO, uri: str = "sip:bob@carrier.test", **options: Any) -> World:
    options.setdefault("listeners", UDP_TCP)
    return World(Zone(zone), relay_to(uri), **options)


def invite(number: int = 1, **changes: Any) -> bytes:
    return request(branch=f"z9hG4bKc{number}", call_id=f"{number}@192.0.2.1", **changes)


def forwarded(outs: list[Out]) -> Out:
    return only(outs, "INVITE")


def test_a_503_leads_to_the_next_server_with_a_new_branch() -> None:
    """RFC 3263 4.3: identical but for the branch; the 503's ACK goes where the 503 came from."""
    bench = world()
    first = forwarded(bench.udp(invite()))
    assert first.to == A
    outs = bench.udp(reply(first, 503), A)
    assert sent(outs) == [("ACK", A), ("INVITE", B)]
    second = forwarded(outs)
    assert second.message.via.branch != first.message.via.branch
    assert second.message.get("cseq") == first.message.get("cseq")
    assert second.message.uri_text == first.message.uri_text
    assert what(bench.udp(reply(second, 200), B)) == ["200"]


def test_silence_leads_to_the_next_server() -> None:
    """RFC 3263 4.3: Timer B without any response at all.

    ``failover_time`` is for callers who cannot wait so long.
    """
    bench = world(proxy=ProxyConfig(failover_time=0))
    start = bench.now
    bench.udp(invite())
    outs = bench.wait(33)
    second = next(out for out in outs if out.what == "INVITE" and out.to == B)
    assert second.time - start == pytest.approx(32)
    assert what(bench.udp(reply(second, 200), B)) == ["200"]


def test_a_send_error_leads_to_the_next_server_at_once() -> None:
    """RFC 3263 4.3: a fatal ICMP error."""
    bench = world()
    first = forwarded(bench.udp(invite()))
    assert sent(bench.failed(first)) == [("INVITE", B)]


def test_the_next_server_may_be_on_another_transport() -> None:
    """A place is a transport and an address: Via and framing follow it."""
    bench = world(MIXED)
    first = forwarded(bench.udp(invite()))
    assert (first.to, first.message.via.transport) == (A, "UDP")
    connect = only(bench.udp(reply(first, 503), A), "Connect")
    assert (connect.action.transport, connect.to) == ("tcp", ("192.0.2.22", 5070))
    second = forwarded(bench.opened(connect))
    assert second.message.via.transport == "TCP"
    assert what(bench.tcp(connect.action.conn, reply(second, 200))) == ["200"]


def test_a_refused_connection_leads_on() -> None:
    """RFC 3263 4.3: connection failures in TCP."""
    zone = TWO.replace("_sip._udp", "_sip._tcp")
    bench = world(zone)
    first = only(bench.udp(invite()), "Connect")
    second = only(bench.closed(first, "connection refused"), "Connect")
    assert (first.to, second.to) == (A, B)


def test_no_server_left() -> None:
    """RFC 3261 16.9: as a 503, which leaves as 500; nothing is held."""
    bench = world()
    original = invite()
    first = forwarded(bench.udp(original))
    second = forwarded(bench.udp(reply(first, 503), A))
    outs = bench.udp(reply(second, 503), B)
    assert what(outs) == ["ACK", "500"]
    bench.udp(ack(original, only(outs, "500")))
    bench.run_out()
    assert bench.empty


def test_other_failures_do_not_lead_on() -> None:
    """RFC 3263 4.3: a server that answers has been contacted."""
    for status in (404, 486, 500, 504, 603):
        bench = world()
        first = forwarded(bench.udp(invite()))
        assert str(status) in what(bench.udp(reply(first, status), A))


def test_each_attempt_is_judged_by_its_own_responses() -> None:
    """RFC 3261 9.1: a CANCEL waits for a provisional response of the server it goes to."""
    bench = world()
    original = invite()
    first = forwarded(bench.udp(original))
    bench.udp(reply(first, 100), A)
    second = forwarded(bench.udp(reply(first, 503), A))
    assert what(bench.udp(within(original, "CANCEL"))) == ["200"]
    cancel = only(bench.udp(reply(second, 180), B), "CANCEL")
    assert cancel.to == B
    assert cancel.message.via.branch == second.message.via.branch


def test_a_cancelled_call_tries_nobody_else() -> None:
    """RFC 3261 9.1, 16.10: a caller that hung up does not want the next server."""
    bench = world()
    original = invite()
    first = forwarded(bench.udp(original))
    bench.udp(within(original, "CANCEL"))
    outs = bench.udp(reply(first, 503), A)
    assert "INVITE" not in what(outs)


def test_cancelled_while_the_name_is_looked_up() -> None:
    """Nothing was sent, so the caller gets 487 and a late answer of DNS changes nothing."""
    bench = world()
    bench.automatic = False
    original = invite()
    assert what(bench.udp(original)) == ["100"]
    assert what(bench.udp(within(original, "CANCEL"))) == ["200", "487"]
    bench.automatic = True
    assert "INVITE" not in what(bench.wait(10))


def test_a_server_that_failed_is_tried_last_for_a_while() -> None:
    """RFC 3263 2: the next call does not wait for the dead one; limits.avoid_time later it is tried again."""
    bench = world()
    bench.failed(forwarded(bench.udp(invite(1))))
    second = forwarded(bench.udp(invite(2)))
    assert second.to == B
    # It is only put last: where the others fail, too, it has its turn.
    assert sent(bench.failed(second)) == [("INVITE", A)]
    bench.wait(31)
    assert forwarded(bench.udp(invite(3))).to == A


def test_retry_after_is_kept() -> None:
    """RFC 3261 21.5.4: no requests for as long as the server asks."""
    bench = world()
    first = forwarded(bench.udp(invite(1)))
    bench.udp(reply(first, 503, headers=[("Retry-After", "120 (maintenance)")]), A)
    bench.wait(100)
    assert forwarded(bench.udp(invite(2))).to == B
    bench.wait(30)
    assert forwarded(bench.udp(invite(3))).to == A


def test_what_is_avoided_is_bounded() -> None:
    """limits.avoided: the oldest is forgotten."""
    bench = world(limits={"avoided": 1})
    first = forwarded(bench.udp(invite(1)))
    second = forwarded(bench.failed(first))
    bench.failed(second)
    # Only the failure of B is remembered.
    assert forwarded(bench.udp(invite(2))).to == A
    assert len(bench.stack.client.places.avoided) == 1


def test_calls_share_one_look_up_and_the_weights() -> None:
    """SRV load balancing: by weight over calls, out of one cached answer."""
    bench = world(TWO.replace("SRV 2 0", "SRV 1 0").replace("SRV 1 0", "SRV 1 10"))
    reached = {forwarded(bench.udp(invite(number))).to for number in range(20)}
    assert reached == {A, B}
    assert len(bench.queries) == len(set(bench.queries))


def test_names_that_never_answer_cost_only_their_own_calls() -> None:
    """Other calls go through while the look-ups of many dead names wait and fail."""
    bench = world(uri="sip:bob@carrier.test")
    dead = World(Zone(TWO), listeners=UDP_TCP, limits={"dns_queries_per_domain": 5})
    dead.zone.silent.update(f"n{number}.dead.test" for number in range(50))

    def route(incoming: Any) -> None:
        incoming.relay([str(incoming.message.uri)])

    dead.stack.route = route
    for number in range(50):
        dead.udp(invite(number, uri=f"sip:x@n{number}.dead.test"))
    assert len(dead.sockets) == 5
    assert forwarded(dead.udp(invite(99, uri="sip:bob@carrier.test"))).to == A
    outs = dead.wait(15)
    assert what(outs).count("500") >= 5
    assert not dead.sockets
    assert bench.idle


def test_a_stateless_forward_always_takes_the_same_server() -> None:
    """RFC 3263 4.4: all copies of an ACK for a 2xx reach the same server, whatever the weights."""
    zone = TWO.replace("SRV 2 0", "SRV 1 0").replace("SRV 1 0", "SRV 1 10")
    bench = world(zone)
    reached = set()
    for number in range(10):
        data = request("ACK", "sip:bob@carrier.test", branch=f"z9hG4bKack{number}", to_tag="b")
        places = {only(bench.udp(data), "ACK").to for _ in range(5)}
        assert len(places) == 1
        reached |= places
    assert reached == {A, B}
